/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c - pinfold._ext._pool.Pool: a thin wrapper of the library's pool. */
#include "binding.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Return when a wait of timeout_ns ends that begins now. */
static int64_t end_of_wait(int64_t timeout_ns)
{
    int64_t end;
    return __builtin_add_overflow(monotonic_ns(), timeout_ns, &end) ? PINFOLD_FOREVER : end;
}

static int64_t left_until(int64_t end)
{
    if (end == PINFOLD_FOREVER)
        return PINFOLD_FOREVER;
    int64_t left = end - monotonic_ns();
    return left > 0 ? left : 0;
}

#define SLICE_NS INT64_C(50000000)

/* Return a NULL-terminated array of the list's bytes objects, which it borrows. */
static const char **strings_of(PyObject *list)
{
    Py_ssize_t n = PyList_GET_SIZE(list);
    const char **strings = PyMem_New(const char *, (size_t)n + 1);
    if (!strings) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        char *string;
        if (PyBytes_AsStringAndSize(PyList_GET_ITEM(list, i), &string, NULL) < 0) {
            PyMem_Free(strings);
            return NULL;
        }
        strings[i] = string;
    }
    strings[n] = NULL;
    return strings;
}

static int pool_open(struct pool *self, pinfold_config *config, PyObject *argv, PyObject *envp)
{
    const char **argv_strings = strings_of(argv);
    const char **envp_strings = argv_strings ? strings_of(envp) : NULL;
    int code = -1;
    if (envp_strings) {
        pinfold_error error = {0};
        config->argv = argv_strings;
        config->envp = envp_strings;
        Py_BEGIN_ALLOW_THREADS
        code = pinfold_pool_open(config, &self->pool, &error);
        Py_END_ALLOW_THREADS
        if (code < 0)
            raise_errno(code, &error);
    }
    PyMem_Free(argv_strings);
    PyMem_Free(envp_strings);
    return code < 0 ? -1 : 0;
}

