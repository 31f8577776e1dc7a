# SPDX-License-Identifier: Apache-2.0
"""One call in a worker: its module, its arguments, its value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from executing import BAD, EXCEPTION, INTERNAL, OK, TOO_LARGE, Process


@pytest.fixture(params=["fresh", "reuse"])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Process]:
    with Process(request.param, tmp_path) as process:
        yield process


def test_a_function_is_called_with_args_and_kwargs(worker: Process) -> None:
    code = "def f(a, *rest, k, **more): return [a, list(rest), k, more]"
    answer = worker.call(code, args=[1, 2, 3], kwargs={"k": 4, "z": 5})
    assert (answer.status, answer.value) == (OK, [1, [2, 3], 4, {"z": 5}])


def test_the_source_is_the_module_user_code_in_sys_modules(worker: Process) -> None:
    code = (
        '"""Doc."""\n'
        "import sys\n"
        "def f():\n"
        "    m = sys.modules['user_code']\n"
        "    return [m is sys.modules[__name__], __name__, __file__, __package__, __doc__,\n"
        "            vars(m) is globals(), __spec__.name, __spec__.origin,\n"
        "            __spec__.loader is __loader__]\n"
    )
    assert worker.call(code).value == [
        True, "user_code", "user_code.py", "", "Doc.", True, "user_code", "user_code.py", True,
    ]  # fmt: skip


def test_the_source_can_import_itself(worker: Process) -> None:
    assert worker.call("import user_code\nx = 3\ndef f(): return user_code.x").value == 3


def test_the_sources_lines_are_known_to_linecache_and_inspect(worker: Process) -> None:
    code = (
        "import inspect, linecache\n"
        "class A:\n"
        "    x = 1\n"
        "def f(clear):\n"
        "    if clear:\n"
        "        linecache.clearcache()\n"
        "    return [linecache.getline('user_code.py', 3, globals()), inspect.getsource(A),\n"
        "            inspect.getsource(g), inspect.getsourcefile(g)]\n"
        "def g(): pass\n"
    )
    expected = ["    x = 1\n", "class A:\n    x = 1\n", "def g(): pass\n", "user_code.py"]
    assert worker.call(code, args=[False]).value == expected


def test_inspect_finds_the_source_when_linecache_was_cleared(worker: Process) -> None:
    code = (
        "import inspect, linecache\n"
        "def f():\n"
        "    linecache.clearcache()\n"
        "    return inspect.getsource(g)\n"
        "def g(): pass\n"
    )
    assert worker.call(code).value == "def g(): pass\n"


def test_a_file_of_that_name_in_the_working_directory_is_not_taken_for_the_source(
    worker: Process, tmp_path: Path
) -> None:
    (tmp_path / "user_code.py").write_text("# another\n# file\n")
    answer = worker.call("def f():\n    return 1 / 0  # the source\n")
    assert "return 1 / 0  # the source" in answer.text
    assert "another" not in answer.text


def test_dataclasses_type_hints_and_enums_of_the_source_work(worker: Process) -> None:
    code = (
        "from __future__ import annotations\n"
        "import dataclasses, enum, typing\n"
        "@dataclasses.dataclass\n"
        "class P:\n"
        "    x: int\n"
        "    y: list[P]\n"
        "class E(enum.Enum):\n"
        "    A = 1\n"
        "def f():\n"
        "    hints = typing.get_type_hints(P)\n"
        "    return [dataclasses.asdict(P(1, [])), hints['y'].__args__[0] is P, E['A'].value]\n"
    )
    assert worker.call(code).value == [{"x": 1, "y": []}, True, 1]


def test_a_future_import_in_the_source_holds_and_ours_do_not(worker: Process) -> None:
    ours = "def g(x: int): pass\ndef f(): return g.__annotations__['x'] is int"
    assert worker.call(ours).value is True


def test_a_future_import_in_the_source_works(worker: Process) -> None:
    code = "from __future__ import annotations\ndef g(x: int): pass\n"
    assert worker.call(code + "def f(): return g.__annotations__['x']").value == "int"


def test_a_coroutine_is_run_to_its_end(worker: Process) -> None:
    code = "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x + 1\n"
    assert worker.call(code, args=[1]).value == 2


def test_classes_and_functions_of_the_source_travel_by_value(worker: Process) -> None:
    code = (
        "class Node:\n"
        "    def __init__(self, x): self.x = x\n"
        "    def double(self): return helper(self.x)\n"
        "def helper(x): return 2 * x\n"
        "def f(): return [Node(4), helper, lambda: helper(1)]\n"
    )
    answer = worker.call(code, codec="pickle")
    node, helper, closure = answer.value
    assert (node.double(), helper(3), closure()) == (8, 6, 2)
    assert type(node).__module__ == "user_code"


def test_what_came_back_by_value_can_be_an_argument(worker: Process, tmp_path: Path) -> None:
    code = "class Node:\n    x = 5\ndef f(node=None): return Node() if node is None else node.x\n"
    with Process("fresh", tmp_path) as other:
        node = other.call(code, codec="pickle").value
    assert worker.call(code, args=[node], codec="pickle").value == 5


def test_an_argument_is_read_after_the_path_and_the_source_are_there(
    worker: Process, tmp_path: Path
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "lib_of_the_call.py").write_text("class A: pass\n")
    stream = b"clib_of_the_call\nA\n."  # protocol 0: a global by name
    head = _head("def f(x): return x.__name__", "pickle", [str(tmp_path / "lib")])
    answer = worker.run([*head, b"(l(l" + stream[:-1] + b"aa(da."], "pickle")
    assert answer.value == "A", answer


def test_env_is_set_and_unset_for_the_call(worker: Process) -> None:
    code = (
        "import os, subprocess, sys\n"
        "def f():\n"
        '    show = \'import os; print(os.environ.get("A"), os.environ.get("HOME"))\'\n'
        "    child = subprocess.run([sys.executable, '-c', show], capture_output=True, text=True)\n"
        "    return [os.environ.get('A'), os.getenv('HOME'), child.stdout]\n"
    )
    answer = worker.call(code, env={"A": "b=c", "HOME": None})
    assert answer.value == ["b=c", None, "b=c None\n"]


def test_a_time_zone_in_env_is_in_effect(worker: Process) -> None:
    code = "import time\ndef f(): return [time.timezone, time.localtime(0).tm_hour]"
    assert worker.call(code, env={"TZ": "XXX-3"}).value == [-10800, 3]


def test_the_worker_and_node_are_in_the_environment(worker: Process) -> None:
    code = (
        "from os import environ\n"
        "def f(): return [environ['PINFOLD_WORKER_ID'], environ['PINFOLD_NODE_ID']]\n"
    )
    assert worker.call(code).value == ["0123456789ab", "node"]


def test_a_missing_function_says_exactly_that(worker: Process) -> None:
    answer = worker.call("def g(): pass", "f")
    assert (answer.status, answer.text) == (EXCEPTION, "Function 'f' not found or not callable")


def test_an_uncallable_function_says_exactly_that(worker: Process) -> None:
    answer = worker.call("f = 3", "f")
    assert (answer.status, answer.text) == (EXCEPTION, "Function 'f' not found or not callable")


def test_a_builtin_is_not_a_function_of_the_source(worker: Process) -> None:
    assert "not found" in worker.call("", "print").text


def test_a_value_that_is_not_carried_is_bad_with_path_and_type(worker: Process) -> None:
    code = "class Node: pass\ndef f(): return {'best': [1, Node()]}"
    answer = worker.call(code)
    assert answer.status == BAD
    assert "result['best'][1] is a user_code.Node" in answer.text


@pytest.mark.parametrize("error", ["KeyError", "SystemExit", "KeyboardInterrupt"])
def test_an_exception_while_the_value_is_encoded_is_bad_with_its_traceback(
    worker: Process, error: str
) -> None:
    code = f"class A:\n    def __reduce__(self): raise {error}('no')\ndef f(): return A()\n"
    answer = worker.call(code, codec="pickle")
    assert answer.status == BAD
    assert 'File "user_code.py", line 2, in __reduce__' in answer.text
    assert error in answer.text
    assert "pinfold" not in answer.text.replace("pinfold.", "")


def test_an_exception_while_the_arguments_are_decoded_names_that(worker: Process) -> None:
    code = "def hurt(x): raise ValueError('not that')\ndef f(x): return x"
    head = _head(code, "pickle", [])
    answer = worker.run([*head, b"(l(lcuser_code\nhurt\n(I1\ntRaa(da."], "pickle")
    assert answer.status == EXCEPTION
    assert answer.text.startswith("The arguments could not be decoded")
    assert "ValueError: not that" in answer.text
    assert "> 1 | def hurt(x): raise" in answer.text


def test_exiting_while_the_arguments_are_decoded_is_an_exception(worker: Process) -> None:
    head = _head("import sys\ndef f(x): return x", "pickle", [])
    answer = worker.run([*head, b"(l(lcsys\nexit\n(I3\ntRaa(da."], "pickle")
    assert (answer.status, answer.failure and answer.failure.type) == (EXCEPTION, "SystemExit")
    assert "could not be decoded" in answer.text


def test_damaged_data_arguments_are_an_exception_that_names_the_arguments(worker: Process) -> None:
    answer = worker.run([*_head("def f(x): return x", "data", []), b"\xff\xff"])
    assert answer.status == EXCEPTION
    assert "arguments could not be decoded" in answer.text


def test_a_damaged_request_is_internal(worker: Process) -> None:
    assert worker.run([b"\xff"]).status == INTERNAL


def test_a_result_larger_than_allowed_says_both_sizes(worker: Process) -> None:
    answer = worker.call("def f(): return b'x' * 10000", result_max=5000)
    assert answer.status == TOO_LARGE
    assert "at most 5000" in answer.text


def test_a_result_of_just_the_size_allowed_is_ok(worker: Process) -> None:
    # payload.h: 8 bytes, two lengths, zeroes to 64; the stream; zeroes to 64; the buffer.
    code = "def f(): return b'x' * 10000"
    answer = worker.call(code, result_max=64 + 64 + 10000)
    assert answer.status == OK, answer.text


def test_a_smaller_bound_by_one_byte_is_not(worker: Process) -> None:
    assert worker.call("def f(): return b'x' * 10000", result_max=127 + 10000).status == TOO_LARGE


def _head(code: str, codec: str, python_path: list[str]) -> list[bytes]:
    from pinfold import _wire

    request = _wire.pack_request(
        code=code, function="f", args=[], kwargs={}, python_path=python_path, env={}, codec=codec
    )
    return [bytes(request[0])]
