"""``rpod system check``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Call, Command, Option, flag
from rootless_pod.errors import Corrupt, RpodError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.image.check import Finding

COMMAND = Command(
    name="check",
    summary="Verify the store and mend what is damaged",
    help=(
        "Hashes every blob and compares every unpacked layer with what its blob unpacks to. --quick looks at records, "
        "sizes and small documents only. --repair removes damaged blobs, unpacks damaged layers again and sweeps what "
        "killed commands left; with --force it also removes images and containers that can't be mended. "
        "Exit code 125 where damage stays."
    ),
    options=(
        flag("--force", "With --repair: remove damaged images and containers", "-f"),
        Option(name="--format", help="json, or nothing for lines", metavar="FORMAT", default="", choices=("json", "")),
        Option(
            name="--max",
            short="-m",
            kind="duration",
            help="Say nothing of unused layers younger than this",
            metavar="DURATION",
            default="24h",
        ),
        flag("--quick", "Leave contents unread", "-q"),
        flag("--repair", "Mend what is damaged", "-r"),
    ),
    examples=("rpod system check", "rpod system check --quick", "rpod system check --repair --force"),
)


def main(call: Call) -> int:
    """Print what was found.

    Raises:
        Corrupt: damage stays (exit code 125).
    """
    from rootless_pod.commands.quantity import parse_duration
    from rootless_pod.image.check import DAMAGE, Check, CheckRequest

    repair, force = call.flag("repair"), call.flag("force")
    request = CheckRequest(
        quick=call.flag("quick"),
        repair=repair,
        busy=_busy_layers(call),
        age_seconds=parse_duration(call.text("max")) / 1e9,
    )
    findings = Check(call.paths, request).run()
    findings += _records(call, repair=repair, force=force)
    if repair and force:
        findings = _force(call, findings)
    if repair:
        from rootless_pod.image.remove import collect_garbage

        collect_garbage(call.paths)
    _print(call, findings)
    left = [one for one in findings if one.severity == DAMAGE and not one.repaired]
    if left:
        remedy = "rpod system check --repair --force" if repair else "rpod system check --repair"
        raise Corrupt(
            f"the store is damaged in {len(left)} place{'s' if len(left) > 1 else ''}", remedy=f"run: {remedy}"
        )
    return 0


def _print(call: Call, findings: list[Finding]) -> None:
    if call.text("format") == "json":
        from rootless_pod.commands.template import pretty_json

        sys.stdout.write(pretty_json([one.as_dict() for one in findings]) + "\n")
        return
    for one in findings:
        done = " (repaired)" if one.repaired else ""
        sys.stdout.write(f"{one.severity}: {one.kind} {one.name}: {one.text}{done}\n")
    sys.stdout.flush()


def _busy_layers(call: Call) -> frozenset[str]:
    """Return the layers that running containers and mounted images stand on."""
    from rootless_pod.container.lookup import list_all
    from rootless_pod.image.lookup import lookup
    from rootless_pod.image.mounts import layers_of_mounts

    busy = layers_of_mounts(call.paths)
    for one in list_all(call.paths):
        if one.status.is_running and one.config.image_id:
            try:
                busy.update(lookup(call.paths, one.config.image_id).layers)
            except RpodError:
                continue
    return frozenset(busy)


def _records(call: Call, *, repair: bool, force: bool) -> list[Finding]:
    """Look at records of containers, names and volumes."""
    from rootless_pod.commands.context import context_of
    from rootless_pod.container.check import check_records
    from rootless_pod.image.mounts import sweep_mounts

    found = check_records(context_of(call), repair=repair, force=force)
    if repair:
        sweep_mounts(call.paths)
    return found


def _force(call: Call, findings: list[Finding]) -> list[Finding]:
    """Remove what could not be mended: images, and the containers that stand on them."""
    from rootless_pod.commands.context import context_of
    from rootless_pod.container.check import remove_bad
    from rootless_pod.image.check import DAMAGE, drop_broken_images

    drop_broken_images(call.paths, findings)
    remove_bad(context_of(call), findings)
    gone = ("image", "container", "blob")
    return [one.replace(repaired=True) if one.kind in gone and one.severity == DAMAGE else one for one in findings]
