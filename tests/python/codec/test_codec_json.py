# SPDX-License-Identifier: Apache-2.0
"""The `json` codec: what it carries, what it refuses, and what its reader costs."""

from __future__ import annotations

import base64
import collections
import datetime
import decimal
import enum
import gc
import json
import math
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import json_bombs as bombs
from codec_support import received, same
from conftest import MakeBackend
from executing import BAD, EXCEPTION, Process
from pinfold import BadResult, InvalidCall, Limits, WorkerCall, WorkerConfig, _wire, codec
from pinfold._client import request
from pinfold._wire.json_head import is_json
from pinfold.codec import Malformed, NotCarried, TooLarge
from pinfold.codec._reader import MAX_DEPTH, MAX_DIGITS, Reader

QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck))


def written(value: object) -> str:
    [segment] = codec.encode(value, "json")
    return bytes(segment).decode()


def read(text: str | bytes, most: int = 0) -> Any:
    octets = text.encode() if isinstance(text, str) else text
    return codec.decode(received([octets]), "json", most)


def sent(value: object) -> Any:
    return read(written(value))


@pytest.fixture
def digits() -> Iterator[None]:
    """Let this test convert ints of any size."""
    before = sys.get_int_max_str_digits()
    yield sys.set_int_max_str_digits(0)
    sys.set_int_max_str_digits(before)


# --- what is carried ------------------------------------------------------------------------------


def plain() -> st.SearchStrategy[Any]:
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    finite = st.floats(allow_nan=False, allow_infinity=False)
    leaves = st.one_of(st.none(), st.booleans(), st.integers(), finite, text)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(text, inner)),
        max_leaves=30,
    )


@given(plain())
@settings(QUIET, max_examples=500)
def test_what_json_has_arrives_as_it_was_and_as_json_reads_it(value: Any) -> None:
    text = written(value)
    assert same(read(text), value)
    assert same(json.loads(text), value)


@given(plain(), st.booleans(), st.sampled_from([None, 0, 3]))
@settings(QUIET, max_examples=500)
def test_the_texts_of_other_writers_are_read(value: Any, ascii: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii, indent=indent)
    assert same(read(f" \n{text}\t\r"), value)


class Color(enum.IntEnum):
    RED = 3


class Word(str, enum.Enum):
    A = "a"


class Ratio(float):
    def __repr__(self) -> str:
        return "no number"


class Point(NamedTuple):
    x: int
    y: float


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, '"NaN"'),
        ([math.inf, 1.0, {"a": -math.inf}], '["Infinity",1.0,{"a":"-Infinity"}]'),
        (-0.0, "-0.0"),
        (1e22, "1e+22"),
        (10**30, "1" + "0" * 30),
        (b"\xfb\xff\0", '"+/8A"'),
        (
            [bytearray(b"a"), memoryview(b"ab"), memoryview(b"abcdef")[::2]],
            '["YQ==","YWI=","YWNl"]',
        ),
        ((1, (2,)), "[1,[2]]"),
        ([{1}, frozenset({"a"}), collections.deque([1, None])], '[[1],["a"],[1,null]]'),
        ([{"a": 1}.keys(), {"a": 1}.values(), {"a": 1}.items()], '[["a"],[1],[["a",1]]]'),
        ([Color.RED, Word.A, Ratio(0.5), Point(1, 2.0)], '[3,"a",0.5,[1,2.0]]'),
        (collections.OrderedDict(b=1, a=(2,)), '{"b":1,"a":[2]}'),
        ({Word.A: 1, "b": 2}, '{"a":1,"b":2}'),
        ('\u00fc\u2028\U0001f600\x7f"\\/\n\0', '"\u00fc\u2028\U0001f600\x7f\\"\\\\/\\n\\u0000"'),
        (np.float32(0.1), "0.10000000149011612"),
        ([np.int8(-1), np.uint64(2**64 - 1), np.bool_(True)], "[-1,18446744073709551615,true]"),
        ([np.str_("a"), np.bytes_(b"a"), np.float16(np.nan)], '["a","YQ==","NaN"]'),
        (np.arange(6, dtype=">i2").reshape(2, 3).T, "[[0,3],[1,4],[2,5]]"),
        (np.array([[1.5, np.nan], [-np.inf, 0]]), '[[1.5,"NaN"],["-Infinity",0.0]]'),
        (np.array([True, False]), "[true,false]"),
        ([np.array(7), np.zeros((2, 0)), np.array(["a", "bc"])], '[7,[[],[]],["a","bc"]]'),
        (np.array([b"ab"]), '["YWI="]'),
    ],
)
def test_other_values_arrive_as_what_json_has(value: Any, text: str) -> None:
    assert written(value) == text
    assert same(sent(value), json.loads(text))


