/* SPDX-License-Identifier: Apache-2.0 */
/* kernel.c - what a call can change in its process besides Python's objects: saved before the first call of a
 * reused worker, restored after each.
 *
 * Each row of the table below is one item of state of the kernel or the C library. A row without a writer cannot
 * be restored: a worker in which it changed retires. Reading all rows takes about a hundred system calls, 26 us,
 * where a trivial call takes less. So only rows that Python's own functions change in passing are read after every
 * call (4 us), and the others when the call gave reason to.
 */
#include "state.h"

#include <fcntl.h>
#include <fenv.h>
#include <linux/capability.h>
#include <locale.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/util.h"

#define SIGNALS 65 /* 1 .. 64 */

/* The kernel's SA_RESTORER. glibc adds it to every action that it installs, and its headers omit it. */
#define KERNEL_RESTORER 0x04000000u

struct action {
    void (*handler)(int);
    uint64_t blocked;
    uint64_t flags;
};

#define GROUPS_MOST 64 /* of a longer list only the length is compared */

struct identity {
    uid_t users[3];
    gid_t groups[3];
    int n_others;
    gid_t others[GROUPS_MOST];
};

struct privileges {
    int no_new;
    int seccomp;
    uint64_t bounding;
    struct __user_cap_data_struct capabilities[2];
};

/* Settings that prctl(2) reads and writes as one number. Build machines may have older headers than kernels. */
static const struct {
    int get, set;
} switches[] = {
    {PR_GET_TIMERSLACK, PR_SET_TIMERSLACK},
    {PR_GET_THP_DISABLE, PR_SET_THP_DISABLE},
    {PR_GET_SECUREBITS, PR_SET_SECUREBITS},
    {58, 57}, /* PR_GET_IO_FLUSHER */
    {66, 65}, /* PR_GET_MDWE, which cannot be undone */
    {68, 67}, /* PR_GET_MEMORY_MERGE */
    {51, 50}, /* PR_SVE_GET_VL */
    {64, 63}, /* PR_SME_GET_VL */
    {56, 55}, /* PR_GET_TAGGED_ADDR_CTRL */
};

/* Settings of a process with a file each, proc(5). In a box they are not writable. */
static const char *const settings[] = {"oom_score_adj", "coredump_filter", "autogroup"};
#define HEXADECIMAL 1 /* the index of the hexadecimal one */

#define SPECULATIONS 3   /* PR_SPEC_STORE_BYPASS and the next ones */
#define GET_CPUID 0x1011 /* ARCH_GET_CPUID */
#define SET_CPUID 0x1012
#define IO_OF_PROCESS 1 /* IOPRIO_WHO_PROCESS */
#define NODES 1024u     /* the most memory nodes */

struct schedule { /* sched_setattr(2), as of Linux 5.3 */
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t clamp_least, clamp_most;
};

struct memory_policy { /* set_mempolicy(2) */
    int mode;
    unsigned long nodes[NODES / (8 * sizeof(unsigned long))];
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
    struct {
        dev_t device;
        ino_t inode;
    } root;
    long switches[COUNT_OF(switches)];
    long speculations[SPECULATIONS];
    int clock_denied; /* PR_GET_TSC */
    long cpuid;
    long memory_errors;
    int personality;
    int io_priority;
    struct schedule schedule;
    struct memory_policy memory_policy;
    stack_t signal_stack;
    struct {
        void *robust;
        size_t robust_size;
        int *tid;
    } at_exit;
    int protection_key; /* the next one to be allocated */
    char settings[COUNT_OF(settings)][32];
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

/* The kernel has 64 signals, glibc's sigset_t holds 1024. The first word holds those that exist. */
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
        if (sigaction(number, NULL, &action) == 0) /* fails for the two signals that glibc reserves */
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
        if (which == RLIMIT_LOCKS) /* it carries the guard's mark and the worker's tag */
            continue;
        if (setrlimit((__rlimit_resource_t)which, &state->limits[which]) == 0 ||
            getrlimit((__rlimit_resource_t)which, &limit) != 0)
            continue;
        /* The call lowered the hard limit for good. Raise the soft one as far as that allows. */
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
    struct sched_param param = {.sched_priority = 0}; /* the only value for policies that are not real-time */
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
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    syscall(SYS_capget, &header, privileges->capabilities);
    /* Only a process with a capability can drop one for its children. */
    for (int i = 0; privileges->capabilities[0].permitted && i < 64; i++) {
        const int bound = prctl(PR_CAPBSET_READ, i, 0, 0, 0);
        if (bound < 0)
            break;
        privileges->bounding |= (uint64_t)bound << i;
    }
}

static void read_root(struct state *state)
{
    struct stat status = {0};
    if (stat("/", &status) == 0) {
        state->root.device = status.st_dev;
        state->root.inode = status.st_ino;
    }
}

