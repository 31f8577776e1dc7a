/* SPDX-License-Identifier: Apache-2.0 */
/* undelivered.c - the results that are out of the library and whose callers do not have them yet.
 *
 * A signal handler may raise between any two steps of a Python function, even between the return from this module
 * and the assignment of the returned value. So a result is never only returned. It stays in the set until
 * delivered() removes it, and if a thread drops it on the way, another thread can take it. Nothing here fails once
 * the library has handed a result over, because the Python object for it is made before. The GIL protects all of
 * it.
 */
#include "binding.h"

#include <errno.h>

static struct py_result *unlink_first(struct py_result **chain)
{
    struct py_result *first = *chain;
    *chain = first->next;
    return first;
}

static void drop_chain(struct py_result *chain)
{
    while (chain)
        Py_DECREF(&unlink_first(&chain)->ob_base);
}

void undelivered_init(struct undelivered *undelivered)
{
    TAILQ_INIT(&undelivered->results);
}

void undelivered_clear(struct undelivered *undelivered)
{
    struct py_result *result;
    while ((result = TAILQ_FIRST(&undelivered->results)))
        undelivered_drop(result);
    drop_chain(undelivered->reserve);
    undelivered->reserve = NULL;
}

void undelivered_add(struct undelivered *undelivered, struct py_result *empty, pinfold_result *result)
{
    empty->result = result;
    empty->undelivered = undelivered;
    empty->claimant = PyThread_get_thread_ident();
    TAILQ_INSERT_TAIL(&undelivered->results, empty, link);
}

void undelivered_drop(struct py_result *result)
{
    if (!result->undelivered)
        return;
    TAILQ_REMOVE(&result->undelivered->results, result, link);
    result->undelivered = NULL;
    Py_DECREF(&result->ob_base);
}

bool undelivered_unclaim(struct undelivered *undelivered)
{
    unsigned long here = PyThread_get_thread_ident();
    bool left = false;
    struct py_result *result;
    TAILQ_FOREACH (result, &undelivered->results, link) {
        if (result->claimant == here)
            result->claimant = 0;
        left |= result->claimant == 0;
    }
    return left;
}

PyObject *undelivered_list(struct undelivered *undelivered, bool all, uint64_t id)
{
    unsigned long here = PyThread_get_thread_ident();
    PyObject *list = PyList_New(0); /* may run a garbage collection, and so any code: it precedes the first look */
    struct py_result *result;
    TAILQ_FOREACH (result, &undelivered->results, link) {
        if (!list)
            break;
        if (!all && result->claimant != 0 && result->claimant != here && result->result->call_id != id)
            continue;
        if (result->claimant != here)
            result->claimant = 0;
        if (PyList_Append(list, &result->ob_base) < 0)
            Py_CLEAR(list);
    }
    return list;
}

PyObject *undelivered_take(struct undelivered *undelivered, struct binding *binding, take_function *take,
                           void *from)
{
    /* Most takes find one or two results. Keep the unused objects for the next take. */
    struct py_result *empty = undelivered->reserve;
    int n_empty = empty ? undelivered->n_reserve : 0;
    undelivered->reserve = NULL;
    for (; n_empty < TAKE_MOST; n_empty++) {
        struct py_result *more = py_result_new(binding);
        if (!more) {
            drop_chain(empty);
            return NULL;
        }
        more->next = empty;
        empty = more;
    }

    pinfold_result *taken[TAKE_MOST];
    int n = 0;
    int code;
    Py_BEGIN_ALLOW_THREADS
    code = take(from, taken, &n);
    Py_END_ALLOW_THREADS
    for (int i = 0; i < n; i++)
        undelivered_add(undelivered, unlink_first(&empty), taken[i]);
    if (undelivered->reserve) {
        drop_chain(empty); /* another thread was first */
    } else {
        undelivered->reserve = empty;
        undelivered->n_reserve = n_empty - n;
    }
    if (n == 0 && code != -EAGAIN && code != -ESHUTDOWN)
        return raise_errno(code, NULL);
    return undelivered_list(undelivered, false, 0);
}
