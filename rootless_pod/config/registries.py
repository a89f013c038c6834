"""registries.conf: which registries a short name is sought in, mirrors, blocked and insecure ones, aliases.

Source: containers-registries.conf(5), format version 2; version 1 is understood for search, insecure and block.
"""

from __future__ import annotations

import os

from rootless_pod.config.aliases import alias_file, read_aliases
from rootless_pod.config.search import config_files
from rootless_pod.errors import Refused, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.oci.reference import Reference, has_registry, parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MODES = ("enforcing", "permissive", "disabled")
_PULL_FROM = ("all", "digest-only", "tag-only")


class Mirror(Frozen):
    """Another place for what a prefix names."""

    location: str
    insecure: bool = False
    pull_from: str = "all"


class Registry(Frozen):
    """One ``[[registry]]`` table."""

    prefix: str
    location: str
    insecure: bool = False
    blocked: bool = False
    mirrors: tuple[Mirror, ...] = ()
    mirror_by_digest_only: bool = False


class Endpoint(Frozen):
    """One place to try: ``reference`` is what to ask there."""

    reference: Reference
    insecure: bool = False


class Registries(Frozen):
    """The merged configuration."""

    search: tuple[str, ...] = ("docker.io",)
    aliases: dict[str, str] = {}
    registries: tuple[Registry, ...] = ()
    short_name_mode: str = "enforcing"
    credential_helpers: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def candidates(self, text: str) -> tuple[Reference, ...]:
        """Return the full names that ``text`` may mean, in the order they are tried; an alias is the only one.

        Raises:
            Usage: bad name.
        """
        if has_registry(text.partition("@")[0]):
            return (parse_reference(text),)
        short = parse_reference(text, default_registry="localhost")
        alias = self.aliases.get(short.repository)
        if alias:
            full = parse_reference(alias)
            return (full.replace(tag=short.tag, digest=short.digest),)
        return tuple(parse_reference(text, default_registry=registry) for registry in self.search)

    def endpoints(self, reference: Reference) -> tuple[Endpoint, ...]:
        """Return the places that hold ``reference``: mirrors that fit, then the location itself.

        Raises:
            Refused: the registry is blocked.
        """
        found = self._find(reference)
        if found is None:
            return (Endpoint(reference=reference),)
        if found.blocked:
            raise Refused(
                f"registry {found.prefix} is blocked by registries.conf",
                remedy=f"unblock it in {' or '.join(self.files)}",
            )
        places = []
        for mirror in found.mirrors:
            wanted = mirror.pull_from
            if found.mirror_by_digest_only:
                wanted = "digest-only"
            if (wanted == "digest-only" and not reference.digest) or (wanted == "tag-only" and reference.digest):
                continue
            places.append(
                Endpoint(reference=_rewrite(reference, found.prefix, mirror.location), insecure=mirror.insecure)
            )
        places.append(Endpoint(reference=_rewrite(reference, found.prefix, found.location), insecure=found.insecure))
        return tuple(places)

    def _find(self, reference: Reference) -> Registry | None:
        fitting = [registry for registry in self.registries if _covers(registry.prefix, reference)]
        return max(fitting, key=lambda registry: len(registry.prefix), default=None)


def _covers(prefix: str, reference: Reference) -> bool:
    """Whether ``prefix`` (``host``, ``host/path``, ``host/path:tag``, ``*.domain``) holds the reference."""
    if prefix.startswith("*."):
        host, _slash, path = prefix[1:].partition("/")
        name = reference.registry.partition(":")[0]
        if not name.endswith(host):
            return False
        return not path or _starts(reference.repository, path)
    full = str(reference)
    return _starts(full, prefix)


def _starts(text: str, prefix: str) -> bool:
    return text == prefix or (text.startswith(prefix) and text[len(prefix)] in "/:@")


def _rewrite(reference: Reference, prefix: str, location: str) -> Reference:
    """Replace ``prefix`` in the name by ``location``; without a location only a wildcard prefix is possible."""
    if not location or location == prefix:
        return reference
    if prefix.startswith("*."):
        _host, slash, path = prefix.partition("/")
        rest = str(reference)[len(reference.registry) + len(slash + path) :]
    else:
        rest = str(reference)[len(prefix) :]
    return parse_reference(location + rest)


def read_registries(files: tuple[str, ...] | None = None) -> Registries:
    """Read and merge the files (weakest first); by default those of the machine and the user.

    Raises:
        Usage: a file is not valid; the message names file and key.
    """
    by_default = files is None
    if files is None:
        files = config_files("registries.conf", override=os.environ.get("CONTAINERS_REGISTRIES_CONF"))
    merged = Registries(files=files)
    for path in files:
        merged = _merge(merged, _load(path), path)
    if by_default:
        # What the user chose at a prompt is stronger than what files offer.
        merged = merged.replace(aliases={**merged.aliases, **read_aliases(alias_file())})
    return merged