def test_bytes_are_base64_that_any_reader_takes() -> None:
    octets = random.Random(3).randbytes(10_000)
    assert base64.b64decode(sent(octets), validate=True) == octets


def test_a_set_has_the_order_in_which_it_iterates() -> None:
    value = {str(i) for i in range(1000)}
    assert sent(value) == list(value)


@pytest.mark.parametrize("limit", [640, 4300, 0])
def test_ints_of_any_size_up_to_the_most_digits_arrive(digits: None, limit: int) -> None:
    values = [
        sign * (10**n + n) for n in (17, 18, 19, 36, 639, 4299, 4301, 4931) for sign in (1, -1)
    ]
    texts = [str(value) for value in values]
    sys.set_int_max_str_digits(limit)
    assert written({"a": values}) == f'{{"a":[{",".join(texts)}]}}'
    assert sent({"a": [values, "x", None, 1.5]}) == {"a": [values, "x", None, 1.5]}


# --- what is refused ------------------------------------------------------------------------------


class Octets(bytes):
    pass


def deep(levels: int, value: object = 0) -> Any:
    for _ in range(levels):
        value = [value]
    return value


OBJECT = object()
TWICE: list[Any] = []
TWICE.append({"a": TWICE})

REFUSED: list[tuple[Any, str, str, str]] = [
    (OBJECT, "result", "object", "an object"),
    ({"a": [1, OBJECT]}, "result['a'][1]", "object", "an object"),
    ({1: 2}, "list(result)[0]", "int", "a key of type int"),
    ({"a": {(1, 2): 3}}, "list(result['a'])[0]", "tuple", "a key of type tuple"),
    ({"a": 0, None: 3}, "list(result)[1]", "NoneType", "a key of type NoneType"),
    ({"b": {b"a": 0}}, "list(result['b'])[0]", "bytes", "a key of type bytes"),
    ("\ud800", "result", "str", "a str with a lone surrogate"),
    ([("a", "\udfffb")], "result[0][1]", "str", "a str with a lone surrogate"),
    ({"\ud800": 1}, "list(result)[0]", "str", "a str with a lone surrogate"),
    (1j, "result", "complex", "a complex"),
    ([np.complex64(1)], "result[0]", "numpy.complex64", "a numpy.complex64 of dtype complex64"),
    (np.array([1j]), "result", "numpy.ndarray", "a numpy.ndarray of dtype complex128"),
    ({"k": np.array([None])}, "result['k']", "numpy.ndarray", "a numpy.ndarray of dtype object"),
    (np.longdouble(1), "result", "numpy.longdouble", "a numpy.longdouble of dtype float128"),
    (np.zeros(1, "i4,f8"), "result", "numpy.ndarray", "a numpy.ndarray of dtype [('f0', '<i4')"),
    (np.datetime64(1, "s"), "result", "numpy.datetime64", "of dtype datetime64[s]"),
    (np.ma.array([1], mask=[1]), "result", "numpy.ma.MaskedArray", "a numpy.ma.MaskedArray"),
    ([np.array(["\ud800"])], "result[0]", "numpy.ndarray", "a str with a lone surrogate"),
    (10**MAX_DIGITS, "result", "int", "an int of more than 4932 digits"),
    ([-(10**MAX_DIGITS)], "result[0]", "int", "an int of more than 4932 digits"),
    (Octets(b"a"), "result", f"{__name__}.Octets", "Octets"),
    (decimal.Decimal(1), "result", "decimal.Decimal", "a decimal.Decimal"),
    (datetime.date(2000, 1, 1), "result", "datetime.date", "a datetime.date"),
    (range(3), "result", "range", "a range"),
    (..., "result", "ellipsis", "an ellipsis"),
    (TWICE, "result[0]['a']", "list", "a list that contains itself (it is result)"),
    (deep(MAX_DEPTH + 1), "result" + "[0]" * MAX_DEPTH, "list", "more than 200 containers deep"),
    (
        deep(MAX_DEPTH - 1, np.zeros((1, 1))),
        "result" + "[0]" * (MAX_DEPTH - 1),
        "numpy.ndarray",
        "more than 200 containers deep",
    ),
]


