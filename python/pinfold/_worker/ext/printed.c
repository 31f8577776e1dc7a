/* SPDX-License-Identifier: Apache-2.0 */
/* printed.c - keeps a worker's unflushed output in the printed buffer (printed.h), memory shared with the pool, so
 * that none of it is lost with the process.
 *
 * sys.stdout and sys.stderr are each a write-through TextIOWrapper over a BufferedWriter whose buffer is the
 * printed buffer. That costs a print two calls more than usual. So the text layer has a shortcut: text whose
 * encoded form is in the str already goes straight to the buffer.
 *
 * A process that a call forks uses a buffer in its own memory, and writes at each line, because its unflushed
 * output would be lost with it.
 *
 * For a program (*exact*) the streams keep the sizes and the two layers of the interpreter's own, because these show:
 * in the order of print(), sys.stdout.buffer and os.write(), in what a fork duplicates and in what os._exit() loses.
 *
 *     begin          text            end
 *     ----|-----------|---------------|----      bytes in the buffer | pending text
 *
 * A write through the buffer goes before the pending text.
 *
 * C's stdio stays as it is, because programs replace its buffer (freopen, setvbuf). Its buffered bytes are copied
 * before a foreseeable death. That copy takes no lock, because the program may be inside stdio.
 */
#include "runtime.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/util.h"
#include "wire/printed.h"

/* Our types append these to the structs of their bases, whose sizes only the interpreter knows. A process has two
 * or three objects of each type and never frees what they own. */
struct writer {
    int stream;
    bool detached;
    PyObject *raw;
    PyGetSetDef *closed;
};

struct text {
    PyObject *writer;
    bool direct;  /* the shortcut applies: no encoding needed for ASCII, no newline translation */
    bool utf8;    /* the shortcut applies to all text */
    bool by_line; /* line_buffering */
    bool odd;     /* newlines may be translated */
    bool through; /* write_through, as the program set it */
};

static struct pinfold_printed own; /* for the template, and for processes that the program forks */
static struct pinfold_printed *printed = &own;
static struct pinfold_printed *shared_with_pool; /* NULL: none came yet */
static bool by_line;

/* As in the interpreter: TextIOWrapper's chunk, and the buffer of a file, which is st_blksize of a pipe. */
#define EXACT_TEXT 8192u
#define EXACT_BUFFER 4096u

static bool exact;
static bool whole_at_once; /* this interpreter writes as much as the buffer holds past the buffer */
static bool text_joined;   /* it adds a text that overfills the chunk to the pending text, and writes both */
static uint32_t pending[PINFOLD_PRINTED_STREAMS]; /* bytes of text before `end` */

/* Held during each write(2), which runs without the GIL. Waiters release the GIL, so that the holder proceeds. */
static pthread_mutex_t locks[PINFOLD_PRINTED_STREAMS] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};

/* Copy what a fork duplicates, before it: the parent writes on in the shared memory. */
static void ahead_of_fork(void)
{
    for (int stream = 0; exact && printed != &own && stream < PINFOLD_PRINTED_STREAMS; stream++) {
        const struct pinfold_printed_stream *now = &printed->streams[stream];
        const uint32_t n = now->end > now->begin ? now->end - now->begin : 0;
        memcpy(own.bytes[stream], printed->bytes[stream] + now->begin, n);
        own.streams[stream].begin = 0;
        own.streams[stream].end = n;
    }
}

static void in_fork(void)
{
    for (int stream = 0; stream < PINFOLD_PRINTED_STREAMS; stream++) {
        if (!exact)
            own.streams[stream].begin = own.streams[stream].end = 0;
        own.streams[stream].writing = 0;
        locks[stream] = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    }
    printed = &own;
    by_line = !exact;
}

static void lock(int stream)
{
    if (pthread_mutex_trylock(&locks[stream]) == 0)
        return;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&locks[stream]);
    Py_END_ALLOW_THREADS
}

static void unlock(int stream)
{
    pthread_mutex_unlock(&locks[stream]);
}

