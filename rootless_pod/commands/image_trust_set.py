"""``rpod image trust set``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command, text, texts

COMMAND = Command(
    name="set",
    summary="Say what is trusted from a registry, or by default",
    help=(
        "Changes your own policy.json (the first time it starts as a copy of the machine's). REGISTRY is a host, a "
        "namespace, a repository or an image, written in full, *.DOMAIN, or 'default'. With several keys an image must "
        "be signed by each."
    ),
    options=(
        text("--policypath", "The policy file to change", metavar="FILE", completes="file", hidden=True),
        texts("--pubkeysfile", "File of public keys to trust", "-f", metavar="FILE", completes="file", split=True),
        text(
            "--type",
            "What an image needs to be accepted",
            "-t",
            default="signedBy",
            choices=("signedBy", "sigstoreSigned", "accept", "reject"),
            metavar="TYPE",
        ),
    ),
    arguments=(Argument(name="REGISTRY", help="What the rule is for"),),
    examples=(
        "rpod image trust set -t reject default",
        "rpod image trust set -t accept docker.io/library",
        "rpod image trust set -f release.gpg registry.example.com/team",
        "rpod image trust set -t sigstoreSigned -f cosign.pub registry.example.com/app",
    ),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Write the rule; say nothing, as podman."""
    from rootless_pod.image.trust.edit import set_rule

    set_rule(call.one("registry"), call.text("type"), call.texts("pubkeysfile"), path=call.text("policypath") or None)
    return 0
