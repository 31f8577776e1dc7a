# SPDX-License-Identifier: Apache-2.0
"""A call's changes in a reused worker are undone before the next call, or the worker is not used
again."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from executing import EXCEPTION, OK, Process
from pinfold._worker.code.program import KEPT_CHARACTERS, KEPT_SOURCES, Programs


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Process]:
    with Process("reuse", tmp_path) as process:
        yield process


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Process]]:
    running = [Process("reuse", tmp_path_factory.mktemp("worker"))]
    yield running
    running[-1].end()


@pytest.fixture
def shared(workers: list[Process], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Share one worker among all rows of a table, so that each row sees leftovers of earlier ones.
    Start another one only after a row that failed."""
    yield workers[-1]
    if not workers[-1].intact:
        workers[-1].end()
        workers.append(Process("reuse", tmp_path_factory.mktemp("worker")))


# A call's change, and an expression that shows it from outside. `{tmp}` is a directory.
PUT_BACK = {
    "cwd": ("os.chdir('/')", "os.getcwd()"),
    "sys.path": ("sys.path.insert(0, '/x'); sys.path.append('/y')", "list(sys.path)"),
    "sys.path itself": ("sys.path = ['/x']", "list(sys.path)"),
    "sys.path emptied": ("sys.path.clear()", "list(sys.path)"),
    "os.environ": ("os.environ['NEW'] = '1'; del os.environ['PATH']", "dict(os.environ)"),
    "os.environ itself": ("os.environ = {{}}", "dict(os.environ)"),
    "os.environ emptied": ("os.environ.clear()", "dict(os.environ)"),
    "the environment of C": (
        "os.putenv('NEW', '1'); os.unsetenv('PATH')",
        "subprocess.run(['/usr/bin/env'], capture_output=True, text=True).stdout",
    ),
    "a signal handler": (
        "signal.signal(signal.SIGUSR1, print)",
        "signal.getsignal(signal.SIGUSR1)",
    ),
    "an ignored signal": (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "[signal.getsignal(15), open('/proc/self/status').read().partition('SigIgn')[2][:18]]",
    ),
    "SIGINT": ("signal.signal(signal.SIGINT, signal.SIG_DFL)", "repr(signal.getsignal(2))"),
    "a real-time signal": (
        "signal.signal(50, lambda *_: None); time.sleep(0.002)",
        "signal.getsignal(50)",
    ),
    "the signal mask": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR2])",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [])",
    ),
    "all signals blocked": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
        "open('/proc/self/status').read().partition('SigBlk')[2][:18]",
    ),
    "an alarm": ("signal.alarm(1)", "signal.getitimer(signal.ITIMER_REAL)"),
    "a timer": (
        "signal.setitimer(signal.ITIMER_PROF, 1, 1)",
        "signal.getitimer(signal.ITIMER_PROF)",
    ),
    "warnings.filters": (
        "warnings.simplefilter('error'); warnings.filters.append(('x',))",
        "list(warnings.filters)",
    ),
    "warnings.filters itself": ("warnings.filters = []", "list(warnings.filters)"),
    "warnings.showwarning": ("warnings.showwarning = print", "warnings.showwarning.__module__"),
    "a stream's own write": ("sys.stdout.write = lambda text: 0", "sorted(vars(sys.stdout))"),
    "the recursion limit": ("sys.setrecursionlimit(5000)", "sys.getrecursionlimit()"),
    "umask": ("os.umask(0o777)", "[os.umask(18), os.umask(18)][0]"),
    "soft limits": (
        "import resource\n"
        "    for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_CPU, resource.RLIMIT_CORE):\n"
        "        hard = resource.getrlimit(which)[1]\n"
        "        resource.setrlimit(which, (50, hard))",
        "[resource.getrlimit(i) for i in range(16)]",
    ),
    "decimal's default": (
        "decimal.DefaultContext.prec = 3; decimal.DefaultContext.traps[decimal.Inexact] = True",
        "repr(decimal.DefaultContext)",
    ),
    "locale": (
        "import locale; locale.setlocale(locale.LC_ALL, 'C.UTF-8'); "
        "locale.setlocale(locale.LC_NUMERIC, 'POSIX')",
        "locale.setlocale(locale.LC_ALL)",
    ),
    "sys.stdout": ("sys.stdout = io.StringIO()", "sys.stdout is sys.__stdout__"),
    "sys.stderr": ("sys.stderr = None", "sys.stderr is sys.__stderr__"),
    "sys.stdout closed": ("sys.stdout.close()", "[sys.stdout.closed, print('x')]"),
    "sys.stderr detached": ("sys.stderr.detach()", "[sys.stderr.closed, sys.stderr.errors]"),
    "sys.stdin closed": ("sys.stdin.close()", "[sys.stdin.closed, sys.stdin.read()]"),
    "sys.excepthook": ("sys.excepthook = print", "sys.excepthook is sys.__excepthook__"),
    "sys.displayhook": ("sys.displayhook = print", "sys.displayhook is sys.__displayhook__"),
    "sys.unraisablehook": (
        "sys.unraisablehook = print",
        "sys.unraisablehook is sys.__unraisablehook__",
    ),
    "sys.argv": ("sys.argv[:] = ['x']; sys.argv = []", "list(sys.argv)"),
    "sys.warnoptions": ("sys.warnoptions.append('error')", "list(sys.warnoptions)"),
    "sys.modules itself": ("sys.modules = {{}}", "'os' in sys.modules"),
    "sys.settrace": ("sys.settrace(lambda *_: None)", "sys.gettrace()"),
    "sys.setprofile": ("sys.setprofile(lambda *_: None)", "sys.getprofile()"),
    "threading.settrace": ("threading.settrace(print)", "threading._trace_hook"),
    "threading.excepthook": ("threading.excepthook = print", "threading.excepthook.__module__"),
    "threading.stack_size": ("threading.stack_size(1 << 20)", "threading.stack_size()"),
    "a builtin": ("builtins.len = lambda x: 0", "len([1, 2])"),
    "print": ("builtins.print = None; builtins.open = None", "[print, open].count(None)"),
    "a new builtin": ("builtins.profile = 1", "hasattr(builtins, 'profile')"),
    "time.sleep": ("time.sleep = lambda s: None", "time.sleep.__module__"),
    "os.getcwd": ("os.getcwd = lambda: '/x'", "os.getcwd()"),
    "gc": ("gc.disable()", "gc.isenabled()"),
    "gc enabled again": ("gc.disable(); gc.collect()", "gc.isenabled()"),
    "gc thresholds": ("gc.set_threshold(1, 2, 3)", "gc.get_threshold()"),
    "gc callbacks": ("gc.callbacks.append(lambda *_: None)", "len(gc.callbacks)"),
    "gc debugging": ("gc.set_debug(gc.DEBUG_STATS); gc.set_debug(1)", "gc.get_debug()"),
    "the event loop's policy": (
        "import asyncio; asyncio.run(asyncio.sleep(0)); "
        "asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())",
        "getattr(sys.modules.get('asyncio.events'), '_event_loop_policy', None)",
    ),
    "a handler of the root logger": (
        "import logging; logging.basicConfig(level=10); logging.disable(50)",
        "[len(logging.root.handlers), logging.root.level, logging.root.manager.disable]",
    ),
    "a logger": (
        "import logging; logging.getLogger('candidate.x').setLevel(10)",
        "'candidate.x' in logging.root.manager.loggerDict",
    ),
    "an atexit callback": (
        "import atexit; atexit.register(print); atexit.register(len)",
        "atexit._ncallbacks() < 2",
    ),
    "sys.setswitchinterval": ("sys.setswitchinterval(1)", "sys.getswitchinterval()"),
    "int digits": ("sys.set_int_max_str_digits(0)", "sys.get_int_max_str_digits()"),
    "dlopen flags": ("sys.setdlopenflags(258)", "sys.getdlopenflags()"),
    "asyncgen hooks": (
        "sys.set_asyncgen_hooks(firstiter=lambda x: None)",
        "tuple(sys.get_asyncgen_hooks())",
    ),
    "coroutine origins": (
        "sys.set_coroutine_origin_tracking_depth(3)",
        "sys.get_coroutine_origin_tracking_depth()",
    ),
    "tempfile.tempdir": ("import tempfile; tempfile.tempdir = '/x'", "tempfile.gettempdir()"),
    "socket's timeout": (
        "import socket; socket.setdefaulttimeout(3)",
        "socket.getdefaulttimeout()",
    ),
    "csv's limit": ("import csv; csv.field_size_limit(3)", "csv.field_size_limit()"),
    "multiprocessing's start method": (
        "import multiprocessing as m; m.set_start_method('spawn')",
        "__import__('multiprocessing.context').context._default_context._actual_context",
    ),
    "tracemalloc": ("import tracemalloc; tracemalloc.start()", "tracemalloc.is_tracing()"),
    "meta_path": ("sys.meta_path.insert(0, object())", "len(sys.meta_path)"),
    "path_hooks": ("sys.path_hooks.clear()", "len(sys.path_hooks)"),
    "a context variable": (
        "import contextvars; contextvars.ContextVar('mine').set(1)",
        "'mine' in [v.name for v in contextvars.copy_context()]",
    ),
    "the time zone": (
        "os.environ['TZ'] = 'XXX-3'; time.tzset()",
        "[time.timezone, time.tzname, time.localtime(0).tm_hour]",
    ),
    "cloudpickle's registry": (
        "import cloudpickle; cloudpickle.register_pickle_by_value(os)",
        "cloudpickle.list_registry_pickle_by_value()",
    ),
    "copyreg": (
        "import copyreg; copyreg.pickle(type('T', (), {{}}), lambda x: (int, ()))",
        "len(copyreg.dispatch_table)",
    ),
    "affinity": (
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])",
        "os.sched_getaffinity(0)",
    ),
    "the scheduling policy": (
        "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))",
        "os.sched_getscheduler(0)",
    ),
    "the process's name": (
        "import ctypes; ctypes.CDLL(None).prctl(15, b'other', 0, 0, 0)",
        "open('/proc/self/comm').read()",
    ),
    "being dumpable": (
        "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)",
        "ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)",
    ),
    "being a subreaper": (
        "import ctypes; ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)",
        "[(v := ctypes.c_int()), ctypes.CDLL(None).prctl(37, ctypes.byref(v)), v.value][2]",
    ),
    "faulthandler": ("import faulthandler; faulthandler.enable()", "faulthandler.is_enabled()"),
    "a watchdog": (
        "import faulthandler; faulthandler.dump_traceback_later(1, exit=True)",
        "time.sleep(1.2)",
    ),
    "the once-registry": (
        "warnings.simplefilter('once'); warnings.warn_explicit('x', UserWarning, 'f', 1)",
        "len(warnings.onceregistry)",
    ),
    "the wakeup descriptor": (
        "r, w = os.pipe2(os.O_NONBLOCK); signal.signal(10, print); signal.set_wakeup_fd(w); "
        "os.close(r); os.close(w)",
        "signal.set_wakeup_fd(-1)",
    ),
    "the wakeup descriptor alone": (
        "os.set_blocking(1, False); signal.set_wakeup_fd(1); os.set_blocking(1, True)",
        "signal.set_wakeup_fd(-1)",
    ),
    "a module in sys.modules": ("sys.modules['json'] = None", "sys.modules.get('json')"),
    "a module out of sys.modules": ("del sys.modules['re']", "'re' in sys.modules"),
    "a module's replacement": (
        "sys.modules['re'] = type(sys)('re')",
        "hasattr(sys.modules['re'], 'compile')",
    ),
    "a module of its own making": (
        "sys.modules['made'] = type(sys)('made')",
        "'made' in sys.modules",
    ),
    "a death signal": (
        "import ctypes; ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)",
        "[(v := ctypes.c_int()), ctypes.CDLL(None).prctl(2, ctypes.byref(v)), v.value][2]",
    ),
    "a handler that only C knows": (
        "import ctypes; ctypes.CDLL(None).signal(12, 1)",
        "open('/proc/self/status').read().partition('SigIgn')[2].split()[1]",
    ),
    "rounding": (
        "import ctypes, ctypes.util; ctypes.CDLL(ctypes.util.find_library('m')).fesetround(0x800)",
        "1 / 3 * 3, 0.1 + 0.2, 1e16 + 1.1",
    ),
}


