/* _runtime.h - what the files of the extension share: it runs inside a template and its workers.
 *
 * Theory of operation. template.py starts a clean interpreter, receives the pool's FRAME_SETUP, loads what it is
 * told to load, and calls serve(). That loop (_serve.c) forks a worker for each FRAME_START and returns in the
 * worker only; there, worker.py sits between a Channel (_channel.c), which speaks to the pool, and the code that
 * runs a call. In spawn mode the new process execs template.py again, which comes to the same Channel.
 *
 * What is told to a process that it must not lose (its channel, say) lies in a *seat*: a descriptor number far
 * above those that a program uses, or closes, by counting up from 3.
 */
#ifndef PINFOLD_RUNTIME_H
#define PINFOLD_RUNTIME_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "spill.h"

enum seat {
    /* Of the template alone: a worker closes them, in one range. */
    SEAT_CONTROL,
    SEAT_SIGNALS,
    SEAT_GUARD,
    SEAT_CHILDREN,
    SEAT_SCRATCH,
    SEAT_TRASH,
    SEAT_BASE,    /* by which it is held */
    SEAT_OUTSIDE, /* the spill directory, in which it lies */
    SEAT_OOM,
    /* Of a worker; the template keeps them taken, so that nothing else sits down there. */
    SEAT_CHANNEL,
    SEAT_IN,
    SEAT_OUT,
    SEAT_ERR,
    SEAT_STACK,
    SEAT_CLEAR_REFS,
    SEAT_SPILLS,
    SEAT_TIMERS,
    SEATS
};

/* _seat.c: where the seats are in this process; the first call decides. */
int seat_fd(enum seat seat);
int seat_open(void);                   /* takes all of them, with /dev/null. 0 or a negative errno */
int seat_put(enum seat seat, int fd);  /* moves fd there and closes the old number. Closes it on failure, too */
int seat_copy(enum seat seat, int fd); /* duplicates fd there */
int seat_renew(
    void); /* in a worker: /dev/null, there and as its input, is opened for it alone. 0 or a negative errno */
void seat_close(enum seat first, enum seat last);

/* _stack.c: a worker tells where the program stands, on request and before it dies of a crash. */
#define STACK_ASK_SIGNAL (SIGRTMAX - 3)
int stack_arm_beneath(void);       /* before faulthandler.enable() and faulthandler.register() */
int stack_arm_above(void);         /* after them */
void stack_of_call(uint64_t call); /* what is told belongs to this call; 0: tell nothing */
void stack_of_worker(void);        /* this process is a worker: it has a channel */

/* _child.c: a process that was just forked becomes a worker. Async-signal-safe, all of it: in spawn mode the
 * interpreter of the template is still beneath. */
struct child {
    pid_t template; /* whose death ends it; 0: it outlives its template */
    sigset_t mask;  /* for the program */
    uint64_t tag;   /* of it and all that it starts (sweep.h) */
    int fds[3];     /* channel, stdout, stderr, as they were received */
};
void child_settle(const struct child *child); /* tells the pool a failure, and ends the process then */
pid_t child_fork(void);   /* as os.fork(), but PyOS_AfterFork_Child() is the caller's; a negative errno */
int child_rehearse(void); /* forks one that does nothing, and waits for it */
void child_exec(const struct child *child, char *const *command); /* does not return; tells the pool a failure */

/* _printed.c: sys.stdout and sys.stderr over a buffer that the pool has when this process is dead. */
struct printed;
int printed_init(PyObject *module); /* 0, or -1 with an exception set */
PyObject *printed_open(PyObject *module, PyObject *arguments);
PyObject *printed_exit_function(void);      /* what os._exit is from now on */
void printed_share(struct printed *shared); /* the buffer is there, and this process a worker */
void printed_flush(
    bool last); /* writes out Python's and C's buffers, with the GIL; if `last`, drops what nobody takes */
PyObject *printed_before_fork(PyObject *module, PyObject *unused);
void printed_keep_c(void); /* copies C's, for the pool to find. Async-signal-safe, and takes no lock */

/* _channel.c */
extern PyType_Spec channel_spec, payload_spec;
PyObject *channel_new(PyObject *module, bool reused);

/* Whether what calls write lies in a base of this template's (scratch.h): SEAT_BASE, SEAT_OUTSIDE. */
extern bool runtime_has_base;
extern bool runtime_needs_base; /* and no worker is made without it */

/* Whether SEAT_SCRATCH holds the directory with one of each worker, and SEAT_TRASH the one for their remains. */
extern bool runtime_has_scratch;

/* _imports.c: which modules are imported from now on that were not loaded, and how long that takes. To be watched once
 * in a process. */
PyObject *imports_watch(void);
PyObject *imports_take(void);

/* _serve.c: forks workers until the pool or the guard is gone, and then exits with everything below. Returns in a
 * worker, with its id; or NULL with an exception set, in the template before it served, or in a worker. `step` is
 * called meanwhile, until it does not return True; NULL: nothing is. */
PyObject *serve_run(uint32_t flags, char *const *command, PyObject *step);
#define COMMAND_MAX 96 /* words of `command`, before it adds its own */

/* _runtime.c */
void runtime_remove_base(void);   /* of this template, at its end, and any that nobody holds */
void runtime_outlive_guard(void); /* from now on a dead guard does not end this template, but serve_run() */
struct runtime {
    PyTypeObject *channel_type;
    PyTypeObject *payload_type;
    PyTypeObject *segment_type;
    PyTypeObject *writer_type;
    PyTypeObject *text_type;
};
struct runtime *runtime_of(PyObject *module);
extern struct spill_dir runtime_spills; /* its descriptor is SEAT_SPILLS, if it has one */
bool runtime_restore_spills(void);      /* makes it again if somebody has removed it, and says if that was so */

/* _home.c */
PyObject *source_make(PyObject *module, PyObject *arguments);
PyObject *source_slot(PyObject *module, PyObject *arguments);
PyObject *source_write(PyObject *module, PyObject *arguments);
PyObject *home_use_berths(PyObject *module, PyObject *arguments);
PyObject *home_own_berth(PyObject *module, PyObject *unused);
PyObject *home_draft_berth(PyObject *module, PyObject *unused);
PyObject *home_enter_berth(PyObject *module, PyObject *environ);

PyObject *raise_errno(int code, const char *doing); /* OSError; code is a negative errno; returns NULL */

#endif
