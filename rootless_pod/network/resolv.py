"""/etc/resolv.conf of a container: read the host's, write the container's. Source: resolv.conf(5)."""

from __future__ import annotations

from rootless_pod.linux import procfs
from rootless_pod.network.dns import Resolv, decide_resolv, is_loopback, leaves_resolv_alone
from rootless_pod.state.record import write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.network.mode import NetworkRequest
    from rootless_pod.network.status import NetworkStatus

HOST_PATH = "/etc/resolv.conf"
# What systemd-resolved really asks, where /etc/resolv.conf names its stub on the loopback. Source: systemd-resolved(8).
UPSTREAM_PATH = "/run/systemd/resolve/resolv.conf"


def parse_resolv(text: str) -> Resolv:
    """Parse a resolv.conf: the last ``search`` or ``domain`` line wins, ``options`` lines add up."""
    nameservers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split(";", 1)[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            nameservers.append(words[1])
        elif words[0] in ("search", "domain"):
            search = tuple(word for word in words[1:] if word != ".")
        elif words[0] == "options":
            options += words[1:]
    return Resolv(nameservers=tuple(nameservers), search=search, options=tuple(dict.fromkeys(options)))


def format_resolv(resolv: Resolv) -> str:
    """Return the text of a resolv.conf."""
    lines = []
    if resolv.search:
        lines.append(f"search {' '.join(resolv.search)}")
    lines += [f"nameserver {address}" for address in resolv.nameservers]
    if resolv.options:
        lines.append(f"options {' '.join(resolv.options)}")
    return "".join(f"{line}\n" for line in lines)


def read_host_resolv(*, host_path: str = HOST_PATH, upstream_path: str = UPSTREAM_PATH) -> Resolv:
    """Return the host's resolver settings; a missing file is an empty one.

    Where all its servers are on the loopback, those of systemd-resolved's own list are taken in their place.
    """
    host = _read(host_path)
    if host.nameservers and all(is_loopback(address) for address in host.nameservers):
        upstream = _read(upstream_path)
        if upstream.nameservers:
            return host.replace(nameservers=upstream.nameservers, search=host.search or upstream.search)
    return host


def _read(path: str) -> Resolv:
    try:
        return parse_resolv(procfs.read_text(path))
    except OSError:
        return Resolv()


def write_resolv_conf(
    path: str,
    request: NetworkRequest,
    status: NetworkStatus,
    *,
    host_path: str = HOST_PATH,
    upstream_path: str = UPSTREAM_PATH,
) -> bool:
    """Write the container's resolv.conf (0644) to ``path``.

    Return False, and write nothing, where the image's own is to stay (``--dns none``).

    Raises:
        Usage: a ``--dns…`` value is wrong.
    """
    if leaves_resolv_alone(request):
        return False
    text = resolv_text(request, status, host_path=host_path, upstream_path=upstream_path)
    write_bytes(path, text.encode(errors="surrogateescape"), mode=0o644)
    return True


def resolv_text(
    request: NetworkRequest, status: NetworkStatus, *, host_path: str = HOST_PATH, upstream_path: str = UPSTREAM_PATH
) -> str:
    """Return the text of the container's resolv.conf.

    Raises:
        Usage: a ``--dns…`` value is wrong.
    """
    shares_host = status.netns_path is None
    host = _read(host_path) if shares_host else read_host_resolv(host_path=host_path, upstream_path=upstream_path)
    named = Resolv(nameservers=status.nameservers, search=status.search) if status.mode == "bridge" else None
    resolv = decide_resolv(request, host, forwarder=status.dns, shares_host=shares_host, named=named)
    return format_resolv(resolv)
