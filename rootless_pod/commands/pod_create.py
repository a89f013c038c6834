"""``rpod pod create``."""

from __future__ import annotations

import os
import sys

from rootless_pod.commands.context import context_of
from rootless_pod.commands.declare import Argument, Call, Command
from rootless_pod.commands.pod_options import POD_OPTIONS
from rootless_pod.container.pod.record import SHARED_BY_DEFAULT, PodRequest
from rootless_pod.errors import Refused, Usage

COMMAND = Command(
    name="create",
    summary="Create a pod",
    help=(
        "Makes a pod: containers that share a network, a host name and shared memory. An infra container holds them;"
        " it needs no image. Prints the pod's id. Add containers with rpod run --pod NAME."
    ),
    options=POD_OPTIONS,
    arguments=(Argument(name="NAME", kind="optional", help="Name of the pod"),),
    examples=("rpod pod create --name web -p 8080:80", "rpod run -d --pod web docker.io/library/nginx"),
)


def main(call: Call) -> int:
    """Create the pod and print its id."""
    from rootless_pod.container.pod.create import create

    print(create(context_of(call), pod_request(call)).id)
    return 0


def pod_request(call: Call) -> PodRequest:
    """Read the options.

    Raises:
        Usage: a value can't be meant.
        NotFound: a file that an option names is not there.
    """
    from rootless_pod.commands.run_options import fields_for
    from rootless_pod.commands.run_request import env_lines, mounts_of, network_of, own_ids
    from rootless_pod.spec.request import SpecRequest

    if call.text("name") and call.one("name"):
        raise Usage("the pod has two names", remedy="give it with --name, or as the only word")
    values = {key: value for key, value in fields_for(SpecRequest, call.values).items() if value is not None}
    labels = (*(line for path in call.texts("label_files") for line in env_lines(path)), *call.texts("labels"))
    values.pop("labels", None)
    conmon_pid_file = call.text("infra_conmon_pidfile")
    return PodRequest(
        name=call.text("name") or call.one("name"),
        share=_share(call),
        share_parent=call.flag("share_parent"),
        exit_policy=call.text("exit_policy"),
        infra=call.flag("infra") and not _shares_nothing(call),
        infra_name=call.text("infra_name"),
        infra_image=call.text("infra_image"),
        infra_command=_words(call.text("infra_command")),
        infra_conmon_pid_file=os.path.abspath(conmon_pid_file) if conmon_pid_file else "",
        labels=labels,
        network=network_of(call),
        process=own_ids(call, SpecRequest(**values)),
        mounts=mounts_of(call),
        volumes_from=call.texts("volumes_from"),
        id_file=call.text("pod_id_file"),
        replace_existing=call.flag("replace"),
        create_command=("rpod", *sys.argv[1:]),
    )


def _shares_nothing(call: Call) -> bool:
    """Tell whether ``--share`` says none: as with podman such a pod has no infra container."""
    return "share" in call.given and call.text("share") in ("", "none")


def _share(call: Call) -> tuple[str, ...]:
    if "share" not in call.given:
        return SHARED_BY_DEFAULT if call.flag("infra") else ()
    text = call.text("share")
    added = text.startswith("+")
    names = [name for name in text.removeprefix("+").split(",") if name not in ("", "none")]
    if "mnt" in names:
        raise Refused(
            "mount sharing functionality not supported on pod level", remedy="share files with -v on the pod instead"
        )
    return tuple(sorted({*(SHARED_BY_DEFAULT if added else ()), *names}))


def _words(text: str) -> tuple[str, ...]:
    import shlex

    try:
        return tuple(shlex.split(text))
    except ValueError as cause:
        raise Usage(f"--infra-command {text!r}: {cause}", remedy="close its quotes") from cause
