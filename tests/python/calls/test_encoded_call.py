# SPDX-License-Identifier: Apache-2.0
"""An `EncodedCall`: arguments and values cross as the segments that they are."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from conftest import MakeBackend
from pinfold import CallTypeError, EncodedCall, InvalidCall, LocalBackend, WorkerCall
from pinfold import codec as codecs

SUM = "def f(a, b=0): return [a, b, a is None]"


@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
@pytest.mark.parametrize("sandbox", ["none", "strict"])
def test_json_goes_in_and_comes_out_as_text(
    make_backend: MakeBackend, isolation: str, sandbox: str
) -> None:
    with make_backend(isolation=isolation, sandbox=sandbox, max_workers=1) as pool:
        for _ in range(3):  # the third brings the compiled form
            result = pool.submit(EncodedCall(SUM, "f", [b'[[7], {"b": "\\u00e9"}]'])).result()
            assert result.outcome == "ok", result.error
            assert type(result.value) is tuple
            (text,) = result.value
            assert json.loads(bytes(text)) == [7, "é", False]


@pytest.mark.parametrize("codec", ["data", "pickle"])
def test_segments_of_every_codec_are_passed_on(backend: LocalBackend, codec: Any) -> None:
    array = np.arange(100_000.0)
    segments = codecs.encode([[array], {"b": (1, 2)}], codec, "arguments")
    assert len(segments) > 1
    result = backend.submit(EncodedCall(SUM, "f", segments, codec)).result()
    assert result.outcome == "ok", result.error
    value = codecs.decode(result.value, codec, trusted=True)
    assert np.array_equal(value[0], array)
    assert value[1:] == [(1, 2), False]


def test_the_value_is_not_read_in_the_caller(backend: LocalBackend) -> None:
    """A pickle that would end the caller's process if it read it."""
    kind = "import os\nclass E:\n    def __reduce__(self): return os._exit, (3,)\n"
    code = kind + "def f(): return E()"
    segments = codecs.encode([[], {}], "pickle", "arguments")
    result = backend.submit(EncodedCall(code, "f", segments, "pickle")).result()
    assert result.outcome == "ok"
    assert b"_exit" in b"".join(map(bytes, result.value))


def test_it_ends_like_any_call(backend: LocalBackend) -> None:
    no_arguments = [b"[[],{}]"]
    ways = {
        "exception": "def f(): 1/0",
        "exited": "import os\ndef f(): os._exit(3)",
        "bad_result": "def f(): return {1: 2}",
    }
    for outcome, code in ways.items():
        result = backend.submit(EncodedCall(code, "f", no_arguments)).result()
        assert (result.outcome, result.value) == (outcome, None)
    for text in (b"", b"[[]", b"{}", b"[[], {}, 1]", b"[[], []]", b'[[], {"\xff": 1}]'):
        result = backend.submit(EncodedCall("def f(): pass", "f", [text])).result()
        assert result.outcome == "exception", text
    result = backend.submit(EncodedCall("def f(): pass", "f", [b"[[1],{}]"])).result()
    assert result.error is not None
    assert result.error.type == "TypeError"


def test_every_method_takes_it(backend: LocalBackend) -> None:
    asked = [EncodedCall(SUM, "f", [b"[[%d],{}]" % n]) for n in range(8)]
    both = [*asked, WorkerCall(SUM, "f", [8])]
    values = [result.value for _, result in backend.map(both, ordered=True)]
    assert [json.loads(bytes(text))[0] for (text,) in values[:8]] == list(range(8))
    assert values[8] == [8, 0, False]
    assert asyncio.run(backend.execute(asked[3]))[0] == b"[3,0,false]"


def fails(kind: type[Exception], message: str) -> Any:
    return pytest.raises(kind, match=rf"^EncodedCall: .*{message}")


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        ({"code": b"x"}, CallTypeError, "code must be a str"),
        ({"function_name": ""}, InvalidCall, "function_name must be not empty"),
        ({"function_name": "a..b"}, InvalidCall, "dots between them"),
        ({"arguments": b"[[],{}]"}, CallTypeError, "arguments must be a list of buffers"),
        ({"arguments": "[[],{}]"}, CallTypeError, "arguments must be a list of buffers"),
        ({"arguments": ["[[],{}]"]}, CallTypeError, "arguments must be a list of buffers"),
        ({"arguments": [1]}, CallTypeError, "arguments must be bytes, a contiguous buffer"),
        ({"arguments": []}, InvalidCall, "arguments must be 1 .. 10000 segments"),
        ({"arguments": [b""] * 10_001}, InvalidCall, "arguments must be 1 .. 10000 segments"),
        ({"codec": "yaml"}, InvalidCall, "codec must be one of"),
        ({"codec": None}, CallTypeError, "codec must be one of"),
        ({"env": {"a=b": ""}}, InvalidCall, "env must be"),
        ({"files": {"../x": b""}}, InvalidCall, "files has the path"),
        ({"collect": ["/etc/*"]}, InvalidCall, "collect has the path"),
        ({"limits": 3}, CallTypeError, "limits must be a Limits or None"),
    ],
)
def test_a_wrong_field_is_refused_in_the_caller(
    fields: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with fails(kind, message):
        EncodedCall(**{"code": SUM, "function_name": "f", "arguments": [b"[[],{}]"], **fields})


def test_buffers_are_not_copied() -> None:
    content = bytearray(b"[[],{}]")
    assert EncodedCall(SUM, "f", [memoryview(content)]).arguments[0].obj is content
