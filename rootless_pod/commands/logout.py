"""``rpod logout``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag, text
from rootless_pod.errors import Usage

COMMAND = Command(
    name="logout",
    summary="Log out of a registry",
    help="Forgets the user name and password that rpod login keeps for a registry.",
    options=(
        flag("--all", "Forget those of every registry", "-a"),
        text("--authfile", "The file they are kept in", metavar="FILE", completes="file"),
        text("--compat-auth-file", "The file of Docker's they are kept in", metavar="FILE", completes="file"),
    ),
    arguments=(Argument(name="REGISTRY", kind="optional", help="HOST[:PORT][/NAMESPACE]"),),
    examples=("rpod logout registry.example.org", "rpod logout --all"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Log out."""
    from rootless_pod.image.registry.authfile import choose_target, erase_all
    from rootless_pod.image.registry.login import LoginPlace, logout

    target = choose_target(call.text("authfile") or None, call.text("compat_auth_file") or None)
    if call.flag("all"):
        if call.one("registry"):
            raise Usage("--all can't go with a registry", remedy="use one of the two")
        from rootless_pod.config.registries import read_registries

        erase_all(target, helpers=read_registries().credential_helpers)
        sys.stdout.write("Removed login credentials for all registries\n")
        return 0
    place = LoginPlace(call.one("registry"))
    logout(place, target)
    sys.stdout.write(f"Removed login credentials for {place.key}\n")
    return 0