@pytest.mark.parametrize(
    ("value", "path", "type_name", "what"),
    REFUSED,
    ids=[f"{x[2]}-{i}" for i, x in enumerate(REFUSED)],
)
def test_other_values_are_refused_by_path(value: Any, path: str, type_name: str, what: str) -> None:
    with pytest.raises(NotCarried) as caught:
        codec.encode(value, "json")
    error = caught.value
    assert (error.path, error.type_name, error.codec) == (path, type_name, "json")
    assert what in error.what
    assert str(error).endswith(
        "the 'json' codec does not carry; return plain data, or use codec=\"data\""
    )


def test_values_may_be_as_deep_as_the_codec_data_has_them() -> None:
    for value in (deep(MAX_DEPTH), deep(MAX_DEPTH - 2, [[1.5, math.nan]])):
        json.loads(written(value))
    assert sent(deep(MAX_DEPTH)) == deep(MAX_DEPTH)
    assert sent(deep(MAX_DEPTH - 2, np.zeros((1, 1)))) == deep(MAX_DEPTH, 0.0)


def test_keys_that_become_equal_are_refused() -> None:
    class Key(str):
        __hash__ = object.__hash__

        def __eq__(self, other: object) -> bool:
            return self is other

    with pytest.raises(NotCarried):
        codec.encode({Key("a"): 1, Key("a"): 2}, "json")


# --- the reader -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "nul", "NaN", "Infinity", "-Infinity", "-", "+1", "01", "-01", "1.", ".5", "1e"),
        *("1e+", "1.e5", "0x1", "1e999", "-1e400", "[1,]", "[,1]", "[1 2]", "[1", "[", "{", '{"a"'),
        *('{"a":', '{"a":1', '{"a":1,}', "{a:1}", '{"a" 1}', "{1:2}", '{"a":1,"a":1}', "'a'", '"a'),
        *(
            '"\x1f"',
            '"\n"',
            r'"\x"',
            r'"\u12"',
            r'"\u12g4"',
            r'"\ud800"',
            r'"\udc00"',
            '"\\',
            '"\\"',
        ),
        *(
            r'"\ud800\u0041"',
            r'"\ud800\ud800"',
            r'"\udc00\udc00"',
            r'"\ud800\n"',
            r'"\u+123"',
            "1 2",
            "1,",
            "[]]",
        ),
        *("\ufeff1", "/**/1", "1\0", "\x0b1", "True", "undefined"),
    ],
)
def test_text_that_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match=r"at byte [0-9]+ of"):
        read(text)


@pytest.mark.parametrize(
    "octets", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc4"]
)
def test_text_that_is_not_utf_8_is_refused(octets: bytes) -> None:
    for text in (b'"' + octets + b'"', b'"\\n' + octets + b'"', b'{"' + octets + b'":1}'):
        with pytest.raises(Malformed):
            read(text)


def test_text_in_utf_16_is_refused() -> None:
    with pytest.raises(Malformed):
        read('["a"]'.encode("utf-16"))


def test_a_value_is_one_segment() -> None:
    with pytest.raises(Malformed, match="no segments"):
        codec.decode([], "json")
    with pytest.raises(Malformed, match="1 segments are not used"):
        codec.decode(received([b"1", b""]), "json")


def damaged(text: bytes, chance: random.Random) -> bytes:
    octets = bytearray(text)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(octets) + 1)
        match chance.randrange(3):
            case 0:
                octets[at:at] = chance.choice(
                    [b"[", b"]", b'"', b"\\", b",", b"0", b"e", b".", b"-"]
                )
            case 1:
                del octets[at : at + chance.randint(1, 5)]
            case 2:
                octets[at : at + 1] = chance.randbytes(1)
    return bytes(octets)


