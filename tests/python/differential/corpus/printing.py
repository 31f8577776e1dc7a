# SPDX-License-Identifier: Apache-2.0
"""Programs that write to stdout and stderr, in every way in which programs do."""

from __future__ import annotations

from corpus.entry import Case, program

PROGRAMS = [
    program("hello", "print('Hello, world!')", quick=True),
    program("no_output", "x = 1\n"),
    program("empty_program", ""),
    program(
        "print_arguments",
        r"""
print(1, "a", None, sep="-", end="!\n")
print()
print(*range(5), sep="\n")
print("no newline", end="")
""",
        quick=True,
    ),
    program(
        "print_to_stderr",
        r"""
import sys
print("out")
print("err", file=sys.stderr)
print("err without newline", end="", file=sys.stderr)
""",
        quick=True,
    ),
    program(
        "write_and_buffer",
        r"""
import sys
print(sys.stdout.write("text\n"))
sys.stdout.flush()
sys.stdout.buffer.write(b"bytes \xff\n")
sys.stdout.buffer.flush()
sys.stdout.write("more")
""",
        quick=True,
    ),
    program(
        "buffer_overtakes_text",
        "import sys\nprint('text')\nsys.stdout.buffer.write(b'bytes\\n')\nprint('text again')\n",
    ),
    program(
        "os_write_overtakes_print",
        "import os\nprint('printed')\nos.write(1, b'written\\n')\nprint('again', flush=True)\n"
        "os.write(1, b'last')\nos.write(2, b'error')\n",
        quick=True,
    ),
    program("writelines", "import sys\nsys.stdout.writelines(['a\\n', 'b', '\\n'])\n"),
    program("joined_output", "print('\\n'.join(str(i * i) for i in range(2000)))"),
    program("much_output", "for i in range(60_000):\n    print(i, 'x' * (i % 7))\n"),
    program(
        "much_binary_output", "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 3000)\n"
    ),
    program(
        "one_large_write", "import os\nprint(os.write(1, b'z' * 500_000) > 0)\nprint('y' * 300_000)"
    ),
    program(
        "both_streams_much",
        "import sys\nfor i in range(5000):\n    print('out', i)\n    print('err', i, file=sys.stderr)\n",
    ),
    program("unicode_output", "print('naïve café — 日本語 🎉 \\N{GREEK SMALL LETTER ALPHA}')\n"),
    program("surrogate_to_stdout", "print('before')\nprint('lone \\ud800 surrogate')\n"),
    program("surrogate_escaped_byte", "print('byte \\udcff escaped')\n"),
    program(
        "surrogate_to_stderr",
        "import sys\nprint('lone \\ud800 \\udcff', file=sys.stderr)\nprint(sys.stderr.errors)\n",
    ),
    program("print_what_is_no_str", "print(b'bytes', 1.0, [1], {2: 3}, print, int, ..., 3j)\n"),
    program("print_of_broken_str", "class C:\n    def __str__(self): return 5\nprint(C())\n"),
    program(
        "print_errors",
        r"""
import sys
for bad in (dict(sep=1), dict(end=b""), dict(file=5), dict(nothing=1)):
    try:
        print("x", **bad)
    except Exception as error:
        print(type(error).__name__, error)
sys.stdout.write(b"bytes")
""",
    ),
    program(
        "what_stdout_is",
        r"""
import os, stat, sys
for s in (sys.stdout, sys.stderr):
    print(s.fileno(), s.isatty(), s.name, s.mode, s.encoding, s.errors, s.newlines)
    print(s.line_buffering, s.write_through, s.readable(), s.writable(), s.closed)
    print(type(s).__name__, type(s.buffer).__name__, type(s.buffer.raw).__name__)
    print(s.buffer.raw.mode, s.buffer.raw.name, s.buffer.raw.closefd)
    print(s.reconfigure, s) if False else print(s)
print(sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__, os.isatty(1), os.isatty(2))
""",
        quick=True,
    ),
    program(
        "stdout_is_a_pipe",
        r"""
import os, stat, sys
print(sys.stdout.seekable(), [stat.S_ISFIFO(os.fstat(n).st_mode) for n in (1, 2)])
try:
    print(sys.stdout.tell())
except OSError as error:
    print(error)
try:
    os.lseek(1, 0, os.SEEK_SET)
except OSError as error:
    print(error)
""",
    ),
    program(
        "flush_every_time",
        "import sys, time\nfor i in range(5):\n    print(i, end=' ', flush=True)\nsys.stdout.flush()\n",
    ),
    program(
        "replaced_print",
        r"""
import functools, sys
print = functools.partial(print, flush=True, file=sys.stderr)
print("to stderr")
import builtins
builtins.print("to stdout")
""",
    ),
    program(
        "redirected_stdout",
        r"""
import contextlib, io, sys
text = io.StringIO()
with contextlib.redirect_stdout(text):
    print("hidden")
print(repr(text.getvalue()))
with contextlib.redirect_stderr(sys.stdout):
    print("error", file=sys.stderr)
sys.stdout = io.StringIO()
print("lost at the end")
""",
    ),
    program(
        "stdout_as_a_string_buffer_printed_at_the_end",
        r"""
import io, os, sys, atexit
sys.stdout = io.BytesIO()
atexit.register(lambda: os.write(1, sys.stdout.getvalue()))
for i in range(3):
    sys.stdout.write(b"%d\n" % i)
""",
    ),
    program(
        "stdout_wrapped_again",
        r"""
import io, sys
sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-16-le", newline="\r\n")
print("wide é")
""",
    ),
    program(
        "stdout_detached",
        "import sys, io\nraw = sys.stdout.detach()\nraw.write(b'raw\\n')\nprint('lost')\n",
    ),
    program(
        "stdout_reconfigured",
        r"""
import sys
sys.stdout.reconfigure(encoding="ascii", errors="xmlcharrefreplace", line_buffering=True)
print("é ü")
sys.stdout.reconfigure(errors="strict", newline="\r\n")
print("line")
print("é")
""",
    ),
    program(
        "write_through",
        "import sys,os\nsys.stdout.reconfigure(write_through=True)\n"
        "sys.stdout.write('a')\nos.write(1, b'b')\nsys.stdout.write('c')\n",
    ),
    program(
        "stdout_is_none",
        "import sys\nsys.stdout = None\nprint('nothing')\nsys.stderr = None\n1/0\n",
        outcome="exception",
    ),
    program(
        "stderr_is_none",
        "import sys\nsys.stderr = None\nprint('x')\nraise ValueError('unseen')\n",
        outcome="exception",
    ),
    program(
        "stderr_is_closed",
        "import sys\nsys.stderr.close()\nprint('x')\n1/0\n",
        outcome="exception",
        addresses=True,
    ),
    program(
        "stderr_goes_to_a_string",
        "import io, sys\nsys.stderr = io.StringIO()\n1/0\n",
        outcome="exception",
    ),
    program("stdout_closed", "import sys\nprint('kept')\nsys.stdout.close()\n", quick=True),
    program("print_after_close", "import sys\nprint('kept')\nsys.stdout.close()\nprint('no')\n"),
    program("descriptor_1_closed", "import os\nprint('lost')\nos.close(1)\n", quick=True),
    program(
        "descriptor_1_closed_later",
        "import os, sys\nprint('kept', flush=True)\nos.close(1)\nprint('lost')\n",
    ),
    program(
        "descriptor_1_closed_nothing_left", "import os\nprint('kept', flush=True)\nos.close(1)\n"
    ),
    program(
        "descriptor_2_closed", "import os, sys\nos.close(2)\nprint('out')\nsys.stderr.write('x')\n"
    ),
    program("descriptor_2_closed_and_error", "import os\nos.close(2)\nprint('out')\n1/0\n"),
    program(
        "all_descriptors_closed",
        "import os\nprint('x', flush=True)\nfor n in range(3): os.close(n)\n",
    ),
    program("closerange", "import os\nprint('x', flush=True)\nos.closerange(3, 64)\nprint('y')\n"),
    program(
        "closes_everything_above_2",
        "import os\nprint('a')\nos.closerange(3, 65536)\nprint('b')\n1/0\n",
    ),
    program(
        "stdout_to_stderr_by_dup2",
        "import os, sys\nprint('to out', flush=True)\nos.dup2(2, 1)\nprint('to err')\n",
    ),
    program(
        "stdout_to_dev_null",
        "import os\nprint('kept', flush=True)\nnull = os.open('/dev/null', os.O_WRONLY)\n"
        "os.dup2(null, 1)\nprint('dropped')\n",
    ),
    program(
        "stdout_to_a_full_device",
        "import os\nfull = os.open('/dev/full', os.O_WRONLY)\nos.dup2(full, 1)\nprint('does not fit')\n",
    ),
    program(
        "write_to_a_full_device",
        "with open('/dev/full', 'w') as full:\n    print('does not fit', file=full)\n",
    ),
    program(
        "stdout_to_a_broken_pipe",
        r"""
import os
reading, writing = os.pipe()
os.close(reading)
os.dup2(writing, 1)
os.close(writing)
print("nobody reads")
""",
    ),
    program(
        "broken_pipe_caught",
        r"""
import os, sys
reading, writing = os.pipe()
os.close(reading)
try:
    os.write(writing, b"x")
except BrokenPipeError as error:
    print(error.errno, error)
os.dup2(writing, 1)
try:
    print("x" * 100_000)
except BrokenPipeError:
    sys.stderr.write("broken\n")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(1)
""",
    ),
    program(
        "unclosed_file_on_1", "f = open(1, 'w')\nf.write('flushed at the end\\n')\n", quick=True
    ),
    program(
        "unclosed_file_on_1_in_a_function",
        "def f():\n    open(1, 'w', closefd=False).write('x\\n')\nf()\nprint('y')\n",
    ),
    program("closed_file_on_1", "with open(1, 'w') as f:\n    f.write('kept\\n')\nprint('lost')\n"),
    program(
        "fdopen_of_a_duplicate",
        "import os\nout = os.fdopen(os.dup(1), 'w', 1)\nout.write('line\\nrest')\nprint('printed')\n",
    ),
    program(
        "dev_stdout",
        "print('a', flush=True)\nopen('/dev/stdout', 'w').write('b\\n')\n"
        "print('c', file=open('/dev/stderr', 'w'))\n",
    ),
    program(
        "dev_fd_1",
        "open('/dev/fd/1', 'a').write('x\\n')\nopen('/proc/self/fd/2', 'w').write('y')\n",
    ),
    program(
        "print_in_a_loop_with_carriage_returns",
        "for i in range(4):\n    print(f'\\r{i}/3', end='')\nprint('\\x07\\x00\\x1b[0m')\n",
    ),
    program(
        "pretty_printing",
        r"""
import pprint
pprint.pprint({"a": list(range(30)), "b": {"c": ["x" * 40, "y" * 40]}, (1, 2): {3, 1, 2}})
""",
    ),
    program(
        "a_table",
        r"""
rows = [("name", "n", "x"), ("one", 1, 1.5), ("twenty", 20, 0.333333)]
for name, n, x in rows:
    print(f"{name:<8}|{n:>4}|{x!s:^10}|")
print("=" * 24)
""",
    ),
    program(
        "both_in_order",
        r"""
import sys
print("1 out")
sys.stderr.write("2 err")
sys.stderr.flush()
sys.stdout.flush()
print("3 err", file=sys.stderr)
print("4 out")
sys.__stderr__.write("5\n")
sys.__stdout__.write("6\n")
""",
    ),
    program(
        "displayhook_is_for_consoles",
        "import sys\n1 + 1\n'a string'\nsys.displayhook(7)\nsys.displayhook(None)\nprint(_)\n",
    ),
    program(
        "audit_and_trace_nothing",
        "import sys\nprint(sys.gettrace(), sys.getprofile(), sys.flags.optimize, __debug__)\n",
    ),
    program("help_text", "help(len)\n"),
    program(
        "prints_its_arguments",
        "import sys\nprint(sys.argv)\nprint(len(sys.argv[1:]))\n",
        Case(argv=("a", "b c", "", "--x=1", "é", "-")),
        quick=True,
    ),
]
