/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.c - the extension module pinfold._worker.ext._runtime, for Python in a template and its workers. */
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../_wire/segment.h"
#include "base/util.h"
#include "pages.h"
#include "process/scratch.h"
#include "wire/frame.h"
#include "wire/payload.h"

#define KEPT_FILES 16

struct spill_dir runtime_spills = {.fd = -1};

bool runtime_has_base;
bool runtime_needs_base;
bool runtime_has_scratch;

static int to_pool = -1; /* receives the report of a failure to start */

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

/* Keep a crash, which is reported, from dumping core unless a call asks for it. */
static void dump_no_core(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_cur = 0;
        setrlimit(RLIMIT_CORE, &limit);
    }
}

static char spills_path[4096];

/* Open the spill directory. NULL: there is none, and spills are sealed memfds. */
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
        r = reserved_put(RESERVED_SPILLS, runtime_spills.fd);
    if (r < 0)
        return r;
    runtime_spills.fd = reserved_fd(RESERVED_SPILLS);
    return 0;
}

bool runtime_restore_spills(void)
{
    return spill_dir_is_gone(&runtime_spills) && spill_dir_restore(&runtime_spills, spills_path) == 0;
}

PyDoc_STRVAR(open_template_doc,
             "open_template(control) -> (isolation, flags, spill_dir)\n\n"
             "Make this process a template. Takes the reserved descriptors, the socket `control` among them, and\n"
             "receives the pool's set-up.");

static PyObject *open_template(PyObject *module, PyObject *argument)
{
    (void)module;
    int control = (int)PyLong_AsLong(argument);
    if (PyErr_Occurred())
        return NULL;
    to_pool = control;
    int r = reserved_open();
    /* The guard may die from now on. Its pidfd reports that once PDEATHSIG no longer kills (serve_run). */
    if (r == 0 && getppid() != 0) { /* in a pid namespace the guard's death ends this process anyway */
        int guard = (int)syscall(SYS_pidfd_open, getppid(), 0);
        r = guard < 0 ? -errno : reserved_put(RESERVED_GUARD, guard);
    }
    if (r == 0)
        r = reserved_put(RESERVED_CONTROL, control);
    if (r < 0)
        return raise_errno(r, "cannot take the template's descriptors");
    to_pool = reserved_fd(RESERVED_CONTROL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    dump_no_core();

    _cleanup_free_ uint8_t *buffer = malloc(PINFOLD_FRAME_MAX);
    if (!buffer)
        return PyErr_NoMemory();
    struct frame frame;
    r = frame_receive(reserved_fd(RESERVED_CONTROL), 0, FRAME_FROM_POOL, buffer, &frame);
    if (r <= 0 || frame.head.kind != PINFOLD_FRAME_SETUP)
        return raise_errno(r < 0 ? r : -EPROTO, "no set-up came from the pool");
    const struct pinfold_frame_setup *setup = frame.body;
    char path[4096];
    memcpy(path, frame.tail, frame.tail_size);
    path[frame.tail_size] = '\0';
    r = open_spills(setup->flags & PINFOLD_SETUP_SEALED ? NULL : path);
    if (r < 0)
        return raise_errno(r, "cannot use the spill directory");
    return Py_BuildValue("(IIN)", setup->isolation, setup->flags, PyUnicode_DecodeFSDefault(path));
}

/* A template ends with a sweep and the removal of its base. No signal may cut that short, and a process that has
 * stopped this one may not delay it. In a pid namespace the kernel leaves no time for it. */
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

PyDoc_STRVAR(
    open_worker_doc,
    "open_worker(channel, template, spill_dir)\n\n"
    "Make this process, which the template exec'd, a worker. `template`: the pid of the template that it\n"
    "must not outlive, or 0. `spill_dir`: None if spills are sealed memfds.");

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
    int r = reserved_open();
    if (r == 0)
        r = reserved_put(RESERVED_CHANNEL, channel);
    if (r == 0) {
        to_pool = reserved_fd(RESERVED_CHANNEL);
        r = open_spills(path ? PyBytes_AS_STRING(path) : NULL);
    }
    Py_XDECREF(path);
    return none_or(r, "cannot take the worker's descriptors");
}

