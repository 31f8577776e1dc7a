"""Libraries that people compute with run unchanged in a box, preloaded or not."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from conftest import MakeBackend
from pinfold import WorkerCall
from test_sandbox import level_is_there

PROGRAMS = {
    "numpy": """
import numpy as np
def f():
    a = np.random.default_rng(1).normal(size=(200, 200))
    x = np.linalg.solve(a, np.ones(200))
    return bool(np.allclose(a @ x, 1)) and float(np.fft.ifft(np.fft.fft(x)).real[0]) == pytest_near(x[0])
def pytest_near(value):
    import numpy.testing
    return value
""",
}
