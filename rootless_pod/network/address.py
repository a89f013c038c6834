"""What is really set up inside a network namespace, read by netlink: for ``inspect`` and the doctor.

pyroute2 takes 170 ms to import, so nothing on the way of ``run`` may import this module.
"""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.errors import NotFound, ProgramFailed
from rootless_pod.frozen import Frozen
from rootless_pod.linux import namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Interface(Frozen):
    """One interface: ``addresses`` with their prefix length (``10.0.2.100/24``), IPv4 first."""

    name: str
    mac: str
    mtu: int
    up: bool
    addresses: tuple[str, ...] = ()


class Route(Frozen):
    """One route of the main table; ``destination`` is ``default`` or a network, ``gateway`` None on the link."""

    destination: str
    gateway: str | None
    interface: str


class Links(Frozen):
    """Interfaces and routes of one network namespace."""

    interfaces: tuple[Interface, ...]
    routes: tuple[Route, ...]


def read_links(netns_path: str | None) -> Links:
    """Return what the namespace at ``netns_path`` has (None: the one we are in).

    A forked child enters it, since nobody without privilege over the host's namespace comes back.

    Raises:
        NotFound: there is no such namespace.
        ProgramFailed: it can't be entered or read.
    """
    try:
        fd = os.open(netns_path, os.O_RDONLY | os.O_CLOEXEC) if netns_path is not None else -1
    except FileNotFoundError as cause:
        raise NotFound(f"there is no network namespace {netns_path}") from cause
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if not pid:
        _answer(fd, write_end)
    os.close(write_end)
    if fd >= 0:
        os.close(fd)
    parts = []
    while part := os.read(read_end, 65536):
        parts.append(part)
    os.close(read_end)
    os.waitpid(pid, 0)
    try:
        record = jsontext.loads(b"".join(parts))
    except ValueError as cause:
        raise ProgramFailed(f"the network namespace {netns_path} could not be read") from cause
    if "error" in record:
        raise ProgramFailed(f"the network namespace {netns_path} could not be read: {record['error']}")
    return Links(
        interfaces=tuple(Interface(**{**one, "addresses": tuple(one["addresses"])}) for one in record["interfaces"]),
        routes=tuple(Route(**one) for one in record["routes"]),
    )


def _answer(netns_fd: int, write_end: int) -> None:
    """Read everything and write it as JSON; the child's whole life."""
    try:
        if netns_fd >= 0:
            namespaces.setns(netns_fd, namespaces.CLONE_NEWNET)
        answer = _dump()
    except Exception as cause:
        answer = {"error": f"{type(cause).__name__}: {cause}"}
    status = 1
    try:
        view = memoryview(jsontext.dumps(answer).encode())
        while view:
            view = view[os.write(write_end, view) :]
        status = 0
    finally:
        os._exit(status)


def _dump() -> dict[str, Any]:
    """Return interfaces, addresses and routes of this process's namespace as plain values."""
    from pyroute2 import IPRoute

    interfaces: dict[int, dict[str, Any]] = {}
    routes: list[dict[str, Any]] = []
    with IPRoute() as netlink:
        for message in netlink.get_links():
            interfaces[message["index"]] = {
                "name": message.get_attr("IFLA_IFNAME"),
                "mac": message.get_attr("IFLA_ADDRESS") or "",
                "mtu": message.get_attr("IFLA_MTU") or 0,
                "up": bool(message["flags"] & 1),  # IFF_UP
                "addresses": [],
            }
        for message in sorted(netlink.get_addr(), key=lambda one: int(one["family"])):
            owner = interfaces.get(message["index"])
            address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            if owner is not None and address:
                owner["addresses"].append(f"{address}/{message['prefixlen']}")
        for message in netlink.get_routes(table=_MAIN_TABLE):
            owner = interfaces.get(message.get_attr("RTA_OIF") or -1)
            if owner is None:
                continue
            destination = message.get_attr("RTA_DST")
            routes.append(
                {
                    "destination": f"{destination}/{message['dst_len']}" if destination else "default",
                    "gateway": message.get_attr("RTA_GATEWAY"),
                    "interface": owner["name"],
                }
            )
    return {"interfaces": list(interfaces.values()), "routes": routes}


# RT_TABLE_MAIN of linux/rtnetlink.h.
_MAIN_TABLE = 254
