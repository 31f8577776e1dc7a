# SPDX-License-Identifier: Apache-2.0
"""Programs that exceed a limit where nothing measures, or report less than they used."""

from __future__ import annotations

from typing import Any

from hostile_base import MIB, Program
from pinfold import Limits, WorkerResult

TOOLS = """
import mmap
shared = mmap.mmap(-1, 4096)
def fill(n):
    m = mmap.mmap(-1, n << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, n << 20, 4096): m[at] = 1
    return m
def burn(s):
    end = time.process_time() + s
    while time.process_time() < end: pass
def clone_parent():
    return call(56, 0x8000 | 17, 0, 0, 0, 0)[0]
def child(work, start=os.fork):
    pid = start()
    if pid < 0: raise OSError("refused")
    if pid == 0:
        try:
            work()
            shared[0] += 1
        finally:
            os._exit(0)
    return pid
def wait(n=1, s=3):
    end = time.monotonic() + s
    while shared[0] < n and time.monotonic() < end: time.sleep(0.01)
    return shared[0] >= n
def orphan(work):
    # Not below the worker any more, if that is no subreaper.
    between = os.fork()
    if between == 0:
        child(work)
        os._exit(0)
    os.waitpid(between, 0)
"""

MEMORY = Limits(memory_bytes=128 * MIB)
MEMORY_AND_FILES = Limits(memory_bytes=128 * MIB, file_bytes=512 * MIB)
CPU = Limits(cpu_s=0.5)
PROCESSES = Limits(processes=8)


def limited(name: str, tries: str, body: str, limits: Limits, **more: Any) -> Program:
    more.setdefault("kind", "H")
    # At a neighbour's end, the template looks for unknown children.
    more.setdefault("neighbours", False)
    return Program(name, tries, TOOLS + body, limits, **more)


def cheap(result: WorkerResult, world: dict[str, Any]) -> bool:
    """Return whether less than half of the 0.6 s that it burned is reported."""
    figures = result.metrics
    return result.outcome in ("ok", "exited") and figures is not None and figures.user_time_s + figures.sys_time_s < 0.3


def small(result: WorkerResult, world: dict[str, Any]) -> bool:
    """Return whether less than the 200 MiB that it had is reported."""
    told = result.outcome in ("ok", "exited") and result.metrics is not None
    return told and result.metrics.peak_rss_kb < 190_000


KEEP = "time.sleep(0.3)\n"

