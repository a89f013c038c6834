"""From the words of ``run`` and ``create`` to a ``ContainerRequest``. HOT."""

from __future__ import annotations

import os
import sys

from rootless_pod.commands.globals import INHERITED
from rootless_pod.commands.run_options import fields_for
from rootless_pod.container.request import ContainerRequest, LogRequest
from rootless_pod.errors import NotFound, Refused, Usage
from rootless_pod.network.mode import BRIDGE, NetworkRequest, names_network, parse_publish
from rootless_pod.spec.request import SpecRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.commands.declare import Call
    from rootless_pod.container.health import HealthRequest
    from rootless_pod.network.joins import NetworkJoin
    from rootless_pod.secrets.request import SecretRequest
    from rootless_pod.volumes.resolve import MountRequest

_SIZE_UNITS = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_FIRST_PRESERVED_FD = 3
_OF_V1 = frozenset(("cpu_rt_period", "cpu_rt_runtime", "memory_swappiness"))


def container_request(call: Call) -> ContainerRequest:
    """Read the options of ``run`` or ``create``.

    Raises:
        Usage: a value can't be meant; the message quotes it.
        NotFound: a file that an option names is not there.
    """
    image = call.one("image")
    rootfs, overlay = _split_rootfs(image) if call.flag("rootfs") else ("", False)
    policy, retries = _restart(call)
    if call.flag("replace") and not call.text("name"):
        raise Usage("cannot replace container without --name being set", remedy="give the --name to take over")
    return ContainerRequest(
        image="" if rootfs else image,
        rootfs=rootfs,
        rootfs_overlay=overlay,
        name=call.text("name"),
        replace_existing=call.flag("replace"),
        process=_process(call),
        network=network_of(call),
        publish_all=call.flag("publish_all"),
        expose=call.texts("expose"),
        mounts=mounts_of(call),
        secrets=_secrets(call),
        volumes_from=call.texts("volumes_from"),
        auto_remove=_is_removed(call),
        remove_image=bool(call.values.get("rmi")),
        stop_timeout_seconds=call.number("stop_timeout") or 0,
        timeout_seconds=call.number("timeout") or 0,
        restart_policy=policy,
        restart_retries=retries,
        health=_health(call),
        requires=call.texts("requires"),
        sdnotify=call.text("sdnotify"),
        log=_log(call),
        pid_file=call.text("pidfile"),
        conmon_pid_file=call.text("conmon_pidfile"),
        cid_file=call.text("cidfile"),
        pod=call.text("pod"),
        pod_id_file=call.text("pod_id_file"),
        create_command=("rpod", *sys.argv[1:]),
        pull=_pull_policy(call.text("pull")),
        platform=_platform(call),
        tls_verify=call.flag("tls_verify") if "tls_verify" in call.given else None,
        authfile=_authfile(call.text("authfile")),
        credentials=call.text("creds"),
        quiet=call.flag("quiet"),
        keyring=bool(call.values.get("keyring", True)),
    )


def _authfile(path: str) -> str:
    if path and not os.path.exists(path):
        raise NotFound(
            f"--authfile {path}: no such file", remedy="check the path, or log in: rpod login --authfile FILE"
        )
    return path


def _restart(call: Call) -> tuple[str, int]:
    if not call.text("restart"):
        return "", 0
    from rootless_pod.container.restart_policy import parse_policy

    return parse_policy(call.text("restart"), auto_remove=_is_removed(call))


def _health(call: Call) -> HealthRequest | None:
    if not any(key.startswith("health") or key == "no_healthcheck" for key in call.given):
        return None
    from rootless_pod.commands.health_options import health_request

    return health_request(call)


def _is_removed(call: Call) -> bool:
    return call.flag("rm") or bool(call.values.get("rmi"))


def own_ids(call: Call, request: SpecRequest) -> SpecRequest:
    """Return the request with the maps that ``--subuidname`` and ``--subgidname`` stand for."""
    from rootless_pod.container.named_ids import with_named_ids

    assert call.namespace is not None
    return with_named_ids(request, call.text("subuidname"), call.text("subgidname"), call.namespace.id_map)