@given(plain(), st.randoms(use_true_random=False))
@settings(QUIET, max_examples=200)
def test_what_is_read_of_damaged_text_is_what_json_reads(value: Any, chance: random.Random) -> None:
    text = written(value).encode()
    for _ in range(50):
        octets = damaged(text, chance)
        try:
            got = read(octets)
        except Malformed:
            continue
        assert same(got, json.loads(octets.decode()))


# --- what reading costs ---------------------------------------------------------------------------

SIZE = 1 << 16
TIMES = 100  # as docs/security.md has it
FREE = 1 << 17
TEXTS = {name: bombs.dense(name, SIZE) for name in bombs.DENSE} | bombs.whole(SIZE)


def peak_of(text: bytes) -> int:
    segments = received([text])
    gc.collect()
    tracemalloc.start()
    try:
        codec.decode(segments, "json")
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("name", TEXTS)
def test_a_value_takes_no_more_memory_than_a_hundred_times_its_size(name: str) -> None:
    assert peak_of(TEXTS[name]) <= TIMES * len(TEXTS[name]) + FREE


@pytest.mark.parametrize("name", TEXTS)
def test_the_reader_pays_for_all_the_memory_that_it_takes(name: str) -> None:
    reader = Reader(tuple(received([TEXTS[name]])), {}, 0, False)
    gc.collect()
    tracemalloc.start()
    try:
        value = reader.read_json()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del value
    assert size <= reader.memory + (1 << 13)


@pytest.mark.parametrize("name", TEXTS)
def test_reading_calls_no_function_of_python(name: str) -> None:
    reader = Reader(tuple(received([TEXTS[name]])), {}, 0, False)
    calls: list[object] = []
    sys.setprofile(lambda frame, event, _: calls.append(frame.f_code) if event == "call" else None)
    try:
        reader.read_json()
    finally:
        sys.setprofile(None)
    assert not calls


@pytest.mark.parametrize("name", bombs.REFUSED)
def test_what_would_take_longer_than_its_size_allows_is_refused(name: str) -> None:
    message, make = bombs.REFUSED[name]
    with pytest.raises(Malformed, match=message):
        read(make())


def test_a_value_may_be_bounded() -> None:
    text = written([[]] * 1000)
    assert read(text, 74_000) == [[]] * 1000
    with pytest.raises(TooLarge, match="more than the 71000 bytes allowed"):
        read(text, 71_000)
    for text in (f'"{"a" * 100_000}"', f'"{chr(92)}n{"a" * 100_000}"'):
        assert len(read(text, 300_000)) >= 100_000
        with pytest.raises(TooLarge):
            read(text, 99_000)


def test_escapes_take_memory_only_while_they_are_read() -> None:
    text = f'"{chr(92)}n{"a" * 100_000}"'
    assert len(read(f"[{text},{text}]", 320_000)) == 2


def test_text_may_be_as_deep_as_values() -> None:
    for opening, end in ("[", "]"), ('{"":', "}"):
        read(opening * MAX_DEPTH + "0" + end * MAX_DEPTH)
        with pytest.raises(Malformed, match="more than 200 containers"):
            read(opening * (MAX_DEPTH + 1) + "0" + end * (MAX_DEPTH + 1))


def test_collection_is_left_as_it_was() -> None:
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            read(TEXTS["empty arrays"])
            with pytest.raises(Malformed):
                read(TEXTS["empty arrays"] + b"1")
            assert gc.isenabled() is enabled
        finally:
            gc.enable()


# --- through an executor --------------------------------------------------------------------------


@pytest.fixture(params=["fresh", "reuse"])
def worker(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Process]:
    with Process(request.param, tmp_path) as process:
        yield process


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("def f(): return 1/0", EXCEPTION, "ZeroDivisionError"),
        ("def f(): raise SystemExit(3)", EXCEPTION, "SystemExit"),
        ("x = '\\ud800'\ndef f(): raise ValueError(x)", EXCEPTION, "ValueError"),
        ("def f(:", EXCEPTION, "SyntaxError"),
        ("", EXCEPTION, "AttributeError"),
        ("def f(): return {1: 2}", BAD, "pinfold.codec.refusals.NotCarried"),
    ],
)
def test_the_failure_of_a_call_in_json_is_json(
    worker: Process, monkeypatch: pytest.MonkeyPatch, code: str, status: int, kind: str
) -> None:
    seen: list[bool] = []
    unpack = _wire.unpack_failure

    def look(segments: Any) -> Any:
        seen.append(is_json(segments[0]))
        return unpack(segments)

    monkeypatch.setattr(_wire, "unpack_failure", look)
    answer = worker.call(code, codec="json")
    assert answer.status == status
    assert answer.failure is not None and answer.failure.type == kind
    assert seen == [True]


