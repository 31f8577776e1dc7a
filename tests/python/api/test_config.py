# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pinfold
from pinfold import (
    DEFAULT_ENV_PREFIXES,
    DEFAULT_ENV_WHITELIST,
    ConfigTypeError,
    InvalidConfig,
    Limits,
    LocalBackend,
    WorkerConfig,
)
from pinfold._host import cpus as host_cpus

NAMES = (
    "MAX_WORKERS",
    "IDLE_TIMEOUT_S",
    "SPILL_DIR",
    "NODE_ID",
    "DISABLE_PDEATHSIG",
    "ISOLATION",
    "PRELOAD",
    "SETUP_FILE",
    "SANDBOX",
    "CODEC",
    "PYTHON_PATH",
    "MEMORY_BYTES",
    "WALL_S",
)
PREFIXES = ("PINFOLD_", "GIGAEVO_EXECUTOR_")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (prefix + name for prefix in PREFIXES for name in NAMES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)


@pytest.mark.parametrize("variable", [None, "TMPDIR", "TEMP", "TMP"])
def test_spills_go_where_temporary_files_go(tmp_path: Path, variable: str | None) -> None:
    environment = {**os.environ, **({variable: str(tmp_path)} if variable else {})}
    for name in {"TMPDIR", "TEMP", "TMP"} - {variable}:
        environment.pop(name, None)
    source = """
import pinfold
own = pinfold.WorkerConfig().spill_dir.parent
import pathlib, tempfile
assert own == pathlib.Path(tempfile.gettempdir()), own
tempfile.tempdir = "/"
assert pinfold.config.default_spill_dir().parent == pathlib.Path("/" if {other} else own)
""".format(other=variable != "TMPDIR")
    subprocess.run([sys.executable, "-c", source], env=environment, check=True)


@pytest.mark.parametrize("given", ["TMPDIR", "spill_dir"])
@pytest.mark.parametrize("how", ["loop", "gone"])
def test_a_spill_directory_that_cannot_be_told_is_refused(
    how: str, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    path = str(tmp_path / "loop") if how == "loop" else "spills"
    if given == "TMPDIR":
        monkeypatch.setenv("TMPDIR", path)
    with pytest.raises(InvalidConfig, match="spill_dir"):
        LocalBackend(WorkerConfig(spill_dir=path) if given == "spill_dir" else None)  # type: ignore[arg-type]
    monkeypatch.setenv("PINFOLD_MAX_WORKERS", "3")
    monkeypatch.setenv("PINFOLD_SPILL_DIR", str(tmp_path))
    assert WorkerConfig.from_env().spill_dir == tmp_path
    if given == "TMPDIR":
        monkeypatch.delenv("PINFOLD_SPILL_DIR")
        with pytest.raises(InvalidConfig, match=r"^WorkerConfig: spill_dir"):
            LocalBackend(WorkerConfig.from_env())


def test_the_defaults_are_those_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/tmp")
    config = WorkerConfig()
    assert config.max_workers is None
    assert config.idle_timeout_s == 300
    assert config.spill_dir == Path(f"/tmp/pinfold-{os.getuid()}")
    assert config.env_whitelist == DEFAULT_ENV_WHITELIST
    assert config.env_prefixes == DEFAULT_ENV_PREFIXES == ("GIGAEVO_", "LOKY_")
    assert config.enable_pdeathsig is True
    assert config.node_id == socket.gethostname()
    assert config.isolation == "fresh"
    assert config.max_calls_per_worker is None
    assert config.preload == ()
    assert config.setup is None
    assert config.setup_timeout_s == 60
    assert config.codec == "data"
    assert config.limits == Limits()
    assert config.max_queue is None
    assert config.python == sys.executable
    assert config.python_path == ()
    assert config.identity_env == ("PINFOLD_WORKER_ID", "PINFOLD_NODE_ID")
    assert Limits().output_bytes == 2**20
    assert Limits().core_bytes == 0


def test_the_default_whitelist_lets_no_variable_of_our_own_through() -> None:
    assert not any(name.startswith("PINFOLD") for name in DEFAULT_ENV_WHITELIST)
    assert not "PINFOLD_TOKEN".startswith(DEFAULT_ENV_PREFIXES)


def test_the_default_whitelist_has_no_name_under_which_people_keep_secrets() -> None:
    telling = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "KEY", "CREDENTIAL", "AUTH", "PROXY", "URL")
    for name in DEFAULT_ENV_WHITELIST:
        assert not any(word in name for word in telling), name


def test_a_config_is_frozen_hashable_and_can_be_pickled() -> None:
    config = WorkerConfig(preload=["json"], env_whitelist={"PATH"})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.max_workers = 3  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(config)) == config
    assert hash(dataclasses.replace(config, max_workers=3)) != hash(config)


