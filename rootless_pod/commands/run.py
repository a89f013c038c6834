"""``rpod run``: a command in a new container. HOT."""

from __future__ import annotations

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Call, Command
from rootless_pod.commands.run_options import IMAGE_AND_COMMAND, RUN_OPTIONS
from rootless_pod.commands.run_request import container_request, preserved_fds
from rootless_pod.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.request import ContainerRequest
    from rootless_pod.container.run import Foreground

COMMAND = Command(
    name="run",
    summary="Run a command in a new container",
    help=(
        "Makes a container from IMAGE and runs COMMAND in it (or what the image says). The image is pulled if it is "
        "not here. The image named host is this machine's own system: nothing is downloaded or changed.\n\n"
        "Exit codes: 125 rpod failed, 126 the command cannot be executed, 127 it does not exist, otherwise its own."
    ),
    options=RUN_OPTIONS,
    arguments=IMAGE_AND_COMMAND,
    examples=(
        "rpod run --rm host -- python3 --version",
        "rpod run -it --rm docker.io/library/alpine sh",
        "rpod run -d --name web -p 8080:80 docker.io/library/nginx",
        "rpod run --rm -v .:/work:ro -w /work docker.io/library/python:3.13 python script.py",
    ),
    interspersed=False,
)

STREAMS = ("stdin", "stdout", "stderr")


def main(call: Call) -> int:
    """Run the container; see ``container.run``."""
    from rootless_pod.container.run import run

    request = container_request(call)
    if call.flag("dry_run"):
        from rootless_pod.container.plan import print_plan

        return print_plan(context_of(call), request)
    detach = call.flag("detach")
    if detach and call.texts("attach"):
        raise Usage("--detach can't go with --attach", remedy="leave one of them out; attach later with rpod attach")
    foreground = None if detach else foreground_of(call, request)
    return run(context_of(call), request, foreground=foreground, preserve_fds=preserved_fds(request))


def foreground_of(call: Call, request: ContainerRequest) -> Foreground:
    """Return how our streams are joined, from ``--attach``, ``--detach-keys`` and ``--sig-proxy``.

    Raises:
        Usage: an unknown stream or key.
    """
    from rootless_pod.container.run import Foreground
    from rootless_pod.monitor.detachkeys import parse_detach_keys

    chosen = tuple(stream.lower() for stream in call.texts("attach"))
    for stream in chosen:
        if stream not in STREAMS:
            raise Usage(f"--attach {stream}: no such stream", remedy="use stdin, stdout or stderr")
    return Foreground(
        stdin="stdin" in chosen or (not chosen and request.process.stdin_open),
        stdout=not chosen or "stdout" in chosen,
        stderr=not chosen or "stderr" in chosen,
        detach_keys=parse_detach_keys(call.text("detach_keys")),
        sig_proxy=call.flag("sig_proxy"),
    )