if sys.version_info >= (3, 12):
    PUT_BACK["a monitoring tool"] = (
        "sys.monitoring.use_tool_id(3, 'mine'); sys.monitoring.set_events(3, 1)",
        "[sys.monitoring.get_tool(3), sys.monitoring.use_tool_id(3, 'x'), "
        "sys.monitoring.get_events(3), sys.monitoring.free_tool_id(3)]",
    )


@pytest.mark.parametrize("what", PUT_BACK)
def test_it_is_put_back(shared: Process, what: str) -> None:
    change, probe = PUT_BACK[what]
    shared.intact = False
    shared.call("import locale, tempfile, socket, csv, contextvars\ndef f(): pass")
    before = shared.probe(probe)
    imports = "import builtins, decimal, gc, io, os, signal, sys, threading, time, warnings\n"
    answer = shared.call(f"{imports}def f():\n    {change.format()}\n")
    assert (answer.status, answer.retires) == (OK, False), answer
    assert shared.probe(probe) == before
    again = shared.call("def f(): return [1, 'a']")
    assert (again.value, again.retires) == ([1, "a"], False)
    shared.intact = True


def test_no_signal_is_blocked_in_any_call(worker: Process) -> None:
    code = "import signal\ndef f(): return len(signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    assert [worker.call(code).value for _ in range(3)] == [0, 0, 0]
    assert worker.probe("len(signal.pthread_sigmask(signal.SIG_BLOCK, []))") == 0


