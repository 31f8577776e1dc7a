"""How a backend is set up."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from pinfold._check import config_check, shown
from pinfold._cpus import usable_cpus
from pinfold.errors import InvalidConfig
from pinfold.limits import Limits

T = TypeVar("T")

THREAD_COUNTS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

DEFAULT_ENV_WHITELIST: frozenset[str] = frozenset(
    """
    PATH HOME USER LOGNAME SHELL TERM
    LANG LC_ALL LC_CTYPE LC_COLLATE LC_MESSAGES LC_NUMERIC LC_TIME
    PYTHONPATH PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED PYTHONHASHSEED
    VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV PYENV_ROOT
    LD_LIBRARY_PATH LD_PRELOAD
    CUDA_HOME CUDA_PATH CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES
    JAX_PLATFORMS JAX_TRACEBACK_FILTERING
    TMPDIR TEMP TMP
    """.split()
    + list(THREAD_COUNTS)
)
"""The environment variables that workers get, if the caller has them. Extend it with ``|``."""

DEFAULT_ENV_PREFIXES: tuple[str, ...] = ("GIGAEVO_", "LOKY_")
"""Prefixes of further environment variables that workers get. Extend it with ``+``."""

MAX_WORKERS = 4096

Isolation = Literal["fresh", "reuse", "spawn"]
Codec = Literal["data", "pickle"]
Sandbox = Literal["none", "standard", "strict"]

ISOLATIONS = ("fresh", "reuse", "spawn")
CODECS = ("data", "pickle")
SANDBOXES = ("none", "standard", "strict")


def default_spill_dir() -> Path:
    """``$TMPDIR/pinfold-<uid>``; without TMPDIR, the system's directory for temporary files. Raises
    `InvalidConfig`."""
    return _resolved(os.environ.get("TMPDIR") or _temporary()) / f"pinfold-{os.getuid()}"


def _resolved(path: str | Path) -> Path:
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError) as error:  # there is no current directory; a loop of links
        raise InvalidConfig(
            f"WorkerConfig: spill_dir: {shown(str(path))} cannot be used: {error}"
        ) from None


def _temporary() -> str:
    """What `tempfile.gettempdir` says, without that module where its answer is the usual one: it
    takes as long to import as half of this package."""
    told = "tempfile" in sys.modules or os.environ.get("TEMP") or os.environ.get("TMP")
    if not told and os.access("/tmp", os.W_OK | os.X_OK):
        return "/tmp"
    import tempfile

    try:
        return tempfile.gettempdir()
    except OSError as error:
        raise InvalidConfig(f"WorkerConfig: spill_dir: none is given, and {error}") from None


def _host_name() -> str:
    return os.uname().nodename


def _new_pool_id() -> str:
    return os.urandom(6).hex()


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """How a `LocalBackend` is set up: frozen, and checked when it is made. Derive one from another
    with `dataclasses.replace`. Times are seconds.

    Attributes:
        max_workers: calls that may run at once, 1 .. 4096. None: as many as there are CPUs that
            this process may use (affinity and cgroup quota); under pytest-xdist, the CPUs divided
            by PYTEST_XDIST_WORKER_COUNT, at least 1.
        idle_timeout_s: a worker idle for so long is let go (> 0; infinity: kept). Default 300.
        spill_dir: where payloads too big for a message go, as files without names. Default
            ``$TMPDIR/pinfold-<uid>``, made with mode 0700, and refused if it is a link or belongs
            to another user. ``..`` is resolved. On a tmpfs, spills cost memory, not disk.
        env_whitelist: names of environment variables that workers get, `DEFAULT_ENV_WHITELIST`.
        env_prefixes: prefixes of more of them, `DEFAULT_ENV_PREFIXES`. The environment is
            captured once, when the backend is made. Workers get PINFOLD_WORKER_ID and
            PINFOLD_NODE_ID besides, and nothing else.
        enable_pdeathsig: workers ask the kernel to be killed when their template dies. Without it
            (for debuggers that dislike it) they still end when its sockets close.
        pool_id: the pool's name in metrics and logs; by default 12 random characters.
        node_id: this machine's name in metrics and logs; by default the host name.
        isolation: what a worker runs. ``"fresh"``: one call, then it is killed with all that it
            started. ``"reuse"``: calls one after another, reset between. ``"spawn"``: as
            ``"reuse"``, but workers are exec'd, not forked, for libraries that must not be forked
            (CUDA).
        max_calls_per_worker: a reused worker is replaced after so many calls. None: no bound.
        preload: modules that are imported once, before any worker is forked. One that cannot be
            imported fails the start of the pool. ``"auto"``, for ``"fresh"`` and ``"reuse"``: the
            pool learns them. When a module that calls import has cost them more time in total than
            a template with it takes to start, such a template is started beside the one that serves
            and takes over when it is ready; for that while there are two, each with its `setup`.
            Only installed modules are learned: what is on the interpreter's own `sys.path`, but not
            in the working directory, and not of a call's `python_path`. A module with which no
            template can be started is logged and not tried again. See `PoolStats.learned`.
        setup: source text that runs once, before any worker is forked; candidates import its module
            as ``pinfold_setup``. None: nothing. A megabyte of ASCII is possible everywhere; what is
            large should be in a file that it reads.
        setup_timeout_s: how long the start may take: interpreter, preloads and setup. Default 60.
        codec: how values cross unless the call says otherwise. ``"data"`` cannot run code when it
            is read; ``"pickle"`` carries almost anything and can.
        limits: what a call may use unless it says otherwise.
        max_queue: calls that may wait while `max_workers` others are under way (0: none): a submit
            raises `QueueFull` when ``max_workers + max_queue`` calls have not ended. None: no
            bound.
        sandbox: ``"none"``: workers run with the caller's rights. ``"standard"``: each worker gives
            up privileges, reads only the interpreter, its packages, the call's `python_path` and
            system libraries, writes only to a scratch directory that is its cwd, HOME and TMPDIR
            and is gone after the call, has no network, and is refused many system calls; chmod and
            utime have no effect.
            ``"strict"``: that in namespaces of its own, with a view of nothing else, a scratch
            directory in memory (1 GiB), and only listed system calls. docs/security.md has the
            whole of it. In a box, workers that are used again (``"reuse"``, ``"spawn"``) take no
            `python_path` outside of what they read anyway.
        sandbox_required: what the machine cannot have of the sandbox fails the making of a backend
            (`InvalidConfig`, with the list). False: it takes what there is; see
            `LocalBackend.isolation`.
        allow_network: a sandbox leaves the internet's sockets (IPv4, IPv6) open.
        cpus_per_worker: every worker runs on so many CPUs of its own while it has a call: of those
            that this process may use, and no other worker of this backend. `max_workers` is by
            default what there are CPUs for; more is an `InvalidConfig`, when the backend is made.
            The variables that tell OpenMP, OpenBLAS, MKL, NumExpr and Accelerate how many threads
            to start are set to match. A worker that ends keeps its CPUs until it is gone, so that
            calls are a millisecond or two further apart. `ExecutionMetrics.cpu_wait_s` and
            `preemptions` tell what disturbed a call all the same: the CPUs are not kept free of
            other processes. A program may move elsewhere (sched_setaffinity). None: workers run
            where the kernel puts them.
        python: the interpreter of the workers, by default the caller's own. A name without a slash
            is looked up on PATH.

    Raises `InvalidConfig` or `ConfigTypeError`, naming the field and the value.
    """

    max_workers: int | None = None
    idle_timeout_s: float = 300
    spill_dir: Path = field(default_factory=default_spill_dir)
    env_whitelist: Collection[str] = DEFAULT_ENV_WHITELIST
    env_prefixes: Collection[str] = DEFAULT_ENV_PREFIXES
    enable_pdeathsig: bool = True
    pool_id: str = field(default_factory=_new_pool_id)
    node_id: str = field(default_factory=_host_name)
    isolation: Isolation = "fresh"
    max_calls_per_worker: int | None = None
    preload: Collection[str] | Literal["auto"] = ()
    setup: str | None = None
    setup_timeout_s: float = 60
    codec: Codec = "data"
    limits: Limits = field(default_factory=Limits)
    max_queue: int | None = None
    sandbox: Sandbox = "none"
    sandbox_required: bool = True
    allow_network: bool = False
    cpus_per_worker: int | None = None
    python: str = field(default_factory=lambda: sys.executable)

    def __post_init__(self) -> None:
        check = config_check
        if self.max_workers is None:
            self._set("max_workers", _xdist_share(self.cpus_per_worker))
        check.whole("max_workers", self.max_workers, 1, MAX_WORKERS, none=True)
        check.seconds("idle_timeout_s", self.idle_timeout_s)
        self._set("spill_dir", _spill_path(check.path("spill_dir", self.spill_dir)))
        self._set("env_whitelist", frozenset(check.texts("env_whitelist", self.env_whitelist)))
        self._set("env_prefixes", check.texts("env_prefixes", self.env_prefixes))
        check.flag("enable_pdeathsig", self.enable_pdeathsig)
        check.plain("pool_id", self.pool_id)
        check.plain("node_id", self.node_id)
        self._set("isolation", check.choice("isolation", self.isolation, ISOLATIONS))
        check.whole("max_calls_per_worker", self.max_calls_per_worker, 1, 2**32 - 1, none=True)
        self._check_preload()
        if self.setup is not None:
            check.plain("setup", self.setup, empty=True)
        check.seconds("setup_timeout_s", self.setup_timeout_s)
        self._set("codec", check.choice("codec", self.codec, CODECS))
        if not isinstance(self.limits, Limits):
            check.wrong_type("limits", self.limits, "a Limits")
        check.whole("max_queue", self.max_queue, 0, 2**32 - 1, none=True)
        self._set("sandbox", check.choice("sandbox", self.sandbox, SANDBOXES))
        check.flag("sandbox_required", self.sandbox_required)
        check.flag("allow_network", self.allow_network)
        check.whole("cpus_per_worker", self.cpus_per_worker, 1, MAX_WORKERS, none=True)
        self._set("python", check.path("python", self.python))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_preload(self) -> None:
        if self.preload == "auto":
            if self.isolation == "spawn":
                config_check.wrong_value(
                    "preload", "auto", "names of modules: spawned workers share no template"
                )
            return
        names = config_check.texts("preload", self.preload)
        for name in names:
            if not all(part.isidentifier() for part in name.split(".")):
                config_check.wrong_value("preload", name, "names of modules")
        self._set("preload", names)

    @classmethod
    def from_env(
        cls, prefix: str = "PINFOLD_", environ: Mapping[str, str] | None = None
    ) -> WorkerConfig:
        """A configuration from environment variables; what is unset or empty has its default.

        ``<prefix>MAX_WORKERS`` (1 .. 4096), ``IDLE_TIMEOUT_S`` (seconds, 300), ``SPILL_DIR``,
        ``NODE_ID`` (the host name), ``DISABLE_PDEATHSIG`` (1, true, yes, on; 0, false, no, off),
        ``ISOLATION`` (fresh, reuse, spawn). `environ` is read instead of `os.environ` when given.

        Raises `InvalidConfig`, naming the variable and the value, for a value that does not parse.
        """
        source = _Environment(prefix, os.environ if environ is None else environ)
        fields: dict[str, object] = {
            "max_workers": source.read("MAX_WORKERS", int, "a whole number"),
            "idle_timeout_s": source.read("IDLE_TIMEOUT_S", float, "a number of seconds"),
            "spill_dir": source.read("SPILL_DIR", Path, "a path"),
            "node_id": source.read("NODE_ID", str, "a name"),
            "enable_pdeathsig": source.read("DISABLE_PDEATHSIG", _is_off, "1 or 0"),
            "isolation": source.read("ISOLATION", str.lower, "a word"),
        }
        # One by one, so that the error can name the variable; with a directory that is there.
        for name, variable in zip(fields, source.names, strict=True):
            if fields[name] is not None:
                try:
                    cls(**{"spill_dir": "/", name: fields[name]})  # type: ignore[arg-type]
                except InvalidConfig as error:
                    raise InvalidConfig(
                        f"{variable}={shown(source.values[variable])}: {error}"
                    ) from None
        given = {name: value for name, value in fields.items() if value is not None}
        return cls(**given)  # type: ignore[arg-type]


class _Environment:
    """The variables of one prefix, as they are read."""

    def __init__(self, prefix: str, environ: Mapping[str, str]) -> None:
        self.prefix = prefix
        self.values = environ
        self.names: list[str] = []

    def read(self, name: str, parse: Callable[[str], T], wanted: str) -> T | None:
        variable = self.prefix + name
        self.names.append(variable)
        return _parsed(variable, self.values.get(variable, ""), parse, wanted)


def _parsed(variable: str, text: str, parse: Callable[[str], T], wanted: str) -> T | None:
    text = text.strip()
    if not text:
        return None
    try:
        return parse(text)
    except ValueError:
        raise InvalidConfig(f"{variable} must be {wanted}, not {shown(text)}") from None


def _is_off(text: str) -> bool:
    """Whether a DISABLE_... variable leaves the thing enabled."""
    word = text.lower()
    if word in ("1", "true", "yes", "on"):
        return False
    if word in ("0", "false", "no", "off"):
        return True
    raise ValueError(text)


def _xdist_share(cpus_per_worker: int | None) -> int | None:
    """This process's share of the CPUs under pytest-xdist; None elsewhere."""
    variable = "PYTEST_XDIST_WORKER_COUNT"
    count = _parsed(variable, os.environ.get(variable, ""), int, "a whole number")
    if count is None:
        return None
    if count < 1:
        raise InvalidConfig(f"{variable} must be at least 1, not {count}")
    return None if count == 1 else max(1, usable_cpus() // count // (cpus_per_worker or 1))


def _spill_path(path: str) -> Path:
    # The last part of the default is not resolved: that it is no link is checked when it is used.
    given = Path(path)
    if given.name == f"pinfold-{os.getuid()}":
        return _resolved(given.parent) / given.name
    return _resolved(given)
