# SPDX-License-Identifier: Apache-2.0
"""Features that real projects need: methods, their own modules, names, directories."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from boxes import level_is_there
from conftest import MakeBackend
from pinfold import (
    ConfigTypeError,
    ExecRunnerError,
    InvalidCall,
    InvalidConfig,
    Limits,
    LocalBackend,
    WorkerCall,
    WorkerConfig,
)
from programs import call

pytestmark = pytest.mark.extension

# Without a box, and in each box.
HELD = [
    pytest.param(isolation, sandbox, id=f"{isolation}-{sandbox}", marks=mark)
    for isolation in ("fresh", "reuse", "spawn")
    for sandbox in ("none", "standard", "strict")
    for mark in [
        pytest.mark.skipif(
            sandbox != "none" and not level_is_there(sandbox), reason="not to be had here"
        )
    ]
]
held = pytest.mark.parametrize(("isolation", "sandbox"), HELD)


@pytest.fixture
def pool(make_backend: MakeBackend, isolation: str) -> LocalBackend:
    return make_backend(isolation=isolation, max_workers=1)


# ---- methods ------------------------------------------------------------------------------------

METHODS = """
import functools

class Solution:
    made = 0
    limit = 5

    def __init__(self):
        Solution.made += 1
        self.base = 10

    def add(self, n):
        return self.base + n

    async def later(self, n):
        return self.base + n

    @staticmethod
    def twice(n):
        return 2 * n

    @classmethod
    def name(cls, n):
        return [cls.__name__, n]

    @property
    def bound(self):
        return self.add

    partial = functools.partialmethod(add, 1)

    class Inner:
        def __call__(self, n):
            return -n

        def deep(self, n):
            return n + 100

    held = Inner()

class Derived(Solution):
    pass

class Needy:
    def __init__(self, what):
        pass

    def run(self):
        pass

