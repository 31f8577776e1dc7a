# SPDX-License-Identifier: Apache-2.0
"""Replay the corpora of the fuzz targets in Python; `meson test` replays those in C."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[3] / "fuzz"
sys.path.append(str(FUZZ))

import corpus  # noqa: E402


@pytest.mark.parametrize(
    ("body", "breach"),
    [
        ("", ""),
        ("bytes(110 * size + (1 << 20))", "bytes for"),
        ("spin(400e-9 * size + 0.011)", "ns for"),
    ],
    ids=["nothing", "memory", "time"],
)
def test_the_fuzzer_of_values_fails_when_one_costs_too_much(body: str, breach: str) -> None:
    program = f"""
import sys, time
sys.path[:0] = sys.argv[1:]
import data
read = data.codec.decode
def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end: pass
def decode(segments, codec):
    size = segments[0].nbytes
    {body}
    return read(segments, codec)
data.codec.decode = decode
data.one_input(bytes([0]) + b"\\x81\\x60")
"""
    command = [sys.executable, "-c", program, str(FUZZ), str(Path(__file__).parents[1])]
    environment = os.environ | {"PINFOLD_FUZZ_SLOWER": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert bool(ended.returncode) == bool(breach)
    assert breach in ended.stderr


@pytest.mark.extension
@pytest.mark.parametrize("target", ["channel", "data"])
def test_every_input_of_the_corpus_is_refused_or_is_what_it_should_be(target: str) -> None:
    path = corpus.archive(target)
    command = [sys.executable, FUZZ / f"{target}.py", path]
    taken, refused = map(int, subprocess.check_output(command, text=True).split())
    assert taken > 0 and refused > 0
    assert taken + refused == len(corpus.read(path))


@pytest.mark.parametrize("target", ["channel", "data", "frame", "payload", "pool"])
def test_a_corpus_packed_anew_is_the_same_archive(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = corpus.read(corpus.archive(target))
    for name, now in ("one", 1e9), ("another", 2e9):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        corpus.write(tmp_path / name, inputs)
    assert corpus.read(tmp_path / "one") == inputs
    assert (tmp_path / "one").read_bytes() == (tmp_path / "another").read_bytes()


def test_only_inputs_that_an_archive_lacks_are_added_to_it(tmp_path: Path) -> None:
    path, found = tmp_path / "a.tar.gz", tmp_path / "found"
    corpus.write(path, {"1": b"one"})
    before = path.read_bytes()
    found.mkdir()
    (found / "same").write_bytes(b"one")
    assert corpus.pack(found, path) == 0
    assert path.read_bytes() == before
    (found / "2").write_bytes(b"two")
    assert corpus.pack(found, path) == 1
    assert corpus.read(path) == {"1": b"one", "2": b"two"}
