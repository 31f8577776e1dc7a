"""The scenarios, a file per group.

Each module has:
    TITLE, ABOUT: for the report;
    ENTRIES: the systems and limits that take part, with the number of rounds of each;
    LIMIT_S: the most seconds that one measurement may take;
    measure(system, round): runs in the caller process; yields figures by name, or raises CannotDo;
        "cannot NAME" gives the reason why there is no figure of that name;
    tables(results): the report's tables.
"""

NAMES = (
    "cold",
    "roundtrip",
    "costs",
    "throughput",
    "fresh",
    "sandbox",
    "imports",
    "print",
    "slow_import",
    "learning",
    "setup",
    "results",
    "arguments",
    "huge",
    "failures",
    "neighbours",
    "deadline",
    "timing",
    "queue",
    "scale",
    "spares",
    "evolution",
)
