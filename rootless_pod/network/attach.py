"""Connect a container: its network namespace, the helper program outside it, and the way back.

``begin`` makes the namespace and starts the helper; the caller prepares the rest of the container meanwhile and
calls ``wait_ready``. ``detach`` undoes both and may run in another process, days later.
"""

from __future__ import annotations

import os

from rootless_pod import log
from rootless_pod.errors import HostUnready, ProgramFailed, RpodError, TimedOut, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.network.mode import parse_network
from rootless_pod.network.status import NetworkStatus
from rootless_pod.slirp.driver import Accident, HelperRequest, kill_helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.network.mode import NetworkMode, NetworkRequest
    from rootless_pod.slirp.driver import Helper, NetworkDriver


class _Places(Frozen):
    """Where one attachment keeps what it makes."""

    container_id: str
    run_dir: str
    netns_dir: str
    probes_dir: str


class Attachment:
    """A network being connected; made by ``begin``.

    ``keep_fd`` (-1 where there is none) is to be inherited by the process that lives as long as the container (the
    monitor): the helper ends when its last copy is closed. ``close`` drops ours.
    """

    def __init__(self, status: NetworkStatus) -> None:
        """Note what is known without a helper."""
        self.status = status
        self._driver: NetworkDriver | None = None
        self._helper: Helper | None = None
        self._helper_request: HelperRequest | None = None
        self._probes_dir: str | None = None
        self._had_accident = False
        self._exit_fd = -1
        self.keep_fd = -1

    @property
    def netns_path(self) -> str | None:
        """The namespace's file; None is the host's network, "" one that the runtime makes."""
        return self.status.netns_path

    @property
    def keep_fds(self) -> tuple[int, ...]:
        """What the process that lives as long as the container is to hold open."""
        return (self.keep_fd,) if self.keep_fd >= 0 else ()

    def launch(self, driver: NetworkDriver, request: HelperRequest, *, probes_dir: str | None = None) -> None:
        """Start the helper for ``request``; where ``probes_dir`` is given, another is chosen if it fails."""
        self._driver, self._helper_request, self._probes_dir = driver, request, probes_dir
        addresses = driver.addresses(request)
        if self.keep_fd < 0:
            # One pipe for every helper of this attachment: the monitor may have its end before a second choice.
            self._exit_fd, self.keep_fd = os.pipe2(os.O_CLOEXEC)
        self._helper = driver.start(request, self._exit_fd)
        self.status = self.status.replace(
            mode=driver.name,
            helper=driver.name,
            helper_pid=self._helper.pid,
            helper_started=self._helper.started,
            ip=addresses.ip,
            gateway=addresses.gateway,
            dns=addresses.dns,
            host_address=addresses.host,
            ports=request.publish,
            api_socket=driver.api_socket(request),
        )

    def wait_ready(self) -> NetworkStatus:
        """Return when the network and every published port work; after a failure all is undone.

        Where the choice was ours and the program fails that worked before (the host's network changed), the choice
        is made anew, once. After an accident the same program is started again, once.

        Raises:
            ProgramFailed: the helper ended; the message has its last lines.
            Conflict: a port was taken since ``begin``.
            TimedOut: the helper did not get ready; it was killed.
        """
        if self._helper is None or self._driver is None or self._helper_request is None:
            return self.status
        try:
            self._driver.wait_ready(self._helper_request, self._helper)
        except (ProgramFailed, TimedOut) as cause:
            if isinstance(cause, Accident) and not self._had_accident:
                self._had_accident = True
                return self._start_again(cause)
            probes_dir, self._probes_dir = self._probes_dir, None
            self._drop_helper()
            if probes_dir is None or not self._choose_anew(self._driver.name, self._helper_request, probes_dir, cause):
                self.abort()
                raise
            return self.wait_ready()
        except BaseException:
            self.abort()
            raise
        return self.status

    def _start_again(self, cause: Accident) -> NetworkStatus:
        log.debug(f"once more: {cause.message}")
        self._drop_helper()
        assert self._driver is not None
        assert self._helper_request is not None
        try:
            self.launch(self._driver, self._helper_request, probes_dir=self._probes_dir)
        except BaseException:
            self.abort()
            raise
        return self.wait_ready()

    def _choose_anew(self, failed: str, request: HelperRequest, probes_dir: str, cause: RpodError) -> bool:
        from rootless_pod.slirp.choose import choose_network, forget

        forget(probes_dir)
        try:
            choice = choose_network(probes_dir=probes_dir)
            if choice.driver is None or choice.driver.name == failed:
                return False
            choice.driver.check(request)
            log.debug(f"{cause.message}; now {choice.reason}")
            self.status = self.status.replace(reason=choice.reason)
            self.launch(choice.driver, request)
        except RpodError as second:
            log.debug(second.message)
            return False
        return True

    def _drop_helper(self) -> None:
        if self._helper is not None:
            self._helper.kill()
            self._helper.close()
            self._helper = None

    def close(self) -> None:
        """Close the descriptors of ours (the monitor has ``keep_fd``); idempotent."""
        if self._helper is not None:
            self._helper.close()
        for fd in (self._exit_fd, self.keep_fd):
            if fd >= 0:
                os.close(fd)
        self._exit_fd = self.keep_fd = -1

    def abort(self) -> None:
        """Undo everything; idempotent."""
        self._drop_helper()
        self.close()
        detach(self.status)