def test_a_program_that_replaces_the_standard_modules_changes_no_other_value() -> None:
    program = (
        "import json, json.encoder, binascii, base64\n"
        "def f():\n"
        "    json.dumps = json.encoder.encode_basestring = json.encoder.c_make_encoder = None\n"
        "    binascii.b2a_base64 = base64.b64encode = None\n"
        "    return ['a', b'a', 1.5]\n"
    )
    code = f"{program}\nfrom pinfold import codec\nprint(bytes(codec.encode(f(), 'json')[0]))"
    got = subprocess.run(
        [sys.executable, "-c", f"import pinfold.codec.json_text\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert got.stdout == 'b\'["a","YQ==",1.5]\'\n'


# --- through a pool -------------------------------------------------------------------------------

ECHO = "def f(*args, **kwargs): return [args, kwargs, [type(a).__name__ for a in args]]"


@pytest.mark.extension
@pytest.mark.parametrize("isolation", ["fresh", "reuse", "spawn"])
@pytest.mark.parametrize("sandbox", ["none", "standard", "strict"])
def test_values_cross_a_pool(make_backend: MakeBackend, isolation: Any, sandbox: Any) -> None:
    backend = make_backend(codec="json", isolation=isolation, sandbox=sandbox, max_workers=1)
    args = (1, 2.5, None, [True], {"a": "\u00fc"}, 10**40, b"ab", (1,), math.nan)
    for _ in range(2):
        value = backend.submit(WorkerCall(ECHO, "f", args, {"k": {2}})).result().unwrap()
        assert value == [
            [1, 2.5, None, [True], {"a": "\u00fc"}, 10**40, "YWI=", [1], "NaN"],
            {"k": [2]},
            ["int", "float", "NoneType", "list", "dict", "int", "str", "list", "str"],
        ]
    array = WorkerCall("import numpy as np\ndef f(): return np.arange(100_000.)", "f")
    assert backend.submit(array).result().unwrap() == [float(i) for i in range(100_000)]
    failed = backend.submit(WorkerCall("def f(): 1/0", "f")).result()
    assert failed.outcome == "exception" and failed.error is not None
    assert (failed.error.type, failed.error.line) == ("ZeroDivisionError", 1)


def test_the_codec_of_a_call_goes_before_that_of_the_pool(make_backend: MakeBackend) -> None:
    backend = make_backend(max_workers=1)
    program = "def f(): return (1,)"
    assert backend.submit(WorkerCall(program, "f")).result().unwrap() == (1,)
    assert backend.submit(WorkerCall(program, "f", codec="json")).result().unwrap() == [1]


def test_an_environment_chooses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFIX_CODEC", "JSON")
    assert WorkerConfig.from_env("PREFIX_").codec == "json"


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (
            [[1, object()]],
            {},
            r"args\[0\]\[1\] is an object, which the 'json' codec does not carry",
        ),
        ([], {"k": {1: 2}}, r"list\(kwargs\['k'\]\)\[0\] is a key of type int"),
        (["\ud800"], {}, r"args\[0\] is a str with a lone surrogate"),
        ([10**MAX_DIGITS], {}, r"args\[0\] is an int of more than 4932 digits"),
    ],
    ids=["object", "key", "surrogate", "digits"],
)
def test_arguments_that_are_not_carried_are_refused_at_once(
    make_backend: MakeBackend, args: Any, kwargs: Any, message: str
) -> None:
    backend = make_backend(codec="json")
    with pytest.raises(InvalidCall, match=message):
        backend.submit(WorkerCall(ECHO, "f", args, kwargs))
    assert backend.stats().submitted == 0


def test_a_value_that_is_not_carried_is_a_bad_result(make_backend: MakeBackend) -> None:
    backend = make_backend(codec="json", max_workers=1)
    result = backend.submit(WorkerCall("def f(): return {'a': {1: 2}}", "f")).result()
    assert result.outcome == "bad_result"
    with pytest.raises(BadResult, match=r"list\(result\['a'\]\)\[0\] is a key of type int"):
        result.unwrap()


