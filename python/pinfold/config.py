# SPDX-License-Identifier: Apache-2.0
"""The configuration of a backend."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from pinfold._common.check import config_check, shown
from pinfold._host.cpus import usable_cpus
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

CACHES = (
    "XDG_CACHE_HOME XDG_CONFIG_HOME MPLCONFIGDIR NUMBA_CACHE_DIR TORCH_HOME TORCHINDUCTOR_CACHE_DIR"
    " TRITON_CACHE_DIR HF_HOME HF_HUB_CACHE HF_ASSETS_CACHE HF_DATASETS_CACHE HF_MODULES_CACHE"
    " TRANSFORMERS_CACHE SENTENCE_TRANSFORMERS_HOME JAX_COMPILATION_CACHE_DIR SCIKIT_LEARN_DATA"
    " JOBLIB_TEMP_FOLDER"
).split()
"""Variables for directories that libraries write to. Boxed calls do not get them, because a box
forbids writing there."""

DEFAULT_ENV_WHITELIST: frozenset[str] = frozenset(
    """
    PATH HOME USER LOGNAME SHELL TERM TZ TZDIR
    LANG LANGUAGE LC_ALL LC_CTYPE LC_COLLATE LC_MESSAGES LC_NUMERIC LC_TIME LC_MONETARY LC_PAPER
    LC_NAME LC_ADDRESS LC_TELEPHONE LC_MEASUREMENT LC_IDENTIFICATION
    PYTHONPATH PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED PYTHONHASHSEED PYTHONUTF8 PYTHONIOENCODING
    VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV PYENV_ROOT
    LD_LIBRARY_PATH LD_PRELOAD SSL_CERT_FILE SSL_CERT_DIR
    TMPDIR TEMP TMP

    OMP_DYNAMIC OMP_PROC_BIND OMP_PLACES OMP_SCHEDULE OMP_STACKSIZE OMP_WAIT_POLICY
    OMP_THREAD_LIMIT OMP_MAX_ACTIVE_LEVELS GOMP_CPU_AFFINITY GOMP_SPINCOUNT GOMP_STACKSIZE
    KMP_AFFINITY KMP_BLOCKTIME KMP_DUPLICATE_LIB_OK KMP_HW_SUBSET KMP_INIT_AT_FORK KMP_SETTINGS
    KMP_STACKSIZE
    GOTO_NUM_THREADS OPENBLAS_CORETYPE OPENBLAS_MAIN_FREE OPENBLAS_VERBOSE
    BLIS_NUM_THREADS BLIS_ARCH_TYPE
    MKL_DOMAIN_NUM_THREADS MKL_DYNAMIC MKL_THREADING_LAYER MKL_INTERFACE_LAYER MKL_CBWR
    MKL_ENABLE_INSTRUCTIONS MKL_DEBUG_CPU_TYPE MKL_SERVICE_FORCE_INTEL
    NUMEXPR_MAX_THREADS NPY_DISABLE_CPU_FEATURES NPY_ENABLE_CPU_FEATURES NPY_PROMOTION_STATE
    NUMPY_MADVISE_HUGEPAGE SCIPY_ARRAY_API RAYON_NUM_THREADS POLARS_MAX_THREADS
    JE_ARROW_MALLOC_CONF ARROW_DEFAULT_MEMORY_POOL ARROW_IO_THREADS ARROW_USER_SIMD_LEVEL
    JOBLIB_MULTIPROCESSING JOBLIB_START_METHOD

    NUMBA_NUM_THREADS NUMBA_THREADING_LAYER NUMBA_THREADING_LAYER_PRIORITY NUMBA_DISABLE_JIT
    NUMBA_DISABLE_INTEL_SVML NUMBA_CPU_NAME NUMBA_CPU_FEATURES NUMBA_OPT NUMBA_LOOP_VECTORIZE
    NUMBA_SLP_VECTORIZE NUMBA_BOUNDSCHECK NUMBA_DEBUG NUMBA_DEVELOPER_MODE NUMBA_FULL_TRACEBACKS
    NUMBA_DISABLE_PERFORMANCE_WARNINGS NUMBA_WARNINGS NUMBA_ENABLE_CUDASIM NUMBA_DISABLE_CUDA
    NUMBA_CACHE_LOCATOR_CLASSES

    MPLBACKEND MATPLOTLIBRC

    CUDA_HOME CUDA_PATH CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES CUDA_DEVICE_ORDER
    CUDA_LAUNCH_BLOCKING CUDA_MODULE_LOADING CUBLAS_WORKSPACE_CONFIG NVIDIA_TF32_OVERRIDE
    HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES HSA_OVERRIDE_GFX_VERSION ROCM_HOME ROCM_PATH
    PYTORCH_ALLOC_CONF PYTORCH_CUDA_ALLOC_CONF PYTORCH_HIP_ALLOC_CONF PYTORCH_ENABLE_MPS_FALLBACK
    PYTORCH_NVML_BASED_CUDA_CHECK PYTORCH_JIT TORCH_NUM_THREADS TORCH_LOGS
    TORCH_SHOW_CPP_STACKTRACES TORCHDYNAMO_DISABLE TORCH_COMPILE_DISABLE
    TORCH_ALLOW_TF32_CUBLAS_OVERRIDE
    TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD

    JAX_PLATFORMS JAX_PLATFORM_NAME JAX_TRACEBACK_FILTERING JAX_ENABLE_X64 JAX_DEBUG_NANS
    JAX_DEBUG_INFS JAX_DISABLE_JIT JAX_DEFAULT_MATMUL_PRECISION JAX_NUM_CPU_DEVICES
    JAX_ENABLE_COMPILATION_CACHE JAX_DEFAULT_PRNG_IMPL JAX_THREEFRY_PARTITIONABLE
    XLA_FLAGS XLA_PYTHON_CLIENT_PREALLOCATE XLA_PYTHON_CLIENT_MEM_FRACTION
    XLA_PYTHON_CLIENT_ALLOCATOR LIBTPU_INIT_ARGS TPU_VISIBLE_CHIPS
    TF_CPP_MIN_LOG_LEVEL TF_FORCE_GPU_ALLOW_GROWTH TF_ENABLE_ONEDNN_OPTS TF_DETERMINISTIC_OPS
    TF_NUM_INTRAOP_THREADS TF_NUM_INTEROP_THREADS TF_GPU_ALLOCATOR KERAS_BACKEND

    HF_HUB_OFFLINE HF_DATASETS_OFFLINE TRANSFORMERS_OFFLINE HF_EVALUATE_OFFLINE
    HF_HUB_DISABLE_TELEMETRY HF_HUB_DISABLE_PROGRESS_BARS HF_HUB_DISABLE_SYMLINKS_WARNING
    HF_HUB_ETAG_TIMEOUT HF_HUB_DOWNLOAD_TIMEOUT HF_HUB_VERBOSITY TRANSFORMERS_VERBOSITY
    DATASETS_VERBOSITY TRANSFORMERS_NO_ADVISORY_WARNINGS
    """.split()
    + list(THREAD_COUNTS)
    + CACHES
)
"""The environment variables that workers get, if the caller has them. Extend it with ``|``. It has
no variable in which people keep secrets: no proxies, no endpoints, no keys."""

DEFAULT_ENV_PREFIXES: tuple[str, ...] = ("GIGAEVO_", "LOKY_")
"""Prefixes of further environment variables that workers get. Extend it with ``+``."""

DEFAULT_IDENTITY_ENV: tuple[str, str] = ("PINFOLD_WORKER_ID", "PINFOLD_NODE_ID")

MAX_WORKERS = 4096

Isolation = Literal["fresh", "reuse", "spawn"]
Codec = Literal["data", "pickle", "json"]
Sandbox = Literal["none", "standard", "strict"]

ISOLATIONS = ("fresh", "reuse", "spawn")
CODECS = ("data", "pickle", "json")
SANDBOXES = ("none", "standard", "strict")


def default_spill_dir() -> Path:
    """Return ``$TMPDIR/pinfold-<uid>``; without TMPDIR, below the system's temporary directory.

    Raises `InvalidConfig`.
    """
    return _resolved(os.environ.get("TMPDIR") or _temporary()) / f"pinfold-{os.getuid()}"


def _resolved(path: str | Path) -> Path:
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError) as error:  # no current directory; a loop of links
        raise InvalidConfig(
            f"WorkerConfig: spill_dir: {shown(str(path))} cannot be used: {error}"
        ) from None


def _temporary() -> str:
    """Return the result of `tempfile.gettempdir`, in the usual case without importing tempfile.

    That import takes as long as half of this package.
    """
    named = "tempfile" in sys.modules or os.environ.get("TEMP") or os.environ.get("TMP")
    if not named and os.access("/tmp", os.W_OK | os.X_OK):
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
    """The configuration of a `LocalBackend`. Frozen, and checked when it is made.

    Derive one from another with `dataclasses.replace`. Times are seconds.

    Attributes:
        max_workers: calls that may run at once, 1 .. 4096. None: the number of CPUs that this
            process may use (affinity and cgroup quota); under pytest-xdist, that number divided by
            PYTEST_XDIST_WORKER_COUNT, at least 1.
        idle_timeout_s: the pool ends a worker that was idle for so long (> 0; infinity: never).
            Default 300.
        spill_dir: the directory for payloads too big for a message, which are files without names.
            Default ``$TMPDIR/pinfold-<uid>``, made with mode 0700, and refused if it is a link or
            belongs to another user. ``..`` is resolved. On a tmpfs, spills cost memory, not disk.
        env_whitelist: names of environment variables that workers get. Default
            `DEFAULT_ENV_WHITELIST`.
        env_prefixes: prefixes of further environment variables that workers get. Default
            `DEFAULT_ENV_PREFIXES`. The environment is captured once, when the backend is made.
            Workers also get the two variables of `identity_env`, and no others.
        enable_pdeathsig: workers ask the kernel to kill them when their template dies. Without it
            (for debuggers that dislike it) they still end when the template's sockets close.
        pool_id: the pool's name in metrics and logs; by default 12 random characters.
        node_id: this machine's name in metrics and logs; by default the host name.
        isolation: what a worker runs. ``"fresh"``: one call, then the worker is killed with all
            processes that the call started. ``"reuse"``: calls one after another, with a reset
            between them. ``"spawn"``: as ``"reuse"``, but workers are exec'd, not forked, for
            libraries that must not be forked (CUDA).
        max_calls_per_worker: a reused worker is replaced after so many calls. None: no bound.
        preload: modules to import once, before any worker is forked. If an import fails, so does
            the start of the pool. ``"auto"``, for ``"fresh"`` and ``"reuse"``: the pool learns the
            modules. It compares the total time that calls spend on importing a module with the
            start time of a template that has it. When the calls have spent more, it starts such a
            template beside the current one. The new template takes over when it is ready; until
            then there are two, each with its `setup`. Only installed modules are learned: those on
            the interpreter's own `sys.path`, not those in the working directory or on a call's
            `python_path`. If a template cannot start with a module, that is logged, and the module
            is not tried again. See `PoolStats.learned`.
        setup: source text that runs once, before any worker is forked; programs import its module
            as ``pinfold_setup``. None: no set-up. The text may have a megabyte of ASCII on every
            system; keep larger data in a file that the set-up reads.
            A function ``after_fork()`` of that module runs in every worker before its first call.
            Use it for generators, connections and other state that workers must not share; the
            global generators of `random`, numpy and torch already have states of their own then.
            If it raises, the worker ends, and its calls end as ``internal`` with the traceback.
        setup_timeout_s: the longest time that the start may take: interpreter, preloads and setup.
            Default 60.
        codec: how values cross unless the call has a codec of its own. Reading ``"data"`` cannot
            run code; ``"pickle"`` carries almost anything, and reading it can run any code;
            ``"json"`` is JSON text in both directions, as other languages read it.
        limits: bounds on a call's resources, unless the call has limits of its own.
        max_queue: calls that may wait while `max_workers` others are under way (0: none). A submit
            raises `QueueFull` when ``max_workers + max_queue`` calls have not ended. None: no
            bound.
        sandbox: ``"none"``: workers run with the caller's rights.
            ``"standard"``: each worker gives up privileges, and has no network. It reads only the
            interpreter, its packages, the call's `python_path` and system libraries. It writes only
            to a scratch directory, which is its cwd, HOME and TMPDIR and is removed after the call.
            Many system calls are refused; chmod and utime have no effect.
            ``"strict"``: as ``"standard"``, in namespaces of its own and with a view of nothing
            else. The scratch directory is in memory (1 GiB), and only listed system calls are
            allowed. docs/security.md has all details. In a box, reused workers (``"reuse"``,
            ``"spawn"``) refuse a `python_path` outside the paths that they read anyway.
        sandbox_required: making a backend raises `InvalidConfig`, with a list, if this machine
            lacks mechanisms of the sandbox. False: the backend uses the mechanisms that exist; see
            `LocalBackend.isolation`.
        allow_network: the sandbox allows internet sockets (IPv4, IPv6).
        cpus_per_worker: each worker with a call runs on so many CPUs that no other worker of this
            backend uses, out of those that this process may use. The default of `max_workers` is
            then the number of workers for which there are CPUs; making a backend with more raises
            `InvalidConfig`. The variables that set the number of threads of OpenMP, OpenBLAS, MKL,
            NumExpr and Accelerate are set to match. A worker keeps its CPUs until it is gone, so
            that calls are a millisecond or two further apart. The CPUs are not kept free of other
            processes; `ExecutionMetrics.cpu_wait_s` and `preemptions` report such disturbances. A
            program may leave its CPUs (sched_setaffinity). None: the kernel places workers freely.
        python: the interpreter of the workers, by default the caller's own. A name without a slash
            is looked up on PATH.
        allow_threads: names of threads that preloads and `setup` may leave running in the
            template: of the thread (``jemalloc_bg_thd``), or of the library whose code it executes
            (``libopenblas``). Any other thread fails the start of the pool. A forked process has
            only one thread: locks that other threads held stay locked, and their half-done work
            stays half done, so a worker may hang or compute wrongly. Name a thread only if its
            library is made for forks. Arrow's pools (``libarrow``) are, and need not be named.
        python_path: directories that come first on ``sys.path``, in this order, after a call's own
            `python_path`. They apply to preloads, `setup` and every call; boxed calls may read
            them. Resolved when the backend is made.
        identity_env: the names of the two environment variables for the worker's id
            (`ExecutionMetrics.worker_id`) and `node_id`. None or (): workers get neither.

    Raises:
        InvalidConfig: a field has a wrong value. The message names both.
        ConfigTypeError: a field has the wrong type. The message names the field and the value.
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
    allow_threads: Collection[str] = ()
    python_path: Sequence[str | os.PathLike[str]] = ()
    identity_env: Sequence[str] | None = DEFAULT_IDENTITY_ENV

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
        self._set("allow_threads", check.texts("allow_threads", self.allow_threads))
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
        self._set("python_path", check.paths("python_path", self.python_path))
        self._check_identity()

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_identity(self) -> None:
        names = config_check.variables("identity_env", self.identity_env or ())
        if names and (len(names) != 2 or names[0] == names[1]):
            config_check.wrong_value(
                "identity_env", names, "two different names, of the worker and of the node, or None"
            )
        self._set("identity_env", names)

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
        """Make a configuration from environment variables. Unset or empty ones mean the default.

        The variables are these names after the prefix:

            MAX_WORKERS         1 .. 4096
            IDLE_TIMEOUT_S      seconds
            SPILL_DIR           a path
            NODE_ID             a name
            DISABLE_PDEATHSIG   1, true, yes, on; 0, false, no, off
            ISOLATION           fresh, reuse, spawn
            PRELOAD             modules with commas between them, or auto
            SETUP_FILE          the path of a file with the source text of `setup`
            SANDBOX             none, standard, strict
            CODEC               data, pickle
            PYTHON_PATH         directories, with colons between them as in PYTHONPATH
            MEMORY_BYTES        `Limits.memory_bytes`
            WALL_S              `Limits.wall_s`, seconds

        Args:
            prefix: the prefix of the variables' names.
            environ: the variables; None: `os.environ`.

        Raises:
            InvalidConfig: a value is wrong. The message names the variable and the value.
        """
        fields: dict[str, Any] = {}
        environ = os.environ if environ is None else environ
        for name, variable, value in _read(prefix, environ):
            # Try each field alone, so that the error can name the variable; "/" always exists.
            try:
                if name in _LIMITS:
                    limits = fields.get("limits", Limits())
                    fields["limits"] = replace(limits, **{name: value})
                else:
                    fields[name] = value
                cls(**{"spill_dir": "/", **fields})
            except InvalidConfig as error:
                raise InvalidConfig(f"{variable}={shown(environ[variable])}: {error}") from None
        return cls(**fields)


