"""Hostile programs: what each tries, and how to tell whether it got it.

Each body runs as ``def f(w)`` with `w`, a dict about the victims (`world.py`). It returns what it
got if the attack worked, nothing if it did not; an exception is a refusal. `check` looks from the
outside instead, where the program's own word is worth nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinfold import Limits, WorkerResult

MIB = 1 << 20

PRELUDE = """
import ctypes, errno, os, signal, socket, struct, sys, threading, time
signal.alarm(25)
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    libc.syscall.restype = ctypes.c_long
    value = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    return value, ctypes.get_errno()
def reached(number, *arguments):
    value, code = call(number, *arguments)
    if value < 0 and code in (errno.EPERM, errno.ENOSYS, errno.EACCES, errno.ESRCH):
        return None
    return "the kernel took it: %d, %s" % (value, os.strerror(code))
def read(path):
    with open(path, "rb") as file:
        return file.read(200)
def channel():
    for fd in range(3, 512):
        try:
            s = socket.socket(fileno=os.dup(fd))
        except OSError:
            continue
        if s.type == socket.SOCK_SEQPACKET:
            return s
    raise OSError("no channel")
def my_call():
    frame = sys._getframe()
    while "channel" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["channel"].call
def result_frame(call_id, payload, status=0, flags=0, kind=10, size=None, user=0, peak=0):
    body = struct.pack("<QQQQII", len(payload) if size is None else size, user, 0, peak, status, flags)
    total = 16 + len(body) + len(payload)
    return struct.pack("<HBBIQ", 0x4650, 1, kind, total, call_id) + body + payload
def payload(item):
    return struct.pack("<IIQ", 0x4C504650, 1, len(item)).ljust(64, b"\\0") + item
"""


@dataclass(frozen=True)
class Program:
    name: str
    tries: str
    body: str
    limits: Limits = Limits()  # noqa: RUF009
    at_none: bool = True
    """Whether it can be let loose on the machine that runs it, without a box."""
    fast: bool = False
    """Whether `make test` runs it."""
    beside: str = ""
    """What another call of the same backend does first, and then waits for the end of this one."""
    check: Callable[[WorkerResult, dict[str, Any]], bool] | None = None
    """True: the attack worked."""


def own(result: WorkerResult, world: dict[str, Any]) -> bool:
    """A frame for one's own call is as good as a return: more than that it must not do."""
    return result.outcome == "ok" and result.value not in (42, "honest")


def other(result: WorkerResult, world: dict[str, Any]) -> bool:
    """The first frame for one's own call may count, or none: nothing that came after it."""
    return result.outcome == "ok" and result.value != 42


def mixed(result: WorkerResult, world: dict[str, Any]) -> bool:
    """The value changed while it was read: it lies in one page, which is written as a whole or not."""
    return result.outcome == "ok" and result.value != "honest" and len(set(result.value)) != 1


def dumped(result: WorkerResult, world: dict[str, Any]) -> bool:
    return result.outcome == "ok" or any(Path(world["root"]).rglob("core*"))


def unbounded(result: WorkerResult, world: dict[str, Any]) -> bool:
    """Nothing but the deadline, at most, held it up."""
    return result.outcome in ("ok", "timeout")


def kept(result: WorkerResult, world: dict[str, Any]) -> bool:
    """The program was promised its end by a bad_result."""
    return result.outcome not in ("bad_result", "exception", "exited", "signalled")


def sys_call(name: str, number: int, arguments: str, tries: str, *, fast: bool = False) -> Program:
    return Program(
        f"syscall_{name}", tries, f"return reached({number}, {arguments})", at_none=False, fast=fast
    )


