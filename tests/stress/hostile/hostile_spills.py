# SPDX-License-Identifier: Apache-2.0
"""Programs that send spills that they can change later, or delay the proof that they cannot; and
programs that evade the sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hostile_base import MIB, Program, changes, harmless, kept
from pinfold import Limits, WorkerResult

Check = Callable[[WorkerResult, dict[str, Any]], bool]

# Processes that share one memory and live for some 30 microseconds each: the next exists before
# anything has seen the last. All end together, and then open a file to cut it (Landlock has a right to
# truncate, and none to collapse).
HOPS = """
def hops(chains, seconds, path=b""):
    import mmap
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody's zombies use up the machine's pids
    page = mmap.mmap(-1, 8192, prot=7)
    at = ctypes.addressof(ctypes.c_char.from_buffer(page))
    page.write(b"\\x0f\\x31\\x48\\xc1\\xe2\\x20\\x48\\x09\\xd0\\xc3")
    clock = ctypes.CFUNCTYPE(ctypes.c_ulonglong)(at)
    start, since = clock(), time.monotonic()
    while time.monotonic() < since + 0.05: pass
    rate = (clock() - start) / (time.monotonic() - since)
    end = clock() + int(rate * seconds)
    page.seek(4096)
    page.write(path + b"\\0")
    code = (b"\\x49\\xbc" + struct.pack("<Q", end)                          # mov r12, end
        + b"\\x0f\\x31\\x48\\xc1\\xe2\\x20\\x48\\x09\\xd0\\x4c\\x39\\xe0\\x77\\x2e"  # again: rdtsc; past the end: done
        + b"\\xb8\\x38\\0\\0\\0\\xbf\\x11\\x01\\0\\0\\x31\\xf6\\x31\\xd2\\x45\\x31\\xd2\\x45\\x31\\xc0\\x0f\\x05"  # clone(CLONE_VM | SIGCHLD)
        + b"\\x85\\xc0\\x78\\xd8\\x75\\x09"                                   # failed: again; parent: exit
        + b"\\xb8\\x70\\0\\0\\0\\x0f\\x05\\xeb\\xcd"                            # setsid; again
        + b"\\xb8\\x3c\\0\\0\\0\\x31\\xff\\x0f\\x05"                            # exit: exit(0)
        + b"\\xb8\\x02\\0\\0\\0\\x48\\xbf" + struct.pack("<Q", at + 4096) + b"\\xbe\\x02\\0\\0\\0\\x0f\\x05"  # done: open(path, O_RDWR)
        + b"\\x89\\xc7\\xbe\\x08\\0\\0\\0\\x31\\xd2\\x41\\xba\\0\\0\\x10\\0\\xb8\\x1d\\x01\\0\\0\\x0f\\x05"  # fallocate(COLLAPSE_RANGE, 0, 1 MiB)
        + b"\\xb8\\x3c\\0\\0\\0\\x31\\xff\\x0f\\x05")                           # exit(0)
    page.seek(64)
    page.write(code)
    run = ctypes.CFUNCTYPE(None)(at + 64)
    for _ in range(chains):
        if os.fork() == 0:
            os.setsid()
            run()
"""


EXIT = "os._exit(0)"
STAY = "time.sleep(2)"


def sends(
    name: str,
    tries: str,
    make: str,
    *,
    fd: str = "reader",
    size: str = "len(data)",
    end: str = EXIT,
    check: Check = changes,
    **others: Any,
) -> Program:
    """Return a program that makes `fd` of `data`, an array, and sends it as its result's spill."""
    body = f"data = array(1 << 20)\n{make}\nsend_spill({fd}, {size})\n{end}"
    return Program(name, tries, body, kind="C", check=check, **others)


WRITE = 'os.pwrite(fd, b"b" * 4096, len(data) - 4096)'


def lingers(name: str, tries: str, make: str, write: str = WRITE) -> Program:
    """Return a program that changes its spill long after it was taken, if it lives so long."""
    change = f"time.sleep(0.4)\nfd = open_again()\n{write}\ntime.sleep(0.3)\ncut(fd)"
    end = f"{change}\ntime.sleep(0.3)\n{EXIT}"
    return sends(name, tries, make, end=end, neighbours=False)


