"""registries.d: where the signatures of a registry's images are kept. Source: containers-registries.d(5)."""

from __future__ import annotations

import os

from rootless_pod.config.search import home, user_config
from rootless_pod.errors import Refused
from rootless_pod.frozen import Frozen
from rootless_pod.image.trust.yamlfile import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SYSTEM_DIRECTORY = "/etc/containers/registries.d"
_TEXTS = ("lookaside", "lookaside-staging", "sigstore", "sigstore-staging")
_ROOTS_STORE = "/var/lib/containers/sigstore"
_ATTACHMENTS = "use-sigstore-attachments"


class Section(Frozen):
    """What is configured for one scope; None where nothing is said."""

    lookaside: str | None = None
    staging: str | None = None
    attachments: bool | None = None


class RegistriesD(Frozen):
    """The merged files of one directory."""

    default: Section = Section()
    scopes: dict[str, Section] = {}

    def lookaside(self, scopes: tuple[str, ...]) -> str:
        """Return the URL of the signature store for an image (its scopes, most specific first)."""
        for section in self._sections(scopes):
            if section.lookaside:
                return section.lookaside
        return self._default()

    def staging(self, scopes: tuple[str, ...]) -> str:
        """Return the URL of the store where new signatures of an image go."""
        for section in self._sections(scopes):
            if section.staging or section.lookaside:
                return section.staging or section.lookaside or ""
        return self._default()

    @staticmethod
    def _default() -> str:
        if _is_root():
            return f"file://{_ROOTS_STORE}"
        data = os.environ.get("XDG_DATA_HOME", "")
        base = data if data.startswith("/") else f"{home()}/.local/share"
        return f"file://{base}/containers/sigstore"

    def configured_lookaside(self, scopes: tuple[str, ...]) -> str:
        """Return the URL that a file names, "" where none does."""
        return next((section.lookaside for section in self._sections(scopes) if section.lookaside), "")

    def attachments(self, scopes: tuple[str, ...]) -> bool:
        """Whether sigstore signatures lie beside the image in its registry."""
        return next((one.attachments for one in self._sections(scopes) if one.attachments is not None), False)

    def _sections(self, scopes: tuple[str, ...]) -> list[Section]:
        return [*(self.scopes[scope] for scope in scopes if scope in self.scopes), self.default]


def find_directory(*, system: str = SYSTEM_DIRECTORY) -> str:
    """Return the user's directory if there is one, else the machine's."""
    own = f"{user_config()}/registries.d"
    return own if os.path.isdir(own) else system


def read_registries_d(directory: str | None = None) -> RegistriesD:
    """Read every ``*.yaml`` of the directory.

    Raises:
        Refused: a file is not valid, or two speak about the same scope; the files are named.
    """
    directory = directory or find_directory()
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".yaml"))
    except FileNotFoundError:
        return RegistriesD()
    except OSError as cause:
        raise Refused(f"cannot read {directory}: {cause.strerror}", remedy=f"make {directory} readable") from cause
    default, default_from = Section(), ""
    scopes: dict[str, Section] = {}
    origin: dict[str, str] = {}
    for path in (f"{directory}/{name}" for name in names):
        table = _load(path)
        if table.get("default-docker") is not None:
            if default_from:
                raise _invalid(path, f"default-docker stands in {default_from} too")
            default, default_from = _section(table["default-docker"], "default-docker", path), path
        for scope, value in _mapping(table.get("docker"), "docker", path).items():
            if scope in scopes:
                raise _invalid(path, f"docker.{scope} stands in {origin[scope]} too")
            scopes[scope], origin[scope] = _section(value, f"docker.{scope}", path), path
    return RegistriesD(default=default, scopes=scopes)


def _load(path: str) -> dict[str, Any]:
    return _mapping(load(path, _invalid), "the file", path)


def _mapping(value: object, where: str, path: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _invalid(path, f"{where} is not a mapping of names")
    return value


def _section(value: object, where: str, path: str) -> Section:
    table = _mapping(value, where, path)
    for name in _TEXTS:
        if not isinstance(table.get(name, ""), str):
            raise _invalid(path, f"{where}.{name} is not a string")
    if not isinstance(table.get(_ATTACHMENTS, False), bool):
        raise _invalid(path, f"{where}.{_ATTACHMENTS} is neither true nor false")
    # "sigstore" is the keys' older name.
    return Section(
        lookaside=table.get("lookaside") or table.get("sigstore") or None,
        staging=table.get("lookaside-staging") or table.get("sigstore-staging") or None,
        attachments=table.get(_ATTACHMENTS),
    )


def _is_root() -> bool:
    """Tell whether we are the machine's root, not that of a user's namespace."""
    if os.getuid() != 0:
        return False
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return file.readline().split()[:2] == ["0", "0"]


def _invalid(path: str, why: str) -> Refused:
    return Refused(f"{path} is not valid: {why}", remedy=f"mend {path}; see containers-registries.d(5)")
