/* SPDX-License-Identifier: Apache-2.0 */
/* tags.h - the numbers that writer and reader of the `data` codec agree on; tags.py has them from here.
 *
 * Registered tags: RFC 8949 section 3.4.3, and the IANA registry for the others. CBOR has no range for private
 * use: our own tags stand in its first-come range (section 9.2), at "PIN" in ASCII, and only Pinfold reads
 * them.
 */
#ifndef PINFOLD_TAGS_H
#define PINFOLD_TAGS_H

/* Containers inside containers, counted alike on both sides; the outermost is level 1. */
#define MAX_DEPTH 200

/* From this many bytes on, a buffer travels as its own segment. */
#define OUT_OF_LINE 4096

#define OURS 0x50494E00

/* HASH_OF_RATIONAL is not a tag: by this number the reader knows the function that hashes a Fraction. */
#define TAGS(X)                                                                                                   \
    X(HASH_OF_RATIONAL, 0)                                                                                        \
    X(POSITIVE_BIGNUM, 2)                                                                                         \
    X(NEGATIVE_BIGNUM, 3)                                                                                         \
    X(RATIONAL, 30)                                                                                               \
    X(UUID, 37)                                                                                                   \
    X(SET, 258)                                                                                                   \
    X(COMPLEX, 43000)                                                                                             \
    X(TUPLE, OURS + 0)                                                                                            \
    X(FROZENSET, OURS + 1)                                                                                        \
    X(PAIRS, OURS + 2)                                                                                            \
    X(BYTEARRAY, OURS + 3)                                                                                        \
    X(SEGMENT, OURS + 4)                                                                                          \
    X(SURROGATES, OURS + 5)                                                                                       \
    X(NOT_A_NUMBER, OURS + 6)                                                                                     \
    X(ELLIPSIS, OURS + 7)                                                                                         \
    X(RANGE, OURS + 8)                                                                                            \
    X(SLICE, OURS + 9)                                                                                            \
    X(DATETIME, OURS + 10)                                                                                        \
    X(DATE, OURS + 11)                                                                                            \
    X(TIME, OURS + 12)                                                                                            \
    X(TIMEDELTA, OURS + 13)                                                                                       \
    X(TIMEZONE, OURS + 14)                                                                                        \
    X(ZONE, OURS + 15)                                                                                            \
    X(DECIMAL, OURS + 16)                                                                                         \
    X(PATH, OURS + 17)                                                                                            \
    X(PURE_PATH, OURS + 18)                                                                                       \
    X(ARRAY, OURS + 19)                                                                                           \
    X(SCALAR, OURS + 20)

#endif
