"""The scenarios: a folder per subject, a module per scenario.

Each module has:
    TITLE, ABOUT: for the report;
    ENTRIES: the systems and limits that take part, with the number of rounds of each;
    LIMIT_S: the most seconds that one measurement may take;
    measure(system, round): runs in the caller process; yields figures by name, or raises CannotDo;
        "cannot NAME" gives the reason why there is no figure of that name;
    tables(results): the report's tables.
"""

# In the order of the report. A scenario's name is its module's, unique among all folders.
FOLDERS = {
    "calls": ("cold", "roundtrip", "costs", "throughput", "fresh", "sandbox"),
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
