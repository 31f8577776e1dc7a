# SPDX-License-Identifier: Apache-2.0
"""A call's output reaches the caller however the call dies, and its streams behave as usual.

The reference is this interpreter itself, with its output on a pipe.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from boxes import level_is_there
from conftest import MakeBackend
from pinfold import Limits, LocalBackend, WorkerCall, WorkerResult
from programs import SQUARE, answers, call

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset the variable, as most users have it: with it, all of these tests would pass."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


DEATHS = """
import ctypes, os, signal, sys, time

libc = ctypes.CDLL(None)

def say():
    print("a line")
    print("part", end="")
    sys.stdout.buffer.write(b"<bytes>")
    sys.stderr.write("err")
    libc.printf(b"<C>")

def timeout():
    say()
    time.sleep(60)

def timeout_in_c():
    say()
    libc.sleep(60)

def cpu_limit():
    say()
    while True:
        pass

def memory_limit():
    say()
    held = []
    while True:
        held.append(b"x" * (1 << 20))
        time.sleep(0.002)

def exit():
    say()
    os._exit(3)

def abort():
    say()
    os.abort()

def crash():
    say()
    ctypes.string_at(0)

def killed():
    say()
    os.kill(os.getpid(), signal.SIGKILL)

def terminated():
    say()
    os.kill(os.getpid(), signal.SIGTERM)

def replaced():
    say()
    os.execv("/bin/sh", ["sh", "-c", "exit 1"])

def exit_of_c():
    say()
    libc._exit(3)

def value():
    say()
    return 1
"""

LIMITS = {
    "timeout": Limits(wall_s=0.5),
    "timeout_in_c": Limits(wall_s=0.5),
    "cpu_limit": Limits(cpu_s=0.1),
    "memory_limit": Limits(memory_bytes=64 * MIB),
}

ASKED = tuple(LIMITS)

# These run no handler: C's own buffer is lost with the process.
UNSEEN = ("killed", "terminated", "replaced", "exit_of_c")

NAMES = [line[4:-3] for line in DEATHS.splitlines() if line.startswith("def ")][1:]


def is_there(sandbox: str) -> bool:
    return sandbox == "none" or level_is_there(sandbox)


MODES = [
    pytest.param(
        isolation,
        sandbox,
        marks=pytest.mark.skipif(not is_there(sandbox), reason="not to be had here"),
        id=f"{isolation}-{sandbox}",
    )
    for isolation, sandbox in (
        ("fresh", "none"),
        ("reuse", "none"),
        ("spawn", "none"),
        ("fresh", "standard"),
        ("reuse", "strict"),
    )
]


@pytest.mark.parametrize("unbuffered", [None, "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(("isolation", "sandbox"), MODES)
def test_what_waits_in_a_buffer_is_told_whatever_the_call_dies_of(
    isolation: str,
    sandbox: str,
    unbuffered: str | None,
    make_backend: MakeBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if unbuffered:
        monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    backend = make_backend(isolation=isolation, sandbox=sandbox, max_workers=1)
    assert backend.submit(SQUARE).result(timeout=60).value == 49
    for name in NAMES:
        program = WorkerCall(DEATHS, name, limits=LIMITS.get(name))
        c = "" if name in UNSEEN and not unbuffered else "<C>"

        def run() -> WorkerResult:
            return backend.submit(program, deadline_s=60).result(timeout=120)  # noqa: B023

        for result in answers(run) if name in ASKED else [run()]:
            assert (name, result.stderr.removesuffix("\n")) == (name, "err")
            # Without an answer, only the content of C's own buffer is lost.
            answered = name not in ASKED or (result.error is not None and result.error.stack)
            expected = [f"a line\npart<bytes>{c}"] + ([] if answered else ["a line\npart<bytes>"])
            assert result.stdout in expected, (name, result)


FLOOD = """
import itertools
def f(size):
    for i in itertools.count():
        print(str(i).ljust(size, "."))
