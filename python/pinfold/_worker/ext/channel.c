/* SPDX-License-Identifier: Apache-2.0 */
/* channel.c - the channel, a worker's end of its socket to the pool: receives calls, sends results. */
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../_wire/segment.h"
#include "base/util.h"
#include "pages.h"
#include "wire/frame.h"
#include "wire/payload.h"
#include "wire/printed.h"
#include "wire/slate.h"

/* Precedes the tail of a CALL. With this offset the segments are aligned in the buffer as in the payload. */
#define BEFORE_TAIL (sizeof(struct pinfold_frame_head) + sizeof(struct pinfold_frame_call))
#define BUFFER_OFFSET (PINFOLD_PAYLOAD_ALIGN - BEFORE_TAIL % PINFOLD_PAYLOAD_ALIGN)

#define SHORT_MS 5 /* pause before a retry when the kernel is short of memory */

#define OPTIONS 84 /* socket options, up to SO_PASSRIGHTS, which is 83 */

/* The state that the kernel keeps of the worker's socket and pipes, besides the status flags. It covers every
 * option, not only those known to matter, because new kernels bring new options. */
struct keeping {
    struct {
        int code; /* errno of getsockopt(2); 0: it has a value */
        socklen_t size;
        uint8_t value[16];
    } options[OPTIONS];
    struct f_owner_ex owners[3];
    int signals[3];
    int pipe_sizes[3];
    socklen_t name_size;
};

/* The memory of one request. */
struct payload {
    PyObject ob_base;
    void *base;
    size_t mapped; /* 0: allocated */
};

struct channel {
    PyObject ob_base;
    pid_t pid; /* the channel's owner: a process that the program forked must not use it */
    bool reused;
    uint64_t call;                   /* received and not answered; 0: none */
    uint32_t cpu_slot;               /* the worker's, as its last call gave it */
    struct rusage own, children;     /* at the start of the call */
    struct pinfold_slate *slate;     /* NULL: no call is handed ahead */
    int held_spill;                  /* the spill that the pool takes from this process; -1: none */
    bool answered;                   /* whether it has answered a call */
    int no_slate;                    /* negative errno of mapping the slate that the pool sent; or 0 */
    uint32_t reads;                  /* on the slate, at the start of the call */
    struct pinfold_printed *printed; /* received and not yet in use */
    int modes[3];                    /* the status flags of the descriptors in kept[] */
    struct keeping *keeping;         /* at the start; NULL: the worker is not reused */
    uint8_t *buffer;
};

/* Descriptors whose status flags a program may change for all later calls. */
static const enum reserved_fd kept[] = {RESERVED_CHANNEL, RESERVED_OUT, RESERVED_ERR};

static void payload_dealloc(PyObject *self)
{
    struct payload *payload = (struct payload *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (payload->mapped)
        munmap(payload->base, payload->mapped);
    else
        free(payload->base);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot payload_slots[] = {
    {Py_tp_dealloc, payload_dealloc},
    {Py_tp_doc, "The memory of one request."},
    {0, NULL},
};

PyType_Spec payload_spec = {
    .name = "pinfold._worker.ext._runtime.Payload",
    .basicsize = sizeof(struct payload),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = payload_slots,
};

/* Exit in a process that the program forked and that returned to the worker's own code: its work is done. */
static void only_the_worker(const struct channel *channel)
{
    if (getpid() != channel->pid)
        _exit(0);
}

static int payload_take(struct payload *payload, struct frame *frame, uint64_t size)
{
    const struct pinfold_frame_call *call = frame->body;
    if (call->flags & PINFOLD_CALL_SPILLED) {
        int r = spill_map(frame->fds[0], size, &payload->base);
        payload->mapped = r < 0 ? 0 : size;
        return r;
    }
    /* Copy it: the next call overwrites the buffer while the program may still hold views of this one. */
    payload->base = aligned_alloc(PINFOLD_PAYLOAD_ALIGN,
                                  (size + PINFOLD_PAYLOAD_ALIGN - 1) & ~(uint64_t)(PINFOLD_PAYLOAD_ALIGN - 1));
    if (!payload->base)
        return -ENOMEM;
    memcpy(payload->base, frame->tail, size);
    return 0;
}

static PyObject *request_views(PyObject *module, struct frame *frame)
{
    struct runtime *runtime = runtime_of(module);
    struct payload *payload = (struct payload *)runtime->payload_type->tp_alloc(runtime->payload_type, 0);
    if (!payload)
        return NULL;
    uint64_t size = ((const struct pinfold_frame_call *)frame->body)->payload_size;
    _cleanup_free_ struct iovec *segments = NULL;
    uint32_t n = 0;
    int r = payload_take(payload, frame, size);
    if (r == 0)
        r = payload_parse(payload->base, size, &segments, &n);
    PyObject *views = r < 0 ? raise_errno(r, "cannot read the request")
                            : segment_views(runtime->segment_type, segments, n, &payload->ob_base);
    Py_DECREF(payload);
    return views;
}

PyObject *payload_map_file(PyObject *module, PyObject *arguments)
{
    int fd;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "in", &fd, &size))
        return NULL;
    struct runtime *runtime = runtime_of(module);
    struct payload *payload = (struct payload *)runtime->payload_type->tp_alloc(runtime->payload_type, 0);
    if (!payload)
        return NULL;
    void *base = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    PyObject *view = NULL;
    if (base == MAP_FAILED) {
        PyErr_SetFromErrno(PyExc_OSError);
    } else {
        payload->base = base;
        payload->mapped = (size_t)size;
        const struct iovec all = {base, (size_t)size};
        view = segment_view(runtime->segment_type, &all, &payload->ob_base);
    }
    Py_DECREF(payload);
    return view;
}