def test_signals_are_as_in_a_plain_python_in_any_call(worker: Process) -> None:
    code = (
        "import signal\n"
        "names = 'SIGTERM SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGCHLD'.split()\n"
        "def f():\n"
        "    plain = [signal.getsignal(getattr(signal, n)) is signal.SIG_DFL for n in names]\n"
        "    sigint = signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "    for name in names + ['SIGINT']:\n"
        "        signal.signal(getattr(signal, name), signal.SIG_IGN)\n"
        "    return all(plain) and sigint\n"
    )
    assert [worker.call(code).value for _ in range(2)] == [True, True]


def test_a_worker_without_builtins_gets_them_back(worker: Process) -> None:
    assert worker.call("import builtins\ndef f(): vars(builtins).clear()").status == EXCEPTION
    answer = worker.call("def f(): return len([1, 2])")
    assert (answer.value, answer.retires) == (2, False)


@pytest.mark.parametrize("used_before", [False, True])
def test_decimals_context_is_a_new_one_in_each_call(worker: Process, used_before: bool) -> None:
    if used_before:
        worker.probe("repr(decimal.getcontext())")
    code = (
        "import decimal\n"
        "def f():\n"
        "    before = repr(decimal.getcontext())\n"
        "    decimal.getcontext().prec = 3\n"
        "    decimal.getcontext().traps[decimal.Inexact] = True\n"
        "    return before\n"
    )
    assert worker.call(code).value == worker.call(code).value


