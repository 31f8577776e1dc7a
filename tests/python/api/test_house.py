# SPDX-License-Identifier: Apache-2.0
"""The rooms of the source tree: which may use which, and how large a folder may grow.

An edge leads from a module to each module that it imports, in a function or under TYPE_CHECKING
too, or from a C file to each file that it includes by a quoted name. Edges form no cycle, and lead
to the same room or to a lower one of a chain.
"""

from __future__ import annotations

import ast
import collections
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MOST_FILES = 20

# Edges against the order that stay, with the reason. CONTRIBUTING.md names each of them.
ALLOWED: dict[tuple[str, str], str] = {
    ("errors", "result"): "an error has the result as an attribute, and a result raises its error",
}

# The public modules that `_client` uses, and those that use `_client`.
TERMS = ("errors", "limits", "result", "config", "call", "protocols", "metrics")
DOORS = ("futures", "mapping", "backend", "default", "__init__")

# From the lowest room to the highest. A room that is in both chains may be used by both processes;
# no edge leads from a room of one chain to a room that is in the other alone.
CALLER = (
    ("codec", "_worker/walls"),
    ("_wire",),
    ("_ext",),
    ("_common", "_host", *TERMS),
    ("_client",),
    DOORS,
    ("_carry", "grading"),
    ("_cli",),
    ("__main__",),
)
WORKER = (
    ("codec", "_worker/walls"),
    ("_wire",),
    ("_worker/walls",),
    ("_worker/ext",),
    ("_worker/code",),
    ("_worker/box", "_worker/main", "_worker/reset"),
    ("_worker/call",),
    ("_worker/boot",),
)
LIBRARY = (("base",), ("wire",), ("process",), ("pool",))

Edges = dict[str, set[str]]


def imports_of(package: Path) -> Edges:
    """Return the edges between a package's modules, named by their paths without the suffix."""
    found = {
        path.relative_to(package).with_suffix("").as_posix()
        for pattern in ("*.py", "*.pyi")
        for path in package.rglob(pattern)
    }
    edges: Edges = {}
    for name in sorted(found):
        source = package / f"{name}.py"
        if source.exists():
            tree = ast.parse(source.read_text(), str(source))
            edges[name] = set(_imported(tree, package.name, found)) - {name}
    return edges


