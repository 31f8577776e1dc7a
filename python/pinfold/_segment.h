/* _segment.h - memory that came in a payload, handed to Python without a copy.
 *
 * Each segment becomes a writable memoryview of bytes (format "B", one dimension). The memory under all of them
 * is given back in one go, when the last view, and whatever was made on a view (an array, a slice), is gone.
 */
#ifndef PINFOLD_SEGMENT_H
#define PINFOLD_SEGMENT_H

#include <Python.h>
#include <stdint.h>
#include <sys/uio.h>

/* A tuple of n memoryviews on `segments`. Takes over base_owner, whatever the outcome: release(base_owner) is
 * called, with the GIL held, when no view needs the memory any more, or at once on failure (NULL, exception set). */
PyObject *segment_tuple_new(void *base_owner, void (*release)(void *), const struct iovec *segments, uint32_t n);

#endif