/* Make the peak count from now, not from the start of the process: proc(5), clear_refs. */
static void reset_peak(const struct channel *channel)
{
    if (channel->reused && pwrite(reserved_fd(RESERVED_CLEAR_REFS), "5", 1, 0) < 0)
        return; /* the peak is then that of the worker's life, an upper bound */
}

/* Receive the next call that this worker may begin. Returns as frame_receive; an error with the slate is returned
 * with the first call.
 *
 * It waits in poll, because recvmsg would take a message even while the process is being killed. This way a call
 * handed to a dying worker stays in the socket, where the pool finds it. */
static int next_call(struct channel *channel, struct frame *frame)
{
    for (;;) {
        int r = frame_receive(reserved_fd(RESERVED_CHANNEL), MSG_DONTWAIT, FRAME_FROM_POOL,
                              channel->buffer + BUFFER_OFFSET, frame);
        if (r == -EAGAIN) {
            struct pollfd call = {reserved_fd(RESERVED_CHANNEL), POLLIN, 0};
            if (!channel->answered) /* after its answer a fresh worker only waits for its end */
                pages_copy(call.fd);
            poll(&call, 1, -1);
            continue;
        }
        if (r <= 0 && r != -EMFILE)
            return r;
        const struct pinfold_frame_call *call = frame->body;
        if (frame->head.kind == PINFOLD_FRAME_SLATE && !channel->slate) {
            channel->no_slate = r < 0 ? r : slate_map(frame->fds[0], &channel->slate);
            r = 1;
        } else if (frame->head.kind == PINFOLD_FRAME_PRINTED) {
            if (r > 0) /* else the process's unflushed output is lost with it, and nothing more */
                (void)printed_map(frame->fds[0], &channel->printed);
            r = 1;
        } else if (frame->head.kind == PINFOLD_FRAME_TAKEN)
            close_fd(&channel->held_spill);
        else if (frame->head.kind != PINFOLD_FRAME_CALL)
            r = -EPROTO;
        else if (!(call->flags & PINFOLD_CALL_OFFERED)) {
            if (channel->slate)
                slate_take(channel->slate);
            return r < 0 ? r : channel->no_slate < 0 ? channel->no_slate : 1;
        } else if (channel->slate && slate_begin(channel->slate, call->slot))
            return 1;
        frame_release(frame); /* a slate, a printed buffer, TAKEN, or a call that the pool took back */
        if (r < 0)
            return r;
    }
}

PyDoc_STRVAR(
    receive_doc,
    "receive() -> (call, segments, result_max) or None\n\n"
    "Wait for the next call. None: the pool has no more calls for this worker. The segments are writable\n"
    "memoryviews, aligned to 64 bytes. result_max counts bytes; 0: no bound. OSError: the request cannot\n"
    "be read; `call` is its number.");

