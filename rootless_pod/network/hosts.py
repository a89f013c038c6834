"""/etc/hosts of a container: the host's entries, what the user adds, and the container's own names.

Order and precedence are podman's: entries of ``--add-host`` first, then the base file, then ours, each of ours only
if its names are not given above. Source: hosts(5); containers.conf(5), base_hosts_file; podman-run(1), --add-host.
"""

from __future__ import annotations

from rootless_pod.errors import NotFound, Usage
from rootless_pod.linux import procfs
from rootless_pod.state.record import write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.network.mode import NetworkRequest
    from rootless_pod.network.status import NetworkStatus

HOST_GATEWAY = "host-gateway"
HOST_NAMES = ("host.containers.internal", "host.docker.internal")
HOST_PATH = "/etc/hosts"

Entry = tuple[str, tuple[str, ...]]


def parse_hosts(text: str) -> tuple[Entry, ...]:
    """Return (address, names) of each line that has both."""
    entries = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if len(words) > 1:
            entries.append((words[0], tuple(words[1:])))
    return tuple(entries)


def format_hosts(entries: tuple[Entry, ...]) -> str:
    """Return the text of a hosts file."""
    return "".join(f"{address}\t{' '.join(names)}\n" for address, names in entries)


def parse_add_host(text: str, host_address: str | None) -> Entry:
    """Parse ``--add-host NAME[;NAME…]:ADDRESS``; the address ``host-gateway`` is the host's.

    Raises:
        Usage: it is not of that form, or the container can't reach the host.
    """
    names, colon, address = text.partition(":")
    split = tuple(name for name in names.split(";") if name)
    if not colon or not split or not address or any(name.split() != [name] for name in split):
        raise Usage(f"--add-host {text!r} has no name and address", remedy="write --add-host NAME:ADDRESS")
    if address == HOST_GATEWAY:
        if host_address is None:
            raise Usage(
                f"--add-host {text}: this network has no address that leads to the host",
                remedy="use --network slirp4netns, --network pasta:--map-gw or --network host",
            )
        return host_address, split
    bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    _check_address(bare, text)
    return bare, split


def _check_address(address: str, text: str) -> None:
    import _socket

    try:
        _socket.inet_pton(_socket.AF_INET6 if ":" in address else _socket.AF_INET, address)
    except OSError as cause:
        raise Usage(
            f"--add-host {text}: {address!r} is not an IP address", remedy="write --add-host NAME:ADDRESS"
        ) from cause


def decide_hosts(
    base: tuple[Entry, ...],
    *,
    added: tuple[Entry, ...],
    own_address: str | None,
    own_names: tuple[str, ...],
    host_address: str | None,
    more_addresses: tuple[str, ...] = (),
) -> tuple[Entry, ...]:
    """Return all entries of the container's hosts file.

    A name the user added is taken out of the base file: the first entry would win anyway for one address family,
    but not for the other.
    """
    chosen = {name for _address, names in added for name in names}
    kept: list[Entry] = []
    for address, names in base:
        left = tuple(name for name in names if name not in chosen)
        if left:
            kept.append((address, left))
    entries = [*added, *kept]
    present = {name for _address, names in entries for name in names}
    if "localhost" not in present:
        entries += [("127.0.0.1", ("localhost",)), ("::1", ("localhost",))]
    missing = tuple(name for name in HOST_NAMES if name not in present)
    if host_address and missing:
        entries.append((host_address, missing))
    own = tuple(dict.fromkeys(name for name in own_names if name and name not in chosen))
    if own_address and own:
        entries += [(address, own) for address in (own_address, *more_addresses)]
    return tuple(entries)


def own_address_of(status: NetworkStatus) -> str | None:
    """Return the address the container's own names stand for: its own, or the loopback without a network."""
    if status.mode == "none":
        return "127.0.0.1"
    # On the host's network the host's file already names the machine; a name of the container's own stays local.
    return "127.0.1.1" if status.netns_path is None else status.ip


def write_hosts(
    path: str,
    request: NetworkRequest,
    status: NetworkStatus,
    *,
    hostname: str,
    container_name: str,
    rootfs: str = "",
    base_path: str | None = HOST_PATH,
) -> bool:
    """Write the container's hosts file (0644) to ``path``.

    It begins with what the request's ``hosts_file`` says: that file, the one in ``rootfs`` (``image``), nothing
    (``none``), or ``base_path``. Return False, and write nothing, with ``--no-hosts``.

    Raises:
        Usage: an ``--add-host`` is wrong, or goes together with ``--no-hosts``.
        NotFound: the file named can't be read.
    """
    if request.no_hosts:
        if request.add_hosts:
            raise Usage("--no-hosts and --add-host can't be set together", remedy="leave out one of them")
        return False
    base = parse_hosts(_base_text(request.hosts_file, rootfs, base_path))
    host_address = {"": status.host_address, "none": None}.get(request.host_address, request.host_address)
    own_names: tuple[str, ...] = (hostname, container_name)
    if status.netns_path is None:
        present = {name for _address, names in base for name in names}
        own_names = tuple(name for name in own_names if name not in present)
    entries = decide_hosts(
        base,
        added=tuple(parse_add_host(text, host_address) for text in request.add_hosts),
        own_address=own_address_of(status),
        own_names=own_names,
        host_address=host_address,
        more_addresses=status.addresses[1:],
    )
    write_bytes(path, format_hosts(entries).encode(errors="surrogateescape"), mode=0o644)
    return True


def _base_text(wish: str, rootfs: str, base_path: str | None) -> str:
    if wish == "none":
        return ""
    if wish == "image":
        from rootless_pod.linux.inroot import read_in_root

        return read_in_root(rootfs, HOST_PATH) or ""
    path = wish or base_path
    if not path:
        return ""
    try:
        return procfs.read_text(path)
    except OSError as cause:
        if not wish:
            return ""
        raise NotFound(f"cannot read the hosts file {path}: {cause.strerror}", remedy="check --hosts-file") from cause


def write_hostname(path: str, hostname: str) -> None:
    """Write /etc/hostname (0644)."""
    write_bytes(path, f"{hostname}\n".encode(), mode=0o644)
