# SPDX-License-Identifier: Apache-2.0
"""Types of `module.c`."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypedDict, TypeVar

from _typeshed import ReadableBuffer

T = TypeVar("T")

FRESH: int
REUSE: int
SPAWN: int
NO_PDEATHSIG: int
EVENTS: int
DISTRUST: int
CPU_SLOTS: int
AHEAD: int
PRINTED: int
NO_QUEUE: int
EXITS: int
COLLECTS: int
EVENT_CALL_START: int
EVENT_WORKER_START: int
EVENT_WORKER_EXIT: int
FOREVER: int
VERSION: str

class Metrics(NamedTuple):
    worker_id: str
    worker_pid: int
    calls_before: int
    started_at_ns: int
    finished_at_ns: int
    queue_ns: int
    wall_ns: int
    user_ns: int
    sys_ns: int
    peak_rss_kb: int
    result_bytes: int

class Waits(NamedTuple):
    cpu_wait_ns: int
    preemptions: int

class Event(NamedTuple):
    kind: int
    worker_pid: int
    key: int
    worker_id: str
    reason: str

class Memory(NamedTuple):
    workers: int
    pss_kb: int
    private_kb: int
    private_most_kb: int

class HasCallId(Protocol):
    call_id: int

class Stats(TypedDict):
    submitted: int
    outcomes: dict[str, int]
    workers_started: int
    templates_started: int
    queued: int
    running: int
    idle: int
    starting: int
    ending: int
    template_pid: int
    spill_in_memory: bool
    spill_kind: str
    generation: int
    template_start_ns: int

def clear_bases(spill_dir: str, /) -> None: ...

class Result:
    @property
    def key(self) -> int: ...
    @property
    def call_id(self) -> int: ...
    @property
    def outcome(self) -> str: ...
    @property
    def phase(self) -> str: ...
    @property
    def is_spent(self) -> bool: ...
    @property
    def exit_code(self) -> int: ...
    @property
    def signal(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def stack(self) -> str: ...
    @property
    def note(self) -> bytes: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...
    @property
    def stdout_bytes(self) -> bytes: ...
    @property
    def stderr_bytes(self) -> bytes: ...
    @property
    def stdout_truncated(self) -> bool: ...
    @property
    def stderr_truncated(self) -> bool: ...
    def delivered(self) -> None: ...
    def segments(self, files: int, /) -> list[memoryview]: ...
    def metrics(self) -> Metrics | None: ...
    def waits(self) -> Waits | None: ...

class Queue:
    def take(self) -> list[Result]: ...
    def wait(self) -> list[Result]: ...
    def interrupt(self) -> None: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...

class Pool:
    def __new__(
        cls,
        *,
        argv: list[bytes],
        envp: list[bytes],
        guard: bytes,
        spill_dir: bytes,
        isolation: int,
        max_workers: int,
        max_queue: int,
        max_calls_per_worker: int,
        idle_timeout_ns: int,
        open_timeout_ns: int,
        output_bytes: int,
        flags: int,
        namespaces: int,
        cgroup: str | None,
    ) -> Pool: ...
    def wait_ready(self, timeout_ns: int, /) -> None: ...
    def submit(
        self,
        record: HasCallId,
        segments: Sequence[ReadableBuffer],
        queue: Queue | None,
        key: int,
        deadline_ns: int,
        wall_ns: int,
        flags: int,
        bounds: tuple[int, int, int, int, int, int, int],
        /,
    ) -> None: ...
    def cancel(self, call_id: int, /) -> bool: ...
    def wait(self, call_id: int, timeout_ns: int, /) -> list[Result]: ...
    def queue(self) -> Queue: ...
    def take(self) -> list[Result]: ...
    def taken(self, all: bool, /) -> list[Result]: ...
    def unclaim(self) -> bool: ...
    @classmethod
    def here(cls) -> int: ...
    @classmethod
    def identify(cls, function: Callable[[], int], /) -> None: ...
    @classmethod
    def claimed(
        cls, claims: dict[int, int], key: int, function: Callable[..., T], /, *args: Any
    ) -> T | None: ...
    def close_copies(self) -> None: ...
    def poll(self, timeout_ms: int = -1, /) -> None: ...
    def filenos(self) -> tuple[int, int]: ...
    def wake(self) -> None: ...
    def watch(self) -> None: ...
    def next_event(self) -> Event | None: ...
    def renew(self, argv: list[bytes], /) -> None: ...
    def renewal(self) -> bool: ...
    def memory(self) -> Memory: ...
    def stats(self) -> Stats: ...
    def shutdown(self) -> None: ...
    def close(self) -> None: ...
