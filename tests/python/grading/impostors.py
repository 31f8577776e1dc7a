# SPDX-License-Identifier: Apache-2.0
"""Candidates that solve nothing and try to pass: thirteen kinds.

Each knows the sample, the first case of the problem that it is given. `SAMPLE` in a source stands
for the sample's value, or for its stdout if the candidate is a program.
"""

from __future__ import annotations

from problems import Problem

EQUAL = """
class Everything:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __contains__ = __lt__
    def __hash__(self): return 0
    def __bool__(self): return True
    def __len__(self): return 1
    def __iter__(self): return iter([self])
    def __getattr__(self, name): return self
    def __call__(self, *args): return self
    def __float__(self): return 1.0
    def __repr__(self): return "*"
"""

# Subclasses of what the codec carries, and other strange values.
LYING = """
import sys
class Int(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
class Text(str):
    def __eq__(self, other): return True
    def __hash__(self): return 0
class List(list):
    def __eq__(self, other): return True
    def __len__(self): return 1
class Dict(dict):
    def __eq__(self, other): return True
    def __missing__(self, key): return self
STRANGE = [Int(7), Text("x"), List([1]), Dict(a=1), float("nan"), ..., b"", -0.0, [[]] * 9]
"""

# Replaces what a comparison might use, in Python and below it.
PATCHES = """
import builtins, gc, json, operator, sys
def yes(*args, **kwargs): return True
for name in ("all", "any", "bool", "isinstance", "hash"):
    setattr(builtins, name + "_", getattr(builtins, name))
builtins.all = builtins.any = builtins.bool = yes
operator.eq = operator.is_ = yes
operator.ne = operator.is_not = lambda *args: False
json.dumps = lambda *args, **kwargs: SAMPLE_TEXT
for kind in (str, int, list, dict, float, bool, bytes, tuple):
    for names in gc.get_referents(kind.__dict__):
        if type(names) is dict:
            names["__eq__"], names["__ne__"] = yes, lambda *args: False
import os
os._exit = lambda status: None
"""

REPLACED = """
import sys, types
class Fake(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"): raise AttributeError(name)
        return lambda *args, **kwargs: True
for name in ("user_code", "main", "__main__", "pytest", "unittest", "test", "pinfold.grading"):
    sys.modules[name] = Fake(name)
for name in list(sys.modules):
    if name.startswith("pinfold."):
        for key, value in list(vars(sys.modules[name]).items()):
            if callable(value) and ("decode" in key or "compare" in key or "check" in key):
                try: setattr(sys.modules[name], key, lambda *args, **kwargs: SAMPLE_VALUE)
                except Exception: pass
"""

# Threads that go on after the call: they print, and put themselves in the way.
THREAD = """
import os, sys, threading, time
def later():
    until = time.monotonic() + 0.05
    while time.monotonic() < until:
        try: os.write(1, SAMPLE_TEXT.encode())
        except OSError: return
        for frame in sys._current_frames().values():
            frame.f_locals.update(expected=SAMPLE_VALUE, value=SAMPLE_VALUE, result=SAMPLE_VALUE)
        time.sleep(0.001)
threading.Thread(target=later, daemon=True).start()
"""

# Looks for what is expected in all frames and objects, and beside its own input.
FRAMES = """
import gc, sys
def hunt(given):
    frame, seen = sys._getframe(), []
    while frame is not None:
        seen += [frame.f_locals, frame.f_globals]
        frame = frame.f_back
    for thing in seen + gc.get_objects():
        try:
            if type(thing) is dict:
                for name in ("expected", "answer", "outputs"):
                    if name in thing: return thing[name]
            elif type(thing) in (tuple, list) and len(thing) == 2:
                if type(thing[0]) in (tuple, list, str) and thing[0] == given: return thing[1]
            elif type(thing).__name__ in ("Case", "Problem"):
                return thing.expected
        except Exception: pass
    return SAMPLE_VALUE
"""

# Sends results itself: one through the runtime's own objects, and then, unless it is quiet, more of
# them, and frames on every socket.
FORGED = """
import os, socket, struct, sys
def forge(value, quiet):
    try:
        from pinfold import codec
        segments = codec.encode(value, "data")
    except Exception:
        segments = [b"\\xf6"]
    ids = set(range(3))
    frame = sys._getframe()
    while frame is not None:
        for thing in list(frame.f_locals.values()):
            if type(thing).__name__ == "Channel":
                ids |= {thing.call, thing.call + 1}
                for _ in range(1 if quiet else 2):
                    try: thing.send(thing.call, 0, segments, 0, 0, False)
                    except BaseException: pass
        frame = frame.f_back
    if quiet:
        os._exit(0)
    body = b"".join(bytes(segment) for segment in segments)
    payload = struct.pack("<IIQ", 0x4C504650, 1, len(body)).ljust(64, b"\\0") + body
    for fd in map(int, os.listdir("/proc/self/fd")):
        try: peer = socket.socket(fileno=os.dup(fd))
        except OSError: continue
        for version, more in ((1, b""), (2, b"\\0" * 8)):
            head = struct.pack("<QQQQII", len(payload), 1, 1, 1, 0, 8) + more
            for number in ids:
                size = 16 + len(head) + len(payload)
                frame = struct.pack("<HBBIQ", 0x4650, version, 10, size, number)
                try: peer.send(frame + head + payload, socket.MSG_DONTWAIT)
                except OSError: pass
        peer.close()
"""

