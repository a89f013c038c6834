"""Kills commands that write the image store, two running at once, and looks at the store. See scripts/kill-test-images.

Each kill is a SIGKILL to one command in its middle: to rpod alone (its workers live on) or to rpod and all its workers.
After each batch ``system check`` has to find no damage, and a pull and a load have to complete with every file as it should be.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import random
import signal
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from worlds import CONFIG, Failure, World, images, play

BATCH_PAIRS = 6
KINDS = ("pull", "load", "commit", "rmi", "prune")
MUST_SUCCEED = ("pull", "load", "commit", "prune")
"""What has to work whatever runs beside it; only rmi may find its image gone or used."""


class Row:
    """What happened to the kills of one command."""

    def __init__(self) -> None:
        self.alone = self.group = self.ended_before = 0
        self.partners: set[str] = set()


class ImageKills:
    """Kills until there were enough; every broken promise is a ``Failure`` with what was seen."""

    def __init__(self, world: World, seed: int, *, say: Callable[[str], None]) -> None:
        self.world, self.say = world, say
        self.seed, self.random = seed, random.Random(seed)
        self.rows = {kind: Row() for kind in KINDS}
        self.typical = dict.fromkeys(KINDS, 0.2)
        self.pairs = itertools.cycle(itertools.combinations_with_replacement(KINDS, 2))
        self.kills = self.checks = self.leftovers = self.pairs_done = 0
        self.slowest_check = 0.0
        self.loaded = ""
        self.archive = world.place / "saved.tar"

    def prepare(self) -> None:
        """Make an archive of a third image, a container to commit, and learn how long each command takes."""
        layout = self.world.place / "layout-load"
        layout.mkdir()
        own = io.BytesIO()
        with tarfile.open(fileobj=own, mode="w", format=tarfile.PAX_FORMAT) as tar:
            images.add(tar, "loaded", mode=0o755, kind=tarfile.DIRTYPE)
            for number in range(100):
                images.add(tar, f"loaded/{number}", hashlib.sha256(b"%d" % number).digest() * 256)
        base = images.busybox_base(images.cache_directory()).read_bytes()
        images.LayoutWriter(layout).image([(own.getvalue(), "gzip"), (base, "gzip")], CONFIG, "load")
        self.loaded = self.world("pull", "-q", f"oci:{layout}:load").split()[-1]
        self.world("tag", self.loaded, "localhost/loaded:latest")
        self.world("save", "-q", "-o", str(self.archive), "localhost/loaded:latest")
        # The label is what keeps "system prune" from taking the container.
        script = "echo new > /new; rm -r /files/000*; for i in 1 2 3 4 5 6 7 8 9; do cp /bin/busybox /files/b$i; done"
        self.world("run", "--name", "job", "--label", "kept=1", "--network", "none", "img", "sh", "-c", script)
        for kind in KINDS:
            seconds = []
            for _time in range(3):
                self.before(kind)
                words = self.words(kind)
                began = time.monotonic()
                self.world(*words)
                seconds.append(time.monotonic() - began)
            self.typical[kind] = statistics.median(seconds)

    def before(self, *kinds: str) -> None:
        """Bring the store to where these commands have work to do."""
        if "rmi" in kinds or "prune" in kinds:
            # Half of what they remove is being brought by the command beside them.
            for kind, words in (("pull", self.pull_words()), ("load", self.load_words())):
                if kind not in kinds or self.random.random() < 0.5:
                    self.world(*words)
        if "prune" in kinds:
            self.world("commit", "-q", "job")
        elif "pull" in kinds or "load" in kinds:
            self.world("rmi", "-f", self.world.pulled, code=None)
            self.world("rmi", "-f", self.loaded, code=None)

    def pull_words(self) -> list[str]:
        return ["pull", "-q", *self.world.pull_words()]

    def load_words(self) -> list[str]:
        return ["load", "-q", "-i", str(self.archive)]

    def words(self, kind: str) -> list[str]:
        if kind == "pull":
            return self.pull_words()
        if kind == "load":
            return self.load_words()
        if kind == "commit":
            return ["commit", "-q", *self.random.choice((["job", "made:1"], ["job"], ["--squash", "job", "made:2"]))]
        if kind == "rmi":
            return ["rmi", "-f", self.world.pulled, self.loaded]
        return [
            *self.random.choice((["image", "prune"], ["system", "prune", "--filter", "label!=kept=1"])),
            "-f",
            *self.random.choice(([], ["-a"])),
        ]

    def run(self, wanted: int) -> None:
        """Kill until there were ``wanted`` kills and every pair had its turn."""
        while self.kills < wanted:
            for _pair in range(BATCH_PAIRS):
                pair = next(self.pairs)
                self.before(*pair)
                try:
                    self.pair(pair)
                except subprocess.TimeoutExpired as hang:
                    raise Failure(f"after kill {self.kills}, {' beside '.join(pair)}: hangs: {hang}") from hang
            self.store_is_whole()
        self.nothing_left()

    def pair(self, pair: tuple[str, str]) -> None:
        """Start two commands at once and kill each in its middle; now and then one of them may end by itself."""
        self.pairs_done += 1
        began = time.monotonic()
        children = [self.world.start(*self.words(kind)) for kind in pair]
        spared = self.random.choice([0, 1, None, None, None, None])
        moments = sorted(
            (self.random.uniform(0, self.typical[kind] * 1.5), number)
            for number, kind in enumerate(pair)
            if number != spared
        )
        killed = set()
        for moment, number in moments:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            if self.kill(children[number], pair[number], pair[1 - number]):
                killed.add(number)
        for number, child in enumerate(children):
            self.ended(child, pair, number, killed=number in killed)

    def kill(self, child: subprocess.Popen[bytes], kind: str, partner: str) -> bool:
        row = self.rows[kind]
        if child.poll() is not None:
            row.ended_before += 1
            return False
        whole = self.random.random() < 0.5
        if whole:
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
        row.group, row.alone = row.group + whole, row.alone + (not whole)
        row.partners.add(partner)
        self.kills += 1
        return True

    def ended(self, child: subprocess.Popen[bytes], pair: tuple[str, str], number: int, *, killed: bool) -> None:
        _out, err = child.communicate(timeout=60)
        text = f"{' beside '.join(pair)}: {pair[number]}: exit code {child.returncode}: {err.decode(errors='replace')}"
        if b"Traceback" in err:
            raise Failure(f"after kill {self.kills}: a traceback: {text}")
        if not killed and child.returncode != 0 and pair[number] in MUST_SUCCEED:
            raise Failure(f"after kill {self.kills}: was not killed, yet failed: {text}")

    def store_is_whole(self) -> None:
        """Every blob and layer is verified, then what was cut short is done again and every file compared."""
        began = time.monotonic()
        done = self.world.run("system", "check", "-m", "0s", timeout=120)
        self.slowest_check = max(self.slowest_check, time.monotonic() - began)
        said = done.stdout.decode() + done.stderr.decode()
        if done.returncode != 0:
            raise Failure(f"after kill {self.kills}: system check: exit code {done.returncode}: {said}")
        self.checks += 1
        self.leftovers += len(done.stdout.splitlines())
        pulled = self.world(*self.pull_words()).split()[-1]
        if pulled.removeprefix("sha256:") != self.world.pulled.removeprefix("sha256:"):
            raise Failure(f"after kill {self.kills}: the next pull gave {pulled}, not {self.world.pulled}")
        self.world(*self.load_words())
        for image, files, wanted in (
            (pulled, "/files", self.world.files_digest),
            ("img", "/files", self.world.files_digest),
        ):
            script = f"find {files} -type f | sort | xargs cat | sha256sum"
            seen = self.world("run", "--rm", "--network", "none", image, "sh", "-c", script).split()[0]
            if seen != wanted:
                raise Failure(
                    f"after kill {self.kills}: image {image} is broken: its files have digest {seen}, not {wanted}"
                )
        self.world("run", "--rm", "--network", "none", self.loaded, "test", "-e", "/loaded/99")
        self.world("commit", "-q", "job", "made:9")
        self.world("run", "--rm", "--network", "none", "made:9", "cmp", "/bin/busybox", "/files/b9")
        self.say(
            f"{self.kills} kills in {self.pairs_done} pairs, the store verifies, the next pull, load and commit complete"
        )

    def nothing_left(self) -> None:
        """Repair sweeps what killed commands left; with every image removed there is nothing."""
        self.world("system", "check", "--repair")
        self.world("system", "check")
        self.world("rm", "-fa", "-t", "0")
        self.world("system", "prune", "-af")
        left = self.world.left_over()
        for directory in ("layers", "image/blobs/sha256"):
            left += [f"{directory}/{path.name}" for path in (self.world.root / directory).iterdir()]
        if left:
            raise Failure("left over after system prune -af: " + "; ".join(left[:10]))

    def table(self) -> list[str]:
        lines = [
            "| command | rpod alone killed | with its workers | ended before | at once with |",
            "|---|---|---|---|---|",
        ]
        for kind, row in self.rows.items():
            lines.append(
                f"| `{kind}` | {row.alone} | {row.group} | {row.ended_before} | {', '.join(sorted(row.partners))} |"
            )
        return lines


def run(test: ImageKills, kills: int) -> None:
    test.prepare()
    test.run(kills)


def summary(test: ImageKills, seconds: float, broken: bool) -> str:
    return (
        f"{test.kills} kills in {test.pairs_done} pairs in {seconds:.0f} s, seed {test.seed}; {test.checks} times system check, "
        f"slowest {test.slowest_check:.1f} s, {test.leftovers} leftovers named, {'a promise broken' if broken else 'no damage'}"
    )


def main() -> int:
    return play(
        "kill-test-images", __doc__, kills=200, run=run, summary=summary,
        make=lambda world, seed, say: ImageKills(world, seed, say=say),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
