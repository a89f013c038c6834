"""``rpod artifact ls``."""

from __future__ import annotations

from rootless_pod.commands.declare import Call, Command, flag, text

COMMAND = Command(
    name="ls",
    summary="List artifacts",
    help="Lists the artifacts that are here.",
    options=(
        text("--format", "json, or a Go template", metavar="FORMAT"),
        flag("--no-trunc", "Whole digests"),
        flag("--noheading", "No column titles", "-n"),
    ),
    examples=("rpod artifact ls",),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print the list."""
    from rootless_pod.commands.humanize import size
    from rootless_pod.commands.template import print_rows
    from rootless_pod.image.artifact import list_artifacts
    from rootless_pod.image.inspect import split_name

    rows = []
    for one in list_artifacts(call.paths):
        repository, tag = split_name(one.entry.name) if one.entry.name else ("<none>", "<none>")
        digest = one.entry.digest.removeprefix("sha256:")
        rows.append(
            {
                "Repository": repository,
                "Tag": tag or "<none>",
                "Digest": digest if call.flag("no_trunc") else digest[:12],
                "Size": size(one.size_bytes, digits=4, blank=False),
                "Type": one.kind,
            }
        )
    form = call.text("format") or "table {{.Repository}} {{.Tag}} {{.Digest}} {{.Size}}"
    print_rows(form, rows, {}, noheading=call.flag("noheading"))
    return 0
