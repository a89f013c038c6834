"""``rpod history``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.image.inspect import HistoryEntry

COMMAND = Command(
    name="history",
    summary="Show the history of an image",
    help="Lists the steps that made an image, the newest first.",
    options=(
        text("--format", "json, or a Go template", metavar="FORMAT"),
        flag("--human", "Sizes and times in words", "-H", default=True),
        flag("--no-trunc", "Whole ids and commands"),
        flag("--quiet", "Ids only", "-q"),
    ),
    arguments=(Argument(name="IMAGE", help="The image, by name or id", completes="image"),),
    examples=("rpod history app", "rpod history --format '{{.CreatedBy}}' app"),
    needs_userns=False,
)
_MISSING = "<missing>"
_COMMAND_WIDTH = 45


def main(call: Call) -> int:
    """Print the steps."""
    from rootless_pod.image.inspect import history
    from rootless_pod.image.lookup import lookup

    steps = history(call.paths, lookup(call.paths, call.one("image")))
    form = call.text("format")
    from rootless_pod.commands.table import wants_json

    if wants_json(form):
        from rootless_pod import jsontext

        sys.stdout.write(jsontext.dumps([_as_json(step) for step in steps]) + "\n")
        return 0
    rows = [_row(call, step) for step in steps]
    if call.flag("quiet"):
        sys.stdout.write("".join(f"{row['ID']}\n" for row in rows))
        return 0
    from rootless_pod.commands.template import print_rows

    print_rows(form or "table {{.ID}} {{.Created}} {{.CreatedBy}} {{.Size}} {{.Comment}}", rows, {})
    return 0


def _as_json(step: HistoryEntry) -> dict[str, object]:
    found: dict[str, object] = {
        "id": step.image_id or _MISSING,
        "created": step.created,
        "Created": step.created,
        "CreatedBy": step.created_by,
        "size": step.size_bytes,
    }
    if step.comment:
        found["comment"] = step.comment
    if step.names:
        found["tags"] = list(step.names)
    return found


def _row(call: Call, step: HistoryEntry) -> dict[str, object]:
    from rootless_pod.commands.humanize import size
    from rootless_pod.commands.times import ago, parse_time

    whole, human = call.flag("no_trunc"), call.flag("human")
    since = ago(parse_time(step.created)) if step.created else "N/A"
    command = step.created_by
    if not whole and len(command) > _COMMAND_WIDTH:
        command = command[: _COMMAND_WIDTH - 3] + "..."
    image_id = step.image_id or _MISSING
    return {
        "ID": image_id if whole or not step.image_id else image_id[:12],
        "Created": since if human else step.created,
        "CreatedAt": step.created,
        "CreatedSince": since,
        "CreatedBy": command,
        "Size": size(step.size_bytes) if human else str(step.size_bytes),
        "Comment": step.comment,
        "Tags": list(step.names),
    }
