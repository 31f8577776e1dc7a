/* SPDX-License-Identifier: Apache-2.0 */
/* plain.c - checks that reading a pickle runs no code: it has only opcodes that make plain data. */
#include "plain.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

/* The argument of each opcode (Lib/pickletools.py): FIXED, so many bytes; or COUNTED, a little-endian count of so
 * many bytes, and then as many bytes as it says. 0: the opcode is not allowed. */
#define FIXED(n) ((n) + 1)
#define COUNTED(n) ((n) | 0x20)

static const uint8_t follows[256] = {
    ['('] = FIXED(0),    ['.'] = FIXED(0),   ['0'] = FIXED(0),    ['1'] = FIXED(0),    ['2'] = FIXED(0),
    ['N'] = FIXED(0),    ['a'] = FIXED(0),   ['e'] = FIXED(0),    ['l'] = FIXED(0),    ['t'] = FIXED(0),
    [']'] = FIXED(0),    [')'] = FIXED(0),   ['}'] = FIXED(0),    ['d'] = FIXED(0),    ['s'] = FIXED(0),
    ['u'] = FIXED(0),    [0x85] = FIXED(0),  [0x86] = FIXED(0),   [0x87] = FIXED(0),   [0x88] = FIXED(0),
    [0x89] = FIXED(0),   [0x8F] = FIXED(0),  [0x90] = FIXED(0),   [0x91] = FIXED(0),   [0x94] = FIXED(0),
    [0x97] = FIXED(0),   [0x98] = FIXED(0),  [0x80] = FIXED(1),   ['K'] = FIXED(1),    ['h'] = FIXED(1),
    ['q'] = FIXED(1),    ['M'] = FIXED(2),   ['J'] = FIXED(4),    ['j'] = FIXED(4),    ['r'] = FIXED(4),
    ['G'] = FIXED(8),    [0x95] = FIXED(8),  [0x8C] = COUNTED(1), ['C'] = COUNTED(1),  [0x8A] = COUNTED(1),
    ['X'] = COUNTED(4),  ['B'] = COUNTED(4), [0x8B] = COUNTED(4), [0x8D] = COUNTED(8), [0x8E] = COUNTED(8),
    [0x96] = COUNTED(8),
};

static bool is_plain(const uint8_t *at, const uint8_t *end)
{
    while (at < end) {
        uint8_t rule = follows[*at];
        if (rule == 0)
            return false;
        if (*at++ == '.')
            return true; /* the reader stops here */
        uint64_t size = rule & 0x1F;
        if (!(rule & 0x20)) {
            size--;
        } else {
            uint64_t count = 0;
            if ((uint64_t)(end - at) < size)
                return false;
            memcpy(&count, at, size);
            at += size;
            size = le64toh(count);
        }
        if ((uint64_t)(end - at) < size)
            return false;
        at += size;
    }
    return false;
}

PyObject *is_plain_pickle(PyObject *Py_UNUSED(module), PyObject *buffer)
{
    Py_buffer view;
    if (PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    bool plain = is_plain(view.buf, (const uint8_t *)view.buf + view.len);
    PyBuffer_Release(&view);
    return PyBool_FromLong(plain);
}