def _imported(tree: ast.AST, package: str, found: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"line {node.lineno}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] == package:
                yield _module(name.split(".")[1:], found)


def _module(parts: list[str], found: set[str]) -> str:
    """Return the module that `parts` lead to; the last part may be a name in it."""
    for end in (len(parts), len(parts) - 1):
        path = "/".join(parts[: max(end, 0)])
        for name in (path, f"{path}/__init__".lstrip("/")):
            if name in found:
                return name
    raise AssertionError(f"no module {'.'.join(parts)}")


def includes_of(*folders: Path) -> Edges:
    """Return the edges between C files, named by their paths in the source tree."""
    edges: Edges = {}
    for folder in folders:
        for path in sorted([*folder.rglob("*.c"), *folder.rglob("*.h")]):
            quoted = re.findall(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', path.read_text(), re.M)
            edges[_inside(path)] = {_inside(_header(path, name)) for name in quoted}
    return edges


def _header(source: Path, name: str) -> Path:
    places = [place / name for place in (source.parent, ROOT / "lib", ROOT / "include")]
    for place in places:
        if place.exists():
            return place.resolve()
    raise AssertionError(f"{source}: no file {name}")


def _inside(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def cycles(edges: Edges) -> list[str]:
    """Return the sets of names that reach each other (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles: list[str] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(edges.get(name, ())):
            if target not in index:
                visit(target)
            if target in stack:
                low[name] = min(low[name], low[target])
        if low[name] == index[name]:
            at = stack.index(name)
            circle = stack[at:]
            del stack[at:]
            if len(circle) > 1:
                circles.append(" ".join(sorted(circle)))

    for name in sorted(edges):
        if name not in index:
            visit(name)
    return circles


def ranks(chain: Iterable[Iterable[str]]) -> dict[str, int]:
    return {room: rank for rank, rooms in enumerate(chain) for room in rooms}


def room_of(name: str, rooms: Iterable[str]) -> str:
    """Return the innermost room that the file is in, or the name itself where it is in none."""
    around = [room for room in rooms if name == room or name.startswith(f"{room}/")]
    return max(around, key=len, default=name)


def against(edges: Edges, *chains: Mapping[str, int]) -> list[str]:
    """Return the edges that lead upwards in each chain that has both ends, or that no chain has."""
    rooms = {room for chain in chains for room in chain}
    refused = []
    for source, targets in sorted(edges.items()):
        for target in sorted(targets):
            here, there = room_of(source, rooms), room_of(target, rooms)
            ways = [chain for chain in chains if here in chain and there in chain]
            if not any(chain[there] <= chain[here] for chain in ways):
                refused.append(f"{source} -> {target}")
    return refused


def without_allowed(edges: Edges) -> Edges:
    return {
        source: {target for target in targets if (source, target) not in ALLOWED}
        for source, targets in edges.items()
    }


def none(offenders: Iterable[str]) -> None:
    assert not (text := "\n".join(offenders)), text


PACKAGE = ROOT / "python" / "pinfold"


def python_edges() -> Edges:
    edges = without_allowed(imports_of(PACKAGE))
    edges.pop("__init__")  # loads a public name's module when the name is first used
    for folder in [name for name in edges if name.endswith("/__init__")]:
        edges[folder.removesuffix("/__init__")] = edges.pop(folder)
    return {
        source: {target.removesuffix("/__init__") for target in targets}
        for source, targets in edges.items()
    }


def c_edges() -> Edges:
    """Return the edges of the library and of the extensions."""
    return without_allowed(includes_of(ROOT / "lib", PACKAGE))


def test_modules_import_each_other_in_no_cycle() -> None:
    none(cycles(python_edges()))


def test_modules_import_from_their_own_room_or_a_lower_one() -> None:
    none(against(python_edges(), ranks(CALLER), ranks(WORKER)))


def test_c_files_include_each_other_in_no_cycle() -> None:
    none(cycles(c_edges()))


def test_c_files_include_from_their_own_room_or_a_lower_one() -> None:
    library = [[f"lib/{room}" for room in rooms] for rooms in LIBRARY]
    caller = [[f"python/pinfold/{room}" for room in rooms] for rooms in CALLER]
    worker = [[f"python/pinfold/{room}" for room in rooms] for rooms in WORKER]
    # The package uses include/pinfold.h, and what of the library knows nothing of pools.
    chains = [ranks([["include"], *rooms]) for rooms in (library, library[:3] + caller)]
    chains.append(ranks([["include"], *library[:3], *worker]))
    none(against(c_edges(), *chains))


def test_what_is_allowed_against_the_order_exists_and_contributing_gives_the_reason() -> None:
    edges = imports_of(PACKAGE) | includes_of(ROOT / "lib", PACKAGE)
    for (source, target), reason in ALLOWED.items():
        assert target in edges[source], f"{source} -> {target} is gone: remove it from ALLOWED"
        assert reason
        text = (ROOT / "CONTRIBUTING.md").read_text()
        assert f"`{source}`" in text and f"`{target}`" in text


def test_no_folder_holds_more_files_of_source_than_a_reader_can_take_in() -> None:
    listing = subprocess.run(
        ["git", "ls-files", "*.c", "*.h", "*.py", "*.pyi"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("not a clone")
    folders = collections.Counter(Path(name).parent.as_posix() for name in listing.stdout.split())
    none(f"{name}: {count}" for name, count in folders.items() if count > MOST_FILES)


def test_imports_in_functions_and_for_type_checkers_are_edges(tmp_path: Path) -> None:
    package = tmp_path / "rooms"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "__init__.py").write_text("")
    (package / "inner" / "deep.py").write_text(
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from rooms.top import NAME\n"
    )
    (package / "top.py").write_text(
        "def f():\n    from rooms.inner import deep\n    return deep\n\n\nNAME = 1\n"
    )
    edges = imports_of(package)
    assert edges["top"] == {"inner/deep"}
    assert edges["inner/deep"] == {"top"}
    assert cycles(edges) == ["inner/deep top"]
    assert against(edges, ranks([("inner",), ("top",)])) == ["inner/deep -> top"]
    assert against(edges, ranks([("inner",)]), ranks([("top",)])) == [
        "inner/deep -> top",
        "top -> inner/deep",
    ]
