"""Named networks of a container: their names when it is created, and joining and leaving them later."""

from __future__ import annotations

from rootless_pod.container.cleanup import settle
from rootless_pod.container.lookup import read
from rootless_pod.container.record import record_of
from rootless_pod.errors import Conflict, Usage
from rootless_pod.network import named
from rootless_pod.network.mode import BRIDGE
from rootless_pod.network.resolv import resolv_text
from rootless_pod.network.status import NetworkStatus
from rootless_pod.state.containers import ContainerLock, write_state
from rootless_pod.state.events import emit
from rootless_pod.state.record import read_bytes, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.container.context import Context
    from rootless_pod.container.lookup import Container
    from rootless_pod.network.joins import NetworkJoin
    from rootless_pod.network.mode import NetworkRequest
    from rootless_pod.paths import Paths


def with_names(paths: Paths, request: NetworkRequest) -> NetworkRequest:
    """Return the request with each network under its own name.

    Raises:
        NotFound: there is no such network.
        Usage: a fixed address does not lie in it.
    """
    joins = {join.network: join for join, _network in named.resolve(paths, request.joins)}
    return request.replace(joins=tuple(joins.values()))


def connect(context: Context, container_id: str, join: NetworkJoin) -> None:
    """Have a container join one more network, at once where it runs and at every later start.

    Raises:
        NotFound: there is no such network.
        Conflict: it is on it already.
        Usage, HostUnready: as at a start.
    """
    paths = context.paths
    with ContainerLock(paths, container_id):
        container = settle(context, read(paths, container_id))
        config = container.config
        request = _bridged(container)
        ((join, network),) = named.resolve(paths, (join,))
        if any(one.network == network.name for one in request.joins):
            raise Conflict(
                f'container {config.id} is already connected to network "{network.name}": network is already connected',
                remedy=f"disconnect it first: rpod network disconnect {network.name} {config.name}",
            )
        changed = request.replace(joins=(*request.joins, join))
        if container.status.is_made:
            path = str(container.state["network"]["netns_path"])
            named.connect(paths, request, join, container_id=config.id, name=config.name, netns_path=path)
        _keep(context, container, changed)
        _tell(paths, config.id, "connect", network.name)


def disconnect(context: Context, container_id: str, network_name: str) -> None:
    """Take a container off a network.

    Raises:
        Conflict: it is not on it.
        Usage: it is on no named networks at all.
    """
    paths = context.paths
    with ContainerLock(paths, container_id):
        container = settle(context, read(paths, container_id))
        config = container.config
        request = _bridged(container)
        joins = tuple(one for one in request.joins if one.network != network_name)
        if len(joins) == len(request.joins):
            raise Conflict(
                f"container {config.name} is not connected to network {network_name}",
                remedy=f"see its networks: rpod inspect --format '{{{{.NetworkSettings.Networks}}}}' {config.name}",
            )
        if container.status.is_made:
            path = str(container.state["network"]["netns_path"])
            named.disconnect(paths, network_name, container_id=config.id, netns_path=path)
        _keep(context, container, request.replace(joins=joins))
        _tell(paths, config.id, "disconnect", network_name)


def can_reload(container: Container) -> bool:
    """Tell whether a container runs on named networks of its own."""
    return container.status.is_made and container.config.request.network.mode == BRIDGE


def reload(context: Context, container_id: str) -> None:
    """Bring up again whatever was killed of the networks a container is on.

    Raises:
        Conflict: it does not run.
        Usage: it is on no named networks.
        HostUnready, ProgramFailed: as at a start.
    """
    with ContainerLock(context.paths, container_id):
        container = settle(context, read(context.paths, container_id))
        request = _bridged(container)
        if not container.status.is_made:
            raise Conflict(
                f"cannot reload container network unless it is running or created: {container.config.name} is "
                f"{container.status.name}",
                remedy=f"start it: rpod start {container.config.name}",
            )
        named.reload(context.paths, request.joins)


def find_network(context: Context, text: str) -> str:
    """Return the name of a network by its name, id or the beginning of that.

    Raises:
        NotFound: there is none.
    """
    from rootless_pod.network.definitions import Networks

    return Networks(context.paths).find_name(text)


def _tell(paths: Paths, container_id: str, action: str, network: str) -> None:
    emit(paths, "network", action, id=container_id, attributes={"network": network})


def _bridged(container: Container) -> NetworkRequest:
    request = container.config.request.network
    if request.mode != BRIDGE or container.config.joined.get("network"):
        mode = str((container.state.get("network") or {}).get("mode", "")) or request.mode.partition(":")[0]
        shown = "" if container.config.joined.get("network") else mode
        raise Usage(
            f'"{shown}" is not supported: invalid network mode',
            remedy="only containers run with --network bridge or --network NAME can join and leave networks",
        )
    return request


def _keep(context: Context, container: Container, request: NetworkRequest) -> None:
    """Write the networks into the record, and into what a running container reads."""
    paths, config = context.paths, container.config
    config = config.replace(request=config.request.replace(network=request))
    write_record(f"{paths.container(config.id)}/container.json", record_of(config))
    if not container.status.is_made:
        return
    before = NetworkStatus.from_json(container.state["network"])
    after = named.refreshed(paths, before, config.id, request.joins)
    write_state(paths, config.id, {**container.state, "network": after.to_json()})
    bundle = paths.bundle(config.id)
    hostname = read_bytes(f"{bundle}/hostname").decode(errors="surrogateescape").strip()
    _change(f"{bundle}/hosts", lambda text: moved(text, before.addresses, after.addresses, (hostname, config.name)))
    _change(f"{bundle}/resolv.conf", lambda _text: resolv_text(request, after))


def moved(text: str, old: tuple[str, ...], new: tuple[str, ...], names: tuple[str, ...]) -> str:
    """Return a hosts file without the lines of addresses given up, and with those of new ones."""
    gone = set(old) - set(new)
    kept = [line for line in text.splitlines() if line.split("#")[0].split()[:1] not in [[one] for one in gone]]
    shown = " ".join(dict.fromkeys(name for name in names if name))
    added = [f"{address}\t{shown}" for address in new if address not in old]
    return "".join(f"{line}\n" for line in (*kept, *added))


def _change(path: str, change: Callable[[str], str]) -> None:
    """Rewrite a file in place: the container has mounted this very file. One that is not there is the image's own."""
    try:
        with open(path, "r+", encoding="utf-8", errors="surrogateescape") as file:
            text = change(file.read())
            file.seek(0)
            file.write(text)
            file.truncate()
    except FileNotFoundError:
        return
