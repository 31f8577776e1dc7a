/* pinfold.runtime._runtime: what Python calls inside a template and its workers. */
#include "_runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "_huge.h"
#include "_pages.h"
#include "_segment.h"
#include "frame.h"
#include "payload.h"
#include "scratch.h"
#include "util.h"

#define KEPT_FILES 16

struct spill_dir runtime_spills = {.fd = -1};

bool runtime_has_base;
bool runtime_needs_base;
bool runtime_has_scratch;

static int to_pool = -1; /* the descriptor to which a failure to start is told */

struct runtime *runtime_of(PyObject *module)
{
    return PyModule_GetState(module);
}

PyObject *raise_errno(int code, const char *doing)
{
    PyObject *text = PyUnicode_FromFormat("%s: %s", doing, strerror(-code));
    PyObject *arguments = text ? Py_BuildValue("(iN)", -code, text) : NULL;
    if (arguments)
        PyErr_SetObject(code == -ENOMEM ? PyExc_MemoryError : PyExc_OSError, arguments);
    Py_XDECREF(arguments);
    return NULL;
}

static PyObject *none_or(int r, const char *doing)
{
    if (r < 0)
        return raise_errno(r, doing);
    Py_RETURN_NONE;
}

/* A crash is told, not dumped, unless a call asks for it. */
static void dump_no_core(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_cur = 0;
        setrlimit(RLIMIT_CORE, &limit);
    }
}

static char spills_path[4096];

/* NULL: into no directory, but sealed memfds. */
static int open_spills(const char *path)
{
    if (!path) {
        runtime_spills = spill_dir_in_memory();
        return 0;
    }
    snprintf(spills_path, sizeof(spills_path), "%s", path);
    pinfold_error error;
    int r = spill_dir_open(path, &runtime_spills, &error);
    if (r == 0)
        r = seat_put(SEAT_SPILLS, runtime_spills.fd);
    if (r < 0)
        return r;
    runtime_spills.fd = seat_fd(SEAT_SPILLS);
    return 0;
}

bool runtime_restore_spills(void)
{
    return spill_dir_is_gone(&runtime_spills) && spill_dir_restore(&runtime_spills, spills_path) == 0;
}

PyDoc_STRVAR(open_template_doc,
             "open_template(control) -> (isolation, flags, spill_dir)\n\n"
             "Makes this process a template: takes its seats, the socket `control` among them, and receives what\n"
             "the pool has set up.");

static PyObject *open_template(PyObject *module, PyObject *argument)
{
    (void)module;
    int control = (int)PyLong_AsLong(argument);
    if (PyErr_Occurred())
        return NULL;
    to_pool = control;
    int r = seat_open();
    /* The one above may die from now on: its pidfd tells, once PDEATHSIG does not any more. */
    if (r == 0 && getppid() != 0) { /* in a namespace of pids the kernel sees to it */
        int guard = (int)syscall(SYS_pidfd_open, getppid(), 0);
        r = guard < 0 ? -errno : seat_put(SEAT_GUARD, guard);
    }
    if (r == 0)
        r = seat_put(SEAT_CONTROL, control);
    if (r < 0)
        return raise_errno(r, "cannot take the template's descriptors");
    to_pool = seat_fd(SEAT_CONTROL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    dump_no_core();

    _cleanup_free_ uint8_t *buffer = malloc(FRAME_MAX);
    if (!buffer)
        return PyErr_NoMemory();
    struct frame frame;
    r = frame_receive(seat_fd(SEAT_CONTROL), 0, FRAME_FROM_POOL, buffer, &frame);
    if (r <= 0 || frame.head.kind != FRAME_SETUP)
        return raise_errno(r < 0 ? r : -EPROTO, "no set-up came from the pool");
    const struct frame_setup *setup = frame.body;
    char path[4096];
    memcpy(path, frame.tail, frame.tail_size);
    path[frame.tail_size] = '\0';
    r = open_spills(setup->flags & SETUP_SEALED ? NULL : path);
    if (r < 0)
        return raise_errno(r, "cannot use the spill directory");
    return Py_BuildValue("(IIN)", setup->isolation, setup->flags, PyUnicode_DecodeFSDefault(path));
}

/* The end that follows, a sweep and the removal of the base, must not be cut short by a signal, nor wait for whoever has
 * stopped this process. In a namespace of pids the kernel leaves no time for it. */
void runtime_outlive_guard(void)
{
    if (getppid() != 0)
        prctl(PR_SET_PDEATHSIG, SIGCONT);
}

static PyObject *outlive_guard(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    runtime_outlive_guard();
    Py_RETURN_NONE;
}

PyDoc_STRVAR(open_worker_doc,
             "open_worker(channel, template, spill_dir)\n\n"
             "Makes this process, which the template exec'd, a worker. `template` is the pid of the one that it\n"
             "shall not outlive, or 0. `spill_dir`: None if spills are sealed memfds.");

static PyObject *open_worker(PyObject *module, PyObject *arguments)
{
    (void)module;
    int channel, template;
    PyObject *directory, *path = NULL;
    if (!PyArg_ParseTuple(arguments, "iiO", &channel, &template, &directory) ||
        (directory != Py_None && !PyUnicode_FSConverter(directory, &path)))
        return NULL;
    if (template) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* exec keeps it, unless the interpreter's file has capabilities */
        if (getppid() != template)
            _exit(0);
    }
    dump_no_core();
    to_pool = channel;
    int r = seat_open();
    if (r == 0)
        r = seat_put(SEAT_CHANNEL, channel);
    if (r == 0) {
        to_pool = seat_fd(SEAT_CHANNEL);
        r = open_spills(path ? PyBytes_AS_STRING(path) : NULL);
    }
    Py_XDECREF(path);
    return none_or(r, "cannot take the worker's descriptors");
}

