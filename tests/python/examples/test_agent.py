# SPDX-License-Identifier: Apache-2.0
"""examples/agent: a model's snippet runs with files, and what it wrote comes back."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from boxes import level_is_there

TOOL = Path(__file__).resolve().parents[3] / "examples" / "agent" / "tool.py"
LEVELS = ["none", "standard", "strict"]

# A PNG of 4 x 4 black pixels, without a library.
DRAW = """
import struct, zlib

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

with open("notes/in.txt") as file:
    print(file.read().upper())
rows = b"".join(b"\\0" + bytes(4) for _ in range(4))
with open("plot.png", "wb") as file:
    header = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
    file.write(b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", header))
    file.write(chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
"""


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("agent_tool", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["agent_tool"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["agent_tool"]


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    if not level_is_there(request.param):
        pytest.skip("not to be had here")
    return str(request.param)


def reports(tool: ModuleType, level: str, *snippets: tuple[str, Any]) -> list[dict[str, Any]]:
    async def run_all() -> list[dict[str, Any]]:
        with tool.PythonTool(sandbox=level) as python:
            return [await python.run(code, files) for code, files in snippets]

    return asyncio.run(run_all())


def test_a_plot_comes_back_and_the_given_file_does_not(
    tool: ModuleType, level: str, leftovers: object
) -> None:
    (report,) = reports(tool, level, (DRAW, {"notes/in.txt": "hello"}))
    assert (report["outcome"], report["returncode"]) == ("ok", 0), report
    assert report["stdout"] == "HELLO\n"
    assert list(report["files"]) == ["plot.png"]
    assert base64.b64decode(report["files"]["plot.png"]).startswith(b"\x89PNG\r\n\x1a\n")
    assert report["refused"] == {}
    json.dumps(report)


def test_whatever_the_model_wrote_there_is_a_report(
    tool: ModuleType, level: str, leftovers: object
) -> None:
    wrong, syntax, left, outside, link = reports(
        tool,
        level,
        (tool.WRONG, tool.DATA),
        ("print(", None),
        ("import sys; open('half.txt', 'w').write('x'); sys.exit('no luck')", None),
        ("pass", {"../x": ""}),
        ("import os; os.symlink('/etc/passwd', 'passwd')", None),
    )
    assert wrong["outcome"] == "exception"
    assert "TypeError" in wrong["stderr"]
    assert syntax["outcome"] == "exception"
    assert "SyntaxError" in syntax["stderr"]
    assert (left["outcome"], left["returncode"]) == ("exited", 1)
    assert left["stderr"] == "no luck\n"
    assert list(left["files"]) == ["half.txt"]
    assert outside["outcome"] == "invalid"
    assert "'../x'" in outside["stderr"]
    assert link["outcome"] == "ok"
    assert link["files"] == {}
    assert list(link["refused"]) == ["passwd"]


def test_a_snippet_that_never_ends_is_ended_and_its_files_are_there(
    tool: ModuleType, level: str, leftovers: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pinfold import Limits

    monkeypatch.setattr(tool, "LIMITS", Limits(wall_s=0.5))
    code = "with open('begun.txt', 'w') as file:\n    file.write('x')\n" + tool.ENDLESS
    (report,) = reports(tool, level, (code, None))
    assert report["outcome"] == "timeout"
    assert "the time of 0.5 s passed" in report["stderr"]
    assert list(report["files"]) == ["begun.txt"]


def test_long_output_is_shortened_for_the_model(tool: ModuleType, leftovers: object) -> None:
    (report,) = reports(tool, "none", ("print('a' * 9999 + 'z')", None))
    assert len(report["stdout"]) < 4100
    assert report["stdout"].startswith("aaa")
    assert report["stdout"].endswith("z\n")


@pytest.mark.libraries
@pytest.mark.skipif(find_spec("matplotlib") is None, reason="no matplotlib here")
def test_the_demo_draws_with_matplotlib(
    tool: ModuleType, level: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if level == "none":
        pytest.skip("the boxes are of interest")
    assert asyncio.run(tool.demo(level, tmp_path)) == 1
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "mean: 9.9" in capsys.readouterr().out
