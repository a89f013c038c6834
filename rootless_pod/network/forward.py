"""The process that forwards the published ports of a container on named networks; one a container.

It listens on the host's side, goes into the container's network namespace for good, and connects there to the
container's own address. It ends when the other end of a pipe is closed, which the container's monitor holds, or when
it is told to; what the container has sent by then its clients still get. What it needs stands in a file of the bundle.
"""

from __future__ import annotations

import errno
import os
import sys
import time

from rootless_pod.errors import Conflict, ProgramFailed, Usage
from rootless_pod.linux.signals import SIG_IGN, SIGTERM, handle
from rootless_pod.slirp.driver import Helper, PortMapping, await_line, kill_helper, log_tail
from rootless_pod.slirp.launch import launch
from rootless_pod.state.record import read_record, write_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.network.status import NetworkStatus
    from rootless_pod.paths import Paths

NAME = "rpod-ports"
_RECORD = "ports.json"
_EXIT_FD, _READY_FD = 3, 4
_END_SECONDS = 1.0
_START = "import sys; sys.path.insert(0, sys.argv[1]); from rootless_pod.network.forward import main; main()"


def check(publish: tuple[PortMapping, ...]) -> None:
    """Refuse what can't be forwarded.

    Raises:
        Usage: another protocol than tcp or udp.
    """
    for mapping in publish:
        if mapping.protocol not in ("tcp", "udp"):
            raise Usage(f"-p {mapping}: ports of named networks are forwarded for tcp and udp only")


def start(paths: Paths, bundle: str, container_id: str, publish: tuple[PortMapping, ...], exit_fd: int) -> Helper:
    """Start the process; it is not ready yet. It ends when the last copy of ``exit_fd``'s other end is closed."""
    write_record(
        f"{bundle}/{_RECORD}",
        {
            "netns": f"{paths.netns}/{container_id}",
            "leases": paths.leases,
            "container": container_id,
            "ports": [mapping.as_dict() for mapping in publish],
        },
    )
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    argv = (sys.executable, "-I", "-S", "-X", "utf8", "-c", _START, top, bundle)
    return launch(argv, bundle, ready_as=_READY_FD, fds={_EXIT_FD: exit_fd})


def wait_ready(helper: Helper) -> None:
    """Return when every port is listened on.

    Raises:
        Conflict: a port was taken since it was tried.
        ProgramFailed: the process ended.
    """
    try:
        await_line(helper)
    except ProgramFailed as cause:
        said = log_tail(helper.log_path)
        if said.startswith("host port"):
            remedy = "publish another host port with -p HOSTPORT:CONTAINERPORT"
            raise Conflict(f"{said}, since a moment ago", remedy=remedy) from cause
        raise


def end(status: NetworkStatus) -> None:
    """Tell the process to end, and return when its ports are free. What is on its way it still delivers."""
    from rootless_pod.network.ports import bind_trouble

    if not kill_helper(status.helper_pid or 0, status.helper_started, SIGTERM):
        return
    first = status.ports[0]
    deadline = time.monotonic() + _END_SECONDS
    while time.monotonic() < deadline:
        trouble = bind_trouble(first.host_ip, first.host_port, first.protocol)
        if trouble is None or trouble.errno != errno.EADDRINUSE:
            return
        time.sleep(0.002)  # nothing tells when a port is free


def main() -> None:
    """Forward until the pipe is closed; the whole life of the process."""
    from rootless_pod.linux import netns
    from rootless_pod.network.relay import Relay, own_address

    record = read_record(f"{sys.argv[2]}/{_RECORD}")
    _allow_many_descriptors()
    relay = Relay(lambda: own_address(record["leases"], record["container"]))
    for one in record["ports"]:
        mapping = PortMapping(**one)
        try:
            relay.listen(mapping)
        except OSError as cause:
            sys.exit(f"host port {mapping.host_port}/{mapping.protocol}: {cause.strerror}")
    fd = os.open(record["netns"], os.O_RDONLY | os.O_CLOEXEC)
    netns.enter(fd)
    os.close(fd)
    os.write(_READY_FD, b"1")
    os.close(_READY_FD)
    told, telling = os.pipe2(os.O_CLOEXEC)

    def tell(_number: int, _frame: object) -> None:
        handle(SIGTERM, SIG_IGN)
        os.close(telling)

    handle(SIGTERM, tell)
    relay.run(_EXIT_FD, told)
    _unplug()
    relay.finish()


def _unplug() -> None:
    """Take the cables out of the container, whose addresses others get while we still hold its namespace."""
    from rootless_pod.linux.rtnetlink import Routing

    try:
        with Routing() as routing:
            for one in routing.links().values():
                if one.kind == "veth":
                    routing.remove(one.index)
    except OSError:
        return  # they go with the namespace


def _allow_many_descriptors() -> None:
    import resource

    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
