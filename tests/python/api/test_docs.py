# SPDX-License-Identifier: Apache-2.0
"""The documents say what is there: files, names, words, commands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SUFFIXES = (".c", ".h", ".py", ".pyi")

# A file with its folders, or a name with parentheses, in backquotes.
PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)+\.(?:c|h|py|pyi|md|json|toml|txt|build)$")
NAME = re.compile(r"([A-Za-z_][\w.]*)\(\)$")
QUOTED = re.compile(r"`([^`\n]+)`")

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="not a source tree")


def text_of(document: str) -> str:
    return (ROOT / document).read_text()


def without_blocks(text: str) -> str:
    """Return a document without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def source_files(*folders: str) -> Iterator[str]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT).as_posix()


def has(file: str, name: str) -> bool:
    """Whether a file defines or calls a function; of `Class.method`, also has the class."""
    text = text_of(file)
    *owners, last = name.split(".")
    found = re.search(rf"\b{last}\(", text) is not None
    return found and all(re.search(rf"^class {owner}\b", text, re.MULTILINE) for owner in owners)


def mentions(document: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each `name()` of a document with the files around it: the one before, the one after."""
    words = QUOTED.findall(without_blocks(text_of(document)))
    for at, word in enumerate(words):
        if match := NAME.fullmatch(word):
            before = [w for w in words[:at] if PATH.fullmatch(w)][-1:]
            after = [w for w in words[at:] if PATH.fullmatch(w)][:1]
            yield match[1], before + after


DOCUMENTS = [
    path.relative_to(ROOT).as_posix()
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
    if path.exists()
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_file_that_a_document_names_is_there(document: str) -> None:
    names = set(QUOTED.findall(without_blocks(text_of(document))))
    folders = (ROOT, ROOT / "python" / "pinfold", (ROOT / document).parent)
    missing = [
        name
        for name in sorted(names)
        if PATH.fullmatch(name) and not any((folder / name).exists() for folder in folders)
    ]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_link_leads_to_a_file(document: str) -> None:
    text = without_blocks(text_of(document))
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    missing = [link for link in links if not ((ROOT / document).parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/code-map.md", "docs/debugging.md"])
def test_a_function_that_a_document_names_is_in_the_file_beside_it(document: str) -> None:
    named = list(mentions(document))
    assert named
    wrong = [
        f"{name}(): in none of {files}"
        for name, files in named
        if not any(has(file, name) for file in files)
    ]
    assert not wrong


def rooms_of(document: str) -> Iterator[str]:
    """Yield the files in the tables below the headings of folders, without their suffixes."""
    folder = ""
    for line in text_of(document).splitlines():
        if line.startswith("### "):
            folder = line.removeprefix("### ").strip()
        elif match := re.match(r"\| `([\w.]+\.\w+)` \|", line):
            yield f"{folder}/{match[1]}"


def test_the_code_map_has_every_source_file() -> None:
    listed = list(rooms_of("docs/code-map.md"))
    assert not [file for file in listed if not (ROOT / file).exists()]
    stems = {file.rsplit(".", 1)[0] for file in listed}
    assert not [
        f for f in source_files("lib", "python/pinfold") if f.rsplit(".", 1)[0] not in stems
    ]


def identifiers() -> set[str]:
    """Return every identifier in the code: comments and texts do not count."""
    names: set[str] = set()
    for file in source_files("include", "lib", "python/pinfold"):
        text = text_of(file)
        if file.endswith((".c", ".h")):
            text = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', " ", text, flags=re.DOTALL)
        else:
            text = re.sub(r'""".*?"""|#[^\n]*', " ", text, flags=re.DOTALL)
        names.update(re.findall(r"\w+", text))
    return names


def glossary() -> Iterator[tuple[str, list[str]]]:
    """Yield each word of the glossary with the names that carry it."""
    for line in text_of("docs/glossary.md").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 3 and cells[0] != "word":
            yield cells[0], QUOTED.findall(cells[2])


def test_each_name_in_the_glossary_exists_in_the_code() -> None:
    known = identifiers()
    words = dict(glossary())
    assert len(words) > 40
    missing = {
        name
        for names in words.values()
        for name in names
        if not PATH.fullmatch(name) and name.removeprefix("struct ") not in known
    }
    assert not missing


def test_words_that_the_glossary_replaced_are_gone() -> None:
    old = re.compile(r"\b(told|berth|harbour|whom)\b", re.IGNORECASE)
    files = [
        path.relative_to(ROOT).as_posix()
        for folder in ("include", "lib", "python", "docs")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and path.suffix not in (".so", ".pyc")
    ]
    found = [
        f"{file}:{number}: {line.strip()}"
        for file in files
        for number, line in enumerate(text_of(file).splitlines(), 1)
        if old.search(line)
    ]
    assert not found, "\n".join(found)


def blocks(document: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", text_of(document), re.MULTILINE | re.DOTALL)
    assert found or language != "python"
    return found


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs a command, whose pools have their spill directory here."""

    def run(*command: str) -> str:
        environment = os.environ | {"TMPDIR": str(tmp_path)}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize(
    "document", ["README.md", "docs/debugging.md", "docs/grading.md", "docs/programs.md"]
)
def test_python_in_a_document_runs(document: str, run: Callable[..., str]) -> None:
    for block in blocks(document, "python"):
        if "numpy" in block:
            pytest.importorskip("numpy")
        run(sys.executable, "-c", block)


def test_the_readme_says_what_its_program_prints(run: Callable[..., str]) -> None:
    pytest.importorskip("numpy")
    (block,) = blocks("README.md", "python")
    first, second, *stack = run(sys.executable, "-c", block).splitlines()
    assert f"`{first}`" in text_of("README.md")
    assert second.startswith("timeout ") and any('"user_code.py", line 2' in line for line in stack)


# Commands that build, which CI runs for the test: a file, and a line that it must have.
BUILDING = {
    "pip install .": ("Makefile", r"\$\(PIP\) install --no-build-isolation \. "),
    "make demo": ("Makefile", r"^\t\$\(BIN\)/python examples/circle_packing/demo\.py$"),
    "make test": (".ci/run", r"(?:^make .*|^for target in )\btest\b"),
}


@pytest.mark.parametrize("line", "".join(blocks("README.md", "sh")).splitlines())
def test_a_command_of_the_readme_runs(line: str, run: Callable[..., str]) -> None:
    if line in BUILDING:
        file, pattern = BUILDING[line]
        assert re.search(pattern, text_of(file), re.MULTILINE)
        return
    word, *arguments = shlex.split(line)
    assert word == "python", "a command that no test runs"
    run(sys.executable, *arguments)


def test_the_readme_is_two_screens() -> None:
    text = text_of("README.md")
    assert len(text.splitlines()) < 120
    assert set(re.findall(r"^```(.*)$", text, re.MULTILINE)) == {"", "python", "sh"}


# A variable that is neither constant nor a function's own.
VARIABLE = re.compile(
    r"^ *static (?!.*\b(?:const|inline)\b)[^(\n]*[=;]"
    r"|^(?!typedef|struct|union|enum|extern|return|static)[a-z_]\w* \**\w+(?: =|;)",
    re.MULTILINE,
)


def test_the_library_keeps_no_state_but_the_list_of_open_pools() -> None:
    stateful = {
        file
        for file in source_files("lib/base", "lib/wire", "lib/pool")
        if file.endswith(".c") and VARIABLE.search(text_of(file))
    }
    assert stateful == {"lib/pool/fork.c"}
    assert re.search(r"list of (?:the )?open pools", text_of("docs/errors.md"))


def test_each_c_test_is_a_program_of_the_build() -> None:
    built = text_of("tests/c/meson.build")
    programs = [
        path.stem.removeprefix("test_") for path in (ROOT / "tests" / "c").rglob("test_*.c")
    ]
    assert len(programs) > 20
    assert not [name for name in programs if f"'{name}'" not in built]


def test_the_version_that_is_built_has_an_entry_in_the_changelog() -> None:
    (version,) = re.findall(r"^    version: '([^']+)'", text_of("meson.build"), re.MULTILINE)
    assert f"## [{version}]" in text_of("CHANGELOG.md")


@pytest.mark.parametrize("tool", ["clang-format", "ruff"])
def test_formatters_before_a_commit_are_those_of_make_lint(tool: str) -> None:
    (held,) = re.findall(rf'"{tool}==([^"]+)"', text_of("pyproject.toml"))
    hook = rf"repo: https://github\.com/.*{tool}.*\n    rev: v(.*)"
    (revision,) = re.findall(hook, text_of(".pre-commit-config.yaml"))
    assert re.fullmatch(re.escape(held).replace(r"\*", r"\d+"), revision)


def test_each_source_file_names_its_license() -> None:
    names = ("*.c", "*.h", "*.py", "*.pyi", "*meson.build", "meson.options", "Makefile", ".ci/run")
    listing = subprocess.run(
        ["git", "ls-files", *names], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        pytest.skip("not a clone")
    files = [name for name in listing.stdout.split() if "/candidates/" not in name]
    assert len(files) > 300
    line = re.compile(r"(?:#!.*\n)?(?:/\*|#) SPDX-License-Identifier: Apache-2\.0\b")
    assert not [name for name in files if (ROOT / name).exists() and not line.match(text_of(name))]