static PyObject *pool_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"argv",
                            "envp",
                            "guard",
                            "spill_dir",
                            "isolation",
                            "max_workers",
                            "max_queue",
                            "max_calls_per_worker",
                            "idle_timeout_ns",
                            "open_timeout_ns",
                            "output_bytes",
                            "flags",
                            "namespaces",
                            "cgroup",
                            NULL};
    pinfold_config config = {.size = sizeof(config)};
    PyObject *argv;
    PyObject *envp;
    long long idle_timeout_ns;
    long long open_timeout_ns;
    unsigned long long output_bytes;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$O!O!yyIIIILLKIIz:Pool", names, &PyList_Type, &argv,
                                     &PyList_Type, &envp, &config.guard, &config.spill_dir, &config.isolation,
                                     &config.max_workers, &config.max_queue, &config.max_calls_per_worker,
                                     &idle_timeout_ns, &open_timeout_ns, &output_bytes, &config.flags,
                                     &config.namespaces, &config.cgroup))
        return NULL;
    config.idle_timeout_ns = idle_timeout_ns;
    config.open_timeout_ns = open_timeout_ns;
    config.output_bytes = output_bytes;

    struct pool *self = (struct pool *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    undelivered_init(&self->undelivered);
    self->call_id = PyUnicode_InternFromString("call_id");
    if (!self->call_id) {
        Py_DECREF(self);
        return NULL;
    }
    int code = gate_init(&self->gate);
    if (code == 0) {
        self->pid = getpid();
        self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        code = self->wake_fd < 0 ? -errno : 0;
    }
    if (code < 0) {
        Py_DECREF(self);
        return raise_errno(code, NULL);
    }
    if (pool_open(self, &config, argv, envp) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return &self->ob_base;
}

static void wake(struct pool *self)
{
    uint64_t one = 1;
    while (write(self->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* Close the pool, once. Needs no GIL. */
static void pool_shut(struct pool *self)
{
    if (!gate_shut(&self->gate))
        return;
    pinfold_pool_shutdown(self->pool);
    wake(self);
    pthread_mutex_lock(&self->gate.mutex);
    for (struct open_queue *queue = self->queues; queue; queue = queue->next)
        pinfold_queue_interrupt(queue->queue);
    pthread_mutex_unlock(&self->gate.mutex);
    gate_drain(&self->gate);
    while (self->queues)
        open_queue_shut(self, self->queues);
    pinfold_pool_close(self->pool);
    self->pool = NULL;
    close(self->wake_fd);
    self->wake_fd = -1;
}

/* In a forked child: release this process's copies. Under the GIL. */
static void pool_forget(struct pool *self)
{
    gate_forget(&self->gate);
    pinfold_pool_close(self->pool);
    self->pool = NULL;
    open_queues_forget(self);
}

static void pool_shut_or_forget(struct pool *self)
{
    if (self->pid != getpid()) {
        pool_forget(self);
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    pool_shut(self);
    Py_END_ALLOW_THREADS
}

static PyObject *close_copies(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct pool *self = (struct pool *)op;
    if (self->pid != getpid() && self->wake_fd >= 0) {
        close(self->wake_fd);
        self->wake_fd = -1;
    }
    Py_RETURN_NONE;
}

static PyObject *pool_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    pool_shut_or_forget((struct pool *)op);
    Py_RETURN_NONE;
}

static void pool_dealloc(PyObject *op)
{
    struct pool *self = (struct pool *)op;
    PyTypeObject *type = Py_TYPE(op);
    if (self->pool)
        pool_shut_or_forget(self);
    if (self->pid && self->wake_fd >= 0)
        close(self->wake_fd);
    if (self->pid == getpid())
        gate_destroy(&self->gate);
    undelivered_clear(&self->undelivered);
    Py_XDECREF(self->call_id);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *wait_ready(PyObject *op, PyObject *arg)
{
    struct pool *self = (struct pool *)op;
    int64_t timeout_ns = PyLong_AsLongLong(arg);
    if (timeout_ns == -1 && PyErr_Occurred())
        return NULL;
    int64_t end = end_of_wait(timeout_ns);
    for (;;) {
        pinfold_error error = {0};
        int code = -ESHUTDOWN;
        int64_t left = left_until(end);
        Py_BEGIN_ALLOW_THREADS
        if (gate_enter(&self->gate)) {
            /* Wait in slices, because close() in another thread waits until this one has left the gate. */
            code = pinfold_pool_wait_ready(self->pool, left < SLICE_NS ? left : SLICE_NS, &error);
            gate_leave(&self->gate);
        }
        Py_END_ALLOW_THREADS
        if (code >= 0)
            Py_RETURN_NONE;
        if (code == -ETIMEDOUT && left > SLICE_NS)
            continue;
        if (code != -EINTR)
            return raise_errno(code, &error);
        if (PyErr_CheckSignals() < 0)
            return NULL;
    }
}

static PyObject *cancel(PyObject *op, PyObject *arg)
{
    struct pool *self = (struct pool *)op;
    uint64_t id = PyLong_AsUnsignedLongLong(arg);
    if (id == (uint64_t)-1 && PyErr_Occurred())
        return NULL;
    int code = -ENOENT;
    Py_BEGIN_ALLOW_THREADS
    if (gate_enter(&self->gate)) {
        code = pinfold_pool_cancel(self->pool, id);
        gate_leave(&self->gate);
    }
    Py_END_ALLOW_THREADS
    if (code < 0 && code != -ENOENT)
        return raise_errno(code, NULL);
    return PyBool_FromLong(code >= 0);
}

static PyObject *wait_call(PyObject *op, PyObject *args)
{
    struct pool *self = (struct pool *)op;
    unsigned long long id;
    long long timeout_ns;
    if (!PyArg_ParseTuple(args, "KL:wait", &id, &timeout_ns))
        return NULL;
    struct py_result *empty = py_result_new(binding_of(op));
    if (!empty)
        return NULL;
    int64_t end = end_of_wait(timeout_ns);
    int code;
    do {
        pinfold_result *result = NULL;
        code = -ENOENT;
        Py_BEGIN_ALLOW_THREADS
        if (gate_enter(&self->gate)) {
            code = pinfold_pool_wait(self->pool, id, left_until(end), &result);
            gate_leave(&self->gate);
        }
        Py_END_ALLOW_THREADS
        if (code >= 0) {
            undelivered_add(&self->undelivered, empty, result);
            return undelivered_list(&self->undelivered, false, id);
        }
    } while (code == -EINTR && PyErr_CheckSignals() == 0);
    Py_DECREF(&empty->ob_base);
    if (code == -ENOENT || code == -EBUSY)
        return undelivered_list(&self->undelivered, false, id);
    return code == -EINTR ? NULL : raise_errno(code, NULL);
}

static int pool_take_results(void *from, pinfold_result **taken, int *n)
{
    struct pool *self = from;
    int code = -ESHUTDOWN;
    if (!gate_enter(&self->gate))
        return code;
    while (*n < TAKE_MOST && (code = pinfold_pool_next(self->pool, &taken[*n])) >= 0)
        ++*n;
    gate_leave(&self->gate);
    return code;
}

static PyObject *pool_take(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct pool *self = (struct pool *)op;
    return undelivered_take(&self->undelivered, binding_of(op), pool_take_results, self);
}

static PyObject *taken(PyObject *op, PyObject *all)
{
    return undelivered_list(&((struct pool *)op)->undelivered, all == Py_True, 0);
}

static PyObject *unclaim(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(undelivered_unclaim(&((struct pool *)op)->undelivered));
}

static PyObject *filenos(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct pool *self = (struct pool *)op;
    if (!gate_enter(&self->gate))
        return raise_closed();
    int fds[] = {pinfold_pool_notify_fd(self->pool), self->wake_fd};
    gate_leave(&self->gate);
    return Py_BuildValue("(ii)", fds[0], fds[1]);
}

static PyObject *pool_poll(PyObject *op, PyObject *args)
{
    struct pool *self = (struct pool *)op;
    int timeout_ms = -1;
    if (!PyArg_ParseTuple(args, "|i:poll", &timeout_ms))
        return NULL;
    int code = -ESHUTDOWN;
    Py_BEGIN_ALLOW_THREADS
    if (gate_enter(&self->gate)) {
        struct pollfd fds[] = {{.fd = pinfold_pool_notify_fd(self->pool), .events = POLLIN},
                               {.fd = self->wake_fd, .events = POLLIN}};
        code = poll(fds, 2, timeout_ms) < 0 ? -errno : 0;
        uint64_t ignored;
        if (code == 0 && fds[1].revents && read(self->wake_fd, &ignored, sizeof ignored) < 0)
            code = 0; /* another thread in poll() has read it */
        gate_leave(&self->gate);
    }
    Py_END_ALLOW_THREADS
    if (code < 0 && code != -ESHUTDOWN && code != -EINTR)
        return raise_errno(code, NULL);
    if (code == -EINTR && PyErr_CheckSignals() < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *pool_wake(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct pool *self = (struct pool *)op;
    if (gate_enter(&self->gate)) {
        wake(self);
        gate_leave(&self->gate);
    }
    Py_RETURN_NONE;
}

static PyObject *pool_watch(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct pool *self = (struct pool *)op;
    int code = 0;
    Py_BEGIN_ALLOW_THREADS
    if (gate_enter(&self->gate)) {
        code = pinfold_pool_watch(self->pool);
        gate_leave(&self->gate);
    }
    Py_END_ALLOW_THREADS
    if (code < 0)
        return raise_errno(code, NULL);
    Py_RETURN_NONE;
}

static PyObject *next_event(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct pool *self = (struct pool *)op;
    pinfold_event event;
    int code = -EAGAIN;
    Py_BEGIN_ALLOW_THREADS
    if (gate_enter(&self->gate)) {
        code = pinfold_pool_next_event(self->pool, &event);
        gate_leave(&self->gate);
    }
    Py_END_ALLOW_THREADS
    if (code == -EAGAIN)
        Py_RETURN_NONE;
    if (code < 0)
        return raise_errno(code, NULL);
    PyObject *values = Py_BuildValue("(IiNss)", (unsigned)event.kind, (int)event.worker_pid,
                                     PyLong_FromVoidPtr(event.tag), event.worker_id, event.reason);
    return figures_new(binding_of(op)->event, values);
}

static PyObject *queue(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return py_queue_new((struct pool *)op);
}

static PyObject *outcomes_of(const pinfold_stats *stats)
{
    PyObject *outcomes = PyDict_New();
    for (uint32_t i = 0; outcomes && i < PINFOLD_OUTCOMES; i++) {
        PyObject *n = PyLong_FromUnsignedLongLong(stats->outcomes[i]);
        if (!n || PyDict_SetItemString(outcomes, pinfold_outcome_name(i), n) < 0)
            Py_CLEAR(outcomes);
        Py_XDECREF(n);
    }
    return outcomes;
}

static PyObject *pool_stats(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct pool *self = (struct pool *)op;
    pinfold_stats stats = {.size = sizeof(stats)};
    int code = -ESHUTDOWN;
    Py_BEGIN_ALLOW_THREADS
    if (gate_enter(&self->gate)) {
        code = pinfold_pool_stats(self->pool, &stats);
        gate_leave(&self->gate);
    }
    Py_END_ALLOW_THREADS
    if (code == -ESHUTDOWN)
        return raise_closed();
    if (code < 0)
        return raise_errno(code, NULL);
    return Py_BuildValue(
        "{sKsNsKsKsIsIsIsIsIsisOsssIsL}", "submitted", (unsigned long long)stats.submitted, "outcomes",
        outcomes_of(&stats), "workers_started", (unsigned long long)stats.workers_started, "templates_started",
        (unsigned long long)stats.templates_started, "queued", (unsigned)stats.queued, "running",
        (unsigned)stats.running, "idle", (unsigned)stats.idle, "starting", (unsigned)stats.starting, "ending",
        (unsigned)stats.ending, "template_pid", (int)stats.template_pid, "spill_in_memory",
        stats.spill_in_memory ? Py_True : Py_False, "spill_kind", stats.spill_kind, "generation",
        (unsigned)stats.generation, "template_start_ns", (long long)stats.template_start_ns);
}

static PyObject *pool_memory(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct pool *self = (struct pool *)op;
    pinfold_memory memory = {.size = sizeof(memory)};
    int code = -ESHUTDOWN;
    Py_BEGIN_ALLOW_THREADS
    if (gate_enter(&self->gate)) {
        code = pinfold_pool_memory(self->pool, &memory);
        gate_leave(&self->gate);
    }
    Py_END_ALLOW_THREADS
    if (code == -ESHUTDOWN)
        return raise_closed();
    if (code < 0)
        return raise_errno(code, NULL);
    PyObject *values =
        Py_BuildValue("(IKKK)", (unsigned)memory.workers, (unsigned long long)memory.pss_kb,
                      (unsigned long long)memory.private_kb, (unsigned long long)memory.private_most_kb);
    return figures_new(binding_of(op)->memory, values);
}

static PyObject *renew(PyObject *op, PyObject *argv)
{
    struct pool *self = (struct pool *)op;
    if (!PyList_Check(argv))
        return PyErr_Format(PyExc_TypeError, "argv must be a list of bytes");
    const char **strings = strings_of(argv);
    if (!strings)
        return NULL;
    int code = -ESHUTDOWN;
    pinfold_error error = {0};
    Py_BEGIN_ALLOW_THREADS
    if (gate_enter(&self->gate)) {
        code = pinfold_pool_renew(self->pool, strings, &error);
        gate_leave(&self->gate);
    }
    Py_END_ALLOW_THREADS
    PyMem_Free(strings);
    if (code < 0)
        return raise_errno(code, &error);
    Py_RETURN_NONE;
}

static PyObject *renewal(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct pool *self = (struct pool *)op;
    int code = -ESHUTDOWN;
    pinfold_error error = {0};
    Py_BEGIN_ALLOW_THREADS
    if (gate_enter(&self->gate)) {
        code = pinfold_pool_renewal(self->pool, &error);
        gate_leave(&self->gate);
    }
    Py_END_ALLOW_THREADS
    if (code < 0 && code != -EINPROGRESS)
        return raise_errno(code, &error);
    return PyBool_FromLong(code == 0);
}

static PyObject *shutdown_pool(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    struct pool *self = (struct pool *)op;
    int code = 0;
    Py_BEGIN_ALLOW_THREADS
    if (gate_enter(&self->gate)) {
        code = pinfold_pool_shutdown(self->pool);
        gate_leave(&self->gate);
    }
    Py_END_ALLOW_THREADS
    if (code < 0)
        return raise_errno(code, NULL);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"wait_ready", wait_ready, METH_O, "wait_ready(timeout_ns): wait until the template serves."},
    {"submit", py_pool_submit, METH_VARARGS,
     "submit(record, segments, queue, key, deadline_ns, wall_ns, bounds)\n\n"
     "Hand a call to the pool and set record.call_id. bounds: output_bytes, result_bytes, memory_bytes, cpu_ns,\n"
     "processes, file_bytes."},
    {"cancel", cancel, METH_O, "cancel(id): cancel the call. False: it has ended already."},
    {"wait", wait_call, METH_VARARGS,
     "wait(id, timeout_ns): wait for the call, add its Result to the undelivered ones, and return taken(). This\n"
     "includes the call's Result if another thread took it."},
    {"queue", queue, METH_NOARGS, "Open one more completion queue."},
    {"take", pool_take, METH_NOARGS,
     "Add the Results of the pool's own queue, at most 64, to the undelivered ones, and return taken()."},
    {"taken", taken, METH_O,
     "taken(all): return the undelivered Results that this thread took or no thread claims; or all. They\n"
     "stay undelivered."},
    {"unclaim", unclaim, METH_NOARGS,
     "Give up the claim on the Results that this thread took. False: no Result is unclaimed now."},
    {"here", py_here, METH_NOARGS | METH_CLASS, "Return the identity of this thread, as claimed() uses it."},
    {"identify", py_identify, METH_O | METH_CLASS,
     "identify(function): make here() return function(), where greenlets replace threads."},
    {"claimed", (PyCFunction)(void (*)(void))py_claimed, METH_FASTCALL | METH_CLASS,
     "claimed(claims, key, function, *args): return function(*args), with claims[key] set to this thread\n"
     "meanwhile. If another call of claimed() has the key, return None without calling the function."},
    {"close_copies", close_copies, METH_NOARGS,
     "In a forked child: close the copy of its descriptor. The library closes its own copies at once."},
    {"poll", pool_poll, METH_VARARGS,
     "poll(timeout_ms=-1): wait for a Result in the pool's own queue, an event, wake() or close()."},
    {"filenos", filenos, METH_NOARGS,
     "Return two descriptors. poll() does not wait while one of them polls readable."},
    {"wake", pool_wake, METH_NOARGS, "End one poll()."},
    {"watch", pool_watch, METH_NOARGS, "Keep events from now on."},
    {"next_event", next_event, METH_NOARGS, "Return the next Event, or None."},
    {"renew", renew, METH_O, "renew(argv): start the next template beside the one that serves."},
    {"renewal", renewal, METH_NOARGS,
     "Return True if the next template took over, or there is none; False if it is still starting.\n"
     "OSError: it was dropped."},
    {"memory", pool_memory, METH_NOARGS, "Return the Memory of the processes."},
    {"stats", pool_stats, METH_NOARGS, "Return pinfold_stats as a dict."},
    {"shutdown", shutdown_pool, METH_NOARGS, "End running and waiting calls, and every process."},
    {"close", pool_close, METH_NOARGS, "Call shutdown(), then release everything. Idempotent."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, pool_new},
    {Py_tp_dealloc, pool_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "A pool of the library. Any thread may use it."},
    {0, NULL},
};

PyType_Spec py_pool_spec = {
    .name = "pinfold._ext._pool.Pool",
    .basicsize = sizeof(struct pool),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