def test_every_config_names_a_pool_of_its_own() -> None:
    assert len({WorkerConfig().pool_id for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_workers", 0),
        ("max_workers", -1),
        ("max_workers", 4097),
        ("idle_timeout_s", 0),
        ("idle_timeout_s", -1.0),
        ("idle_timeout_s", float("nan")),
        ("idle_timeout_s", 10**400),
        # Too large for Python to print.
        pytest.param("setup_timeout_s", 10**5000, id="setup_timeout_s-beyond"),
        pytest.param("max_workers", 10**5000, id="max_workers-beyond"),
        ("spill_dir", ""),
        ("spill_dir", "a\0b"),
        ("env_whitelist", {"A\0"}),
        ("env_prefixes", [""]),
        ("node_id", ""),
        ("node_id", "a\0b"),
        ("node_id", "\udc80"),
        ("pool_id", ""),
        ("isolation", "thread"),
        ("max_calls_per_worker", 0),
        ("preload", ["not a module"]),
        ("setup", "x = '\0'"),
        ("setup_timeout_s", 0),
        ("codec", "xml"),
        ("max_queue", -1),
        ("sandbox", "fort"),
        ("cpus_per_worker", 0),
        ("python", ""),
        ("python", "/usr/bin/python3\0"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidConfig) as caught:
        WorkerConfig(**{name: value})
    assert isinstance(caught.value, ValueError)
    assert name in str(caught.value)


def test_spawned_workers_have_no_template_to_learn() -> None:
    assert WorkerConfig(preload="auto").preload == "auto"
    assert WorkerConfig(preload="auto", isolation="reuse").preload == "auto"
    with pytest.raises(InvalidConfig, match="preload"):
        WorkerConfig(preload="auto", isolation="spawn")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_workers", "8"),
        ("max_workers", 2.0),
        ("max_workers", True),
        ("idle_timeout_s", "300"),
        ("spill_dir", 3),
        ("spill_dir", b"/tmp"),
        ("env_whitelist", "PATH"),
        ("env_prefixes", "LOKY_"),
        ("env_prefixes", [1]),
        ("enable_pdeathsig", 1),
        ("node_id", None),
        ("isolation", None),
        ("preload", "numpy"),
        ("limits", {}),
        ("setup", b"x = 1"),
        ("codec", None),
        ("sandbox_required", "yes"),
        ("python", None),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigTypeError) as caught:
        WorkerConfig(**{name: value})
    assert isinstance(caught.value, TypeError)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "limits",
    [
        {"memory_bytes": -1},
        {"cpu_s": 0.0},
        {"cpu_s": 10**400},
        {"processes": 0},
        {"open_files": 3},
        {"file_bytes": 0},
        {"address_space_bytes": 0},
        {"core_bytes": -1},
        {"output_bytes": 0},
        {"result_bytes": 0},
        {"result_bytes": "1"},
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig, match=next(iter(limits))):
        Limits(**limits)


def test_processor_time_beyond_all_bounds_is_a_bound() -> None:
    assert [Limits(cpu_s=cpu_s).cpu_ns for cpu_s in (1e305, 10**305, 5)] == [
        2**62,
        2**62,
        5 * 10**9,
    ]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_from_env_reads_every_variable(
    prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "setup.py").write_bytes("# coding: latin-1\nX = 'é'\n".encode("latin-1"))
    values = (
        *("7", "12.5", "/tmp/x/../spills", "pod-7", "yes", "reuse"),
        *(" json, os.path ,", str(tmp_path / "setup.py"), "Strict", "pickle"),
        *("/tmp/a::/tmp/b", "1000000", "2.5"),
    )
    for name, value in zip(NAMES, values, strict=True):
        monkeypatch.setenv(prefix + name, value)
    config = WorkerConfig.from_env(prefix)
    assert config.max_workers == 7
    assert config.idle_timeout_s == 12.5
    assert config.spill_dir == Path("/tmp/spills")
    assert config.node_id == "pod-7"
    assert config.enable_pdeathsig is False
    assert config.isolation == "reuse"
    assert config.preload == ("json", "os.path")
    assert config.setup == "# coding: latin-1\nX = 'é'\n"
    assert (config.sandbox, config.codec) == ("strict", "pickle")
    assert config.python_path == ("/tmp/a", "/tmp/b")
    assert config.limits == Limits(memory_bytes=1_000_000, wall_s=2.5)
    monkeypatch.setenv(prefix + "PRELOAD", "auto")
    assert WorkerConfig.from_env(prefix).preload == "auto"


def test_variables_that_do_not_go_together_are_an_error_with_a_name() -> None:
    environ = {"PINFOLD_ISOLATION": "spawn", "PINFOLD_PRELOAD": "auto"}
    with pytest.raises(InvalidConfig, match="PINFOLD_PRELOAD='auto'"):
        WorkerConfig.from_env(environ=environ)


def test_from_env_without_variables_is_the_default() -> None:
    config = dataclasses.replace(WorkerConfig.from_env(), pool_id="x")
    assert config == WorkerConfig(pool_id="x")


@pytest.mark.parametrize("value", ["", "   "])
def test_an_empty_variable_is_an_unset_one(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv("PINFOLD_" + name, value)
    config = WorkerConfig.from_env()
    assert config.node_id == socket.gethostname()
    assert config.max_workers is None
    assert config.enable_pdeathsig is True


@pytest.mark.parametrize(
    ("value", "enabled"),
    [("1", False), ("true", False), ("YES", False), ("On", False)]
    + [("0", True), ("False", True), ("no", True), ("off", True)],
)
def test_pdeathsig_is_disabled_by_a_true_word(
    value: str, enabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINFOLD_DISABLE_PDEATHSIG", value)
    assert WorkerConfig.from_env().enable_pdeathsig is enabled


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_WORKERS", "many"),
        ("MAX_WORKERS", "0"),
        ("MAX_WORKERS", "2.5"),
        ("IDLE_TIMEOUT_S", "soon"),
        ("IDLE_TIMEOUT_S", "-3"),
        ("IDLE_TIMEOUT_S", "nan"),
        ("DISABLE_PDEATHSIG", "maybe"),
        ("ISOLATION", "thread"),
        ("PRELOAD", "no module"),
        ("SETUP_FILE", "/nonexistent/setup.py"),
        ("SETUP_FILE", "/"),
        ("SANDBOX", "fort"),
        ("CODEC", "xml"),
        ("MEMORY_BYTES", "1GiB"),
        ("MEMORY_BYTES", "0"),
        ("WALL_S", "soon"),
        ("WALL_S", "0"),
        ("WALL_S", "nan"),
    ],
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_variable_that_does_not_parse_is_an_error_with_its_name_and_value(
    prefix: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(prefix + name, value)
    with pytest.raises(InvalidConfig) as caught:
        WorkerConfig.from_env(prefix)
    assert prefix + name in str(caught.value)
    assert value in str(caught.value)


def test_under_xdist_the_workers_share_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinfold.config.usable_cpus", lambda: 9)
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "4")
    assert WorkerConfig.from_env().max_workers == 2
    assert WorkerConfig().max_workers == 2
    assert WorkerConfig(max_workers=7).max_workers == 7
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "100")
    assert WorkerConfig.from_env().max_workers == 1
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "1")
    assert WorkerConfig.from_env().max_workers is None


