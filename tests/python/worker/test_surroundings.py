# SPDX-License-Identifier: Apache-2.0
"""A call's surroundings: its lines, generators, modules, environment, and its source's file."""

from __future__ import annotations

import datetime
import os
import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from boxes import level_is_there
from conftest import MakeBackend
from pinfold import LocalBackend, WorkerCall, WorkerResult
from pinfold.config import DEFAULT_ENV_WHITELIST
from programs import answers

MODES = ("fresh", "reuse", "spawn")


@pytest.fixture(params=["none", "standard", "strict"])
def level(request: pytest.FixtureRequest) -> str:
    if not level_is_there(request.param):
        pytest.skip("not to be had here")
    return str(request.param)


def value(backend: LocalBackend, code: str, *args: Any, **fields: Any) -> Any:
    call = WorkerCall(code, "f", args=list(args), **fields)
    return backend.submit(call, deadline_s=60).result().unwrap()


def text(backend: LocalBackend, code: str) -> str:
    result = backend.submit(WorkerCall(code, "f"), deadline_s=60).result()
    assert result.outcome == "exception"
    assert result.error is not None
    return result.error.stderr


# Generators.

DRAW = "import random, numpy\ndef f(): return random.random(), float(numpy.random.rand())\n"
SEEDING = """
import random, numpy
random.seed(1)
numpy.random.seed(1)
"""
PCG = SEEDING + "numpy.random.set_bit_generator(numpy.random.PCG64(1))"


@pytest.mark.parametrize("setup", [SEEDING, PCG])
@pytest.mark.parametrize("isolation", ["fresh", "spawn"])
def test_a_set_up_that_seeds_gives_every_worker_generators_of_its_own(
    make_backend: MakeBackend, isolation: str, setup: str
) -> None:
    backend = make_backend(isolation=isolation, setup=setup, max_workers=1, max_calls_per_worker=1)
    drawn = [value(backend, DRAW) for _ in range(3)]
    assert len({first for first, _ in drawn}) == len({second for _, second in drawn}) == 3


AFTER_FORK = """
import os, random
import numpy as np
made = []
def after_fork():
    made.append(os.getpid())
    random.seed(7)
"""
LOOK = "import os, random, pinfold_setup\ndef f(): return pinfold_setup.made, os.getpid()\n"


@pytest.mark.parametrize("isolation", MODES)
def test_after_fork_of_the_set_up_is_called_once_in_each_worker(
    make_backend: MakeBackend, level: str, isolation: str
) -> None:
    backend = make_backend(
        isolation=isolation, setup=AFTER_FORK, sandbox=level, max_workers=1, max_calls_per_worker=2
    )
    for _ in range(3):
        made, pid = value(backend, LOOK)
        assert made == [pid]
    assert value(backend, LOOK + "X = random.random()\ndef f(): return X") == 0.32383276483316237


@pytest.mark.parametrize("isolation", MODES)
def test_an_after_fork_that_raises_is_told_and_is_not_the_programs_fault(
    make_backend: MakeBackend, isolation: str
) -> None:
    backend = make_backend(isolation=isolation, setup="def after_fork():\n    1 / 0\n")
    result = backend.submit(WorkerCall("def f(): pass", "f"), deadline_s=60).result()
    assert result.outcome == "internal"
    assert result.error is not None
    assert "after_fork of the setup failed" in result.error.message
    assert "ZeroDivisionError" in result.error.message


# Threads of the template.

THREAD = """
import ctypes, threading
event = threading.Event()
def run():
    ctypes.CDLL(None).prctl(15, b"my_own_thread", 0, 0, 0)
    ready.set()
    event.wait()
ready = threading.Event()
threading.Thread(target=run, daemon=True).start()
ready.wait()
"""


def test_a_thread_that_the_config_names_may_stay(make_backend: MakeBackend, isolation: str) -> None:
    refused = make_backend(isolation=isolation, setup=THREAD)
    result = refused.submit(WorkerCall("def f(): pass", "f"), deadline_s=60).result()
    assert result.outcome == "internal"
    assert result.error is not None
    assert "setup started a thread that is still there: 'my_own_thread'" in result.error.message
    assert "allow_threads" in result.error.message
    allowed = make_backend(
        isolation=isolation, setup=THREAD, allow_threads=["another", "my_own_thread"]
    )
    assert value(allowed, "def f(): return 1") == 1


# Lines.