def test_the_memory_of_a_value_counts_towards_result_bytes(make_backend: MakeBackend) -> None:
    backend = make_backend(codec="json", max_workers=1, limits=Limits(result_bytes=1 << 20))
    for body in ("[[] for _ in range(100_000)]", "'\\u0100' * 600_000", "bytes(1 << 20)"):
        result = backend.submit(WorkerCall(f"def f(): return {body}", "f")).result()
        assert result.outcome == "output_limit"
    good = WorkerCall("def f(): return [[] for _ in range(10_000)]", "f")
    assert backend.submit(good).result().unwrap() == [[]] * 10_000


FORGED: list[tuple[str, str]] = [
    ("forge(b'{}', bytes(4096))", "1 segments are not used"),
    ("forge(b'')", "ends too early"),
    ("forge(b'9' * 2_000_000)", "more than 4932 digits"),
    ("forge(b'[' * 2_000_000)", "more than 200 containers"),
    ('forge(b\'{"a":1,"a":2}\')', "one name twice"),
    ("forge(b'NaN')", "a value expected"),
    ("forge(b'\"\\xff\"')", "utf-8"),
    ("forge(b'\\xa1\\x61\\x61\\x01')", "a value expected"),
    ('forge_failure(b\'{"type":"T"}\')', "not the account"),
    ("forge_failure(b'{' * 1000)", "account of its failure cannot be read"),
    ("forge_failure(b'{\"a\":' + b'9' * 1_000_000)", "account of its failure cannot be read"),
]


@pytest.mark.extension
@pytest.mark.parametrize("isolation", ["fresh", "reuse"])
def test_what_a_worker_forges_is_a_bad_result(make_backend: MakeBackend, isolation: Any) -> None:
    backend = make_backend(codec="json", isolation=isolation, max_workers=1)
    prelude = (
        "import pinfold.codec.json_text, pinfold._worker.call.execute as execute\n"
        "def forge(*segments):\n"
        "    pinfold.codec.json_text.encode = lambda value, root='result': list(segments)\n"
        "def forge_failure(*segments):\n"
        "    execute.pack_failure = lambda failure, codec: list(segments)\n"
        "    raise ValueError\n"
    )
    for body, message in FORGED:
        result = backend.submit(WorkerCall(f"{prelude}def f():\n    {body}", "f")).result()
        assert result.error is not None, body
        assert result.outcome == "bad_result", (body, result.error.message)
        assert message in result.error.message, result.error
        assert len(result.error.stderr) < 10_000


def by_json(**head: Any) -> Any:
    def pack(*, args: Any, kwargs: Any, code: str, function: str, **other: Any) -> Any:
        text = json.dumps({"code": code, "function": function, **head}).encode()
        return [text, json.dumps([args, kwargs]).encode()]

    return pack


@pytest.mark.extension
@pytest.mark.parametrize("isolation", ["fresh", "reuse"])
def test_a_request_may_be_json_alone(
    make_backend: MakeBackend, isolation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make_backend(codec="json", isolation=isolation, max_workers=1)
    program = "import os\ndef f(*a, **k): return [a, k, os.environ['X'], os.sys.path[0]]"
    head = {"env": {"X": "1"}, "python_path": ["/usr"], "limits": {"open_files": 100}}
    for _ in range(2):
        monkeypatch.setattr(request, "pack_request", by_json(**head))
        value = backend.submit(WorkerCall(program, "f", [1, "\u00fc"], {"k": None})).result()
        assert value.unwrap() == [[1, "\u00fc"], {"k": None}, "1", "/usr"]
        monkeypatch.setattr(request, "pack_request", by_json(env={"X": 5}))
        wrong = backend.submit(WorkerCall(program, "f")).result()
        assert wrong.outcome == "internal" and wrong.error is not None
        assert "'env.X' is an integer, not a string" in wrong.error.message
        monkeypatch.setattr(request, "pack_request", by_json(codec="data"))
        wrong = backend.submit(WorkerCall("def f(): pass", "f")).result()
        assert wrong.outcome == "exception" and wrong.error is not None
        assert "The arguments could not be decoded" in wrong.error.stderr
