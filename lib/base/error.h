/* SPDX-License-Identifier: Apache-2.0 */
/* error.h - fill in a pinfold_error. */
#ifndef PINFOLD_ERROR_H
#define PINFOLD_ERROR_H

#include <pinfold.h>
#include <stdbool.h>
#include <stddef.h>

/* Return whether this code means a failure of this process (no descriptors, no memory, a failing disk). Nothing
 * that a worker sends can cause one. */
bool error_is_ours(int code);

/* Write the code and the sentence to *error, which may be NULL. Return `code` (a negative errno), so that a
 * failure can be reported with `return error_set(error, -EINVAL, "...", ...)`. */
int error_set(pinfold_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As error_set, with ": " and strerror(-code) appended to the sentence. */
int error_errno(pinfold_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As error_set, for a foreign text of any size. Keep the end of a text that is too long. */
int error_text(pinfold_error *error, int code, const char *text, size_t size);

#endif