def _read(prefix: str, environ: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    """Yield the field, the variable's name and the parsed value of each variable that is set."""
    for name, (field_name, parse, wanted) in _VARIABLES.items():
        variable = prefix + name
        value = _parsed(variable, environ.get(variable, ""), parse, wanted)
        if value is not None:
            yield field_name, variable, value


def _parsed(variable: str, text: str, parse: Callable[[str], T], wanted: str) -> T | None:
    text = text.strip()
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as error:
        why = f": {error}" if parse is _source_of else ""
        raise InvalidConfig(f"{variable} must be {wanted}, not {shown(text)}{why}") from None


def _modules(text: str) -> object:
    """Parse PRELOAD."""
    if text == "auto":
        return text
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _source_of(path: str) -> str:
    """Read the file of SETUP_FILE, and decode it as the interpreter does."""
    import tokenize

    try:
        with tokenize.open(path) as file:
            return file.read()
    except (OSError, SyntaxError) as error:  # SyntaxError: it declares an unknown encoding
        raise ValueError(str(error)) from None


def _directories(text: str) -> object:
    return tuple(entry for entry in text.split(os.pathsep) if entry)


def _is_off(text: str) -> bool:
    """Return whether a DISABLE_... variable leaves the feature enabled."""
    word = text.lower()
    if word in ("1", "true", "yes", "on"):
        return False
    if word in ("0", "false", "no", "off"):
        return True
    raise ValueError(text)


# The variables of `WorkerConfig.from_env`: field, parser, and what the value must be.
_VARIABLES: dict[str, tuple[str, Callable[[str], object], str]] = {
    "MAX_WORKERS": ("max_workers", int, "a whole number"),
    "IDLE_TIMEOUT_S": ("idle_timeout_s", float, "a number of seconds"),
    "SPILL_DIR": ("spill_dir", Path, "a path"),
    "NODE_ID": ("node_id", str, "a name"),
    "DISABLE_PDEATHSIG": ("enable_pdeathsig", _is_off, "1 or 0"),
    "ISOLATION": ("isolation", str.lower, "a word"),
    "PRELOAD": ("preload", _modules, "names of modules"),
    "SETUP_FILE": ("setup", _source_of, "a file of source text"),
    "SANDBOX": ("sandbox", str.lower, "a word"),
    "CODEC": ("codec", str.lower, "a word"),
    "PYTHON_PATH": ("python_path", _directories, "directories"),
    "MEMORY_BYTES": ("memory_bytes", int, "a whole number"),
    "WALL_S": ("wall_s", float, "a number of seconds"),
}
_LIMITS = frozenset({"memory_bytes", "wall_s"})  # fields of `Limits`


def _xdist_share(cpus_per_worker: int | None) -> int | None:
    """Return this process's share of the CPUs under pytest-xdist; None elsewhere."""
    variable = "PYTEST_XDIST_WORKER_COUNT"
    count = _parsed(variable, os.environ.get(variable, ""), int, "a whole number")
    if count is None:
        return None
    if count < 1:
        raise InvalidConfig(f"{variable} must be at least 1, not {count}")
    return None if count == 1 else max(1, usable_cpus() // count // (cpus_per_worker or 1))


def _spill_path(path: str) -> Path:
    # The last part of the default stays unresolved: its first use checks that it is not a link.
    given = Path(path)
    if given.name == f"pinfold-{os.getuid()}":
        return _resolved(given.parent) / given.name
    return _resolved(given)
