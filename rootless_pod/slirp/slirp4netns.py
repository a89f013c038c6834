"""slirp4netns: user-mode TCP/IP through a tap device in the container's network namespace.

It is started outside the namespace, told when to begin by a path, says when it is ready on one descriptor and ends
when the other end of another is closed. Source: slirp4netns(1), version 1.2.0; option spelling: podman-run(1).
"""

from __future__ import annotations

import os

from rootless_pod import log
from rootless_pod.errors import Conflict, ProgramFailed, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.linux import link
from rootless_pod.slirp import slirp4netns_api as api
from rootless_pod.slirp.driver import (
    MTU,
    Addresses,
    Features,
    Helper,
    HelperRequest,
    PortMapping,
    await_line,
    failure,
)
from rootless_pod.slirp.features import Program
from rootless_pod.slirp.launch import launch

NAME = "slirp4netns"
SINCE = {
    "--netns-type": "0.4.0",
    "--api-socket": "0.3.0",
    "--cidr": "0.3.0",
    "--disable-host-loopback": "0.3.0",
    "--enable-ipv6": "0.2.0",
    "--enable-sandbox": "0.4.0",
    "--enable-seccomp": "0.4.0",
    "--outbound-addr": "1.1.0",
    "--outbound-addr6": "1.1.0",
    "--macaddress": "1.1.9",
}
_OPTIONS = (
    "allow_host_loopback=true|false, mtu=N, cidr=A.B.C.D/N, enable_ipv6=true|false, port_handler=slirp4netns,"
    " outbound_addr=ADDRESS|INTERFACE, outbound_addr6=ADDRESS|INTERFACE"
)
# Descriptor numbers in the child.
_EXIT_FD, _READY_FD, _DIRECTORY_FD = 3, 4, 5
_SMALLEST_MTU, _LARGEST_MTU = 68, 65521


class SlirpOptions(Frozen):
    """The options after ``slirp4netns:``."""

    mtu: int = MTU
    cidr: str = "10.0.2.0/24"
    enable_ipv6: bool | None = None
    allow_host_loopback: bool = False
    outbound_addr: str = ""
    outbound_addr6: str = ""


def parse_options(options: tuple[str, ...]) -> SlirpOptions:
    """Parse podman's ``key=value`` options.

    Raises:
        Usage: an unknown key or a value out of its range.
    """
    values: dict[str, object] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise Usage(f"slirp4netns option {option!r} has no value", remedy=f"known: {_OPTIONS}")
        if key in ("allow_host_loopback", "enable_ipv6"):
            values[key] = _boolean(key, value)
        elif key == "mtu":
            if not value.isdigit() or not _SMALLEST_MTU <= int(value) <= _LARGEST_MTU:
                raise Usage(f"slirp4netns option mtu={value}: not between {_SMALLEST_MTU} and {_LARGEST_MTU}")
            values[key] = int(value)
        elif key == "cidr":
            network_of(value)
            values[key] = value
        elif key in ("outbound_addr", "outbound_addr6"):
            values[key] = value
        elif key == "port_handler":
            if value != NAME:
                raise Usage(
                    f"slirp4netns option port_handler={value}: only slirp4netns itself forwards ports here",
                    remedy="write port_handler=slirp4netns, or use --network pasta, which keeps the client's address",
                )
        else:
            raise Usage(f"unknown slirp4netns option {key!r}", remedy=f"known: {_OPTIONS}")
    return SlirpOptions(**values)  # type: ignore[arg-type]


