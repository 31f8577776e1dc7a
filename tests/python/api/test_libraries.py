# SPDX-License-Identifier: Apache-2.0
"""Numerical libraries run unchanged in a box, loaded by the call or before it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from boxes import level_is_there
from conftest import MakeBackend, output_of
from pinfold import LocalBackend, WorkerCall

pytestmark = pytest.mark.libraries

PROGRAMS = {
    "numpy": """
import numpy as np
def f():
    a = np.random.default_rng(1).normal(size=(300, 300))
    x = np.linalg.solve(a, np.ones(300))
    np.save("x.npy", x)
    return bool(np.allclose(a @ np.load("x.npy"), 1))
""",
    "scipy": """
from scipy import optimize, sparse
from scipy.sparse import linalg
def f():
    found = optimize.minimize(optimize.rosen, [1.3, 0.7, 0.8, 1.9, 1.2], method="BFGS")
    solved = linalg.spsolve(sparse.eye(50, format="csc") * 2, [2.0] * 50)
    return bool(found.success and (solved == 1).all())
""",
    "pandas": """
import pandas as pd
def f():
    table = pd.DataFrame({"k": list("abab"), "v": [1, 2, 3, 4]})
    table.to_csv("table.csv", index=False)
    return pd.read_csv("table.csv").groupby("k").v.sum().to_dict() == {"a": 4, "b": 6}
""",
    "sklearn": """
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
def f():
    x, y = load_iris(return_X_y=True)
    forest = RandomForestClassifier(n_estimators=20, n_jobs=2, random_state=1).fit(x, y)
    scores = cross_val_score(LogisticRegression(max_iter=500), x, y, n_jobs=2)
    return bool(forest.score(x, y) > 0.9 and scores.mean() > 0.9)
""",
    "jax": """
import jax, jax.numpy as jnp
def f():
    @jax.jit
    def loss(w):
        return jnp.sum((jnp.arange(100.0).reshape(10, 10) @ w - 1) ** 2)
    w = jnp.ones(10) * 0.01
    return bool(loss(w - 1e-6 * jax.grad(loss)(w)) < loss(w))
""",
    "torch": """
import torch
def f():
    x = torch.arange(64.0).reshape(16, 4) / 64
    y = x.sum(1, keepdim=True)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        losses.append(((model(x) - y) ** 2).mean())
        losses[-1].backward()
        optimizer.step()
    torch.save(model.state_dict(), "model.pt")
    model.load_state_dict(torch.load("model.pt"))
    return bool(losses[-1] < losses[0])
""",
}

LOADED = {"scipy": "scipy.optimize", "sklearn": "sklearn.ensemble"}


def value(backend: LocalBackend, code: str) -> Any:
    return backend.submit(WorkerCall(code, "f"), deadline_s=120).result().unwrap()


def there(name: str) -> bool:
    return find_spec(name) is not None


def need(name: str) -> None:
    """Skip the test without the library. An import would leave its threads in this process."""
    if not there(name):
        pytest.skip(f"no {name} here")


@pytest.mark.parametrize("isolation, early", [("fresh", False), ("fresh", True), ("reuse", True)])
@pytest.mark.parametrize("level", ["standard", "strict"])
@pytest.mark.parametrize(
    "library",
    [
        pytest.param(name, marks=pytest.mark.skipif(not there(name), reason=f"no {name} here"))
        for name in PROGRAMS
    ],
)
def test_a_library_computes_in_a_box(
    make_backend: MakeBackend, library: str, level: str, isolation: str, early: bool
) -> None:
    if not level_is_there(level):
        pytest.skip("not to be had here")
    preload = [LOADED.get(library, library)] if early else []
    backend = make_backend(sandbox=level, isolation=isolation, preload=preload, max_workers=1)
    for _ in range(2):
        program = WorkerCall(code=PROGRAMS[library], function_name="f")
        assert backend.submit(program).result(timeout=120).unwrap() is True


@pytest.mark.skipif(not (there("joblib") and there("psutil")), reason="no joblib and psutil here")
def test_joblib_finds_its_processes_by_psutil_in_a_strict_box(
    make_backend: MakeBackend, isolation: str
) -> None:
    if not level_is_there("strict"):
        pytest.skip("not to be had here")
    source = """
import joblib, os, psutil
def f():
    pids = joblib.Parallel(n_jobs=2)(joblib.delayed(os.getpid)() for _ in range(8))
    here = psutil.Process()
    below = {child.pid for child in here.children(recursive=True)}
    return set(pids) <= below and here.memory_info().rss > 0 and here.num_fds() > 0
