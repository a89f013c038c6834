"""Options that ``manifest add`` and ``manifest annotate`` share."""

from __future__ import annotations

from rootless_pod.commands.declare import Option, text, texts
from rootless_pod.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.commands.declare import Call
    from rootless_pod.image.lists import Marks

MARKS = (
    texts("--annotation", "Set an annotation of the entry", metavar="KEY=VALUE"),
    text("--arch", "Say that it is for this architecture", metavar="ARCH"),
    Option(
        name="--features",
        kind="list",
        help="Not written: the field is Docker's and read by nobody",
        refuse="no reader of lists knows CPU features; use --variant",
    ),
    text("--os", "Say that it is for this operating system", metavar="OS"),
    Option(name="--os-features", kind="list", split=True, help="Features it needs of the system", metavar="FEATURE"),
    text("--os-version", "Version of the operating system it needs", metavar="VERSION"),
    text("--variant", "Say that it is for this variant of the architecture", metavar="VARIANT"),
)


def marks_of(call: Call) -> Marks:
    """Return what the options say (raises Usage)."""
    from rootless_pod.image.lists import Marks

    annotations = []
    for word in call.texts("annotation"):
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise Usage(f"--annotation {word!r} is not KEY=VALUE", remedy="write --annotation KEY=VALUE")
        annotations.append((key, value))
    return Marks(
        os=call.text("os"),
        architecture=call.text("arch"),
        variant=call.text("variant"),
        os_version=call.text("os_version"),
        os_features=call.texts("os_features"),
        annotations=tuple(annotations),
    )