"""


@pytest.mark.parametrize("size", [0, 2000])
def test_lines_of_a_call_that_is_killed_have_no_gap_and_come_once(
    either: LocalBackend, size: int
) -> None:
    everything = Limits(output_bytes=512 * MIB)
    limits = [everything, Limits(output_bytes=512 * MIB, cpu_s=0.05)]
    ends = [
        either.submit(WorkerCall(FLOOD, "f", [size], limits=limit), deadline_s=deadline)
        for limit, deadline in zip(limits * 2, (0.1, 60, 0.15, 60), strict=True)
    ]
    for future in ends:
        lines = future.result(timeout=120).stdout.split("\n")
        numbers = [int(line.rstrip(".")) for line in lines[:-1]]
        assert numbers == list(range(len(numbers)))
        # The kill may come between a number and its line's end.
        assert lines[-1] in ("", str(len(numbers)).ljust(size, "."))


def test_output_of_one_call_is_never_anothers(make_backend: MakeBackend) -> None:
    backend = make_backend(isolation="reuse", max_workers=1)
    closed = call("import os\nprint('lost', end='')\nos.close(1)\nreturn 1")
    hanging = call("import time\nprint('mine', end='')\ntime.sleep(60)")
    for program, deadline, told in ((closed, 60, ""), (hanging, 0.3, "mine"), (SQUARE, 60, "")):
        assert backend.submit(program, deadline_s=deadline).result(timeout=60).stdout == told


# Each prints its findings to the descriptor of its result.
SCENES = {
    "attributes": """
names = "encoding errors name mode newlines line_buffering closed".split()
for stream in (sys.stdout, sys.stderr, sys.__stdout__):
    found.append([getattr(stream, name) for name in names])
    found.append([stream.isatty(), stream.writable(), stream.readable(), stream.fileno()])
    buffer, raw = stream.buffer, stream.buffer.raw
    found.append([repr(stream), repr(buffer), repr(raw), buffer.name, buffer.mode, raw.name])
    found.append([type(stream).__name__, type(buffer).__name__, type(raw).__name__])
    found.append([isinstance(buffer, io.BufferedWriter), buffer.seekable(), buffer.fileno()])
    found.append([stream is sys.__stdout__])
""",
    "order of what is flushed": """
print("one", end="")
print("two", flush=True)
os.write(1, b"three")
sys.stdout.buffer.write(b"four")
sys.stdout.flush()
subprocess.run(["echo", "five"])
print("six", end="")
sys.stdout.flush()
os.system("echo seven")
print("eight", end="")
""",
    "the buffer": """
found.append(sys.stdout.buffer.write(bytearray(b"abc")))
found.append(sys.stdout.buffer.write(memoryview(b"defg")))
found.append(sys.stdout.buffer.write(b"x" * 100_000))
found.append(sys.stdout.buffer.write(b""))
sys.stdout.buffer.writelines([b"y" * 8191, b"z", b"w" * 8192])
with contextlib.suppress(TypeError):
    sys.stdout.buffer.write("text")
""",
    "errors": """
def kind(function, *args):
    try:
        return str(function(*args))
    except Exception as error:
        return repr(error)
found.append(kind(sys.stdout.buffer.write, "text"))
found.append(kind(sys.stdout.write, b"bytes"))
found.append(kind(sys.stdout.buffer.tell))
found.append(kind(sys.stdout.buffer.seek, 0))
found.append(kind(sys.stdout.buffer.read))
found.append(kind(sys.stdout.buffer.truncate, 0))
found.append(kind(sys.stdout.write, "\\udc80"))
""",
    "a stream that is closed": """
stream = sys.stdout
print("before", end="")
stream.close()
for doing in (stream.flush, lambda: stream.write("x"), lambda: stream.buffer.write(b"x"),
              lambda: print("x"), stream.buffer.flush, stream.fileno, lambda: stream.closed,
              lambda: stream.buffer.closed):
    try:
        found.append(str(doing()))
    except ValueError as error:
        found.append(repr(error))
sys.stdout = None
print("nowhere")
os.write(1, b"after")
""",
    "a raw stream that is closed": """
print("before", flush=True)
sys.stdout.buffer.raw.close()
stream = sys.stdout
for doing in (lambda: stream.write("x"), lambda: stream.buffer.write(b"x"), stream.flush):
    try:
        found.append(str(doing()))
    except ValueError as error:
        found.append(repr(error))
