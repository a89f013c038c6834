"""Options of ``run`` and ``create`` about the network, mounts and devices. HOT."""

from __future__ import annotations

from rootless_pod.commands.declare import Option, flag, text, texts


def _refused(name: str, reason: str) -> Option:
    return Option(name=name, hidden=True, refuse=reason)


_G = "Network"
NETWORK: tuple[Option, ...] = (
    texts(
        "--network",
        "pasta, slirp4netns, host, none, private, container:NAME, ns:PATH (default: what works best here),"
        " or networks: NAME[,NAME...], NAME:ip=IP,ip6=IP,mac=MAC,alias=NAME,interface_name=NAME",
        aliases=("--net",),
        metavar="MODE|NETWORK",
        group=_G,
    ),
    texts(
        "--publish",
        "Publish a port or a range: [[IP:][HOSTPORT]:]PORT[/udp]",
        "-p",
        split=True,
        metavar="PORTS",
        group=_G,
    ),
    flag("--publish-all", "Publish all exposed ports on free host ports", "-P", group=_G),
    texts("--expose", "Note that the container listens on a port", split=True, metavar="PORT", group=_G),
    text("--hostname", "Host name in the container", "-h", metavar="NAME", group=_G),
    texts("--add-host", "Add a line to /etc/hosts", dest="add_hosts", split=True, metavar="HOST:IP", group=_G),
    texts("--dns", "Name server, or none", split=True, metavar="IP", group=_G),
    texts("--dns-option", "Option of resolv.conf", dest="dns_options", aliases=("--dns-opt",), split=True, group=_G),
    texts("--dns-search", "Search domain", split=True, metavar="DOMAIN", group=_G),
    flag("--no-hosts", "Leave /etc/hosts as the image has it", group=_G),
    flag("--no-hostname", "Leave /etc/hostname as the image has it", group=_G),
    text("--ip", "IPv4 address in the container", metavar="IP", group=_G),
    text("--mac-address", "MAC address in the container", metavar="MAC", group=_G),
    text("--ip6", "IPv6 address in the container", metavar="IP", group=_G),
    texts("--network-alias", "Name the container is found by on its networks", split=True, metavar="NAME", group=_G),
    _refused("--link-local-ip", "named networks give no addresses of a link; give one with --ip6"),
    text(
        "--hosts-file",
        "What /etc/hosts begins with: a file, none or image (default: the host's)",
        metavar="FILE",
        completes="file",
        group=_G,
    ),
)

_G = "Storage"
STORAGE: tuple[Option, ...] = (
    texts(
        "--volume",
        "Mount a directory or a volume: SOURCE:DESTINATION[:OPTIONS]",
        "-v",
        dest="volumes",
        metavar="VOLUME",
        group=_G,
    ),
    texts("--mount", "Mount: type=bind|volume|tmpfs,source=…,destination=…", dest="mounts", metavar="MOUNT", group=_G),
    texts("--tmpfs", "Mount an empty file system in memory: DESTINATION[:OPTIONS]", metavar="TMPFS", group=_G),
    texts(
        "--volumes-from",
        "Mount what another container mounts",
        metavar="CONTAINER[:OPTIONS]",
        completes="container",
        group=_G,
    ),
    text(
        "--image-volume",
        "What becomes of the image's volumes",
        default="bind",
        choices=("anonymous", "bind", "tmpfs", "ignore"),
        metavar="MODE",
        group=_G,
    ),
    texts(
        "--device",
        "Add a device of the host: HOST[:CONTAINER[:rwm]], or a CDI name: VENDOR/CLASS=NAME",
        dest="devices",
        split=True,
        metavar="DEVICE",
        completes="file",
        group=_G,
    ),
    _refused("--chrootdirs", "it is a directive for one other program; use --rootfs DIR"),
)
