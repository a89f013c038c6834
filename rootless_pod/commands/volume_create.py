"""``rpod volume create``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, Option, flag, texts
from rootless_pod.commands.pairs import parse_pairs

COMMAND = Command(
    name="create",
    summary="Create a volume",
    help=(
        "Makes a directory that containers mount by its name, and prints the name. With the driver local, --opt type, "
        "device and o have something mounted there for the containers that use it; the driver image gives it the "
        "content of an image (--opt image=IMAGE), and a plugin whatever its options say."
    ),
    options=(
        Option(
            name="--driver",
            short="-d",
            help="local, image, or the name of a plugin in containers.conf",
            metavar="DRIVER",
            default="local",
        ),
        flag("--ignore", "Be content if it exists"),
        texts("--label", "Set a label", "-l", metavar="KEY=VALUE"),
        texts("--opt", "An option of the driver", "-o", metavar="KEY=VALUE"),
    ),
    arguments=(Argument(name="NAME", kind="optional", help="Its name (default: a random one)"),),
    examples=(
        "rpod volume create data",
        "rpod volume create --opt type=tmpfs --opt device=tmpfs --opt o=size=64m scratch",
        "rpod volume create --driver image --opt image=alpine base",
    ),
)


def main(call: Call) -> int:
    """Create it and print its name."""
    name, driver, exist_ok = call.one("name") or None, call.text("driver") or "local", call.flag("ignore")
    options, labels = parse_pairs(call.texts("opt"), "--opt"), parse_pairs(call.texts("label"), "--label")
    if driver == "image":
        from rootless_pod.commands.context import context_of
        from rootless_pod.container.volume_images import create_on_image

        made = create_on_image(context_of(call), name, options=options, labels=labels, exist_ok=exist_ok)
    elif driver != "local" or options:
        from rootless_pod.volumes.drivers import create_driven

        made = create_driven(call.paths, name, driver=driver, options=options, labels=labels, exist_ok=exist_ok)
    else:
        from rootless_pod.volumes.volume import create

        made = create(call.paths, name, labels=labels, exist_ok=exist_ok)
    sys.stdout.write(f"{made.name}\n")
    return 0
