"""``rpod images``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, Option, flag, text, texts

SORTS = ("created", "id", "repository", "size", "tag")

COMMAND = Command(
    name="images",
    summary="List images in local storage",
    help="Lists the images that are here, one line a name. The built-in image host is not listed.",
    options=(
        flag("--all", "Also show images that only others are built on", "-a"),
        flag("--digests", "Show digests"),
        texts("--filter", "Only images that fit KEY=VALUE", "-f", metavar="FILTER"),
        text("--format", "json, or a Go template", metavar="FORMAT"),
        flag("--history", "Show the names an image has had"),
        flag("--no-trunc", "Whole ids"),
        flag("--noheading", "No column titles", "-n"),
        flag("--quiet", "Ids only", "-q"),
        Option(
            name="--sort", help="created, id, repository, size or tag", metavar="KEY", default="created", choices=SORTS
        ),
    ),
    arguments=(Argument(name="IMAGE", kind="optional", help="Only this image or repository", completes="image"),),
    examples=("rpod images", "rpod images --filter dangling=true -q", "rpod images --format '{{.ID}} {{.Size}}'"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print the list."""
    from rootless_pod.commands.image_rows import image_rows
    from rootless_pod.commands.table import wants_json

    form = call.text("format")
    rows = image_rows(
        call.paths,
        conditions=call.texts("filter"),
        word=call.one("image"),
        everything=call.flag("all"),
        sort=call.text("sort"),
        parents=wants_json(form) or "ParentId" in form,
    )
    if wants_json(form):
        from rootless_pod.commands.template import pretty_json

        sys.stdout.write(pretty_json([row.as_json() for row in rows]) + "\n")
        return 0
    whole = call.flag("no_trunc")
    if call.flag("quiet") and not form:
        ids = dict.fromkeys(row.shown_id(whole=whole) for row in rows)
        sys.stdout.write("".join(f"{one}\n" for one in ids))
        return 0
    from rootless_pod.commands.template import print_rows

    print_rows(
        form or _columns(call, read_only=any(row.image.store for row in rows)),
        [row.fields(whole=whole) for row in rows],
        _HEADINGS,
        noheading=call.flag("noheading"),
    )
    return 0


_HEADINGS = {"ID": "IMAGE ID", "CreatedSince": "CREATED", "ReadOnly": "R/O"}


def _columns(call: Call, *, read_only: bool) -> str:
    columns = ["{{.Repository}}", "{{.Tag}}"]
    if call.flag("digests"):
        columns.append("{{.Digest}}")
    columns += ["{{.ID}}", "{{.CreatedSince}}", "{{.Size}}"]
    if call.flag("history"):
        columns.append("{{.History}}")
    if read_only:
        columns.append("{{.ReadOnly}}")
    return "table " + " ".join(columns)
