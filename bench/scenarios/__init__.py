"""The scenarios, one module each.

Each module has:
    TITLE, ABOUT: texts of the report;
    ENTRIES: the systems and limits to measure, with the number of rounds of each;
    LIMIT_S: the most seconds that one measurement may take;
    measure(system, round): runs in the process of a measurement; yields figures by name, or raises
        CannotDo; "cannot NAME" is the reason why there is no figure NAME;
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
