# SPDX-License-Identifier: Apache-2.0
"""Programs that start other processes."""

from __future__ import annotations

from program_corpus.entry import NO_NAMED_SOCKETS, NO_PROC_OF_ITS_OWN, NO_SEMAPHORES, Case, program

SPAWNED = r"""
import multiprocessing as mp

def square(x):
    return x * x

def hello(q, n):
    q.put(("hello", n, __name__))

if __name__ == "__main__":
    mp.set_start_method("{method}")
    q = mp.SimpleQueue()
    ps = [mp.Process(target=hello, args=(q, n)) for n in range(2)]
    for p in ps:
        p.start()
    for p in ps:
        p.join()
    print(sorted(q.get() for _ in ps), [p.exitcode for p in ps])
"""

POOLED = r"""
import multiprocessing as mp

class Point:
    def __init__(self, x):
        self.x = x

def double(p):
    return Point(p.x * 2)

if __name__ == "__main__":
    with mp.get_context("{method}").Pool(2) as pool:
        print([p.x for p in pool.map(double, map(Point, range(6)))])
        print(pool.apply(pow, (2, 10)))
"""

FAILING = r"""
import multiprocessing as mp, sys

def fail():
    raise ValueError("in the child")

def leave():
    sys.exit(7)

if __name__ == "__main__":
    mp.set_start_method("{method}")
    for f in (fail, leave):
        p = mp.Process(target=f, name="P")
        p.start()
        p.join()
        print(p.exitcode)
"""

EXECUTED = r"""
import multiprocessing as mp
from concurrent.futures import ProcessPoolExecutor

def work(n):
    return n + 1, __name__

def fail(n):
    return 1 // n

if __name__ == "__main__":
    with ProcessPoolExecutor(2, mp_context=mp.get_context("{method}")) as ex:
        print(list(ex.map(work, range(4))))
        try:
            ex.submit(fail, 0).result()
        except ZeroDivisionError as e:
            print("failed:", e)
"""


def _in_standard(name: str, method: str) -> dict[str, str]:
    if method == "forkserver":
        return {"standard": NO_NAMED_SOCKETS}
    return {} if name == "failures" else {"standard": NO_SEMAPHORES}


