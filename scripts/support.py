"""What works with what: each combination of runtime, storage driver, network helper and kind of ids. See scripts/support."""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests" / "endtoend"))

import images  # noqa: E402 - a module of the tests, also without pytest

RUNTIMES = ("crun", "runc")
STORAGES = ("overlay", "fuse-overlayfs", "pyfuse3", "copy")
NETWORKS = ("pasta", "slirp4netns")
IDS = ("sub-ids", "single id")
LOOPBACK_OF_THE_HOST = {"pasta": "pasta:--map-gw", "slirp4netns": "slirp4netns:allow_host_loopback=true"}
PAGE = TOP / "docs" / "support.md"


class Failed(Exception):
    """A step did not do what it should."""


class Store:
    """A store of its own with one combination of drivers, and ``rpod`` called on it."""

    def __init__(self, rpod: str, runtime: str, storage: str) -> None:
        self.root = tempfile.mkdtemp(prefix="rpod-support-", dir="/var/tmp")
        self.runroot = tempfile.mkdtemp(
            prefix="rpod-support-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
        )
        self.argv = [
            rpod,
            "--root",
            self.root,
            "--runroot",
            self.runroot,
            "--runtime",
            runtime,
            "--storage-driver",
            storage,
        ]

    def __call__(self, *words: str) -> str:
        """Return what a command says; one that fails is a failed step."""
        done = subprocess.run(
            [*self.argv, *words], check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=120
        )
        if done.returncode:
            told = done.stderr.decode(errors="replace").replace(self.root, "STORE").replace(self.runroot, "RUN").strip()
            raise Failed(f"rpod {words[0]} ended with code {done.returncode}: {' · '.join(told.splitlines())}")
        return done.stdout.decode(errors="replace")

    def mounts(self) -> list[str]:
        """Return what is mounted for this store, as the user's namespace sees it."""
        lines = self("unshare", "cat", "/proc/self/mountinfo").splitlines()
        return [line.split()[4] for line in lines if self.root in line or f"{self.runroot}/" in line]

    def processes(self) -> list[str]:
        """Return the processes whose command line names this store."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and entry.name != str(os.getpid()):
                try:
                    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
                if self.root in words or self.runroot in words:
                    found.append(words)
        return found

    def end(self) -> None:
        """Remove everything, the pause process included."""
        for words in (("rm", "-fa", "-t", "0"), ("unshare", "rm", "-rf", self.root)):
            subprocess.run(
                [*self.argv, *words], check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=120
            )
        for record in Path(self.runroot).glob("*/pause.json"):
            try:
                os.kill(json.loads(record.read_text())["pid"], 9)
            except (OSError, ValueError, KeyError):
                continue
        shutil.rmtree(self.runroot, ignore_errors=True)
        shutil.rmtree(self.root, ignore_errors=True)


def equal(found: object, wanted: object) -> None:
    """Fail the step unless both are the same."""
    if found != wanted:
        raise Failed(f"{found!r} instead of {wanted!r}")


def eventually(look: Callable[[], object], wanted: object, seconds: float = 10) -> None:
    """Fail the step unless ``look()`` gives ``wanted`` in time."""
    deadline = time.monotonic() + seconds
    while (found := look()) != wanted:
        if time.monotonic() > deadline:
            raise Failed(f"{found!r} instead of {wanted!r}")
        time.sleep(0.05)


class Host:
    """A server on the host's loopback that answers one word, for containers to reach."""

    def __enter__(self) -> int:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._answer, daemon=True).start()
        return int(self._listener.getsockname()[1])

    def __exit__(self, *_exception: object) -> None:
        self._listener.close()

    def _answer(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nbeyond")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetched(port: int, path: str) -> str:
    """Return a file that the container's web server gives out at the published port; nothing while it does not answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as server:
            server.settimeout(5)
            server.sendall(f"GET /{path} HTTP/1.0\r\n\r\n".encode())
            answer = b""
            while part := server.recv(4096):
                answer += part
    except OSError:
        return ""
    return answer.partition(b"\r\n\r\n")[2].decode(errors="replace").strip()


class Trial:
    """One combination, tried from the image to the last trace."""

    def __init__(self, rpod: str, runtime: str, storage: str, network: str) -> None:
        self.names = (runtime, storage, network)
        self.network = network
        # With one id, runc can give it no number but 0 (rpod says so); crun can.
        self.user = "root" if runtime == "runc" and own_ids() == IDS[1] else "app"
        self.rpod = Store(rpod, runtime, storage)
        self.port = free_port()

    def steps(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Return the steps in their order; each rests on those before."""
        yield "pull", self.pull
        yield "run", self.run
        yield "write", self.write
        yield "out", self.out
        yield "port", self.publish
        yield "exec", self.enter
        yield "stop", self.stop
        yield "clean", self.nothing_left

    def results(self) -> dict[str, str]:
        """Try every step; return what went wrong in each, "" for nothing. After a failure the rest is not tried."""
        said: dict[str, str] = {}
        try:
            for name, step in self.steps():
                if any(said.values()):
                    said[name] = "not tried"
                    continue
                try:
                    step()
                    said[name] = ""
                except (Failed, subprocess.TimeoutExpired) as fault:
                    said[name] = str(fault)
        finally:
            self.rpod.end()
        return said

    def pull(self) -> None:
        layout, _digest = images.image_layout(debian=False)
        image = self.rpod("pull", "-q", f"oci:{layout}:test").strip()
        self.rpod("tag", image, "img")

    def run(self) -> None:
        equal(
            self.rpod("run", "--rm", "img", "sh", "-c", "id -un; pwd; cat two; ls dir").split(),
            [self.user, "/app", "linked", "new"],
        )

    def write(self) -> None:
        words = "echo mine >/etc/made && mv one uno && cat uno /etc/made && rm -r dir && ls -A"
        said = self.rpod("run", "--rm", "--user", "0", "--network", "none", "img", "sh", "-c", words).split()
        equal(said, ["linked", "mine", "hello.py", "latest", "setuid", "two", "uno"])
        equal(self.rpod("run", "--rm", "--network", "none", "img", "cat", "one").strip(), "linked")

    def out(self) -> None:
        with Host() as port:
            words = f"wget -qO- http://$(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'):{port}/"
            network = LOOPBACK_OF_THE_HOST[self.network]
            equal(self.rpod("run", "--rm", "--network", network, "img", "sh", "-c", words), "beyond")

    def publish(self) -> None:
        words = ["-d", "--name", "web", "--network", self.network, "-p", f"127.0.0.1:{self.port}:8080"]
        self.rpod("run", *words, "img", "busybox", "httpd", "-f", "-p", "8080", "-h", "/app")
        eventually(lambda: fetched(self.port, "dir/new"), "new")

    def enter(self) -> None:
        self.rpod("exec", "web", "sh", "-c", "echo changed >hello.py")
        equal(self.rpod("exec", "web", "sh", "-c", "id -un; cat hello.py").split(), [self.user, "changed"])
        eventually(lambda: fetched(self.port, "hello.py"), "changed")

    def stop(self) -> None:
        self.rpod("stop", "-t", "1", "web")
        equal(self.rpod("ps", "-a", "--format", "{{.Names}} {{.State}}").strip(), "web exited")
        equal(fetched(self.port, "hello.py"), "")
        self.rpod("start", "web")
        eventually(lambda: fetched(self.port, "hello.py"), "changed")
        self.rpod("rm", "-f", "-t", "0", "web")

    def nothing_left(self) -> None:
        equal(self.rpod("ps", "-aq"), "")
        eventually(self.rpod.mounts, [], 5)
        eventually(self.rpod.processes, [], 5)
        for place in (f"{self.rpod.root}/containers", *map(str, Path(self.rpod.runroot).glob("*/netns"))):
            equal(os.listdir(place), [])


def combinations(only: list[str]) -> list[tuple[str, str, str]]:
    """Return the combinations of drivers that have all the words of ``only``."""
    found = itertools.product(RUNTIMES, STORAGES, NETWORKS)
    return [names for names in found if all(word in names for word in only)]


def pairs() -> list[tuple[str, str, str]]:
    """Return the fewest combinations in which every two drivers meet."""
    return [
        (runtime, storage, NETWORKS[(i + k) % 2])
        for i, runtime in enumerate(RUNTIMES)
        for k, storage in enumerate(STORAGES)
    ]


def own_ids() -> str:
    """Return which kind of ids this user has."""
    done = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True)
    for path in (Path("/etc/subuid"), Path("/etc/subgid")):
        rows = path.read_text().splitlines() if path.exists() else []
        if not any(row.startswith((f"{done.stdout.strip()}:", f"{os.getuid()}:")) for row in rows):
            return IDS[1]
    return IDS[0]


