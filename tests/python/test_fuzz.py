"""The corpora of the fuzz targets in Python, replayed; those in C are replayed by `meson test`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent.parent.parent / "fuzz"


@pytest.mark.extension
@pytest.mark.parametrize("target", ["channel", "data"])
def test_every_input_of_the_corpus_is_refused_or_is_what_it_should_be(target: str) -> None:
    command = [sys.executable, FUZZ / f"{target}.py", FUZZ / "corpus" / target]
    taken, refused = map(int, subprocess.check_output(command, text=True).split())
    assert taken > 0 and refused > 0
