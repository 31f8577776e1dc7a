# SPDX-License-Identifier: Apache-2.0
"""Metrics, and JsonlWriter."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import pinfold
from boxes import level_is_there
from conftest import MakeBackend, output_of
from pinfold import ExecutionMetrics, Limits, LocalBackend, WorkerCall
from pinfold.metrics import JsonlWriter
from programs import HANG, SLEEP, SQUARE, call, square


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_call_has_one_line(either: LocalBackend, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "calls.jsonl"
    with JsonlWriter(path).attach(either) as writer:
        assert pinfold.metrics.JsonlWriter is type(writer)
        either.submit(SQUARE).result(timeout=60)
        either.submit(call("raise ValueError('x' * 1000)")).result(timeout=60)
        either.submit(HANG, deadline_s=0.2).result(timeout=60)
        either.submit(SLEEP).cancel()
    ok, exception, timeout, cancelled = lines(path)
    assert (ok["outcome"], ok["error"], ok["function"]) == ("ok", None, "f")
    assert ok["pool_id"] == either.pool_id
    assert ok["wall_time_s"] > 0
    assert (exception["outcome"], len(exception["error"])) == ("exception", 500)
    assert timeout["outcome"] == "timeout"
    assert timeout["worker_pid"] > 0
    assert (cancelled["outcome"], cancelled["worker_pid"]) == ("cancelled", None)
    names = {field.name for field in dataclasses.fields(ExecutionMetrics)}
    for line in (ok, exception, timeout, cancelled):
        assert line.keys() == names | {"time_ns", "function", "outcome", "error"}


def test_a_line_is_one_line_of_ascii(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with JsonlWriter(path) as writer:
        writer(WorkerCall("", "a\n\x1b[31mü"), None, asyncio.CancelledError())
    assert path.read_bytes().isascii()
    assert path.read_text().count("\n") == 1
    assert lines(path)[0]["function"] == "a\n\x1b[31mü"


@pytest.mark.parametrize("removed", [False, True], ids=["renamed", "removed"])
def test_a_rotated_file_is_followed(removed: bool, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    old = tmp_path / "calls.jsonl.1"
    with JsonlWriter(path) as writer:
        writer(SQUARE, None, None)
        path.rename(old)
        if removed:
            old.unlink()
        writer(SQUARE, None, None)
        writer(SQUARE, None, None)
    assert len(lines(path)) == 2
    assert removed or len(lines(old)) == 1


def test_lines_are_appended_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    for _ in range(2):
        with JsonlWriter(path) as writer:
            writer(SQUARE, None, None)
    assert len(lines(path)) == 2


def test_lines_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    writers = [JsonlWriter(path), JsonlWriter(path)]

    def work(writer: JsonlWriter) -> None:
        for n in range(100):
            writer(square(n), None, None)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in writers * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.close()
    assert len(lines(path)) == 400


def test_a_file_that_cannot_be_written_hurts_no_call(
    either: LocalBackend, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    JsonlWriter(tmp_path).attach(either)
    assert either.submit(SQUARE).result(timeout=60).value == 49
    assert "on_complete" in caplog.text


INTERRUPTED = """
import sys, threading
from pinfold import WorkerCall
from pinfold.metrics import JsonlWriter

writer = JsonlWriter(sys.argv[1])
line = (WorkerCall("", "f"), None, None)
writer(*line)

def interrupt(frame, event, function):
    if event == sys.argv[2] and function.__name__ == sys.argv[3]:
        sys.setprofile(None)
        thread = threading.Thread(target=writer, args=line)
        thread.start()
        thread.join()
        writer(*line)
        writer.close()
        print("interrupted")

sys.setprofile(interrupt)
writer(*line)
sys.setprofile(None)
"""


@pytest.mark.parametrize("function", ["stat", "fstat", "write"])
@pytest.mark.parametrize("event", ["c_call", "c_return"])
def test_a_signal_handler_may_wait_for_a_thread_that_writes(
    event: str, function: str, tmp_path: Path
) -> None:
    path = tmp_path / "calls.jsonl"
    assert output_of(INTERRUPTED, path, event, function) == "interrupted\n"
    assert len(lines(path)) == 4


def test_what_is_no_path_is_refused_without_a_word_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    with pytest.raises(TypeError):
        JsonlWriter(5)  # type: ignore[arg-type]
    assert capsys.readouterr().err == ""


PEAKS = """
import ctypes, os, sys, threading, time