def _boolean(key: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise Usage(f"slirp4netns option {key}={value}: neither true nor false")
    return value == "true"


def network_of(cidr: str) -> int:
    """Return the network's address as a number; slirp4netns takes /1 to /25 (it hands out .2, .3 and .100).

    Raises:
        Usage: not an IPv4 network of that size, or host bits are set.
    """
    address, slash, bits = cidr.partition("/")
    parts = address.split(".")
    if (
        not slash
        or not bits.isdigit()
        or not 1 <= int(bits) <= 25
        or len(parts) != 4
        or not all(part.isdigit() and int(part) <= 255 for part in parts)
    ):
        raise Usage(
            f"slirp4netns option cidr={cidr}: not an IPv4 network from /1 to /25", remedy="write cidr=10.0.2.0/24"
        )
    number = int.from_bytes(bytes(int(part) for part in parts), "big")
    if number & ((1 << (32 - int(bits))) - 1):
        raise Usage(f"slirp4netns option cidr={cidr}: bits are set behind the /{bits}")
    return number


def _dotted(number: int) -> str:
    return ".".join(str(byte) for byte in number.to_bytes(4, "big"))


def argv(
    features: Features, options: SlirpOptions, *, netns_path: str, mac: str = "", api_socket: bool = False
) -> tuple[str, ...]:
    """Return the command line; what the user did not ask for is only used where the version has it.

    Raises:
        HostUnready: the user asked for something this version can't do.
    """
    features.require("--netns-type", since=SINCE, wish="a network namespace by path")
    words = [features.path, "--configure", f"--exit-fd={_EXIT_FD}", f"--ready-fd={_READY_FD}", f"--mtu={options.mtu}"]
    if not options.allow_host_loopback:
        features.require("--disable-host-loopback", since=SINCE, wish="keeping the host's loopback out of reach")
        words.append("--disable-host-loopback")
    words += [flag for flag in ("--enable-sandbox", "--enable-seccomp") if features.has(flag)]
    if options.enable_ipv6 or (options.enable_ipv6 is None and features.has("--enable-ipv6")):
        features.require("--enable-ipv6", since=SINCE, wish="enable_ipv6=true")
        words.append("--enable-ipv6")
    wishes = (
        ("--cidr", options.cidr if options.cidr != "10.0.2.0/24" else ""),
        ("--outbound-addr", options.outbound_addr),
        ("--outbound-addr6", options.outbound_addr6),
        ("--macaddress", mac),
        ("--api-socket", f"/proc/self/fd/{_DIRECTORY_FD}/{api.SOCKET_NAME}" if api_socket else ""),
    )
    for flag, value in wishes:
        if value:
            features.require(flag, since=SINCE, wish=f"{flag[2:]} {value}")
            words.append(f"{flag}={value}")
    return (*words, "--netns-type=path", netns_path, "tap0")


def _check_udp(mapping: PortMapping) -> None:
    """Say that 127.0.0.1 can't be answered: to the container such a client is the gateway, which leads nowhere here.

    Source: tried with slirp4netns 1.2.0 and libslirp 4.7.0; clients with another address are answered.
    """
    remedy = "use --network pasta, or --network slirp4netns:allow_host_loopback=true"
    if mapping.host_ip.startswith("127."):
        raise Usage(f"-p {mapping}: slirp4netns drops udp answers to the host's loopback", remedy=remedy)
    if mapping.host_ip in ("", "0.0.0.0"):  # noqa: S104 - compared, not bound
        log.warn(f"-p {mapping}: slirp4netns answers udp clients on other machines, not at 127.0.0.1; {remedy}")


class Slirp4netns(Program):
    """The driver."""

    name = NAME

    def check(self, request: HelperRequest) -> None:
        """Refuse what slirp4netns can't do: a fixed address, IPv6 or SCTP ports, unknown options."""
        self._argv(request)
        if request.ip:
            raise Usage(
                f"--ip {request.ip}: slirp4netns gives the container address 100 of its network",
                remedy="choose the network with --network slirp4netns:cidr=A.B.C.0/24, or use --network pasta",
            )
        if request.ip6:
            raise Usage(
                f"--ip6 {request.ip6}: slirp4netns gives the container an address of fd00::/64",
                remedy="use --network pasta, or --network slirp4netns:enable_ipv6=true for that address",
            )
        for mapping in request.publish:
            if mapping.protocol not in ("tcp", "udp"):
                raise Usage(f"-p {mapping}: slirp4netns forwards tcp and udp only")
            if ":" in mapping.host_ip:
                raise Usage(f"-p {mapping}: slirp4netns publishes on IPv4 addresses only", remedy="use --network pasta")
            if mapping.protocol == "udp" and not parse_options(request.options).allow_host_loopback:
                _check_udp(mapping)

    def _argv(self, request: HelperRequest) -> tuple[str, ...]:
        return argv(
            self.features(),
            parse_options(request.options),
            netns_path=request.netns_path,
            mac=request.mac,
            api_socket=bool(request.publish),
        )

    def addresses(self, request: HelperRequest) -> Addresses:
        """Return the fixed plan of slirp4netns: .2 gateway, .3 DNS, .100 the container."""
        options = parse_options(request.options)
        base = network_of(options.cidr)
        gateway = _dotted(base + 2)
        if options.allow_host_loopback:
            host: str | None = gateway
        else:
            route = link.default_route()
            host = route.address if route else None
        return Addresses(ip=_dotted(base + 100), gateway=gateway, dns=_dotted(base + 3), host=host)

    def api_socket(self, request: HelperRequest) -> str | None:
        """Return where its API listens; only containers with published ports have one."""
        return f"{request.run_dir}/{api.SOCKET_NAME}" if request.publish else None

    def start(self, request: HelperRequest, exit_fd: int) -> Helper:
        """Start it in a session of its own, so that Ctrl-C at the terminal does not cut the network."""
        words = self._argv(request)
        if not request.publish:
            return launch(words, request.run_dir, ready_as=_READY_FD, fds={_EXIT_FD: exit_fd})
        directory = os.open(request.run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fds = {_EXIT_FD: exit_fd, _DIRECTORY_FD: directory}
            return launch(words, request.run_dir, ready_as=_READY_FD, fds=fds)
        finally:
            os.close(directory)

    def wait_ready(self, request: HelperRequest, helper: Helper) -> None:
        """Wait for the "1" and publish the ports.

        Raises:
            ProgramFailed: it ended first.
            Conflict: a port was taken between our check and now.
        """
        said = await_line(helper)
        if not said.startswith(b"1"):
            raise failure(helper)
        ip = self.addresses(request).ip or ""
        socket_path = self.api_socket(request) or ""
        for mapping in request.publish:
            self._publish(helper, socket_path, ip, mapping)

    def _publish(self, helper: Helper, socket_path: str, ip: str, mapping: PortMapping) -> None:
        try:
            api.add_hostfwd(
                socket_path,
                protocol=mapping.protocol,
                host_ip=mapping.host_ip,
                host_port=mapping.host_port,
                guest_ip=ip,
                guest_port=mapping.container_port,
            )
        except api.ApiRefused as cause:
            raise Conflict(
                f"host port {mapping.host_port}/{mapping.protocol} was taken just now: {cause.message}",
                remedy="publish another host port with -p HOSTPORT:CONTAINERPORT",
            ) from cause
        except OSError as cause:
            raise ProgramFailed(
                f"slirp4netns is gone while port {mapping} was published: {cause.strerror}"
            ) from failure(helper)
