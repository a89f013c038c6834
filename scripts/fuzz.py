"""Feeds changed and made-up bytes to every reader of what others wrote. See scripts/fuzz.

A reader may take its input or refuse it with an error of rpod's own. Anything else is a crash: another exception, more than
TIME_LIMIT seconds for one input, more than MEMORY_LIMIT, a file outside the layer changed or made. A crash is shrunk by
hypothesis and kept, with the seed, in a directory.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fuzz_inputs import INPUTS
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from rootless_pod import jsontext
from rootless_pod.commands.template import Template
from rootless_pod.config.registries import read_registries
from rootless_pod.errors import Corrupt, HostUnready, Refused, RpodError, Usage
from rootless_pod.image.layout import Layout
from rootless_pod.image.trust.policy import read_policy
from rootless_pod.image.trust.registriesd import read_registries_d
from rootless_pod.linux.tree import remove_tree
from rootless_pod.monitor.logfile import read_log
from rootless_pod.network.answers import decide, fits
from rootless_pod.network.definition import Network, Subnet
from rootless_pod.network.lease import Lease
from rootless_pod.network.zone import Zone
from rootless_pod.oci.image import parse_config
from rootless_pod.oci.manifest import (
    choose_manifest,
    detect_media_type,
    format_index,
    format_manifest,
    parse_index,
    parse_manifest,
)
from rootless_pod.oci.platform import host_platform
from rootless_pod.oci.reference import parse_reference, parse_source
from rootless_pod.storage.compress import open_compressed
from rootless_pod.storage.unpack import unpack_layer

TIME_LIMIT = 5.0
MEMORY_LIMIT = 2 << 30
STUCK = 120
EXAMPLES_A_ROUND = 60
VALUE = {
    "Name": "n\u00e9",
    "Size": 12,
    "List": ["a", 1, None],
    "Map": {"k": "v", "n": {"m": [1.5]}},
    "Yes": True,
    "No": False,
    "Zero": 0,
}

ZONE = Zone(
    {"red": Network(name="red", id="", interface="", created="", subnets=(Subnet(subnet="10.89.1.0/24"),))},
    {"red": [Lease(container="web", name="web", addresses=("10.89.1.2/24",), aliases=("www",))]},
)


class Broken(Exception):
    """A promise that is no exception of a reader: a hang, a changed file, a value that does not come back."""


def out_of_time(_signal: int, _frame: object) -> None:
    raise Broken(f"takes more than {TIME_LIMIT:.0f} s")


class Place:
    """A directory whose every file but those of the layer is watched."""

    def __init__(self) -> None:
        self.top = Path(tempfile.mkdtemp(prefix="rpod-fuzz-", dir=os.environ.get("RPOD_TEST_STORE", "/var/tmp")))
        self.layers, self.outside = self.top / "layers", self.top / "layers" / "outside"
        self.diff, self.file = self.layers / "diff", self.top / "layers" / "input.yaml"
        self.renew()

    def renew(self) -> None:
        """Make all anew, at the start and where a reader changed what it must not."""
        os.chdir("/")
        shutil.rmtree(self.top)
        self.outside.mkdir(parents=True)
        (self.outside / "canary").write_text("alive")
        (self.top / "canary").write_text("alive")
        os.chdir(self.outside)

    def outside_layer(self) -> list[tuple[object, ...]]:
        """Return what lies around the layer."""
        found: list[tuple[object, ...]] = []
        for directory, names, files in os.walk(self.top):
            if directory == str(self.layers):
                names[:] = [name for name in names if name != "diff"]
            for name in (*names, *files):
                path = os.path.join(directory, name)
                if path != str(self.file):
                    info = os.lstat(path)
                    found.append((path, info.st_mode, info.st_nlink, info.st_size, info.st_uid, info.st_ino))
        return [*sorted(found), (self.outside / "canary").read_bytes(), (self.top / "canary").read_bytes()]

    def write(self, data: bytes) -> str:
        self.file.write_bytes(data)
        return str(self.file)


def read_tar(place: Place, data: bytes) -> None:
    before = place.outside_layer()
    place.diff.mkdir()
    try:
        with open(place.write(data), "rb", buffering=0) as file:
            unpack_layer(open_compressed(file), str(place.diff), single_id=True)
    except HostUnready as failure:
        # A file larger than the disk is what an archive may well claim; any other fault of the host here is one of ours.
        if "disk full" not in failure.message:
            raise Broken(f"blames the host: {failure.message}") from failure
        raise
    finally:
        remove_tree(str(place.diff))
        if (after := place.outside_layer()) != before:
            place.renew()
            raise Broken(f"changed outside: {before} {after}")


def read_manifest(_place: Place, data: bytes) -> None:
    detect_media_type(data)
    manifest = parse_manifest(data)
    again = parse_manifest(format_manifest(manifest))
    if (again.config, again.layers) != (manifest.config, manifest.layers):
        raise Broken(f"comes back as another: {again}")


def read_index(_place: Place, data: bytes) -> None:
    index = parse_index(data)
    if parse_index(format_index(index)).manifests != index.manifests:
        raise Broken("comes back as another")
    choose_manifest(index, host_platform())


def read_config(_place: Place, data: bytes) -> None:
    config = parse_config(data)
    config.chain_ids()


def read_store_index(place: Place, data: bytes) -> None:
    root = place.layers / "diff"
    root.mkdir()
    try:
        (root / "index.json").write_bytes(data)
        for entry in Layout(str(root), str(root / "lock")).entries():
            assert isinstance(entry.image_id, str | None)
            entry.to_json()
    finally:
        remove_tree(str(root))


def read_reference(_place: Place, data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    parse_source(text)
    reference = parse_reference(text)
    if parse_reference(str(reference)) != reference:
        raise Broken(f"{reference} comes back as {parse_reference(str(reference))}")


def read_trust(place: Place, data: bytes) -> None:
    policy = read_policy(place.write(data))
    policy.find("docker", ("host.example/a/b:c", "host.example/a/b", "host.example/a", "host.example", "*.example", ""))


def read_registries_conf(place: Place, data: bytes) -> None:
    registries = read_registries((place.write(data),))
    for name in ("x", "host.example/a/b:c", "sub.example.com/q"):
        for reference in registries.candidates(name):
            registries.endpoints(reference)


def read_lookasides(place: Place, data: bytes) -> None:
    place.write(data)
    found = read_registries_d(str(place.layers))
    found.lookaside(("host.example/a", "host.example"))
    found.attachments(("host.example/a", "host.example"))


def read_log_lines(place: Place, data: bytes) -> None:
    path = place.write(data)
    whole = list(read_log(path))
    for tail in (0, 1, 3):
        if len(list(read_log(path, tail=tail))) > len(whole) + 1:
            raise Broken(f"--tail {tail} shows more than there is")


def read_template(_place: Place, data: bytes) -> None:
    Template(data.decode("utf-8", "replace")).render(VALUE)


def read_definition(_place: Place, data: bytes) -> None:
    record = jsontext.loads(data)
    if isinstance(record, dict):
        network = Network.from_json(record)
        if Network.from_json(network.to_json()) != network:
            raise Broken("comes back as another")


def read_query(_place: Place, data: bytes) -> None:
    for stream in (False, True):
        found = decide(data, network="red", source="10.89.1.2", zone=ZONE, stream=stream)
        if isinstance(found, bytes) and (found[:2] != data[:2] or not found[2] & 0x80):
            raise Broken(f"answers what was not asked: {found!r}")
    fits(data, data)


Reader = Callable[[Place, bytes], None]
TARGETS: dict[str, tuple[Reader, tuple[type[Exception], ...]]] = {
    "tar": (read_tar, (Corrupt, HostUnready)),
    "manifest": (read_manifest, (Corrupt, Refused)),
    "index": (read_index, (RpodError,)),
    "config": (read_config, (Corrupt,)),
    "store-index": (read_store_index, (Corrupt,)),
    "reference": (read_reference, (Usage,)),
    "policy": (read_trust, (Refused,)),
    "registries": (read_registries_conf, (Usage,)),
    "registries.d": (read_lookasides, (Refused,)),
    "log": (read_log_lines, ()),
    "template": (read_template, (Usage,)),
    "network": (read_definition, (Corrupt, ValueError)),
    "dns": (read_query, ()),
}


class Tally:
    """What became of the inputs of one target."""

    def __init__(self) -> None:
        self.inputs = self.taken = self.refused = 0
        self.slowest = 0.0
        self.crash = ""


class Fuzz:
    """Rounds over the targets until the time is over; a target that crashed is left out from then on."""

    def __init__(self, place: Place, crashes: Path, targets: list[str]) -> None:
        self.place, self.crashes = place, crashes
        self.tallies = {name: Tally() for name in targets}
        self.shown: set[str] = set()

    def feed(self, name: str, data: bytes) -> None:
        """Hand one input to one reader within the time limit."""
        reader, refusals = TARGETS[name]
        tally = self.tallies[name]
        began = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT)
        try:
            reader(self.place, data)
            tally.taken += 1
        except refusals as refusal:
            str(refusal).encode("utf-8", "surrogateescape")
            tally.refused += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            tally.inputs += 1
            tally.slowest = max(tally.slowest, time.monotonic() - began)

    def round(self, name: str, number: int, until: float) -> None:
        last = b""

        @seed(number)
        @settings(max_examples=EXAMPLES_A_ROUND, deadline=None, database=None, suppress_health_check=list(HealthCheck),
                  verbosity=Verbosity.quiet, phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False)  # fmt: skip
        @given(INPUTS[name]())
        def example(data: bytes) -> None:
            nonlocal last
            if time.monotonic() < until:
                last = data
                self.feed(name, data)

        faulthandler.dump_traceback_later(STUCK + 60, exit=True)
        try:
            example()
        except Exception as crash:
            self.keep(name, number, last, crash)

    def keep(self, name: str, number: int, data: bytes, crash: Exception) -> None:
        self.crashes.mkdir(parents=True, exist_ok=True)
        path = self.crashes / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
        path.write_bytes(data)
        text = "".join(traceback.format_exception(crash))
        path.with_suffix(".txt").write_text(f"round seed {number}\n{text}", errors="backslashreplace")
        self.tallies[name].crash = f"{type(crash).__name__}: {crash}"
        print(f"fuzz: CRASH in {name}, kept as {path}: {self.tallies[name].crash[:300]}", flush=True)

    def run(self, seconds: float, first_seed: int) -> None:
        until, number = time.monotonic() + seconds, first_seed
        while time.monotonic() < until:
            for name, tally in self.tallies.items():
                if not tally.crash:
                    self.round(name, number, until)
            number += 1
            if all(tally.crash for tally in self.tallies.values()):
                break
        faulthandler.cancel_dump_traceback_later()

    def table(self) -> list[str]:
        lines = ["| reader | inputs | taken | refused | crashes | slowest |", "|---|---|---|---|---|---|"]
        for name, one in (*self.tallies.items(), ("all", self.total())):
            crashes = sum(bool(each.crash) for each in (self.tallies.values() if name == "all" else [one]))
            lines.append(
                f"| {name} | {one.inputs} | {one.taken} | {one.refused} | {crashes} | {one.slowest * 1000:.0f} ms |"
            )
        return lines

    def total(self) -> Tally:
        total = Tally()
        for one in self.tallies.values():
            total.inputs, total.taken, total.refused = (
                total.inputs + one.inputs,
                total.taken + one.taken,
                total.refused + one.refused,
            )
            total.slowest, total.crash = max(total.slowest, one.slowest), total.crash or ("yes" if one.crash else "")
        return total


@contextlib.contextmanager
def watched() -> Iterator[Place]:
    """Set the limits, make the place, and take it away at the end."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, out_of_time)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    before, place = os.getcwd(), Place()
    try:
        yield place
    finally:
        os.chdir(before)
        shutil.rmtree(place.top, ignore_errors=True)


