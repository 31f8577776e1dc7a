# SPDX-License-Identifier: Apache-2.0
"""The search path of a candidate's imports, and the modules that the next call still sees."""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from executing import OK, Process

IMPORT_HELPER = "import helper\ndef f(): return [helper.x, helper.__file__]"


@pytest.fixture(params=["fresh", "reuse"])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Process]:
    (tmp_path / "cwd").mkdir()
    with Process(request.param, tmp_path / "cwd") as process:
        yield process


@pytest.fixture
def reused(tmp_path: Path) -> Iterator[Process]:
    (tmp_path / "cwd").mkdir()
    with Process("reuse", tmp_path / "cwd") as process:
        yield process


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_entries_come_first_in_order_resolved_and_once(worker: Process, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("b")
    entries = [
        tmp_path / "link",
        tmp_path / "a" / ".." / "a",
        tmp_path / "b",
        "../a",
    ]
    answer = worker.call("import sys\ndef f(): return sys.path", python_path=entries)
    assert answer.value[:3] == [str(tmp_path / "b"), str(tmp_path / "a"), ""]
    assert [answer.value.count(entry) for entry in answer.value[:3]] == [1, 1, 1]


def test_an_entry_that_was_on_the_path_moves_to_the_front(worker: Process) -> None:
    standard = sysconfig.get_path("stdlib")
    answer = worker.call("import sys\ndef f(): return sys.path", python_path=[standard])
    assert answer.value[0] == standard
    assert answer.value.count(standard) == 1


def test_the_working_directory_is_importable_and_after_the_entries(
    worker: Process, tmp_path: Path
) -> None:
    write(tmp_path / "cwd" / "helper.py", "x = 'cwd'")
    write(tmp_path / "cwd" / "other.py", "x = 'cwd'")
    write(tmp_path / "a" / "helper.py", "x = 'a'")
    code = "import helper, other\ndef f(): return [helper.x, other.x]"
    assert worker.call(code, python_path=[tmp_path / "a"]).value == ["a", "cwd"]


def test_a_removed_working_directory_is_no_obstacle(worker: Process, tmp_path: Path) -> None:
    assert worker.call("def f(): return 1").value == 1
    (tmp_path / "cwd" / "printed").unlink()
    (tmp_path / "cwd").rmdir()
    assert worker.call("def f(): return 2").value == 2


def test_an_entry_that_does_not_exist_is_no_obstacle(worker: Process, tmp_path: Path) -> None:
    answer = worker.call("def f(): return 1", python_path=[tmp_path / "none", tmp_path / "x.zip"])
    assert answer.value == 1


def test_a_module_of_the_path_is_executed_by_its_call_only(reused: Process, tmp_path: Path) -> None:
    write(tmp_path / "a" / "helper.py", "x = 'a'")
    write(tmp_path / "b" / "helper.py", "x = 'b'")
    for name in "abab":
        answer = reused.call(IMPORT_HELPER, python_path=[tmp_path / name])
        assert answer.value == [name, str(tmp_path / name / "helper.py")]
        assert not answer.retires
    assert "ModuleNotFoundError" in reused.call(IMPORT_HELPER).text


def test_a_package_goes_with_its_submodules(reused: Process, tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / name / "pack" / "__init__.py", "")
        write(tmp_path / name / "pack" / "deep" / "__init__.py", "")
        write(tmp_path / name / "pack" / "deep" / "leaf.py", f"x = {name!r}")
    code = "import pack.deep.leaf\ndef f(): return pack.deep.leaf.x"
    assert [reused.call(code, python_path=[tmp_path / name]).value for name in "aba"] == [*"aba"]


def test_a_namespace_package_of_the_path_goes(reused: Process, tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / name / "space" / "leaf.py", f"x = {name!r}")
    code = "import space.leaf\ndef f(): return space.leaf.x"
    assert [reused.call(code, python_path=[tmp_path / name]).value for name in "aba"] == [*"aba"]


def test_a_module_of_the_working_directory_goes(reused: Process, tmp_path: Path) -> None:
    write(tmp_path / "cwd" / "helper.py", "x = 1")
    assert reused.call(IMPORT_HELPER).value[0] == 1
    os.utime(write(tmp_path / "cwd" / "helper.py", "x = 2_000"), (10, 10))
    assert reused.call(IMPORT_HELPER).value[0] == 2000


def test_a_module_written_just_before_the_call_is_found(reused: Process, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for number in range(20):
        write(tmp_path / "a" / f"helper{number}.py", f"x = {number}")
        code = f"import helper{number} as h\ndef f(): return h.x"
        assert reused.call(code, python_path=[tmp_path / "a"]).value == number


@pytest.mark.parametrize("kind", ["module", "package"])
def test_an_installed_module_gives_way_to_the_path_and_comes_back(
    worker: Process, tmp_path: Path, kind: str
) -> None:
    code = "import iniconfig\ndef f(): return getattr(iniconfig, 'mine', None)"
    if kind == "module":
        write(tmp_path / "a" / "iniconfig.py", "mine = 1")
    else:
        write(tmp_path / "a" / "iniconfig" / "__init__.py", "mine = 1")
    assert worker.call(code).value is None
    assert worker.call(code, python_path=[tmp_path / "a"]).value == 1


def test_it_comes_back_with_its_submodules(reused: Process, tmp_path: Path) -> None:
    write(tmp_path / "a" / "iniconfig.py", "mine = 1")
    first = "import iniconfig._parse, sys\ndef f(): return id(sys.modules['iniconfig._parse'])"
    shadowing = "import iniconfig, sys\ndef f(): return 'iniconfig._parse' in sys.modules"
    kept = reused.call(first).value
    answer = reused.call(shadowing, python_path=[tmp_path / "a"])
    assert (answer.value, answer.retires) == (False, False)
    assert reused.call(first).value == kept


def test_a_plain_directory_of_that_name_does_not_shadow(worker: Process, tmp_path: Path) -> None:
    (tmp_path / "a" / "iniconfig").mkdir(parents=True)
    code = "import iniconfig\ndef f(): return iniconfig.__file__ is not None"
    assert worker.call(code).value is True
    assert worker.call(code, python_path=[tmp_path / "a"]).value is True


@pytest.mark.parametrize("name", ["os", "pinfold", "cbor2", "cloudpickle", "sys"])
def test_the_runtime_and_what_every_interpreter_has_never_give_way(
    worker: Process, tmp_path: Path, name: str
) -> None:
    write(tmp_path / "a" / f"{name}.py", "mine = 1")
    code = f"import {name}\ndef f(): return hasattr({name}, 'mine')"
    worker.call(f"import {name}\ndef f(): pass", codec="pickle")
    assert worker.call(code, python_path=[tmp_path / "a"], codec="pickle").value is False
    assert worker.call("def f(x): return [x]", args=[1], codec="pickle").value == [1]


def test_an_installed_module_found_through_the_path_does_not_stay(
    reused: Process, tmp_path: Path
) -> None:
    # Modules of a call's own path belong to the call, even if sys.path has the directory, too.
    standard = sysconfig.get_path("stdlib")
    code = "import wave, sys\ndef f(): return wave.__file__.startswith(sys.path[0])"
    assert reused.call(code, python_path=[standard]).status == OK
    assert reused.probe("'wave' in sys.modules") is False


def test_a_candidates_own_finder_does_not_stay(reused: Process) -> None:
    code = (
        "import importlib.abc, importlib.util, sys\n"
        "class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'invented': return importlib.util.spec_from_loader(name, self)\n"
        "    def create_module(self, spec): return None\n"
        "    def exec_module(self, module): module.x = 1\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import invented\n"
        "def f(): return invented.x\n"
    )
    answer = reused.call(code)
    assert (answer.value, answer.retires) == (1, False)
    assert reused.probe("'invented' in sys.modules") is False


def test_an_extension_module_of_the_path_retires_the_worker(
    reused: Process, tmp_path: Path
) -> None:
    spec = importlib.util.find_spec("_lsprof")
    if spec is None or not spec.has_location or spec.origin is None:
        pytest.skip("this interpreter has no such extension module to copy")
    target = tmp_path / "a" / Path(spec.origin).name
    target.parent.mkdir()
    target.write_bytes(Path(spec.origin).read_bytes())
    code = "import _lsprof\ndef f(): return _lsprof.__file__"
    answer = reused.call(code, python_path=[tmp_path / "a"])
    assert (answer.value, answer.retires) == (str(target), True)


def test_path_entries_do_not_pile_up(reused: Process, tmp_path: Path) -> None:
    sizes = "[len(sys.path), len(sys.path_importer_cache), len(sys.modules)]"
    reused.call("def f(): pass")
    before = reused.probe(sizes)
    for number in range(30):
        write(tmp_path / str(number) / "helper.py", f"x = {number}")
        assert reused.call(IMPORT_HELPER, python_path=[tmp_path / str(number)]).value[0] == number
    assert reused.probe(sizes) == before


def test_the_candidates_path_is_seen_by_its_children(worker: Process, tmp_path: Path) -> None:
    # A forked child has the process's own path; PYTHONPATH does not carry it.
    write(tmp_path / "a" / "helper.py", "x = 5")
    code = (
        "import multiprocessing\n"
        "def g(queue):\n"
        "    import helper\n"
        "    queue.put(helper.x)\n"
        "def f():\n"
        "    context = multiprocessing.get_context('fork')\n"
        "    queue = context.SimpleQueue()\n"
        "    child = context.Process(target=g, args=(queue,))\n"
        "    child.start()\n"
        "    value = queue.get()\n"
        "    child.join()\n"
        "    return value\n"
    )
    assert worker.call(code, python_path=[tmp_path / "a"]).value == 5


def test_this_interpreter_is_the_workers(worker: Process) -> None:
    version = worker.call("import sys\ndef f(): return list(sys.version_info[:3])").value
    assert version == list(sys.version_info[:3])