sys.stdout = None
""",
    "a stream that is detached": """
print("before", end="")
stream = sys.stdout
buffer = stream.detach()
buffer.write(b"between")
raw = buffer.detach()
found.append(raw.write(b"after"))
for doing in (lambda: buffer.write(b"x"), buffer.flush, lambda: buffer.closed,
              lambda: stream.write("x")):
    try:
        found.append(str(doing()))
    except ValueError as error:
        found.append(repr(error))
sys.stdout = sys.__stdout__ = None
""",
    "reconfigure": """
sys.stdout.reconfigure(line_buffering=True)
print("line")
os.write(1, b"1")
sys.stdout.reconfigure(line_buffering=False, encoding="latin-1", errors="replace")
print("\\xe9\\u20ac")
sys.stdout.reconfigure(newline="\\r\\n")
print("end")
sys.stdout.reconfigure(newline="\\n")
os.write(1, b"2")
found.append([sys.stdout.encoding, sys.stdout.errors])
""",
    "text of every kind": """
for text in ("", "ascii", "\\xe9t\\xe9", "\\u20ac", "\\U0001f600",
             "a" * 5000 + "\\u20ac", "b" * 40_000, "\\0\\r\\n"):
    found.append(sys.stdout.write(text))
    sys.stderr.write(text)
class Text(str):
    pass
found.append(sys.stdout.write(Text("of a class")))
sys.stdout.writelines(["one", "two\\n"])
print(1, 2.5, None, "x", sep="|", end="\\r")
for encoding in ("ascii", "latin-1", "utf-8", "utf-16", "cp500"):
    sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")
    found.append(sys.stdout.write("A\\xe9\\u20ac"))
sys.stdout.reconfigure(encoding="utf-8")
sys.stdout.reconfigure(write_through=False)
print("held")
sys.stdout.reconfigure(write_through=True)
sys.stdout.reconfigure(line_buffering=True)
print("line")
os.write(1, b"raw")
""",
    "other streams in its place": """
text = io.StringIO()
with contextlib.redirect_stdout(text):
    print("inside")
found.append(text.getvalue())
own = open(1, "w", closefd=False)
print("own", file=own, flush=True)
sys.stdout.flush()
print("mine", flush=True)
sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", write_through=True)
print("wrapped")
""",
    "another descriptor in its place": """
print("first", flush=True)
saved = os.dup(1)
name = tempfile.mkstemp()[1]
file = os.open(name, os.O_RDWR)
os.dup2(file, 1)
print("to the file", flush=True)
found.append(sys.stdout.buffer.tell())
found.append(sys.stdout.buffer.write(b"more"))
found.append(sys.stdout.buffer.tell())
sys.stdout.buffer.flush()
os.system("echo child")
os.dup2(saved, 1)
found.append(open(name).read())
os.remove(name)
print("last")
""",
    "output that a thread of its own reads": """
saved = os.dup(1)
read, write = os.pipe()
os.dup2(write, 1)
os.close(write)
parts = []
def collect():
    while part := os.read(read, 1 << 16):
        parts.append(len(part))
thread = threading.Thread(target=collect)
thread.start()
for i in range(3000):
    print("x" * 99)
sys.stdout.flush()
print("y" * 300_000, end="", flush=True)
os.dup2(saved, 1)
thread.join()
found.append(sum(parts))
""",
    "a signal's handler that prints": """
def ring(number, frame):
    print("rung")
signal.signal(signal.SIGUSR1, ring)
for i in range(200):
    print("x" * 500)
    os.kill(os.getpid(), signal.SIGUSR1)
""",
    "a pipe that does not wait": """
read, write = os.pipe()
os.set_blocking(write, False)
saved = os.dup(1)
os.dup2(write, 1)
try:
    for _ in range(20):
        sys.stdout.buffer.write(b"x" * 8000)
except BlockingIOError as error:
    found.append([error.errno, error.strerror])
while len(os.read(read, 65536)) == 65536:
    pass
sys.stdout.flush()
os.dup2(saved, 1)
found.append(len(os.read(read, 65536)) > 0)
""",
    "C's own": """
