"""Connect a container with named networks, while it starts or while it runs, and take it off them again.

The steps of a start: leases are written, bridges and cables made, the program that leads out and the one that forwards
ports are started; ``wait_ready`` waits for those two. A lease says that a container is on a network: whoever finds
none left ends what is shared.
"""

from __future__ import annotations

import os

from rootless_pod.network import bridges, ipam, shared
from rootless_pod.network.attach import Attachment
from rootless_pod.network.definitions import Networks
from rootless_pod.network.mode import BRIDGE
from rootless_pod.network.netns import make_netns, remove_netns
from rootless_pod.network.status import NetworkStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless_pod.network.definition import Network
    from rootless_pod.network.joins import NetworkJoin
    from rootless_pod.network.mode import NetworkRequest
    from rootless_pod.paths import Paths
    from rootless_pod.slirp.driver import Helper, PortMapping

SEARCH_DOMAIN = "dns.podman"
"""Below which the names of containers lie. Source: podman-network(1)."""


class NamedAttachment(Attachment):
    """A container being connected with named networks; made by ``begin``."""

    def __init__(self, paths: Paths, status: NetworkStatus, container_id: str) -> None:
        """Note what is known before anything is made."""
        super().__init__(status)
        self._paths = paths
        self._container_id = container_id
        self._alive_fd = -1
        self._way_out: shared.WayOut | None = None
        self._served: tuple[Network, ...] = ()
        self._resolver_fd = -1
        self._ports: Helper | None = None

    @property
    def keep_fds(self) -> tuple[int, ...]:
        """What the monitor is to hold: the forwarder ends with the first, the way out with the last of the second."""
        return tuple(fd for fd in (self.keep_fd, self._alive_fd) if fd >= 0)

    def join(self, request: NetworkRequest, joined: list[tuple[NetworkJoin, Network]], name: str) -> None:
        """Write the leases, make the bridges and cables, have the way out started."""
        paths = self._paths
        with shared.lock(paths):
            ipam.drop_strangers(paths)
            ipam.drop(paths, self._container_id)  # of a start that was killed
            cables = _take(paths, request, joined, container_id=self._container_id, name=name)
            fresh = shared.make(paths)
            self._alive_fd = shared.hold_alive(paths)
            if any(not network.internal for _join, network in joined):
                self._way_out = shared.WayOut(paths)
                self._way_out.start(fresh=fresh)
            active = bridges.active_networks(paths, *(network for _join, network in joined))
            bridges.connect(shared.netns_path(paths), self.status.netns_path or "", cables, active)
        self._served = tuple(network for _join, network in joined if network.dns_enabled and network.subnets)
        if self._served:
            from rootless_pod.network.resolver_start import start_ahead

            self._resolver_fd = start_ahead(paths, shared.netns_path(paths))
        self.status = _with_addresses(paths, self.status, cables)

    def forward(self, bundle: str, publish: tuple[PortMapping, ...]) -> None:
        """Start the process that forwards ports."""
        from rootless_pod.network import forward

        self._exit_fd, self.keep_fd = os.pipe2(os.O_CLOEXEC)
        self._ports = forward.start(self._paths, bundle, self._container_id, publish, self._exit_fd)
        self.status = self.status.replace(
            helper=forward.NAME, helper_pid=self._ports.pid, helper_started=self._ports.started, ports=publish
        )

    def wait_ready(self) -> NetworkStatus:
        """Return when there is a way out and every port is listened on; after a failure all is undone."""
        try:
            if self._way_out is not None:
                self._way_out.wait_ready()
            ahead, self._resolver_fd = self._resolver_fd, -1
            have_names(self._paths, self._served, ahead=ahead)
            if self._ports is not None:
                from rootless_pod.network import forward

                forward.wait_ready(self._ports)
        except BaseException:
            self.abort()
            raise
        return self.status

    def close(self) -> None:
        """Close the descriptors of ours; idempotent."""
        if self._way_out is not None:
            self._way_out.close()
        if self._ports is not None:
            self._ports.close()
        for fd in (self._alive_fd, self._resolver_fd):
            if fd >= 0:
                os.close(fd)
        self._alive_fd = self._resolver_fd = -1
        super().close()

    def abort(self) -> None:
        """Undo everything; idempotent."""
        if self._ports is not None:
            self._ports.kill()
        self.close()
        if self.status.netns_path:
            remove_netns(self.status.netns_path)
        leave(self._paths, self._container_id)


