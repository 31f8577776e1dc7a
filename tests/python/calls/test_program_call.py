# SPDX-License-Identifier: Apache-2.0
"""A `ProgramCall` and the files of a call: what the caller checks and sends."""

from __future__ import annotations

import pickle
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pinfold import (
    CallTypeError,
    InvalidCall,
    InvalidConfig,
    Limits,
    LocalBackend,
    ProgramCall,
    WorkerCall,
    WorkerResult,
)
from pinfold._client.request import CompiledForms
from pinfold.result import WorkerError


def test_a_program_call_takes_what_a_command_takes() -> None:
    program = ProgramCall(
        "print(1)",
        argv=["-v", ""],
        stdin=b"\xff",
        files={"a/b.txt": "\u00fc"},
        collect=["out/**", "*.png"],
        python_path=[Path("/usr")],
        env={"X": "1", "Y": None},
        limits=Limits(wall_s=1),
    )
    assert pickle.loads(pickle.dumps(program)) == program
    assert (program.argv, program.collect) == (("-v", ""), ("out/**", "*.png"))
    assert program.files == {"a/b.txt": b"\xc3\xbc"}
    bare = ProgramCall("")
    assert (bare.argv, bare.stdin, bare.files, bare.collect) == ((), b"", {}, ())


@pytest.mark.parametrize(
    "content",
    [b"ab", bytearray(b"ab"), memoryview(b"ab"), "ab", array("B", b"ab"), np.array([97, 98], "u1")],
    ids=lambda content: type(content).__name__,
)
def test_a_content_is_any_buffer_or_text(content: Any) -> None:
    ProgramCall("", stdin=content)
    assert bytes(ProgramCall("", files={"f": content}).files["f"]) == b"ab"
    assert bytes(WorkerCall("", "f", files={"f": content}).files["f"]) == b"ab"


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        ({"code": b"print()"}, CallTypeError, "code must be a str, not bytes"),
        ({"argv": "-v"}, CallTypeError, "argv must be a list of str, not str"),
        ({"argv": [1]}, CallTypeError, "argv must be a str, not int"),
        ({"argv": ["a\0"]}, InvalidCall, "argv must be without a NUL"),
        ({"stdin": 5}, CallTypeError, "stdin must be bytes, a contiguous buffer, or a str"),
        ({"stdin": None}, CallTypeError, "stdin must be bytes"),
        ({"stdin": ["a"]}, CallTypeError, "stdin must be bytes"),
        ({"stdin": "a\ud800"}, InvalidCall, "stdin must be text without surrogates"),
        ({"stdin": np.zeros((4, 4))[::2, ::2]}, CallTypeError, "a contiguous buffer"),
        ({"files": ["a"]}, CallTypeError, "files must be a dict of names and contents"),
        ({"files": {1: b""}}, CallTypeError, "files must be a str, not int"),
        ({"files": {"a": 1}}, CallTypeError, r"files\['a'\] must be bytes"),
        ({"files": {"": b""}}, InvalidCall, "which is empty"),
        ({"files": {"/etc/passwd": b""}}, InvalidCall, "which is absolute"),
        ({"files": {"a/../../b": b""}}, InvalidCall, "which leaves the directory"),
        ({"files": {"a\0": b""}}, InvalidCall, "which has a NUL character"),
        ({"files": {"a//b": b""}}, InvalidCall, "an empty part"),
        ({"files": {"./a": b""}}, InvalidCall, "a '.'"),
        ({"files": {"a/": b""}}, InvalidCall, "an empty part"),
        ({"files": {"\udcff": b""}}, InvalidCall, "text without surrogates"),
        ({"files": {"a" * 256: b""}}, InvalidCall, "longer than 1024 bytes, or a part"),
        ({"files": {"/".join(["ab"] * 400): b""}}, InvalidCall, "longer than 1024 bytes"),
        ({"files": {"a/b/c": b"", "a/b": b""}}, InvalidCall, "a file and a directory"),
        ({"files": dict.fromkeys(map(str, range(10_001)), b"")}, InvalidCall, "at most 10000"),
        ({"files": {"main.py": b""}}, InvalidCall, "the program's own"),
        ({"collect": "*.png"}, CallTypeError, "collect must be a collection of str"),
        ({"collect": [b"*"]}, CallTypeError, "collect must be a collection of str"),
        ({"collect": ["../*"]}, InvalidCall, "which leaves the directory"),
        ({"collect": ["/*"]}, InvalidCall, "which is absolute"),
        ({"collect": ["a\0"]}, InvalidCall, "NUL"),
        ({"collect": ["*"] * 101}, InvalidCall, "at most 100 patterns"),
        ({"python_path": "a"}, CallTypeError, "python_path must be a list of paths"),
        ({"env": {"A=": ""}}, InvalidCall, "no '='"),
        ({"limits": 5}, CallTypeError, "limits must be a Limits"),
    ],
)
def test_a_wrong_field_is_refused_at_once_by_name(
    fields: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=rf"^ProgramCall: .*{message}"):
        ProgramCall(**{"code": "", **fields})
    shared = fields.keys() & {"files", "collect", "python_path", "env", "limits"}
    if shared and "main.py" not in fields.get("files", ()):
        with pytest.raises(kind, match=rf"^WorkerCall: .*{message}"):
            WorkerCall("", "f", **fields)


def test_a_function_may_have_a_file_that_is_named_main() -> None:
    assert WorkerCall("", "f", files={"main.py": "x"}).files == {"main.py": b"x"}


@pytest.mark.parametrize("most", [0, -1, 2**63, 1.5, True])
def test_printed_bytes_are_checked(most: Any) -> None:
    with pytest.raises(InvalidConfig, match="printed_bytes"):
        Limits(printed_bytes=most)


def test_only_a_call_can_be_submitted(backend: LocalBackend) -> None:
    for other in ("print()", None, ProgramCall):
        with pytest.raises(CallTypeError, match="a WorkerCall, a ProgramCall or an EncodedCall"):
            backend.submit(other)  # type: ignore[arg-type]


def test_a_result_has_an_exit_status() -> None:
    assert WorkerResult("ok").returncode == 0
    assert WorkerResult("exited", error=WorkerError("", 3)).returncode == 3


def test_a_source_that_comes_again_is_asked_for_its_form_and_then_sends_it() -> None:
    forms = CompiledForms()
    assert forms.find("a") is None
    assert forms.find("a") == b""
    forms.keep("a", b"")
    assert forms.find("a") == b""
    forms.keep("a", b"form")
    forms.keep("b", b"never seen")
    assert (forms.find("a"), forms.find("b")) == (b"form", None)


def test_the_sources_that_were_used_last_are_kept() -> None:
    forms = CompiledForms()
    forms.find("first")
    for number in range(127):
        forms.find(str(number))
        assert forms.find("first") == b""
    assert forms.find("0") == b""
    forms.find("one more")
    assert forms.find("1") is None  # the one that was used longest ago
    forms.find("x" * (4 << 20))
    assert forms.find("first") is None
