# SPDX-License-Identifier: Apache-2.0
"""Programs that depend on variables of the environment."""

from __future__ import annotations

from program_corpus.entry import Case, program

PROGRAMS = [
    program(
        "variables_of_a_call",
        r"""
import os
print(os.environ["MINE"], os.getenv("EMPTY"), "OTHER" in os.environ, ascii(os.environ["ODD"]))
print(os.popen("echo $MINE").read(), os.environb[b"MINE"])
""",
        Case(env={"MINE": "a b", "EMPTY": "", "ODD": "é"}),
        quick=True,
    ),
    program(
        "time_zone",
        r"""
import time
from datetime import datetime
print(time.tzname, time.timezone, time.localtime(0)[:6], datetime.fromtimestamp(0).astimezone())
""",
        Case(env={"TZ": "America/New_York"}),
        Case(),
    ),
    program(
        "locale_of_a_call",
        r"""
import locale, sys
print(sys.stdout.encoding, sys.stdout.errors, sys.stdin.errors, sys.getfilesystemencoding())
print(locale.setlocale(locale.LC_CTYPE), locale.getpreferredencoding(), sys.flags.utf8_mode)
print(locale.setlocale(locale.LC_ALL, ""))
""",
        Case(),
        Case(env={"LC_ALL": "C"}),
        Case(env={"LC_ALL": "C.UTF-8"}),
    ),
    program(
        "encoding_of_the_streams",
        "import sys\nprint(sys.stdout.encoding, sys.stdin.encoding)\nprint('é', ascii(input()))\n",
        Case("é\n".encode()),
        Case(b"\xe9\n", env={"PYTHONIOENCODING": "latin-1"}),
        Case("é\n".encode(), env={"PYTHONIOENCODING": ":strict"}),
    ),
    program(
        "unbuffered",
        r"""
import os, sys
print("first", end="")
os.write(1, b"second")
print(sys.stdout.write_through, sys.stdout.line_buffering)
print("kept?")
os._exit(3)
""",
        Case(),
        Case(env={"PYTHONUNBUFFERED": "1"}),
    ),
    program(
        "warnings_of_a_call",
        r"""
import sys, warnings
print(sys.warnoptions)
warnings.warn("old", DeprecationWarning)
open("main.py")
warnings.warn("plain")
""",
        Case(),
        Case(env={"PYTHONWARNINGS": "error"}),
        Case(env={"PYTHONWARNINGS": "ignore"}),
    ),
    program(
        "path_of_a_call",
        "import sys\nprint(sys.path[1] == 'lib' or sys.path[1][-4:])\nimport only_there\n",
        Case(env={"PYTHONPATH": "lib"}, files={"lib/only_there.py": b"print('there')\n"}),
    ),
    program("hash_seed", "print(hash('a') == hash('a'), len({'x', 'y'}))\n"),
    program(
        "temporary_directory_is_elsewhere",
        r"""
import os, tempfile
with tempfile.TemporaryDirectory() as d:
    print(sorted(os.listdir()), os.path.dirname(d) == os.getcwd())
""",
    ),
    program(
        "directory_for_temporary_files",
        r"""
import os, tempfile
with tempfile.NamedTemporaryFile() as f:
    print(os.path.exists(f.name), tempfile.gettempdir() == os.path.dirname(f.name))
print(os.listdir())
""",
    ),
    program("home", "import os, pathlib\nprint(os.path.expanduser('~') == os.environ['HOME'])\n"),
]
