"""pasta (passt): a tap device whose packets become the host's own sockets; it copies the host's addresses.

It writes its pid when all is set up; that file is one end of a pipe, so reading it waits for readiness. It ends when
the file of the namespace is removed. Source: pasta(1) of 2023-03 and later; option spelling: podman-run(1).
"""

from __future__ import annotations

import os

from rootless_pod.errors import ProgramFailed, Refused, Usage
from rootless_pod.linux import link
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

NAME = "pasta"
SINCE = {
    "--config-net": "2021_09",
    "--dns-forward": "2021_10",
    "--no-map-gw": "2021_08",
    "--ns-mac-addr": "2022_08",
    "--map-guest-addr": "2024_08",
}
DNS_FORWARD = "169.254.1.1"
GUEST_HOST_ADDRESS = "169.254.1.2"
# Distributions build pasta without a version, so an option of the first release after the change stands for it.
_SINCE_UDP_REWRITE = "--map-guest-addr"
_PID_FD, _EXIT_FD = 3, 4
# What rpod itself decides; a second value from the user would break readiness or the life cycle.
_RESERVED = (
    "-f",
    "--foreground",
    "-P",
    "--pid",
    "--netns",
    "--userns",
    "--netns-only",
    "--no-netns-quit",
    "-l",
    "--log-file",
)
# Options of pasta that take a value in the next word: what a user gives replaces our default for the same option.
_SYNONYMS = {
    "-m": "--mtu",
    "-t": "--tcp-ports",
    "-u": "--udp-ports",
    "-T": "--tcp-ns",
    "-U": "--udp-ns",
    "-a": "--address",
    "-g": "--gateway",
    "-i": "--interface",
    "-4": "--ipv4-only",
    "-6": "--ipv6-only",
}


def split_options(options: tuple[str, ...]) -> tuple[tuple[str, ...], frozenset[str], bool]:
    """Return the user's words for pasta, the long names of options among them, and whether ``--map-gw`` was asked.

    Raises:
        Usage: an option that rpod itself must set.
    """
    words: list[str] = []
    named: set[str] = set()
    map_gateway = False
    for word in options:
        if word == "--map-gw":  # podman's word for leaving out --no-map-gw; pasta has no such option
            map_gateway = True
            continue
        flag = word.partition("=")[0]
        if flag in _RESERVED:
            raise Usage(f"pasta option {word} can't be given: rpod sets it", remedy="leave it out of --network pasta:…")
        if flag.startswith("-"):
            named.add(_SYNONYMS.get(flag, flag))
        words.append(word)
    return tuple(words), frozenset(named), map_gateway


def port_spec(mapping: PortMapping) -> str:
    """Return one mapping in pasta's form ``[ADDRESS/]HOST:CONTAINER``."""
    address = f"{mapping.host_ip}/" if mapping.host_ip else ""
    return f"{address}{mapping.host_port}:{mapping.container_port}"


def argv(features: Features, request: HelperRequest) -> tuple[str, ...]:
    """Return the command line. Ports are explicit: pasta's own ``auto`` takes 30 ms to look for bound ones.

    Raises:
        Usage: an option that rpod itself must set.
        HostUnready: a needed option is missing in this version.
    """
    user_words, named, map_gateway = split_options(request.options)
    for flag in ("--config-net", "--netns"):
        features.require(flag, since=SINCE, wish="--network pasta")
    words = [features.path, "--config-net", "--foreground", "--pid", f"/proc/self/fd/{_PID_FD}", "--quiet"]
    if features.has("--stderr"):
        words.append("--stderr")
    if "--mtu" not in named:
        words += ["--mtu", str(MTU)]
    words += _port_words(request.publish, named)
    if not map_gateway and "--no-map-gw" not in named:
        words.append("--no-map-gw")
    if "--dns-forward" not in named and features.has("--dns-forward"):
        words += ["--dns-forward", DNS_FORWARD]
    if "--map-guest-addr" not in named and features.has("--map-guest-addr"):
        words += ["--map-guest-addr", GUEST_HOST_ADDRESS]
    if request.mac:
        features.require("--ns-mac-addr", since=SINCE, wish=f"--mac-address {request.mac}")
        words += ["--ns-mac-addr", request.mac]
    for address in (request.ip, request.ip6):
        if address:
            words += ["--address", address]
    return (*words, *user_words, "--netns", request.netns_path)


