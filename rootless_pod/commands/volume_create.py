"""``rpod volume create``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, Option, flag, texts
from rootless_pod.errors import Usage

COMMAND = Command(
    name="create",
    summary="Create a volume",
    help="Makes a directory that containers mount by its name, and prints the name.",
    options=(
        Option(
            name="--driver",
            short="-d",
            help="local, the only one",
            metavar="DRIVER",
            default="local",
            choices=("local",),
            refuse="a volume is a plain directory; leave out --driver",
        ),
        flag("--ignore", "Be content if it exists"),
        texts("--label", "Set a label", "-l", metavar="KEY=VALUE"),
        texts("--opt", "Options of the driver: the driver local has none", "-o", metavar="KEY=VALUE"),
    ),
    arguments=(Argument(name="NAME", kind="optional", help="Its name (default: a random one)"),),
    examples=("rpod volume create data",),
)


def main(call: Call) -> int:
    """Create it and print its name."""
    from rootless_pod.volumes.volume import create

    made = create(
        call.paths,
        call.one("name") or None,
        labels=_pairs(call.texts("label"), "--label", needs_value=False),
        options=_pairs(call.texts("opt"), "--opt", needs_value=True),
        exist_ok=call.flag("ignore"),
    )
    sys.stdout.write(f"{made.name}\n")
    return 0


def _pairs(words: tuple[str, ...], option: str, *, needs_value: bool) -> dict[str, str]:
    pairs = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or (needs_value and not equals):
            raise Usage(f"{option} {word!r} is not KEY=VALUE", remedy=f"write {option} KEY=VALUE")
        pairs[key] = value
    return pairs
