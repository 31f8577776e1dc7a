/* payload.h - a payload: the segments of a request or of a value in one contiguous piece.
 *
 *   u32 magic "PFPL" | u32 n | n x u64 length | zeroes to 64 | segment 0 | zeroes to 64 | segment 1 ...
 *
 * The same bytes travel in the tail of a frame or in a spill. Every segment starts at a multiple of 64, so that
 * arrays in it are aligned. Zeroes fill the gaps; nothing follows the last segment. Only the caller and the
 * worker's runtime interpret the segments.
 */
#ifndef PINFOLD_PAYLOAD_H
#define PINFOLD_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define PAYLOAD_MAGIC 0x4C504650u /* "PFPL" */
#define PAYLOAD_ALIGN 64u
#define PAYLOAD_SEGMENTS_MAX (1u << 20)

/* Payloads up to this size travel in the frame. */
#define PAYLOAD_INLINE_MAX 60000u

/* Compute the size of the payload of these segments. -EINVAL: no segments, or too many; -EOVERFLOW: more than
 * 2^62 bytes. */
int payload_size(const struct iovec *segments, uint32_t n, uint64_t *ret_size);

/* The table that precedes segment 0: its size, a multiple of 64, and its bytes. */
uint64_t payload_table_size(uint32_t n);
void payload_table(void *to, const struct iovec *segments, uint32_t n);

/* Lay the segments out at `to`, which has payload_size() bytes. */
void payload_copy(void *to, const struct iovec *segments, uint32_t n);

/* Find the segments of a payload in memory. Trusts no byte of it: -EBADMSG for anything but a whole payload of
 * exactly `size` bytes. The caller frees *ret_segments, which point into `base`. */
int payload_parse(void *base, uint64_t size, struct iovec **ret_segments, uint32_t *ret_n);

#endif
