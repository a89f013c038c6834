"""A store of its own for scripts that do things to rpod: commands on it, an image made by hand, what is left over."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "endtoend"))
import images

FILES_A_LAYER = 150
CONFIG = {"Cmd": ["true"], "Env": ["PATH=/bin:/usr/bin"]}
HELPERS = ("slirp4netns", "pasta", "pasta.avx2", "passt", "passt.avx2")
RUNTIMES = ("crun", "runc")


class Failure(Exception):
    """A promise was broken; the text says which and what was seen."""


def processes() -> Iterator[tuple[int, list[str]]]:
    """Yield (pid, words of the command line) of every living process but this one."""
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                text = Path(f"/proc/{name}/cmdline").read_bytes().rstrip(b"\0").decode(errors="replace")
            except OSError:
                continue
            if text:
                yield int(name), text.split("\0")


class World:
    """One store, its commands, and the processes that belong to it."""

    def __init__(self, rpod: str, *options: str) -> None:
        self.rpod, self.options = rpod, options
        self.place = Path(tempfile.mkdtemp(prefix="rpod-world-", dir=os.environ.get("RPOD_TEST_STORE", "/var/tmp")))
        self.run_place = Path(
            tempfile.mkdtemp(prefix="rw", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp")
        )
        self.root, self.runroot, self.layout = self.place / "root", self.run_place / "run", self.place / "layout"
        self.files_digest = self.pulled = ""
        self._networks = itertools.cycle(
            [mode for mode in ("none", "slirp4netns", "pasta", "") if not mode or shutil.which(mode) or mode == "none"]
            + (["bridge"] if shutil.which("slirp4netns") else [])
        )

    def argv(self, *words: str) -> list[str]:
        return [self.rpod, "--root", str(self.root), "--runroot", str(self.runroot), *self.options, *words]

    def network(self) -> str:
        """Return one kind of network after the other; "" lets rpod choose."""
        return next(self._networks) or "private"

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.argv(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(self.argv(*words), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)

    def __call__(self, *words: str, code: int | None = 0) -> str:
        """Return stdout; another exit code than ``code`` (None: any but a bug's) is a ``Failure``."""
        done = self.run(*words)
        if b"Traceback" in done.stderr or (code is not None and done.returncode != code):
            raise Failure(
                f"rpod {' '.join(words)}: exit code {done.returncode}: {done.stderr.decode(errors='replace')}"
            )
        return done.stdout.decode(errors="replace")

    def make_image(self) -> None:
        """Make an image of three layers by hand, busybox at the bottom, and pull it as ``img``."""
        self.layout.mkdir()
        base = images.busybox_base(images.cache_directory()).read_bytes()
        everything, layers = {}, [(base, "gzip")]
        for number in range(2):
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
                images.add(tar, "files", mode=0o755, kind=tarfile.DIRTYPE)
                for file in range(FILES_A_LAYER):
                    # Half of the second layer's files replace those of the first.
                    name = f"files/{file + number * FILES_A_LAYER // 2:04d}"
                    content = hashlib.sha256(f"{number} {file}".encode()).digest() * 512
                    images.add(tar, name, content)
                    everything[name] = content
            layers.append((out.getvalue(), "gzip"))
        self.files_digest = hashlib.sha256(b"".join(everything[name] for name in sorted(everything))).hexdigest()
        images.LayoutWriter(self.layout).image(layers, CONFIG, "pulled")
        self.pulled = self("pull", "-q", *self.pull_words()).split()[-1]
        self.make_other(layers)

    def make_other(self, layers: list[tuple[bytes, str]]) -> None:
        """Make a second image of the same files whose layers are all its own, so that a pull of the first has work to do."""
        other = self.place / "layout-img"
        other.mkdir()
        extra = io.BytesIO()
        with tarfile.open(fileobj=extra, mode="w", format=tarfile.PAX_FORMAT) as tar:
            images.add(tar, "own", b"this layer makes every layer above it another one\n")
        images.LayoutWriter(other).image([(extra.getvalue(), "gzip"), *layers], CONFIG, "img")
        self("tag", self("pull", "-q", f"oci:{other}:img").split()[-1], "localhost/img:latest")

    def pull_words(self) -> list[str]:
        return [f"oci:{self.layout}:pulled"]

    def pause(self) -> int:
        """Return the pid of the recorded pause process, or 0."""
        for record in self.runroot.glob("*/pause.json"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                return int(json.loads(record.read_text())["pid"])
        return 0

    def mine(self) -> list[tuple[int, list[str]]]:
        """Return the processes whose command lines name this store."""
        return [
            (pid, words)
            for pid, words in processes()
            if str(self.run_place) in (line := " ".join(words)) or str(self.place) in line
        ]

    def find(self, target: str) -> int:
        """Return the pid of one living process of this store by what it is, or 0."""
        if target == "pause":
            pid = self.pause()
            return pid if pid and self.alive(pid) else 0
        for pid, words in self.mine():
            name = os.path.basename(words[0])
            if target == "conmon" and name == "conmon":
                return pid
            if target == "network helper" and name in HELPERS:
                return pid
            if target == "runtime" and name in RUNTIMES:
                return pid
            if target == "exit command" and "cleanup" in words and "container" in words and name != "conmon":
                return pid
        return 0

    @staticmethod
    def kill(pid: int) -> bool:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    @staticmethod
    def alive(pid: int) -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state not in "ZX"

    def left_over(self) -> list[str]:
        """Return what there is of containers: to be called when none should be left."""
        left = [f"process {pid} {' '.join(words)[:200]}" for pid, words in self.mine()]
        for pattern in (
            "containers/*",
            "containers/.*",
            "names/containers/*",
            "layers/.staging-*",
            "image/.*",
            "scratch/*",
        ):
            left += [str(path) for path in self.root.glob(pattern) if path.name not in (".", "..")]
        for pattern in (
            "*/containers/*",
            "*/netns/*",
            "*/runtime/*/*",
            "*/networks/[!.]*/*.json",
            "*/.*.tmp",
            "*/probes/probe-*",
            "*/probes/.*",
        ):
            left += [str(path) for path in self.runroot.glob(pattern)]
        mounts = subprocess.run(
            self.argv("unshare", "cat", "/proc/self/mountinfo"), capture_output=True, text=True, timeout=30, check=True
        ).stdout
        left += [
            f"mount {line.split()[4]}"
            for line in mounts.splitlines()
            if str(self.place) in line or str(self.run_place) in line
        ]
        for cgroup in Path("/sys/fs/cgroup").glob(
            os.environ.get("RPOD_CGROUP2", "none").removeprefix("/sys/fs/cgroup/") + "/rpod-*"
        ):
            left.append(f"cgroup {cgroup}")
        return left

    def usage(self) -> dict[str, int]:
        """Return bytes and inodes of the store and of what lies in the runtime directory.

        The directories' own blocks don't count: ext4 never gives them back, and runs beside each other make them larger.
        """
        sizes = {"store bytes": 0, "store inodes": 0, "run bytes": 0, "run inodes": 0}
        script = "import os,sys\nfor top in sys.argv[1:]:\n b=n=0\n for d,s,f in os.walk(top):\n  for x in s+f:\n   try: t=os.lstat(os.path.join(d,x))\n   except OSError: continue\n   b+=0 if x in s else t.st_blocks*512; n+=1\n print(b,n)"
        out = subprocess.run(
            self.argv("unshare", sys.executable, "-I", "-S", "-c", script, str(self.root), str(self.runroot)),
            capture_output=True, text=True, timeout=120, check=True,
        ).stdout.split()  # fmt: skip
        return dict(zip(sizes, map(int, out), strict=True))

    def describe(self) -> str:
        chosen = " ".join(self.options) or "default drivers"
        return f"{chosen}, kernel {os.uname().release}, {os.cpu_count()} cores"

    def end(self) -> None:
        """Remove everything, the pause process included."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.run("rm", "-fa", "-t", "0")
            self.run("unshare", "rm", "-rf", str(self.root))
        for pid in (self.pause(), *(pid for pid, _words in self.mine())):
            if pid:
                self.kill(pid)
        time.sleep(0.1)
        shutil.rmtree(self.run_place, ignore_errors=True)
        shutil.rmtree(self.place, ignore_errors=True)


class Killing(Protocol):
    """A test that kills: what is printed of it at the end."""

    def table(self) -> list[str]:
        """Return the rows of what was killed."""
        ...


def play(
    name: str,
    description: str | None,
    *,
    kills: int,
    make: Callable[[World, int, Callable[[str], None]], Killing],
    run: Callable[[Any, int], None],
    summary: Callable[[Any, float, bool], str],
) -> int:
    """Read the options all kill tests have, make a world and a test in it, run it, print; return the exit code.

    ``summary`` gets the test, the seconds it took and whether a promise was broken.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rpod", required=True)
    parser.add_argument("-n", type=int, default=kills, help="how many kills")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--storage-driver", default="")
    parser.add_argument("--runtime", default="")
    parser.add_argument("--keep", action="store_true", help="leave the store behind after a failure")
    options = parser.parse_args()
    print(f"{name}: seed {options.seed} (repeat with --seed {options.seed})", flush=True)
    world = World(options.rpod, *driver_options(options))
    test = make(world, options.seed, lambda text: print(f"{name}: {text}", flush=True))
    began, broken = time.monotonic(), False
    try:
        world.make_image()
        run(test, options.n)
    except Failure as failure:
        print(f"{name}: FAILED: {failure}", file=sys.stderr)
        broken = True
    finally:
        if broken and options.keep:
            print(f"{name}: kept: {' '.join(world.argv())}")
        else:
            world.end()
    print("\n".join(test.table()))
    print(f"\n{summary(test, time.monotonic() - began, broken)}; {world.describe()}")
    return int(broken)


def driver_options(options: argparse.Namespace) -> list[str]:
    """Return the drivers a script was told to use, as rpod takes them."""
    given = (("storage-driver", options.storage_driver), ("runtime", options.runtime))
    return [f"--{name}={value}" for name, value in given if value]