def begin(paths: Paths, request: NetworkRequest, *, container_id: str, name: str, run_dir: str) -> NamedAttachment:
    """Connect a container with the networks of ``request.joins``; what takes time is waited for by ``wait_ready``.

    Raises:
        NotFound: a network is not there.
        Usage, Conflict: an address or a port can't be had.
        HostUnready: the kernel lacks something, or no program leads out. Nothing is left then.
    """
    joined = resolve(paths, request.joins)
    publish = request.publish
    if publish:
        from rootless_pod.network import forward
        from rootless_pod.network.ports import resolve_ports

        forward.check(publish)
        publish = resolve_ports(publish)
    path = make_netns(paths.netns, container_id)
    status = NetworkStatus(mode=BRIDGE, reason="asked for", netns_path=path, owned=True)
    attachment = NamedAttachment(paths, status, container_id)
    try:
        attachment.join(request, joined, name)
        if publish:
            attachment.forward(run_dir, publish)
    except BaseException:
        attachment.abort()
        raise
    return attachment


def resolve(paths: Paths, joins: tuple[NetworkJoin, ...]) -> list[tuple[NetworkJoin, Network]]:
    """Return each join with its network, under that one's own name.

    Raises:
        NotFound: there is no such network.
        Usage: a fixed address does not lie in it.
    """
    definitions = Networks(paths)
    found = []
    for join in joins:
        network = definitions.find(join.network)
        ipam.check_fixed(network, join)
        found.append((join.replace(network=network.name), network))
    return found


def leave(paths: Paths, container_id: str) -> None:
    """Give back all that a container has of named networks; end what is shared after the last. Idempotent.

    What belongs to containers that are gone is given back too.
    """
    if not os.path.isdir(shared.place(paths)):
        return
    with shared.lock(paths):
        ipam.drop(paths, container_id)
        ipam.drop_strangers(paths)
        shared.end_if_unused(paths)


def connect(
    paths: Paths, request: NetworkRequest, join: NetworkJoin, *, container_id: str, name: str, netns_path: str
) -> None:
    """Connect a running container with one more network.

    Raises:
        NotFound, Usage, Conflict, HostUnready: as ``begin``; the container is as it was.
    """
    joined = resolve(paths, (join,))
    way_out = shared.WayOut(paths)
    alive_fd = -1
    try:
        with shared.lock(paths):
            ((_join, network),) = joined
            _unplug(paths, network.name, container_id, netns_path)  # what a killed connect left
            taken = {lease.interface for lease in ipam.leases_of(paths, container_id).values()}
            cables = _take(paths, request, joined, container_id=container_id, name=name, taken=taken)
            try:
                fresh = shared.make(paths)
                alive_fd = shared.hold_alive(paths)
                if not network.internal:
                    way_out.start(fresh=fresh)
                active = bridges.active_networks(paths, network)
                bridges.connect(shared.netns_path(paths), netns_path, cables, active)
            except BaseException:
                ipam.drop(paths, container_id, network.name)
                raise
        if not network.internal:
            way_out.wait_ready()
        have_names(paths, (network,))
    finally:
        way_out.close()
        if alive_fd >= 0:
            os.close(alive_fd)


def reload(paths: Paths, joins: tuple[NetworkJoin, ...]) -> None:
    """Make what is missing for those on these networks: bridges, rules, the way out, the answers to names.

    Raises:
        HostUnready, ProgramFailed: something can't be had.
    """
    networks = tuple(network for _join, network in resolve(paths, joins))
    way_out = shared.WayOut(paths)
    alive_fd = -1
    try:
        with shared.lock(paths):
            fresh = shared.make(paths)
            alive_fd = shared.hold_alive(paths)
            leads_out = any(not network.internal for network in networks)
            if leads_out:
                way_out.start(fresh=fresh)
            bridges.renew(shared.netns_path(paths), bridges.active_networks(paths, *networks))
        if leads_out:
            way_out.wait_ready()
        have_names(paths, networks)
    finally:
        way_out.close()
        if alive_fd >= 0:
            os.close(alive_fd)


def have_names(paths: Paths, networks: tuple[Network, ...], *, ahead: int = -1) -> None:
    """Have the names of containers answered on those of ``networks`` that have names; ``ahead``: of ``start_ahead``.

    Raises:
        HostUnready, ProgramFailed: the process that does it can't be had.
    """
    for network in networks:
        if network.dns_enabled and network.subnets:
            from rootless_pod.network.resolver_start import ensure_resolver

            server = str(shared.helper_of(paths).get("dns") or "")
            upstream = (server,) if server else ()
            place = shared.netns_path(paths)
            ensure_resolver(paths, network.name, netns_path=place, upstream=upstream, ahead=ahead)
            ahead = -1


def disconnect(paths: Paths, network: str, *, container_id: str, netns_path: str) -> None:
    """Take a running container off a network; not being on it is fine."""
    with shared.lock(paths):
        _unplug(paths, network, container_id, netns_path)


