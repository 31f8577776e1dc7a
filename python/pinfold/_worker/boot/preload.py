# SPDX-License-Identifier: Apache-2.0
"""Start a template: load modules and the set-up, then fork workers. Start spawned workers, too."""

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
from typing import TYPE_CHECKING, NoReturn

from pinfold._worker.boot.base import make_base
from pinfold._worker.boot.threads import SWITCHES, Threads
from pinfold._worker.code.libraries import besides, import_pickle
from pinfold._worker.code.lines import BOM, lines_of
from pinfold._worker.ext import _runtime
from pinfold._worker.reset import generators, printed

if TYPE_CHECKING:
    from pinfold._wire.plan import TemplateConfig
    from pinfold._worker.box.box import Box
    from pinfold._worker.call.worker import Worker
    from pinfold._worker.code.search import Shadows

SOCKET = 3
ISOLATIONS = ("fresh", "reuse", "spawn")  # enum pinfold_isolation

SETUP_MODULE = "pinfold_setup"
SETUP_FILE = "pinfold_setup.py"

# The extension modules whose code every call runs, besides the interpreter's own.
EVERY_CALL_RUNS = ("cbor2._cbor2", "pinfold._worker.ext._runtime", "pinfold._worker.reset._state")

GPUS = ("/dev/nvidia", "/dev/kfd", "/dev/dri/")


class CannotLoad(Exception):
    """The reason why the template cannot start, as text for people."""


def template(settings: TemplateConfig, command: list[str]) -> NoReturn:
    """Serve as a template. In each process that it forks, serve as a worker.

    `command` starts the same script again, for spawned workers.
    """
    worker_id = None
    try:
        number, flags, spill_dir = _runtime.open_template(SOCKET)
        unmask_owner()
        isolation = ISOLATIONS[number]
        go_to(settings.get("cwd"))
        faulthandler.enable(2)  # the pool reports this output if a preload kills the template
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
        prepare_streams()
        steps = warm_up(settings, f"{base}/sources" if base else "")
        if not is_plain(settings):
            while next(steps, False):
                pass
        gc.freeze()
        worker_id = _runtime.serve(flags, None, lambda: next(steps, False))
        # From here on, this is a forked worker.
        join_group(groups, worker_id)
        generators.renew_copied()
        after_fork(shadows, box)
        worker = worker_type(worker_id, settings, isolation, base, shadows, box)
    except BaseException as error:
        if worker_id is None:  # the guard may be dead, and may have removed a part of the base
            _runtime.remove_base()
        fail_to_start(error)
    worker.work()


def spawned_worker(
    settings: TemplateConfig, spill_dir: str, base: str, template: str, number: str, worker_id: str
) -> NoReturn:
    """Serve as a worker in a process that was started by exec, not forked."""
    try:
        spills = spill_dir if settings.get("box") is None else None
        _runtime.open_worker(SOCKET, int(template), spills)
        unmask_owner()
        faulthandler.enable(2)
        printed.take_over()
        worker_type = import_worker(settings, "spawn")
        shadows = load(settings, forks=False)
        from pinfold._worker.reset import leftovers

        leftovers.end_children()  # otherwise they are taken for processes that a call left
        prepare_streams()
        join_group(open_groups(settings), worker_id)
        box = None if settings.get("box") is None else make_box(settings, base)
        generators.renew()
        after_fork(shadows, box)
        worker = worker_type(worker_id, settings, "spawn", base, shadows, box)
        _runtime.ready(int(number))
    except BaseException as error:
        fail_to_start(error)
    worker.work()


def go_to(directory: str | None) -> None:
    """Change to the working directory that the caller had when the backend was made.

    A later template is started in the caller's current directory, which may be another.
    """
    if directory is not None:
        with suppress(OSError):  # it may have been removed
            os.chdir(directory)


def open_groups(settings: TemplateConfig) -> int:
    """Open the directory of the control groups before a box hides it. Return -1 without one."""
    path = settings.get("cgroup")
    return -1 if path is None else os.open(path, os.O_PATH | os.O_DIRECTORY)