static int reserve_directory(enum reserved_fd which, const char *base, const char *name)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/%s", base, name);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : reserved_put(which, fd);
}

PyDoc_STRVAR(
    use_base_doc,
    "use_base(base, lock, outside, swept, needed)\n\n"
    "Take the descriptors `lock`, of the base directory, and `outside`, of the directory that contains it.\n"
    "If `swept`, dead workers' entries in its directory `scratch` are removed, by way of `trash`.\n"
    "`needed`: no worker starts without the base directory.");

static PyObject *use_base(PyObject *module, PyObject *arguments)
{
    (void)module;
    const char *base;
    int lock, outside, swept, needed;
    if (!PyArg_ParseTuple(arguments, "siipp", &base, &lock, &outside, &swept, &needed))
        return NULL;
    int r = reserved_put(RESERVED_BASE, lock);
    int also = reserved_put(RESERVED_OUTSIDE, outside);
    if (r == 0)
        r = also;
    if (r == 0 && swept)
        r = reserve_directory(RESERVED_SCRATCH, base, "scratch");
    if (r == 0 && swept)
        r = reserve_directory(RESERVED_TRASH, base, "trash");
    runtime_has_base = r == 0;
    runtime_needs_base = r == 0 && needed;
    runtime_has_scratch = r == 0 && swept;
    return none_or(r, "cannot use the directory of the box");
}

