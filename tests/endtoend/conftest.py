"""Fixtures that drive the installed ``rpod`` as the user who runs the tests: never root."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import images  # noqa: E402 - a module beside this one
from worlds import World  # noqa: E402 - of scripts/

RPOD = shutil.which("rpod") or str(Path(__file__).parents[2] / "bin" / "rpod")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "endtoend" in str(item.path):
            item.add_marker(pytest.mark.endtoend)


class Rpod:
    """One store of its own, and ``rpod`` called on it."""

    def __init__(self, root: Path, runroot: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.root, self.runroot, self.options = root, runroot, options
        self.program = RPOD
        self.env = {**os.environ, **(env or {})}

    def argv(self, *words: str) -> list[str]:
        return [self.program, "--root", str(self.root), "--runroot", str(self.runroot), *self.options, *words]

    def run(self, *words: str, stdin: bytes | None = None, timeout: float = 120) -> subprocess.CompletedProcess[bytes]:
        given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run(
            self.argv(*words), capture_output=True, timeout=timeout, env=self.env, check=False, **given
        )

    def __call__(self, *words: str, stdin: bytes | None = None, code: int = 0, timeout: float = 120) -> str:
        """Return stdout; any other exit code than ``code`` fails the test with all that was said."""
        done = self.run(*words, stdin=stdin, timeout=timeout)
        said = f"{' '.join(words)}\nstdout: {done.stdout.decode()}\nstderr: {done.stderr.decode()}"
        assert done.returncode == code, f"exit code {done.returncode}, not {code}: {said}"
        return done.stdout.decode()

    def error(self, *words: str, code: int = 125) -> str:
        """Return stderr of a command that fails with ``code``."""
        done = self.run(*words)
        assert done.returncode == code, f"exit code {done.returncode}, not {code}: {done.stdout!r} {done.stderr!r}"
        return done.stderr.decode()

    def start(self, *words: str, **how: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.argv(*words), env=self.env, **how)  # type: ignore[call-overload]

    def with_options(self, *options: str, env: dict[str, str] | None = None) -> Rpod:
        return Rpod(self.root, self.runroot, *self.options, *options, env={**self.env, **(env or {})})

    def mounts(self) -> list[str]:
        """Return what is mounted below the store, as the user's namespace sees it."""
        text = self("unshare", "cat", "/proc/self/mountinfo")
        return [line.split()[4] for line in text.splitlines() if str(self.root) in line or "/netns/" in line]

    def processes(self) -> list[str]:
        """Return the command lines of living processes that name this store, without rpod's own pause process."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if (str(self.runroot) in words or str(self.root) in words) and str(os.getpid()) != entry.name:
                    found.append(f"{entry.name} {words}")
        return found

    def end(self) -> None:
        """Remove everything, the pause process included."""
        self.run("rm", "-fa", "-t", "0")
        pause = list(self.runroot.glob("*/pause.json"))
        self.run("unshare", "rm", "-rf", str(self.root))
        for record in pause:
            try:
                os.kill(json.loads(record.read_text())["pid"], 9)
            except (OSError, ValueError, KeyError):
                continue
        shutil.rmtree(self.runroot, ignore_errors=True)
        shutil.rmtree(self.root, ignore_errors=True)


def make_store(*options: str) -> Rpod:
    root = Path(tempfile.mkdtemp(prefix="rpod-root-", dir=os.environ.get("RPOD_TEST_STORE", "/var/tmp")))
    runroot = Path(tempfile.mkdtemp(prefix="rpod-run-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"))
    return Rpod(root, runroot, *options)


@pytest.fixture
def rpod() -> Iterator[Rpod]:
    """An empty store."""
    store = make_store()
    yield store
    store.end()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A store with an image that scripts do things to."""
    made = World(RPOD)
    made.make_image()
    yield made
    made.end()


@pytest.fixture(scope="session")
def debian() -> bool:
    """Whether this user can make the Debian image (needs subordinate ids and mmdebstrap)."""
    user = Path("/etc/subuid").read_text() if Path("/etc/subuid").exists() else ""
    me = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    return shutil.which("mmdebstrap") is not None and any(line.startswith(f"{me}:") for line in user.splitlines())


@pytest.fixture(scope="session")
def layout(debian: bool) -> Path:
    """The OCI layout of the test image, made by hand."""
    return images.image_layout(debian=debian)[0]


@pytest.fixture(scope="session")
def layout_digest(debian: bool) -> str:
    return images.image_layout(debian=debian)[1]


@pytest.fixture(scope="session")
def shared(layout: Path) -> Iterator[Rpod]:
    """A store that holds the test image as ``img``; tests leave no containers in it."""
    store = make_store()
    store("pull", "-q", f"oci:{layout}:test")
    name = store("images", "-q", "--no-trunc").split()[0]
    store("tag", name, "localhost/img:latest")
    yield store
    store.end()


@pytest.fixture
def img(shared: Rpod) -> Iterator[Rpod]:
    """The shared store; whatever containers a test leaves behind are removed."""
    yield shared
    shared.run("rm", "-fa", "-t", "0")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory, layout: Path) -> Iterator[str]:
    """A docker-registry on loopback holding the test image as ``HOST:PORT/debian:test``."""
    program = shutil.which("docker-registry")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("docker-registry is not installed, and CI must have it")
        pytest.skip("docker-registry is not installed")
    place = tmp_path_factory.mktemp("registry")
    port = free_port()
    config = place / "config.yml"
    config.write_text(
        f"version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {place}/data\n"
        f"http:\n  addr: 127.0.0.1:{port}\n"
    )
    server = subprocess.Popen([program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        subprocess.run(
            ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:test",
             f"docker://127.0.0.1:{port}/debian:test"],
            check=True, capture_output=True, timeout=300,
        )  # fmt: skip
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)
