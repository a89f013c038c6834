"""``rpod image trust show``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag, text
from rootless_pod.errors import Refused, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.image.trust.policy import Policy

_HEADERS = ("TRANSPORT", "NAME", "TYPE", "ID", "STORE")

COMMAND = Command(
    name="show",
    summary="Show what the trust policy says",
    help=(
        "Prints the rules of policy.json, a line each: for which images, what they need, whose keys, and where the "
        "signatures are kept. With REGISTRY (or an image's name) only those that decide about it."
    ),
    options=(
        flag("--json", "Print JSON", "-j"),
        flag("--noheading", "Print no headings", "-n"),
        text("--policypath", "The policy file to show", metavar="FILE", completes="file", hidden=True),
        flag("--raw", "Print the policy file as it is"),
        text("--registrypath", "The registries.d directory", metavar="DIR", completes="directory", hidden=True),
    ),
    arguments=(Argument(name="REGISTRY", kind="optional", help="A registry, namespace, repository or image"),),
    examples=("rpod image trust show", "rpod image trust show docker.io/library/debian:12"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Read the policy, which is where a bad one is refused, and print it."""
    from rootless_pod.image.trust.policy import read_policy
    from rootless_pod.image.trust.registriesd import read_registries_d
    from rootless_pod.image.trust.show import rows

    if call.flag("raw") and call.flag("json"):
        raise Usage("--raw and --json exclude each other", remedy="use one of them")
    if call.flag("raw"):
        return _print_raw(call.text("policypath") or None)
    policy = read_policy(call.text("policypath") or None)
    if call.one("registry"):
        policy = _deciding(policy, call.one("registry"))
    found = list(rows(policy, read_registries_d(call.text("registrypath") or None)))
    if call.flag("json"):
        import json

        sys.stdout.write(json.dumps([row.to_json() for row in found], indent=2, ensure_ascii=False) + "\n")
        return 0
    from rootless_pod.commands.table import print_table

    cells = [(row.transport, row.name, row.type, row.key_id, row.store) for row in found]
    print_table(_HEADERS, cells, heading=not call.flag("noheading"))
    return 0


def _print_raw(given: str | None) -> int:
    from rootless_pod.image.trust.policy import find_policy

    path = find_policy(given)
    if path is None:
        sys.stdout.write('{"default": [{"type": "insecureAcceptAnything"}]}\n')
        return 0
    try:
        with open(path, encoding="utf-8") as file:
            raw = file.read()
    except (OSError, ValueError) as cause:
        raise Refused(f"cannot read the trust policy {path}: {cause}", remedy=f"make {path} readable") from cause
    sys.stdout.write(raw if raw.endswith("\n") else f"{raw}\n")
    return 0


def _deciding(policy: Policy, name: str) -> Policy:
    """Return a policy of the one rule that decides about ``name``."""
    from rootless_pod.image.trust.scope import name_scopes

    rule = policy.find("docker", name_scopes(name))
    if not rule.transport:
        return policy.replace(transports={})
    return policy.replace(default=(), transports={"docker": {rule.scope: rule.requirements}})
