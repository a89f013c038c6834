"""Give options that are not on the command line the values of containers.conf and storage.conf.

Imported only where such a file exists. Options are data, so a key of the files is a name of an option: its value is
checked as if it had been typed, and the command line wins by having been typed.
"""

from __future__ import annotations

import os

from rootless_pod import log
from rootless_pod.commands.parse import convert
from rootless_pod.config.containers import Settings, find_files, read_settings
from rootless_pod.config.storage import is_store_option
from rootless_pod.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from rootless_pod.commands.declare import Command, Globals, Option

_RUN = frozenset({"run", "create"})
_NAMES = {
    "containers.cgroupns": "cgroupns",
    "containers.cgroups": "cgroups",
    "containers.base_hosts_file": "hosts_file",
    "containers.env_host": "env_host",
    "containers.http_proxy": "http_proxy",
    "containers.init": "init",
    "containers.init_path": "init_path",
    "containers.ipcns": "ipc",
    "containers.log_driver": "log_driver",
    "containers.no_hosts": "no_hosts",
    "containers.oom_score_adj": "oom_score_adj",
    "containers.pidns": "pid",
    "containers.privileged": "privileged",
    "containers.read_only": "read_only",
    "containers.shm_size": "shm_size",
    "containers.tz": "timezone",
    "containers.umask": "umask",
    "containers.userns": "userns",
    "containers.utsns": "uts",
    "engine.image_volume_mode": "image_volume",
    "engine.pull_policy": "pull",
    "engine.stop_timeout": "stop_timeout",
}
"""Keys for ``run`` and ``create`` → the option with the same meaning."""
_ELSEWHERE = {
    "engine.compression_format": ("compression_format", frozenset({"push", "manifest push"})),
    "engine.compression_level": ("compression_level", frozenset({"push", "manifest push"})),
    "engine.detach_keys": ("detach_keys", frozenset({"run", "start", "exec", "attach"})),
    "engine.multi_image_archive": ("multi_image_archive", frozenset({"save"})),
    "engine.pod_exit_policy": ("exit_policy", frozenset({"pod create"})),
    "engine.retry": ("retry", frozenset({"push", "pull", "manifest push"})),
    "engine.retry_delay": ("retry_delay", frozenset({"push", "pull", "manifest push"})),
    "secrets.driver": ("driver", frozenset({"secret create"})),
}
_ADDED = {
    "containers.annotations": "annotations",
    "containers.cgroup_conf": "cgroup_conf",
    "containers.devices": "devices",
    "containers.mounts": "mounts",
    "containers.volumes": "volumes",
}
"""Lists that those of the command line are added to."""
_REPLACED = {
    "containers.dns_options": "dns_options",
    "containers.dns_searches": "dns_search",
    "containers.dns_servers": "dns",
}
"""Lists that one on the command line takes the place of."""
_DEFAULTS = {
    "containers.default_capabilities": "default_capabilities",
    "containers.default_sysctls": "default_sysctl",
    "containers.default_ulimits": "default_ulimit",
    "containers.env": "default_env",
}
"""Lists without an option of their own: fields of ``SpecRequest``."""
_DRIVERS = {"vfs": "copy", "overlay": None, "overlay2": None}