# Changes that cannot be undone, or only with more rights.
RETIRES = {
    "a thread": "threading.Thread(target=time.sleep, args=(30,), daemon=True).start()",
    "a closed stream": "os.close(1)",
    "a redirected stream": "x = os.open('/dev/null', 1); os.dup2(x, 1); os.close(x)",
    "a descriptor left open": "os.open('/dev/null', 0)",
    "an audit hook": "sys.addaudithook(lambda *_: None)",
    "faulthandler turned off": "import faulthandler; faulthandler.disable()",
    "no new privileges": "import ctypes; ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)",
    "an encoding": "sys.stdout.reconfigure(encoding='utf-16')",
    "os.environ": "os.environ._data = {}",
    "a handler for forks": "os.register_at_fork(after_in_child=lambda: None)",
    "the finders of imports": "sys.path_importer_cache.update(dict.fromkeys(sys.path))",
    "a name of a level": "import logging; logging.addLevelName(30, 'W')",
    "memory": "import json; json.kept = bytearray(os.urandom(1 << 20) * 1100)",
}


if os.geteuid() == 0:
    RETIRES |= {
        "another user": "os.seteuid(65534)",
        "another group": "os.setegid(65534)",
        "other groups": "os.setgroups([*os.getgroups(), 65533])",
    }


