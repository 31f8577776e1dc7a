# SPDX-License-Identifier: Apache-2.0
"""Programs that end by an exception of some shape."""

from __future__ import annotations

from corpus.entry import Case, program

PROGRAMS = [
    program("zero_division", "def f(x):\n    return 1 / x\n\nprint('start')\nf(0)\n", quick=True),
    program("assertion", "x = 3\nassert x == 4, f'x is {x}'\n"),
    program("bare_assertion", "assert False\n"),
    program("name_error_with_suggestion", "counter = 1\nprint(countr)\n", quick=True),
    program(
        "attribute_error_with_suggestion", "class C:\n    value = 1\nC().valeu\n", addresses=True
    ),
    program("import_error_with_suggestion", "from collections import deqeu\n"),
    program("module_not_found", "import no_such_module_at_all.inner\n", quick=True),
    program(
        "missing_self", "class C:\n    def f(self):\n        return value\n    value = 1\nC().f()\n"
    ),
    program("unbound_local", "def f():\n    print(x)\n    x = 1\nx = 2\nf()\n"),
    program("free_variable", "def f():\n    def g(): return y\n    g()\n    y = 1\nf()\n"),
    program(
        "type_errors",
        "def f(a, b, *, c): pass\nfor call in ('f()', 'f(1, 2)', 'f(1, 2, 3, c=1)', 'f(1, 2, d=1, c=2)', '1 + \\'a\\'', 'None()', 'len(5)', '[][\\'a\\']', 'for_ in 5'):\n    try:\n        eval(call)\n    except Exception as e:\n        print(type(e).__name__, e)\nf(1, *[2], **{'a': 3})\n",
    ),
    program("key_error", "d = {'a': {}}\nprint(d['a']['missing key'])\n"),
    program("index_error", "x = [[1], [2]]\nprint(x[0][0] + x[1][1])\n"),
    program(
        "index_error_on_one_line_of_several",
        "x = [1]\ny = (x[0] +\n     x[0] +\n     x[7] + x[0])\n",
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
        "import os\nfor f in (lambda: os.listdir('nope'), lambda: os.remove('nope'), lambda: os.rmdir('nope'), lambda: os.kill(2**22 + 7, 0), lambda: os.close(999)):\n    try:\n        f()\n    except OSError as e:\n        print(type(e).__name__, e, e.errno, e.filename)\n",
    ),
    program("unicode_decode_error", "b'\\xff'.decode()\n"),
    program(
        "value_errors",
        "for bad in ('1.5', '', 'ten', '1_', '٣x'):\n    try:\n        int(bad)\n    except ValueError as e:\n        print(e)\nint('0x', 16)\n",
    ),
    program(
        "overflow_errors",
        "import math\nfor f in (lambda: math.exp(1000), lambda: 2.0 ** 5000, lambda: float(10 ** 400), lambda: int(float('inf'))):\n    try:\n        f()\n    except (OverflowError, ValueError) as e:\n        print(type(e).__name__, e)\n'x' * (1 << 62)\n",
    ),
    program("memory_error", "x = bytearray(1 << 60)\n"),
    program(
        "chained_by_from",
        "try:\n    int('x')\nexcept ValueError as e:\n    raise RuntimeError('outer') from e\n",
        quick=True,
    ),
    program("chained_by_context", "try:\n    {}['a']\nexcept KeyError:\n    1/0\n"),
    program(
        "chained_and_suppressed",
        "try:\n    {}['a']\nexcept KeyError:\n    raise ValueError('clean') from None\n",
    ),
    program(
        "chained_deeply",
        "def f(n):\n    try:\n        if n: f(n - 1)\n        else: raise ValueError('innermost')\n    except Exception as e:\n        raise KeyError(n) from e\nf(4)\n",
    ),
    program(
        "context_cycle",
        "a, b = ValueError('a'), KeyError('b')\na.__context__, b.__context__ = b, a\nraise a\n",
    ),
    program(
        "reraised",
        "def f():\n    try:\n        1/0\n    except ZeroDivisionError:\n        raise\ndef g():\n    try:\n        f()\n    except Exception as e:\n        raise e\ng()\n",
    ),
    program(
        "raised_with_traceback",
        "def f(): 1/0\ntry:\n    f()\nexcept ZeroDivisionError as e:\n    raise ValueError('moved').with_traceback(e.__traceback__)\n",
    ),
    program(
        "raised_in_finally",
        "def f():\n    try:\n        raise ValueError('lost?')\n    finally:\n        raise KeyError('last')\nf()\n",
    ),
    program(
        "exception_group",
        "def f():\n    raise TypeError('two')\nerrors = [ValueError('one')]\ntry:\n    f()\nexcept TypeError as e:\n    errors.append(e)\nraise ExceptionGroup('several', errors + [ExceptionGroup('inner', [OSError(2, 'x')])])\n",
        quick=True,
    ),
    program(
        "exception_group_handled_in_part",
        "try:\n    raise ExceptionGroup('g', [ValueError(1), TypeError(2), ValueError(3)])\nexcept* ValueError as e:\n    print('caught', e.exceptions)\n",
    ),
    program(
        "large_exception_group",
        "raise ExceptionGroup('many', [ValueError(i) for i in range(40)])\n",
    ),
    program(
        "exception_with_notes",
        "e = ValueError('text')\ne.add_note('first note')\ne.add_note('second\\nof two lines')\nraise e\n",
    ),
    program(
        "exception_with_strange_notes",
        "e = ValueError('text')\ne.__notes__ = [1, 'x', None]\nraise e\n",
    ),
    program("exception_of_many_lines", "raise ValueError('one\\ntwo\\n  three')\n"),
    program("exception_without_text", "class Stop(Exception): pass\nraise Stop\n"),
    program("exception_of_several_arguments", "raise ValueError('a', 1, None)\n"),
    program("exception_with_unicode", "raise ValueError('é 日本 \\ud800 \\x00 \\x1b[31m')\n"),
    program(
        "exception_str_fails",
        "class E(Exception):\n    def __str__(self): raise ValueError('inner')\nraise E\n",
    ),
    program(
        "exception_in_a_module",
        "import helper\nhelper.run(3)\n",
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
        "class Outer:\n    class Inner(Exception):\n        pass\nraise Outer.Inner('x')\n",
    ),
    program(
        "exception_with_a_false_module",
        "class E(Exception): pass\nE.__module__ = 'elsewhere'\nE.__qualname__ = 'Renamed'\nraise E('x')\n",
    ),
    program("raise_what_is_no_exception", "raise 'text'\n"),
    program(
        "raise_a_class_that_fails", "class E(Exception):\n    def __init__(self): 1/0\nraise E\n"
    ),
    program("exception_in_a_lambda", "f = lambda x: x.y.z\nsorted([1, 2], key=f)\n"),
    program("exception_in_a_comprehension", "print([10 // n for n in (5, 2, 0)])\n"),
    program(
        "exception_in_a_generator",
        "def g():\n    yield 1\n    raise StopIteration('inside')\nprint(list(g()))\n",
    ),
    program(
        "exception_in_a_decorator",
        "import functools\ndef d(f):\n    @functools.wraps(f)\n    def wrapper(*a):\n        return f(*a)\n    return wrapper\n@d\n@d\ndef f(x):\n    raise ValueError(x)\nf(1)\n",
    ),
    program(
        "exception_in_a_property",
        "class C:\n    @property\n    def x(self): return self.y\nC().x\n",
        addresses=True,
    ),
    program("exception_in_sort_key", "sorted([3, 'a', None])\n"),
    program("exception_in_exec", "exec('def f():\\n    1/0\\nf()')\n"),
    program(
        "exception_in_compiled_code_with_a_name",
        "code = compile('x = 1\\ny = x / 0\\n', 'named.py', 'exec')\nexec(code)\n",
    ),
    program("exception_in_code_that_claims_main", "exec(compile('\\n\\n1/0', __file__, 'exec'))\n"),
    program(
        "exception_with_linecache_entry",
        "import linecache\ntext = 'def f():\\n    raise ValueError(1)\\n'\nlinecache.cache['<made>'] = (len(text), None, text.splitlines(True), '<made>')\nexec(compile(text, '<made>', 'exec'))\nf()\n",
    ),
    program(
        "main_changed_while_it_ran",
        "open(__file__, 'w').write('# changed\\n# lines\\n# here\\n')\nx = 1\n1/0\n",
    ),
    program("main_removed_while_it_ran", "import os\nos.remove(__file__)\n1/0\n"),
    program("directory_left_before_the_error", "import os\nos.chdir('/')\nx = {}\nx['a']\n"),
    program("recursion_error", "def f(n):\n    return f(n + 1)\nf(0)\n", quick=True),
    program(
        "recursion_of_two",
        "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return even(n - 1)\ntry:\n    print(even(10**6))\nexcept RecursionError as e:\n    print(e)\nprint(even(100))\neven(3001)\n",
    ),
    program(
        "recursion_limit_raised",
        "import sys\nsys.setrecursionlimit(20_000)\ndef depth(n): return 0 if n == 0 else 1 + depth(n - 1)\nprint(depth(int(input())))\n",
        "15000",
        "5",
        "30000",
        quick=True,
    ),
    program(
        "recursion_limit_lowered",
        "import sys\nprint(sys.getrecursionlimit())\nsys.setrecursionlimit(50)\ndef f(): f()\nf()\n",
    ),
    program(
        "recursion_exactly_to_the_limit",
        "import sys\ndef f(n):\n    try:\n        return f(n + 1)\n    except RecursionError:\n        return n\nprint(f(0), sys.getrecursionlimit())\n",
    ),
    program(
        "recursion_limit_too_low",
        "import sys\ndef f(n):\n    if n: return f(n - 1)\n    sys.setrecursionlimit(5)\nf(20)\n",
    ),
    program(
        "recursion_in_repr",
        "x = []\nx.append(x)\nprint(x)\nclass C:\n    def __repr__(self): return repr(self)\nrepr(C())\n",
    ),
    program(
        "recursion_in_json",
        "import json\nx = []\nfor _ in range(100_000): x = [x]\njson.dumps(x)\n",
    ),
    program(
        "recursion_in_getattr",
        "class C:\n    def __getattr__(self, name): return self.missing\nC().x\n",
    ),
    program(
        "repeated_frames_are_folded",
        "def f(n):\n    if n == 0: raise ValueError('end')\n    f(n - 1)\nf(30)\n",
    ),
    program(
        "tracebacklimit",
        "import sys\nsys.tracebacklimit = 2\ndef f(n):\n    if n == 0: 1/0\n    f(n - 1)\nf(5)\n",
    ),
    program("tracebacklimit_of_0", "import sys\nsys.tracebacklimit = 0\n1/0\n"),
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
        "import warnings\nwarnings.simplefilter('error')\nwarnings.warn('now an error')\n",
    ),
    program(
        "warnings_shown_and_caught",
        "import warnings\nprint(len(warnings.filters) > 0, [f[2].__name__ for f in warnings.filters])\nwith warnings.catch_warnings(record=True) as w:\n    warnings.simplefilter('always')\n    warnings.warn('x', ResourceWarning)\nprint(w[0].category, w[0].message, w[0].lineno)\nwarnings.showwarning = lambda m, *a, **k: print('shown:', m)\nwarnings.warn('y')\n",
    ),
    program(
        "warnings_of_the_compiler",
        "x = 5\nif x is 5:\n    print('is')\nprint('\\d')\nassert (x, 'always true')\n",
        quick=True,
    ),
    program("warnings_of_eval", 'print(eval(\'"\\\\d" is "x"\'))\n'),
    program("warning_of_an_unawaited_coroutine", "async def f(): pass\nf()\nprint('end')\n"),
    program(
        "deprecated_by_the_library",
        "import datetime, locale\nprint(datetime.datetime.utcfromtimestamp(0))\nprint(locale.getdefaultlocale() is None)\n",
    ),
    program("resource_warning_is_hidden", "open('main.py')\nprint('ok')\n"),
    program(
        "resource_warning_shown",
        "import warnings\nwarnings.simplefilter('default')\nopen('main.py')\nprint('ok')\n",
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
        "class C:\n    def __enter__(self): return self\n    def __exit__(self, *a): raise KeyError('in exit')\nwith C():\n    1/0\n",
    ),
    program(
        "error_after_output", "for i in range(10_000):\n    print(i)\nraise RuntimeError('late')\n"
    ),
    program("error_deep_in_the_library", "import json\njson.loads('[1, 2, }')\n"),
    program(
        "error_in_a_c_callback",
        "import functools\nprint(functools.reduce(lambda a, b: a / b, [1, 0]))\n",
    ),
    program(
        "pickle_errors",
        "import pickle\nfor x in (lambda: 1, open('main.py'), (i for i in 'a')):\n    try:\n        pickle.dumps(x)\n    except Exception as e:\n        print(type(e).__name__)\npickle.loads(b'bad')\n",
    ),
    program(
        "raises_by_argument",
        "import sys\nraise getattr(__import__('builtins'), sys.argv[1])(*sys.argv[2:])\n",
        Case(argv=("OSError", "2", "x")),
        Case(argv=("KeyError", "k")),
        Case(argv=("UnicodeError",)),
        Case(argv=("NoSuch",)),
        Case(),
    ),
]
