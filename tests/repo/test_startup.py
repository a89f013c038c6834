"""What a command may load before it acts: start-up time is a feature, and imports are its price."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
COSTLY = frozenset(
    [
        "typer",
        "rich",
        "click",
        "msgspec",
        "asyncio",
        "ssl",
        "http",
        "subprocess",
        "tempfile",
        "shutil",
        "typing",
        "re",
        "enum",
        "dataclasses",
        "pathlib",
        "json",
        "logging",
        "pyroute2",
        "urllib3",
        "site",
        "inspect",
        "contextlib",
        "collections",
        "functools",
        "socket",
        "threading",
        "argparse",
        "datetime",
        "random",
    ]
)
# Deterministic stand-ins for time: own modules loaded by each command, about 0.1 ms each.
MOST_MODULES = 160
RUNS = 12
# A bare start with ctypes takes 9 ms of CPU where the whole of `run` may take 20 ms of imports on top of 6.
MOST_OF_A_BARE_START = 3.2

Loaded = Callable[..., set[str]]


def loaded_by(*words: str, top: Path = TOP) -> set[str]:
    """Run rpod as its script would; return the names of all modules loaded. The command itself may fail as it likes."""
    argv = [sys.executable, "-I", "-S", "-X", "utf8", "-X", "importtime", str(top / "bin/rpod"), *words]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False)
    rows = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    names = {row.rsplit("|", 1)[1].strip() for row in rows[1:]}
    assert "rootless_pod.cli" in names, done.stderr
    assert "Traceback" not in done.stderr
    return names


def costly(names: set[str]) -> list[str]:
    return sorted(name for name in names if name.split(".")[0] in COSTLY)


def own(names: set[str]) -> int:
    return sum(name.startswith("rootless_pod") for name in names)


@pytest.fixture
def store() -> Iterator[tuple[str, ...]]:
    """Global options of an empty store; everything in it ends with the test."""
    if os.getuid() == 0:
        pytest.skip("rootless commands are measured as a user: run scripts/test, which goes on as one")
    root = tempfile.mkdtemp(prefix="rpod-root-", dir="/var/tmp")
    runroot = tempfile.mkdtemp(prefix="rpod-run-", dir="/tmp")
    options = ("--root", root, "--runroot", runroot)
    # The first command of a boot tries out what the host can do; the answers are kept for the others.
    loaded_by(*options, "run", "--rm", "host", "true")
    yield options
    rpod = [sys.executable, "-I", "-S", str(TOP / "bin/rpod"), *options]
    subprocess.run([*rpod, "rm", "-fa", "-t", "0"], capture_output=True, timeout=60, check=False)
    pauses = [line.split('"pid":')[1].split(",")[0].rstrip("}") for p in Path(runroot).glob("*/pause.json")
              for line in [p.read_text().replace(" ", "")]]  # fmt: skip
    subprocess.run([*rpod, "unshare", "rm", "-rf", root], capture_output=True, timeout=60, check=False)
    for pid in pauses:
        os.kill(int(pid), 9)
    shutil.rmtree(runroot, ignore_errors=True)


@pytest.mark.parametrize("words", [("--version",), ("version", "--format", "{{.Client.Version}}")])
def test_saying_the_version_loads_nothing_costly(words: tuple[str, ...]) -> None:
    assert costly(loaded_by(*words)) == []


@pytest.mark.kernel
def test_no_hot_command_loads_anything_costly_through_a_whole_life(store: tuple[str, ...]) -> None:
    net = ("--network", "none")
    life: list[tuple[str, ...]] = [
        ("run", "--rm", *net, "host", "true"),
        ("run", "-d", "--name", "a", *net, "host", "sleep", "1000"),
        ("ps",),
        ("exec", "a", "true"),
        ("exec", "-d", "a", "true"),
        ("inspect", "a"),
        ("inspect", "--format", "{{.State.Status}}", "a"),
        ("logs", "a"),
        ("kill", "a"),
        ("wait", "a"),
        ("start", "a"),
        ("stop", "-t", "0", "a"),
        ("rm", "a"),
        ("run", "--rm", *net, "-v", "/usr:/mnt:ro", "-e", "A=b", "-w", "/", "--memory", "", "host", "true"),
    ]
    # Each way through is tried out once a boot, and the answers are kept: the second life is the usual one.
    for words in life:
        loaded_by(*store, *words)
    found = {" ".join(words): loaded_by(*store, *words) for words in life}
    assert {words: costly(names) for words, names in found.items() if costly(names)} == {}
    most = max(found, key=lambda words: own(found[words]))
    assert own(found[most]) <= MOST_MODULES, f"{most} loads {own(found[most])} modules of its own"


@pytest.mark.kernel
def test_a_network_for_the_container_loads_nothing_costly(store: tuple[str, ...]) -> None:
    names = loaded_by(*store, "run", "--rm", "host", "true")
    assert costly(names) == []


@pytest.mark.kernel
def test_commands_that_find_nothing_load_nothing_costly(store: tuple[str, ...]) -> None:
    for name in ("inspect", "start", "stop", "rm", "logs", "exec", "wait", "kill"):
        assert costly(loaded_by(*store, name, "nobody", *(["true"] if name == "exec" else []))) == [], name


def _cpu_seconds(code: str) -> float:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", code], os.environ)
    _pid, status, used = os.wait4(pid, 0)
    assert status == 0, code
    return used.ru_utime + used.ru_stime


def test_the_imports_of_run_stay_within_their_budget(tmp_path: Path) -> None:
    shutil.copytree(TOP / "rootless_pod", tmp_path / "rootless_pod", ignore=shutil.ignore_patterns("__pycache__"))
    assert compileall.compile_dir(tmp_path / "rootless_pod", quiet=1)
    walk = (
        f"import sys; sys.path.append({str(tmp_path)!r})\n"
        "import rootless_pod.cli, rootless_pod.userns.enter, rootless_pod.userns.pause, rootless_pod.commands.run\n"
        "import rootless_pod.commands.run_request, rootless_pod.container.run, rootless_pod.container.start\n"
    )
    # Interleaved, and the least of each: other programs on the machine only ever add.
    pairs = [(_cpu_seconds("import ctypes, os"), _cpu_seconds(walk)) for _ in range(RUNS)]
    bare, whole = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
    said = f"the imports of run cost {whole * 1000:.1f} ms beside {bare * 1000:.1f} ms of a bare start with ctypes"
    assert whole <= MOST_OF_A_BARE_START * bare, said
