# SPDX-License-Identifier: Apache-2.0
"""Source texts that are odd, or do not compile."""

from __future__ import annotations

from program_corpus.entry import program

PROGRAMS = [
    program(
        "syntax_error",
        r"""
print('never')
x = = 1
""",
        quick=True,
    ),
    program(
        "syntax_error_unclosed",
        r"""
x = (1,

print(x)
""",
    ),
    program("syntax_error_in_the_last_line", "x = 1\nif x"),
    program("syntax_error_with_unicode", "größe = 'ä' 'ö' 5 ü\n"),
    program(
        "syntax_error_in_an_fstring",
        r"""
x = 1
print(f'{x')
""",
    ),
    program("syntax_error_string", "x = 'unterminated\n"),
    program(
        "syntax_error_triple_string",
        r"""
x = '''unterminated


""",
    ),
    program("syntax_error_assignment", "f() = 1\n"),
    program("syntax_error_return", "return 5\n"),
    program("syntax_error_await", "await x\n"),
    program("syntax_error_yield", "yield 5\n"),
    program("syntax_error_break", "break\n"),
    program(
        "syntax_error_nonlocal",
        r"""
def f():
    nonlocal x
""",
    ),
    program(
        "syntax_error_global",
        r"""
def f():
    x = 1
    global x
""",
    ),
    program("syntax_error_arguments", "def f(a, a): pass\n"),
    program("syntax_error_print_statement", "print 'hello'\n", quick=True),
    program(
        "syntax_error_from_future",
        r"""
x = 1
from __future__ import annotations
""",
    ),
    program("syntax_error_unknown_future", "from __future__ import braces\n"),
    program("syntax_error_keyword", "class = 5\n"),
    program("syntax_error_character", "x = 1 ¿ 2\n"),
    program("syntax_error_no_break_space", "x =\u00a01\n"),
    program("syntax_error_quotes", "print(“hello”)\n"),
    program("syntax_error_number", "x = 0123\n"),
    program("syntax_error_escape", "x = '\\x1'\n"),
    program("syntax_error_escape_name", "x = '\\N{no such name}'\n"),
    program(
        "syntax_error_continuation",
        r"""
x = 1 + \ 
2
""",
    ),
    program("syntax_error_end_of_continuation", "x = 1 + \\"),
    program("syntax_error_long_line", "x = [" + "1, " * 200 + "= 3]\n"),
    program(
        "markdown_fences",
        r"""
```python
print('hello')
```
""",
    ),
    program(
        "prose",
        r"""
Here is the solution:

print(1)
""",
    ),
    program(
        "indentation_error",
        r"""
if True:
print(1)
""",
        quick=True,
    ),
    program(
        "unexpected_indent",
        r"""
x = 1
  y = 2
""",
    ),
    program(
        "unindent_mismatch",
        r"""
if True:
    x = 1
  y = 2
""",
    ),
    program("tab_error", "if True:\n        x = 1\n\ty = 2\n"),
    program("tabs_alone", "if True:\n\tif True:\n\t\tprint('tabs')\n"),
    program("form_feed", "x = 1\n\f\nprint(x)\n"),
    program("too_deeply_nested", "x = " + "(" * 300 + ")" * 300 + "\n"),
    program(
        "too_many_blocks", "".join(" " * i + "if 1:\n" for i in range(101)) + " " * 101 + "pass\n"
    ),
    program("deep_expression", "x = " + "-" * 4000 + "1\nprint(x)\n"),
    program("long_chain_of_additions", "print(" + " + ".join(["1"] * 3000) + ")\n"),
    program(
        "large_literal", "data = [" + ", ".join(map(str, range(20_000))) + "]\nprint(sum(data))\n"
    ),
    program("large_number", "print(len(str(10 ** 4000)))\nx = " + "9" * 5000 + "\n"),
    program("byte_order_mark", "\ufeffprint('after a mark')\n1/0\n"),
    program("byte_order_mark_and_cookie", "\ufeff# -*- coding: latin-1 -*-\nprint(1)\n"),
    program("two_byte_order_marks", "\ufeff\ufeffprint(1)\n"),
    program(
        "cookie_utf8",
        r"""
# -*- coding: utf-8 -*-
print('é')
""",
        quick=True,
    ),
    program(
        "cookie_latin1",
        r"""
# -*- coding: latin-1 -*-
print('é', len('é'))
1/0 # é
""",
    ),
    program(
        "cookie_in_line_2",
        r"""
#!/usr/bin/env python3
# vim: set fileencoding=cp1252 :
print('€', len('€'))
""",
    ),
    program(
        "cookie_in_line_3",
        r"""
#
#
# coding: latin-1
print('é')
""",
    ),
    program(
        "cookie_unknown",
        r"""
# coding: no-such-codec
print(1)
""",
    ),
    program(
        "cookie_ascii",
        r"""
# coding: ascii
print('é')
""",
    ),
    program(
        "cookie_utf16",
        r"""
# coding: utf-16
print(1)
""",
    ),
    program(
        "cookie_rot13",
        r"""
# coding: rot13
cevag(1)
""",
    ),
    program(
        "shebang",
        r"""
#!/usr/bin/python2
print('three')
""",
    ),
    program("nul_byte", "print(1)\n\0print(2)\n"),
    program("nul_byte_in_a_comment", "print(1)  # \0 x\nprint(2)\n"),
    program("nul_byte_at_the_end", "print(1)\n\0"),
    program("control_z", "print(1)\n\x1aprint(2)\n"),
    program("windows_newlines", "x = 1\r\nif x:\r\n    print('''a\r\nb''')\r\n1/0\r\n", quick=True),
    program("old_mac_newlines", "x = 1\rprint(x)\r1/0\r"),
    program("mixed_newlines", "x = 1\r\nprint(x)\n\rprint('y')\n1/0"),
    program("no_newline_at_the_end", "print('x')", quick=True),
    program("no_newline_after_a_block", "for i in range(2):\n    print(i)"),
    program("comment_at_the_end", "print('x')\n# comment"),
    program("only_comments", "# nothing\n\n   \n\t\n# here"),
    program("only_a_docstring", "'''Text.'''\n"),
    program(
        "docstring",
        r"""
'''The doc
   string.'''
print(__doc__, __annotations__ if '__annotations__' in globals() else None)
""",
    ),
    program(
        "annotations",
        r"""
x: int = 5
y: 'no such name'
print(__annotations__ if '__annotations__' in globals() else 'lazy')
""",
    ),
    program(
        "future_annotations",
        r"""
from __future__ import annotations
def f(x: nope) -> nope2: pass
print(f.__annotations__)
eval('lambda: 1')
""",
    ),
    program(
        "future_does_not_leak",
        r"""
from __future__ import annotations
exec('def f(x: int): pass')
print(f.__annotations__)
""",
    ),
    program(
        "unicode_identifiers",
        r"""
ﬁ = 1
print(fi, 'ﬁ' in globals(), 'fi' in globals())
π = 3.14
print(π)
变量 = 2
print(变量)
""",
    ),
    program(
        "other_line_separators", "x = 'a\u2028b\x0cc\x85d'\nprint(ascii(x))\n1/0 # \u2028 here\n"
    ),
    program("right_to_left", "# \u202e hidden \u202c\nprint('שלום')\n1/0\n"),
    program("emoji_before_the_error", "print('🎉🎉', '🎉' + 1)\n"),
    program("combining_before_the_error", "x = 'e\u0301e\u0301'; y = x.nope\n"),
    program("semicolons", "import sys; x = 1; print(x); sys.exit(x)\n"),
    program(
        "backslash_lines",
        r"""
x = 1 + \
    2
print(x, \
  'y')
""",
    ),
    program(
        "match_statement",
        r"""
match input().split():
    case ['add', a, b]: print(int(a) + int(b))
    case [x, *rest]: print(x, rest)
    case _: print('nothing')
""",
        "add 1 2",
        "a b c d",
        "",
    ),
    program(
        "walrus_and_positional",
        r"""
def f(a, /, b, *, c=3): return (d := a + b) * c + d
print(f(1, 2), f(1, b=2, c=1))
f(a=1, b=2)
""",
    ),
    program(
        "nested_fstrings",
        r"""
x = 3
print(f'{x!r:>{x + 2}}|{x=}|{"a" + f"{x:03}"}|{{}}')
""",
    ),
    program(
        "nested_quotes_in_fstrings",
        r"""
d = {'a': 1}
print(f'{d['a']}')
""",
    ),
    program(
        "type_parameters",
        r"""
def first[T](x: list[T]) -> T: return x[0]
type Pair = tuple[int, int]
print(first([1]), Pair)
""",
    ),
    program(
        "except_star",
        r"""
try:
    raise ValueError(1)
except* ValueError as e:
    print(e.exceptions)
""",
    ),
    program(
        "many_functions",
        "".join(f"def f{i}(x): return x + {i}\n" for i in range(1500)) + "print(f1499(1))\n",
    ),
    program(
        "debug_constant",
        r"""
assert __debug__
if not __debug__: print('optimised')
__debug__ = 1
""",
    ),
    program(
        "positions_of_code",
        r"""
def f():
    pass
print(f.__code__.co_firstlineno, f.__code__.co_name, f.__code__.co_filename == __file__)
import sys
print(sys._getframe().f_lineno, sys._getframe().f_code.co_name)
""",
    ),
]