static PyObject *channel_receive(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct channel *channel = (struct channel *)self;
    struct frame frame = {.fds = {-1, -1, -1}};
    only_the_worker(channel);
    channel->call = 0;
    PyThreadState *thread = PyEval_SaveThread();
    int r = next_call(channel, &frame);
    PyEval_RestoreThread(thread);
    if (channel->printed)
        printed_share(TAKE_PTR(channel->printed));
    if (r == 0)
        Py_RETURN_NONE;
    /* The call has arrived, but a descriptor or a mapping that belongs to it has not. */
    if (r == -EMFILE || (r < 0 && channel->no_slate < 0)) {
        channel->call = frame.head.id;
        frame_release(&frame);
    }
    if (r < 0)
        return raise_errno(r, "cannot receive a call");

    channel->call = frame.head.id;
    uint64_t result_max = ((const struct pinfold_frame_call *)frame.body)->result_max;
    if (!channel->slate)
        channel->cpu_slot = ((const struct pinfold_frame_call *)frame.body)->slot;
    PyObject *module = PyType_GetModule(Py_TYPE(self));
    PyObject *views = request_views(module, &frame);
    frame_release(&frame);
    if (!views)
        return NULL;
    reset_peak(channel);
    channel->reads = channel->slate ? slate_reads(channel->slate) : 0;
    getrusage(RUSAGE_SELF, &channel->own);
    getrusage(RUSAGE_CHILDREN, &channel->children);
    stack_of_call(channel->call);
    return Py_BuildValue("(KNK)", (unsigned long long)channel->call, views, (unsigned long long)result_max);
}

static uint64_t elapsed_us(struct timeval from, struct timeval to)
{
    return (uint64_t)((to.tv_sec - from.tv_sec) * 1000000 + (to.tv_usec - from.tv_usec));
}

static void measure(const struct channel *channel, struct pinfold_frame_result *result)
{
    struct rusage own, children;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    result->user_us = elapsed_us(channel->own.ru_utime, own.ru_utime) +
                      elapsed_us(channel->children.ru_utime, children.ru_utime);
    result->sys_us = elapsed_us(channel->own.ru_stime, own.ru_stime) +
                     elapsed_us(channel->children.ru_stime, children.ru_stime);
    const uint64_t apart_kb = collector_take_peak_kb();
    result->peak_kb = apart_kb > (uint64_t)own.ru_maxrss ? apart_kb : (uint64_t)own.ru_maxrss;
}

/* The worker is a subreaper: while it has no child, the call has left no process behind. Reap unwaited zombies
 * here, since they need no sweep. */
static bool has_children(void)
{
    for (;;) {
        siginfo_t dead = {.si_pid = 0};
        if (waitid(P_ALL, 0, &dead, WEXITED | WNOHANG | __WALL) < 0)
            return errno != ECHILD;
        if (dead.si_pid == 0)
            return true;
    }
}

/* Send the result, waiting for room: the pool may be slow to read, and the kernel may be short of memory. */
static int send_patiently(const struct channel *channel, const struct pinfold_frame_result *result, void *inlined,
                          int spill)
{
    struct iovec tail = {inlined, result->payload_size};
    if (result->flags & PINFOLD_RESULT_SPILLED)
        tail.iov_len = 0;
    else if (result->flags & PINFOLD_RESULT_HELD)
        tail = (struct iovec){(void *)&channel->held_spill, sizeof(channel->held_spill)};
    for (;;) {
        int r = frame_send(reserved_fd(RESERVED_CHANNEL), PINFOLD_FRAME_RESULT, channel->call, result, &tail,
                           tail.iov_len > 0, &spill, spill >= 0);
        if (!frame_may_yet_go(r))
            return r;
        struct pollfd room = {reserved_fd(RESERVED_CHANNEL), r == -EAGAIN ? POLLOUT : 0, 0};
        poll(&room, 1, r == -EAGAIN ? -1 : SHORT_MS);
    }
}

/* Return whether the call printed nothing: its pipes are empty, and nobody has read from them. */
static bool is_quiet(const struct channel *channel)
{
    int out = 1, err = 1;
    return ioctl(reserved_fd(RESERVED_OUT), FIONREAD, &out) == 0 && out == 0 &&
           ioctl(reserved_fd(RESERVED_ERR), FIONREAD, &err) == 0 && err == 0 &&
           slate_is_quiet(channel->slate, channel->reads);
}

/* Undo O_NONBLOCK and O_ASYNC, which a program sets for its own use only. This precedes the answer, because the
 * next event on the socket is the next call. */
static void restore_modes(const struct channel *channel)
{
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        int now = fcntl(reserved_fd(kept[i]), F_GETFL);
        if (now >= 0 && now != channel->modes[i])
            fcntl(reserved_fd(kept[i]), F_SETFL, channel->modes[i]);
    }
}

