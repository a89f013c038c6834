"""``rpod manifest push``."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Call, Command, flag
from rootless_pod.commands.pull import REGISTRY_OPTIONS
from rootless_pod.commands.transfer_options import TRANSFER_OPTIONS, access_of, options_of, transfer_of, write_digest

COMMAND = Command(
    name="push",
    summary="Push a manifest list and its images",
    help=(
        "Sends a list with all its images to the registry in its name, or to DESTINATION: REGISTRY/NAME[:TAG], "
        "docker://NAME, oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG] or dir:DIRECTORY."
    ),
    options=(
        flag("--all", "Accepted: every image of the list is pushed anyway"),
        *REGISTRY_OPTIONS,
        flag("--rm", "Remove the list here when it has arrived"),
        *TRANSFER_OPTIONS,
    ),
    arguments=(
        Argument(name="LIST", help="The list's name", completes="image"),
        Argument(name="DESTINATION", kind="optional", help="Where to, if the name doesn't say"),
    ),
    examples=("rpod manifest push app:1 registry.example.org/team/app:1", "rpod manifest push app:1 oci:./layout:v1"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Push; print the digest that arrived."""
    import sys

    from rootless_pod.image.lists import push_list, read_list
    from rootless_pod.image.remove import remove_kept

    access = access_of(call)
    transfer = transfer_of(call).replace(all_platforms=True)
    options = options_of(call, source=access, destination=access, transfer=transfer)
    done = push_list(call.paths, call.one("list"), call.one("destination"), options)
    write_digest(call, done)
    sys.stdout.write(f"{done.digest}\n")
    if call.flag("rm"):
        remove_kept(call.paths, read_list(call.paths, call.one("list"))[0])
    return 0
