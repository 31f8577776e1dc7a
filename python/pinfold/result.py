"""What a caller is told."""

from __future__ import annotations

from dataclasses import dataclass
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

Phase = Literal["", "queue", "start", "run"]

OUTCOMES: tuple[Outcome, ...] = Outcome.__args__  # type: ignore[attr-defined]
"""Every outcome, in the order of the documentation."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process, as the hooks see it.

    Attributes:
        worker_id: 12 characters, its own for its life.
        node_id: the machine, `WorkerConfig.node_id`.
        pid: its process id.
    """

    worker_id: str
    node_id: str
    pid: int


@dataclass(frozen=True, slots=True)
class ExecutionMetrics:
    """What one call cost.

    Attributes:
        peak_rss_kb: the call's own peak of resident memory, in KiB; what it shares with the
            template does not count.
        wall_time_s: from the moment a worker got the call to its end, in seconds.
        user_time_s, sys_time_s: processor time, children that it waited for included, in seconds.
        worker_pid: process id of the worker.
        worker_id: 12 characters, the worker's for its life.
        node_id, pool_id: as configured.
        started_at_ns, finished_at_ns: Unix time in nanoseconds.
        queue_time_s: from the submit to the start, in seconds; not part of `wall_time_s`.
        call_id: number of the call in its pool.
        calls_before: calls that this worker had run before this one.
        result_bytes: size of the encoded value.
        cpu_wait_s: how long the worker's threads could have run and waited for a CPU, together, in
            seconds. None unless `WorkerConfig.cpus_per_worker` is set, or when the worker ended
            before it could be looked at.
        preemptions: how often they were interrupted for something else to run (involuntary context
            switches); None likewise. Both are the kernel's count (proc(5): schedstat, status), of
            the threads that were there at the end, child processes not included.
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
        stderr: the whole text for people: what the call printed, under headings, then the
            traceback with the source around the failing line, or the pool's sentence and the stack.
        returncode: what the program's own exit status would have been, but never 0; docs/errors.md
            has it for every outcome. 1 for an exception, the exit status of a process that ended by
            itself, minus the signal's number of one that was killed.
        type: the exception's type, qualified by its module unless that is builtins; "" where none
            was raised.
        message: ``str()`` of the exception, or the pool's sentence.
        signal: number of the signal that ended the process, or None.
        stack: the Python stack at which a crash, a deadline or another limit found the candidate,
            or "".
        phase: how far the call had come when it was decided how it ends. ``"queue"``: it waited
            behind other calls. ``"start"``: its turn had come, but the pool was opening, or its
            worker had to be started or had not begun it. ``"run"``: a worker had begun it. "" where
            nobody knows: the caller cancelled it, or the pool never took it.
        line: the line of the source, from 1, at which it failed: the innermost one of the traceback
            or the stack, or that of a SyntaxError. None where none of them is the source's.
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
        value: what the function returned; None unless the outcome is ``ok``.
        error: why there is no value; None if the outcome is ``ok``.
        metrics: what the call cost; None if it reached no worker.
        stdout, stderr: what the call and its child processes printed, decoded as UTF-8; bytes that
            are none are escaped with backslashes.
        stdout_truncated, stderr_truncated: whether the middle was dropped (`Limits.output_bytes`).
    """

    outcome: Outcome
    value: Any = None
    error: WorkerError | None = None
    metrics: ExecutionMetrics | None = None
    stdout: str = ""
    stderr: str = ""
    stdout_truncated: bool = False
    stderr_truncated: bool = False

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.outcome == "ok"

    def unwrap(self) -> Any:
        """The value. Raises the error that `LocalBackend.execute` raises for the outcome."""
        if self.outcome == "ok":
            return self.value
        from pinfold.errors import error_of

        raise error_of(self)
