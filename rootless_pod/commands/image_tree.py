"""``rpod image tree``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.oci.image import Image
    from rootless_pod.paths import Paths

COMMAND = Command(
    name="tree",
    summary="Show the layers of an image, their sizes and who shares them",
    help="Lists the layers of an image from the bottom up, and which images end at or share each of them.",
    options=(flag("--whatrequires", "Show what is built on the image instead"),),
    arguments=(Argument(name="IMAGE", help="The image, by name or id", completes="image"),),
    examples=("rpod image tree app", "rpod image tree --whatrequires base"),
    needs_userns=False,
)
_MIDDLE, _LAST, _GOES_ON, _BLANK = "├── ", "└── ", "│   ", "    "


def main(call: Call) -> int:
    """Print the tree."""
    from rootless_pod.errors import Refused
    from rootless_pod.image.lookup import list_images, lookup

    image = lookup(call.paths, call.one("image"))
    if image.is_host:
        raise Refused("image host is this machine itself: it has no layers")
    images = list_images(call.paths)
    lines = [
        f"Image ID: {image.id[:12]}",
        f"Tags:     [{' '.join(image.names)}]",
        f"Size:     {_size(image.size_bytes)}",
    ]
    lines.append("Image Layers" if image.layers else "No Image Layers")
    if call.flag("whatrequires"):
        lines += [_LAST + _layer(call.paths, image.layers, images)] if image.layers else []
        lines += _above(call.paths, image.layers, images, _BLANK)
    else:
        for position in range(len(image.layers)):
            last = position == len(image.layers) - 1
            lines.append((_LAST if last else _MIDDLE) + _layer(call.paths, image.layers[: position + 1], images))
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _size(size_bytes: int) -> str:
    from rootless_pod.commands.humanize import size

    return size(size_bytes, digits=4, blank=False)


def _layer(paths: Paths, chain: tuple[str, ...], images: tuple[Image, ...]) -> str:
    """Return the words on the layer at the end of ``chain``."""
    from rootless_pod.image.usage import layer_size

    words = f"ID: {chain[-1][:12]} Size: {_size(layer_size(paths, chain[-1])):>7}"
    top_of = [name for one in images if one.layers == chain for name in one.names or (one.id[:12],)]
    if top_of:
        words += f" Top Layer of: [{' '.join(top_of)}]"
    sharing = sum(1 for one in images if chain[-1] in one.layers)
    return f"{words} Shared by: {sharing} images" if sharing > 1 else words


def _above(paths: Paths, chain: tuple[str, ...], images: tuple[Image, ...], indent: str) -> list[str]:
    """Return the lines of the layers that stand directly on ``chain``, each followed by those on it."""
    depth = len(chain)
    built = [one for one in images if len(one.layers) > depth and one.layers[:depth] == chain]
    following = list(dict.fromkeys(one.layers[depth] for one in built))
    lines = []
    for position, layer in enumerate(following):
        last = position == len(following) - 1
        lines.append(indent + (_LAST if last else _MIDDLE) + _layer(paths, (*chain, layer), images))
        lines += _above(paths, (*chain, layer), images, indent + (_BLANK if last else _GOES_ON))
    return lines