def first_line(*argv: str) -> str:
    """Return the line of a program's version that names it."""
    if shutil.which(argv[0]) is None:
        return f"{argv[0]}: not installed"
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    lines = [line.strip() for line in (done.stdout or done.stderr).splitlines() if line.strip()]
    named = [line for line in lines if line.startswith(Path(argv[0]).name)]
    line = (named or [f"{argv[0]} {line}" for line in lines] or [f"{argv[0]} unknown"])[0]
    if "unknown" in line and shutil.which("dpkg-query"):
        # Debian 12 builds pasta without its version: its package knows.
        package = {"pasta": "passt"}.get(argv[0], argv[0])
        asked = ["dpkg-query", "--show", "--showformat=${Version}", package]
        said = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=20)
        return f"{argv[0]} (package {package} {said.stdout})" if said.returncode == 0 else line
    return line


def facts(rpod: str) -> list[str]:
    """Return what the results rest on: kernel, system, and the versions of every program that took part."""
    system = next(
        (line.partition("=")[2].strip('"') for line in Path("/etc/os-release").read_text().splitlines() if line.startswith("PRETTY_NAME=")),
        platform.system(),
    )  # fmt: skip
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    try:
        pyfuse3 = f"pyfuse3 {importlib.metadata.version('pyfuse3')}"
    except importlib.metadata.PackageNotFoundError:
        pyfuse3 = "pyfuse3: not installed"
    programs = [
        first_line("crun", "--version"),
        first_line("runc", "--version"),
        first_line("conmon", "--version"),
        first_line("fuse-overlayfs", "--version"),
        pyfuse3,
        first_line("pasta", "--version"),
        first_line("slirp4netns", "--version"),
    ]
    return [
        f"{datetime.now(UTC):%Y-%m-%d}, {first_line(rpod, '--version')}",
        f"Linux {platform.release()} {platform.machine()}, {system}, cgroup {'v2' if unified else 'v1 and v2 mixed'}",
        f"Python {platform.python_version()}, {', '.join(programs)}",
    ]


