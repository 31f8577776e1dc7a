# SPDX-License-Identifier: Apache-2.0
"""How calls and results travel between processes: nothing is lost, and no byte is trusted."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfold import (
    EncodedCall,
    ExecutionMetrics,
    InvalidCall,
    Limits,
    ProgramCall,
    WorkerCall,
    WorkerError,
    WorkerResult,
)
from pinfold import codec as codecs
from pinfold._carry.calls import pack_call, read_call
from pinfold._carry.fields import Refused
from pinfold._carry.payload import pack, split
from pinfold._carry.results import decoded, pack_result, read_result
from pinfold.codec import Malformed

METRICS = ExecutionMetrics(1, 0.5, 0.25, 0.125, 77, "w", "n", 5, 6, 0.1, 3, "p", 2, 99, None, 4)
ERROR = WorkerError("text", -9, "T", "m", 9, "stack", "run", 3)


def carried(segments: list[Any]) -> list[memoryview]:
    """Return the segments after their way in one piece."""
    return split(b"".join(map(bytes, pack(segments))))


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=9))
def test_segments_cross_whole_and_aligned(segments: list[bytes]) -> None:
    payload = b"".join(map(bytes, pack(segments)))
    views = split(payload)
    assert list(map(bytes, views)) == segments
    for cut in (payload[:-1], payload + b"\0", payload[:7], b""):
        with pytest.raises(Malformed):
            found = split(cut)
            assert list(map(bytes, found)) != segments  # an empty last segment hides the cut
            raise Malformed


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(junk: bytes) -> None:
    for text in (junk, b"\x50\x46\x50\x4c\2\0\0\0" + junk):
        try:
            segments = split(text)
        except Malformed:
            continue
        with pytest.raises(Malformed):
            read_call(segments)
        with pytest.raises(Malformed):
            read_result(segments)


def test_a_function_crosses() -> None:
    limits = Limits(wall_s=2.5, memory_bytes=1 << 30, cpu_s=math.inf, output_bytes=77)
    array = np.arange(10_000.0)
    call = WorkerCall(
        "def f(): pass\ud800",
        "a.f",
        [array, (1, 2)],
        {"k": {3}},
        python_path=["/x"],
        env={"A": "b", "C": None},
        files={"d/e": b"\xff", "g": "é"},
        collect=["*.png"],
        limits=Limits(wall_s=1),
    )
    read = read_call(carried(pack_call(call, "data", limits, 4.5, "tag é")))
    assert (read.deadline_s, read.tag) == (4.5, "tag é")
    arrived = read.call
    assert isinstance(arrived, EncodedCall)
    assert arrived.code == call.code
    assert (arrived.function_name, arrived.codec) == ("a.f", "data")
    assert (list(arrived.python_path), arrived.env) == (["/x"], call.env)
    assert {name: bytes(data) for name, data in arrived.files.items()} == {
        "d/e": b"\xff",
        "g": "é".encode(),
    }
    assert arrived.collect == ("*.png",)
    assert arrived.limits == Limits(wall_s=1)
    segments = [memoryview(bytearray(part)) for part in arrived.arguments]
    args, kwargs = codecs.decode(segments, "data", trusted=True)  # type: ignore[misc]
    assert np.array_equal(args[0], array)
    assert (args[1], kwargs) == ((1, 2), {"k": {3}})


def test_the_backends_limits_and_codec_are_for_calls_without_their_own() -> None:
    limits = Limits(wall_s=2.5, processes=7)
    read = read_call(pack_call(WorkerCall("", "f", [1]), "json", limits, None))
    assert isinstance(read.call, EncodedCall)
    assert (read.call.codec, read.call.limits, read.deadline_s) == ("json", limits, None)
    assert list(map(bytes, read.call.arguments)) == [b"[[1],{}]"]


def test_a_program_crosses() -> None:
    call = ProgramCall("print()", ["-x", ""], b"\xff\0", {"in": b"1"}, ["**"], env={"A": "1"})
    read = read_call(carried(pack_call(call, "data", Limits(), 1)))
    arrived = read.call
    assert isinstance(arrived, ProgramCall)
    assert (arrived.code, arrived.argv) == (call.code, call.argv)
    assert bytes(arrived.stdin) == b"\xff\0"
    assert bytes(arrived.files["in"]) == b"1"
    assert (arrived.collect, arrived.env) == (("**",), {"A": "1"})


def test_arguments_that_no_codec_carries_are_refused_in_the_caller() -> None:
    with pytest.raises(InvalidCall, match=r"args\[0\]"):
        pack_call(WorkerCall("", "f", [object()]), "data", Limits(), None)


GOOD: dict[str, Any] = {"source": "def f(): pass", "function": "f", "codec": "json"}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"extra": 1}, "/extra"),
        ({"a/b~c": 1}, "/a~1b~0c"),
        ({"source": 3}, "/source"),
        ({"source": None}, "/source"),
        ({"function": ["f"]}, "/function"),
        ({"function": ""}, ""),
        ({"program": "x"}, "/program"),
        ({"codec": "yaml"}, ""),
        ({"env": []}, "/env"),
        ({"env": {"a=": "1"}}, ""),
        ({"limits": {"wall": 1}}, "/limits/wall"),
        ({"limits": {"wall_s": -1}}, "/limits"),
        ({"limits": {"processes": True}}, "/limits"),
        ({"files": ["a"]}, "/files"),
        ({"files": [1]}, "/files"),
        ({"collect": ["../x"]}, ""),
        ({"deadline_s": -1}, "/deadline_s"),
        ({"deadline_s": "1"}, "/deadline_s"),
        ({"tag": 1}, "/tag"),
    ],
)
def test_a_wrong_field_of_a_call_is_named(change: dict[str, Any], pointer: str) -> None:
    read_call([json.dumps(GOOD).encode(), b"[[],{}]"])
    with pytest.raises(Refused) as caught:
        read_call([json.dumps(GOOD | change).encode(), b"[[],{}]"])
    assert caught.value.pointer == pointer


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{", b"{}", b'{"a":1,"a":2}', b"\xff", b'{"tag":NaN}', b"[" * 10_000],
)
def test_a_head_that_is_none_is_refused(text: bytes) -> None:
    for read in (read_call, read_result):
        with pytest.raises(Malformed):
            read([text, b"", b"", b""])


@pytest.mark.parametrize(
    "result",
    [
        WorkerResult("ok", (memoryview(b"[1]"),), None, METRICS, "é", "", False, True, b"\xc3\xa9"),
        WorkerResult("ok", None, None, METRICS, files={"a": b"\xff"}, files_refused={"b": "link"}),
        WorkerResult("timeout", None, ERROR, None, files={"a": b""}),
        WorkerResult("lost", None, WorkerError("gone")),
    ],
)
def test_a_result_crosses(result: WorkerResult) -> None:
    arrived, tag = read_result(carried(pack_result(result, "tag")))
    assert arrived == result
    assert tag == "tag"


def test_a_value_is_read_by_whoever_asked() -> None:
    array = np.arange(10_000.0)
    value = tuple(map(memoryview, codecs.encode({"a": array}, "data")))
    arrived = read_result(carried(pack_result(WorkerResult("ok", value)))).result
    found = decoded(arrived, "data", 0)
    assert found.outcome == "ok"
    assert np.array_equal(found.value["a"], array)
    found.value["a"][0] = 7  # it is writable, as a local one is
    assert decoded(arrived, "data", 100).outcome == "output_limit"
    assert decoded(WorkerResult("ok", (memoryview(b"\xff"),)), "data", 0).outcome == "bad_result"
    assert decoded(WorkerResult("ok", (memoryview(b"[1"),)), "json", 0).outcome == "bad_result"
    lost = WorkerResult("lost", None, WorkerError("gone"))
    assert decoded(lost, "data", 0) is lost


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "fine"},
        {"outcome": 3},
        {"outcome": "timeout"},
        {"error": {}},
        {"metrics": {"peak_rss_kb": 1}},
        {"metrics": []},
        {"stdout_truncated": 1},
        {"files": ["a"]},
        {"refused": {"a": 1}},
        {"value": 3},
        {"tag": None},
    ],
)
def test_a_wrong_field_of_a_result_is_refused(change: dict[str, Any]) -> None:
    head = json.loads(pack_result(WorkerResult("ok"))[0])
    read_result([json.dumps(head).encode(), b"", b""])
    with pytest.raises(Refused):
        read_result([json.dumps(head | change).encode(), b"", b""])
