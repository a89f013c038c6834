"""``rpod commit``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, Option, flag, text, texts

COMMAND = Command(
    name="commit",
    summary="Create a new image from the changes of a container",
    help=(
        "Writes what a container changed as a layer on top of its image, and prints the new image's id. The container "
        "goes on as it was. What it was run with (command, environment, labels, user) becomes the image's default."
    ),
    options=(
        text("--author", "Name the author", "-a", metavar="NAME"),
        texts(
            "--change",
            "Apply a Dockerfile instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, "
            "WORKDIR",
            "-c",
            metavar="INSTRUCTION",
        ),
        Option(
            name="--format",
            short="-f",
            help="oci or docker",
            metavar="FORMAT",
            default="oci",
            choices=("oci", "docker"),
        ),
        text("--iidfile", "Write the image's id to this file", metavar="FILE", completes="file"),
        flag("--include-volumes", "Make the container's volumes volumes of the image"),
        text("--message", "Say what was done, in the image's history", "-m", metavar="TEXT"),
        flag("--pause", "Freeze the container meanwhile", "-p"),
        flag("--quiet", "Accepted: nothing but the id is printed anyway", "-q"),
        flag("--squash", "Make one layer of the whole tree", "-s"),
    ),
    arguments=(
        Argument(name="CONTAINER", help="The container, by name or id", completes="container"),
        Argument(name="IMAGE", kind="optional", help="A name for the image"),
    ),
    examples=("rpod commit job app:2", "rpod commit -c 'CMD [\"/bin/app\"]' -a me job app:2"),
)


def main(call: Call) -> int:
    """Commit and print the id."""
    from rootless_pod.commands.context import context_of
    from rootless_pod.container.commit import CommitRequest, commit
    from rootless_pod.image.compose import check_id_file, write_id_file

    id_file = call.text("iidfile")
    if id_file:
        check_id_file(id_file)
    request = CommitRequest(
        name=call.one("image"),
        changes=call.texts("change"),
        author=call.text("author"),
        message=call.text("message"),
        docker=call.text("format") == "docker",
        squash=call.flag("squash"),
        pause=call.flag("pause"),
        include_volumes=call.flag("include_volumes"),
    )
    image = commit(context_of(call), call.one("container"), request)
    if id_file:
        write_id_file(id_file, image.id)
    sys.stdout.write(f"{image.id}\n")
    return 0