BREAKS = ["\f", "\v", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_the_compiler_counts_them(either: LocalBackend, end: str) -> None:
    code = "".join(f"# {mark} #\n" for mark in BREAKS) + "\f\n"
    code += "def g():\n    return 1\ndef f():\n    raise ValueError('here')  # the line\n"
    told = text(either, code.replace("\n", end))
    line = len(BREAKS) + 5
    assert f'File "user_code.py", line {line}, in f\n    raise ValueError' in told
    assert f"> {line} |     raise ValueError('here')  # the line" in told
    source = code + "import inspect\ndef f():\n    return inspect.getsource(g)\n"
    assert value(either, source.replace("\n", end)) == "def g():\n    return 1\n"


def test_lines_of_a_set_up_are_counted_so_too(make_backend: MakeBackend, isolation: str) -> None:
    setup = "\ufeff# \f\u2028 #\nimport inspect\ndef g():\n    return inspect.getsource(g)\n"
    backend = make_backend(isolation=isolation, setup=setup)
    code = "import pinfold_setup\ndef f(): return pinfold_setup.g()"
    assert value(backend, code).startswith("def g():\n    return inspect")


def test_a_source_may_begin_with_a_byte_order_mark(either: LocalBackend) -> None:
    code = "\ufeffimport inspect\ndef g(): pass\ndef f(): return inspect.getsource(g)\n"
    assert value(either, code) == "def g(): pass\n"
    assert 'File "user_code.py", line 1' in text(either, "\ufeff1 / 0")


# The environment.


def test_the_callers_zone_is_the_workers(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch, isolation: str, level: str
) -> None:
    monkeypatch.setenv("TZ", "XYZ-5:30")
    backend = make_backend(isolation=isolation, sandbox=level)
    code = "import time\ndef f(): return time.tzname[0], time.timezone, time.localtime(0).tm_hour"
    assert value(backend, code) == ("XYZ", -19800, 5)


def test_what_libraries_are_set_up_with_reaches_a_call(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    names = ["MPLBACKEND", "NUMBA_NUM_THREADS", "XLA_FLAGS", "HF_HUB_OFFLINE", "CUDA_DEVICE_ORDER"]
    caches = ["MPLCONFIGDIR", "HF_HOME", "TORCH_HOME"]
    for name in (*names, *caches, "HF_TOKEN", "JE_ARROW_MALLOC_CONF"):
        monkeypatch.setenv(name, "1")
    monkeypatch.delenv("JE_ARROW_MALLOC_CONF")
    backend = make_backend(sandbox=level, preload=["json"])
    seen = value(backend, "import os\ndef f(): return dict(os.environ)")
    assert not set(names) - seen.keys()
    assert "HF_TOKEN" not in seen
    assert "JE_ARROW_MALLOC_CONF" not in seen  # the template's own
    # A box cannot reach them, and matplotlib warns of a directory that it cannot use.
    assert set(caches) & seen.keys() == (set(caches) if level == "none" else set())
    assert set(caches) < DEFAULT_ENV_WHITELIST


# Modules.


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


PLAIN = "PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE".split()


@pytest.mark.parametrize("set_", [False, True])
def test_a_module_rewritten_within_a_second_is_the_new_one_and_leaves_no_byte_code(
    make_backend: MakeBackend,
    isolation: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    set_: bool,
) -> None:
    for name in PLAIN if set_ else ():
        monkeypatch.setenv(name, "1")
    backend = make_backend(isolation=isolation)
    modules = tmp_path / "modules"
    code = "import sibling, package.inner\ndef f(): return sibling.X, package.inner.X"
    for n in range(5):
        write(modules / "sibling.py", f"X = {n}\n")
        write(modules / "package/inner.py", f"X = {n}\n")
        assert value(backend, code, python_path=[modules]) == (n, n)
    assert not list(tmp_path.rglob("__pycache__"))


def test_byte_code_is_trusted_where_its_source_is_two_seconds_older(
    make_backend: MakeBackend, isolation: str, tmp_path: Path
) -> None:
    import py_compile

    source = tmp_path / "modules" / "sibling.py"
    write(source, "X = 1\n")
    compiled = py_compile.compile(str(source), doraise=True)
    assert compiled is not None
    write(source, "X = 2\n")
    then = time.time_ns() // 10**9 * 10**9 - 10**10
    os.utime(source, ns=(then, then))
    py_compile.compile(str(source), doraise=True)
    write(source, "X = 3\n")
    os.utime(source, ns=(then, then))
    backend = make_backend(isolation=isolation)
    found = []
    for age in (1_999_999_999, 2_000_000_000):
        os.utime(compiled, ns=(then + age, then + age))
        code = "import sibling\ndef f(): return sibling.X"
        found.append(value(backend, code, python_path=[source.parent]))
    assert found == [3, 2]


def test_modules_of_the_working_directory_leave_no_byte_code_either(
    make_backend: MakeBackend, isolation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "here/beside.py", "X = 1\n")
    monkeypatch.chdir(tmp_path / "here")
    backend = make_backend(isolation=isolation)
    assert value(backend, "import beside\ndef f(): return beside.X") == 1
    assert not list(tmp_path.rglob("__pycache__"))


# Names that plain Python finds on the path before its own library, however early others import it.
SHADOWING = """
    argparse array ast asyncio base64 bisect calendar code collections contextlib copy copyreg csv
    dataclasses datetime decimal email enum fractions functools heapq inspect json keyword linecache
    locale logging numbers operator pathlib pickle queue random re reprlib select selectors signal
    socket statistics string struct subprocess tempfile textwrap threading token tokenize traceback
    types typing unittest uuid warnings weakref
""".split()
NOT_SHADOWING = "abc builtins codecs io os site stat sys time".split()


def test_a_name_of_the_standard_library_in_python_path_comes_first(
    either: LocalBackend, tmp_path: Path
) -> None:
    for name in (*SHADOWING, *NOT_SHADOWING):
        write(tmp_path / name / f"{name}.py", "HERE = 1\n")
    found = {
        name: value(
            either,
            f"import {name}\ndef f(): return getattr({name}, 'HERE', 0)",
            python_path=[tmp_path / name],
        )
        for name in (*SHADOWING, *NOT_SHADOWING)
    }
    assert found == {**dict.fromkeys(SHADOWING, 1), **dict.fromkeys(NOT_SHADOWING, 0)}
    told = value(either, "import json, operator\ndef f(): return json.dumps(operator.add(1, 2))")
    assert told == "3"


@pytest.mark.parametrize("level", ["standard", "strict"])
def test_a_module_that_shadows_one_breaks_neither_values_nor_errors(
    make_backend: MakeBackend, tmp_path: Path, level: str
) -> None:
    if not level_is_there(level):
        pytest.skip("not to be had here")
    for name in ("datetime", "traceback", "linecache", "tempfile", "uuid"):
        write(tmp_path / f"{name}.py", "1 / 0\n")
    backend = make_backend(sandbox=level)
    code = (
        "from _datetime import date\n"
        "def f(x): return [x, date(2000, 1, 1)]\n"
        "def g(): raise ValueError('told')\n"
    )
    today = datetime.datetime(2026, 1, 2)
    got = value(backend, code, today, python_path=[tmp_path])
    assert got == [today, datetime.date(2000, 1, 1)]
    call = WorkerCall(code, "g", python_path=[tmp_path])
    error = backend.submit(call, deadline_s=60).result().error
    assert error is not None
    assert 'File "user_code.py", line 3, in g' in error.stderr


# Each says that it is the user's; the one of `decimal` has the library's names, too.
USERS_OWN = {
    "random": "HERE = 1\n",
    "token": "HERE = 1\n",
    "decimal": "from _decimal import *\nHERE = 1\n",
    "datetime": "HERE = 1\n",
    "traceback": "HERE = 1\n",
    "linecache": "HERE = 1\n",
    "logging": "HERE = 1\n",
    "warnings": "HERE = 1\n",
    "contextlib": "HERE = 1\n",
}


@pytest.mark.parametrize("preloads", [True, False])
@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
def test_a_pools_own_module_named_as_one_of_the_library_is_what_calls_find(
    make_backend: MakeBackend, tmp_path: Path, isolation: str, preloads: bool, level: str
) -> None:
    for name, text in USERS_OWN.items():
        write(tmp_path / "pools" / f"{name}.py", text)
    write(tmp_path / "calls/token.py", "HERE = 2\n")
    write(tmp_path / "calls/heapq.py", "HERE = 2\n")
    setup = f"import {', '.join(USERS_OWN)}\ndef after_fork():\n    import token; token.HERE"
    backend = make_backend(
        isolation=isolation,
        sandbox=level,
        max_workers=1,
        python_path=[tmp_path / "pools"],
        preload=list(USERS_OWN) if preloads else [],
        setup=setup if preloads else None,
    )
    code = f"""
from importlib import import_module
from _datetime import date
from fractions import Fraction
from _decimal import Decimal
def f(x):
    found = {{name: getattr(import_module(name), "HERE", 0) for name in {[*USERS_OWN, "heapq"]}}}
    return found, [x, date(2000, 1, 1), Fraction(1, 3), Decimal("1.5")]
async def coroutine(): return 1
def told(): raise ValueError("told")
def replaces():
    import sys, types
    sys.modules["random"] = sys.modules["bisect"] = types.ModuleType("another")
"""
    today = datetime.datetime(2026, 1, 2)
    carried = [today, datetime.date(2000, 1, 1), Fraction(1, 3), Decimal("1.5")]
    pools = {**dict.fromkeys(USERS_OWN, 1), "heapq": 0}
    paths: list[tuple[list[Path], dict[str, int]]] = [([], pools)]
    if isolation == "fresh" or level == "none":  # a box that is used again takes no call's own
        paths.append(([tmp_path / "calls"], {**pools, "token": 2, "heapq": 2}))
    pids = set()
    for _ in range(3):
        for path, found in paths:

            def run(name: str, *args: object) -> WorkerResult:
                call = WorkerCall(code, name, args=list(args), python_path=path)  # noqa: B023
                return backend.submit(call, deadline_s=60).result()

            result = run("f", today)
            assert result.unwrap() == (found, carried)
            assert result.metrics is not None
            pids.add(result.metrics.worker_pid)
            error = run("told").error
            assert error is not None
            assert "\nValueError: told\n" in error.stderr
            assert 'raise ValueError("told")' in error.stderr
            assert run("coroutine").unwrap() == 1
            assert run("replaces").unwrap() is None
    assert isolation == "fresh" or len(pids) == 1


ALIASES = """
import os, sys, types
def f(n):
    seen = [name for name in sys.modules if "own" in name]
    sys.modules[f"own{n}"] = os
    sys.modules[f"os.own{n}"] = os
    sys.modules[f"json.own{n}"] = types.ModuleType(f"json.own{n}")
    sys.modules[f"own{n}.own"] = types.ModuleType("own")
    made = types.ModuleType(f"madeown{n}")
    made.__spec__ = types.SimpleNamespace(name=made.__name__, origin="built-in")
    sys.modules[made.__name__] = made
    return seen, os.getpid()
"""


def test_a_reused_worker_keeps_no_module_under_a_name_of_a_calls_own(
    make_backend: MakeBackend,
) -> None:
    backend = make_backend(isolation="reuse", max_workers=1, preload=["json"])
    told = [value(backend, ALIASES, n) for n in range(5)]
    assert [seen for seen, _ in told] == [[]] * 5
    assert len({pid for _, pid in told}) == 1


def test_a_reused_worker_keeps_no_part_of_a_package_that_shadows_one(
    make_backend: MakeBackend, tmp_path: Path
) -> None:
    write(tmp_path / "json/__init__.py", "")
    write(tmp_path / "json/own.py", "X = 1\n")
    backend = make_backend(isolation="reuse", max_workers=1, preload=["json"])
    code = "import json.own\ndef f(): return json.own.X"
    assert value(backend, code, python_path=[tmp_path]) == 1
    code = "import json, sys\ndef f(): return json.dumps(1), 'json.own' in sys.modules"
    assert value(backend, code) == ("1", False)


# The source's file.

FILE = """
import inspect, os, sys
def g(): pass
def f():
    here = os.path.dirname(__file__)
    with open(__file__, encoding="utf-8") as file:
        text = file.read()
    frame = inspect.currentframe()
    return [text, os.path.basename(__file__), __file__ == g.__code__.co_filename, os.listdir(here),
            here in sys.path, inspect.getsource(g), inspect.getmodule(frame).__name__,
            inspect.getsourcefile(g) == __file__, __spec__.origin == __file__, os.listdir(".")]
"""


@pytest.mark.parametrize("isolation", MODES)
def test_the_source_is_in_a_file_of_its_own(
    make_backend: MakeBackend,
    level: str,
    isolation: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    backend = make_backend(sandbox=level, isolation=isolation, max_workers=1)
    for n in range(3):  # each has another length than the one before
        code = f"# é {'#' * (7 * n % 5)}" + FILE
        assert value(backend, code) == [
            *(code, "user_code.py", True, ["user_code.py"], True, "def g(): pass\n"),
            *("user_code", True, True, []),
        ]
        assert value(backend, code)[0] == code


def test_a_source_that_declares_its_encoding_is_written_in_it(either: LocalBackend) -> None:
    code = "# -*- coding: latin-1 -*-\nX = 'é'\ndef f(): return open(__file__, 'rb').read()\n"
    assert value(either, code) == code.encode("latin-1")
    unknown = code.replace("latin-1", "nonesuch")
    assert value(either, unknown) == unknown.encode()


def test_what_a_call_does_to_the_file_and_beside_it_the_next_does_not_see(
    make_backend: MakeBackend, isolation: str
) -> None:
    backend = make_backend(isolation=isolation, max_workers=1)
    code = """
import os, pathlib
def f():
    here = pathlib.Path(__file__)
    seen = sorted(os.listdir(here.parent)), here.read_text().count("changed")
    here.write_text("changed" * 1000)
    (here.parent / "__pycache__").mkdir(exist_ok=True)
    (here.parent / "__pycache__" / "left").write_text("")
    (here.parent / "left").symlink_to("/")
    return seen
"""
    for n in range(6):
        assert value(backend, code + f"# {n // 3}\n") == (["user_code.py"], 2)


def test_a_file_that_is_replaced_by_something_else_hurts_nobody(
    make_backend: MakeBackend, isolation: str, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("precious")
    backend = make_backend(isolation=isolation, max_workers=1)
    for spoil in (
        f"os.unlink(__file__); os.symlink({str(tmp_path / 'precious')!r}, __file__)",
        "os.unlink(__file__); os.mkdir(__file__)",
        "os.unlink(__file__)",
        "os.chmod(__file__, 0)",
        "import shutil; shutil.rmtree(os.path.dirname(__file__))",
    ):
        assert value(backend, f"import os\ndef f(): {spoil}") is None
        assert value(backend, "def f(): return 1") == 1
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("isolation", MODES)
def test_neighbours_have_each_the_file_of_their_own_source(
    make_backend: MakeBackend, isolation: str
) -> None:
    backend = make_backend(isolation=isolation, max_workers=4)
    code = "def f():\n    with open(__file__) as file: return file.read()\n"
    calls = [WorkerCall(code + f"# {n}\n", "f") for n in range(40)]
    futures = [backend.submit(call, deadline_s=60) for call in calls]
    assert [future.result().unwrap() for future in futures] == [call.code for call in calls]


POOLS = {
    "spawn": "from multiprocessing import get_context\n"
    "def f():\n    with get_context('spawn').Pool(2) as pool: return pool.map(g, range(4))\n",
    "forkserver": "from multiprocessing import get_context\n"
    "def f():\n    with get_context('forkserver').Pool(2) as pool: return pool.map(g, range(4))\n",
    "futures": "import concurrent.futures, multiprocessing\n"
    "def f():\n    context = multiprocessing.get_context('spawn')\n"
    "    with concurrent.futures.ProcessPoolExecutor(2, context) as pool:\n"
    "        return list(pool.map(g, range(4)))\n",
    "subprocess": "import subprocess, sys\n"
    "def f():\n    code = 'import sys; sys.path[:0] = [sys.argv[1]]; import user_code as u;'\n"
    "    code += 'print([u.g(x) for x in range(4)])'\n"
    "    told = subprocess.run([sys.executable, '-c', code, __file__.rpartition('/')[0]],\n"
    "                          capture_output=True)\n"
    "    return eval(told.stdout)\n",
}


@pytest.mark.parametrize("way", POOLS)
def test_processes_that_are_no_forks_reach_the_functions_of_the_source(
    make_backend: MakeBackend, isolation: str, way: str
) -> None:
    backend = make_backend(isolation=isolation, max_workers=1)
    for n in (3, 4):  # of equal length, within a second
        code = f"def g(x): return x * {n}\n" + POOLS[way]
        assert value(backend, code) == [0, n, 2 * n, 3 * n]


@pytest.mark.parametrize("boxed", ["standard", "strict"])
def test_a_process_of_a_boxed_call_imports_its_source(
    make_backend: MakeBackend, isolation: str, boxed: str
) -> None:
    if not level_is_there(boxed):
        pytest.skip("not to be had here")
    backend = make_backend(isolation=isolation, sandbox=boxed, max_workers=1)
    for n in (3, 4):
        code = f"def g(x): return x * {n}\n" + POOLS["subprocess"]
        assert value(backend, code) == [0, n, 2 * n, 3 * n]


def test_a_stack_and_a_chain_name_the_file_alone(either: LocalBackend) -> None:
    hangs = WorkerCall("def f():\n    while True: pass\n", "f")
    *_, result = answers(lambda: either.submit(hangs, deadline_s=0.3).result())
    assert result.error is not None
    assert result.error.stack.count('File "user_code.py", line 2 in f\n') == 1
    told = text(
        either, "def f():\n    try: 1 / 0\n    except Exception as e: raise KeyError from e\n"
    )
    assert told.count('File "user_code.py", line') == 2
    assert ".pinfold-box-" not in told
