# SPDX-License-Identifier: Apache-2.0
"""Programs that change a later call's surroundings, reach others around the filters, or exhaust
resources that all processes of a user or of the machine share."""

from __future__ import annotations

from hostile_base import MIB, Program, harmless
from pinfold import Limits


def on_places(name: str, tries: str, body: str, *, at_none: bool = False) -> list[Program]:
    """Return one program for each place whose inode a later call meets again."""
    places = {
        "root": ("the view's root", "'/'"),
        "proc": ("/proc", "'/proc'"),
        "spills": ("the spill directory", "spills(w)"),
        "base": ("the directory around its scratch directory", "base()"),
        "parent": ("the directory above it", "os.path.dirname(base())"),
        "dev": ("/dev", "'/dev'"),
        "device": ("/dev/null", "'/dev/null'"),
        "scratch": ("its scratch directory", "os.getcwd()"),
    }
    return [
        Program(f"{name}_{key}", f"{tries} {what}", f"at = {place}\n{body}", at_none=at_none, kind="H")
        for key, (what, place) in places.items()
        if not (key == "scratch" and name == "plant")
    ]


ELSEWHERE = """
def elsewhere(w):
    here = os.getcwd()
    if os.path.basename(here) == "work": here = os.path.dirname(here)  # the source is there as well
    own = os.stat(here).st_dev if os.path.ismount(here) else None  # strict: also /tmp and /dev/shm
    for at in ('/', '/tmp', '/var/tmp', '/dev/shm', '/dev', '/run', '/proc', '/sys', '/home', '/root', sys.prefix,
               spills(w), base(), os.path.dirname(base()), os.path.dirname(here), w['home'], w['root'],
               os.path.dirname(w['package']), '/dev/mqueue', '/.outside'):
        if os.path.exists(at) and os.stat(at).st_dev == own: continue
        if not os.path.realpath(at).startswith(here): yield at
def fills(make, at):
    try: make(at)
    except OSError: return False
    return True
"""

