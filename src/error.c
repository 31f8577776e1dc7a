#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(pinfold_error *error, int code, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof(error->text), format, arguments);
        va_end(arguments);
        error->code = code;
    }
    return code;
}

int error_errno(pinfold_error *error, int code, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        int used = vsnprintf(error->text, sizeof(error->text), format, arguments);
        va_end(arguments);
        size_t end = used < 0 ? 0 : (size_t)used;
        if (end < sizeof(error->text))
            snprintf(error->text + end, sizeof(error->text) - end, ": %s", strerror(-code));
        error->code = code;
    }
    return code;
}

int error_text(pinfold_error *error, int code, const char *text, size_t size)
{
    if (error) {
        size_t room = sizeof(error->text) - 1;
        size_t kept = size < room ? size : room;
        memcpy(error->text, text + (size - kept), kept);
        error->text[kept] = '\0';
        error->code = code;
    }
    return code;
}
