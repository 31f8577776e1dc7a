/* SPDX-License-Identifier: Apache-2.0 */
/* segment.h - a Python view of memory that another object owns; for the binding and for the worker's runtime.
 *
 * A segment exports its memory as a writable buffer of bytes and holds a reference to the owner. So the memory
 * lives as long as its last view: a memoryview, or an array built on one.
 */
#ifndef PINFOLD_SEGMENT_H
#define PINFOLD_SEGMENT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <sys/uio.h>

/* Make the segment type for a module (without PyModule_AddType). A new reference, or NULL with an exception. */
PyTypeObject *segment_type_new(PyObject *module);

/* Return a writable memoryview of `memory`, which lies inside memory of `owner`. `owner` must not refer back to
 * the view: segments take no part in garbage collection. A new reference, or NULL with an exception. */
PyObject *segment_view(PyTypeObject *type, const struct iovec *memory, PyObject *owner);

/* Return a list of such views, one for each of the n pieces. */
PyObject *segment_views(PyTypeObject *type, const struct iovec *memory, uint32_t n, PyObject *owner);

#endif
