"""Kills rpod or a monitor in the middle of two commands on the same objects. See scripts/kill-test-loop.

Every command that changes something takes its turn: containers, pods, networks, volumes, secrets, images made from containers. After
each kill all lists work and show nothing damaged; after a batch ``rm -f`` of every object works and nothing is left.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from kill_test import Row, summary
from worlds import Failure, World, play

from rootless_pod.commands import index

BATCH = 6
STUCK_SECONDS = 90
CONTAINERS, PODS, VOLUMES, SECRETS = ("c0", "c1"), ("p0",), ("v0",), ("s0",)
NETWORKS = ("n0",)
NET = ("--network", "none")
SLEEP = ("img", "sleep", "600")
# What is typed, with C, D, P, V, S and N for the names of two containers, a pod, a volume, a secret and a network.
ACTIONS = (
    ("create --name C -v V:/v NET SLEEP", 3),
    ("create --name C --pod P SLEEP", 1),
    ("create --name C --restart always NET SLEEP", 1),
    ("run -d --name C -v V:/v NET SLEEP", 4),
    ("run -d --replace --name C NET SLEEP", 2),
    ("run -d --name C --pod P SLEEP", 2),
    ("run -d --name C --restart on-failure:2 NET img false", 1),
    ("run -d --name C --secret S NET SLEEP", 1),
    ("run --rm NET -v V:/v img touch /v/x", 2),
    ("run -d --rm --name C NET img sleep 0.1", 1),
    ("init C", 2),
    ("start C", 3),
    ("start C D", 1),
    ("stop -t 0 C", 3),
    ("stop -t 0 -a", 1),
    ("restart -t 0 C", 3),
    ("kill C", 2),
    ("pause C", 1),
    ("unpause C", 1),
    ("rename C D", 2),
    ("update --restart always C", 1),
    ("commit -q C localhost/made", 1),
    ("exec C true", 2),
    ("exec -d C sleep 0.1", 1),
    ("cp /etc/hostname C:/copied", 1),
    ("rm C", 2),
    ("rm -f -t 0 C", 3),
    ("rm -f -a -t 0", 1),
    ("container cleanup C", 1),
    ("container prune -f", 1),
    ("pod create --name P", 3),
    ("pod start P", 2),
    ("pod stop -t 0 P", 2),
    ("pod restart P", 1),
    ("pod kill P", 1),
    ("pod pause P", 1),
    ("pod unpause P", 1),
    ("pod rm P", 1),
    ("pod rm -f P", 2),
    ("pod prune -f", 1),
    ("volume create V", 2),
    ("volume create --driver image --opt image=img V", 1),
    ("volume rm V", 1),
    ("volume rm -f V", 1),
    ("volume prune -f", 1),
    ("secret create S /etc/hostname", 2),
    ("secret rm S", 1),
    ("network create N", 2),
    ("network rm N", 1),
    ("network rm -f -t 0 N", 1),
    ("network prune -f", 1),
    ("run -d --name C --network N SLEEP", 3),
    ("run -d --replace --name C --network N -p 0:80 SLEEP", 2),
    ("network connect N C", 3),
    ("network disconnect N C", 2),
    ("network reload C", 1),
    ("system prune -f --volumes", 1),
    ("system check --quick --repair", 1),
)
TARGETS = ("rpod", "rpod", "rpod", "conmon", "network helper")


def known(action: str) -> bool:
    """Tell whether this rpod has the command: the list is of all that podman has."""
    words = action.split()
    return index.resolve(" ".join(words[:2])) is not None or index.resolve(words[0]) is not None


class KillLoop:
    """Kills until there were enough; every broken promise is a ``Failure`` with what was seen."""

    def __init__(self, world: World, seed: int, *, say: Callable[[str], None]) -> None:
        self.world, self.say = world, say
        self.seed, self.random = seed, random.Random(seed)
        self.actions = [one for one in ACTIONS if known(one[0])]
        self.rows: dict[tuple[str, str], Row] = {}
        self.missed = Counter[str]()
        self.typical_seconds: dict[str, float] = {}
        self.kills = 0
        self.slowest_removal = 0.0
        self.images: set[str] = set()

    def run(self, wanted: int) -> None:
        batch = 0
        self.images = set(self.world("images", "-aq", "--no-trunc").split())
        self.furnish()
        while self.kills < wanted:
            self.one()
            batch += 1
            if batch == BATCH:
                self.clear()
                self.furnish()
                batch = 0
        self.clear()

    def furnish(self) -> None:
        """Put something there to act on."""
        self.world("run", "-d", "--name", "c0", *NET, "-v", "v0:/v", *SLEEP)
        if known("pod create"):
            self.world("pod", "create", "--name", "p0")
            self.world("run", "-d", "--name", "c1", "--pod", "p0", *SLEEP)
        self.world("network", "create", "--ignore", *NETWORKS)

    def words(self) -> list[str]:
        """Return one command line."""
        action = self.random.choices([one[0] for one in self.actions], [one[1] for one in self.actions])[0]
        first, second = self.random.sample(CONTAINERS, 2)
        names = {"C": first, "D": second, "P": PODS[0], "V": VOLUMES[0], "S": SECRETS[0], "V:/v": f"{VOLUMES[0]}:/v"}
        names["N"] = NETWORKS[0]
        words: list[str] = []
        for word in action.split():
            more = {"NET": ("--network", self.world.network()), "SLEEP": SLEEP}.get(word)
            words += more or (names.get(word) or word.replace("C:", f"{first}:"),)
        return words

    def one(self) -> None:
        """Start two commands, kill one of them or a monitor, and look at everything."""
        both = [self.words(), self.words()]
        target = self.random.choice(TARGETS)
        victim = both[0]
        kind = self.kind(victim)
        delay = self.random.uniform(0, self.typical_seconds.get(kind, 0.15))
        what = f"kill {self.kills + 1}: {target} in '{' '.join(victim)}' after {delay * 1000:.0f} ms beside '{' '.join(both[1])}'"
        try:
            self.interrupt(both, target, delay)
            self.everything_works()
        except Failure as failure:
            raise Failure(f"{what}: {failure}") from failure
        except subprocess.TimeoutExpired as hang:
            raise Failure(f"{what}: stuck: {hang}") from hang

    @staticmethod
    def kind(words: list[str]) -> str:
        return " ".join(words[:2]) if words[0] in index.GROUPS else words[0]

    def interrupt(self, both: list[list[str]], target: str, delay: float) -> None:
        began = time.monotonic()
        children = [self.world.start(*words) for words in both]
        time.sleep(delay)
        hit = self.hit(target, children[0])
        said = []
        for place, child in enumerate(children):
            said.append(child.communicate(timeout=STUCK_SECONDS)[1].decode(errors="replace"))
            if place == 0:
                lasted = time.monotonic() - began
        kind = self.kind(both[0])
        if hit:
            self.kills += 1
            row = self.rows.setdefault((kind, target), Row())
            row.kills += 1
            row.cut_short += children[0].returncode != 0
        else:
            self.missed[target] += 1
            self.typical_seconds[kind] = (self.typical_seconds.get(kind, lasted) + lasted) / 2
        for words, text in zip(both, said, strict=True):
            if "Traceback" in text:
                raise Failure(f"a traceback from '{' '.join(words)}': {text}")

    def hit(self, target: str, child: subprocess.Popen[bytes]) -> bool:
        if target == "rpod":
            if child.poll() is not None:
                return False
            child.kill()
            return True
        pid = self.world.find(target)
        return bool(pid) and self.world.kill(pid)

    def everything_works(self) -> None:
        """Every list answers, and shows nothing that can't be read."""
        shown = self.world("ps", "-a", "--format", "{{.ID}} {{.Status}}")
        if "Damaged" in shown:
            raise Failure(f"ps shows {shown}")
        self.world("volume", "ls")
        for listing in ("pod ps", "secret ls", "network ls"):
            if known(listing):
                self.world(*listing.split())
        for container_id in self.world("ps", "-aq", "--no-trunc").split():
            self.world("inspect", container_id, code=None)

    def clear(self) -> None:
        """Remove every object by force, twice as many times as needed, and look for anything left over."""
        began = time.monotonic()
        self.world("rm", "-f", "-t", "0", *CONTAINERS)
        if known("pod rm"):
            self.world("pod", "rm", "-f", "-t", "0", *PODS)
            self.world("pod", "rm", "-f", "-a", "-t", "0")
        self.world("rm", "-f", "-a", "-t", "0")
        self.slowest_removal = max(self.slowest_removal, time.monotonic() - began)
        self.world("volume", "rm", "-f", "-a")
        if known("secret rm"):
            self.world("secret", "rm", "-a", code=None)
        self.world("network", "rm", "-f", *NETWORKS, code=None)
        for image in set(self.world("images", "-aq", "--no-trunc").split()) - self.images:
            self.world("rmi", "-f", image)
        deadline = time.monotonic() + 5
        while (left := self.left()) and time.monotonic() < deadline:
            time.sleep(0.1)  # exit commands and helpers that were told to end
        if left:
            raise Failure("left over after rm -f of everything: " + "; ".join(left))
        self.say(f"{self.kills} kills, nothing left over")

    def left(self) -> list[str]:
        found = self.world.left_over()
        for pattern in (
            "volumes/*",
            "volumes/.*",
            "pods/*",
            "pods/.*",
            "names/pods/*",
            "names/secrets/*",
            "secrets/*/*",
            "networks/*",
        ):
            found += [str(path) for path in self.world.root.glob(pattern)]
        return found

    def table(self) -> list[str]:
        lines = ["| command | killed | kills | command cut short |", "|---|---|---|---|"]
        for (kind, target), row in sorted(self.rows.items()):
            lines.append(f"| `{kind}` | {target} | {row.kills} | {row.cut_short} |")
        lines.append(f"| all | | {self.kills} | {sum(row.cut_short for row in self.rows.values())} |")
        return lines


def main() -> int:
    return play(
        "kill-test-loop", __doc__, kills=300, run=KillLoop.run, summary=summary,
        make=lambda world, seed, say: KillLoop(world, seed, say=say),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
