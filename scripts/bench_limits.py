"""What one core can do at most: the parts of a pull, each alone, on the image that scripts/bench-images measures."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PIECE = 1 << 18


def blobs(layout: Path) -> list[Path]:
    """Return the layers of a layout's only image."""

    def read(digest: str) -> Path:
        return layout / "blobs" / digest.replace(":", "/")

    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads(read(index["manifests"][0]["digest"]).read_text())
    return [read(layer["digest"]) for layer in manifest["layers"]]


def feed(path: Path, *takers: Callable[[bytes], object]) -> None:
    """Read a file in pieces."""
    with path.open("rb", buffering=0) as file:
        while data := file.read(PIECE):
            for taker in takers:
                taker(data)


def inflate(path: Path, form: str) -> None:
    """Decompress with what rpod uses."""
    if form == "gzip":
        from isal import isal_zlib

        feed(path, isal_zlib.decompressobj(31).decompress)
        return
    from backports import zstd

    feed(path, zstd.ZstdDecompressor().decompress)


def timed(action: Callable[[], object]) -> float:
    """Return seconds."""
    began = time.monotonic()
    action()
    return time.monotonic() - began


def extract(tars: list[Path], place: Path) -> float:
    """Return how long GNU tar takes to extract the layers one after the other."""
    shutil.rmtree(place, ignore_errors=True)
    os.sync()
    argv = ["tar", "--no-same-owner", "--exclude=./dev/*", "--delay-directory-restore", "-C", str(place), "-xf"]
    place.mkdir()
    return timed(lambda: [subprocess.run([*argv, str(tar)], check=True) for tar in tars])


def create_only(tars: list[Path], place: Path) -> float:
    """Return how long making the same files takes, written whole by one loop that was given names and sizes before."""
    import tarfile

    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    directories: dict[str, None] = {}
    files = []
    for number, path in enumerate(tars):
        with tarfile.open(path) as tar:
            for member in tar:
                name = f"{number}/{os.path.normpath(member.name)}"
                if member.isdir():
                    directories[name] = None
                elif member.isreg():
                    directories[os.path.dirname(name)] = None
                    files.append((name, member.size))
    for name in directories:
        (place / name).mkdir(parents=True, exist_ok=True)
    os.sync()
    zeros = bytes(max(size for _name, size in files))
    view = memoryview(zeros)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL

    def make() -> None:
        for name, size in files:
            fd = os.open(f"{place}/{name}", flags, 0o644)
            if size:
                os.write(fd, view[:size])
            os.utime(fd, ns=(0, 0))
            os.close(fd)

    spent = timed(make)
    shutil.rmtree(place, ignore_errors=True)
    return spent


def limits(layouts: Path, place: Path, runs: int) -> list[str]:
    """Return the printed lines."""
    from isal import isal_zlib

    packed = {form: blobs(layouts / form) for form in ("gzip", "zstd")}
    tars = []
    for number, path in enumerate(packed["gzip"]):
        tars.append(place / f"plain{number}.tar")
        tars[-1].write_bytes(isal_zlib.decompress(path.read_bytes(), 31))
    target = place / "extracted"
    parts: dict[str, Callable[[], float]] = {
        "sha256 of the gzip layers": lambda: timed(
            lambda: [feed(one, hashlib.sha256().update) for one in packed["gzip"]]
        ),
        "sha256 of the plain layers": lambda: timed(lambda: [feed(one, hashlib.sha256().update) for one in tars]),
        "gunzip (isal)": lambda: timed(lambda: [inflate(one, "gzip") for one in packed["gzip"]]),
        "unzstd": lambda: timed(lambda: [inflate(one, "zstd") for one in packed["zstd"]]),
        "making the files: open, write, utimensat, close": lambda: create_only(tars, target),
        "GNU tar, the plain layers one after the other": lambda: extract(tars, target),
        "writing it all to the disk (syncfs after GNU tar)": lambda: timed(os.sync),
    }
    lines = ["| part of a pull, alone on one core | s |", "|---|---|"]
    found: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(runs):
        for name, part in parts.items():
            found[name].append(part())
    lines += [f"| {name} | {statistics.median(values):.2f} |" for name, values in found.items()]
    shutil.rmtree(target, ignore_errors=True)
    for tar in tars:
        tar.unlink()
    return lines
