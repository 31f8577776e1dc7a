"""The process-wide default backend."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pinfold._check import Check
from pinfold._engine import State
from pinfold.backend import LocalBackend
from pinfold.call import WorkerCall, deadline_ns
from pinfold.config import WorkerConfig
from pinfold.errors import CallTypeError, InvalidCall
from pinfold.protocols import ExecutorBackend

_check = Check("run_exec_runner", InvalidCall, CallTypeError)
_NO_ITEMS = (str, bytes, bytearray, memoryview)

_lock = threading.RLock()  # reentrant: a signal handler may come while it is held
_backend: LocalBackend | None = None
_owner = 0  # the process that made it


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork)


def default_backend() -> LocalBackend:
    """The process-wide backend, made on first use with `WorkerConfig.from_env`, and again on the
    first use after it was shut down.

    A child made by fork gets one of its own. Raises `InvalidConfig`.
    """
    global _backend, _owner
    with _lock:
        while (
            (backend := _backend) is None
            or _owner != os.getpid()
            or backend._engine.state is not State.OPEN
        ):
            made = LocalBackend(WorkerConfig.from_env())
            if _backend is backend:  # else a signal handler was faster
                _backend, _owner = made, os.getpid()
        return backend


def shutdown_executor(wait: bool = False) -> None:
    """Drop the default backend; the next call makes a new one. Without one, nothing happens.

    With `wait`, its calls finish first, and this returns when workers, spills and callbacks are
    done. Without, outstanding calls end ``cancelled``, and this returns at once. From any thread,
    with or without a running loop, also from an atexit handler.
    """
    global _backend
    with _lock:
        backend, _backend = _backend, None
    if backend is not None:
        backend._engine.shutdown(wait=wait)


def _items(name: str, value: object) -> list[Any]:
    """A string is none: it is taken for the mistake that it is."""
    if value is None:
        return []
    if isinstance(value, _NO_ITEMS) or not isinstance(value, Sequence | Iterator):
        _check.wrong_type(name, value, "a list, a tuple or None")
    return list(value)


def _fields(name: str, value: object) -> dict[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        _check.wrong_type(name, value, "a dict or None")
    return dict(value)


async def run_exec_runner(
    *,
    code: str,
    function_name: str,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    python_path: Sequence[str | os.PathLike[str]] | None = None,
    env_updates: Mapping[str, Any] | None = None,
    timeout: float | None,
    backend: ExecutorBackend | None = None,
) -> Any:
    """Call `function_name` of the source text `code` in a worker and return its value.

    Arguments and value cross by the ``pickle`` codec: whatever cloudpickle carries, and reading a
    value can run code of the candidate's. For candidates that are not trusted so far, use
    `LocalBackend.execute` and the ``data`` codec.

    Args:
        args, kwargs: the arguments. Modules that they name are found where this process found them
            when the pool started (`sys.path`), but for a sandbox that hides them.
        python_path: directories that come first on ``sys.path``.
        env_updates: changes to the environment for this call; values become ``str()`` of
            themselves, None unsets.
        timeout: seconds from now, waiting for a worker included. None: no deadline.
        backend: anything with the shape of `ExecutorBackend`; None: `default_backend()`.

    Raises:
        ExecRunnerError: the candidate kept the value from coming back.
        TimeoutError: the timeout passed; the call was killed. Never retried.
        WorkerLost, PoolError: not the candidate's fault.
        InvalidCall: the call cannot be made as it is.
    """
    deadline_ns(timeout, "timeout")
    call = WorkerCall(
        code=code,
        function_name=function_name,
        args=_items("args", args),
        kwargs=_fields("kwargs", kwargs),
        python_path=[
            _check.path("python_path", path) for path in _items("python_path", python_path)
        ],
        env={
            name: None if value is None else str(value)
            for name, value in _fields("env_updates", env_updates).items()
        },
        codec="pickle",
    )
    if backend is None:
        backend = default_backend()
    elif not isinstance(backend, ExecutorBackend):
        raise CallTypeError(
            "backend must have the methods of ExecutorBackend, execute and shutdown;"
            f" {type(backend).__name__} has not"
        )
    return await backend.execute(call, deadline_s=timeout)