static int sit(enum seat seat, const char *base, const char *name)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/%s", base, name);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : seat_put(seat, fd);
}

PyDoc_STRVAR(
    use_base_doc,
    "use_base(base, lock, outside, swept, needed)\n\n"
    "If `swept`, what workers leave in its directory `scratch` is removed when they are dead, by way of\n"
    "`trash`. Takes the descriptors: `lock`, of the base, and `outside`, of the directory that it lies in.\n"
    "`needed`: without it there are no workers.");

static PyObject *use_base(PyObject *module, PyObject *arguments)
{
    (void)module;
    const char *base;
    int lock, outside, swept, needed;
    if (!PyArg_ParseTuple(arguments, "siipp", &base, &lock, &outside, &swept, &needed))
        return NULL;
    int r = seat_put(SEAT_BASE, lock);
    int also = seat_put(SEAT_OUTSIDE, outside);
    if (r == 0)
        r = also;
    if (r == 0 && swept)
        r = sit(SEAT_SCRATCH, base, "scratch");
    if (r == 0 && swept)
        r = sit(SEAT_TRASH, base, "trash");
    runtime_has_base = r == 0;
    runtime_needs_base = r == 0 && needed;
    runtime_has_scratch = r == 0 && swept;
    return none_or(r, "cannot use the directory of the box");
}

void runtime_remove_base(void)
{
    if (!runtime_has_base)
        return;
    /* Held until it is gone: a guard that ends meanwhile stops and kills this process, and finds by it what is left. */
    scratch_clear_base_of(seat_fd(SEAT_OUTSIDE), getpid());
    seat_close(SEAT_BASE, SEAT_BASE);
    scratch_clear_bases(seat_fd(SEAT_OUTSIDE));
}

static PyObject *remove_base(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    runtime_remove_base();
    Py_RETURN_NONE;
}

