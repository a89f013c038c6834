"""``rpod diff`` and ``rpod image diff``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, Option, flag
from rootless_pod.errors import HostUnready, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless_pod.paths import Paths
    from rootless_pod.storage.changes import Change

FORMAT = Option(name="--format", help="json, or nothing for lines", metavar="FORMAT", default="", choices=("json", ""))
COMMAND = Command(
    name="diff",
    summary="Show what a container changed, or how images differ",
    help=(
        "Prints a line a path: A added, C changed, D deleted. For a container, against its image; for one image, of "
        "its top layer against those below; for two images, of the first against the second."
    ),
    options=(FORMAT, flag("--latest", "Act on the container created last", "-l")),
    arguments=(
        Argument(name="NAME", kind="optional", help="A container or image", completes="container"),
        Argument(name="OTHER", kind="optional", help="An image to compare with", completes="image"),
    ),
    examples=("rpod diff job", "rpod diff --format json app:2 app:1"),
)


def main(call: Call) -> int:
    """Print the changes of the container or image named."""
    from rootless_pod.container.lookup import find_id, latest
    from rootless_pod.errors import Usage

    name, other = call.one("name"), call.one("other")
    if call.flag("latest"):
        if name:
            raise Usage("--latest can't go with a name", remedy="give one of the two")
        return _container(call, latest(call.paths).id)
    if not name:
        raise Usage("no container or image named", remedy="give a name or an id, or --latest")
    if not other:
        try:
            container_id = find_id(call.paths, name)
        except NotFound:
            container_id = ""
        if container_id:
            return _container(call, container_id)
    return print_image_diff(call, name, other)


def _container(call: Call, container_id: str) -> int:
    from rootless_pod.commands.context import context_of
    from rootless_pod.container.contents import Steady, base_image, find_layers, visible_changes
    from rootless_pod.container.lookup import read

    context = context_of(call)
    container = read(call.paths, container_id)
    image = base_image(context, container, "compare")
    with Steady(context, container) as steady:
        return print_changes(call, visible_changes(find_layers(context, steady.container, image)))


def print_image_diff(call: Call, name: str, other: str) -> int:
    """Print how an image differs from ``other``, or ("") its top layer from those below."""
    return print_changes(call, image_changes(call.paths, name, other, single_id=_single_id(call)))


def _single_id(call: Call) -> bool:
    return call.namespace is not None and call.namespace.single_id


def image_changes(paths: Paths, name: str, other: str, *, single_id: bool) -> Iterable[Change]:
    """Return the changes that lead from ``other`` (or what lies below the top layer) to the image ``name``.

    Raises:
        NotFound: no such image.
    """
    from rootless_pod.errors import Refused
    from rootless_pod.image.acquire import acquire
    from rootless_pod.storage.changes import Comparison
    from rootless_pod.storage.store import Store
    from rootless_pod.storage.view import View

    image = acquire(paths, name, pull_policy="never", single_id=single_id)
    before = image.layers[:-1]
    if other:
        against = acquire(paths, other, pull_policy="never", single_id=single_id)
        before = against.layers
    if image.is_host or (other and against.is_host):
        raise Refused("image host is this machine itself: it has no layers to compare")
    store = Store(paths)
    empty = f"{paths.bootroot}/empty"
    import os

    os.makedirs(empty, mode=0o755, exist_ok=True)
    old = View(store.lower_dirs(before) or (empty,))
    new = View(store.lower_dirs(image.layers) or (empty,))
    return Comparison(old, new, contents=True).changes()


def print_changes(call: Call, found: Iterable[Change]) -> int:
    """Print the changes as lines or as one JSON object."""
    try:
        rows = [(change.kind, "/" + change.path.decode(errors="surrogateescape")) for change in found]
    except OSError as cause:
        raise HostUnready(f"cannot compare: {cause.strerror}: {cause.filename!r}") from cause
    if call.text("format") == "json":
        from rootless_pod import jsontext

        words = {"A": "added", "C": "changed", "D": "deleted"}
        answer = {word: [_shown(path) for kind, path in rows if kind == letter] for letter, word in words.items()}
        sys.stdout.write(jsontext.dumps({word: paths for word, paths in answer.items() if paths}) + "\n")
        return 0
    sys.stdout.flush()
    text = "".join(f"{kind} {path}\n" for kind, path in rows)
    sys.stdout.buffer.write(text.encode(errors="surrogateescape"))
    sys.stdout.buffer.flush()
    return 0


def _shown(path: str) -> str:
    """Return a path that JSON can hold; bytes that are no text are written in hexadecimal."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")
