# SPDX-License-Identifier: Apache-2.0
"""Source texts that are odd, or do not compile."""

from __future__ import annotations

from corpus.entry import program

PROGRAMS = [
    program("syntax_error", "print('never')\nx = = 1\n", quick=True),
    program("syntax_error_unclosed", "x = (1,\n\nprint(x)\n"),
    program("syntax_error_in_the_last_line", "x = 1\nif x"),
    program("syntax_error_with_unicode", "größe = 'ä' 'ö' 5 ü\n"),
    program("syntax_error_in_an_fstring", "x = 1\nprint(f'{x')\n"),
    program("syntax_error_string", "x = 'unterminated\n"),
    program("syntax_error_triple_string", "x = '''unterminated\n\n\n"),
    program("syntax_error_assignment", "f() = 1\n"),
    program("syntax_error_return", "return 5\n"),
    program("syntax_error_await", "await x\n"),
    program("syntax_error_yield", "yield 5\n"),
    program("syntax_error_break", "break\n"),
    program("syntax_error_nonlocal", "def f():\n    nonlocal x\n"),
    program("syntax_error_global", "def f():\n    x = 1\n    global x\n"),
    program("syntax_error_arguments", "def f(a, a): pass\n"),
    program("syntax_error_print_statement", "print 'hello'\n", quick=True),
    program("syntax_error_from_future", "x = 1\nfrom __future__ import annotations\n"),
    program("syntax_error_unknown_future", "from __future__ import braces\n"),
    program("syntax_error_keyword", "class = 5\n"),
    program("syntax_error_character", "x = 1 ¿ 2\n"),
    program("syntax_error_no_break_space", "x =\u00a01\n"),
    program("syntax_error_quotes", "print(“hello”)\n"),
    program("syntax_error_number", "x = 0123\n"),
    program("syntax_error_escape", "x = '\\x1'\n"),
    program("syntax_error_escape_name", "x = '\\N{no such name}'\n"),
    program("syntax_error_continuation", "x = 1 + \\ \n2\n"),
    program("syntax_error_end_of_continuation", "x = 1 + \\"),
    program("syntax_error_long_line", "x = [" + "1, " * 200 + "= 3]\n"),
    program("markdown_fences", "```python\nprint('hello')\n```\n"),
    program("prose", "Here is the solution:\n\nprint(1)\n"),
    program("indentation_error", "if True:\nprint(1)\n", quick=True),
    program("unexpected_indent", "x = 1\n  y = 2\n"),
    program("unindent_mismatch", "if True:\n    x = 1\n  y = 2\n"),
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
    program("cookie_utf8", "# -*- coding: utf-8 -*-\nprint('é')\n", quick=True),
    program("cookie_latin1", "# -*- coding: latin-1 -*-\nprint('é', len('é'))\n1/0 # é\n"),
    program(
        "cookie_in_line_2",
        "#!/usr/bin/env python3\n# vim: set fileencoding=cp1252 :\nprint('€', len('€'))\n",
    ),
    program("cookie_in_line_3", "#\n#\n# coding: latin-1\nprint('é')\n"),
    program("cookie_unknown", "# coding: no-such-codec\nprint(1)\n"),
    program("cookie_ascii", "# coding: ascii\nprint('é')\n"),
    program("cookie_utf16", "# coding: utf-16\nprint(1)\n"),
    program("cookie_rot13", "# coding: rot13\ncevag(1)\n"),
    program("shebang", "#!/usr/bin/python2\nprint('three')\n"),
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
        "'''The doc\n   string.'''\nprint(__doc__, __annotations__ if '__annotations__' in globals() else None)\n",
    ),
    program(
        "annotations",
        "x: int = 5\ny: 'no such name'\nprint(__annotations__ if '__annotations__' in globals() else 'lazy')\n",
    ),
    program(
        "future_annotations",
        "from __future__ import annotations\ndef f(x: nope) -> nope2: pass\nprint(f.__annotations__)\neval('lambda: 1')\n",
    ),
    program(
        "future_does_not_leak",
        "from __future__ import annotations\nexec('def f(x: int): pass')\nprint(f.__annotations__)\n",
    ),
    program(
        "unicode_identifiers",
        "ﬁ = 1\nprint(fi, 'ﬁ' in globals(), 'fi' in globals())\nπ = 3.14\nprint(π)\n变量 = 2\nprint(变量)\n",
    ),
    program(
        "other_line_separators", "x = 'a\u2028b\x0cc\x85d'\nprint(ascii(x))\n1/0 # \u2028 here\n"
    ),
    program("right_to_left", "# \u202e hidden \u202c\nprint('שלום')\n1/0\n"),
    program("emoji_before_the_error", "print('🎉🎉', '🎉' + 1)\n"),
    program("combining_before_the_error", "x = 'e\u0301e\u0301'; y = x.nope\n"),
    program("semicolons", "import sys; x = 1; print(x); sys.exit(x)\n"),
    program("backslash_lines", "x = 1 + \\\n    2\nprint(x, \\\n  'y')\n"),
    program(
        "match_statement",
        "match input().split():\n    case ['add', a, b]: print(int(a) + int(b))\n    case [x, *rest]: print(x, rest)\n    case _: print('nothing')\n",
        "add 1 2",
        "a b c d",
        "",
    ),
    program(
        "walrus_and_positional",
        "def f(a, /, b, *, c=3): return (d := a + b) * c + d\nprint(f(1, 2), f(1, b=2, c=1))\nf(a=1, b=2)\n",
    ),
    program("nested_fstrings", 'x = 3\nprint(f\'{x!r:>{x + 2}}|{x=}|{"a" + f"{x:03}"}|{{}}\')\n'),
    program("nested_quotes_in_fstrings", "d = {'a': 1}\nprint(f'{d['a']}')\n"),
    program(
        "type_parameters",
        "def first[T](x: list[T]) -> T: return x[0]\ntype Pair = tuple[int, int]\nprint(first([1]), Pair)\n",
    ),
    program(
        "except_star",
        "try:\n    raise ValueError(1)\nexcept* ValueError as e:\n    print(e.exceptions)\n",
    ),
    program(
        "many_functions",
        "".join(f"def f{i}(x): return x + {i}\n" for i in range(1500)) + "print(f1499(1))\n",
    ),
    program(
        "debug_constant", "assert __debug__\nif not __debug__: print('optimised')\n__debug__ = 1\n"
    ),
    program(
        "positions_of_code",
        "def f():\n    pass\nprint(f.__code__.co_firstlineno, f.__code__.co_name, f.__code__.co_filename == __file__)\nimport sys\nprint(sys._getframe().f_lineno, sys._getframe().f_code.co_name)\n",
    ),
]