/* Return false for options that are not settings: they change by themselves, or reading them has an effect
 * (SO_PEERPIDFD makes a descriptor). */
static bool is_setting(int option)
{
    static const int others[] = {SO_ERROR, SO_PEERSEC, 49, 55, 56, 57, 77};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (option == others[i])
            return false;
    return true;
}

static void read_keeping(struct keeping *keeping)
{
    const int channel = reserved_fd(RESERVED_CHANNEL);
    memset(keeping, 0, sizeof(*keeping));
    for (int option = 1; option < OPTIONS; option++) {
        if (!is_setting(option))
            continue;
        /* Of a filter read the length only: a nonzero size counts instructions. */
        socklen_t size = option == SO_GET_FILTER ? 0 : sizeof(keeping->options[option].value);
        if (getsockopt(channel, SOL_SOCKET, option, keeping->options[option].value, &size) < 0)
            keeping->options[option].code = errno;
        keeping->options[option].size = size;
    }
    struct sockaddr_storage name;
    keeping->name_size = sizeof(name);
    getsockname(channel, (struct sockaddr *)&name, &keeping->name_size);
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        keeping->signals[i] = fcntl(reserved_fd(kept[i]), F_GETSIG);
        keeping->pipe_sizes[i] = fcntl(reserved_fd(kept[i]), F_GETPIPE_SZ);
        fcntl(reserved_fd(kept[i]), F_GETOWN_EX, &keeping->owners[i]);
    }
}

PyDoc_STRVAR(is_intact_doc,
             "is_intact()\n--\n\n"
             "Return whether the socket and the pipes are as before the first call, in all but the status flags,\n"
             "which send() puts back.");

static PyObject *channel_is_intact(PyObject *self, PyObject *unused)
{
    (void)unused;
    const struct channel *channel = (struct channel *)self;
    struct keeping now;
    if (!channel->keeping)
        Py_RETURN_TRUE;
    read_keeping(&now);
    return PyBool_FromLong(memcmp(&now, channel->keeping, sizeof(now)) == 0);
}

/* proc(5), /proc/[pid]/timers: one line for each timer of timer_create(2). No library records who made them. */
static bool has_timers(void)
{
    char line;
    return pread(reserved_fd(RESERVED_TIMERS), &line, 1, 0) > 0;
}

/* Let a call handed ahead begin only if nothing of this one is left, nor waits for the pool to take it. */
static void go_on_or_wait(const struct channel *channel, struct pinfold_frame_result *result)
{
    if (!channel->slate)
        return;
    if (!(result->flags & (PINFOLD_RESULT_RETIRE | PINFOLD_RESULT_CHILDREN | PINFOLD_RESULT_HELD)) &&
        is_quiet(channel))
        result->flags |= PINFOLD_RESULT_QUIET;
    else
        slate_close(channel->slate);
}

static int write_spill(uint32_t *flags, const struct iovec *segments, uint32_t n, int *ret_fd, uint64_t *ret_size,
                       pinfold_error *error)
{
    int r = spill_write(&runtime_spills, segments, n, ret_fd, ret_size, error);
    if (r < 0 && runtime_restore_spills())
        r = spill_write(&runtime_spills, segments, n, ret_fd, ret_size, error);
    if (r == -EMFILE) {
        /* The program has used up its descriptors. Closing RESERVED_OUT and RESERVED_ERR frees two for the spill.
         * If the limit is so low that they lie above it, closing standard streams, no longer needed, does. */
        reserved_close(RESERVED_OUT, RESERVED_ERR);
        close(STDIN_FILENO);
        close(STDOUT_FILENO);
        *flags |= PINFOLD_RESULT_RETIRE;
        r = spill_write(&runtime_spills, segments, n, ret_fd, ret_size, error);
    }
    return r;
}

/* Point the standard streams where the next call expects them, whatever this call did to them. */
void channel_restore_streams(void)
{
    dup2(reserved_fd(RESERVED_IN), STDIN_FILENO);
    dup2(reserved_fd(RESERVED_OUT), STDOUT_FILENO);
    dup2(reserved_fd(RESERVED_ERR), STDERR_FILENO);
}

