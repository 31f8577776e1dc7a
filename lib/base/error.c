/* SPDX-License-Identifier: Apache-2.0 */
/* error.c - composes the sentence of a pinfold_error and cuts it to size (error.h). */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

bool error_is_ours(int code)
{
    return code == -EMFILE || code == -ENFILE || code == -ENOMEM || code == -EIO;
}

/* Write the sentence, followed by `behind` unless that is NULL. */
static int compose(pinfold_error *error, int code, const char *behind, const char *format, va_list arguments)
{
    _cleanup_free_ char *sentence = NULL, *whole = NULL;
    int size = vasprintf(&sentence, format, arguments);
    if (size < 0)
        sentence = NULL;
    if (sentence && behind && (size = asprintf(&whole, "%s: %s", sentence, behind)) < 0)
        whole = NULL;
    const char *text = whole ? whole : sentence ? sentence : behind ? behind : "out of memory";
    return error_text(error, code, text, strlen(text));
}

int error_set(pinfold_error *error, int code, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        compose(error, code, NULL, format, arguments);
        va_end(arguments);
    }
    return code;
}

int error_errno(pinfold_error *error, int code, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        compose(error, code, strerror(-code), format, arguments);
        va_end(arguments);
    }
    return code;
}

int error_text(pinfold_error *error, int code, const char *text, size_t size)
{
    if (error) {
        size_t room = sizeof(error->text) - 1;
        size_t cut = size < room ? 0 : size - room;
        /* The cut must not split a UTF-8 character: drop the up to three bytes of it that are left. */
        for (int i = 0; cut > 0 && cut < size && i < 3 && (text[cut] & 0xC0) == 0x80; i++)
            cut++;
        memcpy(error->text, text + cut, size - cut);
        error->text[size - cut] = '\0';
        error->code = code;
    }
    return code;
}
