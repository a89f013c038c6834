"""The measuring part of scripts/bench-images; see there."""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "endtoend"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import images
from bench_limits import limits
from bench_push import Registry

PACKAGES = "git,python3,manpages-dev,libboost1.74-dev,perl,iproute2,curl,golang-1.19-src"
LEFT_OUT = "path-exclude=/usr/share/locale/*"
LAYERS = 6
GOALS = {"cold pull, gzip": 0.35, "cold pull, zstd": 0.35, "pull, only the top layer new": 0.4}
OTHER_GOAL = 0.8
SAMPLE_SECONDS = 0.02


def big_base(cache: Path) -> Path:
    """Return a tar of a Debian with development packages: about 500 MB, 40,000 files."""
    path = cache / f"big-{images.codename()}-2.tar"
    if not path.exists():
        made = path.with_suffix(".part")
        argv = ["mmdebstrap", "--quiet", "--format=tar", "--mode=unshare", "--variant=apt"]
        argv += [f"--include={PACKAGES}", f"--dpkgopt={LEFT_OUT}"]
        subprocess.run([*argv, images.codename(), str(made)], check=True, timeout=900)
        made.rename(path)
    return path


class Splitter:
    """Splits a root file system into layers of about the same size."""

    def __init__(self, place: Path) -> None:
        self.paths = [place / f"layer{number}.tar" for number in range(LAYERS)]
        self.tars = [tarfile.open(path, "w", format=tarfile.PAX_FORMAT) for path in self.paths]
        self.seen: list[set[str]] = [set() for _ in range(LAYERS)]
        self.directories: dict[str, tarfile.TarInfo] = {}
        self.files = 0

    def split(self, base: Path) -> None:
        """Write the layers; a hard link goes where its file went."""
        share = base.stat().st_size // LAYERS + 1
        where: dict[str, int] = {}
        done = 0
        with tarfile.open(base) as source:
            for member in source:
                number = min(done // share, LAYERS - 1)
                if member.islnk():
                    number = where.get(member.linkname, number)
                where[member.name] = number
                if member.isdir():
                    self.directories[member.name] = copy.copy(member)
                self._parents(member.name, number)
                if member.name not in self.seen[number]:
                    self.seen[number].add(member.name)
                    self.tars[number].addfile(member, source.extractfile(member) if member.isreg() else None)
                done += member.size + 512
                self.files += not member.isdir()
        for tar in self.tars:
            tar.close()

    def _parents(self, name: str, number: int) -> None:
        """Give the layer an entry for every directory above ``name``, as builders of images do."""
        above = name.rpartition("/")[0]
        if above and above not in self.seen[number]:
            self._parents(above, number)
            if above in self.directories:
                self.seen[number].add(above)
                self.tars[number].addfile(self.directories[above])


def make_layouts(place: Path) -> None:
    """Write the image with gzip and with zstd layers, and one where only the top layer differs."""
    splitter = Splitter(place)
    splitter.split(big_base(images.cache_directory()))
    plain = [path.read_bytes() for path in splitter.paths]
    config: dict[str, object] = {"Cmd": ["sh"]}
    for form in ("gzip", "zstd"):
        images.LayoutWriter(place / form).image([(tar, form) for tar in plain], config, "big")
    # Every entry of the old top layer and three more.
    top = plain[-1].rstrip(b"\0")
    top += bytes(-len(top) % 512) + images.whiteout_layer()
    layers = [*((tar, "gzip") for tar in plain[:-1]), (top, "gzip")]
    images.LayoutWriter(place / "top").image(layers, config, "big")
    facts = {"files": splitter.files, "unpacked": sum(len(one) for one in plain)}
    (place / "facts.json").write_text(json.dumps(facts))


class Programs:
    """The programs, each with a store that can be emptied."""

    def __init__(self, place: Path, rpod: str) -> None:
        self.place = place
        self.argv = {
            "rpod": [rpod, "--root", f"{place}/rpod", "--runroot", f"{place}/rpod-run"],
            "podman": [
                "podman", "--root", f"{place}/podman", "--runroot", f"{place}/podman-run", "--storage-driver",
                "overlay", "--cgroup-manager", "cgroupfs", "--events-backend", "file",
            ],
        }  # fmt: skip

    def empty(self) -> None:
        """Remove everything they hold, and wait until the disk is quiet."""
        subprocess.run(
            [*self.argv["rpod"], "unshare", "rm", "-rf", f"{self.place}/rpod"], check=True, capture_output=True
        )
        subprocess.run([*self.argv["podman"], "rmi", "-fa"], check=False, capture_output=True)
        for name in ("umoci", "copied"):
            shutil.rmtree(self.place / name, ignore_errors=True)
        os.sync()
        time.sleep(1)


def children() -> dict[int, list[int]]:
    """Return the processes each process has started."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                text = Path(f"/proc/{name}/stat").read_text()
            except OSError:
                continue
            found.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(name))
    return found


def memory(pid: int) -> int:
    """Return the kilobytes a process and all below it hold, what they share counted once (PSS)."""
    tree, waiting, total = children(), [pid], 0
    while waiting:
        one = waiting.pop()
        waiting += tree.get(one, [])
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total


def run(argv: list[str], *, sample: bool) -> tuple[float, float]:
    """Return wall and processor seconds of a program that must end well; with ``sample`` peak MB instead of the first."""
    os.sync()
    errors = Path(f"/tmp/bench-images-{os.getpid()}.err")
    with errors.open("wb") as said:
        began = time.monotonic()
        program = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=said)
        peak = 0
        while sample and os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            peak = max(peak, memory(program.pid))
            time.sleep(SAMPLE_SECONDS)
        _pid, status, used = os.wait4(program.pid, 0)
        wall = time.monotonic() - began
    words = errors.read_text()
    errors.unlink()
    if status:
        sys.exit(f"{' '.join(argv)}\n{words}")
    return (peak / 1024 if sample else wall), used.ru_utime + used.ru_stime


class Rounds:
    """Every case measured in turn; one round more, with memory sampled, is not timed."""

    def __init__(self, programs: Programs, layouts: Path, *, quick: bool) -> None:
        self.quick = quick
        self.programs = programs
        self.layouts = layouts
        self.place = programs.place
        self.sample = False
        self.turn = 0
        self.rows: dict[str, dict[str, list[tuple[float, float]]]] = {}
        self.peaks: dict[tuple[str, str], float] = {}

    def note(self, case: str, program: str, argv: list[str]) -> None:
        """Run and remember."""
        wall, used = run(argv, sample=self.sample)
        if self.sample:
            self.peaks[case, program] = wall
        else:
            self.rows.setdefault(case, {}).setdefault(program, []).append((wall, used))

    def both(self, case: str, *words: str, out: bool = False) -> None:
        """Let rpod and podman do the same, in another order each round; with ``out`` each into a file of its own."""
        order = ("rpod", "podman") if self.turn % 2 else ("podman", "rpod")
        for program in order:
            more = []
            if out:
                (self.place / f"{program}.tar").unlink(missing_ok=True)
                more = ["-o", str(self.place / f"{program}.tar")]
            self.note(case, program, [*self.programs.argv[program], words[0], "-q", *more, *words[1:]])

    def one(self, address: str) -> None:
        """Measure everything once; the images are in the registry at ``address``."""
        self.turn += 1
        empty, pull = self.programs.empty, ("pull", "--tls-verify=false")
        empty()
        self.both("cold pull, zstd", *pull, f"{address}/zstd:1")
        script = (
            f"skopeo copy -q --src-tls-verify=false docker://{address}/FORM:1 oci:{self.place}/copied:big && "
            f"umoci unpack --rootless --image {self.place}/copied:big {self.place}/umoci"
        )
        if not self.quick:
            empty()
            self.note("cold pull, gzip", "skopeo + umoci", ["bash", "-c", script.replace("FORM", "gzip")])
        empty()
        self.both("cold pull, gzip", *pull, f"{address}/gzip:1")
        self.both("pull, only the top layer new", *pull, f"{address}/top:1")
        if self.quick:
            return
        self.push()
        for form in ("oci-archive", "docker-archive"):
            self.both(f"save, {form}", "save", "--format", form, f"{address}/gzip:1", out=True)
            shutil.move(self.place / "podman.tar", self.place / f"load-{form}.tar")
        for form in ("oci-archive", "docker-archive"):
            empty()
            self.both(f"load, {form}", "load", "-i", str(self.place / f"load-{form}.tar"))

    def push(self) -> None:
        """Push to registries that have nothing."""
        (self.place / "empty").mkdir(exist_ok=True)
        for program in ("rpod", "podman", "skopeo"):
            registry = Registry(self.place / "empty")
            target = f"{registry.address}/pushed:1"
            name = next(iter(self.listed(program)), "")
            argv = [
                "skopeo",
                "copy",
                "-q",
                "--dest-tls-verify=false",
                f"oci:{self.layouts}/gzip:big",
                f"docker://{target}",
            ]
            if program != "skopeo":
                argv = [*self.programs.argv[program], "push", "-q", "--tls-verify=false", name, target]
            try:
                self.note("push", program, argv)
            finally:
                registry.stop()

    def listed(self, program: str) -> list[str]:
        """Return the name under which a program has the gzip image."""
        if program == "skopeo":
            return []
        argv = [*self.programs.argv[program], "images", "--format", "{{.Repository}}:{{.Tag}}"]
        names = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
        return [name for name in names if name.endswith("/gzip:1")]

    def table(self) -> list[str]:
        """Return the printed lines."""
        lines = [
            "| case | program | wall, s | against podman | goal | processor, s | peak memory, MB |",
            "|---|---|---|---|---|---|---|",
        ]
        for case, row in self.rows.items():
            podman = statistics.median(one[0] for one in row["podman"])
            for program, values in sorted(row.items(), reverse=True):
                wall, used = (statistics.median(one[number] for one in values) for number in range(2))
                goal = f"≤ {GOALS.get(case, OTHER_GOAL)}" if program == "rpod" else ""
                against = f"**{wall / podman:.2f}**" if program == "rpod" else f"{wall / podman:.2f}"
                peak = f"{self.peaks[case, program]:.0f}" if (case, program) in self.peaks else ""
                lines.append(f"| {case} | {program} | {wall:.2f} | {against} | {goal} | {used:.2f} | {peak} |")
        return lines


def write_between(page: Path, lines: list[str]) -> None:
    """Put ``lines`` between the marks of a page."""
    begin, end = "<!-- bench-images:begin -->\n", "<!-- bench-images:end -->"
    before, _begin, rest = page.read_text().partition(begin)
    page.write_text(before + begin + "\n".join(lines) + "\n" + end + rest.partition(end)[2])


def describe(layouts: Path, runs: int) -> str:
    """Say what was measured where."""
    facts = json.loads((layouts / "facts.json").read_text())
    sizes = {
        form: sum(path.stat().st_size for path in (layouts / form / "blobs/sha256").iterdir()) / 1e6
        for form in ("gzip", "zstd")
    }
    podman = subprocess.run(["podman", "--version"], check=True, capture_output=True, text=True).stdout.split()[-1]
    return (
        f"{facts['unpacked'] / 1e6:.0f} MB of tar in {LAYERS} layers, {facts['files']} files, {sizes['gzip']:.0f} MB in gzip, "
        f"{sizes['zstd']:.0f} MB in zstd; medians of {runs}, in turn; podman {podman}; {os.cpu_count()} cores, kernel "
        f"{platform.release()}, load average before {os.getloadavg()[0]:.1f}; ext4 with a journal."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rpod", required=True)
    parser.add_argument("--place", type=Path, required=True, help="a directory on a file system with a journal")
    parser.add_argument("--markdown", type=Path, help="write the tables into this page, between its marks")
    parser.add_argument("--quick", action="store_true", help="only the pulls of rpod and podman")
    parser.add_argument("-n", type=int, default=5)
    chosen = parser.parse_args()
    place = chosen.place.resolve() / "work"
    layouts = chosen.place.resolve() / "layouts"
    place.mkdir(exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = str(place)  # podman would join the pause process of another run
    if not layouts.exists():
        made = layouts.with_suffix(".part")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        make_layouts(made)
        made.rename(layouts)
    lines = [describe(layouts, chosen.n), ""]
    programs = Programs(place, chosen.rpod)
    rounds = Rounds(programs, layouts, quick=chosen.quick)
    registry = Registry(place)
    try:
        for form in ("gzip", "zstd", "top"):
            copied = [f"oci:{layouts}/{form}:big", f"docker://{registry.address}/{form}:1"]
            subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", *copied], check=True)
        for _ in range(chosen.n):
            rounds.one(registry.address)
        if not chosen.quick:
            rounds.sample = True
            rounds.one(registry.address)
    finally:
        registry.stop()
    lines += rounds.table()
    if not chosen.quick:
        lines += ["", *limits(layouts, place, chosen.n)]
    print("\n".join(lines))
    if chosen.markdown:
        write_between(chosen.markdown, lines)
    programs.empty()
    for record in place.glob("rpod-run/*/pause.json"):
        os.kill(json.loads(record.read_text())["pid"], 9)


if __name__ == "__main__":
    main()
