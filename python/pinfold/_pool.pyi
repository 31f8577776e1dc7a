from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, TypedDict, TypeVar

from _typeshed import ReadableBuffer

T = TypeVar("T")

FRESH: int
REUSE: int
SPAWN: int
NO_PDEATHSIG: int
EVENTS: int
DISTRUST: int
PLACES: int
AHEAD: int
EVENT_CALL_START: int
EVENT_WORKER_START: int
EVENT_WORKER_EXIT: int
FOREVER: int

# worker id, pid, calls before, started, finished (ns, Unix), queue, wall, user, sys (ns),
# peak (KiB), result (bytes)
Figures: TypeAlias = tuple[str, int, int, int, int, int, int, int, int, int, int]
# kind, pid, key of the call, worker id, reason
Event: TypeAlias = tuple[int, int, int, str, str]

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

class Result:
    @property
    def key(self) -> int: ...
    @property
    def call_id(self) -> int: ...
    @property
    def outcome(self) -> str: ...
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
    def stdout_truncated(self) -> bool: ...
    @property
    def stderr_truncated(self) -> bool: ...
    def told(self) -> None: ...
    def segments(self) -> list[memoryview]: ...
    def metrics(self) -> Figures | None: ...
    def waits(self) -> tuple[int, int] | None: ...

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
        output_bytes: int,
        result_bytes: int,
        memory_bytes: int,
        cpu_ns: int,
        processes: int,
        file_bytes: int,
        /,
    ) -> None: ...
    def cancel(self, call_id: int, /) -> bool: ...
    def wait(self, call_id: int, timeout_ns: int, /) -> list[Result]: ...
    def queue(self) -> Queue: ...
    def take(self) -> list[Result]: ...
    def taken(self, everybodys: bool, /) -> list[Result]: ...
    def leave(self) -> bool: ...
    @staticmethod
    def claimed(
        claims: dict[int, int], key: int, function: Callable[..., T], /, *args: Any
    ) -> T | None: ...
    def poll(self) -> None: ...
    def wake(self) -> None: ...
    def watch(self) -> None: ...
    def next_event(self) -> Event | None: ...
    def renew(self, argv: list[bytes], /) -> None: ...
    def renewal(self) -> bool: ...
    def memory(self) -> tuple[int, int, int, int]: ...
    def stats(self) -> Stats: ...
    def shutdown(self) -> None: ...
    def close(self) -> None: ...