@pytest.mark.parametrize("what", RETIRES)
def test_the_worker_is_not_used_again_after(tmp_path: Path, what: str) -> None:
    with Process("reuse", tmp_path) as worker:
        if "faulthandler" in what:
            worker.probe("faulthandler.enable()")
        assert not worker.call("import json\ndef f(): pass").retires
        imports = "import os, sys, threading, time\n"
        answer = worker.call(f"{imports}def f():\n    {RETIRES[what]}\n    return 1\n")
        assert (answer.value, answer.retires) == (1, True)


def test_a_fresh_worker_never_asks_to_retire(tmp_path: Path) -> None:
    with Process("fresh", tmp_path) as worker:
        assert not worker.call(f"import os\ndef f(): {RETIRES['a descriptor left open']}").retires


def test_a_lowered_hard_limit_is_raised_again_or_retires_the_worker(worker: Process) -> None:
    code = (
        "import resource, time\n"
        "def f():\n"
        "    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "    time.sleep(0.002)\n"
    )
    before = worker.probe("resource.getrlimit(resource.RLIMIT_CORE)")
    if before[1] == 0:
        pytest.skip("the hard limit of core files is 0 already")
    answer = worker.call(code)
    same = worker.probe("resource.getrlimit(resource.RLIMIT_CORE)") == before
    assert same != answer.retires


@pytest.mark.parametrize("change", ["setrlimit(which, most)", "prlimit(0, which, most)"])
@pytest.mark.parametrize("kind", ["CPU", "FSIZE", "DATA", "NOFILE", "AS", "NPROC"])
def test_a_limit_of_one_call_is_not_the_next_ones(worker: Process, kind: str, change: str) -> None:
    code = f"""
import resource
which = resource.RLIMIT_{kind}
def f(lasting):
    soft, hard = resource.getrlimit(which)
    lower = (1 << 40 if hard == resource.RLIM_INFINITY else hard) - 1
    most = lower, lower if lasting else hard
    resource.{change}
"""
    before = worker.probe("[resource.getrlimit(i) for i in range(16)]")
    assert not worker.call(code, args=[False]).retires
    assert worker.probe("[resource.getrlimit(i) for i in range(16)]") == before
    answer = worker.call(code, args=[True])
    assert answer.status == OK
    same = worker.probe("[resource.getrlimit(i) for i in range(16)]") == before
    assert same != answer.retires


def test_what_sets_limits_is_pickled_by_its_name(worker: Process) -> None:
    code = "from resource import prlimit, setrlimit\ndef f(): return lambda: (prlimit, setrlimit)"
    worker.call("def f(): pass")
    answer = worker.call(code, codec="pickle")
    assert answer.status == OK, answer.text
    assert answer.value() == (resource.prlimit, resource.setrlimit)


def test_a_raised_niceness_is_lowered_again_or_retires_the_worker(worker: Process) -> None:
    before = worker.probe("os.getpriority(os.PRIO_PROCESS, 0)")
    answer = worker.call("import os\ndef f(): os.nice(1)")
    assert (worker.probe("os.getpriority(os.PRIO_PROCESS, 0)") == before) != answer.retires


def test_a_large_result_does_not_count_as_grown_memory(worker: Process) -> None:
    worker.call("def f(): pass")
    answer = worker.call("def f(): return b'x' * (700 << 20)", result_max=1)
    assert not answer.retires


def test_children_that_the_call_left_are_ended(worker: Process) -> None:
    code = (
        "import os, subprocess, time\n"
        "def f():\n"
        "    child = subprocess.Popen(['sleep', '1000'])\n"
        "    read, write = os.pipe()\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        pid = os.fork()\n"
        "        if pid == 0:\n"
        "            os.write(write, b'%d' % os.getpid())\n"
        "            time.sleep(1000)\n"
        "        os._exit(0)\n"
        "    daemon = int(os.read(read, 20))\n"
        "    os.close(read), os.close(write)\n"
        "    return [child.pid, daemon]\n"
    )
    answer = worker.call(code)
    assert (answer.status, answer.retires) == (OK, False)
    for pid in answer.value:
        assert not os.path.exists(f"/proc/{pid}")
    assert worker.call("def f(): return 2").value == 2


