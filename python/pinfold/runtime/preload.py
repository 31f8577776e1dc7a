"""What a template loads before it serves, and how it becomes one that can be forked."""

from __future__ import annotations

import faulthandler
import gc
import linecache
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn, TypedDict

from pinfold.runtime import _runtime, generators, printed
from pinfold.runtime.base import make_base
from pinfold.runtime.libraries import besides, import_pickle
from pinfold.runtime.lines import BOM, lines_of
from pinfold.runtime.threads import SWITCHES, Threads

if TYPE_CHECKING:
    from pinfold.runtime.box import Box, Plan
    from pinfold.runtime.search import Shadows
    from pinfold.runtime.worker import Worker

SOCKET = 3
ISOLATIONS = ("fresh", "reuse", "spawn")  # enum pinfold_isolation

SETUP_MODULE = "pinfold_setup"
SETUP_FILE = "pinfold_setup.py"

# Extension modules, beside the interpreter itself.
EVERY_CALL_RUNS = ("cbor2._cbor2", "pinfold.runtime._runtime", "pinfold.runtime._state")

GPUS = ("/dev/nvidia", "/dev/kfd", "/dev/dri/")


class Settings(TypedDict):
    """What the pool's Python side tells; see template.py."""

    package: str
    path: list[str]
    modules: list[str]
    """Where the caller imports from, but for what is installed."""
    preload: list[str]
    setup: str | None
    python_path: list[str]
    """What comes first on ``sys.path``, but for a call's own."""
    cwd: str | None
    """Where the caller was when the backend was made."""
    node_id: str
    identity: list[str]
    """The names of the variables with the worker's id and `node_id`, if there shall be any."""
    box: Plan | None
    cgroup: str | None
    """The directory of the pool's control groups, one for each worker, by its id."""
    learned: list[str] | None
    threads: list[str]
    """Names of threads, and of libraries, that the template may have when it is forked."""
    places: list[list[int]] | None


class CannotLoad(Exception):
    """Why there is no template, in a text for people."""


def template(settings: Settings, command: list[str]) -> NoReturn:
    """Be a template. In each process that it forks: be a worker.

    `command` starts the same script again, for a worker that is not to be forked.
    """
    worker_id = None
    try:
        number, flags, spill_dir = _runtime.open_template(SOCKET)
        unmask_owner()
        isolation = ISOLATIONS[number]
        go_to(settings.get("cwd"))
        faulthandler.enable(2)  # the pool shows what was printed when a template dies of a preload
        printed.take_over()
        if isolation == "spawn":
            base = use_base(settings, spill_dir)
            parent = str(os.getpid() if flags & 1 else 0)
            _runtime.serve(flags, [*command, spill_dir, base, parent], None)
        worker_type = import_worker(settings, isolation)
        shadows = load(settings, forks=True)
        groups = open_groups(settings)
        base = use_base(settings, spill_dir)
        box = None
        if settings.get("box") is not None:
            box = make_box(settings, base)
            box.share(fresh=isolation == "fresh")
        settle()
        steps = warm_up(settings, f"{base}/sources" if base else "")
        if not is_plain(settings):
            while next(steps, False):
                pass
        gc.freeze()
        worker_id = _runtime.serve(flags, None, lambda: next(steps, False))
        # A worker.
        join_group(groups, worker_id)
        generators.renew_copied()
        after_fork(shadows, box)
        worker = worker_type(worker_id, settings, isolation, base, shadows, box)
    except BaseException as error:
        if worker_id is None:  # the guard may be dead, and have taken part of it away
            _runtime.remove_base()
        give_up(error)
    worker.work()


def spawned_worker(
    settings: Settings, spill_dir: str, base: str, template: str, number: str, worker_id: str
) -> NoReturn:
    """Be a worker in a process of its own making."""
    try:
        spills = spill_dir if settings.get("box") is None else None
        _runtime.open_worker(SOCKET, int(template), spills)
        unmask_owner()
        faulthandler.enable(2)
        printed.take_over()
        worker_type = import_worker(settings, "spawn")
        shadows = load(settings, forks=False)
        from pinfold.runtime import leftovers

        leftovers.end_children()  # a call would be taken to have left them
        settle()
        join_group(open_groups(settings), worker_id)
        box = None if settings.get("box") is None else make_box(settings, base)
        generators.renew()
        after_fork(shadows, box)
        worker = worker_type(worker_id, settings, "spawn", base, shadows, box)
        _runtime.ready(int(number))
    except BaseException as error:
        give_up(error)
    worker.work()


def go_to(directory: str | None) -> None:
    """Be where the caller was: a later template starts where the caller is by then."""
    if directory is not None:
        with suppress(OSError):  # it was removed since
            os.chdir(directory)


