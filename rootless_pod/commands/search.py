"""``rpod search``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, Option, flag, text, texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless_pod.image.registry.connect import Access
    from rootless_pod.image.registry.search import SearchResult

COMMAND = Command(
    name="search",
    summary="Search registries for images",
    help=(
        "Looks for repositories by the search API of registries that have one, else by going through their catalog. "
        "TERM may begin with a registry (quay.io/podman); otherwise those of registries.conf are searched. With "
        "--list-tags TERM is a repository, and its tags are listed."
    ),
    options=(
        text("--authfile", "File of registry credentials", metavar="FILE", completes="file"),
        text("--cert-dir", "TLS certificates and keys for the registry", metavar="DIR", completes="directory"),
        flag("--compatible", "Show stars, official and automated too, as Docker does"),
        text("--creds", "Credentials for the registry", metavar="USER[:PASSWORD]"),
        texts("--filter", "Only what fits: stars=N, is-official, is-automated", "-f", metavar="FILTER"),
        text("--format", "json, or a Go template", metavar="FORMAT"),
        Option(name="--limit", kind="uint", help="At most so many a registry (default 25)", metavar="N"),
        flag("--list-tags", "List the tags of a repository"),
        flag("--no-trunc", "Whole descriptions"),
        flag("--tls-verify", "Speak HTTPS and check certificates", default=True),
    ),
    arguments=(Argument(name="TERM", help="What to look for"),),
    examples=(
        "rpod search --limit 3 --filter is-official alpine",
        "rpod search --list-tags --limit 100 registry.example.org/team/app",
        "rpod search --tls-verify=false localhost:5000/",
    ),
    needs_userns=False,
)
_WIDTH = 45


def main(call: Call) -> int:
    """Print what was found."""
    from rootless_pod.image.registry.connect import Access
    from rootless_pod.image.registry.search import parse_filters, search

    access = Access(
        tls_verify=call.flag("tls_verify") if "tls_verify" in call.given else None,
        authfile=call.text("authfile") or None,
        creds=call.text("creds") or None,
        cert_dir=call.text("cert_dir") or None,
    )
    if call.flag("list_tags"):
        return _list_tags(call, access)
    wanted = parse_filters(call.texts("filter"))
    found = search(call.one("term"), access, limit=call.number("limit"), wanted=wanted)
    rows = [_row(one, whole=call.flag("no_trunc")) for one in found]
    columns = "{{.Name}} {{.Description}}"
    if call.flag("compatible"):
        columns += " {{.Stars}} {{.Official}} {{.Automated}}"
    _print(call, columns, rows)
    return 0


def _list_tags(call: Call, access: Access) -> int:
    from rootless_pod.errors import Usage
    from rootless_pod.image.registry.search import list_tags

    if call.texts("filter"):
        raise Usage("--filter can't go with --list-tags", remedy="use one of the two")
    found = list_tags(call.one("term"), access, limit=call.number("limit"))
    if call.text("format") == "json":
        from rootless_pod.commands.template import pretty_json

        grouped: dict[str, list[str]] = {}
        for one in found:
            grouped.setdefault(one.name, []).append(one.tag)
        sys.stdout.write(pretty_json([{"Name": name, "Tags": tags} for name, tags in grouped.items()]) + "\n")
        return 0
    _print(call, "{{.Name}} {{.Tag}}", [{"Name": one.name, "Tag": one.tag} for one in found])
    return 0


def _row(found: SearchResult, *, whole: bool) -> dict[str, object]:
    description = found.description
    if not whole and len(description) > _WIDTH:
        description = description[: _WIDTH - 3] + "..."
    return {
        "Index": found.index,
        "Name": found.name,
        "Description": description,
        "Stars": found.stars,
        "Official": "[OK]" if found.official else "",
        "Automated": "[OK]" if found.automated else "",
        "Tag": "",
    }


def _print(call: Call, columns: str, rows: Sequence[dict[str, object]]) -> None:
    form = call.text("format")
    if form == "json":
        from rootless_pod.commands.template import pretty_json

        sys.stdout.write(pretty_json(list(rows)) + "\n")
        return
    from rootless_pod.commands.template import print_rows

    print_rows(form or f"table {columns}", rows, {})
