# SPDX-License-Identifier: Apache-2.0
"""numpy through the codecs: every dtype exactly, and large memory without a copy."""

from __future__ import annotations

import gc
import mmap
import tempfile
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from codec_support import arrays, numpy_scalars, received, same, same_dtype, sent
from pinfold import codec
from pinfold.codec import NotCarried
from pinfold.codec.tags import OUT_OF_LINE

LARGE = 1 << 16

DTYPES = [
    *(np.dtype(char) for char in "?bBhHiIlLqQefdgFDG"),
    *(np.dtype(char).newbyteorder(">") for char in "hHiIlLqQefdgFDG"),
    *map(np.dtype, ["S5", "U3", ">U3", "V7", "M8[ns]", "M8[25us]", ">M8[D]", "M8", "m8[Y]", "m8"]),
    np.dtype("i4,f8"),
    np.dtype("i1,f8", align=True),
    np.dtype([("a", "f4", (2, 3)), ("b", [("x", "U3"), ("y", ">c16", 2)])]),
    np.dtype([("a", "i1"), ("b", [("x", "i1"), ("y", "f8")])], align=True),
    np.dtype({"names": ["x", "y"], "formats": ["i4", "i2"], "offsets": [0, 6], "itemsize": 16}),
    np.dtype([(("a title", "a"), "i4"), ("b", "i4")]),
    np.dtype([("ä b", "i4"), ("0", "i4")]),
    np.dtype((np.record, [("a", "i4")])),
    np.dtype([("r", np.dtype((np.record, [("a", "i4")])))]),
    np.dtype([("nothing", "S0"), ("a", "i4")]),
    np.dtype([]),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_array_of_each_dtype_arrives_as_it_was(dtype: Any) -> None:
    for shape in [(), (0,), (3,), (2, 0, 3), (2, 3), (LARGE // 8, 2)]:
        for order in "CF":
            array = np.zeros(shape, dtype, order)
            arrived = sent(array)
            assert same(arrived, array)
            assert arrived.flags.writeable and arrived.flags.aligned == array.flags.aligned


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.kind not in "SU"], ids=str)
def test_a_scalar_of_each_dtype_arrives_as_it_was(dtype: Any) -> None:
    scalar = np.zeros((), dtype)[()]
    arrived = sent([scalar])[0]
    assert type(arrived) is type(scalar) and same_dtype(arrived.dtype, scalar.dtype)
    assert arrived.tobytes() == scalar.tobytes()


@given(arrays())
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_bits_in_any_dtype_arrive(array: Any) -> None:
    assert same(sent([array])[0], array)


@given(numpy_scalars())
@settings(max_examples=200, deadline=None)
def test_any_bits_in_a_scalar_arrive(scalar: Any) -> None:
    assert same(sent({1: scalar})[1], scalar)


@pytest.mark.parametrize("text", ["", "a\0", "\ud800", "x" * 9000])
def test_numpy_strings_keep_what_an_array_would_cut(text: str) -> None:
    assert same(sent(np.str_(text)), np.str_(text))
    octets = np.bytes_(text.encode("utf-8", "surrogatepass"))
    assert same(sent(octets), octets)


def test_a_structured_scalar_can_be_written_to() -> None:
    scalar = sent(np.zeros(1, "i4,f8")[0])
    scalar["f0"] = 7
    assert scalar["f0"] == 7


@pytest.mark.parametrize("name", ["data", "pickle"])
@pytest.mark.parametrize("order", "CF")
def test_a_large_array_is_copied_on_neither_side(name: str, order: Any) -> None:
    array = np.arange(LARGE, dtype="f8").reshape((256, -1), order=order)
    segments = codec.encode({"array": array}, name)
    assert len(segments) == 2
    assert np.shares_memory(np.frombuffer(segments[1], np.uint8), array)
    views = received(segments)
    arrived: Any = codec.decode(views, name)
    arrived = arrived["array"]
    assert same(arrived, array)
    assert np.shares_memory(arrived, np.frombuffer(views[1], np.uint8))
    assert arrived.ctypes.data % 64 == 0
    arrived[0, 0] = -1.0
    assert views[1][:8] == np.float64(-1).tobytes()


@pytest.mark.parametrize("name", ["data", "pickle"])
def test_the_memory_of_a_segment_lives_as_long_as_the_array_on_it(name: str) -> None:
    segments = codec.encode(np.arange(LARGE), name)
    home = mmap.mmap(-1, memoryview(segments[1]).nbytes)
    view = memoryview(home)
    view[:] = memoryview(segments[1]).cast("B")
    arrived: Any = codec.decode([*received(segments[:1]), view], name)
    del view
    gc.collect()
    with pytest.raises(BufferError):
        home.close()
    part = arrived[10:20]
    del arrived
    gc.collect()
    with pytest.raises(BufferError):
        home.close()
    assert list(part[:2]) == [10, 11]
    del part
    gc.collect()
    home.close()


@pytest.mark.parametrize("name", ["data", "pickle"])
def test_buffers_go_out_of_line_from_the_threshold_on(name: str) -> None:
    below, at = np.zeros(OUT_OF_LINE - 1, "u1"), np.zeros(OUT_OF_LINE, "u1")
    assert len(codec.encode(below, name)) == 1
    assert len(codec.encode(at, name)) == 2
    many = [np.full(OUT_OF_LINE, i, "u1") for i in range(100)]
    arrived = sent(many, name)
    assert [int(a[0]) for a in arrived] == list(range(100))


def test_large_bytes_are_not_copied_into_the_stream() -> None:
    octets = bytes(LARGE)
    stream, buffer = codec.encode([octets], "data")
    assert len(stream) < 32 and isinstance(buffer, memoryview) and buffer.obj is octets
    array = bytearray(LARGE)
    assert isinstance(got := codec.encode(array, "data")[1], memoryview) and got.obj is array


@pytest.mark.parametrize("size", [3, LARGE])
def test_arrays_are_writable_whatever_the_source_was(size: int) -> None:
    array = np.arange(size)
    array.flags.writeable = False
    arrived = sent(array)
    arrived[0] = 5
    assert arrived[0] == 5 and array[0] == 0


@pytest.mark.parametrize("size", [12, LARGE])
def test_arrays_with_gaps_arrive_contiguous(size: int) -> None:
    array = np.arange(size).reshape(-1, 4)
    cases = (array[::2], array[:, ::-1], array[:, 1], np.broadcast_to(array[:1], array.shape))
    for view in cases:
        arrived = sent(view)
        assert arrived.flags.c_contiguous and arrived.dtype == view.dtype
        assert np.array_equal(arrived, view)


@pytest.mark.parametrize("shape", [(100, 100), (3,)])
def test_a_memmap_arrives_as_the_array_it_holds(shape: Any) -> None:
    with tempfile.NamedTemporaryFile() as file:
        array = np.memmap(file, dtype="f4", mode="w+", shape=shape)
        array[:] = 3
        arrived = sent(array)
        assert type(arrived) is np.ndarray and same(arrived, np.asarray(array))
        assert type(sent(array[1:])) is np.ndarray


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="numpy 2 has it")
def test_strings_of_any_length_are_pointers_and_are_refused() -> None:
    array = np.array(["a", "b"], dtype=np.dtypes.StringDType())
    with pytest.raises(NotCarried, match="StringDType"):
        codec.encode(array, "data")


