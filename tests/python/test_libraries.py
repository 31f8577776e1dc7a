"""Libraries that people compute with run unchanged in a box, loaded by the call or before it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from conftest import MakeBackend
from pinfold import WorkerCall
from test_sandbox import level_is_there

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


def there(name: str) -> bool:
    return find_spec(name) is not None


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
    isolation: str, make_backend: MakeBackend, tmp_path: Path
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
