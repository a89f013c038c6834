"""``--network NAME[:OPTIONS][,NAME…]`` and its neighbours: which named networks a container joins, and as what.

Source: podman-run(1), --network, --network-alias, --ip, --ip6, --mac-address; the words of its errors.
"""

from __future__ import annotations

import os

from rootless_pod.errors import Usage
from rootless_pod.frozen import Frozen

DEFAULT_NETWORK = "podman"
_MODES = ("host", "none", "private", "default", "container", "ns", "pasta", "slirp4netns")
_OPTIONS = "known: ip=, ip6=, mac=, alias=, interface_name="
_LONGEST_INTERFACE = 15


class NetworkJoin(Frozen):
    """One network a container is to join. ``interface`` "" is the next free ``ethN``."""

    network: str
    ip: str = ""
    ip6: str = ""
    mac: str = ""
    aliases: tuple[str, ...] = ()
    interface: str = ""


def parse_networks(
    words: tuple[str, ...], *, aliases: tuple[str, ...] = (), ip: str = "", ip6: str = "", mac: str = ""
) -> tuple[NetworkJoin, ...]:
    """Return the networks that the ``--network`` options name, each once, in their order.

    The other values are those of the options of that name: addresses need one network only, aliases go to all.

    Raises:
        Usage: a mode stands beside a network, an option is unknown, a value can't be meant.
    """
    found: dict[str, NetworkJoin] = {}
    for place, word in enumerate(words):
        name, colon, options = word.partition(":")
        if place and (name in _MODES or (name == "bridge" and len(words) > 1)):
            raise Usage(
                f"can only set extra network names, selected mode {name} conflicts with bridge: invalid argument",
                remedy="name networks only: see rpod network ls",
            )
        names = (name,) if colon else tuple(name.split(","))
        for one in names:
            if not one:
                raise Usage("network name cannot be empty: invalid argument", remedy="see: rpod network ls")
            network = DEFAULT_NETWORK if one == "bridge" else one
            found[network] = _with_options(NetworkJoin(network=network), options.split(",") if options else [])
    joins = tuple(found.values())
    interfaces = [one.interface for one in joins if one.interface]
    twice = next((one for one in interfaces if interfaces.count(one) > 1), "")
    if twice:
        raise Usage(f"two networks ask for the interface {twice}", remedy="give each a name of its own")
    for option, value in (("--ip", ip), ("--ip6", ip6), ("--mac-address", mac)):
        if value and len(joins) != 1:
            raise Usage(
                f"{option} can only be set for a single network: invalid argument",
                remedy=f"write --network NAME:{option[2:].partition('-')[0]}={value}",
            )
    if ip or ip6 or mac:
        (only,) = joins
        joins = (only.replace(**checked(ip=ip or only.ip, ip6=ip6 or only.ip6, mac=mac or only.mac)),)
    return tuple(one.replace(aliases=tuple(dict.fromkeys((*aliases, *one.aliases)))) for one in joins)


def refuse_others(words: tuple[str, ...], mode: str) -> None:
    """Refuse a second ``--network`` beside a mode that is no network.

    Raises:
        Usage: there is one.
    """
    if len(words) > 1:
        raise Usage(
            f"cannot set multiple networks without bridge network mode, selected mode {mode.partition(':')[0]}:"
            " invalid argument",
            remedy="name networks only: see rpod network ls",
        )


def refuse_aliases(mode: str) -> None:
    """Refuse ``--network-alias`` where no network could find the container by it.

    Raises:
        Usage: always.
    """
    if mode.partition(":")[0] in ("", "private", "default"):
        words = "networks and static ip/mac address can only be used with Bridge mode networking"
        raise Usage(f"invalid config provided: {words}", remedy="add --network NAME: see rpod network ls")
    raise Usage(
        "--network-alias can only be set when the network mode is bridge: invalid argument",
        remedy="use --network NAME: see rpod network ls",
    )


def _with_options(join: NetworkJoin, options: list[str]) -> NetworkJoin:
    values: dict[str, str] = {}
    aliases: list[str] = []
    what = f"invalid option for network {join.network}"
    for option in options:
        key, equals, value = option.partition("=")
        if key not in ("ip", "ip6", "mac", "alias", "interface_name"):
            raise Usage(f"{what}: unknown bridge network option: {key}", remedy=_OPTIONS)
        if not equals or not value:
            raise Usage(f"{what}: no value given for {key}", remedy=_OPTIONS)
        if key == "alias":
            aliases.append(value)
        elif key == "interface_name":
            values["interface"] = _interface(value, what)
        elif key in ("ip", "ip6"):
            # As with podman, the family decides, not the key.
            values["ip6" if ":" in value else "ip"] = value
        else:
            values[key] = value
    try:
        return join.replace(aliases=tuple(aliases), **checked(**values))
    except Usage as cause:
        raise Usage(f"{what}: {cause.message}", remedy=cause.remedy) from cause


def _interface(name: str, what: str) -> str:
    # As the kernel: dev_valid_name() of net/core/dev.c; "%" would be a pattern, and "lo" is there.
    long = len(os.fsencode(name)) > _LONGEST_INTERFACE
    if long or set(name) & set("/:%") or name in (".", "..", "lo", "all", "default") or name.split() != [name]:
        raise Usage(f"{what}: {name!r} can be no interface", remedy=f"use at most {_LONGEST_INTERFACE} letters")
    return name


def checked(**values: str) -> dict[str, str]:
    """Return the values; ``ip``, ``ip6`` and ``mac`` among them are addresses of that kind.

    Raises:
        Usage: one is not.
    """
    import _socket

    for key, family in (("ip", _socket.AF_INET), ("ip6", _socket.AF_INET6)):
        text = values.get(key)
        if text:
            try:
                packed = _socket.inet_pton(family, text)
            except OSError as cause:
                raise Usage(f'invalid ip address "{text}"', remedy="give an address such as 10.89.0.5") from cause
            values[key] = _socket.inet_ntop(family, packed)
    if values.get("mac"):
        values["mac"] = _mac(values["mac"])
    return values


def _mac(text: str) -> str:
    """Return a MAC address as the kernel writes it."""
    parts = text.replace("-", ":").split(":")
    if len(parts) == 6 and all(len(part) == 2 for part in parts):
        try:
            packed = bytes(int(part, 16) for part in parts)
        except ValueError:
            packed = b""
        if packed and not packed[0] & 1:
            return ":".join(f"{byte:02x}" for byte in packed)
        if packed:
            raise Usage(f"address {text}: a MAC address of many", remedy="make the first byte even")
    raise Usage(f"address {text}: invalid MAC address", remedy="write six bytes such as 92:d0:c6:0a:29:33")
