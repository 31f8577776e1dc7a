/* SPDX-License-Identifier: Apache-2.0 */
/* payload.h - lays segments out as a payload, and finds them in one. pinfold_worker.h has the layout. */
#ifndef PINFOLD_PAYLOAD_H
#define PINFOLD_PAYLOAD_H

#include <pinfold_worker.h>
#include <stdint.h>
#include <sys/uio.h>

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