def open_groups(settings: Settings) -> int:
    """The directory of the control groups, which a box hides; -1: there is none."""
    path = settings.get("cgroup")
    return -1 if path is None else os.open(path, os.O_PATH | os.O_DIRECTORY)


def join_group(groups: int, worker_id: str) -> None:
    """Move this process to its own, before it takes a call."""
    if groups < 0:
        return
    fd = os.open(f"{worker_id}/cgroup.procs", os.O_WRONLY, dir_fd=groups)
    os.write(fd, b"0")
    os.close(fd)
    os.close(groups)


def is_plain(settings: Settings) -> bool:
    """Whether nothing but this runtime is loaded, and the first worker can be forked at once."""
    loads = settings["preload"] or settings["setup"] is not None or settings.get("python_path")
    return not loads and settings.get("learned") is None and settings.get("box") is None


def unmask_owner() -> None:
    """What this process makes, it can use, whatever the caller's umask."""
    os.umask(os.umask(0o077) & 0o077)


def import_worker(settings: Settings, isolation: str) -> type[Worker]:
    """Import our own part, with a look at the caller's packages for what this interpreter lacks."""
    with besides(settings["path"]):
        from pinfold.runtime import search
        from pinfold.runtime.worker import Worker

        if isolation != "fresh":
            import pinfold.runtime.reset  # noqa: F401
    search.started_with(started_with)
    search.leave_no_byte_code()
    if not is_plain(settings):
        import_pickle(settings["path"])
    return Worker


def use_base(settings: Settings, spill_dir: str) -> str:
    """Make the directory of what this template's workers write, and go where they shall be. "": on
    a full disk there is none, and only a box needs it."""
    plan = settings.get("box")
    _runtime.outlive_guard()  # with which it would die, and the base stay
    try:
        base, lock = make_base(spill_dir)
    except OSError:
        if plan is not None:
            raise
        return ""
    outside = os.open(spill_dir, os.O_RDONLY | os.O_DIRECTORY)
    if plan is not None and plan["namespaces"]:
        from pinfold.runtime import box

        box.enter_view(base, needed(settings))
    swept = plan is not None and not plan["namespaces"]
    _runtime.use_base(base, lock, outside, swept, plan is not None)
    return base


def make_box(settings: Settings, base: str) -> Box:
    from pinfold.runtime import box

    plan = settings.get("box")
    assert plan is not None
    return box.Box(plan, base, needed(settings))


def needed(settings: Settings) -> tuple[str, ...]:
    """What a box must let workers read besides the interpreter and what it has loaded."""
    return (settings["package"], *settings["path"], *settings.get("python_path", ()))


def give_up(error: BaseException) -> NoReturn:
    try:
        if _loader in (0, os.getpid()):  # else a process that a set-up forked, and that is not ours
            text = str(error) if isinstance(error, CannotLoad) else traceback_of(error)
            _runtime.fail(text.encode("utf-8", "backslashreplace"))
    finally:
        os._exit(1)


# What the interpreter had imported before this program's first line.
started_with: list[str] = []

# The process that loads; 0: none does.
_loader = 0