PROGRAMS: list[Program] = [
    # ---- reading what is not its own --------------------------------------------------------
    Program("read_secret_file", "reads a file of the caller's", "return read(w['secret'])", fast=True),
    Program("read_home", "lists the caller's home", "return os.listdir(w['home'])"),
    Program("read_shadow", "reads /etc/shadow", "return read('/etc/shadow')"),
    Program("read_hostname_file", "reads /etc/hostname", "return read('/etc/hostname')"),
    Program("read_ssh_keys", "reads keys in the caller's .ssh", "return read(w['key'])"),
    Program("read_caller_environ", "reads the caller's environment by /proc", "return read('/proc/%d/environ' % w['caller'])"),
    Program("read_caller_cmdline", "reads the caller's command line", "return read('/proc/%d/cmdline' % w['caller'])"),
    Program("read_caller_maps", "reads the caller's memory map", "return read('/proc/%d/maps' % w['caller'])"),
    Program("read_caller_memory", "reads the caller's memory by /proc/PID/mem", "fd = os.open('/proc/%d/mem' % w['caller'], os.O_RDONLY)\nreturn os.pread(fd, 8, w['address'])", fast=True),
    Program("read_caller_fd", "opens the caller's descriptors by /proc/PID/fd", "return [read('/proc/%d/fd/%d' % (w['caller'], w['fd']))]"),
    Program("read_caller_cwd", "goes through /proc/PID/cwd", "return os.listdir('/proc/%d/cwd' % w['caller'])"),
    Program("read_caller_root", "goes through /proc/PID/root", "return read('/proc/%d/root' % w['caller'] + w['secret'])"),
    Program("read_template_environ", "reads the template's environment", "return read('/proc/%d/environ' % os.getppid())"),
    Program("read_template_memory", "reads the template's memory", "fd = os.open('/proc/%d/mem' % os.getppid(), os.O_RDONLY)\nreturn fd + 1"),
    Program("read_pid_1", "reads the environment of process 1", "return read('/proc/1/environ') or None"),
    Program("read_processes", "reads the command lines of all processes", "return [read('/proc/%s/cmdline' % p) for p in os.listdir('/proc') if p.isdigit() and int(p) != os.getpid()]"),
    Program("read_own_environ_secret", "finds the caller's secret variable in its own environment", "return 'PINFOLD_HOSTILE_SECRET' in os.environ or b'HOSTILE_SECRET' in read('/proc/self/environ') or None"),
    Program("read_other_scratch", "reads what another call wrote to its scratch directory", "import glob\nmine = os.getcwd()\nplaces = glob.glob(w['spills'] + '/.pinfold-box-*/scratch/*/note') + glob.glob(os.path.dirname(mine) + '/*/note') + glob.glob('/proc/[0-9]*/cwd/note')\nreturn [read(p) for p in places] or None", beside="with open('note', 'w') as f: f.write('secret')"),
    Program("read_kernel_log", "reads the kernel's log", "return reached(103, 3, ctypes.create_string_buffer(100), 100)", at_none=False),
    Program("read_kmsg", "reads /dev/kmsg", "return os.open('/dev/kmsg', os.O_RDONLY | os.O_NONBLOCK)"),
    Program("read_kallsyms", "reads the kernel's addresses", "return read('/proc/kallsyms')"),
    Program("read_mem_device", "reads /dev/mem", "return os.open('/dev/mem', os.O_RDONLY)"),
    Program("read_disk_device", "opens the disk itself", "return os.open(w['disk'], os.O_RDONLY)"),
    Program("escape_by_dotdot", "leaves by a directory descriptor and ..", "for fd in range(3, 512):\n    try: return read_at(fd)\n    except OSError: pass" .replace("read_at(fd)", "os.open('../' * 20 + w['secret'].lstrip('/'), os.O_RDONLY, dir_fd=fd)")),
    Program("escape_by_symlink", "reads the secret through a link in its scratch directory", "os.symlink(w['secret'], 'link')\nreturn read('link')"),
    Program("escape_by_hard_link", "makes a hard link to the secret", "os.link(w['secret'], 'hard')\nreturn read('hard')"),
    Program("escape_by_chroot", "chroots and climbs out", "os.mkdir('c')\nos.chroot('c')\nreturn 'chrooted'", at_none=False),
    Program("escape_by_outside", "looks for what is left of the old root", "return os.listdir('/.outside')"),
    # ---- writing where it must not ----------------------------------------------------------
    Program("write_next_to_secret", "makes a file in the caller's directory", "open(os.path.dirname(w['secret']) + '/planted', 'w').close()\nreturn 'planted'"),
    Program("write_secret", "appends to the caller's file", "os.close(os.open(w['secret'], os.O_WRONLY | os.O_APPEND))\nreturn 'opened'"),
    Program("truncate_secret", "truncates the caller's file", "os.truncate(w['victim'], 0)\nreturn 'cut'"),
    Program("chmod_file", "opens the caller's file to everybody", "os.chmod(w['victim'], 0o777)\nreturn os.stat(w['victim']).st_mode & 0o777 == 0o777", fast=True),
    Program("chmod_by_descriptor", "changes the mode of a file that it may read", "fd, mode = os.open(os.__file__, os.O_RDONLY), os.stat(os.__file__).st_mode\nos.fchmod(fd, mode ^ 1)\nchanged = os.fstat(fd).st_mode != mode\nos.fchmod(fd, mode)\nreturn changed", at_none=False, fast=True),
    Program("chmod_newer_call", "the same by a system call of newer kernels", "reached(452, -100, w['victim'].encode(), 0o777, 0)\nreturn os.stat(w['victim']).st_mode & 0o777 == 0o777", fast=True),
    Program("chown_file", "gives the caller's file to another group", "os.chown(w['victim'], -1, 12345)\nreturn 'given'", fast=True),
    Program("date_file", "sets the times of the caller's file", "os.utime(w['victim'], (1, 1))\nreturn os.stat(w['victim']).st_mtime == 1", fast=True),
    Program("mark_file", "sets an attribute of the caller's file", "os.setxattr(w['victim'], 'user.mark', b'1')\nreturn 'marked'", fast=True),
    Program("flag_file", "sets the flags of a file that it may read", "import fcntl\nfd, flags = os.open(os.__file__, os.O_RDONLY), bytearray(8)\nfcntl.ioctl(fd, 0x80086601, flags)\nfcntl.ioctl(fd, 0x40086602, flags)\nreturn 'set'", fast=True),
    Program("watch_home", "waits for what happens in the caller's directory", "fd = libc.inotify_init()\nreturn None if libc.inotify_add_watch(fd, w['home'].encode(), 0xfff) < 0 else 'watches'", fast=True),
    Program("delete_file", "deletes the caller's file", "os.unlink(w['victim'])\nreturn 'gone'"),
    Program("rename_file", "renames the caller's file", "os.rename(w['victim'], w['victim'] + '.x')\nos.rename(w['victim'] + '.x', w['victim'])\nreturn 'renamed'"),
    Program("write_package", "writes into an installed package", "import pinfold\np = os.path.dirname(pinfold.__file__) + '/.hostile'\nopen(p, 'w').close()\nos.unlink(p)\nreturn p"),
    Program("write_tmp", "writes to /tmp outside of its scratch directory", "p = '/tmp/pinfold-hostile-%d' % os.getpid()\nopen(p, 'w').close()\ninside = os.path.realpath(p).startswith(os.getcwd())\nos.unlink(p)\nreturn None if inside else p"),
    Program("write_dev_shm", "writes to /dev/shm", "p = '/dev/shm/pinfold-hostile-%d' % os.getpid()\nopen(p, 'w').close()\ninside = os.path.realpath(p).startswith(os.getcwd())\nos.unlink(p)\nreturn None if inside else p"),
    Program("write_spill_dir", "makes a file with a name in the spill directory", "p = w['spills'] + '/planted'\nopen(p, 'w').close()\nos.unlink(p)\nreturn p"),
    Program("write_proc_sys", "changes a kernel setting", "open('/proc/sys/kernel/core_pattern', 'r+').close()\nreturn 'opened'"),
    Program("write_cgroup", "writes to the cgroups", "return [os.open(os.path.join('/sys/fs/cgroup', n), os.O_WRONLY) for n in ('cgroup.procs', 'unified/cgroup.procs') if os.path.exists('/sys/fs/cgroup/' + n)] or None"),
    Program("write_oom_score", "makes itself the last that the OOM killer takes", "v = open('/proc/self/oom_score_adj', 'r+')\nv.write('0')\nv.flush()\nreturn 'lowered'"),
    Program("setuid_program", "gains by a set-user-ID program", "import subprocess\nreturn [l for l in subprocess.run(['/bin/sh', '-c', 'cat /proc/self/status'], capture_output=True, text=True).stdout.splitlines() if l.startswith('NoNewPrivs') and l.endswith('0')] or None"),
    Program("mknod_device", "makes a device node of its own", "os.mknod('disk', 0o60600, os.makedev(254, 0))\nreturn os.open('disk', os.O_RDONLY)"),
    # ---- reaching out -----------------------------------------------------------------------
    Program("connect_tcp", "connects to a local server", "s = socket.create_connection(('127.0.0.1', w['tcp']), 3)\nreturn 'connected'", fast=True),
    Program("send_udp", "sends a datagram to a local server", "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nreturn s.sendto(b'x', ('127.0.0.1', w['udp']))"),
    Program("connect_ipv6", "connects over IPv6", "socket.socket(socket.AF_INET6).connect(('::1', w['tcp6']))\nreturn 'connected'"),
    Program("resolve_name", "asks a name server", "return socket.getaddrinfo('example.com', 80)"),
    Program("listen_tcp", "listens on a port", "s = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\nreturn s.getsockname()"),
    Program("raw_socket", "opens a raw socket", "return socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).fileno()"),
    Program("packet_socket", "listens to all traffic", "return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).fileno()"),
    Program("netlink_socket", "talks to the kernel by netlink", "return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).fileno() and None if os.listdir('/sys/class/net') == ['lo'] else socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).fileno()"),
    Program("vsock_socket", "talks to the hypervisor", "return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).fileno()"),
    Program("unix_path_socket", "connects to a socket with a path (a container engine's, say)", "s = socket.socket(socket.AF_UNIX)\ns.connect(w['unix'])\nreturn 'connected'"),
    Program("unix_abstract_socket", "connects to an abstract socket", "s = socket.socket(socket.AF_UNIX)\ns.connect(w['abstract'])\nreturn 'connected'", fast=True),
    Program("unix_datagram_pair", "sends from an unnamed pair to a named socket", "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\nreturn a.sendto(b'x', w['datagram'])"),
    Program("io_uring_socket", "goes around the filter by io_uring", "return reached(425, 8, ctypes.create_string_buffer(200))"),
    # ---- other processes --------------------------------------------------------------------
    Program("signal_sentinel", "stops another process of this user", "os.kill(w['sentinel'], signal.SIGCONT)\nreturn 'sent'", fast=True),
    Program("signal_template", "kills its template", "os.kill(os.getppid(), 0)\nreturn 'could'"),
    Program("signal_all", "kills all that it can", "os.kill(-1, signal.SIGCONT)", at_none=False),
    Program("signal_by_pidfd", "signals another process by a pidfd", "signal.pidfd_send_signal(os.pidfd_open(w['sentinel']), signal.SIGCONT)\nreturn 'sent'"),
    Program("signal_queue", "queues a signal with a value", "return reached(129, w['sentinel'], signal.SIGCONT, ctypes.create_string_buffer(struct.pack('iii', signal.SIGCONT, 0, -1), 128))"),
    Program("ptrace_attach", "traces another process", "v, c = call(101, 16, w['sentinel'], 0, 0)\nif v == 0: os.waitpid(w['sentinel'], 0x40000000); call(101, 17, w['sentinel'], 0, 0)\nreturn None if v else 'attached'"),
    Program("process_vm_read", "reads another process's memory by process_vm_readv", "b = ctypes.create_string_buffer(8)\nl = (ctypes.c_ulong * 2)(ctypes.addressof(b), 8)\nr = (ctypes.c_ulong * 2)(w['address'], 8)\nv, c = call(310, w['caller'], l, 1, r, 1, 0)\nreturn None if v < 0 else v"),
    Program("pidfd_steal", "takes a descriptor of the caller's", "v, c = call(438, os.pidfd_open(w['caller']), w['fd'], 0)\nreturn None if v < 0 else v"),
    Program("limit_other", "lowers another process's limits", "import resource\nreturn resource.prlimit(w['sentinel'], resource.RLIMIT_CORE)"),
    Program("move_other", "moves another process to one CPU", "os.sched_setaffinity(w['sentinel'], os.sched_getaffinity(0))\nreturn 'moved'"),
    Program("slow_other", "lowers another process's priority", "os.setpriority(os.PRIO_PROCESS, w['sentinel'], 1)\nreturn 'slowed'"),
    Program("reparent_daemon", "outlives the call by a double fork and setsid", "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(15)\n    os._exit(0)\nreturn None", fast=True),
    Program("outlive_by_subreaper", "outlives the call under a subreaper of its own", "if os.fork() == 0:\n    libc.prctl(36, 1, 0, 0, 0)\n    os.setsid()\n    for _ in range(3): os.fork()\n    time.sleep(15)\nreturn None"),
    Program("outlive_by_blocked_signals", "outlives the call with all signals ignored", "if os.fork() == 0:\n    for n in range(1, 65):\n        try: signal.signal(n, signal.SIG_IGN)\n        except (OSError, ValueError): pass\n    time.sleep(15)\nreturn None"),
    Program("outlive_by_exec", "outlives the call as another program", "if os.fork() == 0:\n    os.setsid()\n    os.execv('/bin/sleep', ['sleep', '15'])\nreturn None"),
    Program("outlive_by_new_process_group", "outlives the call by forking while it is killed", "def bomb():\n    for _ in range(60):\n        if os.fork() == 0:\n            os.setpgid(0, 0)\n            signal.alarm(15)\n        time.sleep(0.002)\nif os.fork() == 0:\n    bomb()\n    time.sleep(5)\n    os._exit(0)\nreturn None", limits=Limits(processes=50)),
    # ---- the result and the runtime ---------------------------------------------------------
    Program("forge_result", "sends a result frame of its own", "channel().send(result_frame(my_call(), payload(b'\\x18\\x2a')))\nreturn 'honest'", check=own),
    Program("forge_and_wait", "sends a result, and goes on computing", "channel().send(result_frame(my_call(), payload(b'\\x18\\x2a')))\ntime.sleep(1)\nreturn 'honest'", check=lambda r, w: r.metrics is not None and r.metrics.wall_time_s > 0.9),
    Program("forge_metrics", "claims to have used no time", "n = time.process_time()\nwhile time.process_time() - n < 0.3: pass\nchannel().send(result_frame(my_call(), payload(b'\\x18\\x2a')))\ntime.sleep(0.2)\nos._exit(0)", check=lambda r, w: r.metrics is not None and r.metrics.user_time_s + r.metrics.sys_time_s < 0.2, fast=True),
    Program("forge_other_call", "sends a result for another call", "channel().send(result_frame(my_call() + 1, payload(b'\\x18\\x2a')))\ntime.sleep(0.5)\nreturn 'honest'", check=kept),
    Program("two_results", "sends two results, one behind the other", "c, me = channel(), my_call()\nfor value in (b'\\x18\\x2a', b'\\x18\\x2b'): c.send(result_frame(me, payload(value)))\ntime.sleep(0.3)\nreturn 'honest'", check=other, fast=True),
    Program("late_result", "sends a second result when the first is told", "c, me = channel(), my_call()\nc.send(result_frame(me, payload(b'\\x18\\x2a')))\ntime.sleep(0.1)\nc.send(result_frame(me, payload(b'\\x18\\x2b')))\ntime.sleep(0.3)\nreturn 'honest'", check=other),
    Program("malformed_frame", "sends bytes that are no frame", "channel().send(b'x' * 100)\ntime.sleep(0.5)\nreturn 'honest'", check=kept),
    Program("empty_frame", "sends an empty message", "channel().send(b'')\ntime.sleep(0.3)\nreturn 'honest'", check=kept),
    Program("oversized_claim", "claims a payload of 2^60 bytes", "channel().send(result_frame(my_call(), payload(b'\\x18\\x2a'), size=1 << 60))\ntime.sleep(0.5)\nreturn 'honest'", check=kept),
    Program("hostile_payload", "sends a payload with a table that points outside", "p = struct.pack('<IIQ', 0x4C504650, 1, 1 << 40).ljust(64, b'\\0') + b'xx'\nchannel().send(result_frame(my_call(), p))\ntime.sleep(0.5)\nreturn 'honest'", check=kept),
    Program("wrong_descriptor", "sends a pipe as its spill", "r, w_ = os.pipe()\nsocket.send_fds(channel(), [result_frame(my_call(), b'', size=100, flags=1)], [r])\ntime.sleep(0.5)\nreturn 'honest'", check=kept),
    Program("open_spill", "keeps its spill open for writing, and changes it later", "fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o600)\nsize = 4000\ndata = payload(b'\\x59' + size.to_bytes(2, 'big') + b'a' * size)\nos.write(fd, data)\nif os.fork() == 0:\n    signal.alarm(5)\n    while True:\n        os.pwrite(fd, b'b' * size, 64 + 3)\n        os.pwrite(fd, b'a' * size, 64 + 3)\nreader = os.open('/proc/self/fd/%d' % fd, os.O_RDONLY)\nsocket.send_fds(channel(), [result_frame(my_call(), b'', size=len(data), flags=1)], [reader])\ntime.sleep(0.5)\nreturn 'honest'", check=mixed),
    Program("shrinking_spill", "cuts its spill after it was sent", "fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o600)\ndata = payload(b'\\x18\\x2a')\nos.write(fd, data)\nreader = os.open('/proc/self/fd/%d' % fd, os.O_RDONLY)\nsocket.send_fds(channel(), [result_frame(my_call(), b'', size=len(data), flags=1)], [reader])\nos.ftruncate(fd, 0)\ntime.sleep(0.5)\nreturn 'honest'", check=own),
    Program("flood_frames", "floods the pool with frames", "c = channel()\nc.setblocking(False)\nend = time.time() + 1\nwhile time.time() < end:\n    try: c.send(result_frame(my_call(), b'x', kind=11))\n    except OSError: pass\nreturn None"),
    Program("recursive_value", "returns a value that is nested without end", "v = []\nfor _ in range(100000): v = [v]\nreturn v", check=lambda r, w: r.outcome == "ok"),
    Program("speak_to_template", "finds the template's socket and asks for a worker", "n = 0\nfor fd in range(3, 512):\n    try: s = socket.socket(fileno=os.dup(fd))\n    except OSError: continue\n    n += s.type == socket.SOCK_SEQPACKET\nreturn n - 1 or None"),
    Program("tamper_codec", "patches the codec, so that a later call's value changes", "import pinfold.codec, pinfold.runtime.execute\npinfold.codec.encode = lambda *a: [b'\\x00']\nreturn None"),
    Program("tamper_outcome", "patches the runtime, so that all calls succeed", "import pinfold.runtime.execute as e\ne.Executor._call = lambda *a: (0, [b'\\x00'])\nreturn None"),
    Program("tamper_builtins", "patches builtins for later calls", "import builtins\nbuiltins.range = None\nreturn None"),
    Program("tamper_atexit", "runs code at the worker's end", "import atexit\natexit.register(lambda: open(w['secret'] + '.late', 'w'))\nreturn None"),
    # ---- the kernel's doors -----------------------------------------------------------------
    sys_call("unshare_user", 272, "0x10000000", "makes a user namespace, to be root in it", fast=True),
    sys_call("clone_user", 56, "0x10000000 | 17, 0, 0, 0, 0", "the same by clone"),
    sys_call("clone3", 435, "0, 0", "the same by clone3, whose flags no filter sees"),
    sys_call("setns", 308, "-1, 0", "enters another namespace"),
    sys_call("mount", 165, "b'x', b'/', b'tmpfs', 0, 0", "mounts"),
    sys_call("umount", 166, "b'/nonexistent', 0", "unmounts"),
    sys_call("pivot_root", 155, "b'/x', b'/x'", "changes the root"),
    sys_call("open_tree", 428, "-100, b'/', 1", "copies a mount"),
    sys_call("bpf", 321, "0, 0, 0", "loads a program into the kernel"),
    sys_call("perf_event_open", 298, "0, 0, -1, -1, 0", "counts the events of all"),
    sys_call("userfaultfd", 323, "0", "handles its own page faults, a tool of exploits"),
    sys_call("keyctl", 250, "0, -3, 0", "reads the caller's keyrings"),
    sys_call("add_key", 248, "b'user', b'x', b'y', 1, -3", "puts a key into the session's ring"),
    sys_call("init_module", 175, "0, 0, b''", "loads a kernel module"),
    sys_call("kexec", 246, "0, 0, 0, 0", "loads another kernel"),
    sys_call("reboot", 169, "1, 2, 3", "reboots"),
    sys_call("swapoff", 168, "b'/nonexistent'", "turns off swap"),
    sys_call("settime", 227, "0, 0", "sets the clock"),
    sys_call("sethostname", 170, "b'', -1", "renames the host"),
    sys_call("iopl", 172, "3", "reaches the hardware's ports"),
    sys_call("open_by_handle", 304, "-100, 0, 0", "opens a file by its number, past all directories"),
    sys_call("x32", 0x40000000 | 39, "0", "calls by the numbers of x32, past a filter"),
    sys_call("shmget", 29, "0, 4096, 0o1600", "makes System V memory, which outlives it"),
    sys_call("msgget", 68, "0, 0o1600", "makes a System V queue, which outlives it"),
    sys_call("mq_open", 240, "b'pinfold-hostile', 66, 0o600, 0", "makes a message queue, which outlives it"),
    # ---- using up ---------------------------------------------------------------------------
    Program("use_memory", "allocates without end", "held = []\nwhile len(held) < 300: held.append(b'x' * (8 << 20))\nreturn len(held)", Limits(memory_bytes=128 * MIB), fast=True),
    Program("use_memory_threads", "allocates in eight threads", "held = []\ndef g():\n    while len(held) < 400: held.append(b'x' * (4 << 20))\nts = [threading.Thread(target=g) for _ in range(8)]\n[t.start() for t in ts]\n[t.join() for t in ts]\nreturn len(held)", Limits(memory_bytes=128 * MIB)),
    Program("use_shared_memory", "allocates shared memory", "import mmap\nm = mmap.mmap(-1, 1 << 30)\nfor at in range(0, 1 << 30, 4096): m[at] = 1\nreturn len(m)", Limits(memory_bytes=128 * MIB)),
    Program("use_memfd", "fills a file in memory that nobody maps", "fd = os.memfd_create('x')\nfor _ in range(48): os.write(fd, b'x' * (8 << 20))\nreturn os.fstat(fd).st_size", Limits(memory_bytes=128 * MIB, file_bytes=512 * MIB)),
    Program("use_pids", "forks without end", "signal.alarm(20)\nn = 0\nwhile n < 400:\n    if os.fork() == 0:\n        signal.alarm(15)\n        time.sleep(15)\n    n += 1\ntime.sleep(5)\nreturn n", Limits(processes=32)),
    Program("use_threads", "starts threads without end", "n = 0\nwhile n < 2000:\n    threading.Thread(target=time.sleep, args=(5,), daemon=True).start()\n    n += 1\nreturn n", Limits(address_space_bytes=4 << 30)),
    Program("use_descriptors", "opens descriptors without end", "n = 0\nwhile n < 100000: os.open('/dev/null', 0); n += 1\nreturn n", Limits(open_files=256)),
    Program("use_pipes", "fills pipes without end", "n = 0\nwhile n < 5000:\n    r, x = os.pipe()\n    os.set_blocking(x, False)\n    os.write(x, b'x' * 65536)\n    n += 1\nreturn n", Limits(open_files=256)),
    Program("use_inotify", "makes inotify instances without end", "n = 0\nwhile n < 200:\n    if libc.inotify_init1(0) < 0: raise OSError(ctypes.get_errno(), 'no more')\n    n += 1\nreturn n", Limits(open_files=100)),
    Program("use_disk_sparse", "makes a file of a terabyte", "with open('big', 'wb') as f: f.truncate(1 << 40)\nreturn 'made'", Limits(file_bytes=MIB)),
    Program("use_disk_many", "fills the disk with many files", "n = 0\nwhile n < 300:\n    with open('f%d' % n, 'wb') as f: f.write(b'x' * (4 << 20))\n    n += 1\nreturn n", Limits(file_bytes=8 * MIB), check=unbounded),
    Program("use_inodes", "makes files without end", "n = 0\nwhile n < 70000:\n    os.close(os.open('f%d' % n, os.O_CREAT | os.O_WRONLY)); n += 1\nreturn n", check=unbounded),
    Program("use_depth", "makes directories too deep to remove", "for n in range(3000):\n    os.mkdir('d')\n    os.chdir('d')\nos.chmod('.', 0)\nreturn None", fast=True),
    Program("use_output", "prints without end", "n = 0\nwhile True: print('x' * 65536)", Limits(cpu_s=1, output_bytes=1000)),
    Program("use_cpu", "computes without end", "while True: pass", Limits(cpu_s=0.5)),
    Program("use_time", "sleeps without end, signals blocked", "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nwhile True: time.sleep(1000)"),
    Program("use_stopped", "stops itself", "os.kill(os.getpid(), signal.SIGSTOP)"),
    Program("use_core", "dumps core", "os.abort()", check=dumped),
    Program("use_locked_memory", "locks memory", "import mmap\nm = mmap.mmap(-1, 512 << 20)\nreturn None if libc.mlockall(3) else 'locked'", Limits(memory_bytes=128 * MIB)),
]  # fmt: skip
