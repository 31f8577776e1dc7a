/* error.h - filling in a pinfold_error. */
#ifndef PINFOLD_ERROR_H
#define PINFOLD_ERROR_H

#include <pinfold.h>
#include <stdbool.h>
#include <stddef.h>

/* Whether a failure with this code is this process's own (no descriptors, no memory, a disk that fails), and not
 * the doing of a worker, whatever it sent. */
bool error_is_ours(int code);

/* Writes code and sentence into *error, which may be NULL, and returns `code` (a negative errno), so that
 * `return error_set(error, -EINVAL, "...", ...)` is one line. */
int error_set(pinfold_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As error_set, with ": " and strerror(-code) behind the sentence. */
int error_errno(pinfold_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As error_set for a text of any size that came from elsewhere; keeps its end if it is too long. */
int error_text(pinfold_error *error, int code, const char *text, size_t size);

#endif