"""
    backend = make_backend(sandbox="strict", isolation=isolation, max_workers=1)
    for _ in range(2):
        program = WorkerCall(code=source, function_name="f")
        assert backend.submit(program, deadline_s=100).result(timeout=120).unwrap() is True


@pytest.mark.skipif(not there("scipy"), reason="no scipy here")
def test_a_reused_worker_keeps_a_library_that_a_call_imports(make_backend: MakeBackend) -> None:
    backend = make_backend(isolation="reuse", max_workers=1)
    source = "import os\nimport scipy.optimize, scipy.sparse\ndef f(): return os.getpid()"
    program = WorkerCall(code=source, function_name="f")
    first, second = (backend.submit(program).result(timeout=120).unwrap() for _ in range(2))
    assert first == second


@pytest.mark.skipif(not there("jax"), reason="no jax here")
def test_a_setup_that_makes_jax_start_its_threads_is_refused_by_name(
    make_backend: MakeBackend,
) -> None:
    backend = make_backend(setup="import jax.numpy as jnp\nX = jnp.ones(3) + 1\n")
    result = backend.submit(WorkerCall(code="def f(): pass\n", function_name="f")).result(
        timeout=60
    )
    assert result.outcome == "internal"
    assert result.error is not None
    assert "setup started a thread that is still there" in result.error.message
    assert 'use isolation="spawn"' in result.error.message


@pytest.mark.skipif(not there("joblib"), reason="no joblib here")
def test_the_semaphores_of_joblibs_processes_are_gone_with_the_call(
    isolation: str, make_backend: MakeBackend
) -> None:
    code = """
import os, joblib
def f():
    before = set(os.listdir("/dev/shm"))
    joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(n) for n in range(8))
    return [name for name in set(os.listdir("/dev/shm")) - before if f"-{os.getpid()}-" in name]
"""
    backend = make_backend(isolation=isolation)
    for _ in range(2):
        names = backend.submit(WorkerCall(code, "f")).result(timeout=60).unwrap()
        assert names
        assert not set(names) & set(os.listdir("/dev/shm"))


def test_a_template_that_has_loaded_a_library_draws_other_numbers_in_each_worker(
    make_backend: MakeBackend, isolation: str
) -> None:
    need("torch")
    backend = make_backend(
        isolation=isolation,
        preload=["torch"],
        setup="import torch\ntorch.manual_seed(1)\n",
        max_workers=1,
        max_calls_per_worker=1,
    )
    code = "import torch\ndef f(): return torch.rand(1).item(), torch.randint(2**60, (1,)).item()"
    drawn = {value(backend, code) for _ in range(3)}
    assert len(drawn) == 3


def test_numbas_generator_is_another_in_each_worker(make_backend: MakeBackend) -> None:
    need("numba")
    setup = """
import numba, numpy as np
@numba.njit
def draw(): return np.random.random()
draw()
"""
    backend = make_backend(setup=setup, max_workers=1)
    code = "import pinfold_setup\ndef f(): return pinfold_setup.draw()"
    assert len({value(backend, code) for _ in range(3)}) == 3


WRITES = """
import sys, pandas as pd
table = pd.DataFrame({"n": range(50000), "text": [f"line {n}" for n in range(50000)]})
table.to_csv(sys.argv[1] + ".csv", index=False)
table.to_parquet(sys.argv[1] + ".parquet")
table.to_feather(sys.argv[1] + ".feather")
"""
READS = {
    "csv": "pd.read_csv(PATH / 'table.csv')",
    "arrow csv": "pd.read_csv(PATH / 'table.csv', engine='pyarrow')",
    "parquet": "pd.read_parquet(PATH / 'table.parquet')",
    "feather": "pd.read_feather(PATH / 'table.feather')",
}


@pytest.mark.parametrize("level", ["none", "strict"])
def test_a_set_up_may_read_tables(
    make_backend: MakeBackend, isolation: str, level: str, tmp_path: Path
) -> None:
    need("pandas")
    need("pyarrow")
    if not level_is_there(level):
        pytest.skip("not to be had here")
    output_of(WRITES, tmp_path / "table")
    setup = f"import pathlib, pandas as pd\nPATH = pathlib.Path({str(tmp_path)!r})\n"
    setup += f"TABLES = [{', '.join(READS.values())}]\n"
    backend = make_backend(isolation=isolation, sandbox=level, setup=setup, preload=["pandas"])
    code = """