def test_the_cpus_are_those_of_the_affinity() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert host_cpus.usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)


V1_QUOTA = "cpu/a/cpu.cfs_quota_us"
V1_PERIOD = "cpu/a/cpu.cfs_period_us"


@pytest.mark.parametrize(
    ("line", "files", "usable"),
    [
        ("0::/a/b", {"a/b/cpu.max": "150000 100000"}, 2),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "100000 100000"}, 1),
        ("0::/a/b", {"cpu.max": "10000 100000"}, 1),
        ("0::/a/b", {"a/b/cpu.max": "max 100000"}, 8),
        ("3:cpu,cpuacct:/a", {V1_QUOTA: "300000", V1_PERIOD: "100000"}, 3),
        ("3:cpu,cpuacct:/a", {V1_QUOTA: "-1", V1_PERIOD: "100000"}, 8),
        ("0::/a/b", {"a/b/cpu.max": "rubbish"}, 8),
    ],
)
def test_the_cpus_are_bounded_by_the_quota_of_the_cgroups(
    line: str, files: dict[str, str], usable: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(f"{line}\n")
    monkeypatch.setattr(host_cpus, "_OWN", tmp_path / "own")
    monkeypatch.setattr(host_cpus, "_CGROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    assert host_cpus.usable_cpus() == usable


@pytest.mark.parametrize("python", ["/nonexistent/python", "no-such-python", "/tmp", "/etc/passwd"])
def test_an_interpreter_that_cannot_be_run_is_refused_at_once(python: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="python") as caught:
        LocalBackend(WorkerConfig(python=python, spill_dir=tmp_path))
    assert python in str(caught.value)


@pytest.mark.parametrize("place", ["/proc/nothing/here", "/dev/null/x", "/sys/kernel"])
def test_a_spill_directory_that_cannot_be_used_is_refused_at_once(place: str) -> None:
    with pytest.raises(InvalidConfig, match="spill_dir") as caught:
        LocalBackend(WorkerConfig(spill_dir=place))
    assert place in str(caught.value)


def test_the_default_spill_directory_is_made_for_this_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    backend = LocalBackend()
    path = tmp_path / f"pinfold-{os.getuid()}"
    assert backend.config.spill_dir == path
    assert path.stat().st_mode & 0o7777 == 0o700
    path.chmod(0o777)
    LocalBackend()
    assert path.stat().st_mode & 0o7777 == 0o700


def test_a_default_spill_directory_that_is_a_link_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"pinfold-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidConfig, match="link"):
        LocalBackend()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to make another user's directory")
def test_a_default_spill_directory_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    path = tmp_path / f"pinfold-{os.getuid()}"
    path.mkdir()
    os.chown(path, 65534, 65534)
    with pytest.raises(InvalidConfig, match="another user"):
        LocalBackend()


def test_a_backend_wants_a_config() -> None:
    with pytest.raises(TypeError, match="WorkerConfig"):
        LocalBackend({"max_workers": 2})  # type: ignore[arg-type]


def test_the_package_names_what_it_offers() -> None:
    assert set(pinfold.__all__) <= set(dir(pinfold))
    assert all(getattr(pinfold, name) is not None for name in pinfold.__all__)
    with pytest.raises(AttributeError):
        pinfold.nothing  # noqa: B018