def test_a_dtype_nested_too_deep_is_refused() -> None:
    dtype = np.dtype("f8")
    for _ in range(18):
        dtype = np.dtype([("a", dtype)])
    with pytest.raises(NotCarried, match=r"numpy\.ndarray of dtype"):
        codec.encode(np.zeros(1, dtype), "data")
    assert same(sent(np.zeros(1, dtype["a"])), np.zeros(1, dtype["a"]))


def test_an_array_of_objects_is_refused_with_its_dtype() -> None:
    with pytest.raises(NotCarried, match=r"result is a numpy.ndarray of dtype object, which"):
        codec.encode(np.array([[1], None], dtype=object), "data")
    void = np.zeros(1, [("a", object)])[0]
    with pytest.raises(NotCarried, match=r"numpy\.void of dtype"):
        codec.encode(void, "data")


def test_what_np_empty_left_in_bools_and_characters_does_not_cross() -> None:
    junk = np.full(8, 255, "u1")
    arrived = sent([junk.view(bool), junk[::2].view(bool)])
    assert same(arrived, [np.ones(8, bool), np.ones(4, bool)])
    with pytest.raises(NotCarried, match="dtype <U2 with characters beyond Unicode"):
        codec.encode(junk.view("U2"), "data")
    with pytest.raises(NotCarried, match="with bools that are neither 0 nor 1"):
        codec.encode(junk.view([("a", bool, 8)]), "data")
    with pytest.raises(NotCarried, match=r"result\[0\] is a numpy.void of dtype"):
        codec.encode([junk.view([("a", bool, 8)])[0]], "data")
