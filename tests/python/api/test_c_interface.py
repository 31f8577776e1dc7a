# SPDX-License-Identifier: Apache-2.0
"""The public C headers: they compile for every caller, and the documents agree with them."""

from __future__ import annotations

import errno
import functools
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


ERRNO = re.compile(r"\bE[A-Z0-9]+\b")


def functions_of(header: str) -> dict[str, tuple[str, str]]:
    """Each public function of the header: its comment, and its declaration."""
    found = re.findall(
        r"/\*((?:(?!\*/).)*)\*/\n(PINFOLD_API (?:(?!;).)*?\b(pinfold_\w+)\((?:(?!;).)*;)",
        header,
        re.DOTALL,
    )
    functions = {name: (comment, declaration) for comment, declaration, name in found}
    assert len(functions) == header.count("\nPINFOLD_API "), "a function has no comment of its own"
    return functions


def table_of_errors(document: str) -> dict[str, set[str]]:
    """The errnos of each function by the table; those of every function have the key ""."""
    table = document.partition("| function | errno | means |\n|---|---|---|\n")[2].partition(
        "\n\n"
    )[0]
    rows: dict[str, set[str]] = {}
    names: list[str] = []
    for line in table.strip().splitlines():
        function, errnos = (cell.strip() for cell in line.split("|")[1:3])
        if function:
            names = re.findall(r"`(\w+)`", function) or [""]
            assert not rows.keys() & set(names), f"{names} have rows in two places"
        for name in names:
            rows.setdefault(name, set()).update(ERRNO.findall(errnos))
    return rows


def test_every_errno_of_every_function_is_in_the_header_and_in_the_table() -> None:
    header = (INCLUDE / "pinfold.h").read_text()
    functions = functions_of(header)
    table = table_of_errors((ROOT / "docs/errors.md").read_text())
    assert table.pop("") == {"ECHILD"}
    assert "-ECHILD" in header.partition("#ifndef")[0]
    assert table.keys() == functions.keys()
    for name, (comment, declaration) in functions.items():
        assert set(re.findall(r"-(E[A-Z0-9]+)\b", comment)) == table[name], name
        assert not table[name] or declaration.startswith("PINFOLD_API int"), name


def test_every_errno_of_the_headers_is_the_kernels() -> None:
    headers = "".join(path.read_text() for path in INCLUDE.glob("*.h"))
    names = set(re.findall(r"-(E[A-Z0-9]+)\b", headers))
    assert names and names <= set(errno.errorcode.values())


def test_every_function_of_the_library_is_in_the_header() -> None:
    declared = functions_of((INCLUDE / "pinfold.h").read_text()).keys()
    sources = "".join(path.read_text() for path in (ROOT / "lib").rglob("*.c"))
    defined = re.findall(r"^[\w *]*\b(pinfold_\w+)\([^;{]*\)\n\{", sources, re.MULTILINE)
    assert set(defined) == declared


LANGUAGES = {"C11": ("-x", "c", "-std=c11"), "C++17": ("-x", "c++", "-std=c++17")}


def compile_as(compiler: str, language: str, source: str) -> subprocess.CompletedProcess[str]:
    strict = ("-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only")
    command = [compiler, *LANGUAGES[language], *strict, "-I", str(INCLUDE), "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True)


@functools.cache
def compiler_of(language: str) -> str | None:
    """Return a compiler of the language; cc may be one of C++ where c++ is missing."""
    known = ("cc", "gcc", "clang") if language == "C11" else ("c++", "g++", "clang++", "cc")
    there = filter(shutil.which, known)
    source = "#include <stdlib.h>\n" if language == "C11" else "#include <atomic>\n"
    return next((it for it in there if compile_as(it, language, source).returncode == 0), None)


def check(source: str, language: str) -> None:
    """Compile the source without a warning."""
    compiler = compiler_of(language) or pytest.skip(f"no compiler of {language} on this machine")
    done = compile_as(compiler, language, source)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("header", [path.name for path in sorted(INCLUDE.glob("*.h"))])
def test_a_header_compiles_alone_without_a_warning(header: str, language: str) -> None:
    check(f"#include <{header}>\n#include <{header}>\n", language)


def number(text: str) -> str:
    return text.replace(",", "")


def protocol_by_the_document() -> list[str]:
    """What the design says of the protocol, as conditions in C."""
    text = (ROOT / "docs/design.md").read_text().partition("\n## The protocol\n")[2]
    kinds = re.findall(r"^\| (\d+) ([A-Z]+) \|", text, re.MULTILINE)
    bodies = re.findall(r"^\*\*(\w+)\*\*, (\d+) bytes:", text, re.MULTILINE)
    assert len(kinds) == 17 and len(bodies) == 7
    found = {
        "sizeof(struct pinfold_frame_head)": r"### The head, (\d+) bytes",
        "sizeof(struct pinfold_slate)": r"### The slate\n\n([\d,]+) bytes",
        "sizeof(struct pinfold_printed)": r"### The printed buffer\n\n([\d,]+) bytes",
        "offsetof(struct pinfold_printed, c)": r"\| ([\d,]+) \| [\d,]+ bytes \| of C's stdout",
        "PINFOLD_FRAME_MAX": r"A frame is at most ([\d,]+) bytes",
        "PINFOLD_FRAME_MAGIC": r"\| magic \| (0x\w+) \(",
        "PINFOLD_FRAME_VERSION": r"\| version \| (\d+) \|",
        "PINFOLD_SETUP_PATH_MAX": r"spill directory, 1 … (\d+) bytes",
        "PINFOLD_NOTE_MAX": r"0 … (\d+) bytes",
        "PINFOLD_PAYLOAD_MAGIC": r"\| magic (0x\w+) ",
        "PINFOLD_PAYLOAD_ALIGN": r"zeroes up to a multiple of (\d+)",
        "PINFOLD_PAYLOAD_INLINE_MAX": r"as a tail \(up to ([\d,]+) of them",
        "PINFOLD_CONTROL_FD": r"SETUP waiting on descriptor (\d+)",
        "PINFOLD_SLATE_TURN_BITS": r"modulo\s2\^(\d+)",
        "PINFOLD_SLATE_TURNS": r"\| (\d+) . i64, atomic",
    }
    return [
        *(f"PINFOLD_FRAME_{kind} == {value}" for value, kind in kinds),
        f"PINFOLD_FRAME_KINDS == {len(kinds) + 1}",
        *(f"sizeof(struct pinfold_frame_{body}) == {size}" for body, size in bodies),
        *(f"{name} == {number(re.findall(pattern, text)[0])}" for name, pattern in found.items()),
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_protocol_of_the_design_is_that_of_the_header(language: str) -> None:
    lines = [f'static_assert({it}, "by docs/design.md");' for it in protocol_by_the_document()]
    check("#include <assert.h>\n#include <pinfold_worker.h>\n" + "\n".join(lines) + "\n", language)