def begin(
    request: NetworkRequest,
    *,
    container_id: str,
    run_dir: str,
    netns_dir: str,
    probes_dir: str,
    join_netns: str | None = None,
) -> Attachment:
    """Make the namespace and start the helper; nothing is waited for.

    ``run_dir`` (the bundle) takes the helper's log and socket and must exist. ``join_netns`` is the namespace file of
    the other container for ``container:ID``; None there means that the other one uses the host's network.

    Raises:
        Usage, Refused, Conflict: the request can't be met; nothing was made.
        HostUnready: a program, /dev/net/tun or the kernel's namespaces are missing; nothing is left.
    """
    places = _Places(container_id=container_id, run_dir=run_dir, netns_dir=netns_dir, probes_dir=probes_dir)
    mode = parse_network(request.mode)
    if mode.kind in ("container", "ns"):
        return _join(mode, request, join_netns)
    if mode.kind == "host":
        return _host(request, "asked for")
    if mode.kind == "none":
        return _none(request)
    from rootless_pod.slirp.choose import choose_network, driver_named

    if mode.kind:
        return _connect(driver_named(mode.kind, probes_dir), mode, request, places, reason="asked for")
    choice = choose_network(probes_dir=probes_dir)
    if choice.driver is None:
        return _host_for_want_of_better(request, choice.reason, choice.refused, probes_dir)
    driver, reason = _able(choice.driver, choice.reason, _helper_request(mode, request, places))
    return _connect(driver, mode, request, places, reason=reason, probes_dir=probes_dir)


def _join(mode: NetworkMode, request: NetworkRequest, join_netns: str | None) -> Attachment:
    from rootless_pod.network.netns import check_netns

    wish = f"--network {request.mode}"
    _refuse_for(request, wish, "belongs to another owner", "publish the port on the container that owns the network")
    path = mode.target if mode.kind == "ns" else join_netns
    if path is not None:
        check_netns(path, wish)
    return Attachment(NetworkStatus(mode=mode.kind, reason=f"joined {mode.target}", netns_path=path))


def _refuse_for(request: NetworkRequest, wish: str, why: str, remedy: str) -> None:
    """Refuse published ports and fixed addresses where the network is not ours to set up."""
    if request.publish:
        raise Usage(f"-p {request.publish[0]} with {wish}: the network {why}", remedy=remedy)
    for option, value in (("--ip", request.ip), ("--ip6", request.ip6), ("--mac-address", request.mac_address)):
        if value:
            raise Usage(f"{option} {value} with {wish}: the network {why}", remedy=f"leave out {option}")


def _host(request: NetworkRequest, reason: str) -> Attachment:
    """Use the host's network. As with podman, published ports are dropped with a warning: every port is open."""
    if request.publish:
        log.warn(f"-p {request.publish[0]} is dropped: a container in the host's network has all its ports on the host")
    _refuse_for(request.replace(publish=()), "--network host", "is the host's", "leave it out")
    from rootless_pod.linux import link

    route = link.default_route()
    address = route.address if route and route.address else "127.0.0.1"
    gateway = route.gateway if route else None
    return Attachment(NetworkStatus(mode="host", reason=reason, ip=address, gateway=gateway, host_address=address))


