"""All options of ``run`` and ``create``, in podman's spelling. HOT."""

from __future__ import annotations

from rootless_pod.commands.declare import Argument, Option
from rootless_pod.commands.run_options_health import HEALTH
from rootless_pod.commands.run_options_limits import NAMESPACES, RESOURCES, SECURITY
from rootless_pod.commands.run_options_places import NETWORK, STORAGE
from rootless_pod.commands.run_options_process import CONTAINER, IMAGE, PROCESS, RUN_ONLY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.frozen import Frozen

CREATE_OPTIONS: tuple[Option, ...] = (
    *CONTAINER,
    *HEALTH,
    *PROCESS,
    *IMAGE,
    *NETWORK,
    *STORAGE,
    *SECURITY,
    *NAMESPACES,
    *RESOURCES,
)
RUN_OPTIONS: tuple[Option, ...] = (*CREATE_OPTIONS, *RUN_ONLY)

IMAGE_AND_COMMAND: tuple[Argument, ...] = (
    Argument(name="IMAGE", help="The image (host: this machine's own system)", completes="image"),
    Argument(name="COMMAND", kind="rest", help="The command and its words"),
)


def fields_for(record: type[Frozen], values: dict[str, object]) -> dict[str, Any]:
    """Return those of ``values`` whose key is a field of ``record``, such as ``SpecRequest``."""
    return {field: values[field] for field in record._fields if field in values}