static void read_switches(struct state *state)
{
    for (size_t i = 0; i < COUNT_OF(switches); i++)
        state->switches[i] = prctl(switches[i].get, 0, 0, 0, 0);
}

static void write_switches(const struct state *state)
{
    for (size_t i = 0; i < COUNT_OF(switches); i++)
        if (prctl(switches[i].get, 0, 0, 0, 0) != state->switches[i])
            prctl(switches[i].set, state->switches[i], 0, 0, 0);
}

static void read_speculations(struct state *state)
{
    for (unsigned long i = 0; i < SPECULATIONS; i++)
        state->speculations[i] = prctl(PR_GET_SPECULATION_CTRL, i, 0, 0, 0);
}

static void write_speculations(const struct state *state)
{
    for (unsigned long i = 0; i < SPECULATIONS; i++)
        prctl(PR_SET_SPECULATION_CTRL, i, state->speculations[i] & ~(long)PR_SPEC_PRCTL, 0, 0);
}

static void read_clock(struct state *state)
{
    prctl(PR_GET_TSC, &state->clock_denied, 0, 0, 0);
}

static void write_clock(const struct state *state)
{
    prctl(PR_SET_TSC, state->clock_denied, 0, 0, 0);
}

static void read_cpuid(struct state *state)
{
#ifdef SYS_arch_prctl
    state->cpuid = syscall(SYS_arch_prctl, GET_CPUID, 0);
#else
    (void)state;
#endif
}

static void write_cpuid(const struct state *state)
{
#ifdef SYS_arch_prctl
    syscall(SYS_arch_prctl, SET_CPUID, state->cpuid);
#else
    (void)state;
#endif
}

static void read_memory_errors(struct state *state)
{
    state->memory_errors = prctl(PR_MCE_KILL_GET, 0, 0, 0, 0);
}

static void write_memory_errors(const struct state *state)
{
    prctl(PR_MCE_KILL, PR_MCE_KILL_SET, state->memory_errors, 0, 0);
}

static void read_personality(struct state *state)
{
    state->personality = personality(0xffffffff);
}

static void write_personality(const struct state *state)
{
    personality((unsigned long)state->personality);
}

static void read_io_priority(struct state *state)
{
    state->io_priority = (int)syscall(SYS_ioprio_get, IO_OF_PROCESS, 0);
}

/* Clear the priority first: the kernel then derives one from the niceness, which may be the saved one. */
static void write_io_priority(const struct state *state)
{
    syscall(SYS_ioprio_set, IO_OF_PROCESS, 0, 0);
    if (syscall(SYS_ioprio_get, IO_OF_PROCESS, 0) != state->io_priority)
        syscall(SYS_ioprio_set, IO_OF_PROCESS, 0, state->io_priority);
}

static void read_schedule(struct state *state)
{
    syscall(SYS_sched_getattr, 0, &state->schedule, sizeof(state->schedule), 0);
}

static void write_schedule(const struct state *state)
{
    syscall(SYS_sched_setattr, 0, &state->schedule, 0);
}

static void read_memory_policy(struct state *state)
{
    syscall(SYS_get_mempolicy, &state->memory_policy.mode, state->memory_policy.nodes, NODES, NULL, 0);
}

static void write_memory_policy(const struct state *state)
{
    syscall(SYS_set_mempolicy, state->memory_policy.mode, state->memory_policy.nodes, NODES);
}

static void read_signal_stack(struct state *state)
{
    stack_t stack = {0};
    sigaltstack(NULL, &stack);
    state->signal_stack.ss_sp = stack.ss_sp; /* field by field, because the struct has padding */
    state->signal_stack.ss_flags = stack.ss_flags;
    state->signal_stack.ss_size = stack.ss_size;
}

static void write_signal_stack(const struct state *state)
{
    sigaltstack(&state->signal_stack, NULL);
}

static void read_at_exit(struct state *state)
{
    syscall(SYS_get_robust_list, 0, &state->at_exit.robust, &state->at_exit.robust_size);
    prctl(PR_GET_TID_ADDRESS, &state->at_exit.tid, 0, 0, 0);
}

static void write_at_exit(const struct state *state)
{
    syscall(SYS_set_robust_list, state->at_exit.robust, state->at_exit.robust_size);
    syscall(SYS_set_tid_address, state->at_exit.tid);
}

/* Read the next key to be allocated, because the kernel does not list those in use. */
static void read_protection_key(struct state *state)
{
    state->protection_key = pkey_alloc(0, 0);
    if (state->protection_key > 0)
        pkey_free(state->protection_key);
}

static void read_settings(struct state *state)
{
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        char path[48];
        snprintf(path, sizeof(path), "/proc/self/%s", settings[i]);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
            (void)!read(fd, state->settings[i], sizeof(state->settings[i]) - 1);
    }
}

