/* _kernel.c - what a call can change in its process beside Python's own objects: saved before the first call of a
 * reused worker, put back after each.
 *
 * Each row of the table below is one thing that the kernel or the C library keeps. A row without a writer cannot be
 * put back: a worker in which it changed is not used again. Reading all rows is about a hundred system calls, 26 us
 * where a trivial call takes less; so only the rows that Python's own functions change in passing are read after
 * every call (4 us), and the others when the call gave reason to.
 */
#include "_state.h"

#include <fenv.h>
#include <locale.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "util.h"

#define SIGNALS 65 /* 1 .. 64 */

/* SA_RESTORER of the kernel, which glibc adds to every action it installs, and leaves out of its headers. */
#define KERNEL_RESTORER 0x04000000u

struct action {
    void (*handler)(int);
    uint64_t blocked;
    uint64_t flags;
};

#define GROUPS_MOST 64 /* of more, only their number is compared */

struct identity {
    uid_t users[3];
    gid_t groups[3];
    int n_others;
    gid_t others[GROUPS_MOST];
};

struct privileges {
    int no_new;
    int seccomp;
};

struct state {
    char directory[PATH_MAX];
    char locale[1024];
    char name[16];
    mode_t mask;
    struct action actions[SIGNALS];
    struct itimerval timers[3];
    struct rlimit limits[RLIM_NLIMITS];
    int nice;
    int policy;
    cpu_set_t cpus;
    int death_signal;
    int subreaper;
    int dumpable;
    struct identity identity;
    struct privileges privileges;
    struct {
        dev_t device;
        ino_t inode;
    } streams[3];
};

static void read_directory(struct state *state)
{
    if (!getcwd(state->directory, sizeof(state->directory)))
        state->directory[0] = '\0';
}

static void write_directory(const struct state *state)
{
    (void)!chdir(state->directory);
}

static void read_locale(struct state *state)
{
    const char *locale = setlocale(LC_ALL, NULL);
    strncpy(state->locale, locale ? locale : "", sizeof(state->locale) - 1);
}

static void write_locale(const struct state *state)
{
    setlocale(LC_ALL, state->locale);
}

static void read_name(struct state *state)
{
    prctl(PR_GET_NAME, state->name, 0, 0, 0);
}

static void write_name(const struct state *state)
{
    prctl(PR_SET_NAME, state->name, 0, 0, 0);
}

static void read_mask(struct state *state)
{
    state->mask = umask(077);
    umask(state->mask);
}

static void write_mask(const struct state *state)
{
    umask(state->mask);
}

/* The kernel knows 64 signals, glibc's sigset_t has room for 1024; the first word holds those that exist. */
static uint64_t word_of(const sigset_t *set)
{
    uint64_t word;
    memcpy(&word, set, sizeof(word));
    return word;
}

static void set_of(uint64_t word, sigset_t *ret_set)
{
    sigemptyset(ret_set);
    memcpy(ret_set, &word, sizeof(word));
}

static void read_actions(struct state *state)
{
    for (int number = 1; number < SIGNALS; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0) /* not for the two that glibc keeps to itself */
            state->actions[number] = (struct action){
                .handler = action.sa_handler,
                .blocked = word_of(&action.sa_mask),
                .flags = (uint64_t)((unsigned int)action.sa_flags & ~KERNEL_RESTORER),
            };
    }
}

static void write_actions(const struct state *state)
{
    for (int number = 1; number < SIGNALS; number++) {
        struct sigaction action = {.sa_handler = state->actions[number].handler};
        action.sa_flags = (int)(unsigned int)state->actions[number].flags;
        set_of(state->actions[number].blocked, &action.sa_mask);
        sigaction(number, &action, NULL);
    }
}

static void read_timers(struct state *state)
{
    for (int which = 0; which < 3; which++)
        getitimer(which, &state->timers[which]);
}

static void write_timers(const struct state *state)
{
    for (int which = 0; which < 3; which++)
        setitimer(which, &state->timers[which], NULL);
}

static void read_limits(struct state *state)
{
    for (int which = 0; which < (int)RLIM_NLIMITS; which++)
        getrlimit((__rlimit_resource_t)which, &state->limits[which]);
}

static void write_limits(const struct state *state)
{
    for (int which = 0; which < (int)RLIM_NLIMITS; which++) {
        struct rlimit limit;
        if (which == RLIMIT_LOCKS) /* it carries the guard's mark, and is nobody's to write */
            continue;
        if (setrlimit((__rlimit_resource_t)which, &state->limits[which]) == 0 ||
            getrlimit((__rlimit_resource_t)which, &limit) != 0)
            continue;
        /* The hard limit was lowered, for good; the soft one goes back as far as it lets it. */
        limit.rlim_cur = limit.rlim_max;
        setrlimit((__rlimit_resource_t)which, &limit);
    }
}