def _unplug(paths: Paths, network: str, container_id: str, netns_path: str) -> None:
    lease = ipam.lease_of(paths, network, container_id)
    if lease is None:
        return
    others = ipam.leases_of(paths, container_id)
    others.pop(network)
    left = tuple(
        bridges.Cable(network=one, lease=others[one.name])
        for one in bridges.active_networks(paths)
        if one.name in others
    )
    bridges.disconnect(netns_path, lease.interface, left)
    ipam.drop(paths, container_id, network)


def rename(paths: Paths, container_id: str, old: str, new: str) -> None:
    """Have a container found by its new name."""
    if os.path.isdir(shared.place(paths)):
        with shared.lock(paths):
            ipam.rename(paths, container_id, old, new)


def refreshed(paths: Paths, status: NetworkStatus, container_id: str, joins: tuple[NetworkJoin, ...]) -> NetworkStatus:
    """Return the status of a running container after its networks have changed."""
    leases = ipam.leases_of(paths, container_id)
    joined = resolve(paths, tuple(join for join in joins if join.network in leases))
    cables = tuple(bridges.Cable(network=network, lease=leases[network.name]) for _join, network in joined)
    return _with_addresses(paths, status, cables)


def run_inside(paths: Paths, work: Callable[[], int]) -> int:
    """Make the shared namespace with its way out if need be, and return what ``work`` does in a child inside it.

    The namespace stays until then, and goes afterwards if no container is on a named network.
    """
    users = shared.in_use_lock(paths)
    users.acquire()
    way_out = shared.WayOut(paths)
    alive_fd = -1
    try:
        with shared.lock(paths):
            fresh = shared.make(paths)
            alive_fd = shared.hold_alive(paths)
            way_out.start(fresh=fresh)
        way_out.wait_ready()
        fd = os.open(shared.netns_path(paths), os.O_RDONLY | os.O_CLOEXEC)
        return _in_child(fd, work)
    finally:
        way_out.close()
        if alive_fd >= 0:
            os.close(alive_fd)
        users.release()
        with shared.lock(paths):
            shared.end_if_unused(paths)


def _in_child(netns_fd: int, work: Callable[[], int]) -> int:
    from rootless_pod.linux import netns, signals
    from rootless_pod.programs.run import wait

    child = os.fork()
    if child == 0:
        code = 125
        try:
            netns.enter(netns_fd)
            code = work()
        finally:
            os._exit(code)
    os.close(netns_fd)
    # The terminal's signals reach the command too; what it makes of them is what we end with.
    kept = [(number, signals.handle(number, signals.SIG_IGN)) for number in (signals.SIGINT, signals.SIGQUIT)]
    code = wait(child)
    for number, handler in kept:
        signals.handle(number, handler)
    return 128 - code if code < 0 else code


def _take(
    paths: Paths,
    request: NetworkRequest,
    joined: list[tuple[NetworkJoin, Network]],
    *,
    container_id: str,
    name: str,
    taken: set[str] | frozenset[str] = frozenset(),
) -> tuple[bridges.Cable, ...]:
    """Write a lease for each network; each gets the interface it asks for or the next free ``ethN``."""
    named = {*taken, *(join.interface for join, _network in joined if join.interface)}
    cables = []
    for join, network in joined:
        interface = join.interface
        number = 0
        while not interface:
            if f"eth{number}" not in named:
                interface = f"eth{number}"
                named.add(interface)
            number += 1
        lease = ipam.take(
            paths,
            network,
            join,
            container_id=container_id,
            name=name,
            interface=interface,
            dns=tuple(server for server in request.dns if server != "none"),
        )
        cables.append(bridges.Cable(network=network, lease=lease))
    return tuple(cables)


def _with_addresses(paths: Paths, status: NetworkStatus, cables: tuple[bridges.Cable, ...]) -> NetworkStatus:
    """Return the status with what the first network gives, and where the container reaches the host."""
    from rootless_pod.linux import link

    route = link.default_route()
    reached = shared.helper_of(paths).get("host", route.address if route else "")
    addresses = tuple(address.partition("/")[0] for cable in cables for address in cable.lease.addresses)
    subnets = [(cable.network, subnet) for cable in cables for subnet in cable.network.subnets if subnet.gateway]
    servers = tuple(subnet.gateway for network, subnet in subnets if network.dns_enabled)
    return status.replace(
        ip=addresses[0] if addresses else None,
        gateway=subnets[0][1].gateway if subnets else None,
        mac=cables[0].lease.mac if cables else None,
        host_address=str(reached) if reached else None,
        addresses=addresses,
        nameservers=servers,
        search=(SEARCH_DOMAIN,) if servers else (),
    )
