"""The process-wide default backend."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from pinfold._common.check import Check
from pinfold.backend import LocalBackend
from pinfold.call import WorkerCall, deadline_ns
from pinfold.config import WorkerConfig
from pinfold.errors import CallTypeError, ConfigTypeError, InvalidCall, InvalidConfig
from pinfold.protocols import ExecutorBackend

if TYPE_CHECKING:
    from typing import TypeGuard

_check = Check("run_exec_runner", InvalidCall, CallTypeError)
_setting = Check("set_default_backend", InvalidConfig, ConfigTypeError)

_lock = threading.RLock()  # reentrant: a signal handler may come while it is held
_backend: ExecutorBackend | None = None
_config: WorkerConfig | None = None  # of the next one; None: what the environment says then


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork)


def _serves(backend: ExecutorBackend | None) -> bool:
    """Whether it is the default still. What is not of this package knows by itself when it has
    ended."""
    if not isinstance(backend, LocalBackend):
        return backend is not None
    return backend._engine.serves


def default_backend() -> LocalBackend:
    """The process-wide backend: what `set_default_backend` was given, or made on first use, with
    the configuration that it was given or else `WorkerConfig.from_env`.

    A `LocalBackend` that was shut down is followed by another one with the same configuration, on
    the first use after that; a child made by fork gets one of its own likewise. Raises
    `InvalidConfig`.
    """
    global _backend
    with _lock:
        while not _serves(backend := _backend):
            config = _config
            made = LocalBackend(WorkerConfig.from_env() if config is None else config)
            if _backend is backend and _config is config:  # else a signal handler was faster
                _backend = made
        return cast("LocalBackend", backend)  # or whatever has its shape


def set_default_backend(
    backend_or_config: ExecutorBackend | WorkerConfig | None,
) -> ExecutorBackend | WorkerConfig | None:
    """Choose what `run_exec_runner` uses from now on, before or after its first use.

    Args:
        backend_or_config: a configuration: a `LocalBackend` with it is made at once, and its
            processes start with the first call. Or a backend, of this package or of another kind:
            anything with the shape of `ExecutorBackend`. None: as if nothing had been chosen; the
            environment says on the next use.

    Returns what was the default: the backend if there was one, else the configuration, else None.
    Given back, it is the default again.

    Nothing is shut down: calls under way end as they would have. A backend that Pinfold made, and
    that nobody holds any more, closes when its last call has ended; one that you made is yours to
    close, and `shutdown_executor` shuts it down while it is the default.

    From any thread. Raises `InvalidConfig`, or `ConfigTypeError` for what is neither.
    """
    global _backend, _config
    backend: ExecutorBackend | None = None
    config: WorkerConfig | None = None
    if isinstance(backend_or_config, WorkerConfig):
        config = backend_or_config
        backend = LocalBackend(config)
    elif isinstance(backend_or_config, LocalBackend):
        backend = backend_or_config
        config = backend.config
    elif _is_backend(backend_or_config):
        backend = backend_or_config
    elif backend_or_config is not None:
        wanted = "a WorkerConfig, a backend (execute and shutdown), or None"
        _setting.wrong_type("backend_or_config", backend_or_config, wanted)
    with _lock:
        before = _backend if _serves(_backend) else _config
        _backend, _config = backend, config
    return before


def _is_backend(value: object) -> TypeGuard[ExecutorBackend]:
    """A class has the methods, too, and is none."""
    return isinstance(value, ExecutorBackend) and not isinstance(value, type)


def shutdown_executor(wait: bool = False) -> None:
    """Shut the default backend down, whoever made it. Without one, nothing happens.

    The next call makes a new one with the same configuration; after a backend that is no
    `LocalBackend`, with what the environment says.

    With `wait`, its calls finish first, and this returns when workers, spills and callbacks are
    done. Without, outstanding calls end ``cancelled``, and this returns at once. From any thread,
    with or without a running loop, also from an atexit handler. A backend of another kind is shut
    down in an event loop of its own; what that raises is raised here with `wait`, else logged.
    """
    global _backend
    with _lock:
        backend, _backend = _backend, None
    if isinstance(backend, LocalBackend):
        backend._engine.shutdown(wait=wait)
    elif backend is not None:
        _shut(backend, wait)


def _shut(backend: ExecutorBackend, wait: bool) -> None:
    import asyncio

    errors: list[BaseException] = []

    def shut() -> None:
        try:
            asyncio.run(backend.shutdown(wait=wait))
        except BaseException as error:
            errors.append(error)
            if not wait:
                from pinfold._common.log import log

                log.exception("the default backend was shut down with an error")

    thread = threading.Thread(target=shut, name="pinfold-shutdown")
    try:
        thread.start()
    except RuntimeError:  # the interpreter is at its end already
        shut()
    else:
        if wait:
            thread.join()
    if wait and errors:
        raise errors[0]


def _items(name: str, value: object) -> list[Any]:
    return [] if value is None else _check.items(name, value)


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
    args: Iterable[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    python_path: Iterable[str | os.PathLike[str]] | None = None,
    env_updates: Mapping[str, Any] | None = None,
    timeout: float | None,
    backend: ExecutorBackend | None = None,
) -> Any:
    """Call `function_name` of the source text `code` in a worker and return its value.

    Arguments and value cross by the ``pickle`` codec: whatever cloudpickle carries, and reading a
    value can run code of the candidate's. For candidates that are not trusted so far, use
    `LocalBackend.execute` and the ``data`` codec.

    Args:
        args, kwargs: the arguments: an iterable, but no str or bytes, and a mapping. Modules that
            they name are found where this process found them when the pool started (`sys.path`),
            but for a sandbox that hides them.
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
    elif not _is_backend(backend):
        raise CallTypeError(
            "backend must have the methods of ExecutorBackend, execute and shutdown;"
            f" {type(backend).__name__} has not"
        )
    return await backend.execute(call, deadline_s=timeout)