/* Convert each value to the form that its file accepts. Files give "1000", "00000033", "/autogroup-17 nice 0". */
static void write_settings(const struct state *state)
{
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        char path[48], text[16];
        snprintf(path, sizeof(path), "/proc/self/%s", settings[i]);
        const char *given = strrchr(state->settings[i], ' ');
        const long value = strtol(given ? given : state->settings[i], NULL, i == HEXADECIMAL ? 16 : 10);
        const int size = snprintf(text, sizeof(text), "%ld", value);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd >= 0)
            (void)!write(fd, text, (size_t)size);
    }
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
    bool every_call; /* else only if put_back() is thorough */
    const char *name;
    size_t offset;
    size_t size;
    void (*read)(struct state *state);
    void (*write)(const struct state *state); /* NULL: it cannot be restored */
} rows[] = {
    ROW(true, "working directory", directory, read_directory, write_directory),
    ROW(true, "locale", locale, read_locale, write_locale),
    ROW(true, "umask", mask, read_mask, write_mask),
    /* Timers precede handlers: a timer that fires in between must not meet the default action. */
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
    ROW(false, "root directory", root, read_root, NULL),
    ROW(false, "switches of the process", switches, read_switches, write_switches),
    ROW(false, "speculation", speculations, read_speculations, write_speculations),
    ROW(false, "the clock's counter", clock_denied, read_clock, write_clock),
    ROW(false, "the cpuid instruction", cpuid, read_cpuid, write_cpuid),
    ROW(false, "what follows an error of memory", memory_errors, read_memory_errors, write_memory_errors),
    ROW(false, "personality", personality, read_personality, write_personality),
    ROW(false, "input and output priority", io_priority, read_io_priority, write_io_priority),
    ROW(false, "scheduling attributes", schedule, read_schedule, write_schedule),
    ROW(false, "placement of memory", memory_policy, read_memory_policy, write_memory_policy),
    ROW(false, "stack of signals", signal_stack, read_signal_stack, write_signal_stack),
    ROW(false, "what the kernel does at a thread's end", at_exit, read_at_exit, write_at_exit),
    ROW(false, "protection keys", protection_key, read_protection_key, NULL),
    ROW(false, "settings in /proc", settings, read_settings, write_settings),
};

typedef struct {
    PyObject_HEAD struct state saved;
    struct state now;
    sigset_t blocked;
    fenv_t arithmetic; /* rounding, and modes that libraries built with -ffast-math set when they load */
    uint16_t x87;
    uint32_t sse;
    char **environment;
    size_t n_environment;
} State;

/* Save the thread's floating-point environment. The C library's fesetenv(3) does not restore x87's precision. */
static void save_arithmetic(State *self)
{
    fegetenv(&self->arithmetic);
#ifdef __x86_64__
    __asm__ volatile("fnstcw %0" : "=m"(self->x87));
    __asm__ volatile("stmxcsr %0" : "=m"(self->sse));
#endif
}

static void put_back_arithmetic(const State *self)
{
    fesetenv(&self->arithmetic);
#ifdef __x86_64__
    __asm__ volatile("fldcw %0" : : "m"(self->x87));
    __asm__ volatile("ldmxcsr %0" : : "m"(self->sse));
#endif
}

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

/* Save the present state, which put_back() restores. -1: no memory. */
static int state_save(State *self)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        rows[i].read(&self->saved);
    memset(self->saved.timers, 0, sizeof(self->saved.timers)); /* a running timer never reads the same twice */
    save_arithmetic(self);
    pthread_sigmask(SIG_SETMASK, NULL, &self->blocked);
    return save_environment(self);
}

PyDoc_STRVAR(put_back_doc,
             "put_back(thorough)\n--\n\n"
             "Restore the saved state. Returns a list of the names of rows that could not be restored.");

static PyObject *state_put_back(PyObject *object, PyObject *argument)
{
    State *self = (State *)object;
    int thorough = PyObject_IsTrue(argument);
    if (thorough < 0)
        return NULL;
    PyObject *failed = PyList_New(0);
    if (!failed)
        return NULL;
    put_back_arithmetic(self);
    uselocale(LC_GLOBAL_LOCALE);
    if (thorough)
        munlockall(); /* no interface reports whether anything is locked */
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
                          "Restore the signal mask. Call it last, because a pending signal may end the process.");

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
    if (self && state_save((State *)self) < 0) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
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
    {"put_back", state_put_back, METH_O, put_back_doc},
    {"unblock", state_unblock, METH_NOARGS, unblock_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot state_slots[] = {
    {Py_tp_doc, "The state of the kernel and the C library for this process, as it was when saved."},
    {Py_tp_new, state_new},
    {Py_tp_dealloc, state_dealloc},
    {Py_tp_methods, state_methods},
    {0, NULL},
};

PyType_Spec state_spec = {
    .name = "pinfold._worker.reset._state.State",
    .basicsize = sizeof(State),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = state_slots,
};
