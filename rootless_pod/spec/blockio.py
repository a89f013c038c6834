"""Weights and limits of block devices: ``linux.resources.blockIO`` of the runtime-spec.

Source: runtime-spec config-linux.md "Block IO"; podman-run(1). Runtimes make ``io.weight`` and ``io.max`` of it.
"""

from __future__ import annotations

import os
import stat

from rootless_pod.errors import Usage
from rootless_pod.spec.quantities import parse_int, parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.spec.request import SpecRequest

_LEAST_WEIGHT, _MOST_WEIGHT = 10, 1000
_RATES = (
    ("throttleReadBpsDevice", "device_read_bps", parse_size),
    ("throttleWriteBpsDevice", "device_write_bps", parse_size),
    ("throttleReadIOPSDevice", "device_read_iops", parse_int),
    ("throttleWriteIOPSDevice", "device_write_iops", parse_int),
)


def block_io(request: SpecRequest) -> dict[str, Any]:
    """Return the section, without what is not asked.

    Raises:
        Usage: a weight or rate is wrong, or what is named is no block device.
    """
    section: dict[str, Any] = {}
    if request.blkio_weight:
        section["weight"] = _weight(request.blkio_weight, "--blkio-weight")
    if request.blkio_weight_device:
        option = "--blkio-weight-device"
        pairs = (_device(text, option) for text in request.blkio_weight_device)
        section["weightDevice"] = [{**numbers, "weight": _weight(value, option)} for numbers, value in pairs]
    for key, field, parse in _RATES:
        option = "--" + field.replace("_", "-")
        rates = []
        for text in getattr(request, field):
            numbers, value = _device(text, option)
            rate = parse(value, option)
            if rate <= 0:
                raise Usage(f"{option} {text}: the rate must be greater than 0")
            rates.append({**numbers, "rate": rate})
        if rates:
            section[key] = rates
    return section


def block_files(section: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (file, line) for each thing the section says, in the form of cgroup v2: runc's update knows weights alone.

    Weights are stretched from 10..1000 to 1..10000 as crun does it.
    """
    lines = [("io.weight", f"default {_stretched(section['weight'])}")] if section.get("weight") else []
    lines += [
        ("io.weight", f"{one['major']}:{one['minor']} {_stretched(one['weight'])}")
        for one in section.get("weightDevice", ())
    ]
    lines += [
        ("io.max", f"{one['major']}:{one['minor']} {word}={one['rate']}")
        for (key, _field, _parse), word in zip(_RATES, ("rbps", "wbps", "riops", "wiops"), strict=True)
        for one in section.get(key, ())
    ]
    return lines


def _stretched(weight: int) -> int:
    return 1 + (weight - _LEAST_WEIGHT) * 9999 // (_MOST_WEIGHT - _LEAST_WEIGHT)


def _weight(text: str, option: str) -> int:
    value = parse_int(text, option, minimum=0)
    if value and not _LEAST_WEIGHT <= value <= _MOST_WEIGHT:
        raise Usage(f"{option} {text}: the range of weights is from {_LEAST_WEIGHT} to {_MOST_WEIGHT}")
    return value


def _device(text: str, option: str) -> tuple[dict[str, int], str]:
    path, colon, value = text.rpartition(":")
    if not colon or not path.startswith("/dev/"):
        raise Usage(f"{option} {text!r} is not /dev/NAME:VALUE")
    try:
        found = os.stat(path)
    except OSError as cause:
        raise Usage(f"{option} {text}: {path}: {cause.strerror}") from cause
    if not stat.S_ISBLK(found.st_mode):
        raise Usage(f"{option} {text}: {path} is not a block device", remedy="see which there are: lsblk")
    return {"major": os.major(found.st_rdev), "minor": os.minor(found.st_rdev)}, value