PROGRAMS: list[Program] = [
    # ---- what later calls see ---------------------------------------------------------------
    *on_places(
        "chmod",
        "changes the mode of",
        "mode = os.stat(at).st_mode\nos.chmod(at, mode ^ 0o011)\nchanged = os.stat(at).st_mode != mode\nif level_is_standard: os.chmod(at, mode)\nreturn changed and 'scratch' not in at".replace(
            "level_is_standard", "os.path.exists('/etc/shadow')"
        ),
    ),
    *on_places(
        "date",
        "sets the times of",
        "os.utime(at, (1, 1))\nreturn os.stat(at).st_mtime == 1 and 'scratch' not in at",
    ),
    *on_places(
        "mark",
        "sets an attribute of",
        "os.setxattr(at, 'user.planted', b'1')\nreturn os.listxattr(at) and 'scratch' not in at",
    ),
    *on_places(
        "plant",
        "makes an entry in",
        "made = []\nfor make in (os.mkdir, lambda p: open(p, 'w').close(), lambda p: os.symlink('x', p), os.mkfifo):\n    try: make(at + '/' + w['planted'])\n    except OSError: continue\n    made.append(at)\n    break\nreturn made or None",
    ),
    Program(
        "chmod_proc_file",
        "changes the mode of a file in /proc, which is the machine's",
        "at = '/proc/uptime'\nmode = os.stat(at).st_mode\nos.chmod(at, mode ^ 1)\nchanged = os.stat(at).st_mode != mode\nos.chmod(at, mode)\nreturn changed",
        at_none=False,
        kind="H",
    ),
    Program(
        "chmod_proc_setting",
        "changes the mode of a kernel setting",
        "at = '/proc/sys/kernel/pid_max'\nmode = os.stat(at).st_mode\nos.chmod(at, mode ^ 1)\nchanged = os.stat(at).st_mode != mode\nos.chmod(at, mode)\nreturn changed",
        at_none=False,
        kind="H",
    ),
    Program(
        "date_by_descriptor",
        "sets the times of the view's root by a descriptor of it",
        "fd = os.open('/', os.O_RDONLY)\nos.utime(fd, (1, 1))\nreturn os.stat('/').st_mtime == 1",
        at_none=False,
        kind="H",
    ),
    Program(
        "access_time",
        "leaves the time of a look at the spill directory",
        "os.listdir(spills(w))\nreturn None",
        kind="H",
    ),
    Program(
        "rename_root_entry",
        "renames an entry of the view's root",
        "os.rename('/tmp', '/' + w['planted'])\nreturn 'renamed'",
        at_none=False,
        kind="H",
    ),
    Program(
        "link_into_root",
        "makes a hard link in the view's root",
        "open('f', 'w').close()\nos.link('f', '/' + w['planted'])\nreturn 'linked'",
        at_none=False,
        kind="H",
    ),
    Program(
        "remove_root_entry",
        "removes the names /tmp and /dev/shm from the view",
        "os.unlink('/tmp')\nreturn 'removed'",
        at_none=False,
        levels=("strict",),
        kind="H",
    ),
    # ---- what the worker that is used again, or its pipes, keep -----------------------------
    Program(
        "shrink_pipes",
        "makes its pipes to the pool small, or large",
        "for fd in (1, 2): fcntl.fcntl(fd, 1031, 4096)\nreturn None",
        kind="H",
    ),
    Program(
        "packet_pipes",
        "turns its pipes into packet pipes that do not wait",
        "for fd in (1, 2): fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK | 0o40000 | os.O_APPEND)\nprint('x' * 200000)\nreturn None",
        kind="H",
    ),
    Program(
        "splice_pages",
        "gives pages to its output pipe, and changes them when they were sent",
        "import mmap\nm = mmap.mmap(-1, 4096)\nm[:] = b'a' * 4096\niov = (ctypes.c_ulong * 2)(ctypes.addressof(ctypes.c_char.from_buffer(m)), 4096)\nn = libc.vmsplice(1, iov, ctypes.c_ulong(1), 0)\nm[:] = b'b' * 4096\nreturn None",
        kind="H",
        check=harmless,
    ),
    Program(
        "half_close",
        "closes half of its channel, and lives on",
        "channel().shutdown(socket.SHUT_WR)\ntime.sleep(2)",
        kind="C",
        neighbours=False,
    ),
    Program(
        "deaf_channel",
        "closes the other half of its channel",
        "channel().shutdown(socket.SHUT_RD)\ntime.sleep(2)",
        kind="C",
        neighbours=False,
    ),
    Program(
        "narrow_channel",
        "sets the options of its channel",
        "c = channel()\nfor name in (7, 8): c.setsockopt(socket.SOL_SOCKET, name, 1)\nc.setsockopt(socket.SOL_SOCKET, 16, 1)\nc.setsockopt(socket.SOL_SOCKET, 42, 100)\nreturn None",
        kind="C",
    ),
    Program(
        "passing_credentials",
        "sends credentials, a flood of them, with frames",
        "c = channel()\nc.setsockopt(socket.SOL_SOCKET, 16, 1)\nc.sendmsg([result_frame(my_call(), payload(b'\\x18\\x2a'))], [(socket.SOL_SOCKET, 2, struct.pack('iii', os.getpid(), os.getuid(), os.getgid()))])\nos._exit(0)",
        kind="C",
        check=harmless,
    ),
    Program(
        "surplus_descriptors",
        "sends 253 descriptors with a result",
        "socket.send_fds(channel(), [result_frame(my_call(), payload(b'\\x18\\x2a'))], [0] * 253)\nos._exit(0)",
        kind="C",
        times=3,
        check=lambda r, w: r.outcome == "ok",
    ),
    Program(
        "channel_through_channel",
        "sends its channel through its channel",
        "c = channel()\nsocket.send_fds(c, [result_frame(my_call(), b'', size=100, flags=1)], [c.fileno()])\nos._exit(0)",
        kind="C",
        times=3,
        check=lambda r, w: r.outcome == "ok",
    ),
    Program(
        "tiny_frames",
        "sends the pool a million tiny frames",
        "c = channel()\nframe = result_frame(my_call(), b'', kind=11)[:16]\nframe = struct.pack('<HBBIQ', 0x4650, 2, 11, 16, my_call())\nend = time.monotonic() + 3\nn = 0\nwhile n < 1000000 and time.monotonic() < end:\n    c.send(frame)\n    n += 1\nreturn None",
        kind="H",
        check=harmless,
    ),
    Program(
        "tiny_notes",
        "sends the pool notes without end",
        "c = channel()\nframe = struct.pack('<HBBIQ', 0x4650, 2, 12, 16 + 4096, my_call()) + b'x' * 4096\nend = time.monotonic() + 3\nwhile time.monotonic() < end: c.send(frame)\nreturn None",
        kind="H",
        check=harmless,
    ),
    Program(
        "tiny_prints",
        "prints a byte at a time, without end, into both pipes",
        "end = time.monotonic() + 3\nwhile time.monotonic() < end:\n    os.write(1, b'x')\n    os.write(2, b'x')\nreturn None",
        kind="H",
        check=harmless,
    ),
    Program(
        "leave_descriptor",
        "leaves a descriptor open, and imports a library that might have opened it",
        "import plistlib, wave, colorsys\nfd = os.memfd_create('planted')\nos.write(fd, b'left')\nraise OSError(fd)",
        then="got = []\nfor fd in range(3, 64):\n    try: got.append(os.pread(fd, 9, 0))\n    except OSError: pass\nreturn b'left' in got",
        kind="H",
        check=harmless,
    ),
    Program(
        "set_rounding",
        "changes how later calls round",
        "libc.fesetround = ctypes.CDLL('libm.so.6').fesetround\nlibc.fesetround(0x800)\nreturn None",
        then="little = float('1e-30')\nreturn 1.0 + little != 1.0",
        kind="H",
    ),
    Program(
        "forbid_clock",
        "has later calls die when they look at the clock",
        "libc.prctl(26, 2, 0, 0, 0)\nreturn None",
        kind="H",
    ),
    Program(
        "forbid_cpuid",
        "the same when they ask what processor there is",
        "call(158, 0x1012, 0)\nreturn None",
        kind="H",
    ),
    Program(
        "tighten_landlock",
        "takes rights from later calls by a Landlock ruleset of its own",
        "fs = ctypes.create_string_buffer(struct.pack('Q', 0x1fff))\nfd, c = call(444, fs, 8, 0)\nif fd < 0: raise OSError(c, 'refused')\nv, c = call(446, fd, 0)\nos.close(fd)\nreturn None",
        kind="H",
    ),
    Program(
        "tighten_seccomp",
        "takes system calls from later calls by a filter of its own",
        "ops = (struct.pack('HBBI', 0x20, 0, 0, 0) + struct.pack('HBBI', 0x15, 0, 1, 39) + struct.pack('HBBI', 6, 0, 0, 0x50001) + struct.pack('HBBI', 6, 0, 0, 0x7fff0000))\nkept = ctypes.create_string_buffer(ops)\nprogram = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', 4, ctypes.addressof(kept)))\nif libc.prctl(22, 2, program, 0, 0) < 0: raise OSError(ctypes.get_errno(), 'refused')\nreturn None",
        then="try: return os.getpid() < 1 or None\nexcept OSError: return 'no pid'",
        kind="H",
    ),
    Program(
        "place_memory",
        "decides where later calls' memory lies",
        "v, c = call(238, 2, ctypes.create_string_buffer(struct.pack('Q', 1)), 64)\nreturn None",
        kind="H",
    ),
    Program(
        "write_own_proc",
        "writes to the files of its own in /proc",
        "got = []\nfor name, text in (('loginuid', '7'), ('coredump_filter', '0x7f'), ('timerslack_ns', '1'), ('setgroups', 'deny'), ('uid_map', '0 0 1'), ('oom_score_adj', '500'), ('clear_refs', '1'), ('attr/current', 'x'), ('make-it-fail', '1'), ('sched', '0'), ('autogroup', '5'), ('projid_map', '0 0 1')):\n    try:\n        with open('/proc/self/' + name, 'w') as f: f.write(text)\n        got.append(name)\n    except OSError: pass\nreturn got or None",
        kind="H",
        at_none=False,
    ),
    # ---- owners, leases, hints --------------------------------------------------------------
    Program(
        "lease_read_file",
        "takes a lease on a file that it may only read",
        "for path in (w['package'], os.__file__, sys.executable):\n    fd = os.open(path, os.O_RDONLY)\n    try: fcntl.fcntl(fd, 1024, 0)\n    except OSError: continue\n    fcntl.fcntl(fd, 1024, 2)\n    return path\nraise OSError('refused')",
        at_none=False,
        kind="H",
    ),
    Program(
        "lease_write_file",
        "takes a lease that stops all who open such a file",
        "for path in (w['package'],):\n    fd = os.open(path, os.O_RDONLY)\n    fcntl.fcntl(fd, 1024, 1)\n    fcntl.fcntl(fd, 1024, 2)\n    return path",
        at_none=False,
        kind="H",
    ),
    Program(
        "lease_own_file",
        "takes a lease on a file of its own",
        "fd = os.open('own', os.O_CREAT | os.O_RDWR)\nfcntl.fcntl(fd, 1024, 1)\nreturn 'leased'",
        at_none=False,
        kind="H",
    ),
    Program(
        "watch_by_descriptor",
        "asks for signals about a directory (dnotify)",
        "fd = os.open(os.path.dirname(w['package']), os.O_RDONLY)\nfcntl.fcntl(fd, 1026, 0x8000003f)\nreturn 'watches'",
        at_none=False,
        kind="H",
    ),
    Program(
        "hint_read_file",
        "says of a file that it may only read how long what is written to it lives",
        "fd = os.open(w['package'], os.O_RDONLY)\nfcntl.fcntl(fd, 1036, struct.pack('Q', 2))\nfcntl.fcntl(fd, 1036, struct.pack('Q', 0))\nreturn 'hinted'",
        at_none=False,
        kind="H",
    ),
    Program(
        "hint_descriptor",
        "the same by a descriptor",
        "fd = os.open(w['package'], os.O_RDONLY)\nfcntl.fcntl(fd, 1038, struct.pack('Q', 2))\nreturn 'hinted'",
        at_none=False,
        kind="H",
    ),
    Program(
        "signal_by_owner",
        "makes another process the owner of a socket's signals",
        "a, b = socket.socketpair()\nfcntl.fcntl(a, 10, signal.SIGCONT)\nfcntl.fcntl(a, fcntl.F_SETOWN, w['sentinel'])\nfcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC)\nb.send(b'x')\nreturn None",
        kind="C",
    ),
    Program(
        "signal_by_owner_of_pipe",
        "the same with its output pipe, when the pool reads it",
        "fcntl.fcntl(1, 10, signal.SIGCONT)\nfcntl.fcntl(1, fcntl.F_SETOWN, w['sentinel'])\nfcntl.fcntl(1, fcntl.F_SETFL, os.O_ASYNC | os.O_WRONLY)\nos.write(1, b'x' * 60000)\ntime.sleep(0.5)\nreturn None",
        kind="C",
    ),
    Program(
        "signal_by_owner_of_channel",
        "the same with its channel, when the next call comes",
        "c = channel()\nfcntl.fcntl(c, 10, signal.SIGCONT)\nfcntl.fcntl(c, fcntl.F_SETOWN, w['sentinel'])\nfcntl.fcntl(c, fcntl.F_SETFL, os.O_ASYNC | os.O_RDWR)\nreturn None",
        kind="C",
        check=harmless,
    ),
    Program(
        "signal_by_owner_ex",
        "the same with F_SETOWN_EX",
        "a, b = socket.socketpair()\nfcntl.fcntl(a, 10, signal.SIGCONT)\nfcntl.fcntl(a, 15, struct.pack('ii', 1, w['sentinel']))\nfcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC)\nb.send(b'x')\nreturn None",
        kind="C",
    ),
    Program(
        "signal_by_ioctl",
        "the same with FIOSETOWN and FIOASYNC",
        "a, b = socket.socketpair()\nfcntl.ioctl(a, 0x8901, struct.pack('i', w['sentinel']))\nfcntl.fcntl(a, 10, signal.SIGCONT)\nfcntl.ioctl(a, 0x5452, struct.pack('i', 1))\nb.send(b'x')\nreturn None",
        kind="C",
    ),
    Program(
        "signal_by_urgent_data",
        "the same with urgent data",
        "a, b = socket.socketpair()\nfcntl.ioctl(a, 0x8901, struct.pack('i', w['sentinel']))\nfcntl.fcntl(a, 10, signal.SIGCONT)\nb.send(b'x', socket.MSG_OOB)\nreturn None",
        kind="C",
    ),
    Program(
        "signal_by_timer",
        "leaves timers that go off in later calls",
        "signal.signal(signal.SIGALRM, lambda *a: os._exit(7))\nsignal.setitimer(signal.ITIMER_REAL, 1.2)\nsignal.setitimer(signal.ITIMER_VIRTUAL, 0.01)\nreturn None",
        then="time.sleep(1.6)\nreturn None",
        kind="H",
    ),
    Program(
        "signal_queued",
        "leaves signals that are blocked and wait",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [12, 40])\nfor n in (12, 40): os.kill(os.getpid(), n)\nreturn None",
        kind="H",
    ),
    Program(
        "lock_read_file",
        "locks a file that it may only read",
        "fd = os.open(w['package'], os.O_RDONLY)\nfcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\nreturn 'locked'",
        at_none=False,
        kind="H",
    ),
    Program(
        "lock_record_read_file",
        "locks records of a file that it may only read, against writers",
        "fd = os.open(w['package'], os.O_RDONLY)\nfcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)\nreturn 'locked'",
        at_none=False,
        kind="H",
    ),
    # ---- reaching others --------------------------------------------------------------------
    Program(
        "unix_raw_pair",
        "sends from an unnamed pair of type SOCK_RAW to a named socket",
        "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_RAW)\nreturn a.sendto(b'x', w['datagram'])",
        kind="H",
    ),
    Program(
        "unix_raw_pair_flags",
        "the same with flags in the type",
        "r = (ctypes.c_int * 2)()\nfor kind in (3, 2):\n    if libc.socketpair(1, kind | 0o4000 | 0o2000000, 0, r) == 0:\n        return socket.socket(fileno=r[0]).sendto(b'x', w['datagram'])\nraise OSError(ctypes.get_errno(), 'refused')",
        kind="H",
    ),
    Program(
        "unix_pair_other_types",
        "the same with all other types, and bits that the kernel drops",
        "r = (ctypes.c_int * 2)()\ngot = []\nfor kind in [k for k in range(16) if k not in (1, 5)] + [0x100000002, 0x100000003]:\n    ctypes.set_errno(0)\n    value = call(53, 1, kind, 0, r)[0]\n    if value == 0:\n        s = socket.socket(fileno=r[0])\n        try: got.append((kind, s.sendto(b'x', w['datagram'])))\n        except OSError as e: pass\nreturn got or None",
        kind="H",
    ),
    Program(
        "unix_pair_connect",
        "connects an end of a pair to a named socket",
        "a, b = socket.socketpair()\ngot = []\nfor kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):\n    a, b = socket.socketpair(socket.AF_UNIX, kind)\n    for name in (w['unix'], w['beside'] + '.stream', w['abstract']):\n        try: a.connect(name); got.append(name)\n        except OSError: pass\nreturn got or None",
        kind="H",
    ),
    Program(
        "connect_readable_socket",
        "connects to a named socket in a directory that it may read",
        "s = socket.socket(socket.AF_UNIX)\ns.connect(w['beside'] + '.stream')\nreturn 'connected'",
        kind="H",
    ),
    Program(
        "send_readable_socket",
        "sends a datagram to a named socket in a directory that it may read",
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\nreturn s.sendto(b'x', w['beside'] + '.datagram')",
        kind="H",
    ),
    Program(
        "connect_readable_socket_by_link",
        "the same by a link of its own, and by /proc/self/fd",
        "got = []\nos.symlink(w['beside'] + '.stream', 'link')\nfd = os.open(w['beside'] + '.stream', os.O_PATH)\nfor name in ('link', '/proc/self/fd/%d' % fd):\n    s = socket.socket(socket.AF_UNIX)\n    try: s.connect(name); got.append(name)\n    except OSError: pass\nreturn got or None",
        kind="H",
    ),
    Program(
        "slow_user",
        "lowers the priority of all processes of the user",
        "os.setpriority(os.PRIO_USER, 0, 1)\nreturn 'slowed'",
        at_none=False,
        kind="H",
    ),
    Program(
        "slow_group",
        "lowers the priority of a process group",
        "os.setpriority(os.PRIO_PGRP, 0, 1)\nreturn None",
        at_none=False,
        kind="H",
    ),
    Program(
        "slow_user_io",
        "lowers the input and output priority of all processes of the user",
        "v, c = call(251, 3, 0, 2 << 13 | 7)\nif v < 0: raise OSError(c, 'refused')\nreturn 'slowed'",
        at_none=False,
        kind="H",
    ),
    Program(
        "slow_group_io",
        "the same for a process group",
        "v, c = call(251, 2, 0, 2 << 13 | 7)\nif v < 0: raise OSError(c, 'refused')\nreturn None",
        at_none=False,
        kind="H",
    ),
    Program(
        "slow_other_scheduler",
        "gives another process the scheduler for idle work",
        "os.sched_setscheduler(w['sentinel'], os.SCHED_IDLE, os.sched_param(0))\nreturn 'slowed'",
        kind="H",
    ),
    Program(
        "slow_other_io",
        "lowers another process's input and output priority",
        "v, c = call(251, 1, w['sentinel'], 2 << 13 | 7)\nreturn None if v < 0 else 'slowed'",
        kind="H",
    ),
    Program(
        "slow_other_attributes",
        "the same by sched_setattr",
        "a = ctypes.create_string_buffer(struct.pack('IIQiIQQQ', 48, 5, 0, 0, 0, 0, 0, 0), 56)\nv, c = call(314, w['sentinel'], a, 0)\nreturn None if v < 0 else 'slowed'",
        kind="H",
    ),
    Program(
        "slow_other_autogroup",
        "lowers another process's group of the scheduler by /proc",
        "open('/proc/%d/autogroup' % w['sentinel'], 'w').write('10')\nreturn 'slowed'",
        kind="H",
    ),
    Program(
        "realtime",
        "makes itself a process that no other interrupts",
        "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))\nos.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))\nreturn 'first'",
        at_none=False,
        kind="H",
    ),
    Program(
        "first_by_nice",
        "raises its own priority",
        "os.setpriority(os.PRIO_PROCESS, 0, -20)\nreturn os.getpriority(os.PRIO_PROCESS, 0) < 0",
        at_none=False,
        kind="H",
    ),
    Program(
        "oom_last",
        "makes itself the last that the OOM killer takes",
        "for name in ('oom_score_adj', 'oom_adj'):\n    with open('/proc/self/' + name, 'r+') as f: f.write('-17')\nreturn 'last'",
        at_none=False,
        kind="H",
    ),
    Program(
        "signal_group",
        "signals its process group",
        "os.killpg(0, signal.SIGCONT)\nreturn None",
        at_none=False,
        kind="C",
    ),
    Program(
        "kill_group",
        "kills its process group",
        "os.killpg(0, 9)\nreturn None",
        at_none=False,
        kind="C",
        check=harmless,
    ),
    Program(
        "write_template_memory",
        "writes to the memory of its template",
        "b = ctypes.create_string_buffer(8)\nl = (ctypes.c_ulong * 2)(ctypes.addressof(b), 8)\nr = (ctypes.c_ulong * 2)(ctypes.addressof(b), 8)\nv, c = call(311, os.getppid(), l, 1, r, 1, 0)\nreturn None if v < 0 else v",
        kind="C",
    ),
    Program(
        "descriptors_of_directories",
        "leaves by a directory that it finds open",
        "got = []\nimport stat\nfor fd in range(3, 1024):\n    try:\n        if stat.S_ISDIR(os.fstat(fd).st_mode): got += os.listdir(os.open('../../../../../../..', os.O_RDONLY, dir_fd=fd))\n    except OSError: pass\nreturn got if 'root' in got or 'home' in got else None",
        kind="H",
    ),
    Program(
        "devices_of_terminals",
        "opens terminals and consoles",
        "got = []\nfor p in ('/dev/tty', '/dev/console', '/dev/ptmx', '/dev/pts/0', '/dev/tty0'):\n    try: got.append(os.open(p, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))\n    except OSError: pass\nreturn got or None",
        at_none=False,
        kind="H",
    ),
    # ---- what all have together -------------------------------------------------------------
    Program(
        "exhaust_in_flight",
        "has as many descriptors in flight as its user may, so that nobody else can send one",
        "pairs = []\ndef more():\n    a, b = socket.socketpair()\n    a.setblocking(False)\n    pairs.append((a, b))\n    while True:\n        try: socket.send_fds(a, [b'x'], [0] * 253)\n        except BlockingIOError: return True\n        except OSError as e:\n            if e.errno == errno.ETOOMANYREFS: return False\n            raise\nfor _ in range(2000):\n    if not more(): break\ntime.sleep(1.5)\nreturn None",
        kind="H",
        alone=True,
        check=harmless,
    ),
    Program(
        "exhaust_in_flight_for_good",
        "the same in a circle, which outlives it",
        "pairs = []\ndef more():\n    a, b = socket.socketpair()\n    a.setblocking(False)\n    pairs.append((a, b))\n    while True:\n        try: socket.send_fds(a, [b'x'], [a.fileno(), b.fileno()] * 126)\n        except BlockingIOError: return True\n        except OSError as e:\n            if e.errno == errno.ETOOMANYREFS: return False\n            raise\nfor _ in range(2000):\n    if not more(): break\nreturn None",
        kind="H",
        alone=True,
        check=harmless,
    ),
    Program(
        "exhaust_inotify",
        "has all inotify instances of its user",
        "n = 0\nwhile libc.inotify_init1(0) >= 0: n += 1\ntime.sleep(1)\nreturn None",
        at_none=False,
        kind="H",
        alone=True,
        check=harmless,
    ),
    Program(
        "exhaust_signals",
        "has all queued signals of its user",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [50])\nn = 0\nwhile n < 400000 and libc.sigqueue(os.getpid(), 50, ctypes.c_long(0)) == 0: n += 1\ntime.sleep(1)\nreturn None",
        at_none=False,
        kind="H",
        alone=True,
        check=harmless,
    ),
    Program(
        "exhaust_timers",
        "has all POSIX timers of its user, which count as signals",
        "n = 0\nt = ctypes.c_int()\nwhile n < 400000 and call(222, 1, 0, ctypes.byref(t))[0] == 0: n += 1\ntime.sleep(1)\nreturn None",
        at_none=False,
        kind="H",
        alone=True,
        check=harmless,
    ),
    Program(
        "exhaust_pipes",
        "has all pages of pipes of its user",
        "kept = []\nfor _ in range(400):\n    try: r, x = os.pipe()\n    except OSError: break\n    try: fcntl.fcntl(x, 1031, 1 << 20)\n    except OSError: pass\n    kept.append((r, x))\ntime.sleep(1)\nreturn None",
        at_none=False,
        kind="H",
        alone=True,
        check=harmless,
    ),
    Program(
        "exhaust_aio",
        "has all contexts for asynchronous input and output of the machine",
        "n = 0\nfor size in (20000, 2000, 200):\n    while True:\n        c = ctypes.c_ulong(0)\n        if call(206, size, ctypes.byref(c))[0] < 0: break\n        n += size\ntime.sleep(1)\nreturn None",
        at_none=False,
        kind="H",
        alone=True,
        check=harmless,
    ),
    Program(
        "exhaust_keys",
        "has all keys of its user",
        "return reached(248, b'user', b'planted', b'x', 1, -3)",
        at_none=False,
        kind="H",
    ),
    Program(
        "exhaust_locked_memory",
        "locks 300 MiB into memory",
        "import mmap\nm = mmap.mmap(-1, 300 << 20)\nif libc.mlock(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(m))), ctypes.c_size_t(300 << 20)): raise OSError(ctypes.get_errno(), 'refused')\ntime.sleep(0.5)\nreturn 'locked'",
        Limits(memory_bytes=128 * MIB),
        at_none=False,
        kind="H",
    ),
    Program(
        "exhaust_secret_memory",
        "takes memory that the kernel itself does not see",
        "fd, c = call(447, 0)\nif fd < 0: raise OSError(c, 'refused')\nreturn fd",
        at_none=False,
        kind="H",
    ),
    Program(
        "use_disk_elsewhere",
        "fills the disk where it is not at work",
        ELSEWHERE
        + "def make(at):\n    with open(at + '/' + w['planted'], 'wb') as f:\n        for _ in range(64): f.write(b'x' * (1 << 20))\n"
        + "return [at for at in elsewhere(w) if fills(make, at)] or None",
        kind="H",
        at_none=False,
    ),
    Program(
        "use_disk_elsewhere_unnamed",
        "the same by files without a name",
        ELSEWHERE
        + "kept = []\ndef make(at):\n    fd = os.open(at, os.O_TMPFILE | os.O_RDWR, 0o600)\n    kept.append(fd)\n    for _ in range(64): os.write(fd, b'x' * (1 << 20))\n"
        + "return [at for at in elsewhere(w) if fills(make, at)] or None",
        kind="H",
        at_none=False,
    ),
    Program(
        "use_inodes_elsewhere",
        "makes files without end where it is not at work",
        ELSEWHERE
        + "def make(at):\n    for n in range(500): os.mkdir('%s/%s-%d' % (at, w['planted'], n))\n"
        + "return [at for at in elsewhere(w) if fills(make, at)] or None",
        kind="H",
        at_none=False,
    ),
    # ---- what may be read, marks, and the rest ----------------------------------------------
    Program(
        "read_beside_library",
        "reads what lies beside a library that the template has loaded",
        "return read(w['library'] + '/.env')",
        setup="import ctypes\nctypes.CDLL('@/library/libsome.so')",
        kind="H",
    ),
    Program(
        "list_beside_library",
        "lists the directory of a library that the template has loaded",
        "return os.listdir(w['library'])",
        setup="import ctypes\nctypes.CDLL('@/library/libsome.so')",
        kind="H",
    ),
    Program(
        "read_other_usr",
        "reads in /usr what no interpreter needs",
        "got = []\nfor p in ('/usr/src', '/usr/games', '/usr/local/etc', '/usr/local/src', '/usr/local/games', sys.base_prefix + '/..'):\n    try: got += os.listdir(p)[:2]\n    except OSError: pass\nreturn got or None",
        kind="H",
    ),
    Program(
        "read_proc_net",
        "reads the machine's sockets and interfaces by /proc/self/net",
        "return [read('/proc/self/net/' + n) for n in ('tcp', 'unix', 'dev')][2].count(b':') > 1 or b'tcp' and len(open('/proc/self/net/unix').readlines()) > 1 or None",
        kind="H",
    ),
    Program(
        "list_interfaces",
        "lists the machine's interfaces by a socket that it may have",
        "a, b = socket.socketpair()\nbuffer = ctypes.create_string_buffer(4096)\nconf = bytearray(struct.pack('iP', 4096, ctypes.addressof(buffer)))\nfcntl.ioctl(a, 0x8912, conf)\nn = struct.unpack('iP', bytes(conf))[0]\nreturn [buffer.raw[i:i + 16].rstrip(b'\\0') for i in range(0, n, 40)] if n > 40 else None",
        kind="H",
    ),
    Program(
        "name_interfaces",
        "asks for an interface's name by its number",
        "a, b = socket.socketpair()\ngot = []\nfor n in range(1, 20):\n    r = bytearray(struct.pack('16si', b'', n).ljust(40, b'\\0'))\n    try: fcntl.ioctl(a, 0x8910, r); got.append(bytes(r[:16]).rstrip(b'\\0'))\n    except OSError: pass\nreturn got if got not in ([], [b'lo']) else None",
        kind="H",
    ),
    Program(
        "take_off_mark",
        "takes off the mark by which the guard finds what is left",
        "import resource\nbefore = call(302, 0, 10, 0, 0)\nv, c = call(302, 0, 10, (ctypes.c_ulong * 2)(0, 0), 0)\nif v < 0: raise OSError(c, 'refused')\nreturn 'taken off'",
        kind="H",
        at_none=False,
    ),
    Program(
        "take_off_mark_old_call",
        "the same by setrlimit",
        "v, c = call(160, 10, (ctypes.c_ulong * 2)(0, 0))\nif v < 0: raise OSError(c, 'refused')\nreturn 'taken off'",
        kind="H",
        at_none=False,
    ),
    Program(
        "take_off_death_signal",
        "does not want to die with its template",
        "if libc.prctl(1, 0, 0, 0, 0) < 0: raise OSError(ctypes.get_errno(), 'refused')\nn = ctypes.c_int(-1)\nlibc.prctl(2, ctypes.byref(n), 0, 0, 0)\nreturn n.value == 0",
        kind="H",
        at_none=False,
    ),
    Program(
        "exec_resets_peak",
        "hides the memory that it had by an exec",
        "x = bytearray(150 << 20)\nfor at in range(0, len(x), 4096): x[at] = 1\nos.execv('/bin/sh', ['sh', '-c', 'exit 3'])",
        check=lambda r, w: r.metrics is not None and r.metrics.peak_rss_kb < 140_000,
    ),
    Program(
        "set_ext4_version",
        "sets the version of an inode that it may only read",
        "fd = os.open(w['package'], os.O_RDONLY)\nv = bytearray(8)\nfor get, put in ((0x80086603, 0x40086604), (0x80087601, 0x40087602), (0x80046603, 0x40046604)):\n    try: fcntl.ioctl(fd, get, v); fcntl.ioctl(fd, put, v)\n    except OSError: continue\n    return 'set'\nraise OSError('refused')",
        kind="H",
        at_none=False,
    ),
    Program(
        "other_file_ioctls",
        "changes a file that it may only read, or its file system, by other requests",
        "fd = os.open(w['package'], os.O_RDONLY)\ngot = []\nfor request, size in ((0x40086602, 8), (0x401c5820, 28), (0x40806685, 128), (0xc0185879, 24), (0x40086610, 8), (0x4004667f, 4), (0x660c, 0), (0x6609, 0), (0x40106614, 16), (0x800c6613, 12), (0x400c6615, 12), (0x4138ae84, 8), (0x41007f32, 256)):\n    ctypes.set_errno(0)\n    v, c = call(16, fd, request, ctypes.create_string_buffer(512))\n    if v >= 0 or c not in (errno.ENOTTY, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EBADF): got.append((hex(request), errno.errorcode.get(c)))\nreturn got or None",
        kind="H",
        at_none=False,
    ),
]
