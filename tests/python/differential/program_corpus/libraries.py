# SPDX-License-Identifier: Apache-2.0
"""Programs that use the standard library in the ways in which scripts do."""

from __future__ import annotations

from program_corpus.entry import ALWAYS, NOT_TAKEN_APART, Case, program

ARGUMENTS = r"""
import argparse

parser = argparse.ArgumentParser(description="Add numbers.")
parser.add_argument("numbers", nargs="+", type=int, help="what to add")
parser.add_argument("-v", "--verbose", action="store_true")
parser.add_argument("--base", type=int, choices=[2, 10, 16], default=10)
parser.add_argument("--version", action="version", version="%(prog)s 1.0")
args = parser.parse_args()
print(args)
print(sum(args.numbers))
"""

PROGRAMS = [
    program(
        "argparse_program",
        ARGUMENTS,
        Case(argv=("1", "2", "-v")),
        Case(argv=("--help",)),
        Case(argv=("--version",)),
        Case(),
        Case(argv=("x",)),
        Case(argv=("1", "--base", "7")),
        Case(argv=("1", "--nope")),
        Case(argv=("-vv", "3")),
        quick=True,
    ),
    program(
        "argparse_commands",
        r"""
import argparse
p = argparse.ArgumentParser()
s = p.add_subparsers(dest='cmd', required=True)
a = s.add_parser('add')
a.add_argument('--n', type=float, required=True)
s.add_parser('list', help='list all')
print(p.parse_args())
""",
        Case(argv=("add", "--n", "2")),
        Case(argv=("add",)),
        Case(),
        Case(argv=("-h",)),
        Case(argv=("list", "x")),
    ),
    program(
        "argparse_error",
        r"""
import argparse
p = argparse.ArgumentParser(prog='tool', epilog='end')
p.error('custom message')
""",
    ),
    program(
        "argparse_file_type",
        r"""
import argparse
p = argparse.ArgumentParser()
p.add_argument('f', type=argparse.FileType())
print(p.parse_args().f.read())
""",
        Case(argv=("-",), stdin=b"by stdin"),
        Case(argv=("in.txt",), files={"in.txt": b"by file"}),
        Case(argv=("nope",)),
    ),
    program(
        "getopt_and_optparse",
        r"""
import getopt, optparse, sys
print(getopt.getopt(sys.argv[1:], 'a:b', ['long=']))
o = optparse.OptionParser()
o.add_option('-a')
o.add_option('-b', action='store_true')
values, rest = o.parse_args()
print(values.a, values.b, rest)
""",
        Case(argv=("-b", "-a", "1", "x")),
        Case(argv=("-z",)),
    ),
    program(
        "logging_default",
        r"""
import logging
logging.warning('careful %s', 5)
logging.info('hidden')
logging.getLogger('mine').error('bad')
try:
    1/0
except ZeroDivisionError:
    logging.exception('failed')
""",
        quick=True,
    ),
    program(
        "logging_to_stdout",
        r"""
import logging, sys
logging.basicConfig(stream=sys.stdout, level=0, format='%(levelname)s:%(name)s:%(filename)s:%(lineno)d:%(funcName)s:%(module)s:%(message)s')
def f(): logging.getLogger('x.y').debug('d')
f()
print(logging.root.handlers, logging.getLogger('x').getEffectiveLevel())
""",
    ),
    program(
        "logging_error",
        r"""
import logging
logging.error('wants %d', 'text')
print('goes on')
""",
    ),
    program(
        "logging_names",
        r"""
import logging
print(logging.root.handlers, logging.root.level, logging.lastResort, logging.raiseExceptions)
""",
    ),
    program(
        "random_with_a_seed",
        r"""
import random
random.seed(42)
print(random.random(), random.randint(1, 100), random.sample(range(50), 5), random.choice('abc'), random.gauss(0, 1))
x = list(range(10))
random.shuffle(x)
print(x, random.Random('s').random())
""",
        quick=True,
    ),
    program(
        "random_seeded_by_input",
        r"""
import random
random.seed(input())
print([random.randrange(1000) for _ in range(5)])
""",
        "a",
        "5",
    ),
    program(
        "datetime_arithmetic",
        r"""
from datetime import datetime, timedelta, timezone, date
d = datetime(2024, 2, 28, 23, tzinfo=timezone.utc) + timedelta(hours=2)
print(d, d.isoformat(), d.strftime('%A %j %U'), date(2024, 12, 31).isocalendar(), d.timestamp())
print(datetime.strptime('1 Mar 2024', '%d %b %Y').weekday())
datetime.strptime('x', '%Y')
""",
    ),
    program(
        "time_zones",
        r"""
import time, os
from datetime import datetime
print(time.tzname, time.timezone, time.localtime(0)[:6])
os.environ['TZ'] = 'Asia/Tokyo'
time.tzset()
print(time.tzname, time.localtime(0)[:6], datetime.fromtimestamp(0))
""",
    ),
    program(
        "zone_information",
        r"""
from zoneinfo import ZoneInfo
from datetime import datetime
print(datetime(2024, 7, 1, tzinfo=ZoneInfo('Europe/Berlin')).utcoffset())
ZoneInfo('No/Where')
""",
    ),
    program(
        "calendar_month",
        r"""
import calendar
calendar.prmonth(2024, 2)
print(calendar.monthrange(2023, 2))
""",
    ),
    program(
        "json_round_trip",
        r"""
import json, sys
x = {'b': [1, 2.5, None, True], 'a': 'é\u2028', 'n': float('nan')}
print(json.dumps(x, sort_keys=True, indent=1))
print(json.dumps(x, ensure_ascii=False))
json.dump(x, sys.stdout)
json.dumps({1j: 2})
""",
        quick=True,
    ),
    program(
        "csv_writer",
        r"""
import csv, sys
w = csv.writer(sys.stdout)
w.writerows([['a', 'b,c', 'd"e'], [1, None, 2.5]])
d = csv.DictWriter(sys.stdout, ['x', 'y'], delimiter=';')
d.writeheader()
d.writerow({'x': 1, 'z': 2})
""",
    ),
    program(
        "heap_and_bisect",
        r"""
import heapq, bisect
h = [5, 1, 4]
heapq.heapify(h)
heapq.heappush(h, 0)
print(heapq.nsmallest(2, h), [heapq.heappop(h) for _ in range(4)], list(heapq.merge([1, 4], [2, 3])))
a = [1, 3, 5]
bisect.insort(a, 4)
print(a, bisect.bisect(a, 3))
heapq.heappop(h)
""",
    ),
    program(
        "collections_of_all_kinds",
        r"""
from collections import *
print(Counter('abracadabra').most_common(2), OrderedDict(a=1), deque([1, 2, 3], maxlen=2), ChainMap({'a': 1}, {'b': 2}), defaultdict(list, x=[1]))
P = namedtuple('P', 'x y')
print(P(1, 2), P(1, 2)._asdict())
""",
    ),
    program(
        "itertools_and_functools",
        r"""
import itertools as i, functools as f, operator
print(list(i.accumulate([1, 2, 3], operator.mul)), list(i.groupby('aab'))[0][0], list(i.product('ab', repeat=2))[:3], list(i.zip_longest('ab', 'c')), list(i.islice(i.count(5, 2), 3)))
print(f.reduce(lambda a, b: a + b, 'abc'), f.partial(pow, 2)(3), sorted('cab', key=f.cmp_to_key(lambda a, b: (a < b) - (a > b))))
@f.lru_cache
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
print(fib(200), fib.cache_info())
@f.singledispatch
def g(x): return 'any'
@g.register
def _(x: int): return 'int'
print(g(1), g('a'))
""",
    ),
    program(
        "regular_expressions",
        r"""
import re
print(re.findall(r'(\w)(\d+)', 'a1 b22'), re.sub(r'(?P<x>a+)', r'<\g<x>>', 'baab'), re.split(r'[,;]\s*', 'a, b;c'))
m = re.compile(r'^(\d{4})-(\d\d)$', re.M).search('x\n2024-05')
print(m, m.groups(), m.span(2), re.escape('a.b'), re.fullmatch('[α-ω]+', 'λόγο'))
re.compile('(unclosed')
""",
        quick=True,
    ),
    program(
        "text_wrapping",
        r"""
import textwrap, string
t = 'The quick brown fox jumps over the lazy dog. ' * 3
print(textwrap.fill(t, 30, initial_indent='* '), textwrap.shorten(t, 20), textwrap.dedent('  a\n   b'))
print(string.Template('$a ${b} $$').substitute(a=1, b=2), string.capwords('a b'))
print(*__import__('difflib').unified_diff(['a', 'b'], ['a', 'c'], lineterm=''), sep='\n')
""",
    ),
    program(
        "decimals",
        r"""
from decimal import *
print(Decimal('0.1') + Decimal('0.2'), Decimal(1) / 3, getcontext())
getcontext().prec = 50
print(Decimal(2).sqrt(), Decimal('1E+3').normalize(), round(Decimal('2.675'), 2), Decimal('1.10') == Decimal('1.1'))
Decimal(1) / 0
""",
        quick=True,
    ),
    program(
        "fractions_and_statistics",
        r"""
from fractions import Fraction as F
import statistics as s
print(F(1, 3) + F('0.25'), F(3.5), F(0.1).limit_denominator(10), s.mean([1, 2, 3, 4]), s.median([1, 3, 2]), s.stdev([1, 2, 4]), s.mode('aab'))
F(1, 0)
""",
    ),
    program(
        "float_formatting",
        r"""
for x in (0.1, 1e16, 1e22, 1.5, 1/3, 1e-5, 123456789.125, float('inf'), -0.0, float('nan'), 5e-324, 2**0.5):
    print(x, repr(x), f'{x:.3f}', f'{x:e}', f'{x:g}', f'{x:10.2f}|', f'{x:+,.1f}', '%.15g' % x)
print(round(2.5), round(-0.5), round(2.675, 2), 0.1 + 0.2, (0.1).hex(), (7.5).as_integer_ratio(), 1e308 * 10)
""",
        quick=True,
    ),
    program(
        "integer_formatting",
        r"""
for n in (0, -1, 255, 10**20):
    print(f'{n:,} {n:_} {n:x} {n:#b} {n:o} {n:08d} {n:<6}| {n:^6}| {n:+}', n.bit_length(), n.to_bytes(12, 'big', signed=True))
print(int('ff', 16), int('0b101', 0), -7 // 2, -7 % 3, divmod(-7, 2), 7 ** -1, 1 << 70, ~5)
""",
    ),
    program(
        "huge_integers",
        r"""
print(3 ** 1000)
print(len(str(7 ** 5000)))
print(int('1' * 4300) % 97)
print(str(10 ** 4299)[:3])
str(10 ** 4300)
""",
        quick=True,
    ),
    program("huge_integer_from_text", "int(input())\n", "9" * 4301, "9" * 10),
    program(
        "integer_digits_unlimited",
        r"""
import sys
sys.set_int_max_str_digits(0)
print(len(str(10 ** 20000)), sys.get_int_max_str_digits())
""",
    ),
    program(
        "complex_numbers",
        r"""
import cmath
print((1 + 2j) * 3j, abs(3 + 4j), cmath.sqrt(-1), complex('1+2j'), 1j ** 2, cmath.polar(1j))
""",
    ),
    program(
        "math_functions",
        r"""
import math
print(math.pi, math.isqrt(10**20), math.comb(50, 25), math.fsum([0.1] * 10), math.log2(8), math.gcd(12, 18), math.dist((0, 0), (3, 4)), math.floor(-1.5), math.prod(range(1, 20)), math.nextafter(1, 2))
math.sqrt(-1)
""",
    ),
    program(
        "string_methods",
        r"""
s = ' Straße ǅ ﬁ İ '
print(s.upper(), s.lower(), s.title(), s.casefold(), s.strip().split(), s.swapcase(), s.center(30, '*'), len(s))
print('a\tb'.expandtabs(4), '1²'.isdigit(), '½'.isnumeric(), 'x'.join('abc'), 'abc'.translate({97: 'z', 98: None}), 'ß' < 'z', 'ab'.encode('utf-16'))
import unicodedata
print(unicodedata.normalize('NFD', 'é').encode(), unicodedata.name('é'), unicodedata.unidata_version)
""",
    ),
    program(
        "bytes_and_memory",
        r"""
b = bytearray(b'hello')
m = memoryview(b)[1:3]
m[0] = 65
print(b, bytes(m), m.tolist(), b.hex('-'), b'%d %s' % (5, b'x'), int.from_bytes(b'\1\0', 'little'))
b.append(1)
""",
    ),
    program(
        "sets_of_numbers_and_words",
        r"""
print({3, 1, 2}, {1.5, 2}, sorted({'b', 'a'}), {'x': 1} | {'y': 2}, frozenset([1]), {1, 2} ^ {2, 3})
print({'apple', 'pear', 'fig'}, hash('text'), hash(1.5), hash((1, 'a')))
""",
        quick=True,
    ),
    program(
        "hashes",
        r"""
import hashlib, zlib, base64, binascii, hmac
d = input().encode()
print(hashlib.md5(d).hexdigest(), hashlib.sha256(d).hexdigest(), zlib.crc32(d), base64.b64encode(d), binascii.hexlify(d), hmac.new(b'k', d, 'sha1').hexdigest())
print(hashlib.blake2b(d, digest_size=8).hexdigest(), len(hashlib.scrypt(d, salt=b's', n=2, r=1, p=1)))
""",
        "data",
        "é",
    ),
    program(
        "compressed_data",
        r"""
import gzip, bz2, lzma, zlib, sys
d = sys.stdin.buffer.read()
print([len(f.decompress(f.compress(d))) for f in (gzip, bz2, lzma, zlib)])
zlib.decompress(b'bad')
""",
        "x" * 10000,
    ),
    program(
        "structs_and_arrays",
        r"""
import struct, array, sys
print(struct.pack('<IHb', 1, 2, -3), struct.calcsize('@iq'), array.array('i', [1, 2]).tobytes(), sys.byteorder)
struct.pack('B', 300)
""",
    ),
    program(
        "pickles",
        r"""
import pickle, copy
x = {'a': [1, (2, {3})], 'b': None}
x['self'] = x
y = pickle.loads(pickle.dumps(x))
print(y['self'] is y, y['a'], copy.deepcopy(x)['self'] is not x, pickle.DEFAULT_PROTOCOL)
import pickletools
pickletools.dis(pickle.dumps([1]))
""",
    ),
    program(
        "sqlite_in_memory",
        r"""
import sqlite3
c = sqlite3.connect(':memory:')
c.execute('create table t(a int, b text)')
c.executemany('insert into t values(?, ?)', [(1, 'x'), (2, 'y')])
print(c.execute('select sum(a), group_concat(b) from t').fetchall())
c.execute('select nope')
""",
    ),
    program(
        "sqlite_in_a_file",
        r"""
import sqlite3, os
with sqlite3.connect('my.db') as c:
    c.execute('create table t(a)')
    c.execute('insert into t values(5)')
print(sqlite3.connect('my.db').execute('select * from t').fetchall(), os.path.exists('my.db'))
""",
    ),
    program(
        "temporary_files",
        r"""
import tempfile, os
with tempfile.TemporaryDirectory() as d, tempfile.NamedTemporaryFile('w+') as f, tempfile.SpooledTemporaryFile() as s:
    f.write('x')
    f.seek(0)
    print(f.read(), os.listdir(d), os.path.dirname(f.name) == tempfile.gettempdir())
""",
    ),
    program(
        "files_in_text_and_bytes",
        r"""
with open('a.txt', 'w', encoding='utf-8', newline='\r\n') as f: print(f.write('é\nx\n'), f.tell())
print(open('a.txt', 'rb').read(), open('a.txt').readlines())
with open('a.txt', 'r+b') as f:
    f.seek(-2, 2)
    f.write(b'YZ')
print(open('a.txt', 'rb').read())
open('a.txt', 'x')
""",
    ),
    program(
        "reads_given_files",
        r"""
import glob, json
print(sorted(glob.glob('**/*', recursive=True)))
print(json.load(open('data/config.json'))['x'], open('b.bin', 'rb').read(), open('ü.txt').read())
""",
        Case(
            files={
                "data/config.json": b'{"x": [1]}',
                "b.bin": bytes(range(10)),
                "ü.txt": "ä".encode(),
            }
        ),
        quick=True,
    ),
    program(
        "file_operations",
        r"""
import os, shutil, pathlib
os.mkdir('d')
pathlib.Path('d/x').write_text('1')
shutil.copytree('d', 'e')
os.symlink('x', 'e/l')
os.link('d/x', 'd/y')
print(os.readlink('e/l'), os.stat('d/x').st_nlink, sorted(os.listdir('e')), oct(os.stat('d/x').st_mode), shutil.disk_usage('.').total > 0)
os.chmod('d/x', 0o600)
os.utime('d/x', (0, 10**9))
print(os.stat('d/x').st_mtime, os.path.getsize('d/x'))
shutil.make_archive('a', 'zip', 'd')
shutil.rmtree('d')
print(sorted(os.listdir()))
os.truncate('e/x', 5)
print(open('e/x', 'rb').read())
""",
        differs={"standard": "standard lets os.utime do nothing"},
    ),
    program(
        "large_files",
        r"""
with open('big', 'wb') as f:
    for _ in range(64): f.write(bytes(65536))
    f.seek(1 << 24)
    f.write(b'x')
import os
print(os.path.getsize('big'))
""",
    ),
    program(
        "memory_mapped_file",
        r"""
import mmap
open('f', 'wb').write(b'hello world')
with open('f', 'r+b') as f, mmap.mmap(f.fileno(), 0) as m:
    m[0:5] = b'HELLO'
print(open('f').read())
a = mmap.mmap(-1, 100)
a.write(b'x')
print(a[:2])
""",
    ),
    program(
        "fifo_between_threads",
        r"""
import os, threading
os.mkfifo('p')
t = threading.Thread(target=lambda: open('p', 'w').write('through'))
t.start()
print(open('p').read())
t.join()
""",
    ),
    program(
        "sockets_in_pairs",
        r"""
import socket, select
a, b = socket.socketpair()
a.sendall(b'x')
print(b.recv(5), select.select([b], [a], [], 0)[1] == [a])
""",
    ),
    program(
        "locale_and_encoding",
        r"""
import locale, sys
print(locale.setlocale(locale.LC_ALL), locale.getpreferredencoding(), sys.getfilesystemencoding(), sys.getfilesystemencodeerrors(), sys.getdefaultencoding(), locale.localeconv()['decimal_point'])
print(locale.setlocale(locale.LC_ALL, ''), locale.strxfrm('a') != '', open('main.py').encoding)
locale.setlocale(locale.LC_ALL, 'xx_XX')
""",
        quick=True,
    ),
    program(
        "platform_names",
        r"""
import platform, os, sys
print(platform.python_version(), platform.system(), os.uname().sysname, sys.platform, os.sep, os.cpu_count() > 0, sys.maxsize, sys.implementation.name)
""",
    ),
    program(
        "xml_and_html",
        r"""
import xml.etree.ElementTree as E, html
r = E.fromstring('<a x="1"><b>t</b></a>')
print(r.attrib, r[0].text, E.tostring(r), html.escape('<&>'))
E.fromstring('<a>')
""",
    ),
    program(
        "configuration_and_toml",
        r"""
import configparser, io, sys
c = configparser.ConfigParser()
c.read_string('[a]\nx = 1\n')
c.write(sys.stdout)
import tomllib
print(tomllib.loads('a = [1, 2]\n[b]\nc = 1979-05-27'))
c['nope']
""",
    ),
    program(
        "urls_and_mail",
        r"""
import urllib.parse as u, email, ipaddress, uuid
print(u.urlparse('http://a.b/c?d=e#f'), u.quote('é /'), u.parse_qs('a=1&a=2'), ipaddress.ip_network('10.0.0.0/30').num_addresses, uuid.UUID(int=5), uuid.uuid5(uuid.NAMESPACE_DNS, 'x'))
print(email.message_from_string('Subject: hi\n\nbody')['subject'])
""",
    ),
    program(
        "syntax_trees",
        r"""
import ast, tokenize, io, dis
t = ast.parse('x = 1 + 2')
print(ast.dump(t), ast.unparse(t), [k.string for k in tokenize.generate_tokens(io.StringIO('a+1').readline)])
dis.dis(lambda: 1)
""",
        addresses=True,
    ),
    program(
        "type_checks",
        r"""
import typing, abc, types
class A(abc.ABC):
    @abc.abstractmethod
    def f(self): ...
print(typing.get_type_hints(lambda: 0), typing.Optional[int], list[int], types.SimpleNamespace(a=1), int | None)
A()
""",
    ),
    program(
        "classes_and_metaclasses",
        r"""
class M(type):
    def __new__(m, n, b, d, **k):
        print('new', n, sorted(k))
        return super().__new__(m, n, b, d)
    def __call__(c, *a): return super().__call__(*a)
class A(metaclass=M, x=1):
    __slots__ = ('v',)
    def __init_subclass__(cls): print('sub', cls.__name__)
    def __set_name__(self, o, n): print('named', n)
class B(A):
    f = A()
print(B.__mro__, [c.__name__ for c in A.__subclasses__()])
A().w = 1
""",
    ),
    program(
        "data_model",
        r"""
class V:
    def __init__(s, *a): s.a = a
    def __add__(s, o): return V(*map(sum, zip(s.a, o.a)))
    def __eq__(s, o): return s.a == o.a
    def __getitem__(s, i): return s.a[i]
    def __len__(s): return len(s.a)
    def __repr__(s): return f'V{s.a}'
    def __format__(s, f): return f'<{f}>'
    def __bool__(s): return False
print(V(1, 2) + V(3, 4), V(1) == V(1), [*V(5, 6)], len(V()), f'{V():spec}', not V(1), V(1, 2)[-1])
hash(V())
""",
    ),
    program(
        "memory_tracing",
        r"""
import tracemalloc
tracemalloc.start()
x = [bytes(1000) for _ in range(100)]
print(tracemalloc.get_traced_memory()[0] > 100_000, tracemalloc.is_tracing())
print(tracemalloc.take_snapshot().statistics('lineno')[0].traceback[0].lineno)
tracemalloc.stop()
""",
    ),
    program(
        "trace_function",
        r"""
import sys
lines = []
def t(frame, event, arg):
    lines.append((event, frame.f_lineno))
    return t
def f(x):
    y = x + 1
    return y
sys.settrace(t)
f(1)
sys.settrace(None)
print(lines)
sys.setprofile(lambda *a: None)
print(sys.getprofile() is not None)
""",
    ),
    program(
        "profiler",
        r"""
import cProfile, pstats, io
p = cProfile.Profile()
p.runcall(sum, range(10))
s = io.StringIO()
st = pstats.Stats(p, stream=s)
print(st.total_calls)
import timeit
print(timeit.timeit('1', number=5) >= 0)
""",
    ),
    program(
        "clocks",
        r"""
import time
a = time.perf_counter()
time.sleep(0.01)
print(time.perf_counter() - a >= 0.01, time.process_time() >= 0, time.time() > 1e9, time.thread_time() >= 0, time.monotonic() > 0)
""",
    ),
    program(
        "sys_hooks",
        r"""
import sys
print(sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__, sys.unraisablehook is sys.__unraisablehook__, sys.breakpointhook is sys.__breakpointhook__, sys.getswitchinterval(), sys.gettrace(), len(sys.meta_path), sys.float_repr_style)
print([getattr(f, '__name__', f.__class__.__name__) for f in sys.meta_path])
""",
        quick=True,
    ),
    program(
        "hooks_of_imports",
        r"""
import sys
print(len(sys.path_hooks), len(sys.path_importer_cache) > 0)
""",
    ),
    program(
        "excepthook",
        r"""
import sys
def hook(t, v, tb): print('hook:', t.__name__, v, tb.tb_lineno)
sys.excepthook = hook
{}['x']
""",
        outcome="exception",
        quick=True,
    ),
    program(
        "excepthook_that_fails",
        r"""
import sys
def hook(*a): raise ValueError('in hook')
sys.excepthook = hook
1/0
""",
    ),
    program(
        "excepthook_of_nonsense",
        r"""
import sys
sys.excepthook = 5
1/0
""",
    ),
    program(
        "excepthook_deleted",
        r"""
import sys
del sys.excepthook
1/0
""",
    ),
    program(
        "excepthook_not_for_system_exit",
        r"""
import sys
sys.excepthook = lambda *a: print('hook')
sys.exit(3)
""",
    ),
    program(
        "excepthook_for_interrupts",
        r"""
import sys
sys.excepthook = lambda *a: print('hook', a[0].__name__)
raise KeyboardInterrupt
""",
        outcome="exception",
    ),
    program(
        "excepthook_by_traceback_module",
        r"""
import sys, traceback
sys.excepthook = lambda t, v, tb: traceback.print_exception(t, v, tb, file=sys.stdout)
raise LookupError('to stdout')
""",
        outcome="exception",
    ),
    program(
        "last_exception_names",
        r"""
import sys, atexit
atexit.register(lambda: print(sys.last_type.__name__, sys.last_value, sys.last_traceback is not None))
1/0
""",
        quick=True,
    ),
    program(
        "unraisable_hook",
        r"""
import sys
sys.unraisablehook = lambda a: print('unraisable', a.exc_type.__name__, a.err_msg)
class C:
    def __del__(self): 1/0
C()
x = C()
""",
        differs=dict.fromkeys(ALWAYS, NOT_TAKEN_APART),
    ),
    program(
        "audit_hook",
        r"""
import sys
sys.addaudithook(lambda e, a: print('event', e) if e == 'mine' else None)
sys.audit('mine', 1)
open('main.py').close()
""",
    ),
    program(
        "import_hook",
        r"""
import sys
class F:
    def find_spec(self, name, path, target=None):
        if name == 'virtual': print('asked for', name)
sys.meta_path.insert(0, F())
import virtual
""",
    ),
    program(
        "breakpoint_hook",
        r"""
import sys
sys.breakpointhook = lambda *a: print('break', a)
breakpoint(1)
""",
    ),
    program(
        "code_objects",
        r"""
import types, marshal
c = compile('x = 1', '<c>', 'exec')
d = marshal.loads(marshal.dumps(c))
exec(d)
print(x, c.co_names, c == d, types.FunctionType(compile('1', 'f', 'eval'), {})())
""",
    ),
    program(
        "weak_and_slots",
        r"""
import sys, ctypes
print(sys.getrefcount([]), sys.getsizeof([]), ctypes.sizeof(ctypes.c_long), ctypes.c_int(2**31).value)
x = 'abc'
print(sys.intern(x) is x, [] is [], () is ())
""",
    ),
    program(
        "libc_by_ctypes",
        r"""
import ctypes
libc = ctypes.CDLL(None)
print(libc.abs(-5), libc.strlen(b'four'))
libc.printf(b'by printf %d\n', 7)
libc.puts(b'puts')
print('python')
""",
    ),
    program(
        "libc_exit",
        r"""
import ctypes
print('lost')
ctypes.CDLL(None).printf(b'c buffer\n')
ctypes.CDLL(None).exit(9)
""",
    ),
    program(
        "progress_bar_on_stderr",
        r"""
import sys, time
for i in range(0, 101, 25):
    sys.stderr.write(f'\r{i:3d}% [{"#" * (i // 10):10}]')
    sys.stderr.flush()
sys.stderr.write('\n')
print('done')
""",
    ),
    program(
        "turtle_is_missing",
        r"""
try:
    import tkinter
    tkinter.Tk()
except Exception as e:
    print(type(e).__name__)
""",
    ),
    program(
        "network_is_missing",
        r"""
import socket
try:
    socket.create_connection(('127.0.0.1', 1), 1)
except OSError as e:
    print('no network', type(e).__mro__[-4].__name__)
""",
    ),
]