def join_group(groups: int, worker_id: str) -> None:
    """Move this worker to its own control group before it takes a call. Closes `groups`."""
    if groups < 0:
        return
    fd = os.open(f"{worker_id}/cgroup.procs", os.O_WRONLY, dir_fd=groups)
    os.write(fd, b"0")
    os.close(fd)
    os.close(groups)


def is_plain(settings: TemplateConfig) -> bool:
    """Return whether only the runtime is loaded, so that the first fork needs no preparation."""
    loads = settings["preload"] or settings["setup"] is not None or settings.get("python_path")
    return not loads and settings.get("learned") is None and settings.get("box") is None


def unmask_owner() -> None:
    """Let this process use the files that it makes, whatever the caller's umask is."""
    os.umask(os.umask(0o077) & 0o077)


def import_worker(settings: TemplateConfig, isolation: str) -> type[Worker]:
    """Import the runtime, and take libraries that this interpreter lacks from the caller's path."""
    with besides(settings["path"]):
        from pinfold._worker.call.worker import Worker
        from pinfold._worker.code import search

        if isolation != "fresh":
            import pinfold._worker.reset.reset  # noqa: F401
    search.started_with(started_with)
    search.leave_no_byte_code()
    if not is_plain(settings):
        import_pickle(settings["path"])
    return Worker


def use_base(settings: TemplateConfig, spill_dir: str) -> str:
    """Make the base directory, and with namespaces enter the view. Return its path.

    If it cannot be made (a full disk), return "", since only a box requires it. With a box, raise
    OSError.
    """
    plan = settings.get("box")
    _runtime.outlive_guard()  # otherwise it would die with the guard, and leave the base
    try:
        base, lock = make_base(spill_dir)
    except OSError:
        if plan is not None:
            raise
        return ""
    outside = os.open(spill_dir, os.O_RDONLY | os.O_DIRECTORY)
    if plan is not None and plan["namespaces"]:
        from pinfold._worker.box import box

        box.enter_view(base, needed(settings))
    swept = plan is not None and not plan["namespaces"]
    _runtime.use_base(base, lock, outside, swept, plan is not None)
    return base


def make_box(settings: TemplateConfig, base: str) -> Box:
    from pinfold._worker.box import box

    plan = settings.get("box")
    assert plan is not None
    return box.Box(plan, base, needed(settings))


def needed(settings: TemplateConfig) -> tuple[str, ...]:
    """Return the paths that a box must let workers read besides the interpreter and its modules."""
    return (settings["package"], *settings["path"], *settings.get("python_path", ()))


def fail_to_start(error: BaseException) -> NoReturn:
    try:
        if _loader in (0, os.getpid()):  # otherwise this is a process that a set-up forked
            text = str(error) if isinstance(error, CannotLoad) else traceback_of(error)
            _runtime.fail(text.encode("utf-8", "backslashreplace"))
    finally:
        os._exit(1)


# The modules that the interpreter had imported before the first line of template.py.
started_with: list[str] = []

# The pid of the process that runs load(); 0 outside of it.
_loader = 0