import io, pandas as pd, pinfold_setup
def f():
    again = io.BytesIO()
    pinfold_setup.TABLES[0].to_parquet(again)
    again.seek(0)
    return [int(t.n.sum()) for t in (*pinfold_setup.TABLES, pd.read_parquet(again))]
"""
    assert value(backend, code) == [sum(range(50000))] * 5


def test_a_library_whose_threads_a_fork_would_break_is_refused_by_its_name(
    make_backend: MakeBackend,
) -> None:
    need("sklearn")
    setup = "import numpy as np\nfrom sklearn.cluster import KMeans\n"
    setup += "KMeans(3, n_init=1).fit(np.random.rand(5000, 3))\n"
    backend = make_backend(setup=setup)
    result = backend.submit(WorkerCall("def f(): pass\n", "f")).result(timeout=60)
    assert result.outcome == "internal"
    assert result.error is not None
    assert "of libgomp" in result.error.message


STARTS = {
    "joblib": (
        "joblib",
        "import joblib\ndef f(): return joblib.Parallel(2)(joblib.delayed(g)(x) for x in range(4))",
    ),
    "scipy": (
        "scipy",
        "import multiprocessing, numpy as np\nfrom scipy.optimize import differential_evolution\n"
        "def h(x): return float(((x - 1) ** 2).sum())\n"
        "def f():\n    multiprocessing.set_start_method('spawn', force=True)\n"
        "    found = differential_evolution(h, [(-2, 2)] * 2, workers=2, updating='deferred',\n"
        "                                   maxiter=3, popsize=4, seed=1)\n"
        "    return [g(x) for x in range(4)] if found.fun < 5 else found",
    ),
    "sklearn": (
        "sklearn",
        "import numpy as np\nfrom sklearn.base import BaseEstimator\n"
        "from sklearn.model_selection import cross_val_score\n"
        "class Mean(BaseEstimator):\n    def fit(self, x, y): return self\n"
        "    def score(self, x, y): return float(g(1))\n"
        "def f():\n    x = np.zeros((8, 1))\n"
        "    scores = cross_val_score(Mean(), x, x[:, 0], cv=2, n_jobs=2)\n"
        "    return [g(x) for x in range(4)] if list(scores) == [3.0, 3.0] else list(scores)",
    ),
    "torch": (
        "torch",
        "import torch.multiprocessing as mp\n"
        "def work(rank, queue): queue.put((rank, g(rank)))\n"
        "def f():\n    queue = mp.get_context('spawn').SimpleQueue()\n"
        "    mp.spawn(work, (queue,), nprocs=2)\n"
        "    told = dict(queue.get() for _ in range(2))\n    return [told[0], told[1], 6, 9]",
    ),
}


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("library", STARTS)
def test_a_library_starts_processes_that_reach_the_source(
    make_backend: MakeBackend, isolation: str, library: str, early: bool
) -> None:
    name, rest = STARTS[library]
    need(name)
    if early and library == "torch":
        pytest.skip("once is enough")
    backend = make_backend(isolation=isolation, preload=[name] if early else [], max_workers=1)
    assert value(backend, "def g(x): return 3 * x\n" + rest) == [0, 3, 6, 9]


@pytest.mark.parametrize("level", ["none", "standard", "strict"])
def test_numba_caches_what_it_compiles_of_a_source(
    make_backend: MakeBackend, isolation: str, level: str
) -> None:
    need("numba")
    if not level_is_there(level):
        pytest.skip("not to be had here")
    backend = make_backend(isolation=isolation, sandbox=level, preload=["numba"], max_workers=1)
    for n in (2, 3):
        code = f"""
import numba, os
@numba.njit(cache=True)
def g(x): return x * {n}
def f(): return g(3), sum(g.stats.cache_misses.values()), os.listdir()
"""
        found, misses, _ = value(backend, code)
        assert (found, misses) == (3 * n, 1)


def test_matplotlib_draws_with_the_backend_that_the_caller_has_set(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch, isolation: str
) -> None:
    need("matplotlib")
    monkeypatch.setenv("MPLBACKEND", "svg")
    backend = make_backend(isolation=isolation, sandbox="none", max_workers=1)
    code = "import matplotlib\ndef f(): return matplotlib.get_backend()"
    assert value(backend, code).lower() == "svg"
