"""Files in YAML: PyYAML is imported only where one is read."""

from __future__ import annotations

from rootless_pod.errors import HostUnready, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def load(path: str, invalid: Callable[[str, str], Refused]) -> Any:
    """Return what a file holds; ``invalid(path, why)`` is the error for one that is no YAML.

    Raises:
        Refused: it can't be read, or is not valid.
        HostUnready: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as cause:
        from rootless_pod.programs.package import how_to_install

        raise HostUnready(
            f"the Python package PyYAML is not installed: {path} can't be read", remedy=how_to_install("PyYAML")
        ) from cause
    try:
        with open(path, "rb") as file:
            return yaml.safe_load(file)
    except OSError as cause:
        raise Refused(f"cannot read {path}: {cause.strerror}", remedy=f"make {path} readable") from cause
    except (yaml.YAMLError, ValueError, RecursionError) as cause:
        raise invalid(path, " ".join(str(cause).split())) from cause
