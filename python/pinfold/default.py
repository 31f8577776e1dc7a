# SPDX-License-Identifier: Apache-2.0
"""The process-wide default backend, and `run_exec_runner`, which uses it."""

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

_lock = threading.RLock()  # reentrant: a signal handler may interrupt its holder
_backend: ExecutorBackend | None = None
_config: WorkerConfig | None = None  # of the next backend; None: from the environment


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # another thread of the parent may have held it


os.register_at_fork(after_in_child=_after_fork)


def _serves(backend: ExecutorBackend | None) -> bool:
    """Return whether the backend is still the default.

    A backend of another kind always is, because only the backend itself knows when it has ended.
    """
    if not isinstance(backend, LocalBackend):
        return backend is not None
    return backend._engine.serves


def default_backend() -> LocalBackend:
    """Return the process-wide backend.

    It is the backend that `set_default_backend` got, or one made on first use with the
    configuration that `set_default_backend` got, else with `WorkerConfig.from_env`. After the
    shutdown of a `LocalBackend`, the next use makes another one with the same configuration. The
    first use in a forked child makes the child's own.

    Raises:
        InvalidConfig: the configuration or the environment is wrong, or the backend cannot be made.
    """
    global _backend
    with _lock:
        while not _serves(backend := _backend):
            config = _config
            made = LocalBackend(WorkerConfig.from_env() if config is None else config)
            if _backend is backend and _config is config:  # a signal handler may have set them
                _backend = made
        return cast("LocalBackend", backend)  # or another kind of ExecutorBackend


def set_default_backend(
    backend_or_config: ExecutorBackend | WorkerConfig | None,
) -> ExecutorBackend | WorkerConfig | None:
    """Choose the backend that `run_exec_runner` uses from now on.

    Call it before or after the first use, from any thread. It shuts nothing down: calls under way
    go on. A backend that Pinfold made closes when its last call has ended and no reference to it is
    left. A backend that you made is yours to close; while it is the default, `shutdown_executor`
    shuts it down.

    Args:
        backend_or_config: a configuration, or a backend (an object with the shape of
            `ExecutorBackend`), or None. With a configuration, a `LocalBackend` is made at once, and
            its processes start with the first call. With None, the next use reads the environment.

    Returns:
        The previous default: the backend if there was one, else the configuration, else None. Pass
        it to this function to restore it.

    Raises:
        InvalidConfig: a backend with this configuration cannot be made.
        ConfigTypeError: the argument is none of these.
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
    """Return whether the value is a backend. A class has the methods, too, but is not one."""
    return isinstance(value, ExecutorBackend) and not isinstance(value, type)


def shutdown_executor(wait: bool = False) -> None:
    """Shut the default backend down, also if you made it. Without a default backend, do nothing.

    The next call makes a new `LocalBackend` with the same configuration; after a backend of another
    kind, with the configuration of the environment. Call this from any thread, with or without a
    running loop, also from an atexit handler.

    Args:
        wait: True: let the calls finish, and return when workers, spills and callbacks are done.
            False: outstanding calls end ``cancelled``, and this returns at once.

    Raises:
        Exception: with `wait`, the error of a backend of another kind, which is shut down in an
            event loop of its own. Without `wait`, its error is logged.
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
    except RuntimeError:  # the interpreter is shutting down
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

    Arguments and value cross by the ``pickle`` codec, which carries everything that cloudpickle
    does. Reading the value can run the program's code in this process. For programs that you do
    not trust so far, use `LocalBackend.execute` and the ``data`` codec.

    Args:
        code: the source text. It runs as the module ``user_code``.
        function_name: the function to call; see `WorkerCall`.
        args, kwargs: the arguments: an iterable, but not a str or bytes, and a mapping. Workers
            find the modules that they name on the `sys.path` that this process had when the pool
            started, unless a sandbox hides them.
        python_path: directories that come first on ``sys.path``.
        env_updates: changes to the environment for this call. Values are converted by ``str()``;
            None unsets a variable.
        timeout: seconds from now, including the wait for a worker. None: no deadline.
        backend: an object with the shape of `ExecutorBackend`; None: `default_backend()`.

    Raises:
        ExecRunnerError: the program itself is why there is no value.
        TimeoutError: the timeout passed, and the call was killed. Never retried.
        WorkerLost, PoolError: not the program's fault.
        InvalidCall: the call cannot be made with these arguments.
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