def _host_for_want_of_better(
    request: NetworkRequest, reason: str, refused: tuple[tuple[str, str, str], ...], probes_dir: str
) -> Attachment:
    remedy = next((remedy for _name, _why, remedy in refused if remedy), "as root: apt install passt")
    if request.publish or request.ip or request.ip6 or request.mac_address:
        raise HostUnready(f"ports and addresses need a network of the container's own, but {reason}", remedy=remedy)
    log.notice_once(f"{probes_dir}/network.told", f"using the host's network: {reason}; {remedy}")
    return _host(request, reason)


def _none(request: NetworkRequest) -> Attachment:
    """Leave the namespace to the runtime, which brings its loopback up: nothing outside has to find it before."""
    _refuse_for(request, "--network none", "is only the loopback", "use --network pasta or slirp4netns")
    return Attachment(NetworkStatus(mode="none", reason="asked for", netns_path=""))


def _helper_request(mode: NetworkMode, request: NetworkRequest, places: _Places) -> HelperRequest:
    return HelperRequest(
        netns_path=f"{places.netns_dir}/{places.container_id}",
        run_dir=places.run_dir,
        options=mode.options,
        publish=request.publish,
        mac=request.mac_address,
        ip=request.ip,
        ip6=request.ip6,
    )


def _able(driver: NetworkDriver, reason: str, wanted: HelperRequest) -> tuple[NetworkDriver, str]:
    """Return the chosen driver, or another that can do this where it can't; the error is the first one's."""
    from rootless_pod.slirp.choose import drivers

    try:
        driver.check(wanted)
    except RpodError as first:
        for other in drivers(driver.probes_dir):
            if other.name == driver.name:
                continue
            try:
                other.check(wanted)
            except RpodError as second:
                log.debug(second.message)
                continue
            return other, f"{other.name} can do this and {driver.name} can't: {first.message}"
        raise
    return driver, reason


def _connect(
    driver: NetworkDriver,
    mode: NetworkMode,
    request: NetworkRequest,
    places: _Places,
    *,
    reason: str,
    probes_dir: str | None = None,
) -> Attachment:
    """Check everything that can be checked, then make the namespace and start the helper."""
    from rootless_pod.network.netns import make_netns

    wanted = _helper_request(mode, request, places)
    driver.check(wanted)
    if wanted.publish:
        from rootless_pod.network.ports import resolve_ports

        wanted = wanted.replace(publish=resolve_ports(wanted.publish))
    path = make_netns(places.netns_dir, places.container_id)
    mac = request.mac_address or None
    attachment = Attachment(NetworkStatus(mode=driver.name, reason=reason, netns_path=path, owned=True, mac=mac))
    try:
        attachment.launch(driver, wanted, probes_dir=probes_dir)
    except BaseException:
        attachment.abort()
        raise
    return attachment


def attach(
    request: NetworkRequest,
    *,
    container_id: str,
    run_dir: str,
    netns_dir: str,
    probes_dir: str,
    join_netns: str | None = None,
) -> tuple[NetworkStatus, Attachment]:
    """Connect and wait: ``begin`` and ``wait_ready`` in one. The caller closes the attachment."""
    attachment = begin(
        request,
        container_id=container_id,
        run_dir=run_dir,
        netns_dir=netns_dir,
        probes_dir=probes_dir,
        join_netns=join_netns,
    )
    return attachment.wait_ready(), attachment


def detach(status: NetworkStatus) -> None:
    """End the helper, take the namespace away; idempotent, waits for nothing.

    A namespace that was joined stays as it is. The namespace itself goes when the helper has died, some 20 ms later.
    """
    if status.helper_pid and status.addresses:
        from rootless_pod.network.forward import end

        end(status)
    elif status.helper_pid:
        kill_helper(status.helper_pid, status.helper_started)
    if status.owned and status.netns_path:
        from rootless_pod.network.netns import remove_netns

        remove_netns(status.netns_path)
    if status.api_socket:
        try:
            os.unlink(status.api_socket)
        except OSError:
            pass  # the bundle, and the socket with it, may be gone


def helper_alive(status: NetworkStatus) -> bool:
    """Tell whether the network still has its helper (True where it needs none)."""
    if status.helper_pid is None:
        return True
    from rootless_pod.linux import procfs

    return procfs.is_alive(status.helper_pid, status.helper_started)