def _process(call: Call) -> SpecRequest:
    values = fields_for(SpecRequest, call.values)
    for key in [key for key, value in values.items() if value is None and key not in ("entrypoint", "oom_score_adj")]:
        del values[key]
    values["command"] = call.many("command")
    values["env_file"] = tuple(line for path in call.texts("env_files") for line in env_lines(path))
    values["labels"] = (
        *(line for path in call.texts("label_files") for line in env_lines(path)),
        *call.texts("labels"),
    )
    for label in values["labels"]:
        if not label or label.startswith("="):
            raise Usage(f"--label {label!r} has no name", remedy="write --label KEY=VALUE")
    if call.flag("no_hosts"):
        values["bind_hosts"] = False
    if call.flag("no_hostname"):
        values["bind_hostname"] = False
    if "none" in call.texts("dns"):
        values["bind_resolv_conf"] = False
    if call.values.get("gpus"):
        from rootless_pod.spec.cdi import gpu_names

        values["devices"] = (*call.texts("devices"), *gpu_names(call.texts("gpus")))
    request = SpecRequest(**values)
    if call.given & _OF_V1:
        from rootless_pod.commands.old_limits import warn_of

        warn_of(call)
    if call.text("subuidname") or call.text("subgidname"):
        request = own_ids(call, request)
    if request.init and not request.init_path:
        from rootless_pod.errors import HostUnready
        from rootless_pod.programs.find import find_program

        found = find_program("catatonit")
        if found is None:
            raise HostUnready(
                "--init needs the program catatonit, which is not installed",
                remedy="ask an administrator to run: apt-get install catatonit; or give another one with --init-path",
            )
        request = request.replace(init_path=found)
    return request


def env_lines(path: str) -> tuple[str, ...]:
    """Return the entries of a file of variables or labels.

    Raises:
        NotFound: it can't be read.
    """
    from rootless_pod.spec.process import parse_env_lines

    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return parse_env_lines(file.read())
    except OSError as cause:
        raise NotFound(f"cannot read {path}: {cause.strerror}", remedy="check the path of the file") from cause


def _ip6(text: str) -> str:
    if text:
        import _socket

        try:
            _socket.inet_pton(_socket.AF_INET6, text)
        except OSError as cause:
            raise Usage(f"--ip6 {text!r} is not an IPv6 address") from cause
    return text


def network_of(call: Call) -> NetworkRequest:
    """Return what the options say of the network."""
    published = tuple(mapping for word in call.texts("publish") for mapping in parse_publish(word))
    words, aliases = call.texts("network"), call.texts("network_alias")
    mode, addresses = words[0] if words else "", {key: call.text(key) for key in ("ip", "mac_address")}
    addresses["ip6"] = _ip6(str(call.values.get("ip6") or ""))
    joins: tuple[NetworkJoin, ...] = ()
    if len(words) > 1 or aliases or names_network(mode):
        mode, joins = _named_networks(words, aliases, addresses)
    return NetworkRequest(
        mode=mode,
        joins=joins,
        publish=published,
        dns=call.texts("dns"),
        dns_search=call.texts("dns_search"),
        dns_options=call.texts("dns_options"),
        add_hosts=call.texts("add_hosts"),
        hostname=call.text("hostname"),
        no_hosts=call.flag("no_hosts"),
        **addresses,
        hosts_file=_hosts_file(call.text("hosts_file")),
        host_address=str(call.values.get("host_address", "")),
    )


def _named_networks(
    words: tuple[str, ...], aliases: tuple[str, ...], addresses: dict[str, str]
) -> tuple[str, tuple[NetworkJoin, ...]]:
    """Return the mode and the networks joined; fixed addresses go from ``addresses`` to the network."""
    from rootless_pod.network import joins

    mode = words[0] if words else ""
    if not names_network(mode):
        joins.refuse_others(words, mode)
        joins.refuse_aliases(mode)
    found = joins.parse_networks(
        words, aliases=aliases, ip=addresses["ip"], ip6=addresses["ip6"], mac=addresses["mac_address"]
    )
    addresses.update(dict.fromkeys(addresses, ""))
    return BRIDGE, found


def _hosts_file(text: str) -> str:
    return text if text in ("", "none", "image") else os.path.abspath(text)