libc = ctypes.CDLL(None)
libc.printf(b"from C")
libc.fflush(None)
os.write(1, b" and then")
libc.puts(b" more")
libc.fflush(None)
stdout = ctypes.c_void_p.in_dll(libc, "stdout")
found.append(libc.fileno(stdout))
name = tempfile.mkstemp()[1]
saved = os.dup(1)
libc.freopen.restype = ctypes.c_void_p
found.append(libc.freopen(name.encode(), b"w", stdout) is not None)
libc.puts(b"to the file")
libc.fflush(None)
found.append(open(name).read())
os.dup2(saved, 1)
os.remove(name)
""",
    "forks": """
print("before")
sys.stdout.flush()
for status in range(3):
    if os.fork() == 0:
        print("child", flush=True)
        os._exit(status)
    found.append(os.waitstatus_to_exitcode(os.wait()[1]))
print("after")
""",
    "multiprocessing": """
import multiprocessing
print("before")
process = multiprocessing.get_context("fork").Process(target=print, args=("child",))
process.start()
process.join()
found.append(process.exitcode)
print("after")
""",
}

IMPORTS = """
import contextlib, ctypes, io, json, os, signal, subprocess, sys, tempfile, threading
"""

# The reference prints its findings last, on a separate line.
PLAIN = """
found = []
scene({source!r}, found)
if sys.stdout is None:
    sys.stdout = open(1, "w", closefd=False)
print("\\n" + json.dumps(found), flush=True)
"""

PLAY = """
def scene(source, found):
    exec(compile(source, "scene", "exec"), {**globals(), "found": found})
"""

TELL = """
def f(source):
    found = []
    scene(source, found)
    return json.dumps(found)
"""


@pytest.mark.parametrize("scene", SCENES)
def test_streams_behave_as_in_any_python(scene: str, either: LocalBackend) -> None:
    source = SCENES[scene]
    plain = subprocess.run(
        [sys.executable, "-c", IMPORTS + PLAY + PLAIN.format(source=source)],
        capture_output=True,
        check=True,
        timeout=60,
    )
    stdout, found = plain.stdout.decode(errors="backslashreplace").rstrip("\n").rsplit("\n", 1)
    future = either.submit(WorkerCall(IMPORTS + PLAY + TELL, "f", [source]))
    result = future.result(timeout=60)
    assert json.loads(result.unwrap()) == json.loads(found)
    assert (result.stdout, result.stderr) == (stdout, plain.stderr.decode())


def test_what_a_fork_prints_is_told_once_and_after_what_came_before_it(
    either: LocalBackend,
) -> None:
    body = """
import os, sys, time
print("before")
print("part", end="")
if os.fork() == 0:
    print("child")
    print("unfinished", end="")
    return 1
os.wait()
print("|after")
if os.fork() == 0:
    print("second")
    time.sleep(60)
time.sleep(60)
"""
    result = either.submit(call(body), deadline_s=0.5).result(timeout=60)
    assert result.stdout == "before\npartchild\nunfinished|after\nsecond\n"


def test_lines_of_threads_are_whole_and_none_is_lost(either: LocalBackend) -> None:
    body = """
import sys, threading
def work(letter):
    for _ in range(500):
        sys.stdout.write(letter * 79 + "\\n")
threads = [threading.Thread(target=work, args=(letter,)) for letter in "abcd"]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    lines = either.submit(call(body)).result(timeout=60).stdout.splitlines()
    assert sorted(lines) == [letter * 79 for letter in "abcd" for _ in range(500)]


def test_exit_is_still_the_systems_own(either: LocalBackend) -> None:
    body = """
import os, posix, pickle, inspect
assert os._exit is posix._exit and pickle.loads(pickle.dumps(os._exit)) is os._exit
try:
    os._exit("x")
except TypeError:
    pass
if os.fork() == 0:
    os._exit(status=7)
return os.wait()[1] >> 8, os._exit.__name__, os._exit.__module__, str(inspect.signature(os._exit))
"""
    assert either.submit(call(body)).result(timeout=60).unwrap() == (
        7,
        "_exit",
        "posix",
        "(status)",
    )
