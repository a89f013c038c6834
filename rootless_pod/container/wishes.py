"""What can be known to be wrong of a request before anything is mounted: ``create`` says it, not the first start."""

from __future__ import annotations

from rootless_pod.spec import namespaces, process, security
from rootless_pod.spec.devices import is_cdi_name
from rootless_pod.spec.host import read_host_facts
from rootless_pod.spec.resources import asked_resources
from rootless_pod.spec.rootless import UserMapping, plan_mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.container.context import Context
    from rootless_pod.container.request import ContainerRequest

_JOINABLE = ("pid", "ipc", "uts")


def check_wishes(context: Context, request: ContainerRequest) -> None:
    """Look at every value that needs no root file system.

    Raises:
        Usage, Refused: a value that no start could follow on this machine.
    """
    wishes, host = request.process, read_host_facts()
    mapping = UserMapping()
    if not wishes.userns.startswith("container:"):
        mapping = plan_mapping(
            wishes.userns, context.namespace.id_map, uidmap=wishes.uidmap, gidmap=wishes.gidmap, join_path=None
        )
    joined = {kind: "/" for kind in _JOINABLE if getattr(wishes, kind).startswith("container:")}
    namespaces.choose_namespaces(wishes, joined, host, netns_path="", mapping=mapping)
    security.parse_security(wishes.security_opt, host)
    security.choose_capabilities(wishes, 0, host)
    process.compose_limits(wishes, host)
    asked_resources(wishes)
    names = [one for one in wishes.devices if is_cdi_name(one)]
    if names:
        from rootless_pod.spec.cdi import resolve_devices

        resolve_devices(names, context.cdi_dirs)