def load(settings: TemplateConfig, *, forks: bool) -> Shadows:
    """Import the modules, and run the set-up.

    Return the shadows of `python_path`, with the library's own modules in place. Raises
    `CannotLoad`.
    """
    global _loader
    _loader = os.getpid()
    plan = settings.get("box")
    if plan is not None and not plan["namespaces"]:
        # Semaphores need /dev/shm, which boxed calls do not have. joblib tests for them when it is
        # imported, and would find them in the template.
        os.environ.setdefault("JOBLIB_MULTIPROCESSING", "0")
    dispositions = {number: signal.getsignal(number) for number in signal.valid_signals()}
    threads = Threads(settings.get("threads", ()))
    switches = [name for name in SWITCHES if forks and name not in os.environ]
    os.environ.update((name, SWITCHES[name]) for name in switches)
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path.insert(0, "")  # for the user's modules; the runtime's are imported already
    from pinfold._worker.code import search

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
            # importlib.import_module would add its own frames to the traceback.
            __import__(name)
        except BaseException as error:
            raise CannotLoad(f"preload {name!r} failed:\n{sentence_of(error, shadows)}") from None
        look(f"preload {name!r}")
    for name in settings.get("learned") or ():
        from pinfold._worker.code.imports import load as load_learned

        try:
            load_learned(name)
        except BaseException as error:
            raise CannotLoad(
                f"preload {name!r}, which was learned, failed:\n{sentence_of(error, shadows)}"
            ) from None
        look(f"preload {name!r}, which was learned,")
    if settings["setup"] is not None:
        try:
            set_up(settings["setup"])
        except BaseException as error:
            raise CannotLoad(f"setup failed:\n{sentence_of(error, shadows)}") from None
        look("setup")
        gc.collect()  # the set-up may have run for long with the collector off
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
    faulthandler.cancel_dump_traceback_later()
    if forks and threads.any():
        # Some libraries (OpenBLAS) stop their threads at a fork and restart them on demand.
        _runtime.fork_once()
        if unwanted := threads.unwanted():
            raise CannotLoad(
                f"{unwanted}. A process with threads cannot be forked safely: use"
                ' isolation="spawn", or load this in the call; if its library is made for forks,'
                " WorkerConfig.allow_threads takes the name."
            )
    for number, handler in dispositions.items():
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if os.getpid() != _loader:  # the set-up forked, and this is the child
        os._exit(0)
    for name in switches:
        os.environ.pop(name, None)
    from pinfold._worker.main.ending import keep_exits

    keep_exits()
    if "" in sys.path:  # each worker inserts it again
        sys.path.remove("")
    shadows.__enter__()
    _loader = 0
    return shadows


def sentence_of(error: BaseException, shadows: Shadows) -> str:
    """Return the traceback without this file's own frame, which is the outermost."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next
    with shadows:
        return traceback_of(error)


def traceback_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # such as a hand-made SyntaxError with odd fields
        return f"{type(error).__name__}: {'; '.join(map(repr, error.args))}"


def set_up(source: str) -> None:
    """Run the set-up's source as a module that programs can import."""
    source = source.removeprefix(BOM)
    module = ModuleType(SETUP_MODULE)
    module.__file__ = SETUP_FILE
    linecache.cache[SETUP_FILE] = (len(source), None, lines_of(source), SETUP_FILE)
    sys.modules[SETUP_MODULE] = module
    exec(compile(source, SETUP_FILE, "exec", dont_inherit=True), module.__dict__)


def after_fork(shadows: Shadows, box: Box | None) -> None:
    """Call the set-up's `after_fork` function in a new worker, if it defines one.

    Raises `CannotLoad`.
    """
    function = getattr(sys.modules.get(SETUP_MODULE), "after_fork", None)
    if function is None:
        return
    pid, threads = os.getpid(), len(os.listdir("/proc/self/task"))
    shadows.__exit__()
    try:
        function()
    except BaseException as error:
        if os.getpid() == pid:
            sentence = sentence_of(error, shadows)
            raise CannotLoad(f"after_fork of the setup failed:\n{sentence}") from None
    shadows.__enter__()
    if os.getpid() != pid:  # the function forked, and this is the child
        os._exit(0)
    if box is not None and len(os.listdir("/proc/self/task")) > threads:
        raise CannotLoad("after_fork of the setup started a thread, which a box does not hold")


def gpu() -> str | None:
    """Return the path of a GPU device that this process has open, or None."""
    for fd in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:  # the descriptor of the listing itself
            continue
        if path.startswith(GPUS):
            return path
    return None


def prepare_streams() -> None:
    """Set up the streams and the crash handlers for workers, so that forked ones inherit them."""
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
    printed.reset_streams()
    _runtime.flush()
    faulthandler.disable()
    file = _runtime.arm(False)
    faulthandler.enable(file, all_threads=True)
    faulthandler.register(_runtime.STACK_ASK_SIGNAL, file, all_threads=True)
    _runtime.arm(True)


def warm_up(settings: TemplateConfig, sources: str) -> Iterator[bool]:
    """Make calls faster, in steps. Yield True while steps remain.

    Pages written here are shared by all workers forked later. A plain template (`is_plain`) serves
    first and takes the steps while it is idle, so that the first value does not wait for them. No
    call depends on them.
    """
    import_pickle(settings["path"])
    yield True
    from pinfold._worker.boot.rehearsal import play_once, rehearse, rehearse_script

    rehearse(sources)
    yield True
    gc.freeze()  # the end of each program is a collection
    rehearse_script(sources)
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