solver = Solution()
solver.own = lambda n: n + 1
"""


@pytest.mark.parametrize(
    ("name", "args", "value"),
    [
        ("Solution.add", [1], 11),
        ("Solution.later", [1], 11),
        ("Solution.twice", [4], 8),
        ("Solution.name", [4], ["Solution", 4]),
        ("Solution.bound", [2], 12),
        ("Solution.partial", [], 11),
        ("Solution.held", [3], -3),
        ("Solution.Inner.deep", [1], 101),
        ("Derived.add", [1], 11),
        ("Derived.name", [1], ["Derived", 1]),
        ("solver.add", [5], 15),
        ("solver.own", [5], 6),
        ("solver.held.deep", [5], 105),
        ("dict.fromkeys", [[1]], {1: None}),
        ("functools.reduce", [], None),
    ],
)
def test_a_dotted_name_is_a_method(pool: LocalBackend, name: str, args: Any, value: Any) -> None:
    if name == "functools.reduce":
        code = METHODS + "functools.reduce = lambda: None"
    else:
        code = METHODS + "dict = dict"
    for _ in range(2):
        assert pool.submit(WorkerCall(code, name, args=args)).result().unwrap() == value


def test_an_instance_is_made_for_each_call_of_a_plain_method(pool: LocalBackend) -> None:
    code = METHODS.replace("return self.base + n", "return Solution.made", 1)
    for name, made in (("Solution.add", 2), ("solver.add", 1)):
        assert pool.submit(WorkerCall(code, name, args=[1])).result().unwrap() == made


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Solution.metod", "Class 'Solution' has no 'metod'"),
        ("Solutoin.add", "The source has no 'Solutoin'"),
        ("Solution.Iner.deep", "Class 'Solution' has no 'Iner'"),
        ("Solution.Inner.dep", "Class 'Inner' has no 'dep'"),
        ("solver.solve", "Object 'solver' has no 'solve'"),
        ("Solution.limit", "'Solution.limit' not callable: it is of type 'int'"),
    ],
)
def test_what_a_dotted_name_lacks_is_told(pool: LocalBackend, name: str, told: str) -> None:
    result = pool.submit(WorkerCall(METHODS, name)).result()
    assert (result.outcome, result.error.type) == ("exception", "AttributeError")
    assert told in result.error.message
    assert f"Function '{name}' not" in result.error.message
    with pytest.raises(ExecRunnerError, match=f"'{name}'"):
        result.unwrap()


def test_a_class_that_needs_arguments_is_told(pool: LocalBackend) -> None:
    result = pool.submit(WorkerCall(METHODS, "Needy.run")).result()
    assert (result.outcome, result.error.type) == ("exception", "TypeError")
    assert "'what'" in result.error.message


@pytest.mark.parametrize("name", [".", "a.", ".a", "a..b"])
def test_a_name_without_a_part_is_refused_at_once(name: str) -> None:
    with pytest.raises(InvalidCall, match="function_name"):
        WorkerCall("", name)


# ---- how a call ended ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "returncode"),
    [
        ("SystemExit(3)", 3),
        ("SystemExit(0)", 1),
        ("SystemExit()", 1),
        ("SystemExit(256)", 1),
        ("SystemExit(259)", 3),
        ("SystemExit(-1)", 255),
        ("SystemExit(2**100)", 255),
        ("SystemExit(type('I', (int,), {})(7))", 7),
        ("SystemExit('why')", 1),
        ("KeyboardInterrupt()", -signal.SIGINT),
        ("ValueError()", 1),
    ],
)
def test_the_returncode_is_the_exit_status_but_never_0(
    pool: LocalBackend, raised: str, returncode: int
) -> None:
    result = pool.submit(call(f"raise {raised}")).result()
    assert (result.outcome, result.error.returncode) == ("exception", returncode)
    with pytest.raises(ExecRunnerError) as caught:
        result.unwrap()
    assert caught.value.returncode == returncode


def test_an_interrupt_that_the_program_sends_itself_is_one(pool: LocalBackend) -> None:
    result = pool.submit(call("import signal\nsignal.raise_signal(signal.SIGINT)")).result()
    assert (result.outcome, result.error.type) == ("exception", "KeyboardInterrupt")
    assert (result.error.returncode, result.error.signal) == (-signal.SIGINT, None)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("def f():\n    g()\n\ndef g():\n    raise ValueError\n", 5),
        ("import json\ndef f():\n    json.loads('{')\n", 3),
        ("x = 1\n1 / 0\n", 2),
        ("def f(:\n    pass\n", 1),
        ("def g(): pass\n", None),
        ("def f():\n    return object()\n", None),
        ("import time\ndef f():\n    time.sleep(60)\n", 3),
        ("import ctypes\ndef f():\n    ctypes.string_at(0)\n", 3),
        ("import os\ndef f():\n    os._exit(3)\n", None),
    ],
)
def test_the_line_at_which_it_failed_is_told(
    pool: LocalBackend, code: str, line: int | None
) -> None:
    limits = Limits(wall_s=0.5) if "sleep" in code else None
    result = pool.submit(WorkerCall(code, "f", limits=limits)).result()
    assert not result.ok
    assert result.error.line == line


# ---- output -------------------------------------------------------------------------------------


def test_output_is_cut_at_characters(pool: LocalBackend) -> None:
    body = "import sys\nprint(args[0] * 5000, end='')\nprint(args[0] * 5000, file=sys.stderr)"
    for text in ("é", "€", "🐑", "aé🐑"):
        for most in (100, 101, 102, 103, 9_001):
            limits = Limits(output_bytes=most)
            result = pool.submit(call(body, text, limits=limits)).result()
            assert result.ok
            for told, cut in (
                (result.stdout, result.stdout_truncated),
                (result.stderr, result.stderr_truncated),
            ):
                assert cut
                assert "\\x" not in told
                assert most - 10 <= len(told.encode()) <= most
                head, mark, tail = told.rstrip("\n").split("\n")
                left_out = int(mark.split()[1])
                assert head
                assert text[-1:] in tail
                kept = len(told.encode()) - len(mark) - 2
                whole = 5000 * len(text.encode()) + (told is result.stderr)
                assert kept + left_out == whole


# ---- places and names ---------------------------------------------------------------------------


@held
def test_a_call_works_in_the_callers_directory_or_in_one_of_its_own(
    make_backend: MakeBackend,
    isolation: str,
    sandbox: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a box, calls work in the directory that the caller had when it made the backend: they
    read data there, and their files stay. In a box each call has an empty directory."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "data").write_text("7")
    monkeypatch.chdir(tmp_path / "work")
    backend = make_backend(isolation=isolation, sandbox=sandbox, max_workers=1)
    monkeypatch.chdir("/")
    body = """
import os
found = sorted(os.listdir())
open("left", "w").close()
return os.getcwd(), found
"""
    results = [backend.submit(call(body)).result().unwrap() for _ in range(2)]
    if sandbox == "none":
        here = str(tmp_path / "work")
        assert results == [(here, ["data"]), (here, ["data", "left"])]
        if isolation == "fresh":
            os.kill(backend.stats().template_pid, signal.SIGKILL)
            while (again := backend.submit(call(body)).result()).outcome == "lost":
                continue
            assert again.unwrap()[0] == here
    else:
        assert [found for _, found in results] == [[], []]
        assert not (tmp_path / "work" / "left").exists()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a directory with a project's package."""
    package = tmp_path / "project" / "our_package_of_the_test"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import os\nPID = os.getpid()\n")
    (package / "part.py").write_text("N = 1\n")
    return package.parent


@held
def test_a_project_on_the_python_path_is_preloaded_and_there_for_every_call(
    make_backend: MakeBackend, isolation: str, sandbox: str, project: Path
) -> None:
    backend = make_backend(
        isolation=isolation,
        sandbox=sandbox,
        max_workers=1,
        python_path=[project, project],
        preload=["our_package_of_the_test"],
        setup="from our_package_of_the_test.part import N",
    )
    body = """
import sys
import pinfold_setup
from our_package_of_the_test import PID
from our_package_of_the_test.part import N
import our_package_of_the_test.part as part
return sys.path[:2], N + pinfold_setup.N, PID
"""
    for _ in range(2):
        result = backend.submit(call(body)).result()
        path, sum_, pid = result.unwrap()
        assert (path, sum_) == ([str(project), ""], 2)
        forked = isolation != "spawn"
        if sandbox != "strict":
            assert pid == (backend.stats().template_pid if forked else result.metrics.worker_pid)


