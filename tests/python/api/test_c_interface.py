"""The public C headers: they compile for every caller, and the documents agree with them."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import pinfold

ROOT = Path(__file__).resolve().parents[3]
INCLUDE = ROOT / "include"


def preprocess(source: str) -> str:
    compiler = shutil.which("cc") or pytest.skip("no C compiler")
    command = [compiler, "-E", "-P", "-I", str(INCLUDE), "-x", "c", "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout


def test_header_project_package_and_metadata_are_of_one_version() -> None:
    project = re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text())
    assert project
    macro = preprocess("#include <pinfold.h>\nversion = PINFOLD_VERSION_STRING\n")
    header = "".join(re.findall(r'"([^"]*)"', macro.rpartition("version =")[2]))
    assert header == project[1]
    assert pinfold.__version__ == project[1]
    assert importlib.metadata.version("pinfold") == project[1]


def test_the_number_of_the_version_compares() -> None:
    number = "PINFOLD_VERSION_NUMBER"
    parts = ", ".join(f"PINFOLD_VERSION_{part}" for part in ("MAJOR", "MINOR", "PATCH"))
    preprocess(
        f"""#include <pinfold.h>
#if PINFOLD_VERSION != {number}({parts})
#error "the number is not that of the parts"
#endif
#if PINFOLD_VERSION <= {number}(0, 1, 255) || PINFOLD_VERSION >= {number}(1, 0, 0)
#error "the order of numbers is not that of versions"
#endif
"""
    )
