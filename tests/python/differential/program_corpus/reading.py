# SPDX-License-Identifier: Apache-2.0
"""Programs that read stdin, in every way in which programs do."""

from __future__ import annotations

from program_corpus.entry import program

WORDS = "the quick brown fox\njumps over\n\nthe lazy dog\n"
NO_NEWLINE = "5 7"
ODD = b"caf\xe9 \xff\xfe ok\nsecond \x80 line\n"
MANY = "".join(f"{n} {n * n % 1000003}\n" for n in range(40_000))
UTF8 = "naïve café — 日本語 🎉\nβeta\n"

PROGRAMS = [
    program(
        "two_numbers",
        r"""
a, b = map(int, input().split())
print(a + b)
""",
        "5 7\n",
        NO_NEWLINE,
        "  -3\t 10  \n",
        "1\n",
        "x y\n",
        "",
        quick=True,
    ),
    program(
        "input_until_eof",
        r"""
total = 0
while True:
    try:
        line = input()
    except EOFError:
        break
    total += len(line)
    print(repr(line))
print(total)
""",
        WORDS,
        NO_NEWLINE,
        "",
        "\n\n",
        "a\r\nb\rc\n",
    ),
    program(
        "input_with_prompt",
        r"""
name = input("Name: ")
age = input("Age? ")
print(f"Hello {name}, {age}!")
""",
        "Ada\n36\n",
        "Ada",
        UTF8,
        quick=True,
    ),
    program("prompt_of_an_object", "print(input(['a', 1]), input(None), input())", "x\ny\nz\n"),
    program(
        "input_reads_past_the_end",
        r"""
for _ in range(3):
    print(input())
""",
        "one\ntwo\n",
    ),
    program(
        "read_all_and_split",
        r"""
import sys

def main():
    data = sys.stdin.read().split()
    n = int(data[0])
    print(sum(map(int, data[1:n + 1])))

main()
""",
        "3\n1 2 3\n",
        "3 1 2",
        "",
        quick=True,
    ),
    program(
        "readline_bound_to_input",
        r"""
import sys
input = sys.stdin.readline
n = int(input())
for _ in range(n):
    print(repr(input()))
print(repr(input()), repr(input()))
""",
        "3\na\nb",
        "2\n\n\n",
        "3 \nä\n日\n\n\n",
    ),
    program(
        "iterates_over_stdin",
        r"""
import sys
for number, line in enumerate(sys.stdin, 1):
    print(number, line.rstrip("\n")[::-1])
""",
        WORDS,
        "",
        UTF8,
        MANY,
    ),
    program(
        "readlines",
        r"""
import sys
print(sys.stdin.readlines())
""",
        WORDS,
        NO_NEWLINE,
        "",
    ),
    program(
        "readlines_with_a_hint",
        r"""
import sys
print(sys.stdin.readlines(6))
""",
        WORDS,
    ),
    program("open_0", "print(sorted(open(0).read().split()))", WORDS, "", UTF8, quick=True),
    program("open_0_lines", "print(*map(len, open(0)))", WORDS, MANY),
    program(
        "open_0_unpacked",
        r"""
n, *rest = map(int, open(0))
print(n, rest)
""",
        "2\n4\n5\n",
        "x",
    ),
    program("open_0_bytes", "print(open(0, 'rb').read())", ODD, bytes(range(256))),
    program("open_0_unbuffered", "f = open(0, 'rb', 0)\nprint(f.read(4), f.readall())", ODD),
    program(
        "os_read_in_pieces",
        r"""
import os
pieces = []
while piece := os.read(0, 7):
    pieces.append(piece)
print(len(pieces), b"".join(pieces))
""",
        WORDS,
        ODD,
        "",
    ),
    program(
        "os_read_of_the_size",
        r"""
import io, os
input = io.BytesIO(os.read(0, os.fstat(0).st_size)).readline
n = int(input())
print(n, [int(x) for x in input().split()])
""",
        "3\n1 2 3\n",
        "1\n",
        quick=True,
    ),
    program(
        "contest_fast_io",
        r"""
import os
import sys
from io import BytesIO, IOBase

BUFSIZE = 8192


class FastIO(IOBase):
    newlines = 0

    def __init__(self, file):
        self._file = file
        self._fd = file.fileno()
        self.buffer = BytesIO()
        self.writable = "x" in file.mode or "r" not in file.mode
        self.write = self.buffer.write if self.writable else None

    def read(self):
        while True:
            b = os.read(self._fd, max(os.fstat(self._fd).st_size, BUFSIZE))
            if not b:
                break
            ptr = self.buffer.tell()
            self.buffer.seek(0, 2), self.buffer.write(b), self.buffer.seek(ptr)
        self.newlines = 0
        return self.buffer.read()

    def readline(self):
        while self.newlines == 0:
            b = os.read(self._fd, max(os.fstat(self._fd).st_size, BUFSIZE))
            self.newlines = b.count(b"\n") + (not b)
            ptr = self.buffer.tell()
            self.buffer.seek(0, 2), self.buffer.write(b), self.buffer.seek(ptr)
        self.newlines -= 1
        return self.buffer.readline()

    def flush(self):
        if self.writable:
            os.write(self._fd, self.buffer.getvalue())
            self.buffer.truncate(0), self.buffer.seek(0)


class IOWrapper(IOBase):
    def __init__(self, file):
        self.buffer = FastIO(file)
        self.flush = self.buffer.flush
        self.writable = self.buffer.writable
        self.write = lambda s: self.buffer.write(s.encode("ascii"))
        self.read = lambda: self.buffer.read().decode("ascii")
        self.readline = lambda: self.buffer.readline().decode("ascii")


sys.stdin, sys.stdout = IOWrapper(sys.stdin), IOWrapper(sys.stdout)
input = lambda: sys.stdin.readline().rstrip("\r\n")

for _ in range(int(input())):
    a, b = map(int, input().split())
    print(a * b)
""",
        "3\n1 2\n3 4\n5 6\n",
        "2\n1 2\n3 4",
        "0\n",
        quick=True,
    ),
    program(
        "buffer_readline",
        r"""
import sys
read = sys.stdin.buffer.readline
print(read(), [*map(int, read().split())], sys.stdin.buffer.read())
""",
        "first\n1 2 3\nrest\n\n",
        b"\xff\n\nx",
    ),
    program(
        "buffer_reads_of_all_kinds",
        r"""
import sys
b = sys.stdin.buffer
print(b.peek(3)[:3], b.read(2), b.read1(3))
into = bytearray(4)
print(b.readinto(into), bytes(into), b.readinto1(into), bytes(into))
print(b.tell(), b.seek(0), b.readlines(5), b.raw.tell() >= b.tell())
""",
        WORDS,
        ODD,
    ),
    program(
        "fileinput_lines",
        r"""
import fileinput
for line in fileinput.input():
    print(fileinput.filename(), fileinput.lineno(), line, end="")
print(fileinput.isstdin())
""",
        WORDS,
        "",
    ),
    program("dev_stdin", "print(open('/dev/stdin').read())", WORDS, quick=True),
    program(
        "dev_stdin_after_some",
        r"""
import sys
print(sys.stdin.readline(), open("/dev/stdin", "rb").read(5), open("/dev/fd/0").readline())
""",
        WORDS,
    ),
    program(
        "mmap_of_stdin",
        r"""
import mmap
import sys
with mmap.mmap(sys.stdin.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
    print(len(mapped), mapped[:5], mapped.find(b"over"), mapped.readline())
""",
        WORDS,
        "",
    ),
    program(
        "mmap_of_0",
        r"""
import mmap, os
size = os.stat(0).st_size
data = mmap.mmap(0, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
print(sum(1 for c in data if c == b"\n"), size)
""",
        MANY,
    ),
    program(
        "tokens_by_generator",
        r"""
import sys

def tokens():
    for line in sys.stdin:
        yield from line.split()

it = tokens()
n = int(next(it))
print([int(next(it)) for _ in range(n)])
print(list(it))
""",
        "3 1\n2\n\n3 more words",
        "2 1",
    ),
    program(
        "input_and_readline_mixed",
        r"""
import sys
print(input(), repr(sys.stdin.readline()), input(), repr(sys.stdin.read(3)), sys.stdin.read())
""",
        WORDS,
    ),
    program(
        "next_and_readline_mixed",
        r"""
import sys
print(next(sys.stdin), sys.stdin.readline(), end="")
try:
    sys.stdin.tell()
except OSError as error:
    print(error)
for line in sys.stdin:
    print(line, end="")
print(next(sys.stdin, "none"))
""",
        WORDS,
    ),
    program(
        "seek_to_the_start",
        r"""
import sys
first = sys.stdin.read(5)
print(sys.stdin.tell(), sys.stdin.seekable(), sys.stdin.seek(0), sys.stdin.read() == first)
sys.stdin.seek(2)
print(sys.stdin.readline())
""",
        WORDS,
        UTF8,
    ),
    program(
        "what_stdin_is",
        r"""
import fcntl, io, os, stat, sys
s = sys.stdin
print(s.fileno(), s.isatty(), s.name, s.mode, s.encoding, s.errors, s.newlines, s.line_buffering)
print(s.readable(), s.writable(), s.closed, type(s).__name__, type(s.buffer).__name__)
print(type(s.buffer.raw).__name__, s.buffer.raw.mode, s.buffer.raw.closefd, s.buffer.name)
print(s is sys.__stdin__, isinstance(s, io.TextIOWrapper), s)
status = os.fstat(0)
print(stat.S_ISREG(status.st_mode), status.st_size, os.lseek(0, 0, os.SEEK_CUR))
print(fcntl.fcntl(0, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY)
print(fcntl.fcntl(0, fcntl.F_GETFD), os.get_inheritable(0), os.isatty(0))
""",
        WORDS,
        "",
    ),
    program(
        "stdin_cannot_be_written",
        r"""
import os, sys
for write in (lambda: os.write(0, b"x"), lambda: sys.stdin.write("x"), lambda: os.ftruncate(0, 0)):
    try:
        print(write())
    except OSError as error:
        print(type(error).__name__, error)
open(0, "w", closefd=False).write("x")
""",
        WORDS,
    ),
    program(
        "stdin_is_closed",
        r"""
import os, sys
sys.stdin.close()
try:
    os.fstat(0)
except OSError as error:
    print(error)
input()
""",
        WORDS,
    ),
    program(
        "stdin_is_none",
        r"""
import sys
sys.stdin = None
print(input())
""",
        WORDS,
    ),
    program(
        "stdin_is_deleted",
        r"""
import sys
del sys.stdin
print(input())
""",
        WORDS,
    ),
    program(
        "fdopen_closes_0",
        r"""
import os, sys
with os.fdopen(0) as f:
    print(f.readline())
print(sys.stdin.read())
""",
        WORDS,
    ),
    program(
        "stdin_replaced_by_text",
        r"""
import io, sys
sys.stdin = io.StringIO("7\nx")
print(int(input()) * 2, input())
print(sys.__stdin__.read())
sys.stdin = sys.__stdin__
input()
""",
        WORDS,
    ),
    program(
        "stdin_reconfigured",
        r"""
import sys
sys.stdin.reconfigure(encoding="latin-1", errors="strict", newline="")
print(ascii(sys.stdin.read()))
""",
        ODD,
        "a\r\nb\rc\n",
    ),
    program(
        "wrapped_again",
        r"""
import codecs, io, sys
text = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="replace")
print(ascii(text.readline()))
print(ascii(codecs.getreader("latin-1")(sys.stdin.buffer).read()))
""",
        ODD,
        UTF8,
    ),
    program(
        "not_utf8_read",
        r"""
import sys
print(ascii(sys.stdin.read()))
""",
        ODD,
        quick=True,
    ),
    program(
        "not_utf8_input",
        r"""
x = input()
print(ascii(x))
print(x)
print(input())
""",
        ODD,
    ),
    program(
        "not_utf8_lines",
        r"""
import sys
for line in sys.stdin:
    sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()
    sys.stdout.write(line)
""",
        ODD,
        b"\xed\xa0\x80 surrogate\n",
    ),
    program("nul_bytes", "print([input(), input()])", b"a\0b\n\0\n"),
    program(
        "carriage_returns",
        r"""
import sys
print(repr(sys.stdin.read()))
""",
        "a\r\nb\rc\n\r",
    ),
    program(
        "much_input",
        r"""
import sys
data = sys.stdin.buffer.read()
import zlib
print(len(data), zlib.crc32(data))
""",
        bytes(range(256)) * 12_000,
    ),
    program(
        "one_long_line",
        "line = input()\nprint(len(line), line[-3:], hash(line) == hash(line[:]))",
        "ab" * 500_000 + "end\n",
    ),
    program(
        "poll_and_select",
        r"""
import select
print(select.select([0], [], [], 5)[0])
p = select.poll()
p.register(0, select.POLLIN)
print(p.poll(5000) == [(0, select.POLLIN)], input())
try:
    select.epoll().register(0)
except PermissionError as error:
    print(error)
""",
        WORDS,
        "x",
    ),
    program(
        "terminal_requests",
        r"""
import os, shutil, termios
try:
    termios.tcgetattr(0)
except termios.error as error:
    print(error)
try:
    os.get_terminal_size(0)
except OSError as error:
    print(error)
print(shutil.get_terminal_size((33, 7)).lines)
""",
    ),
    program("getpass_falls_back", "import getpass\nprint(getpass.getpass('pw: '))", "secret\n"),
    program("evaluates_input", "print(eval(input()))", "1 + 2 * 3\n", "[x for x in 'ab']", "1 +\n"),
    program(
        "executes_stdin",
        r"""
import sys
exec(sys.stdin.read())
""",
        "print(1)\nx = 1/0\n",
        "a b",
    ),
    program(
        "literal_of_input",
        "import ast\nprint(ast.literal_eval(input()))",
        "{'a': [1, 2.5, None]}",
        "f(",
    ),
    program("json_of_stdin", "import json, sys\nprint(json.load(sys.stdin))", '{"a": [1, 2]}', "{"),
    program(
        "csv_of_stdin",
        r"""
import csv, sys
for row in csv.DictReader(sys.stdin):
    print(dict(row))
""",
        'a,b\n1,"x, y"\n2,"z\nw"\n',
        "a,b\n1\n",
    ),
    program(
        "struct_of_stdin",
        r"""
import struct, sys
(n,) = struct.unpack("<I", sys.stdin.buffer.read(4))
print(struct.unpack(f"<{n}d", sys.stdin.buffer.read()))
""",
        b"\x02\0\0\0" + bytes(8) + b"\0\0\0\0\0\0\xf8\x3f",
        b"\x02\0",
    ),
    program(
        "stdin_by_another_thread",
        r"""
import queue, sys, threading
lines = queue.Queue()

def read():
    for line in sys.stdin:
        lines.put(line.strip())
    lines.put(None)

threading.Thread(target=read, daemon=True).start()
while (line := lines.get()) is not None:
    print(line.upper())
""",
        WORDS,
    ),
    program(
        "console",
        "import code\ncode.interact(banner='hi', exitmsg='bye', local={'y': 7})",
        "x = y + 1\nx\n1/0\nif x:\n  print('yes')\n\nprint(x)\n",
    ),
    program(
        "command_loop",
        r"""
import cmd

class Shell(cmd.Cmd):
    prompt = "> "
    def do_add(self, rest):
        "Add numbers."
        print(sum(map(int, rest.split())))
    def do_EOF(self, rest):
        return True
    def postloop(self):
        print("done")

Shell().cmdloop("intro")
""",
        "add 1 2 3\nhelp add\nunknown\n",
    ),
    program(
        "debugger",
        r"""
def f(x):
    breakpoint()
    return x + 1

print(f(2))
""",
        "p x\nw\nx = 10\nn\nc\n",
        "q\n",
        "",
    ),
    program(
        "line_by_line_until_a_mark",
        r"""
for line in iter(input, 'end'):
    print(line.title())
print(input())
""",
        "a b\nc\nend\nrest\n",
        "a b\n",
    ),
    program(
        "reads_by_characters",
        r"""
import sys
while c := sys.stdin.read(1):
    print(c, end="|")
print()
""",
        "héllo\nw",
        "",
    ),
    program(
        "duplicated_descriptor",
        r"""
import os, sys
copy = os.dup(0)
print(os.read(copy, 4), os.read(0, 4), sys.stdin.read(2))
os.lseek(copy, 0, os.SEEK_SET)
print(os.fdopen(copy).read())
""",
        WORDS,
    ),
]