class Filling:
    """One command line being completed; ``passed_over`` holds (key, reason) of what could not act."""

    def __init__(self, command: Command, values: dict[str, object], given: frozenset[str], settings: Settings) -> None:
        """Begin with what was typed."""
        self.command = command
        self.values = dict(values)
        self.given = given
        self.settings = settings
        self.options = {option.key: option for option in command.options}
        self.passed_over: list[tuple[str, str]] = []

    def fill(self) -> dict[str, object]:
        """Return the values of all options.

        Raises:
            Usage: a value in a file can't be meant; the message names file and key.
        """
        for key, (dest, commands) in _ELSEWHERE.items():
            if self.command.name in commands:
                self.put(key, dest)
        if self.command.name == "secret create" and not self.given & {"driver", "driver_opts"}:
            self._fill_secret_options()
        if self.command.name == "network create":
            self.values["subnet_pools"] = self._pools()
        if self.command.name in _RUN:
            for key, dest in _NAMES.items():
                self.put(key, dest)
            self._fill_lists()
            self._fill_network()
            self._fill_log()
            self._fill_others()
        return self.values

    def put(self, key: str, dest: str, value: Any = None) -> None:
        """Take over the value of ``key`` (or ``value``, made from it) for an option that was not typed."""
        found = self.settings.value(key) if value is None else value
        option = self.options.get(dest)
        if found is None or found == "" or option is None or dest in self.given:
            return
        text = str(found).lower() if isinstance(found, bool) else str(found)
        if option.refuse and text not in option.choices:
            self.pass_over(key, option.refuse.partition("; ")[0])
            return
        self.values[dest] = self._checked(key, option, text)

    def _checked(self, key: str, option: Option, text: str) -> object:
        try:
            return convert(option, text)
        except ValueError as cause:
            raise Usage(f"{self.settings.origin(key)}: {key}: {text!r} is {cause}", remedy="correct the file") from None

    def pass_over(self, key: str, reason: str) -> None:
        """Note that ``key`` has no effect here."""
        self.passed_over.append((key, reason))
        log.debug(f"{self.settings.origin(key)}: {key} has no effect: {reason}")

    def _typed(self, dest: str) -> tuple[object, ...]:
        value = self.values[dest]
        return value if isinstance(value, tuple) else ()

    def _fill_lists(self) -> None:
        for key, dest in _ADDED.items():
            self.values[dest] = (*self.settings.texts(key), *self._typed(dest))
        for key, dest in _REPLACED.items():
            if dest not in self.given and self.settings.texts(key):
                self.values[dest] = self.settings.texts(key)
        for key, dest in _DEFAULTS.items():
            if self.settings.texts(key):
                self.values[dest] = self.settings.texts(key)

    def _fill_secret_options(self) -> None:
        prefix = "secrets.opts."
        keys = [key for key in self.settings.values if key.startswith(prefix)]
        self.values["driver_opts"] = tuple(
            f"{key.removeprefix(prefix)}={self.settings.text(key)}" for key in sorted(keys)
        )

    def _pools(self) -> tuple[tuple[str, int], ...]:
        """Return where subnets come from that nobody names, as (range, length of a prefix)."""
        key = "network.default_subnet_pools"
        from rootless_pod.network.ranges import check_pool

        rows = self.settings.value(key)
        try:
            return tuple(check_pool(str(row["base"]), int(row["size"])) for row in rows or ())
        except (TypeError, KeyError, ValueError, Usage) as cause:
            raise Usage(
                f"{self.settings.origin(key)}: {key} is no list of ranges: {cause}",
                remedy='write: [{"base" = "10.89.0.0/16", "size" = 24}]',
            ) from cause

    def _fill_network(self) -> None:
        """Choose the network: ``netns`` names it, else the program for one of its own; then that program's options."""
        if "network" not in self.given:
            key = "containers.netns" if self.settings.text("containers.netns") else "containers.network"
            mode = self.settings.text(key)
            if mode in ("", "private"):
                key = "network.default_rootless_network_cmd"
                if not self.settings.text(key):
                    key = "containers.rootless_networking"
                mode = self.settings.text(key)
            if mode == "cni":
                self.pass_over(key, "cni is no network of rpod's")
                mode = ""
            if mode and "network" in self.options:
                self.values["network"] = (mode,)
        words = self._typed("network")
        for name, key in (("slirp4netns", "engine.network_cmd_options"), ("pasta", "network.pasta_options")):
            if words == (name,) and self.settings.texts(key):
                self.values["network"] = (f"{name}:{','.join(self.settings.texts(key))}",)
        default = self.settings.text("network.default_network")
        if default and any(str(word).partition(":")[0] == "bridge" for word in words):
            self.values["network"] = tuple(_with_name(str(word), default) for word in words)

    def _fill_log(self) -> None:
        words = []
        tag, size = self.settings.text("containers.log_tag"), self.settings.value("containers.log_size_max")
        if tag and self.values["log_driver"] == "journald":  # the monitor takes a tag with no other
            words.append(f"tag={tag}")
        if isinstance(size, int) and size > 0:
            words.append(f"max-size={size}")
        if words:
            self.values["log_opt"] = (*words, *self._typed("log_opt"))

    def _fill_others(self) -> None:
        limit = self.settings.value("containers.pids_limit")
        if isinstance(limit, int) and limit:
            self.values["default_pids_limit"] = str(limit)
        profile = self.settings.text("containers.seccomp_profile")
        typed = self._typed("security_opt")
        if profile and not any(str(one).startswith("seccomp") for one in typed):
            self.values["security_opt"] = (*typed, f"seccomp={profile}")
        for key in ("containers.keyring", "containers.enable_keyring"):
            if self.settings.value(key) is False:
                self.values["keyring"] = False
        address = self.settings.text("containers.host_containers_internal_ip")
        if address:
            self.values["host_address"] = address
        if self.settings.value("containers.container_name_as_hostname") is True and "hostname" not in self.given:
            self.values["hostname"] = self.values["name"] or self.values["hostname"]