static PyObject *clear_bases(PyObject *module, PyObject *path)
{
    (void)module;
    PyObject *bytes;
    if (!PyUnicode_FSConverter(path, &bytes))
        return NULL;
    _cleanup_close_ int spill_dir = open(PyBytes_AS_STRING(bytes), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    Py_DECREF(bytes);
    Py_BEGIN_ALLOW_THREADS;
    if (spill_dir >= 0)
        scratch_clear_bases(spill_dir);
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

static PyObject *fail(PyObject *module, PyObject *text)
{
    (void)module;
    char *bytes;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(text, &bytes, &size) < 0)
        return NULL;
    Py_ssize_t most = PAYLOAD_INLINE_MAX;
    struct iovec tail = {bytes + (size > most ? size - most : 0), (size_t)(size > most ? most : size)};
    return none_or(frame_send(to_pool, FRAME_FAILED, 0, NULL, &tail, 1, NULL, 0),
                   "cannot tell the pool of a failure");
}

static PyObject *flush(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    printed_flush(false);
    Py_RETURN_NONE;
}

static PyObject *exit_function(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return printed_exit_function();
}

static PyObject *arm(PyObject *module, PyObject *above)
{
    (void)module;
    int r = above == Py_True ? stack_arm_above() : stack_arm_beneath();
    return r < 0 ? raise_errno(r, "cannot arm the stack's handlers") : PyLong_FromLong(seat_fd(SEAT_STACK));
}

static PyObject *rehearse(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return none_or(child_rehearse(), "cannot fork");
}

PyDoc_STRVAR(
    serve_doc,
    "serve(flags, command, step) -> worker_id\n\n"
    "Tells the pool that the template is ready, and makes workers until the pool or the guard is gone; the\n"
    "template then ends. Returns in each worker. `command`: None, or a list of str that a worker executes,\n"
    "to which its number and its id are added; then this does not return at all. `step`: None, or what is\n"
    "called, until it does not return True, when there is nothing else to do, or some workers were made.");

static PyObject *serve(PyObject *module, PyObject *arguments)
{
    (void)module;
    unsigned flags;
    PyObject *command, *step;
    if (!PyArg_ParseTuple(arguments, "IOO", &flags, &command, &step))
        return NULL;
    if (step == Py_None)
        step = NULL;
    if (command == Py_None) {
        PyObject *worker_id = serve_run(flags, NULL, step);
        if (worker_id)
            to_pool = seat_fd(SEAT_CHANNEL);
        return worker_id;
    }

    PyObject *encoded[COMMAND_MAX];
    char *words[COMMAND_MAX + 1] = {NULL};
    Py_ssize_t n = PyList_Check(command) ? PyList_GET_SIZE(command) : -1, done = 0;
    if (n < 1 || n > COMMAND_MAX)
        return PyErr_Format(PyExc_ValueError, "command must be a list of 1 to %d str", COMMAND_MAX);
    for (; done < n; done++) {
        if (!PyUnicode_FSConverter(PyList_GET_ITEM(command, done), &encoded[done]))
            break;
        words[done] = PyBytes_AS_STRING(encoded[done]);
    }
    PyObject *worker_id = done == n ? serve_run(flags, words, step) : NULL;
    while (done > 0)
        Py_DECREF(encoded[--done]);
    return worker_id;
}

PyDoc_STRVAR(keep_code_doc,
             "keep_code(files)\n\n"
             "Workers find the code of the interpreter, the C library and these files (a list of str)\n"
             "in their page tables, and need not fault it in.");

static PyObject *keep_code(PyObject *module, PyObject *files)
{
    (void)module;
    const char *paths[KEPT_FILES];
    Py_ssize_t n = PyList_Check(files) ? PyList_GET_SIZE(files) : -1;
    if (n < 0 || n > KEPT_FILES)
        return PyErr_Format(PyExc_ValueError, "files must be a list of at most %d str", KEPT_FILES);
    for (Py_ssize_t i = 0; i < n; i++)
        if (!(paths[i] = PyUnicode_AsUTF8(PyList_GET_ITEM(files, i))))
            return NULL;
    pages_keep_code(paths, (size_t)n);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(learn_pages_doc,
             "learn_pages(play)\n\n"
             "Calls play() in a fork, and from now on spares workers the page faults that it had.");

static PyObject *learn_pages(PyObject *module, PyObject *play)
{
    (void)module;
    return none_or(pages_learn(play), "cannot fork");
}

static PyObject *gather_memory(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    huge_gather();
    Py_RETURN_NONE;
}

static PyObject *open_channel(PyObject *module, PyObject *reused)
{
    int truth = PyObject_IsTrue(reused);
    return truth < 0 ? NULL : channel_new(module, truth);
}

static PyObject *ready(PyObject *module, PyObject *number)
{
    (void)module;
    unsigned long long id = PyLong_AsUnsignedLongLong(number);
    if (PyErr_Occurred())
        return NULL;
    return none_or(frame_send(seat_fd(SEAT_CHANNEL), FRAME_READY, id, NULL, NULL, 0, NULL, 0),
                   "cannot tell the pool that the worker is ready");
}

static PyObject *watch_imports(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return imports_watch();
}

static PyObject *take_imports(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return imports_take();
}

static PyMethodDef methods[] = {
    {"open_template", open_template, METH_O, open_template_doc},
    {"open_worker", open_worker, METH_VARARGS, open_worker_doc},
    {"arm", arm, METH_O,
     "arm(above) -> fd\n\nInstalls the handlers that tell stacks, beneath or above faulthandler's, which shall "
     "write to fd."},
    {"flush", flush, METH_NOARGS,
     "flush()\n\nWrites out what waits in the buffers of open_printed(), and in those of the C library."},
    {"open_printed", printed_open, METH_VARARGS,
     "open_printed(raw, fd, encoding, errors) -> TextIOWrapper\n\nOver the FileIO `raw` of stdout or stderr, with "
     "a buffer "
     "that outlives a worker."},
    {"before_fork", printed_before_fork, METH_NOARGS,
     "before_fork()\n\nWrites out what waits: a fork begins without it."},
    {"exit_function", exit_function, METH_NOARGS,
     "exit_function() -> callable\n\nAs os._exit; what C code has printed is not lost by it."},
    {"use_base", use_base, METH_VARARGS, use_base_doc},
    {"outlive_guard", outlive_guard, METH_NOARGS,
     "outlive_guard()\n\nFrom now on a dead guard does not end this template at once: `serve` does, when it has "
     "cleared\n"
     "up. To be called before there is something to clear up."},
    {"remove_base", remove_base, METH_NOARGS,
     "remove_base()\n\nRemoves that of this template, which is about to end."},
    {"clear_bases", clear_bases, METH_O,
     "clear_bases(spill_dir)\n\nRemoves the bases in it that nobody holds any more (flock(2))."},
    {"source_slot", source_slot, METH_VARARGS,
     "source_slot(sources, name or \"\", locked) -> (name, lock, file), or None\n\n"
     "Takes a directory in `sources`: that of the name, or one that nobody else holds, and opens the file in it.\n"
     "Not `locked`: the lock is -1, since nobody else uses that name."},
    {"source_make", source_make, METH_VARARGS,
     "source_make(directory, str or bytes)\n\nThe directory, if it is not there, and the file in it."},
    {"source_write", source_write, METH_VARARGS, "source_write(file, str or bytes)\n\nAll that it holds then."},
    {"use_berths", home_use_berths, METH_VARARGS,
     "use_berths(held, abi, network, scratch or None, filter or None)\n\n"
     "Workers may take over rulesets, and directories in `scratch`, from those before them. They load "
     "`filter`."},
    {"own_berth", home_own_berth, METH_NOARGS, "own_berth() -> (ruleset, name of the directory or \"\"), or None"},
    {"draft_berth", home_draft_berth, METH_NOARGS,
     "draft_berth()\n\nPrepares enter_berth(), ahead of the call. False: this worker has no berth for that."},
    {"enter_berth", home_enter_berth, METH_O,
     "enter_berth(bytes of the environment)\n\nCloses the box, goes to its directory, and makes that HOME and "
     "TMPDIR.\n"
     "False: as above."},
    {"fail", fail, METH_O, "fail(text)\n\nTells the pool, in UTF-8 bytes, why this process cannot start."},
    {"rehearse", rehearse, METH_NOARGS, "rehearse()\n\nForks once, so that libraries stop what they stop then."},
    {"keep_code", keep_code, METH_O, keep_code_doc},
    {"learn_pages", learn_pages, METH_O, learn_pages_doc},
    {"gather_memory", gather_memory, METH_NOARGS,
     "gather_memory()\n\nPuts the large memory of this process into huge pages, for forks to be fast."},
    {"serve", serve, METH_VARARGS, serve_doc},
    {"open_channel", open_channel, METH_O, "open_channel(reused) -> Channel\n\nOf this worker."},
    {"watch_imports", watch_imports, METH_NOARGS,
     "watch_imports()\n\nNotes from now on what is imported in this thread."},
    {"take_imports", take_imports, METH_NOARGS,
     "take_imports() -> list of (name, nanoseconds), or None\n\nWhat was imported, and had to be loaded for it, "
     "since "
     "the last\ntime: the outermost modules, with the time of all that they import in turn."},
    {"ready", ready, METH_O, "ready(number)\n\nTells the pool that this exec'd worker can take a call."},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module)
{
    struct runtime *runtime = runtime_of(module);
    runtime->channel_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &channel_spec, NULL);
    runtime->payload_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &payload_spec, NULL);
    runtime->segment_type = segment_type_new(module);
    if (!runtime->channel_type || !runtime->payload_type || !runtime->segment_type || printed_init(module) < 0)
        return -1;
    if (PyModule_AddType(module, runtime->channel_type) < 0 ||
        PyModule_AddIntConstant(module, "STACK_ASK_SIGNAL", STACK_ASK_SIGNAL) < 0)
        return -1;
    return 0;
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    struct runtime *runtime = runtime_of(module);
    Py_VISIT(runtime->channel_type);
    Py_VISIT(runtime->payload_type);
    Py_VISIT(runtime->segment_type);
    Py_VISIT(runtime->writer_type);
    Py_VISIT(runtime->text_type);
    return 0;
}

static int clear(PyObject *module)
{
    struct runtime *runtime = runtime_of(module);
    Py_CLEAR(runtime->channel_type);
    Py_CLEAR(runtime->payload_type);
    Py_CLEAR(runtime->segment_type);
    Py_CLEAR(runtime->writer_type);
    Py_CLEAR(runtime->text_type);
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pinfold.runtime._runtime",
    .m_doc = "What runs inside a template and its workers, below Python.",
    .m_size = sizeof(struct runtime),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
};

PyMODINIT_FUNC PyInit__runtime(void)
{
    return PyModuleDef_Init(&definition);
}
