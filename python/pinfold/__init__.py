# SPDX-License-Identifier: Apache-2.0
"""Call functions of untrusted programs in warm processes, and always learn how each call ended.

    from pinfold import LocalBackend, WorkerCall, WorkerConfig

    with LocalBackend(WorkerConfig(max_workers=4, preload=["numpy"])) as backend:
        call = WorkerCall(code="def f(n): return n * n", function_name="f", args=[7])
        result = backend.submit(call, deadline_s=10).result()
        print(result.outcome, result.value, result.metrics.wall_time_s)

A *call* is one function of one source text, with its arguments and limits. A *worker* is a process
that runs calls; its interpreter is warm before the call comes. A *backend* holds the workers. Every
call has exactly one *outcome*. `LocalBackend.run` and `submit` report it in a `WorkerResult`;
`LocalBackend.execute` and `run_exec_runner` return the value or raise:

    outcome         when                                                raised as
    ok              a value came back                                   (the value)
    exception       the code raised, did not compile, or has no
                    such function                                       ExecRunnerError
    exited          the process ended by itself                         WorkerExited
    signalled       it died by a signal that the pool did not send      WorkerCrashed
    timeout         the deadline passed; it was killed                  CallTimeout
    cpu_limit, memory_limit, output_limit
                    a limit was hit                                     LimitExceeded
    bad_result      the value cannot be carried by the codec            BadResult
    cancelled       the caller gave up; it was killed                   asyncio.CancelledError
    lost            the template or a neighbour's kill took it down     WorkerLost
    internal        the pool could not run it                           PoolError

`run_exec_runner` uses one backend of the process, `default_backend`. `set_default_backend` chooses
that backend or its configuration: ``set_default_backend(WorkerConfig(preload=["numpy"]))``.

`lost` and `internal` are never the program's fault: the caller may safely try such a call again,
and the pool never does so by itself. All errors derive from `PinfoldError`, except cancellation.

Units: times are seconds (names that end in ``_ns``: nanoseconds), sizes are bytes (``_kb``: KiB).

Values cross by a *codec*. ``data``, the default, carries plain data and numpy arrays, and reading
it can run no code. ``pickle``, which `run_exec_runner` uses, carries almost anything, and reading
it can run any code. ``json`` is JSON text, for callers in other languages.
`pinfold.metrics.JsonlWriter` writes one line per call; the logger is
``pinfold``. ``python -m pinfold doctor`` reports which mechanisms of a sandbox this machine has.
Linux only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from pinfold.backend import LocalBackend, PoolMemory, PoolStats
    from pinfold.call import EncodedCall, ProgramCall, WorkerCall
    from pinfold.config import DEFAULT_ENV_PREFIXES, DEFAULT_ENV_WHITELIST, WorkerConfig
    from pinfold.default import (
        default_backend,
        run_exec_runner,
        set_default_backend,
        shutdown_executor,
    )
    from pinfold.errors import (
        BadResult,
        CallTimeout,
        CallTypeError,
        ConfigTypeError,
        CpuLimitExceeded,
        ExecRunnerError,
        InvalidCall,
        InvalidConfig,
        LimitExceeded,
        MemoryLimitExceeded,
        OutputLimitExceeded,
        PinfoldError,
        PoolClosed,
        PoolError,
        QueueFull,
        WorkerCrashed,
        WorkerExited,
        WorkerLost,
    )
    from pinfold.futures import CallFuture
    from pinfold.limits import Limits
    from pinfold.mapping import CallMap
    from pinfold.protocols import ExecutorBackend, LifecycleObservable
    from pinfold.result import OUTCOMES, ExecutionMetrics, Worker, WorkerError, WorkerResult

__all__ = [
    "DEFAULT_ENV_PREFIXES",
    "DEFAULT_ENV_WHITELIST",
    "OUTCOMES",
    "BadResult",
    "CallFuture",
    "CallMap",
    "CallTimeout",
    "CallTypeError",
    "ConfigTypeError",
    "CpuLimitExceeded",
    "EncodedCall",
    "ExecRunnerError",
    "ExecutionMetrics",
    "ExecutorBackend",
    "InvalidCall",
    "InvalidConfig",
    "LifecycleObservable",
    "LimitExceeded",
    "Limits",
    "LocalBackend",
    "MemoryLimitExceeded",
    "OutputLimitExceeded",
    "PinfoldError",
    "PoolClosed",
    "PoolError",
    "PoolMemory",
    "PoolStats",
    "ProgramCall",
    "QueueFull",
    "Worker",
    "WorkerCall",
    "WorkerConfig",
    "WorkerCrashed",
    "WorkerError",
    "WorkerExited",
    "WorkerLost",
    "WorkerResult",
    "default_backend",
    "run_exec_runner",
    "set_default_backend",
    "shutdown_executor",
]

_MODULES = {
    "backend": ("LocalBackend", "PoolMemory", "PoolStats"),
    "call": ("EncodedCall", "ProgramCall", "WorkerCall"),
    "config": ("DEFAULT_ENV_PREFIXES", "DEFAULT_ENV_WHITELIST", "WorkerConfig"),
    "default": (
        "default_backend",
        "run_exec_runner",
        "set_default_backend",
        "shutdown_executor",
    ),
    "futures": ("CallFuture",),
    "limits": ("Limits",),
    "mapping": ("CallMap",),
    "protocols": ("ExecutorBackend", "LifecycleObservable"),
    "result": ("OUTCOMES", "ExecutionMetrics", "Worker", "WorkerError", "WorkerResult"),
}
_SUBMODULES = ("codec", "errors", "grading", "metrics")
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    # Load names on first use, because workers import this package for its codec alone.
    from importlib import import_module

    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name not in __all__ and name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object
    if name == "__version__":
        value = import_module(f"{__name__}._ext._pool").VERSION
    else:
        value = getattr(import_module(f"{__name__}.{_HOME.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
