# SPDX-License-Identifier: Apache-2.0
"""The formats of requests and failures between the caller and a worker."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import pytest

from pinfold import _wire, codec
from pinfold.codec import Malformed, NotCarried


def received(segments: _wire.Segments) -> list[memoryview]:
    return [memoryview(bytearray(segment)) for segment in segments]


def request(**fields: Any) -> _wire.Segments:
    given: dict[str, Any] = {
        "code": "x = 'ü'",
        "function": "f",
        "args": (1, "two"),
        "kwargs": {"k": b"v"},
        "python_path": [Path("/a"), "b"],
        "env": {"A": "1", "B": None},
        "codec": "data",
    }
    return _wire.pack_request(**(given | fields))


@pytest.mark.parametrize("name", codec.CODECS)
def test_a_request_comes_out_as_it_went_in(name: str) -> None:
    read = _wire.unpack_request(received(request(codec=name)))
    assert read[:5] == ("x = 'ü'", "f", ["/a", "b"], {"A": "1", "B": None}, name)
    args, kwargs = _wire.unpack_arguments(read)
    assert list(args) == [1, "two"]
    assert kwargs == {"k": b"v"}


class Word(str, enum.Enum):
    DATA = "data"
    F = "f"


def test_what_is_a_kind_of_str_comes_out_as_a_str() -> None:
    read = _wire.unpack_request(
        received(request(function=Word.F, codec=Word.DATA, python_path=[Word.F], env={"A": Word.F}))
    )
    assert read[1:5] == ("f", ["f"], {"A": "f"}, "data")
    assert {type(text) for text in (read[1], *read[2], *read[3].values(), read[4])} == {str}


def test_the_head_is_one_segment_however_large_the_source_is() -> None:
    segments = request(code="#" * 5_000_000)
    assert len(_wire.unpack_request(received(segments)).code) == 5_000_000


def test_arguments_that_are_not_carried_are_refused() -> None:
    with pytest.raises(NotCarried, match=r"arguments\[1\]\['k'\]"):
        request(kwargs={"k": object()})


def test_a_failure_comes_out_as_it_went_in() -> None:
    failure = _wire.Failure("ValueError", "no", "Traceback ...", 1, 7)
    assert _wire.unpack_failure(received(_wire.pack_failure(failure))) == failure


def test_a_failure_with_surrogates_travels_escaped() -> None:
    failure = _wire.Failure("ValueError", "\udc80", "\ud800x", 1)
    read = _wire.unpack_failure(received(_wire.pack_failure(failure)))
    assert (read.message, read.text) == ("\\udc80", "\\ud800x")


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"type": "", "message": "", "text": ""},
        {"type": "", "message": "", "text": "", "returncode": 1},
        {"type": "", "message": "", "text": "", "returncode": "1", "line": 0},
        {"type": "", "message": "", "text": "", "returncode": True, "line": 0},
        {"type": "", "message": "", "text": b"", "returncode": 1, "line": 0},
        {"type": "", "message": "", "text": "", "returncode": 1, "line": -1},
        {"type": "", "message": "", "text": "", "returncode": 1, "line": 2**31},
        {"type": "", "message": "", "text": "", "returncode": 1, "line": "3"},
        {"type": "", "message": "", "text": "", "returncode": 1, "line": 0, "more": 1},
    ],
)
def test_what_is_no_failure_is_malformed(value: Any) -> None:
    with pytest.raises(Malformed):
        _wire.unpack_failure(received(codec.encode(value, "data")))


def test_bytes_that_are_no_request_are_malformed() -> None:
    for segments in ([], [b""], [b"\xff" * 10]):
        with pytest.raises(Malformed):
            _wire.unpack_request(received(segments))  # type: ignore[arg-type]
