"""``volume create --opt``: what the drivers take. Pure.

Source: podman-volume-create(1); podman 4.3.1 (probed) for words and what is kept.
"""

from __future__ import annotations

from rootless_pod.errors import Refused, Usage
from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

LOCAL, IMAGE = "local", "image"
_LOCAL_KEYS = ("type", "device", "o", "copy", "nocopy")
_OWNERS = {"uid": "UID", "gid": "GID"}
_QUOTAS = ("size", "inodes")


class DriverOptions(Frozen):
    """The options of one volume: ``options`` is what is kept and shown.

    ``uid`` and ``gid``: whom a new directory is for. ``timeout_seconds`` 0: as configured.
    """

    options: dict[str, str] = {}
    uid: int = 0
    gid: int = 0
    timeout_seconds: int = 0

    @property
    def needs_mount(self) -> bool:
        """Whether the driver local mounts something rather than have a plain directory."""
        return any(self.options.get(key) for key in ("type", "device")) or bool(mount_words(self.options))


def parse_options(driver: str, given: Mapping[str, str]) -> DriverOptions:
    """Check the options for a driver.

    Raises:
        Usage: the driver has no such option, or a value can't be meant.
        Refused: a quota, which only an administrator can have set up.
    """
    if driver == IMAGE:
        return _image_options(given)
    options = dict(given)
    owners: dict[str, int] = {}
    timeout = 0
    kept = []
    for word in options.get("o", "").split(",") if options.get("o") else ():
        key, _equals, value = word.partition("=")
        if key in _OWNERS:
            owners[key] = _number(key, value)
            options[_OWNERS[key]] = value
            kept.append(word)
        elif key == "timeout":
            timeout = _number(key, value)
        else:
            kept.append(word)
    if "o" in options:
        options["o"] = ",".join(kept)
    if driver == LOCAL:
        _check_local(given, kept)
    return DriverOptions(options=options, uid=owners.get("uid", 0), gid=owners.get("gid", 0), timeout_seconds=timeout)


def _check_local(given: Mapping[str, str], words: list[str]) -> None:
    for key in given:
        if key not in _LOCAL_KEYS:
            raise Usage(
                f"invalid mount option {key} for driver 'local': invalid argument",
                remedy=f"use some of: {', '.join(_LOCAL_KEYS)}",
            )
    quota = next((word for word in words if word.partition("=")[0] in _QUOTAS), "")
    if quota and given.get("type") != "tmpfs":
        raise Refused(
            f"volume option {quota} is not supported: project quotas of a file system need root",
            remedy="give the size to a tmpfs: --opt type=tmpfs --opt device=tmpfs --opt o=size=64m",
        )


def _image_options(given: Mapping[str, str]) -> DriverOptions:
    for key in given:
        if key != "image":
            raise Usage(
                f"invalid mount option {key} for driver 'image': invalid argument", remedy="use --opt image=IMAGE"
            )
    if not given.get("image"):
        raise Usage(
            "must provide an image name when creating a volume with the image driver: invalid argument",
            remedy="add: --opt image=IMAGE",
        )
    return DriverOptions(options=dict(given))


def _number(key: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise Usage(f"cannot convert {key} {value!r} to integer", remedy=f"write --opt o={key}=NUMBER")
    return int(value)


def mount_words(options: Mapping[str, str]) -> list[str]:
    """Return the words of ``o`` that are for mount(8), not for us."""
    own = ("copy", "nocopy", *(_OWNERS if options.get("type") != "tmpfs" else ()))
    return [word for word in options.get("o", "").split(",") if word and word.partition("=")[0] not in own]


def copies_up(options: Mapping[str, str]) -> bool:
    """Tell whether a new volume is filled from the image."""
    return "nocopy" not in options and "nocopy" not in options.get("o", "").split(",")