def test_a_zombie_that_the_call_left_is_reaped(worker: Process) -> None:
    code = (
        "import os\n"
        "def f():\n"
        "    pid = os.fork()\n"
        "    if pid == 0: os._exit(0)\n"
        "    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)\n"
        "    return pid\n"
    )
    answer = worker.call(code)
    assert not os.path.exists(f"/proc/{answer.value}")


def test_a_process_pool_that_the_call_left_does_not_stay(worker: Process) -> None:
    code = (
        "import multiprocessing as m\n"
        "def g(x): return x + 1\n"
        "def f():\n"
        "    global pool\n"
        "    from multiprocessing import shared_memory\n"
        "    memory = shared_memory.SharedMemory(create=True, size=10)\n"
        "    child = m.get_context('fork').Process(target=g, args=(1,))\n"
        "    child.start()\n"
        "    return [child.pid, memory.name]\n"
    )
    pid, memory = worker.call(code).value
    assert not os.path.exists(f"/proc/{pid}")
    assert not os.path.exists(f"/dev/shm/{memory}")
    assert worker.probe("len(sys.modules['multiprocessing.process']._children)") == 0
    second = worker.call(code)
    assert (second.status, second.retires) == (OK, False)


def test_a_threads_end_is_enough(worker: Process) -> None:
    code = (
        "import threading\n"
        "def f():\n"
        "    t = threading.Thread(target=print)\n"
        "    t.start(), t.join()\n"
    )
    assert not worker.call(code).retires


def test_finalisers_of_a_call_run_before_its_result(worker: Process) -> None:
    code = (
        "import os\n"
        "class A:\n"
        "    def __init__(self): self.me = self\n"
        "    def __del__(self): os.write(1, b'finalised ')\n"
        "kept = A()\n"
        "def f():\n"
        "    many = [[i] for i in range(50_000)]\n"
        "    A()\n"
    )
    assert not worker.call(code).retires
    assert worker.printed.read_text() == "finalised finalised "


def test_what_a_finaliser_changes_is_put_back(worker: Process) -> None:
    code = (
        "import os, sys\n"
        "class A:\n"
        "    def __init__(self): self.me = self\n"
        "    def __del__(self, os=os, sys=sys):\n"
        "        os.environ['LATE'] = '1'\n"
        "        sys.path.append('/late')\n"
        "kept = A()\n"
        "def f(): pass\n"
    )
    worker.call(code)
    assert worker.probe("'LATE' in os.environ or '/late' in sys.path") is False


def test_a_stream_that_stood_for_stdout_is_flushed(worker: Process) -> None:
    code = (
        "import io, sys\n"
        "class Out(io.StringIO):\n"
        "    def flush(self): sys.__stdout__.write(self.getvalue())\n"
        "def f():\n"
        "    sys.stdout = Out()\n"
        "    print('kept back')\n"
    )
    worker.call(code)
    worker.call("def f(): pass")
    worker.probe("sys.stdout.flush()")
    assert "kept back" in worker.printed.read_text()


def test_a_warning_is_shown_by_every_call(worker: Process) -> None:
    code = "import warnings\ndef f(): warnings.warn('look here', stacklevel=1)"
    for _ in range(3):
        worker.call(code)
    assert worker.printed.read_text().count("UserWarning: look here") == 3


