"""Which name servers, search domains and options a container gets."""

from __future__ import annotations

from rootless_pod.errors import Usage
from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.network.mode import NetworkRequest

_LONGEST_SEARCH_DOMAIN = 255


class Resolv(Frozen):
    """The content of a resolv.conf."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def is_loopback(address: str) -> bool:
    """Tell whether a name server's address means the machine that asks."""
    return address.startswith("127.") or address.partition("%")[0] == "::1"


def is_local_to_host(address: str) -> bool:
    """Tell whether an address means nothing inside another network namespace: loopback, or bound to a link."""
    return is_loopback(address) or "%" in address


def leaves_resolv_alone(request: NetworkRequest) -> bool:
    """Tell whether the image's own resolv.conf is to stay (``--dns none``).

    Raises:
        Usage: ``none`` beside something else.
    """
    if "none" not in request.dns:
        return False
    if len(request.dns) > 1 or request.dns_search or request.dns_options:
        raise Usage("--dns none goes with no other --dns, --dns-search or --dns-option", remedy="leave out --dns none")
    return True


def decide_resolv(
    request: NetworkRequest,
    host: Resolv,
    *,
    forwarder: str | None,
    shares_host: bool,
    named: Resolv | None = None,
) -> Resolv:
    """Return what the container's resolv.conf says.

    ``host`` is the host's own (with the real servers where the file names systemd's stub only), ``forwarder`` the
    helper's address that passes queries to the host's resolver, ``shares_host`` whether the host's loopback is the
    container's. As podman does: what is given on the command line replaces that part; the forwarder comes first,
    then the host's servers that can be reached. No public server is ever added. ``named``: what the named networks
    of the container say, in place of all others; where they answer no names, the forwarder comes last.

    Raises:
        Usage: ``--dns`` is no address, or a search domain is too long or has blanks.
    """
    for address in request.dns:
        _check_address(address)
    if named is not None and named.nameservers:
        # No other beside it, which would not know the containers: musl asks all at once and believes the first answer.
        # It asks the servers of --dns itself.
        nameservers = named.nameservers
    elif request.dns:
        nameservers = request.dns
    elif shares_host:
        nameservers = host.nameservers
    else:
        reachable = tuple(address for address in host.nameservers if not is_local_to_host(address))
        if named is not None:
            nameservers = reachable or ((forwarder,) if forwarder else ())
        else:
            nameservers = (forwarder, *reachable) if forwarder else reachable
    search = host.search if named is None else (*named.search, *host.search)
    if request.dns_search:
        search = _given_search(request.dns_search)
    return Resolv(
        nameservers=tuple(dict.fromkeys(nameservers)), search=search, options=request.dns_options or host.options
    )


def _given_search(domains: tuple[str, ...]) -> tuple[str, ...]:
    """Check ``--dns-search``; a lone ``.`` means no search domain at all."""
    if "." in domains:
        return ()
    for domain in domains:
        if not domain or len(domain) > _LONGEST_SEARCH_DOMAIN or domain.split() != [domain]:
            raise Usage(f"--dns-search {domain!r} is not a domain name")
    return domains


def _check_address(address: str) -> None:
    import _socket

    bare = address.partition("%")[0]
    try:
        _socket.inet_pton(_socket.AF_INET6 if ":" in bare else _socket.AF_INET, bare)
    except OSError as cause:
        raise Usage(
            f"--dns {address!r} is not an IP address", remedy="give an address such as --dns 192.0.2.53, or --dns none"
        ) from cause