/* Send the result. 0; or -1 with an exception set, and the call is not answered. */
static int send_segments(struct channel *channel, struct pinfold_frame_result *result,
                         const struct iovec *segments, uint32_t n, uint64_t result_max)
{
    int r = payload_size(segments, n, &result->payload_size);
    if (r < 0) {
        raise_errno(r, "cannot lay out the result");
        return -1;
    }
    if (result_max && result->status == PINFOLD_STATUS_OK && result->payload_size > result_max) {
        PyErr_Format(PyExc_OverflowError, "the result takes %llu bytes, and at most %llu are allowed",
                     (unsigned long long)result->payload_size, (unsigned long long)result_max);
        return -1;
    }
    _Alignas(PINFOLD_PAYLOAD_ALIGN) static uint8_t inlined[PINFOLD_PAYLOAD_INLINE_MAX];
    _cleanup_close_ int spill = -1;
    if (result->payload_size <= sizeof(inlined)) {
        payload_copy(inlined, segments, n);
    } else {
        pinfold_error error;
        r = write_spill(&result->flags, segments, n, &spill, &result->payload_size, &error);
        if (r < 0) {
            PyObject *text = PyUnicode_DecodeUTF8(error.text, (Py_ssize_t)strlen(error.text), "backslashreplace");
            PyObject *arguments = text ? Py_BuildValue("(iN)", -r, text) : NULL;
            if (arguments)
                PyErr_SetObject(PyExc_OSError, arguments);
            Py_XDECREF(arguments);
            return -1;
        }
        if (runtime_spills.kind == SPILL_MEMFD) {
            channel->held_spill = TAKE_FD(spill);
            result->flags |= PINFOLD_RESULT_HELD;
        } else {
            result->flags |= PINFOLD_RESULT_SPILLED;
        }
    }
    if (has_children())
        result->flags |= PINFOLD_RESULT_CHILDREN;
    measure(channel, result);
    if (channel->reused) {
        restore_modes(channel);
        result->flags |= has_timers() ? PINFOLD_RESULT_RETIRE : 0;
    }
    go_on_or_wait(channel, result);
    stack_of_call(0);
    r = send_patiently(channel, result, inlined, spill);
    if (r < 0) /* the pool is gone; or the program closed the channel, and its exit is the result */
        _exit(result->status == PINFOLD_STATUS_ENDED ? result->ended : result->status == PINFOLD_STATUS_EXCEPTION);
    channel->call = 0;
    channel->answered = true;
    /* After its last call, the held spill may have the number of a standard stream. */
    if (channel->reused && !(result->flags & PINFOLD_RESULT_RETIRE))
        channel_restore_streams();
    return 0;
}

/* End the process once the pool has taken the held spill: it then kills this process or hangs up. */
static _Noreturn void channel_end(const struct channel *channel)
{
    struct pollfd pool = {reserved_fd(RESERVED_CHANNEL), POLLRDHUP, 0};
    while (channel->held_spill >= 0 && poll(&pool, 1, -1) <= 0)
        ;
    _exit(0);
}

PyDoc_STRVAR(
    send_doc,
    "send(call, status, segments, flags, result_max, last, ended=0)\n\n"
    "Answer the call. `segments` is a list of contiguous buffers. OverflowError: a value (status 0) takes\n"
    "more than result_max bytes. OSError: it does not fit on the disk. After either the call is not\n"
    "answered yet. If `last`, the process ends here, at once. `ended` is how the call's process ended.");

static PyObject *channel_send(PyObject *self, PyObject *arguments)
{
    struct channel *channel = (struct channel *)self;
    only_the_worker(channel);
    unsigned long long call, result_max;
    unsigned status, flags;
    int last, ended = 0;
    PyObject *sequence;
    if (!PyArg_ParseTuple(arguments, "KIOIKp|i", &call, &status, &sequence, &flags, &result_max, &last, &ended))
        return NULL;
    if (call == 0 || call != channel->call || status >= PINFOLD_STATUSES ||
        (flags & ~(PINFOLD_RESULT_RETIRE | PINFOLD_RESULT_CHILDREN))) {
        PyErr_SetString(PyExc_ValueError, "not an answer to the call that was received");
        return NULL;
    }
    PyObject *items = PySequence_Fast(sequence, "segments must be a sequence");
    if (!items)
        return NULL;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(items), held = 0;
    Py_buffer *views = PyMem_Calloc((size_t)n + 1, sizeof(*views));
    struct iovec *segments = PyMem_Calloc((size_t)n + 1, sizeof(*segments));
    if (!views || !segments)
        PyErr_NoMemory();
    for (; !PyErr_Occurred() && held < n; held++) {
        if (PyObject_GetBuffer(PySequence_Fast_GET_ITEM(items, held), &views[held], PyBUF_SIMPLE) < 0)
            break;
        segments[held] = (struct iovec){views[held].buf, (size_t)views[held].len};
    }
    if (!PyErr_Occurred()) {
        struct pinfold_frame_result result = {
            .status = status, .flags = flags, .ended = status == PINFOLD_STATUS_ENDED ? ended : 0};
        printed_flush(true);
        if (send_segments(channel, &result, segments, (uint32_t)n, result_max) == 0 && last)
            channel_end(channel);
    }
    while (held > 0)
        PyBuffer_Release(&views[--held]);
    PyMem_Free(segments);
    PyMem_Free(views);
    Py_DECREF(items);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    note_doc,
    "note(text)\n\n"
    "Send the caller at most 60000 bytes besides the result that follows. The note is lost if it cannot be\n"
    "sent at once.");