def test_random_numbers_of_a_seeded_call_do_not_come_again(worker: Process) -> None:
    seeded = "import random\ndef f():\n    random.seed(7)\n    return random.random()"
    drawn = "import random\ndef f(): return random.random()"
    first = [worker.call(code).value for code in (seeded, drawn)]
    second = [worker.call(code).value for code in (seeded, drawn)]
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_numpys_random_numbers_of_a_seeded_call_do_not_come_again(worker: Process) -> None:
    pytest.importorskip("numpy")
    seeded = "import numpy as np\ndef f():\n    np.random.seed(7)\n    return np.random.rand()"
    drawn = "import numpy as np\ndef f(): return float(np.random.rand())"
    first = [worker.call(code).value for code in (seeded, drawn)]
    second = [worker.call(code).value for code in (seeded, drawn)]
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_numpys_error_state_is_put_back(worker: Process) -> None:
    numpy = pytest.importorskip("numpy", minversion="2.0")
    assert numpy
    code = "import numpy as np\ndef f(): return np.seterr(all='raise')['divide']"
    assert [worker.call(code).value for _ in range(2)] == ["warn", "warn"]


def test_installed_modules_stay_warm(worker: Process) -> None:
    code = "import sys\nwarm = 'wave' in sys.modules\nimport wave\ndef f(): return warm"
    assert [worker.call(code).value for _ in range(2)] == [False, True]


def test_a_thousand_calls_leave_nothing(worker: Process) -> None:
    code = (
        "import abc, dataclasses, enum, functools, typing, logging, warnings, weakref\n"
        "class Base(abc.ABC):\n"
        "    @abc.abstractmethod\n"
        "    def g(self): pass\n"
        "@dataclasses.dataclass\n"
        "class Data(Base):\n"
        "    x: typing.List['Data']\n"
        "    def g(self): return lambda: self\n"
        "class Color(enum.Enum):\n"
        "    RED = 1\n"
        "def f(number):\n"
        "    typing.get_type_hints(Data)\n"
        "    logging.getLogger(f'candidate.{number}').warning('hello')\n"
        "    warnings.warn(f'warning {number}')\n"
        "    data = Data([])\n"
        "    data.x.append(data)\n"
        "    if number % 3 == 0:\n"
        "        raise ValueError(data)\n"
        "    return [data, Color.RED, Data, data.g()]\n"
    )
    sizes = (
        "[len(sys.modules), len(linecache.cache), len(sys.path_importer_cache), len(sys.path),"
        " len(cloudpickle.cloudpickle._PICKLE_BY_VALUE_MODULES),"
        " len(cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS),"
        " len(cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID),"
        " len(logging.root.manager.loggerDict), len(warnings.filters), len(warnings.onceregistry),"
        " len(os.listdir('/proc/self/fd')), len(os.listdir('/proc/self/task')),"
        " len(gc.get_objects()), len(object.__subclasses__())]"
    )
    for number in range(50):
        worker.call(code, args=[number], codec="pickle")
    before = worker.probe(f"gc.collect() * 0 or {sizes}")
    for number in range(50, 1050):
        answer = worker.call(code, args=[number], codec="pickle")
        assert answer.status == (OK if number % 3 else EXCEPTION)
        assert not answer.retires
    after = worker.probe(f"gc.collect() * 0 or {sizes}")
    # The probe makes a few objects itself; a call that left one would have left a thousand.
    assert after[:-2] == before[:-2]
    assert after[-2] < before[-2] + 100
    assert after[-1] <= before[-1]


def test_compiled_sources_are_kept_and_bounded() -> None:
    programs = Programs()
    first = programs.get("x = 0")
    first.compiled = compile("x = 0", "user_code.py", "exec")
    assert programs.get("x = 0") is first
    for number in range(1, KEPT_SOURCES):
        programs.get(f"x = {number}")
    assert programs.get("x = 0") is first
    programs.get("one more")
    assert programs.get("x = 0") is first  # the least recently used one is gone: x = 1
    for number in range(8):
        programs.get(str(number) + "#" * (KEPT_CHARACTERS // 4))
    assert programs.get("x = 0") is not first
    assert len(programs) <= 6


def test_a_worker_of_little_rights_is_put_back_as_well(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    with Process("reuse", tmp_path) as worker:
        worker.call("def f(): pass")
        answer = worker.call("import os\ndef f(): os.setresuid(65534, 65534, 65534)")
        assert answer.retires


def test_limits_of_this_process_are_what_they_were() -> None:
    # The tests above use separate processes.
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 50
    assert sys.getrecursionlimit() != 5000
