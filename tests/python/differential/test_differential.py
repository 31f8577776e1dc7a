# SPDX-License-Identifier: Apache-2.0
"""A program call is, byte for byte and status for status, what ``python main.py`` is.

Replaced on both sides is the path of the working directory, and addresses of objects where an entry
says so. In the ordinary run a part of the programs runs in three combinations of isolation mode and
sandbox, and all of them run without a box; the rest is `make test-exhaustive`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from program_corpus import GROUPS, Program, programs_of
from reference import References, differences, masked, outcome_of, runs_of

from boxes import level_is_there
from pinfold.config import ISOLATIONS, SANDBOXES, default_spill_dir

REFERENCES = References()
ALL = [program for group in GROUPS for program in programs_of(group)]

# What programs of contests import, and what keeps state of a process. A program must not see that
# it was loaded before.
PRELOAD = (
    "argparse asyncio bisect collections concurrent.futures.process copy datetime decimal fractions"
    " functools heapq io itertools json logging math multiprocessing.pool operator queue random re"
    " statistics string subprocess tempfile threading typing unittest weakref numpy"
).split()


@pytest.fixture(autouse=True)
def _same_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fix the order of sets of strings, on both sides."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")


def check(
    make_backend: Callable[..., Any], programs: list[Program], isolation: str, sandbox: str
) -> list[str]:
    """Return the differences of these programs in one combination."""
    if not level_is_there(sandbox):
        pytest.skip(f"this machine lacks {sandbox}")
    preload = PRELOAD if isolation == "fresh" else ()
    # A socket's path has 108 bytes at most, and the fork server's lies in the box.
    backend = make_backend(
        isolation=isolation, sandbox=sandbox, preload=preload, spill_dir=default_spill_dir()
    )
    found = list(differences(backend, runs_of(programs), REFERENCES, {isolation, sandbox}))
    backend.close()
    return found


def none(found: list[str]) -> None:
    assert not found, f"{len(found)} differences\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("isolation", "sandbox"), [("fresh", "none"), ("reuse", "standard"), ("spawn", "strict")]
)
def test_some_programs_end_as_under_python(
    make_backend: Callable[..., Any], isolation: str, sandbox: str
) -> None:
    none(check(make_backend, [each for each in ALL if each.quick], isolation, sandbox))


@pytest.mark.exhaustive
@pytest.mark.parametrize("group", GROUPS)
def test_programs_end_as_under_python(make_backend: Callable[..., Any], group: str) -> None:
    none(
        [
            text
            for isolation in ISOLATIONS
            for sandbox in filter(level_is_there, SANDBOXES)
            for text in check(make_backend, programs_of(group), isolation, sandbox)
        ]
    )


@pytest.mark.long
def test_programs_without_preloads_end_as_under_python(make_backend: Callable[..., Any]) -> None:
    backend = make_backend()
    none(list(differences(backend, runs_of(ALL), REFERENCES, {"fresh", "none"})))


@pytest.mark.long
@pytest.mark.parametrize(
    ("isolation", "sandbox"), [("fresh", "none"), ("fresh", "strict"), ("reuse", "standard")]
)
def test_programs_whose_files_come_back_end_as_under_python(
    make_backend: Callable[..., Any], isolation: str, sandbox: str
) -> None:
    if not level_is_there(sandbox):
        pytest.skip(f"this machine lacks {sandbox}")
    backend = make_backend(isolation=isolation, sandbox=sandbox, spill_dir=default_spill_dir())
    where = {"collect", sandbox}
    none(list(differences(backend, runs_of(ALL), REFERENCES, where, collect=["**"])))


@pytest.mark.exhaustive
@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C.UTF-8"},
        {"LC_ALL": "POSIX"},
        {"PYTHONUTF8": "1"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii:backslashreplace"},
        {"PYTHONUNBUFFERED": "1"},
        {"PYTHONDONTWRITEBYTECODE": "1"},
        {"TZ": "Asia/Tokyo"},
    ],
    ids=lambda variables: "-".join(f"{name}={value}" for name, value in variables.items()),
)
def test_programs_end_as_under_python_in_another_environment(
    make_backend: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    isolation: str,
    variables: dict[str, str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    programs = programs_of("reading") + programs_of("printing") + programs_of("environment")
    # Without a stderr, and with nothing left to flush at the end, no reference tells its outcome.
    untold = "descriptor_2_closed" if "PYTHONUNBUFFERED" in variables else "-"
    runs = [
        (program, case)
        for program, case in runs_of(programs)
        if not case.env and not program.name.startswith(untold)
    ]
    backend = make_backend(isolation=isolation)
    none(list(differences(backend, runs, References(), {isolation})))


@pytest.mark.exhaustive
@pytest.mark.parametrize("group", GROUPS)
def test_references_are_the_same_each_time(group: str) -> None:
    runs = runs_of(programs_of(group))
    once, again = (References().of(runs) for _ in range(2))
    none([run[0].name for run, a, b in zip(runs, once, again, strict=True) if a != b])


def test_there_are_many_programs_and_each_has_a_name_of_its_own() -> None:
    names = Counter(program.name for program in ALL)
    assert [name for name, count in names.items() if count > 1] == []
    assert len(names) >= 300


@pytest.mark.parametrize(
    ("status", "stderr", "outcome"),
    [
        (0, b"Traceback (most recent call last):\n", "ok"),
        (1, b"", "exited"),
        (1, b'  File "main.py", line 1\nSyntaxError: no\n', "exception"),
        (1, b"  + Exception Group Traceback (most recent call last):\n", "exception"),
        (3, b"Traceback (most recent call last):\n", "exited"),
        (-2, b"KeyboardInterrupt\n", "exception"),
        (-2, b"", "signalled"),
        (-9, b"KeyboardInterrupt\n", "signalled"),
    ],
)
def test_the_outcome_follows_from_how_python_ends(status: int, stderr: bytes, outcome: str) -> None:
    assert outcome_of(status, stderr) == outcome


def test_only_the_path_of_the_working_directory_is_masked() -> None:
    program = next(each for each in ALL if each.name == "import_sibling")
    text = b'File "/tmp/x-1/d/main.py", /a/sibling.py /usr/lib/json.py at 0x7f0011223344 main.py'
    assert masked(text, program, program.cases[0]) == (
        b'File "DIR/main.py", DIR/sibling.py /usr/lib/json.py at 0x7f0011223344 main.py'
    )
