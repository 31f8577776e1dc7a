# SPDX-License-Identifier: Apache-2.0
"""Limits: each ends the call that exceeds it, and no other."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from conftest import MakeBackend
from pinfold import (
    BadResult,
    CpuLimitExceeded,
    ExecRunnerError,
    Limits,
    LocalBackend,
    MemoryLimitExceeded,
    OutputLimitExceeded,
    WorkerCall,
    WorkerConfig,
    WorkerExited,
    WorkerResult,
)
from pinfold._host.sandbox import isolation_of
from programs import SQUARE, call, square

MIB = 1 << 20

# Each process also ends by itself, and their number is bounded, so that a failing limit does not
# harm the machine.
FORK_BOMB = """
import os, signal, time
def f(most, root):
    counter = os.open(os.path.join(root, "forks"), os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
    while os.fstat(counter).st_size < most:
        try:
            child = os.fork()
        except OSError:
            time.sleep(0.001)
            continue
        if child == 0:
            signal.alarm(20)
            os.write(counter, b".")
    time.sleep(15)
"""

EIGHT_THREADS = """
import threading
def f(most):
    held = []
    def take():
        while sum(map(len, held)) < most:
            held.append(b"x" * (4 << 20))
    threads = [threading.Thread(target=take, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(held)
"""

BURN = call("n = 0\nwhile True:\n    n += 1")


def ended(
    backend: LocalBackend, program: WorkerCall, outcome: str, error: type[BaseException]
) -> WorkerResult:
    result = backend.submit(program, deadline_s=60).result(timeout=120)
    assert result.outcome == outcome, result
    with pytest.raises(error) as caught:
        result.unwrap()
    assert type(caught.value) is error
    assert backend.submit(SQUARE).result(timeout=60).value == 49
    return result


def message(result: WorkerResult) -> str:
    assert result.error is not None
    return result.error.message


def program(source: str, *args: object, limits: Limits) -> WorkerCall:
    return WorkerCall(code=source, function_name="f", args=args, limits=limits)


def test_memory_beyond_the_limit_ends_the_call_with_the_figures(either: LocalBackend) -> None:
    limits = Limits(memory_bytes=64 * MIB)
    eager = program(EIGHT_THREADS, 3000 * MIB, limits=limits)
    told = message(ended(either, eager, "memory_limit", MemoryLimitExceeded))
    assert "MiB of memory in use, of 64.0 MiB allowed" in told
    assert float(told.split()[0]) > 64
    modest = call("import time\nheld = b'x' * (16 << 20)\ntime.sleep(0.1)\nreturn 1", limits=limits)
    assert either.submit(modest).result(timeout=60).value == 1


def test_memory_of_children_counts(either: LocalBackend) -> None:
    body = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        held = b"x" * (40 << 20)
        time.sleep(20)
        os._exit(0)
time.sleep(20)
"""
    parent = call(body, limits=Limits(memory_bytes=80 * MIB))
    ended(either, parent, "memory_limit", MemoryLimitExceeded)


def test_memory_that_the_kernel_takes_to_map_memory_counts(either: LocalBackend) -> None:
    # Pages of zeroes cost nothing but their table, a page for each 2 MiB.
    body = """
import mmap, time
NORESERVE = 0x4000
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NORESERVE
zeroes = mmap.mmap(-1, 64 << 30, flags=flags, prot=mmap.PROT_READ)
zeroes.madvise(mmap.MADV_NOHUGEPAGE)
for at in range(0, len(zeroes), 2 << 20):
    zeroes[at]
time.sleep(20)
"""
    tables = call(body, limits=Limits(memory_bytes=64 * MIB))
    ended(either, tables, "memory_limit", MemoryLimitExceeded)


def test_a_memory_error_of_the_codes_own_is_an_exception(either: LocalBackend) -> None:
    own = call("raise MemoryError('mine')", limits=Limits(memory_bytes=256 * MIB))
    result = ended(either, own, "exception", ExecRunnerError)
    assert result.error is not None
    assert (result.error.type, result.error.message) == ("MemoryError", "mine")


def test_processor_time_beyond_the_limit_ends_the_call(either: LocalBackend) -> None:
    burning = WorkerCall(BURN.code, "f", limits=Limits(cpu_s=0.2))
    told = message(ended(either, burning, "cpu_limit", CpuLimitExceeded))
    assert "s of processor time used, of 0.2 s allowed" in told
    asleep = call("import time\ntime.sleep(0.4)\nreturn 1", limits=Limits(cpu_s=0.2))
    assert either.submit(asleep).result(timeout=60).value == 1


def test_processor_time_of_children_counts(either: LocalBackend) -> None:
    body = """
import os, time
for _ in range(2):
    if os.fork() == 0:
        while True:
            pass
time.sleep(30)
"""
    ended(either, call(body, limits=Limits(cpu_s=0.3)), "cpu_limit", CpuLimitExceeded)


def test_time_of_earlier_calls_does_not_count(make_backend: MakeBackend) -> None:
    backend = make_backend(isolation="reuse", max_workers=1, limits=Limits(cpu_s=0.5))
    body = """
import time
began = time.process_time()
while time.process_time() - began < 0.2:
    pass
return 1
"""
    for _ in range(4):
        assert backend.submit(call(body)).result(timeout=60).value == 1


def test_a_file_beyond_the_limit_ends_the_call_by_the_kernels_evidence(
    either: LocalBackend, tmp_path: Path
) -> None:
    body = "with open(args[0], 'wb') as file:\n    file.truncate(args[1])\nreturn 1"
    limits = Limits(file_bytes=MIB)
    sparse = call(body, str(tmp_path / "large"), 1 << 40, limits=limits)
    result = ended(either, sparse, "output_limit", OutputLimitExceeded)
    assert str(MIB) in message(result)
    assert result.error is not None
    assert (result.error.returncode, result.error.signal) == (1, signal.SIGXFSZ)
    small = call(body, str(tmp_path / "small"), MIB, limits=limits)
    assert either.submit(small).result(timeout=60).value == 1
    # The next call has its own limits, or none.
    free = call(body, str(tmp_path / "free"), 2 * MIB)
    assert either.submit(free).result(timeout=60).value == 1


def test_a_value_that_is_a_larger_file_than_allowed_is_an_output_limit(
    backend: LocalBackend,
) -> None:
    large = call("return bytes(200_000)", limits=Limits(file_bytes=1000))
    result = ended(backend, large, "output_limit", OutputLimitExceeded)
    assert "larger than allowed" in message(result)
    assert result.error is not None
    assert result.error.returncode == 1


def test_without_a_limit_on_files_death_by_that_signal_is_a_crash(either: LocalBackend) -> None:
    body = """
import os, signal
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
os.kill(os.getpid(), signal.SIGXFSZ)
"""
    assert either.submit(call(body)).result(timeout=60).outcome == "signalled"


def test_descriptors_beyond_the_limit_are_refused(either: LocalBackend) -> None:
    body = """
import os
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error:
    return error.errno, max(held), b"x" * 100_000
"""
    for most in (32, 100):
        flood = call(body, limits=Limits(open_files=most))
        code, last, spilled = either.submit(flood).result(timeout=60).unwrap()
        assert (code, len(spilled)) == (24, 100_000)
        assert last < most
    assert either.submit(call(body)).result(timeout=60).unwrap()[1] >= 100


def test_no_descriptor_for_a_result_is_the_doing_of_the_program(
    backend: LocalBackend,
) -> None:
    body = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (0, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
return bytes(1 << 20)
"""
    result = ended(backend, call(body), "bad_result", BadResult)
    assert result.error is not None
    assert "Too many open files" in result.error.message


def test_a_value_whose_memory_is_gone_is_the_doing_of_the_program(either: LocalBackend) -> None:
    body = """
import mmap, tempfile
import numpy
file = tempfile.TemporaryFile()
file.truncate(1 << 20)
value = numpy.frombuffer(mmap.mmap(file.fileno(), 1 << 20), "u1")
file.truncate(0)
return value
"""
    ended(either, call(body), "bad_result", BadResult)


def test_address_space_beyond_the_limit_is_a_memory_error(either: LocalBackend) -> None:
    body = "return len(bytearray(1 << 33))"
    large = call(body, limits=Limits(address_space_bytes=1 << 32))
    result = ended(either, large, "exception", ExecRunnerError)
    assert result.error is not None
    assert result.error.type == "MemoryError"


def test_core_dumps_are_off_unless_asked_for(either: LocalBackend) -> None:
    body = "import resource\nreturn resource.getrlimit(resource.RLIMIT_CORE)[0]"
    assert either.submit(call(body)).result(timeout=60).value == 0
    most = call(body, limits=Limits(core_bytes=4096))
    assert either.submit(most).result(timeout=60).value == 4096
    assert either.submit(call(body)).result(timeout=60).value == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may raise any limit")
def test_a_fresh_worker_cannot_raise_what_was_set(backend: LocalBackend) -> None:
    body = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
"""
    raising = call(body, limits=Limits(file_bytes=MIB))
    assert backend.submit(raising).result(timeout=60).outcome == "exception"


def test_a_fork_bomb_ends_and_leaves_nothing(either: LocalBackend, tmp_path: Path) -> None:
    bomb = program(FORK_BOMB, 1200, str(tmp_path), limits=Limits(processes=20))
    result = ended(either, bomb, "exited", WorkerExited)
    assert "processes at once, of 20 allowed" in message(result)
    assert result.error is not None
    assert (result.error.returncode, result.error.signal) == (1, None)


def test_a_flood_of_print_costs_the_call_nothing_but_its_middle(either: LocalBackend) -> None:
    body = "for _ in range(300): print('x' * (1 << 20))\nreturn 1"
    result = either.submit(call(body, limits=Limits(output_bytes=1000))).result(timeout=120)
    assert (result.value, result.stdout_truncated) == (1, True)
    assert len(result.stdout) <= 1000


def test_all_of_them_at_once_leave_a_hundred_honest_calls_alone(
    make_backend: MakeBackend, isolation: str, tmp_path: Path
) -> None:
    backend = make_backend(isolation=isolation, max_workers=6)
    sparse = "def f(path):\n    with open(path, 'wb') as file:\n        file.truncate(1 << 40)\n"
    flood = "import os\ndef f():\n    while True:\n        os.open('/dev/null', os.O_RDONLY)\n"
    prints = "def f():\n    while True:\n        print('x' * 65536)\n"
    hostile = {
        "memory_limit": program(EIGHT_THREADS, 3000 * MIB, limits=Limits(memory_bytes=64 * MIB)),
        "exited": program(FORK_BOMB, 600, str(tmp_path), limits=Limits(processes=16)),
        "output_limit": program(sparse, str(tmp_path / "sparse"), limits=Limits(file_bytes=MIB)),
        "exception": program(flood, limits=Limits(open_files=64)),
        "cpu_limit": program(prints, limits=Limits(cpu_s=0.3, output_bytes=1000)),
    }
    attacks = {name: backend.submit(bad, deadline_s=60) for name, bad in hostile.items()}
    honest = [backend.submit(square(n), deadline_s=60) for n in range(100)]
    assert [future.result(timeout=120).unwrap() for future in honest] == [n * n for n in range(100)]
    ends = {name: future.result(timeout=120).outcome for name, future in attacks.items()}
    assert ends == {name: name for name in hostile}


# The CPU time of children that no process waits for is lost.
UNWAITED = """
import os, signal, time

def burn(seconds):
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass

def f(burns):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in range(burns):
        if os.fork() == 0:
            burn(0.1)
            os._exit(0)
        try:
            os.wait()
        except ChildProcessError:
            pass
    return 1

def waited(burns):
    for _ in range(burns):
        if os.fork() == 0:
            burn(0.06)
            os._exit(0)
        os.wait()
    return 1
"""


def test_processor_time_of_children_that_nobody_waits_for_counts(either: LocalBackend) -> None:
    limits = Limits(cpu_s=0.4)
    lost = WorkerCall(UNWAITED, "f", [100], limits=limits)
    ended(either, lost, "cpu_limit", CpuLimitExceeded)
    few = WorkerCall(UNWAITED, "f", [1], limits=limits)
    assert either.submit(few).result(timeout=60).value == 1


def test_processor_time_of_children_counts_once(either: LocalBackend) -> None:
    waited = WorkerCall(UNWAITED, "waited", [6], limits=Limits(cpu_s=0.7))
    assert either.submit(waited).result(timeout=60).value == 1


# Memory that no process's account includes.
HOLDERS = {
    "a memfd": """
import os
held = os.memfd_create("held")
for _ in range(150):
    os.write(held, bytes(1 << 20))
""",
    "memfds of a child": """
import os
if os.fork() == 0:
    held = [os.memfd_create("held") for _ in range(3)]
    for fd in held * 50:
        os.write(fd, bytes(1 << 20))
    time.sleep(60)
""",
    "a file in memory that is gone": """
import os, tempfile
held = tempfile.TemporaryFile(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
for _ in range(150):
    held.write(bytes(1 << 20))
""",
    "a mapping that all share": """
import mmap
held = mmap.mmap(-1, 150 << 20)
for at in range(0, 150 << 20, 4096):
    held[at] = 1
""",
    "a first thread that has ended": """
import ctypes, threading
def eat():
    time.sleep(0.05)
    held = bytearray(150 << 20)
    time.sleep(60)
threading.Thread(target=eat).start()
ctypes.CDLL(None).syscall(60, 0)
""",
    "a process that may not be looked at": """
import ctypes, os
if os.fork() == 0:
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
    held = bytearray(150 << 20)
    time.sleep(60)
""",
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_memory_that_is_in_no_processs_account_counts(either: LocalBackend, holder: str) -> None:
    body = f"import time\n{HOLDERS[holder]}\ntime.sleep(60)"
    greedy = call(body, limits=Limits(memory_bytes=100 * MIB))
    ended(either, greedy, "memory_limit", MemoryLimitExceeded)


def test_a_file_in_memory_that_is_mapped_as_well_counts_once(either: LocalBackend) -> None:
    body = """
import mmap, os, time
held = os.memfd_create("held")
os.ftruncate(held, 64 << 20)
with mmap.mmap(held, 64 << 20) as memory:
    for at in range(0, 64 << 20, 4096):
        memory[at] = 1
    time.sleep(0.1)
return 1
"""
    assert either.submit(call(body, limits=Limits(memory_bytes=100 * MIB))).result(60).value == 1


def test_the_scratch_directory_of_a_strict_call_counts(
    make_backend: MakeBackend, isolation: str
) -> None:
    if isolation_of(WorkerConfig(sandbox="strict")).missing:
        pytest.skip("not to be had here")
    backend = make_backend(sandbox="strict", isolation=isolation, max_workers=1)
    body = """
import time
for n in range(args[0]):
    with open(str(n), "wb") as file:
        file.write(bytes(1 << 20))
time.sleep(args[1])
return 1
"""
    limits = Limits(memory_bytes=100 * MIB)
    for _ in range(2):
        assert backend.submit(call(body, 50, 0.1, limits=limits)).result(60).value == 1
        greedy = call(body, 150, 60, limits=limits)
        ended(backend, greedy, "memory_limit", MemoryLimitExceeded)