PROGRAMS: list[Program] = [
    # ---- out of the tree --------------------------------------------------------------------
    limited("memory_by_clone_parent", "allocates in a process that is its template's child", "child(lambda: (fill(250), time.sleep(0.4)), clone_parent)\nreturn wait() and 250", MEMORY),
    limited("memory_by_no_subreaper", "allocates in a process that went to the template, since it is no subreaper any more", "libc.prctl(36, 0, 0, 0, 0)\norphan(lambda: (time.sleep(0.05), fill(250), time.sleep(0.4)))\nreturn wait() and 250", MEMORY),
    limited("memory_by_daemon", "allocates in a daemon", "def go():\n    os.setsid()\n    time.sleep(0.05)\n    fill(250)\n    time.sleep(0.4)\norphan(go)\nreturn wait() and 250", MEMORY),
    limited("cpu_by_clone_parent", "computes in a process that is its template's child", "child(lambda: burn(0.9), clone_parent)\nreturn wait(s=3.7) and 0.9", CPU),
    limited("cpu_by_no_subreaper", "computes in a process that went to the template", "libc.prctl(36, 0, 0, 0, 0)\norphan(lambda: burn(0.9))\nreturn wait(s=3.7) and 0.9", CPU),
    limited("processes_by_clone_parent", "starts 40 processes as its template's children", "for _ in range(40): child(lambda: time.sleep(1), clone_parent)\nreturn wait(40) and 40", PROCESSES),
    limited("processes_by_no_subreaper", "starts 40 processes that go to the template", "libc.prctl(36, 0, 0, 0, 0)\nfor _ in range(40): orphan(lambda: time.sleep(0.7))\nreturn wait(40) and 40", PROCESSES),
    limited("metrics_by_clone_parent", "hides what it used in a process that is its template's child", "child(lambda: burn(0.6), clone_parent)\nwait()\nreturn None", Limits(), check=cheap),
    limited("metrics_by_no_subreaper", "hides it in a process that went to the template", "libc.prctl(36, 0, 0, 0, 0)\norphan(lambda: burn(0.6))\nwait()\nreturn None", Limits(), check=cheap),
    limited("subreaper_given_up_by_thread", "gives up being a subreaper in a thread", "t = threading.Thread(target=lambda: libc.prctl(36, 0, 0, 0, 0))\nt.start()\nt.join()\nn = ctypes.c_int(-1)\nlibc.prctl(37, ctypes.byref(n), 0, 0, 0)\nreturn n.value == 0", Limits()),
    # ---- where the sampler does not look ----------------------------------------------------
    limited("memory_by_dead_main_thread", "allocates when its main thread has ended", "me, c = my_call(), channel()\ndef go():\n    time.sleep(0.05)\n    m = fill(250)\n    time.sleep(0.4)\n    c.send(result_frame(me, payload(b'\\x18\\x2a')))\n    os._exit(0)\nthreading.Thread(target=go).start()\nlibc.syscall(60, 0)", MEMORY, check=lambda r, w: r.outcome == "ok"),
    limited("peak_by_dead_main_thread", "tells no peak when its main thread has ended", "me, c = my_call(), channel()\ndef go():\n    time.sleep(0.05)\n    m = fill(200)\n    c.send(result_frame(me, payload(b'\\x18\\x2a')))\n    time.sleep(0.3)\n    os._exit(0)\nthreading.Thread(target=go).start()\nlibc.syscall(60, 0)", Limits(), check=small),
    limited("cpu_by_dead_main_thread", "computes when its main thread has ended", "me, c = my_call(), channel()\ndef go():\n    time.sleep(0.05)\n    burn(1.5)\n    c.send(result_frame(me, payload(b'\\x18\\x2a')))\n    os._exit(0)\nthreading.Thread(target=go).start()\nlibc.syscall(60, 0)", CPU, check=lambda r, w: r.outcome == "ok"),
    limited("memory_by_no_dump", "allocates in a process whose memory nobody may look at", "libc.prctl(4, 0, 0, 0, 0)\nm = fill(250)\ntime.sleep(0.4)\nreturn len(m)", MEMORY),
    limited("memory_by_no_dump_child", "the same in a child", "def go():\n    libc.prctl(4, 0, 0, 0, 0)\n    fill(250)\n    time.sleep(0.4)\nchild(go)\nreturn wait() and 250", MEMORY),
    limited("cpu_by_no_dump_child", "computes in a child that nobody may look at", "def go():\n    libc.prctl(4, 0, 0, 0, 0)\n    burn(1.5)\nchild(go)\nreturn wait(s=3.5) and 1.5", CPU),
    limited("cpu_unwaited", "computes in children that nobody waits for", "for _ in range(20):\n    child(lambda: burn(0.1))\n    time.sleep(0.11)\nreturn shared[0]", CPU),
    limited("cpu_unwaited_ignored", "the same, with SIGCHLD ignored", "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\nfor n in range(16):\n    child(lambda: burn(0.1))\n    wait(n + 1, 1)\nreturn shared[0]", CPU),
    limited("cpu_unwaited_short", "computes in children that live for less than a look", "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\nfor n in range(150):\n    child(lambda: burn(0.01))\n    wait(n + 1, 0.3)\nreturn shared[0] > 130", CPU),
    limited("cpu_by_hops", "computes in a process after another, each the last one's child", "def hop(n):\n    burn(0.012)\n    if n: child(lambda: hop(n - 1))\n    os._exit(0)\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nchild(lambda: hop(90))\ntime.sleep(3)\nreturn 'more than a second'", CPU),
    limited("cpu_by_hops_told", "hides what it used in such processes", "def hop(n):\n    burn(0.012)\n    if n: child(lambda: hop(n - 1))\n    shared[1] = 1\n    os._exit(0)\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nchild(lambda: hop(50))\nend = time.monotonic() + 3\nwhile not shared[1] and time.monotonic() < end: time.sleep(0.02)\nreturn None", Limits(), check=cheap),
    limited("cpu_by_threads_gone", "computes in threads that end", "for _ in range(30):\n    t = threading.Thread(target=lambda: burn(0.05))\n    t.start()\n    t.join()\nreturn 1.5", CPU),
    limited("memory_in_short_children", "allocates in many children at once, each below the limit", "for _ in range(4): child(lambda: (fill(60), time.sleep(0.5)))\nreturn wait(4) and 240", MEMORY),
    limited("memory_shared_among_children", "has children map what it allocated", "m = mmap.mmap(-1, 250 << 20)\nfor at in range(0, 250 << 20, 4096): m[at] = 1\ntime.sleep(0.4)\nreturn len(m)", MEMORY),
    # ---- memory that no process has mapped --------------------------------------------------
    limited("memory_in_memfd", "fills a file in memory that nobody maps", "fd = os.memfd_create('x')\nfor _ in range(250): os.write(fd, b'x' * MIB if False else b'x' * (1 << 20))\ntime.sleep(0.4)\nreturn os.fstat(fd).st_size", MEMORY_AND_FILES),
    limited("memory_in_memfds", "fills many of them", "fds = [os.memfd_create('x') for _ in range(50)]\nfor fd in fds: os.write(fd, b'x' * (5 << 20))\ntime.sleep(0.4)\nreturn len(fds)", MEMORY_AND_FILES),
    limited("memory_in_memfd_of_child", "has a child hold it", "def go():\n    fd = os.memfd_create('x')\n    for _ in range(250): os.write(fd, b'x' * (1 << 20))\n    time.sleep(0.5)\nchild(go)\nreturn wait() and 250", MEMORY_AND_FILES),
    limited("memory_in_flight", "fills a file in memory that is on its way through a socket", "a, b = socket.socketpair()\nfd = os.memfd_create('x')\nsocket.send_fds(a, [b'x'], [fd])\nfor _ in range(250): os.write(fd, b'x' * (1 << 20))\nos.close(fd)\ntime.sleep(0.4)\nreturn 250", MEMORY_AND_FILES),
    limited("memory_in_flight_in_pieces", "the same, with no more than 8 MiB in a descriptor's file at a time", "a, b = socket.socketpair()\nfor _ in range(30):\n    fd = os.memfd_create('x')\n    os.write(fd, b'x' * (8 << 20))\n    socket.send_fds(a, [b'x'], [fd])\n    os.close(fd)\ntime.sleep(0.4)\nreturn 240", MEMORY_AND_FILES),
    limited("memory_in_scratch", "fills its scratch directory, where that lies in memory", "with open('f', 'wb') as f:\n    for _ in range(250): f.write(b'x' * (1 << 20))\ntime.sleep(0.4)\nreturn os.path.getsize('f')", MEMORY_AND_FILES, levels=("strict",)),
    limited("memory_in_scratch_unnamed", "the same with a file that has no name", "fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o600)\nfor _ in range(250): os.write(fd, b'x' * (1 << 20))\ntime.sleep(0.4)\nreturn os.fstat(fd).st_size", MEMORY_AND_FILES, levels=("strict",)),
    limited("memory_in_scratch_allocated", "the same by fallocate", "fd = os.open('f', os.O_CREAT | os.O_RDWR, 0o600)\nos.posix_fallocate(fd, 0, 250 << 20)\ntime.sleep(0.4)\nreturn 250", MEMORY_AND_FILES, levels=("strict",)),
    limited("memory_in_dev_shm", "fills /dev/shm", "with open('/dev/shm/f', 'wb') as f:\n    for _ in range(250): f.write(b'x' * (1 << 20))\ntime.sleep(0.4)\nreturn os.path.getsize('/dev/shm/f')", MEMORY_AND_FILES, levels=("strict",)),
    limited("memory_in_view", "fills the tmpfs of its view's root", "for p in ('/', '/dev', os.path.dirname(os.getcwd().removesuffix('/work'))):\n    try: f = open(p + '/' + w['planted'], 'wb')\n    except OSError: continue\n    f.write(b'x' * 1000000)\n    return p\nraise OSError('refused')", MEMORY_AND_FILES, levels=("strict",)),
    limited("memory_in_pipes", "fills pipes", "kept = []\nfor _ in range(3000):\n    try: r, x = os.pipe()\n    except OSError: break\n    try: fcntl.fcntl(x, 1031, 1 << 20)\n    except OSError: pass\n    os.set_blocking(x, False)\n    try:\n        while True: kept.append((r, x, os.write(x, b'x' * 65536)))\n    except OSError: pass\n    if sum(k[2] for k in kept) > 250 << 20: break\ntime.sleep(0.4)\nreturn sum(k[2] for k in kept) if sum(k[2] for k in kept) > 192 << 20 else None", MEMORY),
    limited("memory_in_sockets", "fills sockets", "kept = []\nn = 0\nfor _ in range(3000):\n    try: a, b = socket.socketpair()\n    except OSError: break\n    a.setblocking(False)\n    kept.append((a, b))\n    try:\n        while True: n += a.send(b'x' * 32768)\n    except OSError: pass\n    if n > 250 << 20: break\ntime.sleep(0.4)\nreturn n if n > 192 << 20 else None", MEMORY),
    limited("memory_in_page_tables", "has the kernel make page tables", "m = mmap.mmap(-1, 100 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=1)\nm.madvise(15)\nlast = 0\nfor at in range(0, 100 << 30, 2 << 20): last += m[at]\ntime.sleep(0.4)\nreturn [l for l in open('/proc/self/status') if 'PTE' in l][0]", MEMORY),
    limited("memory_locked_secret", "takes memory that is in no page cache", "fd, c = call(447, 0)\nif fd < 0: raise OSError(c, 'refused')\nos.ftruncate(fd, 250 << 20)\nm = mmap.mmap(fd, 250 << 20)\nfor at in range(0, 250 << 20, 4096): m[at] = 1\ntime.sleep(0.4)\nreturn len(m)", MEMORY),
    limited("memory_mapped_memfd_closed", "maps a file in memory and closes it", "fd = os.memfd_create('x')\nos.ftruncate(fd, 250 << 20)\nm = mmap.mmap(fd, 250 << 20)\nos.close(fd)\nfor at in range(0, 250 << 20, 4096): m[at] = 1\ntime.sleep(0.4)\nreturn len(m)", MEMORY_AND_FILES),
    limited("memory_unmapped_memfd", "keeps such a file mapped where it has no pages, and fills it elsewhere", "fd = os.memfd_create('x')\nos.ftruncate(fd, 250 << 20)\nm = mmap.mmap(fd, 250 << 20)\nfor at in range(0, 250 << 20, 1 << 20): os.pwrite(fd, b'x' * (1 << 20), at)\nos.close(fd)\ntime.sleep(0.4)\nreturn len(m)", MEMORY_AND_FILES),
    limited("memory_advised_away", "has its pages taken out of its table, and keeps them in the file", "m = mmap.mmap(-1, 250 << 20)\nstep = 16 << 20\nfor at in range(0, 250 << 20, step):\n    for k in range(at, min(at + step, 250 << 20), 4096): m[k] = 1\n    m.madvise(4, at, min(step, (250 << 20) - at))\ntime.sleep(0.4)\nreturn len(m)", MEMORY),
    # ---- figures ----------------------------------------------------------------------------
    limited("metrics_forged", "claims a time and a peak of its own", "m = fill(200)\nburn(0.6)\nchannel().send(result_frame(my_call(), payload(b'\\x18\\x2a'), user=1, peak=1))\nos._exit(0)", Limits(), check=lambda r, w: cheap(r, w) or small(r, w)),
    limited("peak_of_child", "has a child have the memory", "child(lambda: (fill(200), time.sleep(0.2)))\nwait()\nreturn None", Limits(memory_bytes=1024 * MIB), check=small),
    limited("peak_reset", "has the kernel forget its peak", "m = fill(200)\nm.close()\nwith open('/proc/self/clear_refs', 'w') as f: f.write('5')\nreturn None", Limits(), check=small),
    limited("limit_lifted", "lifts its own limits", "import resource\ngot = []\nfor n in (0, 1, 4, 5, 6, 7, 9):\n    try: resource.setrlimit(n, (-1, -1)); got.append(n)\n    except (OSError, ValueError): pass\nreturn [n for n in got if n in (1, 7)] or None", Limits(file_bytes=MIB, open_files=256), kind=""),
]  # fmt: skip