void runtime_remove_base(void)
{
    if (!runtime_has_base)
        return;
    /* Hold the base until it is gone. A guard that ends meanwhile stops and kills this process, and finds the base
     * by the descriptor that this process has of it. */
    scratch_clear_base_of(reserved_fd(RESERVED_OUTSIDE), getpid());
    reserved_close(RESERVED_BASE, RESERVED_BASE);
    scratch_clear_bases(reserved_fd(RESERVED_OUTSIDE));
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
    Py_ssize_t most = PINFOLD_PAYLOAD_INLINE_MAX;
    struct iovec tail = {bytes + (size > most ? size - most : 0), (size_t)(size > most ? most : size)};
    return none_or(frame_send(to_pool, PINFOLD_FRAME_FAILED, 0, NULL, &tail, 1, NULL, 0),
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
    return r < 0 ? raise_errno(r, "cannot arm the stack's handlers")
                 : PyLong_FromLong(reserved_fd(RESERVED_STACK));
}

static PyObject *fork_once(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return none_or(child_fork_once(), "cannot fork");
}

PyDoc_STRVAR(
    serve_doc,
    "serve(flags, command, step) -> worker_id\n\n"
    "Report to the pool that the template is ready, and make workers until the pool or the guard is gone;\n"
    "the template then exits. Returns in each worker. `command`: None, or a list of str that each worker\n"
    "executes, with its number and its id appended; then serve() does not return in them. `step`: None, or a\n"
    "function to call when the template is idle or has made some workers, until it does not return True.");

static PyObject *py_serve(PyObject *module, PyObject *arguments)
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
            to_pool = reserved_fd(RESERVED_CHANNEL);
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

PyDoc_STRVAR(
    keep_code_doc,
    "keep_code(files)\n\n"
    "Spare workers the page faults on the code of the interpreter, the C library and these files (a list of\n"
    "str): forks copy its page-table entries.");

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

PyDoc_STRVAR(learn_pages_doc, "learn_pages(play)\n\n"
                              "Call play() in a fork, and from now on spare workers the page faults that it had.");

static PyObject *learn_pages(PyObject *module, PyObject *play)
{
    (void)module;
    return none_or(pages_learn(play), "cannot fork");
}

static PyObject *gather_memory(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    pages_gather();
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
    return none_or(frame_send(reserved_fd(RESERVED_CHANNEL), PINFOLD_FRAME_READY, id, NULL, NULL, 0, NULL, 0),
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

static PyObject *restore_streams(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    channel_restore_streams();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"open_template", open_template, METH_O, open_template_doc},
    {"open_worker", open_worker, METH_VARARGS, open_worker_doc},
    {"arm", arm, METH_O,
     "arm(above) -> fd\n\n"
     "Install the handlers that send stacks, beneath or above faulthandler's, which must write to fd."},
    {"flush", flush, METH_NOARGS,
     "flush()\n\n"
     "Write out the buffers of open_printed() and of the C library."},
    {"open_printed", printed_open, METH_VARARGS,
     "open_printed(raw, fd, encoding, errors) -> TextIOWrapper\n\n"
     "Wrap the FileIO `raw` of stdout or stderr, with a buffer that outlives a worker."},
    {"before_fork", printed_before_fork, METH_NOARGS,
     "before_fork()\n\n"
     "Write out the buffers, so that a fork begins with empty ones."},
    {"exact_streams", printed_exact, METH_O,
     "exact_streams(exact)\n\n"
     "Set whether the streams have the interpreter's own buffer sizes and layers, which a program may see."},
    {"collector_fork", collector_fork, METH_NOARGS,
     "collector_fork() -> pid, or 0 in the child\n\n"
     "Fork the process of a call. This worker is its collector then, and calls collector_wait()."},
    {"collector_wait", collector_wait, METH_VARARGS,
     "collector_wait(pid, keeps) -> (exit status or minus the signal, stopped)\n\n"
     "Wait for the end of that process, and end all that it left. `stopped`: the pool asked for its end. Unless\n"
     "`keeps` or `stopped`, output that it had not flushed is dropped."},
    {"exact_as", printed_exact_as, METH_VARARGS,
     "exact_as(whole_at_once, text_joined)\n\n"
     "Set what of the streams' writes differs between versions of the interpreter."},
    {"restore_streams", restore_streams, METH_NOARGS,
     "restore_streams()\n\n"
     "Point the standard streams of a worker that is used again where its calls expect them."},
    {"map_file", payload_map_file, METH_VARARGS,
     "map_file(fd, size)\n\n"
     "Return a memoryview of a private mapping of a file. Unlike that of `mmap`, it holds no descriptor."},
    {"exit_function", exit_function, METH_NOARGS,
     "exit_function() -> callable\n\n"
     "Return a replacement for os._exit that keeps C's unflushed output."},
    {"use_base", use_base, METH_VARARGS, use_base_doc},
    {"outlive_guard", outlive_guard, METH_NOARGS,
     "outlive_guard()\n\nKeep the guard's death from ending this template at once. serve() ends it after it has "
     "swept.\n"
     "Call it before there is anything to sweep."},
    {"remove_base", remove_base, METH_NOARGS,
     "remove_base()\n\nRemove the base directory of this template, which is about to end."},
    {"clear_bases", clear_bases, METH_O,
     "clear_bases(spill_dir)\n\n"
     "Remove the base directories in it that no process locks any more (flock(2))."},
    {"source_slot", source_slot, METH_VARARGS,
     "source_slot(sources, name or \"\", locked) -> (name, lock, file), or None\n\n"
     "Take a directory in `sources`, by name or any that no other process holds, and open the file in it.\n"
     "Not `locked`: no other process uses that name, and the lock is -1."},
    {"source_make", source_make, METH_VARARGS,
     "source_make(directory, str or bytes)\n\n"
     "Make the directory, if it does not exist, and write the file in it."},
    {"source_write", source_write, METH_VARARGS,
     "source_write(file, str or bytes)\n\n"
     "Replace the file's contents."},
    {"use_box_slots", py_use_box_slots, METH_VARARGS,
     "use_box_slots(held, abi, network, scratch or None, filter or None)\n\n"
     "Let workers take over rulesets, and directories in `scratch`, from earlier workers, and load `filter`."},
    {"own_box_slot", py_own_box_slot, METH_NOARGS,
     "own_box_slot() -> (ruleset, name of the directory or \"\"), or None"},
    {"draft_box_slot", py_draft_box_slot, METH_NOARGS,
     "draft_box_slot()\n\n"
     "Prepare enter_box_slot(), ahead of the call. False: this worker has no box slot for it."},
    {"enter_box_slot", py_enter_box_slot, METH_O,
     "enter_box_slot(bytes of the environment)\n\n"
     "Close the box, change to its directory, and point HOME and TMPDIR there. False: as draft_box_slot()."},
    {"fail", fail, METH_O,
     "fail(text)\n\n"
     "Report to the pool, in UTF-8 bytes, why this process cannot start."},
    {"fork_once", fork_once, METH_NOARGS,
     "fork_once()\n\n"
     "Fork once, so that libraries stop the threads that they stop at a fork."},
    {"keep_code", keep_code, METH_O, keep_code_doc},
    {"learn_pages", learn_pages, METH_O, learn_pages_doc},
    {"gather_memory", gather_memory, METH_NOARGS,
     "gather_memory()\n\n"
     "Move the large memory of this process into huge pages, which makes forks fast."},
    {"serve", py_serve, METH_VARARGS, serve_doc},
    {"open_channel", open_channel, METH_O,
     "open_channel(reused) -> Channel\n\n"
     "Open this worker's channel."},
    {"watch_imports", watch_imports, METH_NOARGS,
     "watch_imports()\n\n"
     "Record imports in this thread from now on."},
    {"take_imports", take_imports, METH_NOARGS,
     "take_imports() -> list of (name, nanoseconds), or None\n\n"
     "Return the outermost modules loaded since the last time, with the time of all that they import in turn."},
    {"ready", ready, METH_O,
     "ready(number)\n\n"
     "Report to the pool that this exec'd worker can take a call."},
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
        PyModule_AddIntConstant(module, "STACK_ASK_SIGNAL", PINFOLD_ASK_SIGNAL) < 0)
        return -1;
    static const struct {
        const char *name;
        long value;
    } constants[] = {
        {"RESULT_OK", PINFOLD_STATUS_OK},
        {"RESULT_EXCEPTION", PINFOLD_STATUS_EXCEPTION},
        {"RESULT_BAD", PINFOLD_STATUS_BAD},
        {"RESULT_TOO_LARGE", PINFOLD_STATUS_TOO_LARGE},
        {"RESULT_INTERNAL", PINFOLD_STATUS_INTERNAL},
        {"RESULT_ENDED", PINFOLD_STATUS_ENDED},
        {"RESULT_RETIRE", PINFOLD_RESULT_RETIRE},
        {"NOTE_MAX", PINFOLD_NOTE_MAX},
        {"PAYLOAD_ALIGN", PINFOLD_PAYLOAD_ALIGN},
    };
    for (size_t i = 0; i < COUNT_OF(constants); i++)
        if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value) < 0)
            return -1;
    return 0;
}

static int runtime_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct runtime *runtime = runtime_of(module);
    Py_VISIT(runtime->channel_type);
    Py_VISIT(runtime->payload_type);
    Py_VISIT(runtime->segment_type);
    Py_VISIT(runtime->writer_type);
    Py_VISIT(runtime->text_type);
    return 0;
}

static int runtime_clear(PyObject *module)
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
    .m_name = "pinfold._worker.ext._runtime",
    .m_doc = "What runs inside a template and its workers, below Python.",
    .m_size = sizeof(struct runtime),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = runtime_traverse,
    .m_clear = runtime_clear,
};

PyMODINIT_FUNC PyInit__runtime(void)
{
    return PyModuleDef_Init(&definition);
}