def replay(paths: list[Path]) -> int:
    """Feed kept inputs again; the reader is told by the name of the file."""
    with watched() as place:
        for path in paths:
            name = path.name.rpartition("-")[0]
            Fuzz(place, path.parent, [name]).feed(name, path.read_bytes())
            print(f"fuzz: {path}: taken or refused, as it should be")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--only", default="", help="readers, with commas between them: " + " ".join(TARGETS))
    parser.add_argument(
        "--crashes", type=Path, default=Path(tempfile.gettempdir()) / f"rpod-fuzz-crashes-{os.getuid()}"
    )
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE")
    options = parser.parse_args()
    if options.replay:
        return replay([path.resolve() for path in options.replay])
    wanted = [name for name in options.only.split(",") if name] or list(TARGETS)
    if unknown := [name for name in wanted if name not in TARGETS]:
        parser.error(f"no such reader: {' '.join(unknown)}")
    print(f"fuzz: seed {options.seed} (repeat with --seed {options.seed})", flush=True)
    began = time.monotonic()
    with watched() as place:
        fuzz = Fuzz(place, options.crashes.resolve(), wanted)
        fuzz.run(options.minutes * 60, options.seed)
    print("\n".join(fuzz.table()))
    total = fuzz.total()
    print(f"\n{total.inputs} inputs in {time.monotonic() - began:.0f} s, seed {options.seed}; {'CRASHES' if total.crash else 'no crash'}; "
          f"kernel {os.uname().release}")  # fmt: skip
    return 1 if total.crash else 0


if __name__ == "__main__":
    sys.exit(main())
