"""The measuring part of scripts/bench; see there. Prints a table, and how the phases of one run add up."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "endtoend"))

import images

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


class Tool:
    """One program under test, with a store of its own on the same file system."""

    def __init__(self, name: str, argv: list[str], env: dict[str, str] | None = None) -> None:
        self.name, self.argv, self.env = name, argv, {**os.environ, **(env or {})}

    def __call__(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [*self.argv, *words], stdin=subprocess.DEVNULL, capture_output=True, check=False, env=self.env
        )
        if check and done.returncode:
            raise SystemExit(f"{self.name} {' '.join(words)}: {done.returncode}\n{done.stderr.decode()}")
        return done

    def seconds(self, *words: str) -> float:
        began = time.perf_counter()
        self(*words)
        return time.perf_counter() - began

    def peak_kib(self, *words: str) -> int:
        """Return the largest resident set of the command itself and of what it waited for."""
        pid = os.fork()
        if pid == 0:
            null = os.open("/dev/null", os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            os.execve(self.argv[0], [*self.argv, *words], self.env)
        _pid, _status, usage = os.wait4(pid, 0)
        return usage.ru_maxrss


class Stores:
    """rpod and podman with stores of their own on one file system, and one image in both: localhost/img."""

    def __init__(self, program: str) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="rpod-bench-", dir="/var/tmp"))
        self.run_place = Path(tempfile.mkdtemp(prefix="rb", dir=os.environ.get("XDG_RUNTIME_DIR", "/tmp")))
        self.rpod = Tool("rpod", [program, "--root", f"{self.place}/r", "--runroot", f"{self.run_place}/r"])
        self.podman = Tool(
            "podman",
            [shutil.which("podman") or "podman", "--root", f"{self.place}/p", "--runroot", f"{self.run_place}/p",
             "--storage-driver", "overlay", "--runtime", "crun", "--cgroup-manager", "cgroupfs",
             "--events-backend", "file"],
            # A runtime directory of its own: podman would join the pause process of another run, made in another mount
            # namespace.
            {"XDG_RUNTIME_DIR": str(self.run_place)},
        )  # fmt: skip
        self.tools = (self.rpod, self.podman)

    def load(self, layout: Path) -> None:
        archive = self.place / "image.tar"
        convert = ["skopeo", "copy", "-q", f"oci:{layout}:test", f"docker-archive:{archive}:localhost/img:latest"]
        subprocess.run(convert, check=True)
        for tool in self.tools:
            tool("load", "-q", "-i", str(archive))

    def end(self) -> None:
        for tool in self.tools:
            tool("rm", "-fa", "-t", "0", check=False)
        self.podman("system", "reset", "-f", check=False)
        self.rpod("unshare", "rm", "-rf", str(self.place / "r"), check=False)
        for record in self.run_place.glob("r/*/pause.json"):
            os.kill(json.loads(record.read_text())["pid"], 9)
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.rmtree(self.run_place, ignore_errors=True)


def interleaved(cases: list[tuple[Tool, list[str]]], runs: int) -> list[list[float]]:
    """Time each case ``runs`` times in turn, so that noise of the machine falls on all alike; one warm-up each."""
    for tool, words in cases:
        tool(*words)
    times: list[list[float]] = [[] for _ in cases]
    for _ in range(runs):
        for place, (tool, words) in enumerate(cases):
            times[place].append(tool.seconds(*words) * 1000)
    return times


def row(label: str, ours: list[float], theirs: list[float], goal: float) -> str:
    own, other = statistics.median(ours), statistics.median(theirs)
    ratio = own / other
    verdict = "yes" if ratio <= goal else "no"
    return f"| {label} | {own:.1f} | {min(ours):.1f} | {other:.1f} | {min(theirs):.1f} | **{ratio:.2f}** | {goal} | {verdict} |"


def pss_kib(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        return 0
    return 0


def resident(root: Path) -> str:
    """Return the resident memory of the monitor and the network helper of the running containers of a store."""
    found: dict[str, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            name = Path(words.split(" ")[0]).name
            if str(root) in words and name in ("conmon", "pasta", "pasta.avx2", "slirp4netns"):
                found[name] = found.get(name, 0) + pss_kib(int(entry.name))
    return ", ".join(f"{name} {size} KiB" for name, size in sorted(found.items())) or "-"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rpod", required=True)
    parser.add_argument("-n", type=int, default=20)
    parser.add_argument("--markdown", type=page_to_write)
    parser.add_argument("--storage", action="store_true", help="also the storage drivers side by side")
    options = parser.parse_args()
    stores = Stores(options.rpod)
    lines: list[str] = []
    try:
        stores.load(images.image_layout(debian=True)[0])
        lines = measure(stores.rpod, stores.podman, options.n, stores.place)
        lines += phases(options.rpod, stores.rpod, options.n)
    finally:
        stores.end()
    if options.storage:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).parent / "bench-storage.py"), "--markdown"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        lines += ["", *done.stdout.splitlines()]
    print("\n".join(lines))
    if options.markdown:
        write_between(options.markdown, BEGIN, END, lines)


def page_to_write(name: str) -> Path:
    """Return the path of a page that we may write, before anything is measured."""
    if not os.access(name, os.W_OK):
        raise argparse.ArgumentTypeError(f"{name} can't be written by user id {os.getuid()}: run it as its owner")
    return Path(name)


def write_between(page: Path, begin: str, end: str, lines: list[str]) -> None:
    """Replace what stands between two marks of a page."""
    head, _, rest = page.read_text().partition(begin)
    page.write_text(f"{head}{begin}\n" + "\n".join(lines) + f"\n{end}{rest.partition(end)[2]}")


def measure(rpod: Tool, podman: Tool, runs: int, place: Path) -> list[str]:
    run = ["run", "--rm", "--user", "0"]
    end = ["localhost/img:latest", "true"]
    for tool in (rpod, podman):
        tool(
            "run",
            "-d",
            "--name",
            "steady",
            "--network",
            "none",
            "--user",
            "0",
            "localhost/img:latest",
            "sleep",
            "100000",
        )
    cases: list[tuple[str, list[str], list[str], float]] = [
        ("run --rm --network none IMG true", [*run, "--network", "none", *end], [*run, "--network", "none", *end], 0.4),
        ("run --rm --network slirp4netns", [*run, "--network", "slirp4netns", *end], [*run, "--network", "slirp4netns", *end], 0.5),
        ("run --rm --network pasta / podman's slirp4netns", [*run, "--network", "pasta", *end], [*run, "--network", "slirp4netns", *end], 0.5),
        ("exec steady true", ["exec", "steady", "true"], ["exec", "steady", "true"], 0.4),
        ("ps", ["ps"], ["ps"], 0.7),
    ]  # fmt: skip
    lines = [
        f"{runs} runs each, interleaved; milliseconds of wall time; podman {podman('--version').stdout.decode().split()[-1]} + crun, "
        f"rpod + {rpod('info', '--format', '{{.Host.OCIRuntime.Name}}', check=False).stdout.decode().strip() or 'crun'}, "
        f"{os.cpu_count()} cores, kernel {os.uname().release}.",
        "",
        "| command | rpod median | min | podman median | min | ratio | goal | met |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for label, ours, theirs, goal in cases:
        own, other = interleaved([(rpod, ours), (podman, theirs)], runs)
        lines.append(row(label, own, other, goal))
        print(lines[-1], flush=True)
    lines += ["", "| memory | rpod | podman |", "|---|---|---|"]
    for label, ours, theirs, _goal in cases:
        lines.append(f"| peak of `{label}` | {rpod.peak_kib(*ours)} KiB | {podman.peak_kib(*theirs)} KiB |")
    for network in ("none", "slirp4netns", "pasta"):
        for tool in (rpod, podman):
            tool("rm", "-f", "-t", "0", "steady")
        rpod("run", "-d", "--name", "steady", "--network", network, "localhost/img:latest", "sleep", "1000")
        own_place = place / "r"
        mine = resident(own_place) if network == "none" else resident_of(rpod, own_place)
        other = "-"
        if network != "pasta":
            podman("run", "-d", "--name", "steady", "--network", network, "localhost/img:latest", "sleep", "1000")
            other = resident(place / "p")
        lines.append(f"| stays resident with {network} (PSS) | {mine} | {other} |")
    return lines


def phases(program: str, rpod: Tool, runs: int) -> list[str]:
    """Return the table of what each step of one ``run`` costs; see bench_phases.py."""
    site = next(Path(program).resolve().parents[1].glob("lib/python3.*/site-packages"))
    python = str(Path(program).resolve().parent / "python3")
    lines = ["", "| phase of `run --rm IMG true`, ms (medians) | none | slirp4netns | pasta |", "|---|---|---|---|"]
    columns: list[dict[str, list[float]]] = []
    for network in ("none", "slirp4netns", "pasta"):
        words = [*rpod.argv[1:], "run", "--rm", "--network", network, "--user", "0", "localhost/img:latest", "true"]
        argv = [python, "-I", "-S", "-X", "utf8", str(Path(__file__).parent / "bench_phases.py"), str(site), str(runs)]
        done = subprocess.run([*argv, *words], stdin=subprocess.DEVNULL, capture_output=True, check=True)
        columns.append(json.loads(done.stdout))
    for label in columns[0]:
        cells = [f"{statistics.median(column.get(label, [0.0])):.1f}" for column in columns]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def resident_of(rpod: Tool, root: Path) -> str:
    network = json.loads(rpod("inspect", "steady").stdout)[0]
    state = next(root.glob(f"containers/{network['Id']}/state.json"))
    helper = json.loads(state.read_text()).get("network", {})
    size = pss_kib(helper.get("helper_pid") or 0)
    return f"{resident(root)}, {helper.get('helper')} {size} KiB"


if __name__ == "__main__":
    main()
