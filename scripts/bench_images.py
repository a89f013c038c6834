"""The measuring part of scripts/bench-images; see there."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "endtoend"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import images
from bench_push import Registry, timed

PACKAGES = "build-essential,git,python3,vim,manpages-dev,libboost1.74-dev,perl,locales,iproute2,curl"
LAYERS = 6


def big_base(cache: Path) -> Path:
    """Return a tar of a Debian with development packages: about 500 MB, 40,000 files."""
    path = cache / f"big-{images.codename()}-1.tar"
    if not path.exists():
        made = path.with_suffix(".part")
        argv = ["mmdebstrap", "--quiet", "--format=tar", "--mode=unshare", "--variant=apt", f"--include={PACKAGES}"]
        subprocess.run([*argv, images.codename(), str(made)], check=True, timeout=900)
        made.rename(path)
    return path


def split(base: Path, place: Path) -> tuple[list[Path], int]:
    """Split the tar into layers of about the same size; a hard link goes where its file went. Return them and the files."""
    paths = [place / f"layer{number}.tar" for number in range(LAYERS)]
    share = base.stat().st_size // LAYERS + 1
    where: dict[str, int] = {}
    done = files = 0
    with tarfile.open(base) as source:
        tars = [tarfile.open(path, "w", format=tarfile.PAX_FORMAT) for path in paths]
        for member in source:
            number = min(done // share, LAYERS - 1)
            if member.islnk():
                number = where.get(member.linkname, number)
            where[member.name] = number
            tars[number].addfile(member, source.extractfile(member) if member.isreg() else None)
            done += member.size + 512
            files += not member.isdir()
        for tar in tars:
            tar.close()
    return paths, files


def make_layouts(place: Path) -> tuple[dict[str, Path], int]:
    """Write the image with gzip and with zstd layers, and one where only the top layer differs."""
    layers, files = split(big_base(images.cache_directory()), place)
    plain = [path.read_bytes() for path in layers]
    layouts: dict[str, Path] = {}
    config: dict[str, object] = {"Cmd": ["sh"]}
    for form in ("gzip", "zstd"):
        layouts[form] = place / f"layout-{form}"
        images.LayoutWriter(layouts[form]).image([(tar, form) for tar in plain], config, "big")
    top = plain[-1][:-1024] if plain[-1].endswith(b"\0" * 1024) else plain[-1]
    extra = images.whiteout_layer()
    layouts["top"] = place / "layout-top"
    images.LayoutWriter(layouts["top"]).image(
        [*((tar, "gzip") for tar in plain[:-1]), (top + extra, "gzip")], config, "big"
    )
    for path in layers:
        path.unlink()
    return layouts, files


class Stores:
    """The programs, each with a store that can be emptied."""

    def __init__(self, place: Path, rpod: str) -> None:
        self.place = place
        self.rpod = [rpod, "--root", f"{place}/rpod", "--runroot", f"{place}/rpod-run"]
        self.podman = [
            "podman", "--root", f"{place}/podman", "--runroot", f"{place}/podman-run", "--storage-driver", "overlay",
            "--cgroup-manager", "cgroupfs", "--events-backend", "file",
        ]  # fmt: skip

    def empty(self) -> None:
        """Remove everything both programs hold."""
        subprocess.run([*self.rpod, "unshare", "rm", "-rf", f"{self.place}/rpod"], check=True, capture_output=True)
        subprocess.run([*self.podman, "rmi", "-fa"], check=False, capture_output=True)
        shutil.rmtree(self.place / "umoci", ignore_errors=True)
        shutil.rmtree(self.place / "copied", ignore_errors=True)
        for name in ("ours.tar", "theirs.tar"):
            (self.place / name).unlink(missing_ok=True)
        os.sync()


Row = dict[str, list[tuple[float, float, float]]]


def rounds(stores: Stores, layouts: dict[str, Path], runs: int) -> dict[str, Row]:
    """Measure every case ``runs`` times, the programs in turn."""
    rows: dict[str, Row] = {}

    def note(case: str, program: str, argv: list[str]) -> None:
        rows.setdefault(case, {}).setdefault(program, []).append(timed(argv))

    registry = Registry(stores.place)
    address = f"docker://{registry.address}"
    try:
        for form, layout in layouts.items():
            copy = ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:big", f"{address}/{form}:1"]
            subprocess.run(copy, check=True)
        pull = ["pull", "-q", "--tls-verify=false"]
        for _ in range(runs):
            for form in ("gzip", "zstd"):
                stores.empty()
                for program, argv in (("rpod", stores.rpod), ("podman", stores.podman)):
                    note(f"cold pull, {form}", program, [*argv, *pull, f"{registry.address}/{form}:1"])
                if form == "gzip":
                    for program, argv in (("rpod", stores.rpod), ("podman", stores.podman)):
                        note("pull, only the top layer new", program, [*argv, *pull, f"{registry.address}/top:1"])
                    saved = {"rpod": "ours.tar", "podman": "theirs.tar"}
                    for program, argv in (("rpod", stores.rpod), ("podman", stores.podman)):
                        out = str(stores.place / saved[program])
                        name = f"{registry.address}/gzip:1"
                        note(
                            "save (oci-archive)",
                            program,
                            [*argv, "save", "-q", "--format", "oci-archive", "-o", out, name],
                        )
                    archive = stores.place / "load.tar"
                    if not archive.exists():
                        (stores.place / "theirs.tar").rename(archive)
                    stores.empty()
                    for program, argv in (("rpod", stores.rpod), ("podman", stores.podman)):
                        note("load (oci-archive)", program, [*argv, "load", "-q", "-i", str(archive)])
                    script = (
                        f"skopeo copy -q --src-tls-verify=false {address}/gzip:1 oci:{stores.place}/copied:big && "
                        f"umoci unpack --rootless --image {stores.place}/copied:big {stores.place}/umoci"
                    )
                    note("cold pull, gzip", "skopeo + umoci", ["bash", "-c", script])
    finally:
        registry.stop()
    return rows


def table(rows: dict[str, Row]) -> list[str]:
    """Return the printed lines."""
    goals = {"cold pull, gzip": 0.35, "cold pull, zstd": 0.35, "pull, only the top layer new": 0.4}
    lines = [
        "| case | program | wall, s | peak, MB | processor, s | wall against podman | goal |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, row in rows.items():
        podman = statistics.median(one[0] for one in row["podman"])
        for program, values in row.items():
            wall, peak, used = (statistics.median(one[number] for one in values) for number in range(3))
            goal = str(goals.get(case, 0.8)) if program == "rpod" else ""
            lines.append(
                f"| {case} | {program} | {wall:.2f} | {peak:.0f} | {used:.2f} | {wall / podman:.2f} | {goal} |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rpod", required=True)
    parser.add_argument("--place", type=Path, required=True)
    parser.add_argument("-n", type=int, default=5)
    chosen = parser.parse_args()
    place = chosen.place.resolve() / "work"
    place.mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(place)  # podman would join the pause process of another run
    layouts, files = make_layouts(place)
    manifest = next((layouts["gzip"] / "blobs/sha256").iterdir())
    size = sum(path.stat().st_size for path in (layouts["gzip"] / "blobs/sha256").iterdir())
    raw = big_base(images.cache_directory()).stat().st_size
    del manifest
    stores = Stores(place, chosen.rpod)
    rows = rounds(stores, layouts, chosen.n)
    print(
        f"{raw / 1e6:.0f} MB unpacked, {size / 1e6:.0f} MB in gzip, {files} files, {LAYERS} layers; medians of {chosen.n}"
    )
    print("\n".join(table(rows)))
    stores.empty()
    for record in place.glob("rpod-run/*/pause.json"):
        os.kill(json.loads(record.read_text())["pid"], 9)


main()