def scribbles(name: str, tries: str, make: str, fd: str) -> Program:
    """Return a program that writes to its spill through a mapping, `view`."""
    write = "for _ in range(10):\n    time.sleep(0.1)\n    view[-4096:] = b'b' * 4096"
    make = f"import mmap\n{make}"
    return sends(name, tries, make, fd=fd, end=f"{write}\n{EXIT}", neighbours=False)


NAMED = "fd, name = named(w, data)\nreader = reader_of(fd)\nos.close(fd)"
UNNAMED = "fd = unnamed(w, data)\nreader = reader_of(fd)\nos.close(fd)"
LEASE = "fcntl.fcntl(reader, 1024, 1)"
OPEN_PLANTED = "fd = os.open(spills(w) + '/' + w['planted'], os.O_RDWR)\n"
CUT_PLANTED = OPEN_PLANTED + "cut(fd)\nreturn 'cut'"


def memfd(seals: int | None = None) -> str:
    made = "memfd(data)" if seals is None else f"memfd(data, {seals})"
    return f"fd = {made}\nreader = reader_of(fd)"


PROGRAMS: list[Program] = [
    sends(
        "outrun_sweep",
        "outlasts the sweep by forking faster than it kills, then cuts the spill that was sent",
        f"{HOPS}{NAMED}\nhops(24, 1.5, name.encode())",
        end=STAY,
        neighbours=False,
        times=3,
    ),
    sends(
        "outrun_sweep_quietly",
        "the same, with few processes in sessions of their own",
        f"{HOPS}{NAMED}\nhops(6, 1.5, name.encode())",
        end=STAY,
        neighbours=False,
        times=2,
    ),
    sends(
        "outrun_sweep_memfd",
        "the same, with a memfd that is not sealed, open in those processes",
        f"{HOPS}{memfd(0)}\nhops(16, 1.3, b'/proc/self/fd/%d' % fd)",
        end=STAY,
        neighbours=False,
    ),
    sends("named_spill", "sends a file with a name; a later call cuts it", NAMED, then=CUT_PLANTED),
    sends(
        "named_spill_written",
        "sends a file with a name; a later call writes to it",
        NAMED,
        then=OPEN_PLANTED + "return os.pwrite(fd, b'b' * 4096, 1 << 19)",
    ),
    sends(
        "linked_spill",
        "sends a file without a name, gives it one; a later call cuts it",
        """
fd = unnamed(w, data)
reader = reader_of(fd)
if libc.linkat(fd, b"", -100, (spills(w) + "/" + w["planted"]).encode(), 0x1000) < 0:
    raise OSError(ctypes.get_errno(), "linkat")
os.close(fd)
""",
        then=CUT_PLANTED,
    ),
    sends(
        "break_lease",
        "opens a neighbour's spill over and over while the pool has a lease on it",
        NAMED,
        accomplice="""
name = spills(w) + "/" + w["planted"]
end = time.monotonic() + 3.5
for _ in range(2): os.fork()
while time.monotonic() < end:
    for _ in range(1000):
        try: os.close(os.open(name, os.O_RDWR | os.O_NONBLOCK))
        except OSError: pass
""",
        times=30,
        check=harmless,
    ),
    sends(
        "leased_spill",
        "holds a write lease on the spill that it sends",
        f"{UNNAMED}\n{LEASE}",
        check=harmless,
    ),
    sends(
        "leased_named_spill",
        "the same with a file that has a name, and lives on",
        f"""
fd, name = named(w, data)
os.close(fd)
reader = os.open(name, os.O_RDONLY)
for n in (29, 10): signal.signal(n, signal.SIG_IGN)
{LEASE}
""",
        end="time.sleep(3)",
        neighbours=False,
        check=harmless,
    ),
    sends(
        "leased_memfd",
        "holds a lease on a memfd",
        f"{memfd(0)}\nos.close(fd)\n{LEASE}",
        check=harmless,
    ),
    lingers(
        "lingering_spill",
        "sends its result, goes on, and changes what it sent",
        f"{UNNAMED}\nopen_again = lambda: os.open('/proc/self/fd/%d' % reader, os.O_RDWR)",
    ),
    lingers(
        "lingering_named_spill",
        "the same with a file that has a name",
        f"{NAMED}\nopen_again = lambda: os.open(name, os.O_RDWR)",
    ),
    lingers(
        "lingering_scratch_spill",
        "the same with a file of its scratch directory",
        "fd = os.open('own', os.O_CREAT | os.O_RDWR, 0o600)\nos.write(fd, data)\nos.close(fd)\n"
        "reader = os.open('own', os.O_RDONLY)\nopen_again = lambda: os.open('own', os.O_RDWR)",
    ),
    lingers(
        "lingering_memfd",
        "the same with a memfd that is not sealed",
        f"{memfd(0)}\nopen_again = lambda: fd",
    ),
    lingers(
        "lingering_memfd_half_sealed",
        "the same with a memfd that is sealed against growing and writing alone",
        f"{memfd(12)}\nopen_again = lambda: fd",
        write="pass",
    ),
    scribbles(
        "lingering_memfd_mapped",
        "the same with one that is sealed against later writers, and mapped by an earlier one",
        "fd = memfd(data, 0)\nview = mmap.mmap(fd, len(data))\nfcntl.fcntl(fd, 1033, 1 | 2 | 4 | 16)",
        fd="fd",
    ),
    scribbles(
        "mapped_spill",
        "keeps its spill mapped for writing, and no descriptor",
        "fd = unnamed(w, data)\nreader = reader_of(fd)\nview = mmap.mmap(fd, len(data))\nos.close(fd)",
        fd="reader",
    ),
    sends(
        "memfd_with_a_hole",
        "sends a sealed memfd of which nothing was written",
        "fd = os.memfd_create('planted', 3)\nos.write(fd, data[:4096])\nos.ftruncate(fd, len(data))\nfcntl.fcntl(fd, 1033, 15)",
        fd="fd",
        check=kept,
    ),
    Program(
        "memfd_of_huge_pages",
        "sends a memfd of huge pages",
        "fd = os.memfd_create('planted', 7)\nos.ftruncate(fd, 2 << 20)\nfcntl.fcntl(fd, 1033, 15)\nsend_spill(fd, 2 << 20)\nos._exit(0)",
        kind="C",
        check=kept,
    ),
    Program(
        "path_spill",
        "has the pool open a file for it, by a descriptor that only names it",
        "fd = os.open(w['home'] + '/payload', os.O_PATH)\nsend_spill(fd, 66)\nos._exit(0)",
        kind="C",
        check=lambda r, w: r.outcome == "ok",
    ),
    Program(
        "memfd_by_descriptor",
        "sends a descriptor, if a good one, to a pool that takes none",
        "data = array(1 << 20)\nsocket.send_fds(channel(), [result_frame(my_call(), b'', size=len(data), flags=1)], [memfd(data)])\nos._exit(0)",
        kind="C",
        check=kept,
        levels=("standard", "strict"),
    ),
    Program(
        "unlock_by_descriptor",
        "ends the caller's locks on a file by having the caller close it: sends it as a spill",
        "fd = os.open(w['locked'], os.O_RDONLY)\nsocket.send_fds(channel(), [result_frame(my_call(), b'', size=100, flags=1)], [fd])\nos._exit(0)",
        kind="H",
        at_none=False,
        check=harmless,
    ),
    Program(
        "unlock_by_surplus",
        "the same, with more descriptors than there may be",
        "fd = os.open(w['locked'], os.O_RDONLY)\nsocket.send_fds(channel(), [result_frame(my_call(), payload(b'\\x18\\x2a'))], [fd] * 100)\nos._exit(0)",
        kind="H",
        at_none=False,
        check=harmless,
    ),
    Program(
        "unlock_by_number",
        "the same, by the number of its descriptor",
        "send_spill(os.open(w['locked'], os.O_RDONLY), 100)\nos._exit(0)",
        kind="H",
        at_none=False,
        check=harmless,
    ),
    Program(
        "fifo_spill",
        "sends a pipe with a name, which nobody writes to",
        "os.mkfifo('pipe')\nsend_spill(os.open('pipe', os.O_RDWR), 4096)\nos._exit(0)",
        kind="C",
        check=kept,
    ),
    Program(
        "proc_spill",
        "sends its own memory by /proc as its spill",
        "send_spill(os.open('/proc/self/mem', os.O_RDONLY), 4096)\nos._exit(0)",
        kind="C",
        check=kept,
    ),
    sends(
        "locked_spill",
        "sends a spill on which it holds all locks that there are",
        f"{NAMED}\nimport fcntl as f\nf.flock(reader, f.LOCK_EX)",
        check=harmless,
    ),
    Program(
        "plant_spill",
        "leaves a file in the spill directory, for a later call to read",
        "with open(spills(w) + '/' + w['planted'], 'w') as f: f.write('left')\nreturn None",
        then="return read(spills(w) + '/' + w['planted'])",
        kind="H",
    ),
    Program(
        "plant_inodes",
        "leaves names in the spill directory",
        "for n in range(2000): os.close(os.open('%s/%s-%d' % (spills(w), w['planted'], n), os.O_CREAT | os.O_WRONLY))\nreturn None",
        kind="H",
    ),
    Program(
        "plant_bytes",
        "leaves 64 MiB in the spill directory, past its own scratch directory",
        "with open(spills(w) + '/' + w['planted'], 'wb') as f:\n    for _ in range(64): f.write(b'x' * (1 << 20))\nreturn None",
        kind="H",
    ),
    Program(
        "plant_link",
        "leaves a link in the spill directory",
        "os.symlink('/', spills(w) + '/' + w['planted'])\nreturn None",
        kind="H",
    ),
    Program(
        "plant_directory",
        "leaves a directory that it alone may enter",
        "os.mkdir(w['planted'])\nos.mkdir(w['planted'] + '/d')\nopen(w['planted'] + '/d/f', 'w').close()\nos.chmod(w['planted'] + '/d', 0)\nos.chmod(w['planted'], 0)\nos.chmod('.', 0)\nreturn None",
        kind="H",
    ),
    Program(
        "plant_scratch_of_others",
        "leaves a file among the scratch directories",
        "open(os.path.dirname(os.getcwd()) + '/' + w['planted'], 'w').close()\nreturn None",
        then="return os.path.exists(os.path.dirname(os.getcwd()) + '/' + w['planted'])",
        kind="H",
    ),
    Program(
        "fill_spill_unnamed",
        "holds 200 MiB in the spill directory that no name leads to",
        "fd = os.open(spills(w), os.O_TMPFILE | os.O_RDWR, 0o600)\nfor _ in range(200): os.write(fd, b'x' * (1 << 20))\nreturn os.fstat(fd).st_size",
        Limits(file_bytes=512 * MIB),
        kind="H",
    ),
    Program(
        "slow_sweep",
        "holds up the results of others while what it left is swept",
        HOPS + "hops(4, 0.9)\nreturn None",
        kind="H",
        times=2,
    ),
    Program(
        "slow_sweep_many",
        "leaves 150 processes that ignore all signals",
        "for _ in range(150):\n    if os.fork() == 0:\n        os.setsid()\n        signal.alarm(5)\n        for n in (1, 2, 15, 17): signal.signal(n, signal.SIG_IGN)\n        time.sleep(4)\n        os._exit(0)\nreturn None",
        kind="H",
    ),
    Program(
        "slow_sweep_large",
        "leaves processes whose memory takes long to give back",
        "x = bytearray(60 << 20)\nfor _ in range(5):\n    if os.fork() == 0:\n        signal.alarm(5)\n        for at in range(0, len(x), 4096): x[at] = 1\n        time.sleep(4)\n        os._exit(0)\ntime.sleep(0.5)\nreturn None",
        kind="H",
    ),
    sends(
        "memfd_write_only",
        "sends a sealed memfd by a descriptor that cannot be read",
        "fd = memfd(data, 0)\nwriter = os.open('/proc/self/fd/%d' % fd, os.O_WRONLY)\nos.close(fd)\nfcntl.fcntl(writer, 1033, 15)",
        fd="writer",
        check=changes,
    ),
    sends(
        "memfd_by_path",
        "sends one by a descriptor that only names it",
        "fd = memfd(data)",
        fd="os.open('/proc/self/fd/%d' % fd, os.O_PATH)",
        check=changes,
    ),
    sends(
        "memfd_smaller",
        "sends a sealed memfd that is smaller than it says",
        "fd = memfd(data)",
        fd="fd",
        size="len(data) + (1 << 22)",
        check=kept,
    ),
    sends(
        "memfd_larger",
        "sends a sealed memfd that is larger than it says",
        "fd = memfd(data + bytes(1 << 20))",
        fd="fd",
        check=kept,
    ),
    Program(
        "memfd_empty",
        "sends a sealed memfd without a byte",
        "send_spill(memfd(b''), 0)\nos._exit(0)",
        kind="C",
        check=kept,
    ),
    Program(
        "scribble_slate",
        "writes at random into the memory that it shares with the pool",
        """
maps = [l.split() for l in open("/proc/self/maps") if " rw-s " in l]
places = [tuple(int(n, 16) for n in l[0].split("-")) for l in maps]
end = time.monotonic() + 1.5
for start, stop in places:
    if stop - start > 65536: continue
    while time.monotonic() < end:
        ctypes.memmove(start, os.urandom(144), 144)
        time.sleep(0.001)
    break
return None
""",
        kind="C",
        check=harmless,
    ),
    Program(
        "close_slate",
        "opens turns on that memory that nobody gave",
        """
maps = [l.split() for l in open("/proc/self/maps") if " rw-s " in l]
places = [tuple(int(n, 16) for n in l[0].split("-")) for l in maps]
for start, stop in places:
    if stop - start <= 65536:
        for line in (0, 5 << 31, (1 << 62) - 1, 1 << 63, (1 << 31) - 1):
            ctypes.memmove(start, struct.pack("<QI4xq", line, 7, 1 << 62), 24)
            time.sleep(0.2)
return None
""",
        kind="C",
        check=harmless,
    ),
    Program(
        "forge_failed",
        "says that its worker cannot start, over and over",
        "channel().send(struct.pack('<HBBIQ', 0x4650, 2, 4, 16 + 5, my_call()) + b'wrong')\nos._exit(0)",
        kind="H",
        times=5,
        check=harmless,
    ),
    Program(
        "forge_ready",
        "says what only a worker that starts says",
        "channel().send(struct.pack('<HBBIQ', 0x4650, 2, 3, 16, 0))\ntime.sleep(0.3)\nreturn None",
        kind="H",
        check=harmless,
    ),
    Program(
        "forge_figures",
        "tells figures of 2^64",
        "channel().send(result_frame(my_call(), payload(b'\\x18\\x2a'), user=(1 << 64) - 1, peak=(1 << 64) - 1))\nos._exit(0)",
        kind="H",
        check=lambda r, w: r.outcome == "ok" and r.metrics is not None and (r.metrics.user_time_s > 100 or r.metrics.peak_rss_kb > 1 << 30),
    ),
    Program(
        "outlive_by_depth",
        "leaves a process below sixty others, each in a session of its own",
        "def go(n):\n    os.setsid()\n    signal.alarm(5)\n    if n and os.fork() == 0: go(n - 1)\n    time.sleep(4)\n    os._exit(0)\nif os.fork() == 0: go(60)\ntime.sleep(0.4)\nreturn None",
        kind="H",
    ),
    Program(
        "outlive_by_vfork",
        "leaves a process that waits for one that never ends",
        "if os.fork() == 0:\n    signal.alarm(5)\n    import subprocess\n    subprocess.run(['sleep', '4'])\n    os._exit(0)\nsubprocess = __import__('subprocess').Popen(['/bin/sh', '-c', 'trap \"\" 1 2 15; sleep 4 & sleep 4'], start_new_session=True)\ntime.sleep(0.2)\nreturn None",
        kind="H",
    ),
]
