/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.h - shared by the files of the extension _runtime, which runs inside a template and its workers.
 *
 * Theory of operation. template.py starts a clean interpreter, receives the pool's SETUP, loads the
 * preloads, and calls serve(). That loop (serve.c) forks a worker for each START and returns in the worker
 * only. There, worker.py connects a Channel (channel.c), which speaks to the pool, with the code that runs a call.
 * In spawn mode the new process execs template.py again, which opens the same kind of Channel.
 *
 * A descriptor that a process must not lose (its channel, say) gets a reserved number, far above those that a
 * program uses, or closes, by counting up from 3.
 */
#ifndef PINFOLD_RUNTIME_H
#define PINFOLD_RUNTIME_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pinfold_worker.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/spill.h"

enum reserved_fd {
    /* The template's: a worker closes them, in one range. */
    RESERVED_CONTROL,
    RESERVED_SIGNALS,
    RESERVED_GUARD,
    RESERVED_CHILDREN,
    RESERVED_SCRATCH,
    RESERVED_TRASH,
    RESERVED_BASE,    /* holds the lock on the base directory */
    RESERVED_OUTSIDE, /* the spill directory, which contains the base directory */
    RESERVED_OOM,
    /* A worker's. The template keeps them open, so that no other descriptor gets these numbers. */
    RESERVED_CHANNEL,
    RESERVED_IN,
    RESERVED_OUT,
    RESERVED_ERR,
    RESERVED_STACK,
    RESERVED_CLEAR_REFS,
    RESERVED_SPILLS,
    RESERVED_TIMERS,
    RESERVED_FDS
};

/* reserved_fd.c: return the descriptor number, in this process. reserved_open() chooses the range. */
int reserved_fd(enum reserved_fd which);
int reserved_open(void); /* opens all of them on /dev/null. 0 or a negative errno */
/* Move fd to the reserved number. Closes the old number, on failure too. */
int reserved_put(enum reserved_fd which, int fd);
int reserved_copy(enum reserved_fd which, int fd); /* duplicates fd to the reserved number */
/* In a worker: open /dev/null for it alone, at the reserved numbers and as its input. 0 or a negative errno. */
int reserved_renew(void);
void reserved_close(enum reserved_fd first, enum reserved_fd last);

/* stack.c: report the program's stack, on request and before the worker dies of a crash. */
int stack_arm_beneath(void);       /* before faulthandler.enable() and faulthandler.register() */
int stack_arm_above(void);         /* after them */
void stack_of_call(uint64_t call); /* the call whose stacks are sent; 0: send none */
void stack_of_worker(void);        /* call it in a worker once it has its channel */
/* Pass requests for a stack on to this process; 0: answer them again. Returns whether one was passed on before. */
bool stack_pass_on(pid_t process);

/* child.c: make a process that was just forked a worker. All of it is async-signal-safe, because in spawn mode the
 * process still runs on the template's interpreter. */
struct child {
    pid_t template; /* a worker dies with it; 0: it outlives its template */
    sigset_t mask;  /* the program's signal mask */
    uint64_t tag;   /* the worker's, and that of all that it starts (sweep.h) */
    int fds[3];     /* channel, stdout, stderr, as received */
};
void child_become_worker(const struct child *child); /* on failure reports to the pool, and exits */
pid_t child_fork(void);    /* like os.fork(), but the caller runs PyOS_AfterFork_Child(); a negative errno */
int child_fork_once(void); /* forks a child that exits at once, and waits for it */
void child_exec(const struct child *child, char *const *command); /* on failure the same; does not return */

/* printed.c: sys.stdout and sys.stderr over the printed buffer, which outlives this process. */
struct pinfold_printed;
int printed_init(PyObject *module); /* 0, or -1 with an exception set */
PyObject *printed_open(PyObject *module, PyObject *arguments);
PyObject *printed_exit_function(void);              /* the replacement for os._exit */
void printed_share(struct pinfold_printed *shared); /* in a worker: uses this buffer from now on */
void printed_share_again(void); /* in the process of a call that its worker forked: uses the worker's buffer */
/* That process is dead. What it left in the buffer is for the pool, if it was killed: it may have died during a
 * write, and only the pool can tell whether the bytes went into the pipe. Else it is lost, or written here. */
enum printed_rest { PRINTED_LEAVE, PRINTED_DROP, PRINTED_WRITE };
void printed_end(enum printed_rest rest);
/* Write out Python's and C's buffers, with the GIL. If `last`, drop bytes that cannot be written. */
void printed_flush(bool last);
PyObject *printed_exact(PyObject *module, PyObject *argument); /* whether the streams work as the interpreter's */
PyObject *printed_exact_as(PyObject *module, PyObject *arguments);
PyObject *printed_before_fork(PyObject *module, PyObject *unused);
void printed_keep_c(void); /* copies C's buffer for the pool; async-signal-safe, takes no lock */

/* collector.c */
PyObject *collector_fork(PyObject *module, PyObject *unused);
PyObject *collector_wait(PyObject *module, PyObject *arguments);
uint64_t collector_take_peak_kb(void); /* of the last call that ran in a child; 0: none since the last time */

/* channel.c */
extern PyType_Spec channel_spec, payload_spec;
void channel_restore_streams(void); /* for a reused worker only */
PyObject *payload_map_file(PyObject *module, PyObject *arguments);
PyObject *channel_new(PyObject *module, bool reused);

/* Whether calls write below the template's base directory (scratch.h): RESERVED_BASE, RESERVED_OUTSIDE. */
extern bool runtime_has_base;
extern bool runtime_needs_base; /* no worker starts without it */

/* Whether RESERVED_SCRATCH holds the parent of the scratch directories, RESERVED_TRASH that of their remains. */
extern bool runtime_has_scratch;

/* imports.c: record the modules that are loaded from now on, and how long each takes. Watch once per process. */
PyObject *imports_watch(void);
PyObject *imports_take(void);

/* serve.c: fork workers until the pool or the guard is gone, then exit with all descendants. Returns in a worker,
 * with its id; or NULL with an exception set, in a worker, or in the template before it served. Calls `step`,
 * unless NULL, in between, until it does not return True. */
PyObject *serve_run(uint32_t flags, char *const *command, PyObject *step);
#define COMMAND_MAX 96 /* words of `command`, before serve_run adds its own */

/* runtime.c */
void runtime_remove_base(void);   /* of this template, at its end, and those that no template holds */
void runtime_outlive_guard(void); /* from now on the guard's death does not end this template; serve_run() does */
struct runtime {
    PyTypeObject *channel_type;
    PyTypeObject *payload_type;
    PyTypeObject *segment_type;
    PyTypeObject *writer_type;
    PyTypeObject *text_type;
};
struct runtime *runtime_of(PyObject *module);
extern struct spill_dir runtime_spills; /* its descriptor, if any, is RESERVED_SPILLS */
bool runtime_restore_spills(void);      /* makes a removed directory again; returns whether it was removed */

/* source.c, box_slot_python.c */
PyObject *source_make(PyObject *module, PyObject *arguments);
PyObject *source_slot(PyObject *module, PyObject *arguments);
PyObject *source_write(PyObject *module, PyObject *arguments);
PyObject *py_use_box_slots(PyObject *module, PyObject *arguments);
PyObject *py_own_box_slot(PyObject *module, PyObject *unused);
PyObject *py_draft_box_slot(PyObject *module, PyObject *unused);
PyObject *py_enter_box_slot(PyObject *module, PyObject *environ);

PyObject *raise_errno(int code, const char *doing); /* sets OSError, or MemoryError for -ENOMEM; returns NULL */

#endif
