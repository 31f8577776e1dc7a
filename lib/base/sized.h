/* SPDX-License-Identifier: Apache-2.0 */
/* sized.h - a public struct that begins with its size, as a program has it that was compiled with an older header.
 *
 * New fields are appended, and zero is their default. `least` is where the struct of the first version ended. */
#ifndef PINFOLD_SIZED_H
#define PINFOLD_SIZED_H

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* The size of the struct whose last field this was. */
#define SIZED_UP_TO(type, last)                                                                                   \
    ((offsetof(type, last) + sizeof(((type *)0)->last) + sizeof(size_t) - 1) / sizeof(size_t) * sizeof(size_t))

/* Check the size of the caller's struct. -EINVAL: it is not `least` .. `most`, which is this library's. */
static inline int sized_check(const size_t *size, size_t least, size_t most)
{
    return *size < least || *size > most ? -EINVAL : 0;
}

/* Copy the fields that the caller's struct has, and zero those that it does not have. */
static inline void sized_read(void *to, size_t most, const size_t *from)
{
    memcpy(to, from, *from);
    memset((char *)to + *from, 0, most - *from);
}

/* Copy the fields that the caller's struct has, its size apart. */
static inline void sized_write(size_t *to, const void *from)
{
    memcpy(to + 1, (const size_t *)from + 1, *to - sizeof(*to));
}

#endif