static int fd_of(int stream)
{
    return stream == PINFOLD_PRINTED_OUT ? STDOUT_FILENO : STDERR_FILENO;
}

static ssize_t write_now(int stream, const char *bytes, size_t n)
{
    ssize_t got;
    int code;
    Py_BEGIN_ALLOW_THREADS
    got = write(fd_of(stream), bytes, n);
    code = errno;
    Py_END_ALLOW_THREADS
    return got < 0 ? -code : got;
}

/* Return how much of `left` a pipe takes whole or not at all: PINFOLD_PRINTED_PIECE at any time, all of it when
 * the pipe is empty. Larger writes wake the pool less often. */
static uint32_t whole(int stream, uint32_t left)
{
    int unread;
    if (left <= PINFOLD_PRINTED_PIECE || (ioctl(fd_of(stream), FIONREAD, &unread) == 0 && unread == 0))
        return left;
    return PINFOLD_PRINTED_PIECE;
}

/* Write the bytes before the pending text. The caller holds the lock. */
static int drain(int stream)
{
    struct pinfold_printed_stream *now = &printed->streams[stream];
    while (now->begin + pending[stream] < now->end) {
        now->writing = whole(stream, now->end - now->begin - pending[stream]);
        ssize_t got = write_now(stream, printed->bytes[stream] + now->begin, now->writing);
        if (got > 0)
            now->begin += (uint32_t)got;
        now->writing = 0;
        if (got < 0)
            return (int)got;
    }
    if (pending[stream])
        memmove(printed->bytes[stream], printed->bytes[stream] + now->begin, pending[stream]);
    now->end = pending[stream]; /* before `begin`: a stream that ends before it begins is empty */
    now->begin = 0;
    return 0;
}