def half(ids: str, rows: list[tuple[tuple[str, str, str], dict[str, str]]], about: list[str]) -> str:
    """Return the page's section of one kind of ids."""
    steps = list(rows[0][1]) if rows else []
    lines = [f"## {ids}", "", *[f"- {line}" for line in about], ""]
    lines += [f"| runtime | storage | network | {' | '.join(steps)} |", "|" + "---|" * (3 + len(steps))]
    for names, said in rows:
        marks = [("yes" if not words else "-" if words == "not tried" else "**no**") for words in said.values()]
        lines.append(f"| {' | '.join(names)} | {' | '.join(marks)} |")
    faults = [
        f"- {', '.join(names)}, {step}: {words}"
        for names, said in rows
        for step, words in said.items()
        if words not in ("", "not tried")
    ]
    good = sum(not any(said.values()) for _names, said in rows)
    lines += ["", f"{good} of {len(rows)} combinations work.", *([""] if faults else []), *faults]
    if ids == IDS[1]:
        lines += [
            "",
            "With one id, runc runs every image as root, the caller's own id, and says so; crun gives it the image's user.",
        ]
    lines.append("")
    return "\n".join(lines)


HEAD = """# What works with what

Written by `scripts/support` from what it saw, never by hand: every OCI runtime with every storage driver, network helper and
kind of ids. Each row is one store of its own, used by an unprivileged user from the first pull to the last trace:

- *pull* an image of three layers with whiteouts and hard links, *run* it as its own user;
- *write*: files made, renamed and removed, gone with the container;
- *out*: a connection from the container through the helper to a server on the host's loopback;
- *port*: a web server in the container, reached at a published port;
- *exec* in the running container, as the image's user; what it changes is served;
- *stop*, start again with what was written, remove;
- *clean*: no container, mount, process or network namespace is left.

"""


def merged(page: str, halves: list[str]) -> str:
    """Return the page with the sections of ``halves`` in place of those of the same ids."""
    sections = {
        part.partition("\n")[0]: f"## {part.strip()}\n" for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    }
    for one in halves:
        text = one.strip() + "\n"
        sections[text.partition("\n")[0].removeprefix("## ")] = text
    return HEAD + "\n".join(sections[ids] for ids in IDS if ids in sections)


def try_all(rpod: str, names: list[tuple[str, str, str]]) -> list[tuple[tuple[str, str, str], dict[str, str]]]:
    """Try each combination and say how it went."""
    rows = []
    for one in names:
        began = time.monotonic()
        said = Trial(rpod, *one).results()
        rows.append((one, said))
        bad = "; ".join(f"{step}: {words}" for step, words in said.items() if words)
        print(f"{', '.join(one)}: {bad or 'all right'} ({time.monotonic() - began:.1f} s)", flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rpod", default=shutil.which("rpod") or str(TOP / "bin" / "rpod"))
    parser.add_argument("--only", action="append", default=[], metavar="WORD")
    parser.add_argument("--output", type=Path, default=PAGE)
    parser.add_argument("--half-to", type=int, metavar="FD", help="write this user's section there")
    parser.add_argument(
        "--merge", type=Path, action="append", default=[], metavar="FILE", help="sections written before"
    )
    options = parser.parse_args()
    page = options.output.read_text() if options.output.exists() else ""
    if options.merge:
        halves = [path.read_text() for path in options.merge]
        options.output.write_text(merged(page, halves))
        return int(any("**no**" in one for one in halves))
    rows = try_all(options.rpod, combinations(options.only))
    section = half(own_ids(), rows, facts(options.rpod))
    if options.half_to is not None:
        with os.fdopen(options.half_to, "w") as file:
            file.write(section)
        return 0
    options.output.write_text(merged(page, [section]))
    return int("**no**" in section)


if __name__ == "__main__":
    sys.exit(main())
