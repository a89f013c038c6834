"""Volume plugins: programs of others that make and mount volumes, spoken to over a Unix socket.

Which there are stands in containers.conf, ``[engine.volume_plugins]``: name → socket.
Source: Docker's volume plugin protocol, version 1 (an HTTP POST with a JSON object an action); podman 4.3.1 (probed).
"""

from __future__ import annotations

import http.client
import socket
from typing import Any

from rootless_pod import jsontext
from rootless_pod.config.containers import find_files, read_settings
from rootless_pod.errors import HostUnready, ProgramFailed
from rootless_pod.frozen import Frozen

_TYPE = "application/vnd.docker.plugins.v1.1+json"
_PREFIX = "engine.volume_plugins."
_TIMEOUT_KEY = "engine.volume_plugin_timeout"
# Podman counts the users of a mount itself and shows itself to plugins as one: they know this id.
_MOUNT_ID = "2f73349cfc4630255319c6c8dfc1b46a8996ace9d14d8e07563b165915918ec2"
DEFAULT_TIMEOUT_SECONDS = 5


class PluginMissing(HostUnready):
    """There is no such plugin, or nobody answers at its socket."""


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket; the plugin's name stands for the host."""

    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__("plugin", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class PluginVolume(Frozen):
    """A volume as its plugin shows it."""

    name: str
    mountpoint: str = ""
    status: dict[str, Any] = {}


class Plugin(Frozen):
    """One plugin; every action raises ProgramFailed in the plugin's words, or PluginMissing."""

    name: str
    socket: str
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS

    def create(self, name: str, options: dict[str, str]) -> None:
        """Make a volume."""
        self._act("Create", name, {"Opts": options} if options else {})

    def remove(self, name: str) -> None:
        """Remove a volume and its content."""
        self._act("Remove", name)

    def find(self, name: str) -> PluginVolume:
        """Return a volume (ProgramFailed: the plugin has none of this name)."""
        answer = self._act("Get", name).get("Volume")
        found = answer if isinstance(answer, dict) else {}
        status = found.get("Status")
        return PluginVolume(
            name=name,
            mountpoint=str(found.get("Mountpoint") or ""),
            status=status if isinstance(status, dict) else {},
        )

    def list_names(self) -> list[str]:
        """Return the names of all volumes the plugin has."""
        found = self._act("List", "").get("Volumes")
        volumes = found if isinstance(found, list) else []
        return sorted(str(one["Name"]) for one in volumes if isinstance(one, dict) and one.get("Name"))

    def mount(self, name: str) -> str:
        """Have the volume mounted and return where; mounted already is fine."""
        path = str(self._act("Mount", name, {"ID": _MOUNT_ID}).get("Mountpoint") or "")
        if not path.startswith("/"):
            raise ProgramFailed(
                f"volume plugin {self.name} mounted volume {name} at {path!r}, which is no absolute path",
                remedy=f"look into the log of the plugin {self.name}",
            )
        return path

    def unmount(self, name: str) -> None:
        """Take the mount down."""
        self._act("Unmount", name, {"ID": _MOUNT_ID})

    def activate(self) -> Plugin:
        """Ask what it is, and return it.

        Raises:
            PluginMissing: it is no volume plugin.
        """
        answer = self._post("/Plugin.Activate", None)
        offered = answer.get("Implements")
        if not isinstance(offered, list) or "VolumeDriver" not in offered:
            raise PluginMissing(
                f"plugin {self.name} does not implement VolumeDriver", remedy="name the socket of a volume plugin"
            )
        return self

    def _act(self, action: str, name: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
        path = f"/VolumeDriver.{action}"
        answer = self._post(path, {"Name": name, **(more or {})} if name else None)
        if answer.get("Err"):
            volume = f"on volume {name} " if name else ""
            raise ProgramFailed(
                f"on {path} {volume}in volume plugin {self.name}: {answer['Err']}",
                remedy=f"look into the log of the plugin {self.name}",
            )
        return answer

    def _post(self, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        connection = _Connection(self.socket, self.timeout_seconds)
        try:
            connection.request("POST", path, jsontext.dumps(body) if body else b"", {"Content-Type": _TYPE})
            text = connection.getresponse().read()
        except (OSError, http.client.HTTPException) as cause:
            reason = getattr(cause, "strerror", None) or str(cause)
            raise PluginMissing(
                f"volume plugin {self.name} does not answer {path} at {self.socket}: {reason}",
                remedy=f"start the plugin {self.name}",
            ) from cause
        finally:
            connection.close()
        try:
            answer = jsontext.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ProgramFailed(
                f"volume plugin {self.name} answers {path} with no JSON object: {text[:80]!r}",
                remedy=f"look into the log of the plugin {self.name}",
            )
        return answer


def open_plugin(name: str, *, known_socket: str = "", timeout_seconds: float | None = None) -> Plugin:
    """Return a plugin that is there; ``known_socket``: where it was before, if no file names it any more.

    Raises:
        PluginMissing: nothing names it, or it does not answer.
        Usage: a configuration file can't be understood.
    """
    plugins = configured_plugins()
    path = plugins.get(name) or known_socket
    if not path:
        raise PluginMissing(
            f"no volume plugin with name {name} available: required plugin missing",
            remedy=f"name its socket in containers.conf: [engine.volume_plugins] {name} = '/run/docker/plugins/…'",
        )
    import os

    try:
        os.stat(path)
    except OSError as cause:
        reason = (cause.strerror or "").lower()
        raise PluginMissing(
            f'cannot access plugin {name} socket "{path}": stat {path}: {reason}', remedy=f"start the plugin {name}"
        ) from cause
    found = Plugin(name=name, socket=path, timeout_seconds=timeout_seconds or configured_timeout())
    return found.activate()


def configured_plugins() -> dict[str, str]:
    """Return the sockets of the plugins that containers.conf names."""
    settings = read_settings(find_files())
    keys = (key for key in settings.values if key.startswith(_PREFIX))
    return {key.removeprefix(_PREFIX): settings.text(key) for key in keys}


def configured_timeout() -> int:
    """Return how long a plugin has for an answer, in seconds."""
    value = read_settings(find_files()).value(_TIMEOUT_KEY)
    return value if isinstance(value, int) and value > 0 else DEFAULT_TIMEOUT_SECONDS