PROGRAMS = [
    program(
        "subprocess_output",
        r"""
import subprocess
print(subprocess.check_output(['echo', 'x y']))
print(subprocess.run('echo out; echo err >&2; exit 3', shell=True, capture_output=True))
""",
        quick=True,
    ),
    program(
        "subprocess_inherits_streams",
        r"""
import subprocess
print('before', flush=True)
subprocess.run(['sh', '-c', 'echo child; echo err >&2'])
print('after')
""",
        quick=True,
    ),
    program(
        "subprocess_overtakes_unflushed",
        r"""
import os
print('second')
os.system('echo first')
""",
    ),
    program(
        "subprocess_reads_stdin",
        r"""
import subprocess, sys
print(sys.stdin.readline(), flush=True)
subprocess.run(['cat'])
""",
        "line 1\nline 2\n",
    ),
    program(
        "subprocess_reads_the_rest",
        r"""
import os, subprocess
print(os.read(0, 7), flush=True)
subprocess.run(['cat'])
""",
        "line 1\nline 2\nline 3",
        quick=True,
    ),
    program(
        "subprocess_gets_input",
        r"""
import subprocess
print(subprocess.run(['tr', 'a-z', 'A-Z'], input='shout', text=True, stdout=subprocess.PIPE).stdout)
""",
    ),
    program(
        "subprocess_fails",
        r"""
import subprocess
subprocess.run(['false'], check=True)
""",
    ),
    program(
        "subprocess_missing",
        r"""
import subprocess
subprocess.run(['no-such-command'])
""",
    ),
    program(
        "subprocess_timeout",
        r"""
import subprocess
try:
    subprocess.run(['sleep', '20'], timeout=0.05)
except subprocess.TimeoutExpired as e:
    print(e.cmd, e.output)
""",
    ),
    program(
        "subprocess_killed",
        r"""
import subprocess
p = subprocess.Popen(['sleep', '60'])
p.terminate()
print(p.wait())
p = subprocess.run(['sh', '-c', 'kill -9 $$'])
print(p)
""",
    ),
    program(
        "subprocess_of_python",
        r"""
import subprocess, sys
print(subprocess.run([sys.executable, '-c', 'import sys; print(sys.argv); sys.exit(5)', 'a'], capture_output=True, text=True).stdout)
""",
        quick=True,
    ),
    program(
        "subprocess_runs_itself",
        r"""
import subprocess, sys
if sys.argv[1:]:
    print('child', sys.argv, __name__, input())
    sys.exit(4)
r = subprocess.run([sys.executable, __file__, 'x'], input='in', text=True, capture_output=True)
print(r.stdout, r.stderr, r.returncode)
""",
    ),
    program(
        "subprocess_of_a_module",
        r"""
import subprocess, sys
print(subprocess.run([sys.executable, '-m', 'sibling'], capture_output=True).stdout)
""",
        Case(files={"sibling.py": b"print('run as', __name__)\n"}),
    ),
    program(
        "subprocess_pipeline",
        r"""
import subprocess as s
a = s.Popen(['printf', 'b\\na\\n'], stdout=s.PIPE)
b = s.Popen(['sort'], stdin=a.stdout, stdout=s.PIPE)
a.stdout.close()
print(b.communicate())
a.wait()
""",
    ),
    program(
        "os_system_statuses",
        r"""
import os
print([os.waitstatus_to_exitcode(os.system(c)) for c in ('true', 'exit 3', 'kill -15 $$', 'no-such-cmd 2>/dev/null')])
print(os.popen('echo x').read(), os.popen('exit 2').close())
""",
    ),
    program(
        "posix_spawn",
        r"""
import os
pid = os.posix_spawn('/bin/sh', ['sh', '-c', 'echo spawned; exit 3'], os.environ)
print(os.waitpid(pid, 0)[1] >> 8)
""",
    ),
    program(
        "child_left_behind",
        r"""
import subprocess
subprocess.Popen(['sleep', '0.2'], stdout=-3, stderr=-3)
print('main')
""",
    ),
    program(
        "child_left_behind_prints_before",
        r"""
import os, subprocess, time
p = subprocess.Popen(['echo', 'child'])
p.wait()
print('main')
""",
    ),
    program(
        "fork_and_wait",
        r"""
import os, sys
sys.stdout.flush()
pid = os.fork()
if pid == 0:
    print('child')
    sys.exit(3)
print('parent', os.waitpid(pid, 0)[1] >> 8)
""",
        quick=True,
    ),
    program(
        "fork_flushes_twice",
        r"""
import os
print('twice')
pid = os.fork()
if pid: os.wait()
""",
        quick=True,
    ),
    program(
        "fork_child_raises",
        r"""
import os
pid = os.fork()
if pid == 0: raise ValueError('child')
print(os.waitpid(pid, 0)[1] >> 8)
""",
    ),
    program(
        "fork_child_os_exit",
        r"""
import os
print('once')
if os.fork() == 0: os._exit(0)
print(os.wait()[1])
""",
    ),
    program(
        "fork_child_runs_atexit",
        r"""
import atexit, os
me = os.getpid()
atexit.register(lambda: print('parent' if os.getpid() == me else 'child'))
if os.fork(): os.wait()
""",
    ),
    program(
        "fork_child_falls_off_the_end",
        r"""
import os, time
r, w = os.pipe()
if os.fork() == 0:
    os.close(r)
    print('child')
else:
    os.close(w)
    os.read(r, 1)
    os.wait()
    print('parent')
""",
    ),
    program(
        "fork_and_pipes",
        r"""
import os
r, w = os.pipe()
if os.fork() == 0:
    os.close(r)
    os.write(w, b'from the child')
    os._exit(0)
os.close(w)
print(os.fdopen(r).read())
os.wait()
""",
    ),
    program(
        "fork_child_reads_stdin",
        r"""
import os, sys
if os.fork() == 0:
    print('child', sys.stdin.readline())
    sys.stdout.flush()
    os._exit(0)
os.wait()
print('parent', repr(sys.stdin.read()))
""",
        "one\ntwo\n",
    ),
    program(
        "fork_parent_ends_by_exit",
        r"""
import os, sys
if os.fork() == 0:
    sys.exit(5)
os.wait()
sys.exit(6)
""",
    ),
    program(
        "fork_many",
        r"""
import os
pids = []
for i in range(8):
    pid = os.fork()
    if pid == 0: os._exit(i)
    pids.append(pid)
print([os.waitpid(p, 0)[1] >> 8 for p in pids])
""",
    ),
    program(
        "double_fork",
        r"""
import os
r, w = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        os.write(w, b'grandchild')
    os._exit(0)
os.wait()
os.close(w)
print(os.read(r, 99))
""",
    ),
    program(
        "fork_handlers",
        r"""
import os

def in_child():
    print("child", flush=True)
    os._exit(0)

os.register_at_fork(before=lambda: print("before", flush=True), after_in_parent=os.wait)
os.register_at_fork(after_in_child=in_child)
os.fork()
print("parent")
""",
    ),
    program(
        "no_children_to_wait_for",
        r"""
import os
os.wait()
""",
    ),
    program(
        "children_of_the_process",
        r"""
import os
print(open(f'/proc/self/task/{os.getpid()}/children').read())
""",
        differs={"collect standard": NO_PROC_OF_ITS_OWN},
    ),
    *(
        program(
            f"{name}_by_{method}",
            text.replace("{method}", method),
            quick=method == "fork" and name == "processes",
            differs=_in_standard(name, method),
        )
        for method in ("fork", "spawn", "forkserver")
        for name, text in (
            ("processes", SPAWNED),
            ("pool", POOLED),
            ("failures", FAILING),
            ("executor", EXECUTED),
        )
    ),
    program(
        "spawn_without_a_guard",
        r"""
import multiprocessing as mp
mp.set_start_method('spawn')
def f(): print('child')
p = mp.Process(target=f)
p.start()
p.join()
print(p.exitcode)
""",
        addresses=True,
    ),
    program(
        "pool_default_context",
        r"""
from multiprocessing import Pool
def f(x): return x ** 2
if __name__ == '__main__':
    with Pool(2) as p: print(p.map(f, range(10)), sum(p.imap_unordered(f, range(10))))
""",
        differs={"standard": NO_SEMAPHORES},
    ),
    program(
        "pool_of_lambdas_fails",
        r"""
from multiprocessing import Pool
if __name__ == '__main__':
    with Pool(1) as p: p.map(lambda x: x, [1])
""",
        addresses=True,
        differs={"standard": NO_SEMAPHORES},
    ),
    program(
        "process_prints",
        r"""
import multiprocessing as mp
def f(): print('from the child', mp.current_process().name)
if __name__ == '__main__':
    p = mp.get_context('fork').Process(target=f)
    p.start()
    p.join()
    print(mp.current_process().name, mp.parent_process(), mp.active_children())
""",
    ),
    program(
        "process_left_running_is_joined",
        r"""
import multiprocessing as mp, os, time
def f():
    os.close(w)
    os.read(r, 1)
    time.sleep(0.1)
    print('child ends')
if __name__ == '__main__':
    r, w = os.pipe()
    mp.get_context('fork').Process(target=f).start()
    print('main')
    os.close(w)
""",
    ),
    program(
        "daemon_process_is_ended",
        r"""
import multiprocessing as mp, time
def f(): time.sleep(60)
if __name__ == '__main__':
    p = mp.get_context('fork').Process(target=f, daemon=True)
    p.start()
    print('main')
""",
    ),
    program(
        "shared_values",
        r"""
import multiprocessing as mp
def f(v, a, l):
    for i in range(100):
        with l: v.value += 1
    a[1] = 7
if __name__ == '__main__':
    c = mp.get_context('fork')
    v, a, l = c.Value('i', 0), c.Array('d', 3), c.Lock()
    ps = [c.Process(target=f, args=(v, a, l)) for _ in range(3)]
    [p.start() for p in ps]
    [p.join() for p in ps]
    print(v.value, a[:])
""",
        differs={"standard": NO_SEMAPHORES},
    ),
    program(
        "queues_pipes_and_events",
        r"""
import multiprocessing as mp
def f(q, c, e):
    e.wait()
    q.put(c.recv() + 1)
if __name__ == '__main__':
    x = mp.get_context('fork')
    q, (a, b), e = x.Queue(), x.Pipe(), x.Event()
    p = x.Process(target=f, args=(q, b, e))
    p.start()
    a.send(41)
    e.set()
    print(q.get())
    p.join()
""",
        differs={"standard": NO_SEMAPHORES},
    ),
    program(
        "manager",
        r"""
import multiprocessing as mp
def f(d): d['x'] = 5
if __name__ == '__main__':
    c = mp.get_context('fork')
    with c.Manager() as m:
        d = m.dict()
        p = c.Process(target=f, args=(d,))
        p.start()
        p.join()
        print(dict(d))
""",
        differs={"standard": NO_NAMED_SOCKETS},
    ),
    program(
        "shared_memory",
        r"""
from multiprocessing import shared_memory
s = shared_memory.SharedMemory(create=True, size=100)
s.buf[:5] = b'hello'
t = shared_memory.SharedMemory(s.name)
print(bytes(t.buf[:5]))
t.close()
s.close()
s.unlink()
""",
        differs={"standard": NO_SEMAPHORES},
    ),
    program(
        "executor_without_a_guard",
        r"""
from concurrent.futures import ProcessPoolExecutor
import multiprocessing as mp
def f(x): return x + 1
with ProcessPoolExecutor(1, mp_context=mp.get_context('fork')) as ex:
    print(ex.submit(f, 1).result())
""",
        differs={"standard": NO_SEMAPHORES},
    ),
    program(
        "executor_child_dies",
        r"""
from concurrent.futures import ProcessPoolExecutor
import multiprocessing as mp, os
with ProcessPoolExecutor(1, mp_context=mp.get_context('fork')) as ex:
    try:
        ex.submit(os._exit, 3).result()
    except Exception as e:
        print(type(e).__name__, e)
""",
        differs={"standard": NO_SEMAPHORES},
    ),
    program(
        "pickled_exception_from_a_child",
        r"""
import multiprocessing as mp
class E(Exception): pass
def f(x): raise E(x)
if __name__ == '__main__':
    with mp.get_context('fork').Pool(1) as p:
        p.apply(f, (5,))
""",
        differs={"standard": NO_SEMAPHORES},
    ),
    program(
        "resource_limits",
        r"""
import resource
print(resource.getrlimit(resource.RLIMIT_STACK)[0] > 0, resource.getrlimit(resource.RLIMIT_CORE)[0])
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
fs = []
try:
    while True: fs.append(open('main.py'))
except OSError as e:
    print(len(fs), e)
""",
    ),
    program(
        "descriptors_at_the_start",
        r"""
import os
print(sorted(int(n) for n in os.listdir('/proc/self/fd') if int(n) < 200)[:3], os.open('main.py', 0))
""",
    ),
    program("next_descriptor", "print(open('main.py').fileno())\n"),
    program(
        "nice_and_affinity",
        r"""
import os
print(os.nice(0), len(os.sched_getaffinity(0)) == os.cpu_count())
""",
    ),
]