static void read_nice(struct state *state)
{
    state->nice = getpriority(PRIO_PROCESS, 0);
}

static void write_nice(const struct state *state)
{
    setpriority(PRIO_PROCESS, 0, state->nice);
}

static void read_policy(struct state *state)
{
    state->policy = sched_getscheduler(0);
}

static void write_policy(const struct state *state)
{
    struct sched_param param = {.sched_priority = 0}; /* what all policies but the real-time ones take */
    sched_setscheduler(0, state->policy, &param);
}

static void read_cpus(struct state *state)
{
    sched_getaffinity(0, sizeof(state->cpus), &state->cpus);
}

static void write_cpus(const struct state *state)
{
    sched_setaffinity(0, sizeof(state->cpus), &state->cpus);
}

static void read_death_signal(struct state *state)
{
    prctl(PR_GET_PDEATHSIG, &state->death_signal, 0, 0, 0);
}

static void write_death_signal(const struct state *state)
{
    prctl(PR_SET_PDEATHSIG, (unsigned long)state->death_signal, 0, 0, 0);
}

static void read_subreaper(struct state *state)
{
    prctl(PR_GET_CHILD_SUBREAPER, &state->subreaper, 0, 0, 0);
}

static void write_subreaper(const struct state *state)
{
    prctl(PR_SET_CHILD_SUBREAPER, (unsigned long)state->subreaper, 0, 0, 0);
}

static void read_dumpable(struct state *state)
{
    state->dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
}

static void write_dumpable(const struct state *state)
{
    prctl(PR_SET_DUMPABLE, (unsigned long)state->dumpable, 0, 0, 0);
}

static void read_identity(struct state *state)
{
    struct identity *identity = &state->identity;
    getresuid(&identity->users[0], &identity->users[1], &identity->users[2]);
    getresgid(&identity->groups[0], &identity->groups[1], &identity->groups[2]);
    identity->n_others = getgroups(GROUPS_MOST, identity->others);
    if (identity->n_others < 0)
        identity->n_others = getgroups(0, NULL);
}

static void read_privileges(struct state *state)
{
    struct privileges *privileges = &state->privileges;
    privileges->no_new = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    privileges->seccomp = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
}

static void read_streams(struct state *state)
{
    for (int fd = 0; fd < 3; fd++) {
        struct stat status = {0};
        if (fstat(fd, &status) == 0) {
            state->streams[fd].device = status.st_dev;
            state->streams[fd].inode = status.st_ino;
        }
    }
}

#define ROW(often, title, field, read_it, write_it)                                                               \
    {                                                                                                             \
        .every_call = (often), .name = (title), .offset = offsetof(struct state, field),                          \
        .size = sizeof(((struct state *)0)->field), .read = (read_it), .write = (write_it)                        \
    }

static const struct row {
    bool every_call; /* or only when put_back() is to be thorough */
    const char *name;
    size_t offset;
    size_t size;
    void (*read)(struct state *state);
    void (*write)(const struct state *state); /* NULL: nobody can put it back */
} rows[] = {
    ROW(true, "working directory", directory, read_directory, write_directory),
    ROW(true, "locale", locale, read_locale, write_locale),
    ROW(true, "umask", mask, read_mask, write_mask),
    /* Timers before handlers: a timer that fires in between must not meet the default action. */
    ROW(true, "timers", timers, read_timers, write_timers),
    ROW(false, "signal handlers", actions, read_actions, write_actions),
    ROW(false, "resource limits", limits, read_limits, write_limits),
    ROW(true, "niceness", nice, read_nice, write_nice),
    ROW(true, "scheduling policy", policy, read_policy, write_policy),
    ROW(true, "processor affinity", cpus, read_cpus, write_cpus),
    ROW(false, "process name", name, read_name, write_name),
    ROW(false, "parent-death signal", death_signal, read_death_signal, write_death_signal),
    ROW(false, "subreaper", subreaper, read_subreaper, write_subreaper),
    ROW(false, "dumpable", dumpable, read_dumpable, write_dumpable),
    ROW(true, "users and groups", identity, read_identity, NULL),
    ROW(false, "privileges", privileges, read_privileges, NULL),
    ROW(true, "standard streams", streams, read_streams, NULL),
};

typedef struct {
    PyObject_HEAD struct state saved;
    struct state now;
    sigset_t blocked;
    fenv_t arithmetic; /* rounding, and what libraries built with -ffast-math switch on when they load */
    char **environment;
    size_t n_environment;
} State;