def _load(path: str) -> dict[str, Any]:
    import tomllib

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError, RecursionError) as cause:
        raise Usage(f"cannot read {path}: {cause}", remedy=f"mend or remove {path}") from cause


def _merge(before: Registries, table: dict[str, Any], path: str) -> Registries:
    if isinstance(table.get("registries"), dict):
        table = _from_version_1(table["registries"], path)
    changes: dict[str, Any] = {}
    if "unqualified-search-registries" in table:
        changes["search"] = _texts(table["unqualified-search-registries"], "unqualified-search-registries", path)
    if "credential-helpers" in table:
        changes["credential_helpers"] = _texts(table["credential-helpers"], "credential-helpers", path)
    mode = table.get("short-name-mode", before.short_name_mode)
    if mode not in _MODES:
        raise Usage(f"{path}: short-name-mode {mode!r} is none of {', '.join(_MODES)}", remedy=f"mend {path}")
    aliases = table.get("aliases", {})
    if not isinstance(aliases, dict) or not all(isinstance(value, str) for value in aliases.values()):
        raise Usage(f"{path}: aliases must map names to names", remedy=f"mend {path}")
    tables = table.get("registry", [])
    if not isinstance(tables, list) or not all(isinstance(entry, dict) for entry in tables):
        raise Usage(f"{path}: registry must be written [[registry]]", remedy=f"mend {path}")
    own = {registry.prefix: registry for registry in (_registry(entry, path) for entry in tables)}
    kept = tuple(registry for registry in before.registries if registry.prefix not in own)
    # An empty alias takes one of a weaker file away.
    merged = {name: value for name, value in {**before.aliases, **aliases}.items() if value}
    return before.replace(aliases=merged, registries=(*kept, *own.values()), short_name_mode=mode, **changes)


def _from_version_1(tables: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a version 1 file (``[registries.search] registries = [...]``) as version 2."""

    def listed(name: str) -> list[str]:
        table = tables.get(name) or {}
        if not isinstance(table, dict):
            raise Usage(f"{path}: registries.{name} is not a table", remedy=f"mend {path}")
        return list(_texts(table.get("registries") or [], f"registries.{name}.registries", path))

    flags: dict[str, dict[str, Any]] = {}
    for name, key in (("insecure", "insecure"), ("block", "blocked")):
        for host in listed(name):
            flags.setdefault(host, {"location": host})[key] = True
    return {"unqualified-search-registries": listed("search"), "registry": list(flags.values())}


def _texts(value: object, key: str, path: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Usage(f"{path}: {key} must be a list of strings", remedy=f"mend {path}")
    return tuple(value)


def _registry(table: dict[str, Any], path: str) -> Registry:
    location = _plain(table.get("location", ""), path)
    prefix = _plain(table.get("prefix", ""), path) or location
    if not prefix:
        raise Usage(f"{path}: a [[registry]] has neither prefix nor location", remedy=f"mend {path}")
    if not location and not prefix.startswith("*."):
        location = prefix
    mirrors = []
    tables = table.get("mirror", [])
    if not isinstance(tables, list) or not all(isinstance(entry, dict) for entry in tables):
        raise Usage(f"{path}: a mirror must be written [[registry.mirror]]", remedy=f"mend {path}")
    for mirror in tables:
        pull_from = mirror.get("pull-from-mirror", "all")
        place = _plain(mirror.get("location", ""), path)
        if pull_from not in _PULL_FROM or not place:
            raise Usage(f"{path}: a mirror of {prefix} is not valid", remedy=f"mend {path}")
        mirrors.append(Mirror(location=place, insecure=_truth(mirror, "insecure", path), pull_from=pull_from))
    return Registry(
        prefix=prefix,
        location=location,
        insecure=_truth(table, "insecure", path),
        blocked=_truth(table, "blocked", path),
        mirrors=tuple(mirrors),
        mirror_by_digest_only=_truth(table, "mirror-by-digest-only", path),
    )


def _truth(table: dict[str, Any], key: str, path: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise Usage(
            f"{path}: {key} = {value!r} is neither true nor false", remedy=f"write {key} = true, or leave it out"
        )
    return value


def _plain(location: object, path: str) -> str:
    if not isinstance(location, str) or "://" in location:
        raise Usage(f"{path}: {location!r} is not a location (host[:port][/path], no scheme)", remedy=f"mend {path}")
    return location.rstrip("/")