def _secrets(call: Call) -> tuple[SecretRequest, ...]:
    words = call.texts("secrets")
    if not words:
        return ()
    from rootless_pod.secrets.request import parse_secret

    return tuple(parse_secret(word) for word in words)


def mounts_of(call: Call) -> tuple[MountRequest, ...]:
    """Return the mounts of ``--volume`` and, where the command has it, ``--mount``."""
    from rootless_pod.volumes.resolve import parse_mount, parse_volume

    found = (
        *(parse_volume(word) for word in call.texts("volumes")),
        *(parse_mount(word) for word in (call.texts("mounts") if "mounts" in call.values else ())),
    )
    # The container may be started again from another directory: paths are kept absolute.
    return tuple(one.replace(source=os.path.abspath(one.source)) if one.kind == "bind" else one for one in found)


def _split_rootfs(text: str) -> tuple[str, bool]:
    """Take ``DIR`` or ``DIR:O`` (changes are thrown away) apart."""
    path, colon, option = text.rpartition(":")
    if colon and option == "O":
        return _existing(path), True
    return _existing(text), False


def _existing(path: str) -> str:
    found = os.path.abspath(path)
    if not os.path.isdir(found):
        raise NotFound(f"root file system {path} is not a directory", remedy="give a directory that holds one")
    return found


def _log(call: Call) -> LogRequest:
    driver = call.text("log_driver") or "k8s-file"
    size_max: int | None = None
    path = tag = ""
    for word in call.texts("log_opt"):
        key, separator, value = word.partition("=")
        if not separator:
            raise Usage(f"--log-opt {word!r} has no value", remedy="write --log-opt KEY=VALUE")
        if key == "path":
            path = os.path.abspath(value)
        elif key == "max-size":
            size_max = _size(value)
        elif key == "tag":
            tag = value
        else:
            raise Usage(f"--log-opt {key!r} is not known", remedy="use path=, max-size= or tag=")
    if tag and driver != "journald":
        raise Usage(f"--log-opt tag= has no meaning for the log driver {driver}", remedy="use --log-driver journald")
    if path and driver in ("k8s-file", "json-file"):
        _check_log_path(path)
    return LogRequest(driver=driver, path=path, size_max=size_max, tag=tag)


def _check_log_path(path: str) -> None:
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        raise NotFound(f"--log-opt path={path}: there is no such directory", remedy="make it", exit_code=125)
    if os.path.isdir(path) or not os.access(path if os.path.exists(path) else directory, os.W_OK):
        raise Refused(f"--log-opt path={path}: you can't write such a file", remedy="name a file of your own")


def _size(text: str) -> int:
    lowered = text.lower().removesuffix("b") or text
    number, factor = (lowered[:-1], _SIZE_UNITS[lowered[-1]]) if lowered[-1:] in _SIZE_UNITS else (lowered, 1)
    if not number.isdigit():
        raise Usage(f"--log-opt max-size={text} is not a size", remedy="write a number with k, m or g, such as 10m")
    return int(number) * factor


def _pull_policy(text: str) -> str:
    return {"true": "always", "false": "missing"}.get(text, text)


def _platform(call: Call) -> str:
    if call.text("platform"):
        return call.text("platform")
    if call.text("arch") or call.text("os") or call.text("variant"):
        from rootless_pod.oci.platform import host_platform

        parts = [call.text("os") or "linux", call.text("arch") or host_platform().architecture]
        return "/".join([*parts, call.text("variant")] if call.text("variant") else parts)
    return ""


def preserved_fds(request: ContainerRequest) -> tuple[int, ...]:
    """Return the descriptors ``--preserve-fds`` hands on.

    Raises:
        Usage: one of them was not given to us.
    """
    return open_fds(request.process.preserve_fds)


def open_fds(count: int) -> tuple[int, ...]:
    """Return that many descriptors from 3 on; those we opened ourselves are not meant.

    Raises:
        Usage: one of them was not given to us.
    """
    wanted = range(_FIRST_PRESERVED_FD, _FIRST_PRESERVED_FD + count)
    for fd in wanted:
        if fd not in INHERITED:
            raise Usage(f"--preserve-fds {count}: descriptor {fd} is not open", remedy=f"open it: {fd}<FILE")
    return tuple(wanted)
