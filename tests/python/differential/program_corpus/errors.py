# SPDX-License-Identifier: Apache-2.0
"""Programs that end by an exception of some shape."""

from __future__ import annotations

from program_corpus.entry import Case, program

PROGRAMS = [
    program(
        "zero_division",
        r"""
def f(x):
    return 1 / x

print('start')
f(0)
""",
        quick=True,
    ),
    program(
        "assertion",
        r"""
x = 3
assert x == 4, f'x is {x}'
""",
    ),
    program("bare_assertion", "assert False\n"),
    program(
        "name_error_with_suggestion",
        r"""
counter = 1
print(countr)
""",
        quick=True,
    ),
    program(
        "attribute_error_with_suggestion",
        r"""
class C:
    value = 1
C().valeu
""",
        addresses=True,
    ),
    program("import_error_with_suggestion", "from collections import deqeu\n"),
    program("module_not_found", "import no_such_module_at_all.inner\n", quick=True),
    program(
        "missing_self",
        r"""
class C:
    def f(self):
        return value
    value = 1
C().f()
""",
    ),
    program(
        "unbound_local",
        r"""
def f():
    print(x)
    x = 1
x = 2
f()
""",
    ),
    program(
        "free_variable",
        r"""
def f():
    def g(): return y
    g()
    y = 1
f()
""",
    ),
    program(
        "type_errors",
        r"""
def f(a, b, *, c): pass
for call in ('f()', 'f(1, 2)', 'f(1, 2, 3, c=1)', 'f(1, 2, d=1, c=2)', '1 + \'a\'', 'None()', 'len(5)', '[][\'a\']', 'for_ in 5'):
    try:
        eval(call)
    except Exception as e:
        print(type(e).__name__, e)
f(1, *[2], **{'a': 3})
""",
    ),
    program(
        "key_error",
        r"""
d = {'a': {}}
print(d['a']['missing key'])
""",
    ),
    program(
        "index_error",
        r"""
x = [[1], [2]]
print(x[0][0] + x[1][1])
""",
    ),
    program(
        "index_error_on_one_line_of_several",
        r"""
x = [1]
y = (x[0] +
     x[0] +
     x[7] + x[0])
""",
    ),
    program(
        "unicode_in_the_failing_line", "größe = 'ä' ; print('日本語' + größe + 5 * 'é' + 3 + 'x')\n"
    ),
    program("tabs_in_the_failing_line", "if True:\n\tx =\t1\t/\t0\n"),
    program("long_failing_line", "x = (" + " + ".join(["1"] * 60) + " + 1/0)\n"),
    program("file_not_found", "open('missing.txt')\n", quick=True),
    program("is_a_directory", "open('.')\n"),
    program(
        "os_errors",
        r"""
import os
for f in (lambda: os.listdir('nope'), lambda: os.remove('nope'), lambda: os.rmdir('nope'), lambda: os.kill(2**22 + 7, 0), lambda: os.close(999)):
    try:
        f()
    except OSError as e:
        print(type(e).__name__, e, e.errno, e.filename)
""",
    ),
    program("unicode_decode_error", "b'\\xff'.decode()\n"),
    program(
        "value_errors",
        r"""
for bad in ('1.5', '', 'ten', '1_', '٣x'):
    try:
        int(bad)
    except ValueError as e:
        print(e)
int('0x', 16)
""",
    ),
    program(
        "overflow_errors",
        r"""
import math
for f in (lambda: math.exp(1000), lambda: 2.0 ** 5000, lambda: float(10 ** 400), lambda: int(float('inf'))):
    try:
        f()
    except (OverflowError, ValueError) as e:
        print(type(e).__name__, e)
'x' * (1 << 62)
""",
    ),
    program("memory_error", "x = bytearray(1 << 60)\n"),
    program(
        "chained_by_from",
        r"""
try:
    int('x')
except ValueError as e:
    raise RuntimeError('outer') from e
""",
        quick=True,
    ),
    program(
        "chained_by_context",
        r"""
try:
    {}['a']
except KeyError:
    1/0
""",
    ),
    program(
        "chained_and_suppressed",
        r"""
try:
    {}['a']
except KeyError:
    raise ValueError('clean') from None
""",
    ),
    program(
        "chained_deeply",
        r"""
def f(n):
    try:
        if n: f(n - 1)
        else: raise ValueError('innermost')
    except Exception as e:
        raise KeyError(n) from e
f(4)
""",
    ),
    program(
        "context_cycle",
        r"""
a, b = ValueError('a'), KeyError('b')
a.__context__, b.__context__ = b, a
raise a
""",
    ),
    program(
        "reraised",
        r"""
def f():
    try:
        1/0
    except ZeroDivisionError:
        raise
def g():
    try:
        f()
    except Exception as e:
        raise e
g()
""",
    ),
    program(
        "raised_with_traceback",
        r"""
def f(): 1/0
try:
    f()
except ZeroDivisionError as e:
    raise ValueError('moved').with_traceback(e.__traceback__)
""",
    ),
    program(
        "raised_in_finally",
        r"""
def f():
    try:
        raise ValueError('lost?')
    finally:
        raise KeyError('last')
f()
""",
    ),
    program(
        "exception_group",
        r"""
def f():
    raise TypeError('two')
errors = [ValueError('one')]
try:
    f()
except TypeError as e:
    errors.append(e)
raise ExceptionGroup('several', errors + [ExceptionGroup('inner', [OSError(2, 'x')])])
""",
        quick=True,
    ),
    program(
        "exception_group_handled_in_part",
        r"""
try:
    raise ExceptionGroup('g', [ValueError(1), TypeError(2), ValueError(3)])
except* ValueError as e:
    print('caught', e.exceptions)
""",
    ),
    program(
        "large_exception_group",
        "raise ExceptionGroup('many', [ValueError(i) for i in range(40)])\n",
    ),
    program(
        "exception_with_notes",
        r"""
e = ValueError('text')
e.add_note('first note')
e.add_note('second\nof two lines')
raise e
""",
    ),
    program(
        "exception_with_strange_notes",
        r"""
e = ValueError('text')
e.__notes__ = [1, 'x', None]
raise e
""",
    ),
    program("exception_of_many_lines", "raise ValueError('one\\ntwo\\n  three')\n"),
    program(
        "exception_without_text",
        r"""
class Stop(Exception): pass
raise Stop
""",
    ),
    program("exception_of_several_arguments", "raise ValueError('a', 1, None)\n"),
    program("exception_with_unicode", "raise ValueError('é 日本 \\ud800 \\x00 \\x1b[31m')\n"),
    program(
        "exception_str_fails",
        r"""
class E(Exception):
    def __str__(self): raise ValueError('inner')
raise E
""",
    ),
    program(
        "exception_in_a_module",
        r"""
import helper
helper.run(3)
""",
        Case(
            files={
                "helper.py": b"def run(n):\n    if n == 0:\n        raise LookupError('deep')\n    run(n - 1)\n"
            }
        ),
        quick=True,
    ),
    program(
        "exception_while_importing",
        "import broken\n",
        Case(files={"broken.py": b"x = 1\nraise ImportError('not today')\n"}),
    ),
    program(
        "syntax_error_while_importing",
        "import broken\n",
        Case(files={"broken.py": b"x = (1,\ny = 2\n"}),
    ),
    program(
        "exception_in_a_package",
        "from pack.inner import value\n",
        Case(
            files={
                "pack/__init__.py": b"",
                "pack/inner.py": b"from pack import other\nvalue = other.make()\n",
                "pack/other.py": b"def make():\n    return [].pop()\n",
            }
        ),
    ),
    program(
        "exception_of_a_qualified_class",
        r"""
class Outer:
    class Inner(Exception):
        pass
raise Outer.Inner('x')
""",
    ),
    program(
        "exception_with_a_false_module",
        r"""
class E(Exception): pass
E.__module__ = 'elsewhere'
E.__qualname__ = 'Renamed'
raise E('x')
""",
    ),
    program("raise_what_is_no_exception", "raise 'text'\n"),
    program(
        "raise_a_class_that_fails",
        r"""
class E(Exception):
    def __init__(self): 1/0
raise E
""",
    ),
    program(
        "exception_in_a_lambda",
        r"""
f = lambda x: x.y.z
sorted([1, 2], key=f)
""",
    ),
    program("exception_in_a_comprehension", "print([10 // n for n in (5, 2, 0)])\n"),
    program(
        "exception_in_a_generator",
        r"""
def g():
    yield 1
    raise StopIteration('inside')
print(list(g()))
""",
    ),
    program(
        "exception_in_a_decorator",
        r"""
import functools
def d(f):
    @functools.wraps(f)
    def wrapper(*a):
        return f(*a)
    return wrapper
@d
@d
def f(x):
    raise ValueError(x)
f(1)
""",
    ),
    program(
        "exception_in_a_property",
        r"""
class C:
    @property
    def x(self): return self.y
C().x
""",
        addresses=True,
    ),
    program("exception_in_sort_key", "sorted([3, 'a', None])\n"),
    program("exception_in_exec", "exec('def f():\\n    1/0\\nf()')\n"),
    program(
        "exception_in_compiled_code_with_a_name",
        r"""
code = compile('x = 1\ny = x / 0\n', 'named.py', 'exec')
exec(code)
""",
    ),
    program("exception_in_code_that_claims_main", "exec(compile('\\n\\n1/0', __file__, 'exec'))\n"),
    program(
        "exception_with_linecache_entry",
        r"""
import linecache
text = 'def f():\n    raise ValueError(1)\n'
linecache.cache['<made>'] = (len(text), None, text.splitlines(True), '<made>')
exec(compile(text, '<made>', 'exec'))
f()
""",
    ),
    program(
        "main_changed_while_it_ran",
        r"""
open(__file__, 'w').write('# changed\n# lines\n# here\n')
x = 1
1/0
""",
    ),
    program(
        "main_removed_while_it_ran",
        r"""
import os
os.remove(__file__)
1/0
""",
    ),
    program(
        "directory_left_before_the_error",
        r"""
import os
os.chdir('/')
x = {}
x['a']
""",
    ),
    program(
        "recursion_error",
        r"""
def f(n):
    return f(n + 1)
f(0)
""",
        quick=True,
    ),
    program(
        "recursion_of_two",
        r"""
def even(n): return n == 0 or odd(n - 1)
def odd(n): return even(n - 1)
try:
    print(even(10**6))
except RecursionError as e:
    print(e)
print(even(100))
even(3001)
""",
    ),
    program(
        "recursion_limit_raised",
        r"""
import sys
sys.setrecursionlimit(20_000)
def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
print(depth(int(input())))
""",
        "15000",
        "5",
        "30000",
        quick=True,
    ),
    program(
        "recursion_limit_lowered",
        r"""
import sys
print(sys.getrecursionlimit())
sys.setrecursionlimit(50)
def f(): f()
f()
""",
    ),
    program(
        "recursion_exactly_to_the_limit",
        r"""
import sys
def f(n):
    try:
        return f(n + 1)
    except RecursionError:
        return n
print(f(0), sys.getrecursionlimit())
""",
    ),
    program(
        "recursion_limit_too_low",
        r"""
import sys
def f(n):
    if n: return f(n - 1)
    sys.setrecursionlimit(5)
f(20)
""",
    ),
    program(
        "recursion_in_repr",
        r"""
x = []
x.append(x)
print(x)
class C:
    def __repr__(self): return repr(self)
repr(C())
""",
    ),
    program(
        "recursion_in_json",
        r"""
import json
x = []
for _ in range(100_000): x = [x]
json.dumps(x)
""",
    ),
    program(
        "recursion_in_getattr",
        r"""
class C:
    def __getattr__(self, name): return self.missing
C().x
""",
    ),
    program(
        "repeated_frames_are_folded",
        r"""
def f(n):
    if n == 0: raise ValueError('end')
    f(n - 1)
f(30)
""",
    ),
    program(
        "tracebacklimit",
        r"""
import sys
sys.tracebacklimit = 2
def f(n):
    if n == 0: 1/0
    f(n - 1)
f(5)
""",
    ),
    program(
        "tracebacklimit_of_0",
        r"""
import sys
sys.tracebacklimit = 0
1/0
""",
    ),
    program(
        "traceback_module",
        r"""
import sys, traceback

def f():
    raise ValueError("x")

try:
    f()
except ValueError as e:
    traceback.print_exc()
    print(traceback.format_exc())
    print(traceback.extract_tb(e.__traceback__)[-1].line)
    traceback.print_exception(e, limit=1, file=sys.stdout)
    print("".join(traceback.format_exception_only(type(e), e)))
traceback.print_stack()
print(sys.exc_info())
""",
    ),
    program(
        "frames_of_a_traceback",
        r"""
import sys
try:
    1/0
except ZeroDivisionError as e:
    tb = e.__traceback__
    print(tb.tb_lineno, tb.tb_next, tb.tb_frame.f_code.co_name, tb.tb_frame.f_back)
    print(tb.tb_frame.f_globals is globals(), tb.tb_frame.f_lineno)
""",
    ),
    program(
        "warnings_to_stderr",
        r"""
import warnings
warnings.warn("a user warning")
warnings.warn("deprecated", DeprecationWarning)
for _ in range(3):
    warnings.warn("once a place", RuntimeWarning)
def f():
    warnings.warn("caller's line", stacklevel=2)
f()
""",
        quick=True,
    ),
    program(
        "warning_as_an_error",
        r"""
import warnings
warnings.simplefilter('error')
warnings.warn('now an error')
""",
    ),
    program(
        "warnings_shown_and_caught",
        r"""
import warnings
print(len(warnings.filters) > 0, [f[2].__name__ for f in warnings.filters[-5:]])
with warnings.catch_warnings(record=True) as w:
    warnings.simplefilter('always')
    warnings.warn('x', ResourceWarning)
print(w[0].category, w[0].message, w[0].lineno)
warnings.showwarning = lambda m, *a, **k: print('shown:', m)
warnings.warn('y')
""",
    ),
    program(
        "warnings_of_the_compiler",
        r"""
x = 5
if x is 5:
    print('is')
print('\d')
assert (x, 'always true')
""",
        quick=True,
    ),
    program("warnings_of_eval", 'print(eval(\'"\\\\d" is "x"\'))\n'),
    program(
        "warning_of_an_unawaited_coroutine",
        r"""
async def f(): pass
f()
print('end')
""",
    ),
    program(
        "deprecated_by_the_library",
        r"""
import datetime, locale
print(datetime.datetime.utcfromtimestamp(0))
print(locale.getdefaultlocale() is None)
""",
    ),
    program(
        "resource_warning_is_hidden",
        r"""
open('main.py')
print('ok')
""",
    ),
    program(
        "resource_warning_shown",
        r"""
import warnings
warnings.simplefilter('default')
open('main.py')
print('ok')
""",
    ),
    program(
        "contextlib_stack",
        r"""
import contextlib
with contextlib.ExitStack() as stack:
    for n in range(3):
        stack.callback(print, "leave", n)
    stack.enter_context(contextlib.suppress(KeyError))
    raise ValueError("through the stack")
""",
    ),
    program(
        "exit_handler_that_fails",
        r"""
class C:
    def __enter__(self): return self
    def __exit__(self, *a): raise KeyError('in exit')
with C():
    1/0
""",
    ),
    program(
        "error_after_output",
        r"""
for i in range(10_000):
    print(i)
raise RuntimeError('late')
""",
    ),
    program(
        "error_deep_in_the_library",
        r"""
import json
json.loads('[1, 2, }')
""",
    ),
    program(
        "error_in_a_c_callback",
        r"""
import functools
print(functools.reduce(lambda a, b: a / b, [1, 0]))
""",
    ),
    program(
        "pickle_errors",
        r"""
import pickle
for x in (lambda: 1, open('main.py'), (i for i in 'a')):
    try:
        pickle.dumps(x)
    except Exception as e:
        print(type(e).__name__)
pickle.loads(b'bad')
""",
    ),
    program(
        "raises_by_argument",
        r"""
import sys
raise getattr(__import__('builtins'), sys.argv[1])(*sys.argv[2:])
""",
        Case(argv=("OSError", "2", "x")),
        Case(argv=("KeyError", "k")),
        Case(argv=("UnicodeError",)),
        Case(argv=("NoSuch",)),
        Case(),
    ),
]
