# SPDX-License-Identifier: Apache-2.0
"""The caller's costs of reading a worker's value: bounded by the number of its bytes."""

from __future__ import annotations

import gc
import random
import sys
import tracemalloc
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import codec_bombs as bombs
from codec_support import received, same, sent
from conftest import MakeBackend
from pinfold import Limits, OutputLimitExceeded, WorkerCall, codec
from pinfold.codec import Malformed, TooLarge
from pinfold.codec._reader import Reader
from pinfold.codec.reading import _DECODERS

SIZE = 1 << 16
TIMES = 100  # as docs/security.md has it
FREE = 1 << 17


def read(stream: bytes) -> tuple[int, bool]:
    """Decode the stream; return the peak of memory, and whether the stream was refused."""
    segments = received([stream])
    gc.collect()
    refused = False
    tracemalloc.start()
    try:
        codec.decode(segments, "data")
    except Malformed:
        refused = True
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak, refused


def peak_of(stream: bytes) -> int:
    return read(stream)[0]


@pytest.mark.parametrize("name", bombs.DENSE)
def test_a_value_takes_no_more_memory_than_a_hundred_times_its_size(name: str) -> None:
    peak_of(bombs.DENSE[name])  # its imports stay in memory
    stream = bombs.dense(name, SIZE)
    assert peak_of(stream) <= TIMES * len(stream) + FREE


@pytest.mark.parametrize("name", bombs.DENSE)
def test_the_reader_pays_for_all_the_memory_that_it_takes(name: str) -> None:
    """The reader counts the memory that remains after the read, and never much more."""
    peak_of(bombs.DENSE[name])
    segments = tuple(received([bombs.dense(name, SIZE)]))
    reader = Reader(segments, _DECODERS, 0, False)
    gc.collect()
    tracemalloc.start()
    try:
        value = reader.read()
        size, _ = tracemalloc.get_traced_memory()
    except Malformed:
        return
    finally:
        tracemalloc.stop()
    del value
    assert size <= reader.memory + FREE


@pytest.mark.parametrize("name", bombs.DENSE)
def test_the_calls_that_python_makes_for_a_value_grow_with_its_bytes(name: str) -> None:
    stream = bombs.dense(name, SIZE)
    segments = received([stream])
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        codec.decode(segments, "data")
    except Malformed:
        pass
    finally:
        sys.setprofile(None)
    assert calls <= 5 * len(stream) + 1000


@pytest.mark.parametrize("name", bombs.SLOW)
def test_what_would_take_longer_than_its_size_allows_is_refused(name: str) -> None:
    for stream in bombs.SLOW[name]():
        peak, refused = read(stream)
        assert refused
        assert peak <= TIMES * len(stream) + FREE


def test_what_only_looks_like_it_arrives() -> None:
    grid = {(x, y, z) for x in range(-4, 5) for y in range(-4, 5) for z in range(-4, 5)}  # -1 is -2
    for value in (
        grid,
        dict.fromkeys(grid, 0),
        set(range(100_000)),
        {i << 32 for i in range(20_000)},
        {i << 58 for i in range(-2000, 2000)},
        {float(i) for i in range(50_000)},
        {(i, str(i)) for i in range(20_000)},
        {frozenset({-1, i}) for i in range(3000)} | {frozenset({-2, i}) for i in range(3000)},
        {1 << 16_000, -(1 << 16_000)},
        {np.float64(2.0**i) for i in range(500)},
        [{"key": []}] * 10_000,
        [[] for _ in range(10_000)],
        [1 << 3_000_000, {"key": 1 << 3_000_000}],
    ):
        assert same(sent(value), value) if len(value) < 100 else sent(value) == value


def test_fractions_have_the_hash_that_python_gives_them() -> None:
    big = [bombs.P - 1, bombs.P, bombs.P + 1, 1 << 200, 3]
    parts = [Fraction(n, d) for n in (0, 1, -1, -2, *big, -(1 << 90)) for d in (1, 2, *big)]
    values = {*parts, *((part, 1, (part,)) for part in parts), (), (1,), frozenset(parts)}
    arrived = sent(values)
    assert all(value in arrived for value in values)
    assert dict.fromkeys(values, 0) == sent(dict.fromkeys(values, 0))


@pytest.mark.parametrize("is_set", [True, False])
def test_the_reader_counts_the_steps_of_tables_as_python_takes_them(is_set: bool) -> None:
    """All keys have one hash, so that each is compared with all before it, as in Python."""
    n = 60
    keys = [i * bombs.P for i in range(n)]
    [way, _, dictionary, *_] = bombs.keyed(lambda: map(bombs.integer, keys))()
    reader = Reader(tuple(received([way if is_set else dictionary])), _DECODERS, 0, False)
    reader.read()
    comparisons = n * (n - 1) // 2
    assert 6 * comparisons <= reader.steps <= (20 if is_set else 8) * comparisons


def test_random_keys_take_few_steps() -> None:
    chance = random.Random(7)
    keys = {chance.getrandbits(62) for _ in range(30_000)}
    for way in bombs.keyed(lambda: map(bombs.integer, keys))():
        reader = Reader(tuple(received([way])), _DECODERS, 0, False)
        reader.read()
        assert reader.steps < 20 * len(keys)


