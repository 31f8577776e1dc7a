# SPDX-License-Identifier: Apache-2.0
"""Programs that use numpy."""

from __future__ import annotations

from program_corpus.entry import NO_SEMAPHORES, program

PROGRAMS = [
    program(
        "array_from_stdin",
        r"""
import sys
import numpy as np
a = np.array(sys.stdin.read().split(), dtype=np.int64)
print(a.sum(), a.mean(), np.sort(a), a[a > 2])
""",
        "3 1 2 5",
        "",
        quick=True,
    ),
    program(
        "text_tables",
        r"""
import sys
import numpy as np
a = np.loadtxt(sys.stdin)
print(a.shape, a)
np.savetxt(sys.stdout, a * 2, fmt='%.2f')
""",
        "1 2\n3 4.5\n",
        "1 2\n3\n",
    ),
    program(
        "from_string_and_file",
        r"""
import sys
import numpy as np
print(np.fromfile(sys.stdin.buffer, dtype='<i4', count=2), np.fromstring('1 2', sep=' '))
""",
        b"\1\0\0\0\2\0\0\0\3\0\0\0",
    ),
    program(
        "printed_arrays",
        r"""
import numpy as np
print(np.arange(2000), np.eye(3), np.linspace(0, 1, 5), np.array([1e10, 1e-10]), np.zeros((0, 3)))
np.set_printoptions(precision=2, suppress=True)
print(np.array([1/3, 2e6]), np.float64(0.1), repr(np.float64(0.1)), np.bool_(True))
""",
        quick=True,
    ),
    program(
        "seeded_randomness",
        r"""
import numpy as np
np.random.seed(0)
print(np.random.rand(3), np.random.randint(0, 10, 5))
r = np.random.default_rng(42)
print(r.random(2), r.permutation(5), r.normal())
""",
        quick=True,
    ),
    program(
        "linear_algebra",
        r"""
import numpy as np
a = np.array([[2.0, 1], [1, 3]])
print(np.linalg.solve(a, [1, 2]), np.linalg.det(a).round(6), a @ a, np.linalg.eigvalsh(a).round(6))
np.linalg.inv(np.zeros((2, 2)))
""",
    ),
    program(
        "matrix_product_with_threads",
        r"""
import numpy as np
a = np.arange(250_000.0).reshape(500, 500)
print((a @ a).sum(), threading.active_count() if 'threading' in globals() else 1)
""",
    ),
    program(
        "numpy_warnings",
        r"""
import numpy as np
print(np.array([1.0, 0]) / 0, np.log(-1), np.int8(100) + np.int8(100))
with np.errstate(all='raise'):
    np.float64(1) / np.float64(0)
""",
        quick=True,
    ),
    program(
        "numpy_errors",
        r"""
import numpy as np
a = np.zeros(3)
a[5]
""",
    ),
    program(
        "numpy_shape_error",
        r"""
import numpy as np
print(np.ones((2, 3)) + np.ones((3, 2)))
""",
    ),
    program(
        "numpy_attribute_error",
        r"""
import numpy as np
np.float
""",
    ),
    program(
        "saved_arrays",
        r"""
import numpy as np, io
np.save('a.npy', np.arange(5))
np.savez('z.npz', x=np.ones(2))
print(np.load('a.npy'), np.load('z.npz')['x'], np.memmap('m', dtype='u1', mode='w+', shape=4))
""",
    ),
    program(
        "array_of_objects",
        r"""
import numpy as np, pickle
a = np.array([1, 'a', None], dtype=object)
print(a, pickle.loads(pickle.dumps(a)), np.array(['x', 'yy']).dtype, np.datetime64('2024-01-01') + 1)
""",
    ),
    program(
        "array_in_a_child",
        r"""
import multiprocessing as mp
import numpy as np
def f(a): return a * 2
if __name__ == '__main__':
    with mp.get_context('fork').Pool(2) as p: print(np.concatenate(p.map(f, [np.arange(3), np.ones(2)])))
""",
        differs={"standard": NO_SEMAPHORES},
    ),
    program(
        "memory_error_of_numpy",
        r"""
import numpy as np
np.zeros(1 << 60)
""",
    ),
    program(
        "print_options_do_not_stay",
        r"""
import numpy as np
print(np.get_printoptions()['precision'], np.geterr(), np.random.get_state()[0])
np.set_printoptions(precision=1)
np.seterr(all='ignore')
""",
    ),
    program(
        "global_randomness_is_used",
        r"""
import numpy as np, random
print(0 <= np.random.rand() < 1, 0 <= random.random() < 1)
""",
    ),
]
