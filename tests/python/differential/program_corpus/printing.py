# SPDX-License-Identifier: Apache-2.0
"""Programs that write to stdout and stderr, in every way in which programs do."""

from __future__ import annotations

from program_corpus.entry import ALWAYS, NO_WAY_TO_TELL, NOT_TAKEN_APART, Case, program

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
        r"""
import sys
print('text')
sys.stdout.buffer.write(b'bytes\n')
print('text again')
""",
    ),
    program(
        "os_write_overtakes_print",
        r"""
import os
print('printed')
os.write(1, b'written\n')
print('again', flush=True)
os.write(1, b'last')
os.write(2, b'error')
""",
        quick=True,
    ),
    program(
        "writelines",
        r"""
import sys
sys.stdout.writelines(['a\n', 'b', '\n'])
""",
    ),
    program("joined_output", "print('\\n'.join(str(i * i) for i in range(2000)))"),
    program(
        "much_output",
        r"""
for i in range(60_000):
    print(i, 'x' * (i % 7))
""",
    ),
    program(
        "much_binary_output",
        r"""
import sys
sys.stdout.buffer.write(bytes(range(256)) * 3000)
""",
    ),
    program(
        "one_large_write", "import os\nprint(os.write(1, b'z' * 500_000) > 0)\nprint('y' * 300_000)"
    ),
    program(
        "both_streams_much",
        r"""
import sys
for i in range(5000):
    print('out', i)
    print('err', i, file=sys.stderr)
""",
    ),
    program("unicode_output", "print('naïve café — 日本語 🎉 \\N{GREEK SMALL LETTER ALPHA}')\n"),
    program(
        "surrogate_to_stdout",
        r"""
print('before')
print('lone \ud800 surrogate')
""",
    ),
    program("surrogate_escaped_byte", "print('byte \\udcff escaped')\n"),
    program(
        "surrogate_to_stderr",
        r"""
import sys
print('lone \ud800 \udcff', file=sys.stderr)
print(sys.stderr.errors)
""",
    ),
    program("print_what_is_no_str", "print(b'bytes', 1.0, [1], {2: 3}, print, int, ..., 3j)\n"),
    program(
        "print_of_broken_str",
        r"""
class C:
    def __str__(self): return 5
print(C())
""",
    ),
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
        r"""
import sys, time
for i in range(5):
    print(i, end=' ', flush=True)
sys.stdout.flush()
""",
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
        r"""
import sys, io
raw = sys.stdout.detach()
raw.write(b'raw\n')
print('lost')
""",
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
        r"""
import sys,os
sys.stdout.reconfigure(write_through=True)
sys.stdout.write('a')
os.write(1, b'b')
sys.stdout.write('c')
""",
    ),
    program(
        "stdout_is_none",
        r"""
import sys
sys.stdout = None
print('nothing')
sys.stderr = None
1/0
""",
        outcome="exception",
    ),
    program(
        "stderr_is_none",
        r"""
import sys
sys.stderr = None
print('x')
raise ValueError('unseen')
""",
        outcome="exception",
    ),
    program(
        "stderr_is_closed",
        r"""
import sys
sys.stderr.close()
print('x')
1/0
""",
        outcome="exception",
        addresses=True,
        differs=dict.fromkeys(ALWAYS, NOT_TAKEN_APART),
    ),
    program(
        "stderr_goes_to_a_string",
        r"""
import io, sys
sys.stderr = io.StringIO()
1/0
""",
        outcome="exception",
    ),
    program(
        "stdout_closed",
        r"""
import sys
print('kept')
sys.stdout.close()
""",
        quick=True,
    ),
    program(
        "print_after_close",
        r"""
import sys
print('kept')
sys.stdout.close()
print('no')
""",
    ),
    program(
        "descriptor_1_closed",
        r"""
import os
print('lost')
os.close(1)
""",
        quick=True,
    ),
    program(
        "descriptor_1_closed_later",
        r"""
import os, sys
print('kept', flush=True)
os.close(1)
print('lost')
""",
    ),
    program(
        "descriptor_1_closed_nothing_left",
        r"""
import os
print('kept', flush=True)
os.close(1)
""",
    ),
    program(
        "descriptor_2_closed",
        r"""
import os, sys
os.close(2)
print('out')
sys.stderr.write('x')
""",
    ),
    program(
        "descriptor_2_closed_and_error",
        r"""
import os
os.close(2)
print('out')
1/0
""",
    ),
    program(
        "all_descriptors_closed",
        r"""
import os
print('x', flush=True)
for n in range(3): os.close(n)
""",
    ),
    program(
        "closerange",
        r"""
import os
print('x', flush=True)
os.closerange(3, 64)
print('y')
""",
    ),
    program(
        "closes_everything_above_2",
        r"""
import os
print('a')
os.closerange(3, 65536)
print('b')
1/0
""",
        differs=dict.fromkeys(ALWAYS, NO_WAY_TO_TELL),
    ),
    program(
        "stdout_to_stderr_by_dup2",
        r"""
import os, sys
print('to out', flush=True)
os.dup2(2, 1)
print('to err')
""",
    ),
    program(
        "stdout_to_dev_null",
        r"""
import os
print('kept', flush=True)
null = os.open('/dev/null', os.O_WRONLY)
os.dup2(null, 1)
print('dropped')
""",
    ),
    program(
        "stdout_to_a_full_device",
        r"""
import os
full = os.open('/dev/full', os.O_WRONLY)
os.dup2(full, 1)
print('does not fit')
""",
    ),
    program(
        "write_to_a_full_device",
        r"""
with open('/dev/full', 'w') as full:
    print('does not fit', file=full)
""",
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
        "unclosed_file_on_1",
        r"""
f = open(1, 'w')
f.write('flushed at the end\n')
""",
        quick=True,
    ),
    program(
        "unclosed_file_on_1_in_a_function",
        r"""
def f():
    open(1, 'w', closefd=False).write('x\n')
f()
print('y')
""",
    ),
    program(
        "closed_file_on_1",
        r"""
with open(1, 'w') as f:
    f.write('kept\n')
print('lost')
""",
    ),
    program(
        "fdopen_of_a_duplicate",
        r"""
import os
out = os.fdopen(os.dup(1), 'w', 1)
out.write('line\nrest')
print('printed')
""",
    ),
    program(
        "dev_stdout",
        r"""
print('a', flush=True)
open('/dev/stdout', 'w').write('b\n')
print('c', file=open('/dev/stderr', 'w'))
""",
    ),
    program(
        "dev_fd_1",
        r"""
open('/dev/fd/1', 'a').write('x\n')
open('/proc/self/fd/2', 'w').write('y')
""",
    ),
    program(
        "print_in_a_loop_with_carriage_returns",
        r"""
for i in range(4):
    print(f'\r{i}/3', end='')
print('\x07\x00\x1b[0m')
""",
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
        r"""
import sys
1 + 1
'a string'
sys.displayhook(7)
sys.displayhook(None)
print(_)
""",
    ),
    program(
        "audit_and_trace_nothing",
        r"""
import sys
print(sys.gettrace(), sys.getprofile(), sys.flags.optimize, __debug__)
""",
    ),
    program("help_text", "help(len)\n"),
    program(
        "prints_its_arguments",
        r"""
import sys
print(sys.argv)
print(len(sys.argv[1:]))
""",
        Case(argv=("a", "b c", "", "--x=1", "é", "-")),
        quick=True,
    ),
]