def configure(
    command: Command, values: dict[str, object], given: frozenset[str], chosen: Globals
) -> tuple[dict[str, object], Globals]:
    """Return the options' values and the global options, completed by what the files say.

    Raises:
        Usage: a file can't be read or understood, or a value in it can't be meant.
    """
    settings = read_settings(find_files(chosen.module))
    _set_environment(settings)
    return Filling(command, values, given, settings).fill(), with_globals(chosen, settings)


def _set_environment(settings: Settings) -> None:
    """Carry out ``engine.env``: variables of rpod itself and what it starts, where they are not set."""
    for text in settings.texts("engine.env"):
        name, equals, value = text.partition("=")
        if not equals:
            raise Usage(
                f"{settings.origin('engine.env')}: engine.env: {text!r} is no variable", remedy="write NAME=VALUE"
            )
        os.environ.setdefault(name, value)


def with_globals(chosen: Globals, settings: Settings) -> Globals:
    """Return the global options with those that were not given taken from the files."""
    changes: dict[str, Any] = {
        field: value for field, value in _global_values(settings) if value and getattr(chosen, field) in (None, ())
    }
    if "runtime" in changes:
        changes["runtime_is_default"] = True
    return chosen.replace(**changes) if changes else chosen


def _global_values(settings: Settings) -> Iterator[tuple[str, Any]]:
    yield "runtime", _program(settings, settings.text("engine.runtime"))
    yield "conmon", next((path for path in settings.texts("engine.conmon_path") if os.access(path, os.X_OK)), None)
    yield "storage_driver", storage_driver(settings)[0]
    yield "storage_opt", tuple(one for one in settings.text("storage.opts").split(",") if is_store_option(one))
    yield "root", storage_root(settings)[0]
    yield "hooks_dir", settings.texts("engine.hooks_dir")
    yield "cdi_spec_dir", settings.texts("engine.cdi_spec_dirs")
    yield "events_backend", "none" if settings.text("engine.events_logger") == "none" else None


def runtime_program(name: str, modules: tuple[str, ...]) -> str:
    """Return the program that a runtime's name means in the files, or the name."""
    return _program(read_settings(find_files(modules)), name) or name


def _program(settings: Settings, name: str) -> str | None:
    """Return the path that ``[engine.runtimes]`` gives the runtime ``name``, else the name as it is."""
    listed = settings.texts(f"engine.runtimes.{name}") if name else ()
    return next((path for path in listed if os.access(path, os.X_OK)), None) or name or None


def storage_driver(settings: Settings) -> tuple[str | None, str]:
    """Return the driver that storage.conf or ``$STORAGE_DRIVER`` asks for, None where rpod shall choose; and why.

    ``overlay`` stands in nearly every storage.conf and means whatever of its kind works.
    """
    name = settings.text("storage.driver")
    mounter = os.path.basename(
        settings.text("storage.options.overlay.mount_program") or settings.text("storage.options.mount_program")
    )
    if name in ("", "overlay", "overlay2") and mounter == "fuse-overlayfs":
        return mounter, ""
    if name in _DRIVERS:
        return _DRIVERS[name], "" if _DRIVERS[name] else "overlay is what rpod tries first anyway"
    if name in ("", "fuse-overlayfs", "pyfuse3", "copy"):
        return name or None, ""
    return None, f"rpod has no storage driver {name}"


def storage_root(settings: Settings) -> tuple[str | None, str]:
    """Return the place beside ``rootless_storage_path`` that rpod's own store is kept at, None for the usual; and why.

    podman's store is never written to: its directory gets a neighbour, where that one can be made.
    """
    template = settings.text("storage.rootless_storage_path")
    if not template:
        return None, ""
    import pwd

    uid = int(os.environ.get("_CONTAINERS_ROOTLESS_UID") or os.getuid())  # inside `rpod unshare` we are 0
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    home = os.environ.get("HOME", "")
    path = template
    for name, value in (("HOME", home), ("USER", user), ("UID", str(uid))):
        path = path.replace(f"${{{name}}}", value).replace(f"${name}", value)
    if not path.startswith("/") or path in ("/", home):
        return None, "the path is not absolute, or too general"
    root = f"{path.rstrip('/')}-rootless-pod"
    parent = os.path.dirname(root)
    while not os.path.isdir(parent):
        parent = os.path.dirname(parent)
    if os.path.isdir(root) or os.access(parent, os.W_OK | os.X_OK):
        return root, ""
    return None, f"{parent} is not writable, so that {root} can't be made"


def _with_name(word: str, default: str) -> str:
    """Return a value of ``--network`` with the default network's name for ``bridge``."""
    kind, colon, rest = word.partition(":")
    return f"{default}{colon}{rest}" if kind == "bridge" else word