def test_a_calls_own_python_path_comes_before_the_pools(
    make_backend: MakeBackend, isolation: str, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "own" / "our_package_of_the_test").mkdir(parents=True)
    (tmp_path / "own" / "our_package_of_the_test" / "__init__.py").write_text("PID = 'own'\n")
    backend = make_backend(
        isolation=isolation,
        max_workers=1,
        python_path=(str(project),),
        preload=["our_package_of_the_test"],
    )
    body = "import our_package_of_the_test as m, sys\nreturn m.PID, sys.path[:3]"
    own = str(tmp_path / "own")
    for _ in range(2):
        result = backend.submit(call(body, python_path=[own])).result()
        assert result.unwrap() == ("own", [own, str(project), ""])
        pid, path = backend.submit(call(body)).result().unwrap()
        assert isinstance(pid, int)
        assert path[:2] == [str(project), ""]


def test_what_preloads_find_first_on_the_python_path_is_not_what_a_pool_is_made_of(
    make_backend: MakeBackend, isolation: str, tmp_path: Path
) -> None:
    for name in ("cbor2", "cloudpickle", "pinfold"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError({name!r})")
    (tmp_path / "mine.py").write_text("N = 3\n")
    backend = make_backend(isolation=isolation, python_path=[tmp_path])
    for codec in ("data", "pickle"):
        found = backend.submit(WorkerCall("import mine\ndef f(): return mine.N", "f", codec=codec))  # type: ignore[arg-type]
        assert found.result().unwrap() == 3


def test_a_relative_python_path_means_what_it_did_when_the_backend_was_made(
    make_backend: MakeBackend, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.parent)
    backend = make_backend(python_path=[project.name])
    monkeypatch.chdir("/")
    body = "from our_package_of_the_test.part import N\nreturn N"
    assert backend.submit(call(body)).result().unwrap() == 1


@pytest.mark.parametrize("path", [[""], ["a\0b"]])
def test_a_python_path_that_cannot_work_is_refused_at_once(path: Any) -> None:
    with pytest.raises(InvalidConfig, match="python_path"):
        WorkerConfig(python_path=path)


@pytest.mark.parametrize("path", ["/tmp", b"/tmp", 3, None, [3], [b"/tmp"], {"/tmp"}])
def test_a_python_path_of_the_wrong_type_is_refused_at_once(path: Any) -> None:
    with pytest.raises(ConfigTypeError, match="python_path"):
        WorkerConfig(python_path=path)


IDENTITY = "import os\nreturn [os.environ.get(name) for name in args]"
NAMES = ["OUR_WORKER", "OUR_NODE", "PINFOLD_WORKER_ID", "PINFOLD_NODE_ID"]


@pytest.mark.parametrize("mode", ["fresh", "reuse", "spawn"])
def test_a_worker_finds_itself_under_the_names_that_the_config_gives(
    make_backend: MakeBackend, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOKY_WORKER", "the caller's")
    for names, found in (
        (("OUR_WORKER", "OUR_NODE"), ["id", "n", None, None]),
        (["LOKY_WORKER", "OUR_NODE"], [None, "n", None, None]),
        (None, [None] * 4),
        ((), [None] * 4),
        (("PINFOLD_WORKER_ID", "PINFOLD_NODE_ID"), [None, None, "id", "n"]),
    ):
        backend = make_backend(isolation=mode, max_workers=1, node_id="n", identity_env=names)
        for _ in range(2):
            result = backend.submit(call(IDENTITY, *NAMES, "LOKY_WORKER")).result()
            *told, theirs = result.unwrap()
            assert told == [result.metrics.worker_id if name == "id" else name for name in found]
            assert theirs == (
                result.metrics.worker_id if names and names[0] == "LOKY_WORKER" else "the caller's"
            )
        backend.close()


@pytest.mark.parametrize(
    "names", [("A",), ("A", "B", "C"), ("A", "A"), ("A", "B=C"), ("A", ""), ("A", "B\0")]
)
def test_names_that_a_worker_cannot_have_are_refused_at_once(names: Any) -> None:
    with pytest.raises(InvalidConfig, match="identity_env"):
        WorkerConfig(identity_env=names)
    config = WorkerConfig(identity_env=["A", "B"])
    assert config.identity_env == ("A", "B")
    assert hash(dataclasses.replace(config, identity_env=None)) != hash(config)


@pytest.mark.parametrize("names", ["AB", b"AB", 3, ("A", 3), ("A", None)])
def test_names_of_the_wrong_type_are_refused_at_once(names: Any) -> None:
    with pytest.raises(ConfigTypeError, match="identity_env"):
        WorkerConfig(identity_env=names)