def small():
    return 1

def large():
    held = b"x" * (60 << 20)
    return len(held)

def crash():
    held = b"x" * (60 << 20)
    os.abort()

def timeout():
    held = b"x" * (60 << 20)
    while True:
        pass

def memory_limit():
    held = []
    while True:
        held.append(b"x" * (1 << 20))
        time.sleep(0.001)

def executes():
    held = b"x" * (60 << 20)
    del held
    os.execv("/bin/sleep", ["sleep", "60"])

def first_thread_ends():
    held = b"x" * (60 << 20)
    threading.Thread(target=time.sleep, args=(60,)).start()
    ctypes.CDLL(None).syscall(60, 0)
"""

ENDS = {
    "large": "ok",
    "crash": "signalled",
    "timeout": "timeout",
    "memory_limit": "memory_limit",
    "executes": "exited",
    "first_thread_ends": "timeout",
}


@pytest.mark.parametrize("sandbox", ["none", "standard", "strict"])
def test_the_peak_of_memory_is_told_however_a_call_ends(
    sandbox: str, isolation: str, make_backend: MakeBackend
) -> None:
    if not level_is_there(sandbox):
        pytest.skip("not to be had here")
    backend = make_backend(isolation=isolation, sandbox=sandbox)
    for future in [backend.submit(WorkerCall(PEAKS, "small")) for _ in range(30)]:
        metrics = future.result(timeout=60).metrics
        assert metrics is not None
        assert 1000 < metrics.peak_rss_kb < 50_000
    for name, outcome in ENDS.items():
        limits = Limits(
            wall_s=0.4 if outcome == "timeout" else 30,
            memory_bytes=50 << 20 if name == "memory_limit" else None,
        )
        result = backend.submit(WorkerCall(PEAKS, name, limits=limits)).result(timeout=60)
        assert (name, result.outcome) == (name, outcome)
        assert result.metrics is not None
        assert result.metrics.peak_rss_kb > 50_000, name


FORGED = """
import os, socket, struct, sys, time
began = time.process_time()
while time.process_time() - began < 0.2:
    pass
told, keeps_running = args
frame = sys._getframe()
while "channel" not in frame.f_locals:
    frame = frame.f_back
item = b"\\x18\\x2a"
payload = struct.pack("<IIQ", 0x4C504650, 1, len(item)).ljust(64, b"\\0") + item
body = struct.pack("<QQQQIIiI", len(payload), *told, 0, 0, 0, 0)
number, size = frame.f_locals["channel"].call, 16 + len(body) + len(payload)
head = struct.pack("<HBBIQ", 0x4650, 2, 10, size, number)
for fd in range(3, 512):
    try:
        sock = socket.socket(fileno=os.dup(fd))
    except OSError:
        continue
    if sock.type == socket.SOCK_SEQPACKET:
        sock.send(head + body + payload)
        break
if keeps_running:
    time.sleep(0.1)
os._exit(0)
"""


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
@pytest.mark.parametrize("sandbox", ["none", "standard", "strict"])
def test_no_more_is_told_than_can_have_been_used(
    make_backend: MakeBackend, sandbox: str, isolation: str
) -> None:
    """A program sends its own result with false figures. In a box, the kernel's are reported."""
    if not level_is_there(sandbox):
        pytest.skip("not to be had here")
    backend = make_backend(isolation=isolation, sandbox=sandbox, max_workers=1)
    most, far = 2**64 - 1, 2**40
    for told in ((most, 1, most), (far, far, far), (0, 0, 0)):
        for keeps_running in (False, True):
            result = backend.submit(call(FORGED, told, keeps_running), deadline_s=30).result(60)
            metrics = result.metrics
            assert metrics is not None
            assert result.value == 42
            used = metrics.user_time_s + metrics.sys_time_s
            assert used < 2 * metrics.wall_time_s * (os.cpu_count() or 1) + 0.1
            assert metrics.peak_rss_kb < os.sysconf("SC_PHYS_PAGES") * 4
            assert min(metrics.user_time_s, metrics.sys_time_s, metrics.peak_rss_kb) >= 0
            if sandbox != "none":
                assert used > 0.19
                assert metrics.peak_rss_kb > 100
            honest = backend.submit(SQUARE).result(60).metrics
            assert honest is not None
            assert 0 <= honest.user_time_s + honest.sys_time_s < 0.19