/* Handle a failed write as the interpreter does: signal handlers may raise. 0, or -1 with an exception set. */
static int after(int stream, int r)
{
    (void)stream;
    if (r == -EINTR)
        return PyErr_CheckSignals();
    errno = -r;
    if (r == -EAGAIN) {
        PyObject *error = PyObject_CallFunction(PyExc_BlockingIOError, "isi", EAGAIN,
                                                "write could not complete without blocking", 0);
        if (error)
            PyErr_SetObject(PyExc_BlockingIOError, error);
        Py_XDECREF(error);
    } else {
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return -1;
}

static int flush_stream(int stream)
{
    int r;
    do {
        lock(stream);
        r = drain(stream);
        unlock(stream);
    } while (r < 0 && after(stream, r) == 0);
    return r < 0 ? -1 : 0;
}

/* Return how many bytes the interpreter's own buffer would still hold. */
static uint32_t exact_room(int stream)
{
    const struct pinfold_printed_stream *now = &printed->streams[stream];
    const uint32_t buffered = now->end - now->begin - pending[stream];
    return buffered < EXACT_BUFFER ? EXACT_BUFFER - buffered : 0;
}

static bool exact_fits(int stream, size_t n)
{
    return n <= exact_room(stream) && !(whole_at_once && n == EXACT_BUFFER);
}

static bool exact_passes(size_t n)
{
    return whole_at_once ? n >= EXACT_BUFFER : n > EXACT_BUFFER;
}

/* Make sure that the memory has room, which other threads may have used up during a write. */
static int exact_reserve(int stream, size_t n)
{
    while (n > PINFOLD_PRINTED_BYTES - printed->streams[stream].end)
        if (flush_stream(stream) < 0)
            return -1;
    return 0;
}

/* Write, past the buffer, bytes that do not fit in it. */
static int write_through(int stream, const char *bytes, size_t n)
{
    while (n > 0) {
        lock(stream);
        ssize_t r = drain(stream);
        while (r >= 0 && n > 0 && (r = write_now(stream, bytes, n)) > 0) {
            bytes += r;
            n -= (size_t)r;
        }
        unlock(stream);
        if (r < 0 && after(stream, (int)r) < 0)
            return -1;
    }
    return 0;
}

/* Put bytes into the buffer, before the pending text. They fit. */
static void insert(int stream, const char *bytes, size_t n)
{
    struct pinfold_printed_stream *now = &printed->streams[stream];
    char *text = printed->bytes[stream] + now->end - pending[stream];
    memmove(text + n, text, pending[stream]);
    memcpy(text, bytes, n);
    now->end += (uint32_t)n;
}

/* Write as BufferedWriter.write() does (Modules/_io/bufferedio.c). */
static int exact_put(int stream, const char *bytes, size_t n)
{
    if (!exact_fits(stream, n) && flush_stream(stream) < 0)
        return -1;
    while (exact_passes(n)) {
        lock(stream);
        ssize_t r = write_now(stream, bytes, n);
        unlock(stream);
        if (r < 0 && after(stream, (int)r) < 0)
            return -1;
        bytes += r > 0 ? r : 0;
        n -= r > 0 ? (size_t)r : 0;
    }
    if (exact_reserve(stream, n) < 0)
        return -1;
    insert(stream, bytes, n);
    return 0;
}

/* Move the pending text to the buffer, as TextIOWrapper does before it flushes that. Text that cannot be written is
 * lost, as in the interpreter. */
static int move_text(int stream)
{
    struct pinfold_printed_stream *now = &printed->streams[stream];
    const uint32_t n = pending[stream];
    const bool fits = exact_fits(stream, n);
    int r = fits ? 0 : flush_stream(stream);
    if (r < 0)
        now->end -= n;
    pending[stream] = 0;
    if (r < 0 || fits || !exact_passes(n))
        return r;
    r = flush_stream(stream);
    if (r < 0)
        now->end = now->begin;
    return r;
}

/* Write text as TextIOWrapper.write() does (Modules/_io/textio.c). */
static int exact_text(int stream, const char *bytes, size_t n, bool through)
{
    if ((text_joined ? n >= EXACT_TEXT : pending[stream] + n > EXACT_TEXT) && move_text(stream) < 0)
        return -1;
    if (n >= EXACT_TEXT)
        return exact_put(stream, bytes, n);
    if (exact_reserve(stream, n) < 0)
        return -1;
    struct pinfold_printed_stream *now = &printed->streams[stream];
    memcpy(printed->bytes[stream] + now->end, bytes, n);
    pending[stream] += (uint32_t)n;
    now->end += (uint32_t)n;
    return through || pending[stream] >= EXACT_TEXT ? move_text(stream) : 0;
}

static int stream_put(int stream, const char *bytes, size_t n)
{
    if (exact)
        return exact_put(stream, bytes, n);
    if (n >= PINFOLD_PRINTED_BYTES)
        return write_through(stream, bytes, n);
    uint32_t end; /* moved on only by threads with the GIL */
    while (n > PINFOLD_PRINTED_BYTES -
                   (end = atomic_load_explicit(&printed->streams[stream].end, memory_order_relaxed)))
        if (flush_stream(stream) < 0)
            return -1;
    memcpy(printed->bytes[stream] + end, bytes, n);
    atomic_store_explicit(&printed->streams[stream].end, end + (uint32_t)n, memory_order_release);
    return by_line && memrchr(bytes, '\n', n) ? flush_stream(stream) : 0;
}

static void *beyond_base(PyObject *self)
{
    return (char *)self + Py_TYPE(self)->tp_base->tp_basicsize;
}

static struct writer *writer_of(PyObject *self)
{
    return beyond_base(self);
}

static PyObject *writer_closed(PyObject *self, void *unused)
{
    (void)unused;
    struct writer *writer = writer_of(self);
    if (writer->detached)
        return PyErr_Format(PyExc_ValueError, "raw stream has been detached");
    return writer->closed->get(writer->raw, writer->closed->closure);
}

/* Raise ValueError unless the stream is open. 0, or -1 with an exception set. */
static int expect_open(PyObject *self, const char *doing)
{
    PyObject *closed = writer_closed(self, NULL);
    Py_XDECREF(closed);
    if (closed == Py_True)
        PyErr_Format(PyExc_ValueError, "%s closed file", doing);
    return closed == Py_False ? 0 : -1;
}

static PyObject *writer_write(PyObject *self, PyObject *data)
{
    const int stream = writer_of(self)->stream;
    if (expect_open(self, "write to") < 0)
        return NULL;
    if (PyBytes_CheckExact(data)) { /* what the text layer passes */
        const Py_ssize_t n = PyBytes_GET_SIZE(data);
        return stream_put(stream, PyBytes_AS_STRING(data), (size_t)n) < 0 ? NULL : PyLong_FromSsize_t(n);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *size = stream_put(stream, view.buf, (size_t)view.len) < 0 ? NULL : PyLong_FromSsize_t(view.len);
    PyBuffer_Release(&view);
    return size;
}

static PyObject *writer_flush(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (expect_open(self, "flush of") < 0 || flush_stream(writer_of(self)->stream) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *of_base(PyObject *self, const char *name, PyObject *arguments)
{
    PyObject *method = PyObject_GetAttrString((PyObject *)Py_TYPE(self)->tp_base, name);
    PyObject *bound = method ? PyTuple_Pack(1, self) : NULL;
    PyObject *all = bound ? PySequence_Concat(bound, arguments) : NULL;
    PyObject *result = all ? PyObject_CallObject(method, all) : NULL;
    Py_XDECREF(all);
    Py_XDECREF(bound);
    Py_XDECREF(method);
    return result;
}

static PyObject *flush_then(PyObject *self, const char *name, PyObject *arguments)
{
    PyObject *flushed = writer_flush(self, NULL);
    Py_XDECREF(flushed);
    return flushed ? of_base(self, name, arguments) : NULL;
}

static PyObject *writer_tell(PyObject *self, PyObject *arguments)
{
    return flush_then(self, "tell", arguments);
}

static PyObject *writer_seek(PyObject *self, PyObject *arguments)
{
    return flush_then(self, "seek", arguments);
}

static PyObject *writer_truncate(PyObject *self, PyObject *arguments)
{
    return flush_then(self, "truncate", arguments);
}

static PyObject *writer_detach(PyObject *self, PyObject *arguments)
{
    PyObject *raw = of_base(self, "detach", arguments);
    writer_of(self)->detached |= raw != NULL;
    return raw;
}

static PyMethodDef writer_methods[] = {
    {"write", writer_write, METH_O, NULL},
    {"flush", writer_flush, METH_NOARGS, NULL},
    {"tell", writer_tell, METH_VARARGS, NULL},
    {"seek", writer_seek, METH_VARARGS, NULL},
    {"truncate", writer_truncate, METH_VARARGS, NULL},
    {"detach", writer_detach, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef writer_attributes[] = {
    {"closed", writer_closed, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot writer_slots[] = {
    {Py_tp_methods, writer_methods},
    {Py_tp_getset, writer_attributes},
    {0, NULL},
};

static PyObject *text_of_base(PyObject *self, const char *name, PyObject *arguments, PyObject *keywords)
{
    PyObject *method = PyObject_GetAttrString((PyObject *)Py_TYPE(self)->tp_base, name);
    PyObject *bound = method ? Py_TYPE(method)->tp_descr_get(method, self, (PyObject *)Py_TYPE(self)) : NULL;
    PyObject *result = bound ? PyObject_Call(bound, arguments, keywords) : NULL;
    Py_XDECREF(bound);
    Py_XDECREF(method);
    return result;
}

/* Return the text as it is to be written, or NULL if the base must encode it. Never sets an exception. */
static const char *encoded(const struct text *text, PyObject *string, Py_ssize_t *ret_n)
{
    if (!text->direct || !PyUnicode_CheckExact(string))
        return NULL;
    if (PyUnicode_IS_COMPACT_ASCII(string)) {
        *ret_n = PyUnicode_GET_LENGTH(string);
        return PyUnicode_DATA(string);
    }
    if (!text->utf8 ||
        PyUnicode_GET_LENGTH(string) > PINFOLD_PRINTED_PIECE) /* the string would cache its encoded form */
        return NULL;
    const char *bytes = PyUnicode_AsUTF8AndSize(string, ret_n);
    if (!bytes)
        PyErr_Clear();
    return bytes;
}

/* Put text into the stream; flush it if it is flushed by line. 0, or -1 with an exception set. */
static int text_put(const struct text *text, const char *bytes, size_t n)
{
    const int stream = writer_of(text->writer)->stream;
    if ((exact ? exact_text(stream, bytes, n, text->through) : stream_put(stream, bytes, n)) < 0)
        return -1;
    if (!text->by_line || !(memchr(bytes, '\n', n) || memchr(bytes, '\r', n)))
        return 0;
    return exact && move_text(stream) < 0 ? -1 : flush_stream(stream);
}

/* Encode and put text for which there is no shortcut, but whose encoding is known. */
static int text_encode(PyObject *self, PyObject *string)
{
    PyObject *encoding = PyObject_GetAttrString(self, "encoding");
    PyObject *errors = encoding ? PyObject_GetAttrString(self, "errors") : NULL;
    PyObject *bytes = NULL;
    if (errors && PyUnicode_Check(encoding) && PyUnicode_Check(errors))
        bytes = PyUnicode_AsEncodedString(string, PyUnicode_AsUTF8(encoding), PyUnicode_AsUTF8(errors));
    int r = bytes ? text_put(beyond_base(self), PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)) : -1;
    Py_XDECREF(bytes);
    Py_XDECREF(errors);
    Py_XDECREF(encoding);
    return r;
}

static bool text_is_open(const struct text *text)
{
    PyObject *closed = writer_closed(text->writer, NULL);
    if (!closed)
        PyErr_Clear();
    Py_XDECREF(closed);
    return closed == Py_False;
}

/* Let the base write, after the text that is here already. */
static PyObject *text_write_by_base(PyObject *self, PyObject *string)
{
    const struct text *text = beyond_base(self);
    if (exact && text->writer && text_is_open(text) && move_text(writer_of(text->writer)->stream) < 0)
        return NULL;
    PyObject *arguments = PyTuple_Pack(1, string);
    PyObject *result = arguments ? text_of_base(self, "write", arguments, NULL) : NULL;
    Py_XDECREF(arguments);
    return result;
}

static PyObject *text_write(PyObject *self, PyObject *string)
{
    const struct text *text = beyond_base(self);
    const bool known = text->direct && PyUnicode_Check(string) && text_is_open(text);
    Py_ssize_t n = 0;
    const char *bytes = known ? encoded(text, string, &n) : NULL;
    if (!bytes && !(known && exact))
        return text_write_by_base(self, string);
    if ((bytes ? text_put(text, bytes, (size_t)n) : text_encode(self, string)) < 0)
        return NULL;
    return PyLong_FromSsize_t(PyUnicode_GET_LENGTH(string));
}

static PyObject *text_flush(PyObject *self, PyObject *arguments)
{
    const struct text *text = beyond_base(self);
    if (!text->writer || !text_is_open(text))
        return text_of_base(self, "flush", arguments, NULL);
    const int stream = writer_of(text->writer)->stream;
    if (exact && move_text(stream) < 0)
        return NULL;
    if (!text->direct)
        return text_of_base(self, "flush", arguments, NULL);
    if (flush_stream(stream) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* Return the base's attribute, or NULL with an exception set. */
static PyObject *attribute_of_base(PyObject *self, const char *name)
{
    PyObject *descriptor = PyDict_GetItemString(Py_TYPE(self)->tp_base->tp_dict, name); /* borrowed */
    if (!descriptor)
        return PyErr_Format(PyExc_AttributeError, "%s", name);
    return Py_TYPE(descriptor)->tp_descr_get(descriptor, self, (PyObject *)Py_TYPE(self));
}

static PyObject *text_write_through(PyObject *self, void *unused)
{
    (void)unused;
    const struct text *text = beyond_base(self);
    return exact ? PyBool_FromLong(text->through) : attribute_of_base(self, "write_through");
}

static bool is_true(PyObject *self, const char *name)
{
    PyObject *value = attribute_of_base(self, name);
    const bool truth = value && PyObject_IsTrue(value) == 1;
    PyErr_Clear();
    Py_XDECREF(value);
    return truth;
}

/* Use the shortcut only if the stream's attributes say that it does the same as the base. */
static void look_at_text(PyObject *self)
{
    static const char *const supersets[] = {"utf-8",   "utf8",       "ascii",    "us-ascii",
                                            "latin-1", "iso-8859-1", "iso8859-1"};
    struct text *text = beyond_base(self);
    PyObject *encoding = PyObject_GetAttrString(self, "encoding");
    const char *name = encoding && PyUnicode_Check(encoding) ? PyUnicode_AsUTF8(encoding) : NULL;
    bool superset = false;
    for (size_t i = 0; name && i < COUNT_OF(supersets); i++)
        superset |= strcasecmp(name, supersets[i]) == 0;
    text->utf8 = superset && strncasecmp(name, "utf", 3) == 0;
    PyErr_Clear();
    Py_XDECREF(encoding);
    text->by_line = is_true(self, "line_buffering");
    text->direct = superset && !text->odd && is_true(self, "write_through");
}

static PyObject *text_reconfigure(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    struct text *text = beyond_base(self);
    text->odd |= keywords && PyDict_GetItemString(keywords, "newline");
    PyObject *through = exact && keywords ? PyDict_GetItemString(keywords, "write_through") : NULL; /* borrowed */
    PyObject *flushed = text_flush(self, arguments);
    PyObject *changed = flushed && through ? PyDict_Copy(keywords) : Py_XNewRef(flushed ? keywords : NULL);
    /* The base stays as it is, and this type delays the writes. */
    if (changed && through && PyDict_SetItemString(changed, "write_through", Py_True) < 0)
        Py_CLEAR(changed);
    Py_XDECREF(flushed);
    if (PyErr_Occurred()) {
        Py_XDECREF(changed);
        return NULL;
    }
    text->direct = false;
    PyObject *result = text_of_base(self, "reconfigure", arguments, changed);
    if (result && through && through != Py_None)
        text->through = PyObject_IsTrue(through) == 1;
    if (result)
        look_at_text(self);
    Py_XDECREF(changed);
    return result;
}

static void take_long_way(PyObject *self)
{
    struct text *text = beyond_base(self);
    text->odd = true;
    text->direct = false;
}

static PyObject *text_detach(PyObject *self, PyObject *arguments)
{
    take_long_way(self);
    return text_of_base(self, "detach", arguments, NULL);
}

static int text_init(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    take_long_way(self);
    return Py_TYPE(self)->tp_base->tp_init(self, arguments, keywords);
}

static PyMethodDef text_methods[] = {
    {"write", text_write, METH_O, NULL},
    {"flush", text_flush, METH_VARARGS, NULL},
    {"reconfigure", (PyCFunction)(void (*)(void))text_reconfigure, METH_VARARGS | METH_KEYWORDS, NULL},
    {"detach", text_detach, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef text_attributes[] = {
    {"write_through", text_write_through, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot text_slots[] = {
    {Py_tp_methods, text_methods},
    {Py_tp_getset, text_attributes},
    {Py_tp_init, text_init},
    {0, NULL},
};

/* Make a subclass under the name of its base, which repr() shows. */
static PyTypeObject *derive(PyObject *module, const char *name, size_t more, PyType_Slot *slots)
{
    PyObject *io = PyImport_ImportModule("_io");
    PyObject *base = io ? PyObject_GetAttrString(io, strchr(name, '.') + 1) : NULL;
    PyObject *bases = base ? PyTuple_Pack(1, base) : NULL;
    PyObject *type = NULL;
    if (bases) {
        PyType_Spec spec = {
            .name = name,
            .basicsize = (int)(((PyTypeObject *)base)->tp_basicsize + (Py_ssize_t)more),
            .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
            .slots = slots,
        };
        type = PyType_FromModuleAndSpec(module, &spec, bases);
    }
    Py_XDECREF(bases);
    Py_XDECREF(base);
    Py_XDECREF(io);
    return (PyTypeObject *)type;
}

int printed_init(PyObject *module)
{
    struct runtime *runtime = runtime_of(module);
    runtime->writer_type = derive(module, "_io.BufferedWriter", sizeof(struct writer), writer_slots);
    runtime->text_type = derive(module, "_io.TextIOWrapper", sizeof(struct text), text_slots);
    return runtime->writer_type && runtime->text_type && pthread_atfork(ahead_of_fork, NULL, in_fork) == 0 ? 0
                                                                                                           : -1;
}

static PyObject *make(PyTypeObject *type, PyObject *arguments)
{
    PyObject *made = arguments ? PyType_GenericNew(type, NULL, NULL) : NULL;
    if (made && type->tp_base->tp_init(made, arguments, NULL) < 0)
        Py_CLEAR(made);
    Py_XDECREF(arguments);
    return made;
}

static PyObject *make_writer(PyTypeObject *type, PyObject *raw, int fd)
{
    PyObject *closed = PyDict_GetItemString(Py_TYPE(raw)->tp_dict, "closed"); /* borrowed */
    if ((fd != STDOUT_FILENO && fd != STDERR_FILENO) || !closed || !Py_IS_TYPE(closed, &PyGetSetDescr_Type))
        return PyErr_Format(PyExc_TypeError, "not a FileIO of stdout or stderr");
    PyObject *writer = make(type, Py_BuildValue("(Oi)", raw, 1));
    if (writer)
        *writer_of(writer) = (struct writer){
            .stream = fd == STDOUT_FILENO ? PINFOLD_PRINTED_OUT : PINFOLD_PRINTED_ERR,
            .raw = Py_NewRef(raw),
            .closed = ((PyGetSetDescrObject *)closed)->d_getset,
        };
    return writer;
}

PyObject *printed_open(PyObject *module, PyObject *arguments)
{
    const struct runtime *runtime = runtime_of(module);
    PyObject *raw, *encoding, *errors;
    int fd;
    if (!PyArg_ParseTuple(arguments, "OiOO", &raw, &fd, &encoding, &errors))
        return NULL;
    PyObject *writer = make_writer(runtime->writer_type, raw, fd);
    if (!writer)
        return NULL;
    /* The interpreter's own arguments, except write_through, the last. */
    PyObject *given = Py_BuildValue("(OOOsOO)", writer, encoding, errors, "\n",
                                    fd == STDERR_FILENO ? Py_True : Py_False, Py_True);
    PyObject *text = make(runtime->text_type, given);
    if (text) {
        *(struct text *)beyond_base(text) = (struct text){.writer = writer};
        look_at_text(text);
    } else {
        Py_DECREF(writer);
    }
    return text;
}

void printed_share(struct pinfold_printed *shared)
{
    for (int stream = 0; stream < PINFOLD_PRINTED_STREAMS; stream++)
        lock(stream);
    for (int stream = 0; stream < PINFOLD_PRINTED_STREAMS; stream++) {
        const struct pinfold_printed_stream *now = &printed->streams[stream];
        const uint32_t n = now->end - now->begin;
        memcpy(shared->bytes[stream], printed->bytes[stream] + now->begin, n);
        shared->streams[stream].end = n;
    }
    printed = shared_with_pool = shared;
    by_line = false;
    for (int stream = 0; stream < PINFOLD_PRINTED_STREAMS; stream++)
        unlock(stream);
}

void printed_share_again(void)
{
    if (shared_with_pool)
        printed_share(shared_with_pool);
}

void printed_end(enum printed_rest rest)
{
    if (!shared_with_pool)
        return;
    if (rest == PRINTED_LEAVE) {
        printed = &own;
        return;
    }
    const uint32_t n_c = shared_with_pool->c_size;
    shared_with_pool->c_size = 0;
    for (int stream = 0; stream < PINFOLD_PRINTED_STREAMS && rest == PRINTED_DROP; stream++)
        shared_with_pool->streams[stream].end = shared_with_pool->streams[stream].begin = 0;
    printed_flush(true);
    if (rest == PRINTED_WRITE && n_c <= PINFOLD_PRINTED_C_BYTES &&
        write_through(PINFOLD_PRINTED_OUT, shared_with_pool->c, n_c) < 0)
        PyErr_Clear();
}

static void drain_all(bool last)
{
    for (int stream = 0; stream < PINFOLD_PRINTED_STREAMS; stream++) {
        int r;
        do {
            lock(stream);
            pending[stream] = 0;
            r = drain(stream);
            /* It cannot be written. Drop it, so that the next call does not write it. */
            if (r < 0 && r != -EINTR && last) {
                printed->streams[stream].end = 0;
                printed->streams[stream].begin = 0;
            }
            unlock(stream);
        } while (r == -EINTR);
    }
}

void printed_flush(bool last)
{
    drain_all(last);
    fflush(NULL);
}

/* Flush C's stdout alone, and only if no thread uses it: fflush(NULL) would wait for a reader of stdin. */
PyObject *printed_before_fork(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    if (exact)
        Py_RETURN_NONE;
    drain_all(false);
    if (stdout && ftrylockfile(stdout) == 0) {
        fflush_unlocked(stdout);
        funlockfile(stdout);
    }
    Py_RETURN_NONE;
}

PyObject *printed_exact_as(PyObject *module, PyObject *arguments)
{
    (void)module;
    int at_once, joined;
    if (!PyArg_ParseTuple(arguments, "pp", &at_once, &joined))
        return NULL;
    whole_at_once = at_once;
    text_joined = joined;
    Py_RETURN_NONE;
}

PyObject *printed_exact(PyObject *module, PyObject *argument)
{
    (void)module;
    const int wanted = PyObject_IsTrue(argument);
    if (wanted < 0)
        return NULL;
    drain_all(!wanted);
    exact = wanted;
    Py_RETURN_NONE;
}

void printed_keep_c(void)
{
    const FILE *file = stdout;
    const char *base = file ? file->_IO_write_base : NULL;
    if (printed == &own || !base || file->_IO_write_ptr <= base || file->_fileno != STDOUT_FILENO)
        return;
    size_t n = (size_t)(file->_IO_write_ptr - base);
    n = n < PINFOLD_PRINTED_C_BYTES ? n : PINFOLD_PRINTED_C_BYTES;
    memcpy(printed->c, base, n);
    printed->c_size = (uint32_t)n;
}

static PyObject *posix_exit(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    (void)self;
    static char *names[] = {"status", NULL};
    int status;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "i:_exit", names, &status))
        return NULL;
    if (!exact) /* a program loses its unflushed output */
        printed_keep_c();
    _exit(status);
}

/* os._exit's own docstring, since this function replaces it. */
PyDoc_STRVAR(posix_exit_doc, "_exit($module, /, status)\n--\n\n"
                             "Exit to the system with specified status, without normal exit processing.");

static PyMethodDef posix_exit_method = {"_exit", (PyCFunction)(void (*)(void))posix_exit,
                                        METH_VARARGS | METH_KEYWORDS, posix_exit_doc};

PyObject *printed_exit_function(void)
{
    PyObject *module = PyImport_ImportModule("posix");
    PyObject *name = module ? PyUnicode_FromString("posix") : NULL;
    PyObject *function = name ? PyCFunction_NewEx(&posix_exit_method, module, name) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(module);
    return function;
}
