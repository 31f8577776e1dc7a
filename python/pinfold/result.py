# SPDX-License-Identifier: Apache-2.0
"""The result of a call: outcome, value or error, metrics, output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal[
    "ok",
    "exception",
    "exited",
    "signalled",
    "timeout",
    "cpu_limit",
    "memory_limit",
    "output_limit",
    "bad_result",
    "cancelled",
    "lost",
    "internal",
]

Phase = Literal["", "queue", "start", "compile", "run"]

OUTCOMES: tuple[Outcome, ...] = Outcome.__args__  # type: ignore[attr-defined]
"""Every outcome, in the order of the documentation."""

PHASES: tuple[Phase, ...] = Phase.__args__  # type: ignore[attr-defined]
"""Every value of `WorkerError.phase`."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process, as handlers of events get it.

    Attributes:
        worker_id: 12 characters, the worker's own for its life.
        node_id: the machine, `WorkerConfig.node_id`.
        pid: the worker's process id.
    """

    worker_id: str
    node_id: str
    pid: int


@dataclass(frozen=True, slots=True)
class ExecutionMetrics:
    """The resources that one call used.

    Attributes:
        peak_rss_kb: the call's own peak of resident memory, in KiB, without pages that the worker
            shares with the template.
        wall_time_s: from the moment a worker got the call to the call's end, in seconds.
        user_time_s, sys_time_s: processor time in seconds, including child processes that the call
            waited for.
        worker_pid: process id of the worker.
        worker_id: 12 characters, the worker's own for its life.
        node_id, pool_id: as configured.
        started_at_ns, finished_at_ns: Unix time in nanoseconds.
        queue_time_s: from the submit to the start, in seconds; not part of `wall_time_s`.
        call_id: number of the call in its pool.
        calls_before: number of calls that this worker ran before this one.
        result_bytes: size of the encoded value.
        cpu_wait_s: how long the worker's threads together were ready to run and waited for a CPU,
            in seconds. None if `WorkerConfig.cpus_per_worker` is not set, or if the worker ended
            before the pool could read it.
        preemptions: the number of involuntary context switches of the worker's threads; None as
            for `cpu_wait_s`. Both are the kernel's counts (proc(5): schedstat, status) for the
            threads that exist at the end, without child processes.
    """

    peak_rss_kb: int
    wall_time_s: float
    user_time_s: float
    sys_time_s: float
    worker_pid: int
    worker_id: str = ""
    node_id: str = ""
    started_at_ns: int = 0
    finished_at_ns: int = 0
    queue_time_s: float = 0.0
    call_id: int = 0
    pool_id: str = ""
    calls_before: int = 0
    result_bytes: int = 0
    cpu_wait_s: float | None = None
    preemptions: int | None = None


@dataclass(frozen=True, slots=True)
class WorkerError:
    """Why there is no value.

    Attributes:
        stderr: the whole text for people: the output of the call, under headings, then the
            traceback with the source around the failing line, or the pool's sentence and the stack.
        returncode: the program's own exit status, as far as it has one, but never 0. 1 for an
            exception; the exit status of a process that ended by itself; the signal's number,
            negated, for a process that was killed. docs/errors.md has it for every outcome.
        type: the exception's type, qualified by its module unless that is builtins; "" if none was
            raised.
        message: ``str()`` of the exception, or the pool's sentence.
        signal: number of the signal that ended the process, or None.
        stack: the Python stack of the program at a crash, a deadline or another limit, or "".
        phase: how far the call had come when its outcome was decided. ``"queue"``: it waited behind
            other calls. ``"start"``: its turn had come, but the pool was opening, or its worker had
            to be started or had not begun it. ``"compile"``: the source does not compile; only for
            the outcome ``exception``. ``"run"``: a worker had begun it. "" if unknown: the caller
            cancelled it, or the pool never took it.
        line: the line of the source, from 1, at which the call failed: the innermost one of the
            traceback or the stack, or that of a SyntaxError. None if none of them is the source's.
    """

    stderr: str
    returncode: int = 1
    type: str = ""
    message: str = ""
    signal: int | None = None
    stack: str = ""
    phase: Phase = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class WorkerResult:
    """How a call ended.

    Attributes:
        outcome: one of `OUTCOMES`.
        value: the function's return value; None unless the outcome is ``ok``.
        error: why there is no value; None if the outcome is ``ok``.
        metrics: the resources that the call used; None if it reached no worker.
        stdout, stderr: the output of the call and its child processes, decoded as UTF-8; other
            bytes are escaped with backslashes.
        stdout_truncated, stderr_truncated: whether the middle was dropped (`Limits.output_bytes`).
        stdout_bytes, stderr_bytes: the same output, as the exact bytes.
        files: the contents of the files that the call's `collect` brought back, by name.
        files_refused: files that `collect` names and that were left out, and why.
    """

    outcome: Outcome
    value: Any = None
    error: WorkerError | None = None
    metrics: ExecutionMetrics | None = None
    stdout: str = ""
    stderr: str = ""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    stdout_bytes: bytes = b""
    stderr_bytes: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)
    files_refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def returncode(self) -> int:
        """The exit status that Python would have had: 0 if the outcome is ``ok``, else
        `WorkerError.returncode`."""
        return 0 if self.error is None else self.error.returncode

    @property
    def ok(self) -> bool:
        """Whether the outcome is ``ok``, so that there is a value."""
        return self.outcome == "ok"

    def unwrap(self) -> Any:
        """Return the value, or raise the error that `LocalBackend.execute` raises."""
        if self.outcome == "ok":
            return self.value
        from pinfold.errors import error_of

        raise error_of(self)
