# SPDX-License-Identifier: Apache-2.0
"""The scenarios: a folder per subject, a module per scenario.

Each module has:
    TITLE, ABOUT: texts of the report;
    ENTRIES: the systems and limits to measure, with the number of rounds of each;
    LIMIT_S: the most seconds that one measurement may take;
    measure(system, round): runs in the process of a measurement; yields figures by name, or raises
        CannotDo; "cannot NAME" is the reason why there is no figure NAME;
    tables(results): the report's tables.
"""

# In the order of the report. A scenario's name is its module's, unique among all folders.
FOLDERS = {
    "calls": ("cold", "roundtrip", "costs", "throughput", "fresh", "programs", "sandbox"),
    "modules": ("imports", "slow_import", "learning", "setup"),
    "values": ("print", "results", "arguments", "huge"),
    "endings": ("failures", "neighbours", "deadline", "timing"),
    "load": ("queue", "scale", "spares", "evolution"),
}

NAMES = tuple(name for names in FOLDERS.values() for name in names)


def module_of(name: str) -> str:
    """Return the full name of a scenario's module."""
    folder = next(folder for folder, names in FOLDERS.items() if name in names)
    return f"bench.scenarios.{folder}.{name}"
