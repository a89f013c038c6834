#!/usr/bin/env python3
"""Time what programs do with files on each storage driver, side by side, as an unprivileged user.

Usage: scripts/bench-storage.py [--files N] [--rounds N] [--driver NAME]... [--markdown]

Every round runs every driver once, so that noise of the machine hits all alike; the medians are printed,
and beside them how many times as long as a plain directory it took. Root becomes the user rpod-test first.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, REPOSITORY)

from rootless_pod.fuse.choose import ORDER, driver_named, try_in_child  # noqa: E402
from rootless_pod.fuse.driver import RootfsRequest  # noqa: E402
from rootless_pod.linux.tree import remove_tree  # noqa: E402

PLAIN = "directory"
LAYERS = 4


def read_whole(path: str) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return len(os.read(fd, 1 << 20))
    finally:
        os.close(fd)


def walk(top: str, _files: list[str]) -> int:
    """Stat every entry of the tree."""
    count = 0
    for directory, _names, files in os.walk(top):
        for name in files:
            os.lstat(f"{directory}/{name}")
            count += 1
    return count


def read_small(top: str, files: list[str]) -> int:
    """Open, read and close every small file."""
    for name in files:
        read_whole(f"{top}/{name}")
    return len(files)


def write_and_rename(top: str, files: list[str]) -> int:
    """Write a new file and rename it, as package managers do."""
    os.mkdir(f"{top}/written")
    count = len(files) // 4
    for number in range(count):
        path = f"{top}/written/{number}"
        fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, b"x" * 3000)
        os.close(fd)
        os.rename(f"{path}.new", path)
    return count


def copy_up(top: str, files: list[str]) -> int:
    """Append a byte to files of the image, which brings them up."""
    chosen = files[::4]
    for name in chosen:
        fd = os.open(f"{top}/{name}", os.O_WRONLY | os.O_APPEND)
        os.write(fd, b"!")
        os.close(fd)
    return len(chosen)


def remove_some(top: str, files: list[str]) -> int:
    """Unlink files of the image."""
    chosen = files[1::4]
    for name in chosen:
        os.unlink(f"{top}/{name}")
    return len(chosen)


def read_big(top: str, _files: list[str]) -> int:
    """Read one file of 64 MiB from start to end, twice."""
    for _turn in range(2):
        fd = os.open(f"{top}/big", os.O_RDONLY)
        while os.read(fd, 1 << 20):
            pass
        os.close(fd)
    return 2


STEPS = {
    "walk (stat all)": walk,
    "walk again (warm)": walk,
    "read small files": read_small,
    "read them again": read_small,
    "read 64 MiB twice": read_big,
    "write + rename": write_and_rename,
    "copy-up": copy_up,
    "unlink lower": remove_some,
}


def build(base: str, count: int) -> list[str]:
    """Make the layers; return the names of the small files."""
    names = []
    for number in range(count):
        layer = number % LAYERS
        name = f"dir{number // 100:03}/file{number:05}"
        os.makedirs(f"{base}/layer{layer}/dir{number // 100:03}", exist_ok=True)
        with open(f"{base}/layer{layer}/{name}", "wb") as file:
            file.write(b"y" * (200 + number % 4000))
        names.append(name)
    with open(f"{base}/layer0/big", "wb") as file:
        file.writelines(os.urandom(1 << 20) for _part in range(64))
    return names


def run_once(driver_name: str, base: str, files: list[str]) -> dict[str, float]:
    """Mount, run every step once, unmount, remove; return the seconds of each."""
    container = f"{base}/container"
    request = RootfsRequest(
        container_dir=container,
        merged=f"{container}/merged",
        upper=f"{container}/upper",
        work=f"{container}/work",
        lower_dirs=tuple(f"{base}/layer{number}" for number in reversed(range(LAYERS))),
        volatile=True,
    )
    for directory in (request.merged, request.upper, request.work):
        os.makedirs(directory)
    # The plain directory is the copy driver's tree without the cost of mounting counted.
    driver = driver_named("copy" if driver_name == PLAIN else driver_name)
    seconds: dict[str, float] = {}
    begun = time.perf_counter()
    mounted = driver.mount(request)
    seconds["mount"] = time.perf_counter() - begun
    if mounted.helper_pid is not None:
        seconds["helper memory (MiB)"] = resident(mounted.helper_pid)
    for name, step in STEPS.items():
        begun = time.perf_counter()
        step(mounted.path, files)
        seconds[name] = time.perf_counter() - begun
    if mounted.helper_pid is not None:
        seconds["helper memory after (MiB)"] = resident(mounted.helper_pid)
    begun = time.perf_counter()
    driver.unmount(request, mounted)
    seconds["unmount"] = time.perf_counter() - begun
    remove_tree(container)
    return seconds


def resident(pid: int) -> float:
    """Return the proportional set size of a process in MiB."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024


