/* SPDX-License-Identifier: Apache-2.0 */
/* probe.c - pinfold._host._probe: which of the kernel's means of containment this machine and user have. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"

/* Landlock's own number and flag (landlock(7)): the headers of a build machine may be older than its kernel. */
#define SYS_CREATE_RULESET 444
#define CREATE_RULESET_VERSION 1u

/* Return Landlock's ABI, from 1, or a negative errno: why there is none. */
static int landlock_abi(void)
{
    long abi = syscall(SYS_CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);
    return abi < 0 ? -errno : (int)abi;
}

/* Return 0 if filters of system calls can be had, else a negative errno. */
static int seccomp_probe(void)
{
    /* The kernel looks at the program first, and finds no memory there: -EFAULT is the answer of one that could. */
    long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL);
    return r < 0 && errno == EFAULT ? 0 : -errno;
}

struct answer {
    int step, code;
};

static int probe_write_file(const char *path, const char *text)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* Make what the "strict" level is made of. Use system calls only, because the caller has threads. */
static struct answer attempt(unsigned uid, unsigned gid)
{
    char users[32], groups[32];
    snprintf(users, sizeof(users), "%u %u 1", uid, uid);
    snprintf(groups, sizeof(groups), "%u %u 1", gid, gid);
    if (syscall(SYS_unshare, CLONE_NEWUSER) < 0)
        return (struct answer){0, errno};
    int r = probe_write_file("/proc/self/setgroups", "deny");
    if (r == 0)
        r = probe_write_file("/proc/self/uid_map", users);
    if (r == 0)
        r = probe_write_file("/proc/self/gid_map", groups);
    if (r < 0)
        return (struct answer){1, -r};
    if (syscall(SYS_unshare, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        return (struct answer){2, errno};
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return (struct answer){3, errno};
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        r = mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 ? errno : 0;
        _exit(r);
    }
    int status = 0;
    if (child < 0 || RETRY_EINTR(waitpid(child, &status, __WALL)) < 0)
        return (struct answer){2, errno};
    return (struct answer){4, WIFEXITED(status) ? WEXITSTATUS(status) : EPERM};
}

/* Return 0 if a process of this user can have them, else a negative errno and the step that failed. */
static int namespaces_probe(int *ret_step)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    unsigned uid = geteuid(), gid = getegid();
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        alarm(10);
        signal(SIGCHLD, SIG_DFL); /* waitpid fails with an inherited SIG_IGN */
        struct answer answer = attempt(uid, gid);
        _exit(write(ends[1], &answer, sizeof(answer)) != sizeof(answer));
    }
    int code = errno;
    close(ends[1]);
    struct answer answer = {0, child < 0 ? code : EPERM};
    if (child > 0) {
        ssize_t got = RETRY_EINTR(read(ends[0], &answer, sizeof(answer)));
        (void)got;
        RETRY_EINTR(waitpid(child, NULL, __WALL));
    }
    close(ends[0]);
    *ret_step = answer.step;
    return -answer.code;
}

static PyObject *probe(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    (void)module;
    int step = 0;
    int spaces = namespaces_probe(&step);
    return Py_BuildValue("{sisisisi}", "landlock", landlock_abi(), "seccomp", seccomp_probe(), "namespaces",
                         spaces, "namespaces_step", step);
}

static PyMethodDef methods[] = {
    {"probe", probe, METH_NOARGS,
     "probe() -> {name: number, or a negative errno}\n\n"
     "\"landlock\": its ABI. \"seccomp\", \"namespaces\": 0. \"namespaces_step\": the step that failed."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "pinfold._host._probe",
    .m_doc = "What this machine's kernel can do.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__probe(void)
{
    return PyModuleDef_Init(&definition);
}