def test_a_value_may_be_bounded() -> None:
    [stream] = codec.encode([[]] * 1000, "data")
    assert codec.decode(received([stream]), "data", 73_000) == [[]] * 1000
    with pytest.raises(TooLarge, match="more than the 72000 bytes allowed"):
        codec.decode(received([stream]), "data", 72_000)
    segments = codec.encode(bytes(100_000), "data")
    codec.decode(received(segments), "data", 101_000)
    with pytest.raises(TooLarge):
        codec.decode(received(segments), "data", 100_000)


def test_arguments_are_the_callers_own_and_are_read_without_bounds() -> None:
    for stream in bombs.SLOW["long ints"]():
        codec.decode(received([stream]), "data", trusted=True)


def test_collection_is_left_as_it_was() -> None:
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            codec.decode(received([bombs.dense("empty lists", SIZE)]), "data")
            with pytest.raises(Malformed):
                codec.decode(received([bombs.dense("bignums of 0", SIZE)]), "data")
            assert gc.isenabled() is enabled
        finally:
            gc.enable()


# --- through a pool -------------------------------------------------------------------------------


def forged(body: str) -> WorkerCall:
    """Return a call that writes its own result."""
    prelude = (
        "import pinfold.codec.data, pinfold._worker.call.execute as execute\n"
        "from pinfold import codec\n"
        "def forge(*segments):\n"
        "    pinfold.codec.data.encode = lambda value, root='result': list(segments)\n"
        "def forge_failure(*segments):\n"
        "    execute.pack_failure = lambda failure, codec: list(segments)\n"
        "    raise ValueError\n"
        "def failure(**other):\n"
        "    fields = dict(type='T', message='m', text='t', returncode=1)\n"
        "    return codec.encode(fields | other, 'data')\n"
    )
    return WorkerCall(f"{prelude}def f():\n    {body}", "f")


FORGED: list[tuple[str, str, str]] = [
    ("forge(bytes([0x80]) * 2)", "bad_result", "1 bytes after the value"),
    ("forge(b'\\x80', *[b''] * 100_000)", "bad_result", "100001 segments in"),
    ("forge_failure(b'a' * 9_000_000)", "bad_result", "damaged frame"),
    (
        "forge_failure(b'\\x9a' + (2_000_000).to_bytes(4, 'big') + b'\\xa1\\x60\\x80' * 2_000_000)",
        "bad_result",
        "account of its failure cannot be read|more than the 33554432 bytes",
    ),
    ("forge_failure(*failure(returncode=2**100_000))", "bad_result", "not the account"),
    ("forge_failure(*failure(returncode=True))", "bad_result", "not the account"),
]


@pytest.mark.extension
@pytest.mark.parametrize("isolation", ["fresh", "reuse"])
def test_what_a_worker_forges_is_bounded(make_backend: MakeBackend, isolation: Any) -> None:
    backend = make_backend(isolation=isolation, max_workers=1)
    for body, outcome, message in FORGED:
        result = backend.submit(forged(body)).result()
        assert result.error is not None, body
        assert result.outcome == outcome, (body, result.error.message)
        assert any(part in result.error.message for part in message.split("|")), result.error
        assert len(result.error.stderr) < 10_000


@pytest.mark.extension
@pytest.mark.parametrize("sandbox", ["none", "standard", "strict"])
def test_the_memory_of_a_value_counts_towards_result_bytes(
    make_backend: MakeBackend, sandbox: Any
) -> None:
    backend = make_backend(sandbox=sandbox, max_workers=1, limits=Limits(result_bytes=1 << 20))
    for body in ("[[] for _ in range(100_000)]", "'\\u0100' * 600_000", "bytes(1 << 20)"):
        result = backend.submit(WorkerCall(f"def f(): return {body}", "f")).result()
        assert result.outcome == "output_limit"
        with pytest.raises(OutputLimitExceeded):
            result.unwrap()
    good = WorkerCall("def f(): return [[] for _ in range(10_000)]", "f")
    assert backend.submit(good).result().unwrap() == [[]] * 10_000


@pytest.mark.extension
@pytest.mark.parametrize("sandbox", ["standard", "strict"])
def test_a_sandbox_bounds_the_result_at_a_gibibyte(make_backend: MakeBackend, sandbox: Any) -> None:
    backend = make_backend(sandbox=sandbox, max_workers=1)
    result = backend.submit(WorkerCall("def f(): return bytes((1 << 30) + 1)", "f")).result()
    assert result.outcome == "output_limit"
    more = WorkerCall("def f(): return 5", "f", limits=Limits(result_bytes=1 << 31))
    assert backend.submit(more).result().unwrap() == 5


@pytest.mark.extension
def test_a_function_of_a_huge_name_is_not_found(make_backend: MakeBackend) -> None:
    backend = make_backend(max_workers=1)
    result = backend.submit(WorkerCall("", "f" * 20_000_000)).result()
    assert result.outcome == "exception"


def test_a_hole_in_a_result_is_not_read(make_backend: MakeBackend) -> None:
    """Larger results are not read either; see `take_result` of lib/pool/worker.c."""
    backend = make_backend(max_workers=1, limits=Limits(result_bytes=1 << 20))
    result = backend.submit(WorkerCall("def f(): return bytes(3 << 30)", "f")).result()
    assert result.outcome == "output_limit"