def _port_words(publish: tuple[PortMapping, ...], named: frozenset[str]) -> list[str]:
    words: list[str] = []
    for protocol, flag in (("tcp", "--tcp-ports"), ("udp", "--udp-ports")):
        specs = [port_spec(mapping) for mapping in publish if mapping.protocol == protocol]
        for spec in specs:
            words += [flag, spec]
        if not specs and flag not in named:
            words += [flag, "none"]
    for flag in ("--tcp-ns", "--udp-ns"):
        if flag not in named:
            words += [flag, "none"]
    return words


def _value_of(words: tuple[str, ...], *flags: str) -> str | None:
    """Return the first value that follows one of ``flags`` (as the next word or behind ``=``)."""
    for place, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in flags:
            if equals:
                return value
            return words[place + 1] if place + 1 < len(words) else None
    return None


def _kill_on_hangup(pipe_fd: int, pid: int) -> None:
    """Have the kernel kill ``pid`` when the other end of the pipe is closed. Source: fcntl(2), F_SETSIG and O_ASYNC.

    The owner is a process, not a number: one that gets the same pid later is safe.
    """
    import fcntl

    from rootless_pod.linux.signals import SIGKILL

    fcntl.fcntl(pipe_fd, fcntl.F_SETOWN, pid)
    fcntl.fcntl(pipe_fd, fcntl.F_SETSIG, SIGKILL)
    fcntl.fcntl(pipe_fd, fcntl.F_SETFL, fcntl.fcntl(pipe_fd, fcntl.F_GETFL) | os.O_ASYNC)


class Pasta(Program):
    """The driver."""

    name = NAME

    def check(self, request: HelperRequest) -> None:
        """Refuse what pasta can't do: SCTP ports, options that are ours."""
        argv(self.features(), request)
        for mapping in request.publish:
            if mapping.protocol not in ("tcp", "udp"):
                raise Usage(f"-p {mapping}: pasta forwards tcp and udp only")
            if mapping.protocol == "udp" and mapping.host_port != mapping.container_port:
                self._check_udp_translation(mapping)

    def _check_udp_translation(self, mapping: PortMapping) -> None:
        """Refuse two different udp ports before the rewrite of 2024: the datagrams are lost (tried with 2023-03)."""
        features = self.features()
        if not features.has(_SINCE_UDP_REWRITE):
            port = mapping.container_port
            raise Refused(
                f"-p {mapping}: this pasta ({features.path}) loses udp datagrams between different port numbers",
                remedy=f"publish the same number with -p {port}:{port}/udp, use --network slirp4netns,"
                f" or install passt {SINCE[_SINCE_UDP_REWRITE]} or later",
            )

    def addresses(self, request: HelperRequest) -> Addresses:
        """Return the host's own address and gateway, which pasta copies, unless options say otherwise."""
        words, _named, map_gateway = split_options(request.options)
        host = link.default_route()
        features = self.features()
        ip = request.ip or _value_of(words, "-a", "--address") or (host.address if host else None)
        gateway = _value_of(words, "-g", "--gateway") or (host.gateway if host else None)
        forward = _value_of(words, "--dns-forward") or (DNS_FORWARD if features.has("--dns-forward") else None)
        reach = _value_of(words, "--map-guest-addr") or (
            GUEST_HOST_ADDRESS if features.has("--map-guest-addr") else None
        )
        return Addresses(
            ip=ip.partition("/")[0] if ip else None,
            gateway=gateway,
            dns=forward,
            host=reach or (gateway if map_gateway else None),
        )

    def api_socket(self, request: HelperRequest) -> str | None:  # noqa: ARG002 - the protocol's signature
        """Return None: pasta takes its ports when it starts."""
        return None

    def start(self, request: HelperRequest, exit_fd: int) -> Helper:
        """Start it in the foreground of a session of its own.

        pasta has no option for ``exit_fd``, so the kernel is told: it signals pasta when the pipe's other end is
        closed, for as long as the descriptor pasta inherits stays open.
        """
        words = argv(self.features(), request)
        helper = launch(words, request.run_dir, ready_as=_PID_FD, fds={_EXIT_FD: exit_fd})
        _kill_on_hangup(exit_fd, helper.pid)
        return helper

    def wait_ready(self, request: HelperRequest, helper: Helper) -> None:  # noqa: ARG002 - the protocol's signature
        """Wait for the pid in the pipe: the interface and all ports work by then.

        Raises:
            ProgramFailed: pasta ended first; the message has its words.
        """
        said = await_line(helper).strip()
        if said.isdigit() and int(said) == helper.pid:
            return
        if not said.isdigit():
            raise failure(helper)
        helper.kill()
        raise ProgramFailed(f"pasta runs as process {int(said)}, not as {helper.pid}", remedy="run: rpod doctor")