def measure(base: str, count: int, rounds: int, wanted: list[str]) -> dict[str, dict[str, float]]:
    os.makedirs(base, exist_ok=True)
    working = []
    for name in wanted:
        refused = try_in_child(name, base)
        if refused:
            print(f"{name}: left out: {refused[0]}", file=sys.stderr)
        else:
            working.append(name)
    files = build(base, count)
    gathered: dict[str, dict[str, list[float]]] = {name: {} for name in (PLAIN, *working)}
    for _round in range(rounds):
        for name, answers in gathered.items():
            for step, seconds in run_once(name, base, files).items():
                answers.setdefault(step, []).append(seconds)
    remove_tree(base)
    return {name: {step: statistics.median(all_) for step, all_ in steps.items()} for name, steps in gathered.items()}


def table(medians: dict[str, dict[str, float]], *, markdown: bool) -> str:
    """Write the medians in ms and the ratio to the plain directory."""
    drivers = [name for name in medians if name != PLAIN]
    rows = [["step", f"{PLAIN} (ms)", *(f"{name} (ms, x)" for name in drivers)]]
    memory = [
        row for row in ("helper memory (MiB)", "helper memory after (MiB)") if any(row in m for m in medians.values())
    ]
    for step in ("mount", *STEPS, "unmount"):
        plain = medians[PLAIN][step]
        counted = step not in {"mount", "unmount"}
        row = [step, f"{plain * 1000:.1f}" if counted else "-"]
        for name in drivers:
            value = medians[name][step]
            row.append(f"{value * 1000:.1f}" + (f" x{value / plain:.1f}" if counted else ""))
        rows.append(row)
    rows += [
        [step, "-", *(f"{medians[name][step]:.1f}" if step in medians[name] else "-" for name in drivers)]
        for step in memory
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    if markdown:
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        lines.insert(1, "|" + "---|" * len(rows[0]))
        return "\n".join(lines)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def become_user_and_namespace(arguments: list[str]) -> None:
    """Replace this process by one that is root of a user namespace of an unprivileged user."""
    command = ["unshare", "--user", "--mount", "--map-root-user", "--map-auto"]
    environment = {**os.environ, "RPOD_BENCH_INSIDE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    if os.getuid() == 0:
        import pwd

        found = pwd.getpwnam("rpod-test")
        command = ["setpriv", f"--reuid={found.pw_uid}", f"--regid={found.pw_gid}", "--init-groups", *command]
        environment["HOME"] = found.pw_dir
    os.execvpe(command[0], [*command, sys.executable, os.path.abspath(__file__), *arguments], environment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=4000, help="small files in the image")
    parser.add_argument("--rounds", type=int, default=5, help="times every driver runs")
    parser.add_argument("--driver", action="append", choices=ORDER, help="only these drivers")
    parser.add_argument("--directory", help="where to work (default: a temporary directory)")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.add_argument("--json", action="store_true", help="print the medians as JSON")
    options = parser.parse_args()
    if "RPOD_BENCH_INSIDE" not in os.environ:
        become_user_and_namespace(sys.argv[1:])
    top = tempfile.mkdtemp(prefix="rpod-bench-", dir=options.directory)
    try:
        medians = measure(f"{top}/storage", options.files, options.rounds, options.driver or list(ORDER))
    finally:
        remove_tree(top)
    print(json.dumps(medians) if options.json else table(medians, markdown=options.markdown))


if __name__ == "__main__":
    main()
