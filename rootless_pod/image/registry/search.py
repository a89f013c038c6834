"""Look for images: the search API of version 1 (Docker Hub and others), else the catalog of version 2.

Source: Docker's Index API v1, "Search"; distribution, "Listing Repositories".
"""

from __future__ import annotations

from urllib.parse import quote, urlencode, urlsplit

from rootless_pod.config.registries import Endpoint, read_registries
from rootless_pod.errors import NotFound, Refused, RpodError, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.image.registry.client import RegistryClient, next_page
from rootless_pod.image.registry.connect import open_session
from rootless_pod.image.registry.session import read_json
from rootless_pod.oci.reference import Reference, has_registry, parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.config.registries import Registries
    from rootless_pod.image.registry.connect import Access
    from rootless_pod.image.registry.session import Session

DEFAULT_LIMIT = 25
DEFAULT_TAG_LIMIT = 25
_MOST_PER_PAGE = 100
_MAX_BODY = 16 << 20
_MAX_PAGES = 100
_HUB_SEARCH = "index.docker.io"


class SearchResult(Frozen):
    """One repository found."""

    index: str
    name: str
    description: str = ""
    stars: int = 0
    official: bool = False
    automated: bool = False


class TagResult(Frozen):
    """One tag of a repository."""

    name: str
    tag: str


class SearchFilter(Frozen):
    """What results must be; ``None`` lets all pass."""

    stars: int = 0
    official: bool | None = None
    automated: bool | None = None

    def passes(self, result: SearchResult) -> bool:
        """Tell whether a result is wanted."""
        return (
            result.stars >= self.stars
            and self.official in (None, result.official)
            and self.automated in (None, result.automated)
        )


def parse_filters(words: tuple[str, ...]) -> SearchFilter:
    """Parse ``stars=N``, ``is-official[=BOOL]`` and ``is-automated[=BOOL]`` (raises Usage)."""
    found = SearchFilter()
    for word in words:
        name, _equals, value = word.partition("=")
        if name == "stars" and value.isdigit():
            found = found.replace(stars=int(value))
        elif name in ("is-official", "is-automated") and value in ("", "true", "false"):
            found = found.replace(**{name.removeprefix("is-"): value != "false"})
        else:
            raise Usage(f"not a filter: {word!r}", remedy="use stars=N, is-official or is-automated")
    return found


def search(term: str, access: Access, *, limit: int | None = None, wanted: SearchFilter) -> tuple[SearchResult, ...]:
    """Search the registry that ``term`` begins with, or every registry that is configured.

    A registry that fails is left out where another one answered.

    Raises:
        Usage: there is no registry to search.
        NotFound, Refused: every registry failed; what the first said.
    """
    registries = read_registries()
    places = registries.search
    host, slash, rest = term.partition("/")
    if slash and has_registry(f"{host}/x"):
        places, term = (host,), rest
    if not places:
        raise Usage(
            "no registry is configured to search",
            remedy="write REGISTRY/TERM, or set unqualified-search-registries in registries.conf",
        )
    found: list[SearchResult] = []
    faults: list[RpodError] = []
    for place in places:
        try:
            results = _search_one(place, term, registries, access, limit or DEFAULT_LIMIT)
        except RpodError as fault:
            faults.append(fault)
            continue
        found += [one for one in results if wanted.passes(one)][: limit or DEFAULT_LIMIT]
    if len(faults) == len(places):
        raise faults[0]
    return tuple(found)


def _search_one(host: str, term: str, registries: Registries, access: Access, limit: int) -> tuple[SearchResult, ...]:
    probe = Reference(registry=host, repository="search", tag="latest")
    endpoint = registries.endpoints(probe)[-1]
    asked = _HUB_SEARCH if endpoint.reference.registry == "docker.io" else endpoint.reference.registry
    there = Endpoint(reference=probe.replace(registry=asked), insecure=endpoint.insecure)
    session = open_session(there, registries, access, scopes=())
    session.shown = host
    try:
        return _by_search(session, host, term, limit)
    except (NotFound, Refused) as fault:
        if host == "docker.io":
            raise
        try:
            return _by_catalog(session, host, term, limit)
        except (NotFound, Refused) as other:
            raise Refused(
                f"registry {host} can't be searched: {other.message}",
                remedy=f"name an image: rpod search --list-tags {host}/NAME, or log in: rpod login {host}",
            ) from fault


def _by_search(session: Session, host: str, term: str, limit: int) -> tuple[SearchResult, ...]:
    found: list[SearchResult] = []
    page = 1
    while len(found) < limit and page <= _MAX_PAGES:
        query = urlencode({"q": term, "n": str(min(limit, _MOST_PER_PAGE)), "page": str(page)})
        response = session.get(f"/v1/search?{query}", {"Accept": "application/json"})
        try:
            document = read_json(response, host, limit=_MAX_BODY)
        finally:
            response.close()
        listed = document.get("results")
        rows = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        found += [_result(host, row) for row in rows]
        pages = document.get("num_pages")
        if not rows or not isinstance(pages, int) or page >= pages:
            break
        page += 1
    return tuple(found[:limit])


def _result(host: str, row: dict[str, object]) -> SearchResult:
    stars = row.get("star_count")
    name = str(row.get("name", ""))
    if host == "docker.io" and "/" not in name:
        name = f"library/{name}"
    return SearchResult(
        index=host,
        name=f"{host}/{_printable(name)}",
        description=_printable(str(row.get("description") or "")),
        stars=stars if isinstance(stars, int) else 0,
        official=row.get("is_official") is True,
        automated=row.get("is_automated") is True,
    )


def _printable(text: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _by_catalog(session: Session, host: str, term: str, limit: int) -> tuple[SearchResult, ...]:
    """Go through all repositories for those whose name holds ``term``."""
    found: list[SearchResult] = []
    following: str | None = f"/v2/_catalog?n={_MOST_PER_PAGE}"
    for _page in range(_MAX_PAGES):
        response = session.get(following or "", {"Accept": "application/json"})
        try:
            document = read_json(response, host, limit=_MAX_BODY)
        finally:
            response.close()
        listed = document.get("repositories")
        names = [str(name) for name in listed] if isinstance(listed, list) else []
        found += [SearchResult(index=host, name=f"{host}/{_printable(name)}") for name in names if term in name]
        following = next_page(response.headers.get("Link", ""), response.url)
        if following is None or urlsplit(following).netloc != session.host or len(found) >= limit:
            break
    return tuple(found[:limit])


def list_tags(name: str, access: Access, *, limit: int | None = None) -> tuple[TagResult, ...]:
    """Return the tags of a repository, in the registry's order (0 or None: at most 25).

    Raises:
        Usage: the name says no registry.
        NotFound, Refused: the registry has no such repository, or says no.
    """
    name = name.removeprefix("docker://")
    if not has_registry(name.partition("@")[0]):
        raise Usage(f"{name!r} names no registry", remedy=f"write docker.io/library/{quote(name)}")
    reference = parse_reference(name)
    registries = read_registries()
    endpoint = registries.endpoints(reference)[-1]
    there = endpoint.reference
    session = open_session(endpoint, registries, access, scopes=(f"repository:{there.repository}:pull",))
    tags = RegistryClient.on(session, there.repository).tags()
    return tuple(TagResult(name=reference.name, tag=_printable(tag)) for tag in tags[: limit or DEFAULT_TAG_LIMIT])
