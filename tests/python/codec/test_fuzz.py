"""Replay the corpora of the fuzz targets in Python; `meson test` replays those in C."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[3] / "fuzz"


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
    command = [sys.executable, FUZZ / f"{target}.py", FUZZ / "corpus" / target]
    taken, refused = map(int, subprocess.check_output(command, text=True).split())
    assert taken > 0 and refused > 0