static PyObject *channel_note(PyObject *self, PyObject *text)
{
    const struct channel *channel = (struct channel *)self;
    char *bytes;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(text, &bytes, &size) < 0)
        return NULL;
    if (size > PINFOLD_NOTE_MAX)
        return PyErr_Format(PyExc_ValueError, "a note has at most %u bytes", PINFOLD_NOTE_MAX);
    struct iovec tail = {bytes, (size_t)size};
    int r = frame_send(reserved_fd(RESERVED_CHANNEL), PINFOLD_FRAME_NOTE, channel->call, NULL, &tail, 1, NULL, 0);
    if (r < 0 && !frame_may_yet_go(r))
        return raise_errno(r, "cannot send a note");
    Py_RETURN_NONE;
}

static PyObject *channel_call(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((struct channel *)self)->call);
}

static PyObject *channel_cpu_slot(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(((struct channel *)self)->cpu_slot);
}

static void channel_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    free(((struct channel *)self)->buffer);
    free(((struct channel *)self)->keeping);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef channel_methods[] = {
    {"receive", channel_receive, METH_NOARGS, receive_doc},
    {"is_intact", channel_is_intact, METH_NOARGS, is_intact_doc},
    {"note", channel_note, METH_O, note_doc},
    {"send", channel_send, METH_VARARGS, send_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef channel_attributes[] = {
    {"call", channel_call, NULL, "The call that was received and not answered yet; 0: none.", NULL},
    {"cpu_slot", channel_cpu_slot, NULL, "The worker's CPU slot, from 1, as the last call gave it; 0: none.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot channel_slots[] = {
    {Py_tp_dealloc, channel_dealloc},
    {Py_tp_methods, channel_methods},
    {Py_tp_getset, channel_attributes},
    {Py_tp_doc, "A worker's end of its socket to the pool."},
    {0, NULL},
};

PyType_Spec channel_spec = {
    .name = "pinfold._worker.ext._runtime.Channel",
    .basicsize = sizeof(struct channel),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = channel_slots,
};

PyObject *channel_new(PyObject *module, bool reused)
{
    PyTypeObject *type = runtime_of(module)->channel_type;
    struct channel *channel = (struct channel *)type->tp_alloc(type, 0);
    if (!channel)
        return NULL;
    channel->pid = getpid();
    channel->reused = reused;
    channel->held_spill = -1;
    channel->buffer = aligned_alloc(PINFOLD_PAYLOAD_ALIGN, PINFOLD_FRAME_MAX + PINFOLD_PAYLOAD_ALIGN);
    int r = channel->buffer ? reserved_renew() : -ENOMEM;
    if (r == 0 && reused) {
        /* RESERVED_IN already holds /dev/null. */
        r = reserved_copy(RESERVED_OUT, STDOUT_FILENO);
        if (r == 0)
            r = reserved_copy(RESERVED_ERR, STDERR_FILENO);
        int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
        if (fd >= 0)
            reserved_put(RESERVED_CLEAR_REFS, fd);
        fd = open("/proc/self/timers", O_RDONLY | O_CLOEXEC); /* CONFIG_CHECKPOINT_RESTORE */
        if (fd >= 0)
            reserved_put(RESERVED_TIMERS, fd);
        for (size_t i = 0; i < COUNT_OF(kept); i++)
            channel->modes[i] = fcntl(reserved_fd(kept[i]), F_GETFL);
        channel->keeping = malloc(sizeof(*channel->keeping));
        if (channel->keeping)
            read_keeping(channel->keeping);
        else
            r = -ENOMEM;
    }
    stack_of_worker();
    if (r < 0) {
        Py_DECREF(channel);
        return raise_errno(r, "cannot set up a worker");
    }
    return &channel->ob_base;
}