def load(settings: Settings, *, forks: bool) -> Shadows:
    """Import the modules, and run the set-up. Returns the shadows of `python_path`, with the
    library's own modules in place. Raises `CannotLoad`."""
    global _loader
    _loader = os.getpid()
    plan = settings.get("box")
    if plan is not None and not plan["namespaces"]:
        # Semaphores need /dev/shm, which calls do not have. joblib looks when it is imported, and
        # would find them here.
        os.environ.setdefault("JOBLIB_MULTIPROCESSING", "0")
    dispositions = {number: signal.getsignal(number) for number in signal.valid_signals()}
    threads = Threads(settings.get("threads", ()))
    switches = [name for name in SWITCHES if forks and name not in os.environ]
    os.environ.update((name, SWITCHES[name]) for name in switches)
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path.insert(0, "")  # for what the user names: nothing of ours is looked for there
    from pinfold.runtime import search

    shadows = search.NO_SHADOWS
    if settings.get("python_path"):
        shadows = search.drop_shadowed(search.put_first(settings["python_path"]))

    def look(since: str) -> None:
        threads.note(since)
        if forks and (device := gpu()):
            raise CannotLoad(
                f"{since} opened {device}: a process that uses a GPU (CUDA, ROCm) cannot be forked:"
                ' use isolation="spawn", or load this in the call.'
            )

    for name in settings["preload"]:
        try:
            # Not importlib.import_module: its own frames would stand in the traceback.
            __import__(name)
        except BaseException as error:
            raise CannotLoad(f"preload {name!r} failed:\n{told(error, shadows)}") from None
        look(f"preload {name!r}")
    for name in settings.get("learned") or ():
        from pinfold.runtime.imports import load as load_learned

        try:
            load_learned(name)
        except BaseException as error:
            raise CannotLoad(
                f"preload {name!r}, which was learned, failed:\n{told(error, shadows)}"
            ) from None
        look(f"preload {name!r}, which was learned,")
    if settings["setup"] is not None:
        try:
            set_up(settings["setup"])
        except BaseException as error:
            raise CannotLoad(f"setup failed:\n{told(error, shadows)}") from None
        look("setup")
        gc.collect()  # it may have worked for long, with the collector off
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
    faulthandler.cancel_dump_traceback_later()
    if forks and threads.any():
        # OpenBLAS, for one, stops its threads at a fork and starts new ones at need; others do not.
        _runtime.rehearse()
        if told_of := threads.unwanted():
            raise CannotLoad(
                f"{told_of}. A process with threads cannot be forked safely: use"
                ' isolation="spawn", or load this in the call; if its library is made for forks,'
                " WorkerConfig.allow_threads takes the name."
            )
    for number, handler in dispositions.items():
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if os.getpid() != _loader:  # a set-up forked, and this is the child
        os._exit(0)
    for name in switches:
        os.environ.pop(name, None)
    if "" in sys.path:  # a worker puts it back
        sys.path.remove("")
    shadows.__enter__()
    _loader = 0
    return shadows


def told(error: BaseException, shadows: Shadows) -> str:
    """The traceback without this file's own frame at its top."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next
    with shadows:
        return traceback_of(error)


def traceback_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # a SyntaxError of somebody's own making, say
        return f"{type(error).__name__}: {'; '.join(map(repr, error.args))}"


def set_up(source: str) -> None:
    """Run the source as a module that candidates can import."""
    source = source.removeprefix(BOM)
    module = ModuleType(SETUP_MODULE)
    module.__file__ = SETUP_FILE
    linecache.cache[SETUP_FILE] = (len(source), None, lines_of(source), SETUP_FILE)
    sys.modules[SETUP_MODULE] = module
    exec(compile(source, SETUP_FILE, "exec", dont_inherit=True), module.__dict__)


def after_fork(shadows: Shadows, box: Box | None) -> None:
    """Call the set-up's function of that name, if it has one, in a new worker. Raises
    `CannotLoad`."""
    function = getattr(sys.modules.get(SETUP_MODULE), "after_fork", None)
    if function is None:
        return
    pid, threads = os.getpid(), len(os.listdir("/proc/self/task"))
    shadows.__exit__()
    try:
        function()
    except BaseException as error:
        if os.getpid() == pid:
            told_of = told(error, shadows)
            raise CannotLoad(f"after_fork of the setup failed:\n{told_of}") from None
    shadows.__enter__()
    if os.getpid() != pid:  # it forked, and this is the child
        os._exit(0)
    if box is not None and len(os.listdir("/proc/self/task")) > threads:
        raise CannotLoad("after_fork of the setup started a thread, which a box does not hold")


def gpu() -> str | None:
    """A device of a GPU that this process has open."""
    for fd in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:  # the listing's own
            continue
        if path.startswith(GPUS):
            return path
    return None


def settle() -> None:
    """Make the streams and the crash handlers what a worker wants; costs a forked one nothing."""
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
    printed.settle()
    _runtime.flush()
    faulthandler.disable()
    file = _runtime.arm(False)
    faulthandler.enable(file, all_threads=True)
    faulthandler.register(_runtime.STACK_ASK_SIGNAL, file, all_threads=True)
    _runtime.arm(True)


def warm_up(settings: Settings, sources: str) -> Iterator[bool]:
    """What makes calls faster, in steps; True: there are more.

    What is written now is written once, and shared by all workers that are forked from then on. A
    plain template serves first, so that the first value does not wait for this: it takes the steps
    while it has nothing else to do. No call needs them.
    """
    import_pickle(settings["path"])
    yield True
    from pinfold.runtime.rehearsal import play_once, rehearse

    rehearse(sources)
    if settings.get("learned") is not None:
        _runtime.watch_imports()
    yield True
    _runtime.keep_code([os.path.realpath(file) for file in map(file_of, EVERY_CALL_RUNS) if file])
    gc.freeze()
    if not is_plain(settings):
        _runtime.gather_memory()
    yield True
    _runtime.learn_pages(lambda: play_once(sources))


def file_of(name: str) -> str | None:
    return getattr(sys.modules.get(name), "__file__", None)
