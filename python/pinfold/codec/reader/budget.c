/* SPDX-License-Identifier: Apache-2.0 */
/* budget.c - the budgets of memory and of time for reading a value. */
#include "reader.h"

bool budget_overspent(struct reader *r)
{
    if (r->result_most && r->memory_most == r->result_most)
        PyErr_Format(r->state->too_large, "the value takes more than the %llu bytes allowed when it is read",
                     (unsigned long long)r->result_most);
    else
        reader_malformed(r, "a value of more than %u times its size", MEMORY_A_BYTE);
    return false;
}

bool budget_work(struct reader *r, uint64_t steps)
{
    if (steps <= r->steps_most - r->steps) {
        r->steps += steps;
        return true;
    }
    reader_malformed(r, "a value that takes more time to read than its size allows");
    return false;
}

/* Record that a list or a map needs n more items. */
bool budget_owe(struct reader *r, uint64_t n)
{
    uint64_t left = (uint64_t)(r->end - r->at);
    if (r->owed > left || n > left - r->owed) {
        r->at = r->end;
        reader_malformed(r, "it ends too early");
        return false;
    }
    r->owed += n;
    return true;
}

/* Return the most memory that a dict of n keys takes, including the table before its last growth. */
uint64_t budget_of_dict(uint64_t n, bool text)
{
    uint64_t entry = text && PY_VERSION_HEX >= 0x030B0000 ? 16 : 24;
    uint64_t size = 8, total = 0, before = 0;
    if (n == 0)
        return 64;
    for (;;) {
        uint64_t usable = size * 2 / 3;
        uint64_t table = budget_rounded(40 + usable * entry + size * (size <= 128 ? 1 : size <= 32768 ? 2 : 4));
        total = 64 + table + before;
        if (n <= usable)
            return total;
        before = table;
        size *= 2;
    }
}

uint64_t budget_of_set(uint64_t n)
{
    uint64_t size = 8;
    if (n * 5 < 7 * 3)
        return 224;
    while (size <= n * 2)
        size *= 2;
    return 224 + 16 * size;
}

/* Let signal handlers and other threads run. */
bool budget_breathe(struct reader *r)
{
    r->breath = BREATH;
    Py_BEGIN_ALLOW_THREADS;
    Py_END_ALLOW_THREADS;
    return PyErr_CheckSignals() == 0;
}
