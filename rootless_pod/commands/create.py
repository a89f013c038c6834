"""``rpod create``: a container that does not run yet."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Call, Command, text
from rootless_pod.commands.run_options import CREATE_OPTIONS, IMAGE_AND_COMMAND
from rootless_pod.commands.run_request import container_request
from rootless_pod.errors import Usage

INIT = text(
    "--init-ctr",
    "In a pod: run it to its end before the others start, always or once (then it is removed)",
    dest="init_container",
    choices=("always", "once", ""),
    metavar="TYPE",
    group="Container",
)

COMMAND = Command(
    name="create",
    summary="Create but do not start a container",
    help="Does what run does up to the start, and prints the container's id. Start it with rpod start.",
    options=(*CREATE_OPTIONS, INIT),
    arguments=IMAGE_AND_COMMAND,
    examples=("rpod create --name job docker.io/library/alpine sleep 60", "rpod start -a job"),
    interspersed=False,
)


def main(call: Call) -> int:
    """Create the container and print its id."""
    from rootless_pod.container.create import create
    from rootless_pod.container.run import get_image
    from rootless_pod.container.wishes import check_wishes

    context, request = context_of(call), container_request(call)
    if call.text("init_container"):
        if not (request.pod or request.pod_id_file):
            raise Usage("must specify pod value with init-ctr", remedy="give --pod NAME too")
        request = request.replace(init_container=call.text("init_container"))
    if call.flag("dry_run"):
        from rootless_pod.container.plan import print_plan

        return print_plan(context, request)
    check_wishes(context, request)
    print(create(context, request, get_image(context, request)).id)
    return 0
