"""Sizes in words, spelled as podman does. HOT.

Source: docker/go-units, HumanSizeWithPrecision (steps of 1000) and BytesSize (steps of 1024).
"""

from __future__ import annotations

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")


def _scaled(size_bytes: float, step: float, units: tuple[str, ...]) -> tuple[float, str]:
    at = 0
    while size_bytes >= step and at < len(units) - 1:
        size_bytes /= step
        at += 1
    return size_bytes, units[at]


def size(size_bytes: float, *, digits: int = 3, blank: bool = True) -> str:
    """Return a size in steps of 1000 with three significant digits: ``1.24 MB``; 0 is ``0 B``."""
    value, unit = _scaled(float(size_bytes), 1000.0, _DECIMAL)
    return (
        f"{value:.{digits}g}{' ' if blank else ''}{unit}"
        if value < 1000
        else f"{value:.0f}{' ' if blank else ''}{unit}"
    )


def binary_size(size_bytes: float) -> str:
    """Return a size in steps of 1024 with four significant digits: ``1.186MiB``."""
    value, unit = _scaled(float(size_bytes), 1024.0, _BINARY)
    return f"{value:.4g}{unit}"