static void free_environment(State *self)
{
    for (size_t i = 0; i < self->n_environment; i++)
        free(self->environment[i]);
    free(self->environment);
    self->environment = NULL;
    self->n_environment = 0;
}

static int save_environment(State *self)
{
    size_t n = 0;
    free_environment(self);
    while (environ && environ[n])
        n++;
    self->environment = calloc(n + 1, sizeof(char *));
    if (!self->environment)
        return -ENOMEM;
    for (; self->n_environment < n; self->n_environment++) {
        self->environment[self->n_environment] = strdup(environ[self->n_environment]);
        if (!self->environment[self->n_environment])
            return -ENOMEM;
    }
    return 0;
}

static bool same_environment(const State *self)
{
    size_t i = 0;
    for (; environ && environ[i]; i++)
        if (i == self->n_environment || strcmp(environ[i], self->environment[i]) != 0)
            return false;
    return i == self->n_environment;
}

static void put_back_environment(const State *self)
{
    clearenv();
    for (size_t i = 0; i < self->n_environment; i++) {
        const char *text = self->environment[i];
        const char *equals = strchr(text, '=');
        _cleanup_free_ char *name = equals ? strndup(text, (size_t)(equals - text)) : NULL;
        if (name)
            setenv(name, equals + 1, 1);
    }
}

static bool same(const State *self, const struct row *row)
{
    return memcmp((const char *)&self->now + row->offset, (const char *)&self->saved + row->offset, row->size) ==
           0;
}

static void read_now(State *self, const struct row *row)
{
    memset((char *)&self->now + row->offset, 0, row->size);
    row->read(&self->now);
}

PyDoc_STRVAR(save_doc, "save()\n--\n\nTake what is now as what put_back() goes back to.");

static PyObject *state_save(PyObject *object, PyObject *Py_UNUSED(unused))
{
    State *self = (State *)object;
    memset(&self->saved, 0, sizeof(self->saved));
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        rows[i].read(&self->saved);
    memset(self->saved.timers, 0, sizeof(self->saved.timers)); /* a timer that runs is never the same twice */
    fegetenv(&self->arithmetic);
    pthread_sigmask(SIG_SETMASK, NULL, &self->blocked);
    if (save_environment(self) < 0)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

PyDoc_STRVAR(put_back_doc, "put_back(thorough)\n--\n\n"
                           "Make everything as it was saved. Returns a list of the names of what could not be.");

static PyObject *state_put_back(PyObject *object, PyObject *argument)
{
    State *self = (State *)object;
    int thorough = PyObject_IsTrue(argument);
    if (thorough < 0)
        return NULL;
    PyObject *failed = PyList_New(0);
    if (!failed)
        return NULL;
    fesetenv(&self->arithmetic);
    if (!same_environment(self))
        put_back_environment(self);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (!rows[i].every_call && !thorough)
            continue;
        read_now(self, &rows[i]);
        if (same(self, &rows[i]))
            continue;
        if (rows[i].write) {
            rows[i].write(&self->saved);
            read_now(self, &rows[i]);
            if (same(self, &rows[i]))
                continue;
        }
        PyObject *name = PyUnicode_FromString(rows[i].name);
        if (!name || PyList_Append(failed, name) < 0) {
            Py_XDECREF(name);
            Py_DECREF(failed);
            return NULL;
        }
        Py_DECREF(name);
    }
    return failed;
}

PyDoc_STRVAR(unblock_doc, "unblock()\n--\n\n"
                          "Put back the signal mask: the last step, for what is pending may end the process.");

static PyObject *state_unblock(PyObject *object, PyObject *Py_UNUSED(unused))
{
    pthread_sigmask(SIG_SETMASK, &((State *)object)->blocked, NULL);
    Py_RETURN_NONE;
}

static PyObject *state_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "", names))
        return NULL;
    PyObject *self = type->tp_alloc(type, 0);
    PyObject *none = self ? state_save(self, NULL) : NULL;
    if (!none)
        Py_CLEAR(self);
    Py_XDECREF(none);
    return self;
}

static void state_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    free_environment((State *)self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef state_methods[] = {
    {"save", state_save, METH_NOARGS, save_doc},
    {"put_back", state_put_back, METH_O, put_back_doc},
    {"unblock", state_unblock, METH_NOARGS, unblock_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot state_slots[] = {
    {Py_tp_doc, "What the kernel and the C library keep for this process, as it was when it was saved."},
    {Py_tp_new, state_new},
    {Py_tp_dealloc, state_dealloc},
    {Py_tp_methods, state_methods},
    {0, NULL},
};

PyType_Spec state_spec = {
    .name = "pinfold.runtime._state.State",
    .basicsize = sizeof(State),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = state_slots,
};
