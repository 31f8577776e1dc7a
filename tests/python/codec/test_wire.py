# SPDX-License-Identifier: Apache-2.0
"""The formats of requests and failures between the caller and a worker."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Any

import pytest

from pinfold import Limits, _wire, codec
from pinfold._wire.json_head import LIMITS
from pinfold._worker.call import rlimits
from pinfold.codec import Malformed, NotCarried


def received(segments: _wire.Segments) -> list[memoryview]:
    return [memoryview(bytearray(segment)) for segment in segments]


def request(**fields: Any) -> _wire.Segments:
    given: dict[str, Any] = {
        "code": "x = 'ü'",
        "function": "f",
        "args": (1, "two"),
        "kwargs": {"k": "v"},
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
    assert kwargs == {"k": "v"}


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


FAILURE = _wire.Failure("", "", "", 1)._asdict()


@pytest.mark.parametrize("name", codec.CODECS)
def test_a_failure_comes_out_as_it_went_in(name: str) -> None:
    failure = _wire.Failure("ValueError", "no", "Traceback ...", 1, 7)
    assert _wire.unpack_failure(received(_wire.pack_failure(failure, name))) == failure


def test_a_failure_of_the_codec_json_is_json() -> None:
    failure = _wire.Failure("ValueError", "no", "Traceback ...", -2, 7)
    [segment] = _wire.pack_failure(failure, "json")
    assert json.loads(bytes(segment)) == failure._asdict()


@pytest.mark.parametrize("name", codec.CODECS)
def test_a_failure_with_surrogates_travels_escaped(name: str) -> None:
    failure = _wire.Failure("ValueError", "\udc80", "\ud800x", 1)
    read = _wire.unpack_failure(received(_wire.pack_failure(failure, name)))
    assert (read.message, read.text) == ("\\udc80", "\\ud800x")


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"type": "", "message": "", "text": ""},
        FAILURE | {"returncode": "1"},
        FAILURE | {"returncode": True},
        FAILURE | {"text": None},
        FAILURE | {"line": -1},
        FAILURE | {"line": 2**31},
        FAILURE | {"line": "3"},
        FAILURE | {"compiled": 1},
        FAILURE | {"more": 1},
    ],
)
@pytest.mark.parametrize("name", ["data", "json"])
def test_what_is_no_failure_is_malformed(value: Any, name: str) -> None:
    with pytest.raises(Malformed):
        _wire.unpack_failure(received(codec.encode(value, name)))


def test_bytes_that_are_no_request_are_malformed() -> None:
    for segments in ([], [b""], [b"\xff" * 10]):
        with pytest.raises(Malformed):
            _wire.unpack_request(received(segments))  # type: ignore[arg-type]


# --- a head of JSON -------------------------------------------------------------------------------


def with_head(head: Any, arguments: bytes = b"[[], {}]") -> list[memoryview]:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return received([text, arguments])


def test_a_head_of_json_comes_out_as_it_went_in() -> None:
    head = {
        "limits": {"open_files": 64},
        "env": {"A": "1", "B": None},
        "python_path": ["/a", "b"],
        "codec": "json",
        "function": "Solution.solve",
        "code": "x = 'ü'",
    }
    read = _wire.unpack_request(with_head(head, b'[[1, "two"], {"k": null}]'))
    assert read[:6] == (
        *("x = 'ü'", "Solution.solve", ["/a", "b"], {"A": "1", "B": None}, "json"),
        {"open_files": 64},
    )
    assert _wire.unpack_arguments(read) == ([1, "two"], {"k": None})


def test_the_fields_that_a_head_of_json_may_leave_out_are_empty_and_its_codec_is_json() -> None:
    read = _wire.unpack_request(with_head({"code": "", "function": "f"}))
    assert read[2:6] == ([], {}, "json", {})


def test_the_arguments_after_a_head_of_json_may_be_in_another_codec() -> None:
    segments = codec.encode([[1], {"k": b"v"}], "data")
    head = json.dumps({"code": "", "function": "f", "codec": "data"}).encode()
    read = _wire.unpack_request(received([head, *segments]))
    assert _wire.unpack_arguments(read) == ([1], {"k": b"v"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"code": 5}, "'code' is an integer, not a string"),
        ({"function": None}, "'function' is null, not a string"),
        ({"function": ""}, "'function' is '', not a name"),
        ({"function": "a..b"}, "'function' is 'a..b', not a name"),
        ({"python_path": "/a"}, "'python_path' is a string, not an array"),
        ({"python_path": [["/a"]]}, "'python_path' is an array, not a string"),
        ({"python_path": ["a\0"]}, "'python_path' has a NUL"),
        ({"python_path": [""]}, "'python_path' has an empty path"),
        ({"env": []}, "'env' is an array, not an object"),
        ({"env": {"A=B": "1"}}, "'env' has the name 'A=B'"),
        ({"env": {"": "1"}}, "'env' has the name ''"),
        ({"env": {"A\0": "1"}}, "'env' has a NUL"),
        ({"env": {"A": 1.5}}, "'env.A' is a number, not a string"),
        ({"env": {"A": "\0"}}, "'env.A' has a NUL"),
        ({"codec": "cbor"}, "'codec' is 'cbor', not one of data, pickle, json"),
        ({"codec": True}, "'codec' is a boolean, not a string"),
        ({"limits": {"wall_s": 1}}, "'limits.wall_s' is not one of address_space_bytes"),
        ({"limits": {"open_files": -1}}, "'limits.open_files' is an integer, not a positive"),
        ({"limits": {"open_files": 1 << 63}}, "'limits.open_files' is an integer, not a pos"),
        ({"limits": {"open_files": True}}, "'limits.open_files' is a boolean, not a positive"),
        ({"args": []}, "'args' is not a field of a request"),
    ],
)
def test_a_field_of_a_head_of_json_is_refused_by_name(change: Any, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        _wire.unpack_request(with_head({"code": "", "function": "f"} | change))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b'{"function": "f"}', "'code' is missing"),
        (b'{"code": "", "function": ""}', "'function' is '', not a name"),
        (b'{"code": "", "files": ["a"]}', "lacks segments"),
        (b'{"code": "", "files": ["../a"]}', "leaves the directory"),
        (b'{"code": "", "files": ["a", "a"]}', "a path twice"),
        (b'{"code": "", "collect": ["/a"]}', "is absolute"),
        (b'{"code": "", "code": "", "function": "f"}', "one name twice"),
        (b'{"code": "", "function": "f"', "ends too early"),
        (b'{"code": "\xff", "function": "f"}', "utf-8"),
        (b'{"code": "\\ud800", "function": "f"}', "surrogate"),
        (b'{"code": "", "function": "f"}{}', "after the value"),
    ],
)
def test_text_that_is_no_head_is_malformed(head: bytes, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        _wire.unpack_request(with_head(head))


@pytest.mark.parametrize(
    "arguments", [b"null", b"[]", b"{}", b"[[], {}, 1]", b"[{}, []]", b'["a", {}]', b"[[1]"]
)
def test_arguments_of_json_are_a_list_and_a_dict(arguments: bytes) -> None:
    read = _wire.unpack_request(with_head({"code": "", "function": "f"}, arguments))
    with pytest.raises(Malformed):
        _wire.unpack_arguments(read)


def test_arguments_of_json_are_one_segment() -> None:
    head = b'{"code": "", "function": "f"}'
    for rest in ([], [b"[[], {}]", b""]):
        with pytest.raises(Malformed):
            _wire.unpack_arguments(_wire.unpack_request(received([head, *rest])))


def test_a_head_of_json_has_the_limits_that_the_caller_sends_and_the_worker_sets() -> None:
    assert set(LIMITS) == set(rlimits._KINDS)
    most: dict[str, Any] = dict.fromkeys(LIMITS, 1 << 30) | {"open_files": 64, "processes": 64}
    limits = Limits(**most)
    assert set(limits.of_kernel()) == set(LIMITS)


def test_a_program_and_its_files_come_out_as_they_went_in() -> None:
    segments = _wire.pack_request(
        code="print(1)",
        function="",
        encoded=[b"in\xff"],
        python_path=(),
        env={},
        codec="data",
        argv=["-v", ""],
        files={"a/b.txt": b"content", "empty": memoryview(b"")},
        collect=["*.png"],
        compiled=b"",
    )
    read = _wire.unpack_request(received(segments))
    assert read.is_program
    assert read[6:10] == (["-v", ""], ["a/b.txt", "empty"], ["*.png"], b"")
    assert [bytes(part) for part in read.contents] == [b"content", b""]
    assert [bytes(part) for part in read.arguments] == [b"in\xff"]


def test_a_program_may_come_with_a_head_of_json() -> None:
    head = b'{"code": "", "argv": ["x"], "files": ["a"], "collect": ["*"]}'
    read = _wire.unpack_request(received([head, b"content", b"stdin"]))
    assert read.is_program
    assert read[6:10] == (["x"], ["a"], ["*"], None)
    assert (bytes(read.contents[0]), bytes(read.arguments[0])) == (b"content", b"stdin")


def test_collected_files_are_told_from_the_value() -> None:
    index = _wire.Index(["a", "b\udcff"], {"link": "is a link"})
    payload = received([b"value", b"of a", b"of b", *_wire.pack_index(index)])
    rest, read, first = _wire.split_collected(payload)
    assert [bytes(part) for part in rest] == [b"value"]
    assert read == (["a", "b\\udcff"], {"link": "is a link"})
    assert bytes(payload[first]) == b"of a"


@pytest.mark.parametrize(
    "index",
    [
        *(None, [], [["a"]], [["a"], []], [[1], {}], [["a"], {1: ""}], [["a"], {"": 1}]),
        *([["a", "a"], {}], [["a", "b", "c", "d"], {}], [[], {}, []]),
    ],
)
def test_an_index_of_which_a_byte_is_wrong_is_malformed(index: Any) -> None:
    payload = received([b"value", b"x", b"y", *codec.encode(index, "data")])
    with pytest.raises(Malformed, match="index"):
        _wire.split_collected(payload)
    with pytest.raises(Malformed):
        _wire.split_collected(received([b"\xff"]))
    with pytest.raises(Malformed):
        _wire.split_collected([])