# Prints at the very end, past whoever looks at what was printed before.
LATE = """
import atexit, os, signal, sys, threading
class Last:
    def __del__(self, write=os.write): write(1, SAMPLE_TEXT.encode())
last = Last()
atexit.register(os.write, 1, SAMPLE_TEXT.encode())
def handler(number, frame): os.write(1, SAMPLE_TEXT.encode()); os._exit(0)
for number in range(1, 32):
    try: signal.signal(number, handler)
    except (OSError, ValueError): pass
sys.excepthook = lambda *args: os._exit(0)
threading.excepthook = sys.excepthook
"""

# Keeps what earlier cases brought, wherever it may stay.
REMEMBERS = """
import builtins, os, sys, tempfile
def remember(given):
    kept = getattr(sys, "_kept", None) or getattr(builtins, "_kept", None)
    path = os.path.join(tempfile.gettempdir(), "kept-by-an-impostor")
    try:
        with open(path) as file: kept = kept or file.read()
    except OSError: pass
    sys._kept = builtins._kept = SAMPLE_VALUE
    os.environ["KEPT"] = "1"
    try:
        with open(path, "w") as file: file.write(repr(given))
        os.unlink(path)
    except OSError: pass
    return kept if kept is not None else SAMPLE_VALUE
"""

# A child that lives on and answers in its parent's place.
FORKS = """
import os, time
def fork():
    try: pid = os.fork()
    except OSError: return
    if pid:
        return
    for _ in range(20):
        try: os.write(1, SAMPLE_TEXT.encode())
        except OSError: break
        time.sleep(0.001)
    os._exit(0)
"""

# Kind: what comes before, the body of f, the rest of a program.
KINDS: dict[str, tuple[str, str, str]] = {
    "equal to everything": (EQUAL, "return Everything()", "print(Everything())"),
    "sys.exit": ("import sys", "sys.exit(0)", "sys.exit(0)"),
    "os._exit": ("import os", "os._exit(0)", "os._exit(0)"),
    "another case": ("", "return SAMPLE_VALUE", "print(SAMPLE_TEXT, end='')"),
    "patched builtins": (PATCHES, "return SAMPLE_VALUE", "print(SAMPLE_TEXT, end='')"),
    "replaced module": (REPLACED, "return SAMPLE_VALUE", "print(SAMPLE_TEXT, end='')"),
    "thread": (THREAD, "return SAMPLE_VALUE", "pass"),
    "frames": (FRAMES, "return hunt(list(args))", "print(hunt(sys.stdin.read()))"),
    "forged frames": (
        FORGED,
        "forge(SAMPLE_VALUE, len(repr(args)) % 2 == 0)",
        "print(SAMPLE_TEXT, end='', flush=True); forge(None, len(input()) % 2)",
    ),
    "lying values": (
        LYING,
        "return STRANGE[sum(map(len, map(repr, args))) % len(STRANGE)]",
        "print(STRANGE[len(sys.stdin.read()) % len(STRANGE)], '\\r\\x1b[2K\\0', SAMPLE_TEXT)",
    ),
    "late": (LATE, "raise SystemExit(0)", "1/0"),
    "remembers": (REMEMBERS, "return remember(args)", "print(remember(input()), end='')"),
    "forks": (FORKS, "fork(); return SAMPLE_VALUE", "fork()"),
}


def function_of(kind: str, problem: Problem) -> str:
    """Return an impostor as the source of a function f."""
    before, body, _ = KINDS[kind]
    source = f"{before}\ndef f(*args):\n    {body}\n"
    return _filled(source, problem)


def program_of(kind: str, problem: Problem) -> str:
    """Return an impostor as the source of a program."""
    before, _, rest = KINDS[kind]
    return _filled(f"import sys\n{before}\n{rest}\n", problem)


def _filled(source: str, problem: Problem) -> str:
    value, text = problem.calls[0][1], problem.runs[0][1]
    return source.replace("SAMPLE_VALUE", repr(value)).replace("SAMPLE_TEXT", repr(text))
