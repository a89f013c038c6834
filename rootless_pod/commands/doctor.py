"""``rpod doctor``: does it work here, and if not, what mends it."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Call, Command, flag, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless_pod.doctor.finding import Finding

COMMAND = Command(
    name="doctor",
    summary="Try every building block and say what mends those that fail",
    help=(
        "Tries everything containers rest on for real, in throw-away processes, and at last runs a container. For each "
        "part that fails it prints one sentence and one command that mends it.\n\n"
        "Marks: ok works; note fails, but is not needed here; limited takes something away; FAILED keeps containers "
        "from running. Exit code 0 when the container ran, 1 when it did not."
    ),
    options=(
        flag("--quiet", "Only what is limited or failed", "-q"),
        text("--format", "json, or a Go template", "-f", metavar="FORMAT"),
    ),
    examples=("rpod doctor", "rpod doctor --quiet", "rpod doctor --format '{{range .Findings}}{{.Remedy}}{{end}}'"),
    needs_userns=False,
)
SICK_EXIT_CODE = 1
_MARKS = {"ok": "ok", "note": "note", "limited": "limited", "failed": "FAILED"}
_STYLES = {"ok": "green", "note": "cyan", "limited": "yellow", "failed": "bold red"}
_WIDTH = 9


def main(call: Call) -> int:
    """Print every finding as soon as it is there; return whether a container ran."""
    from rootless_pod.doctor.checks import Wishes, examine

    chosen = call.globals
    findings = examine(
        Wishes(
            root=chosen.root,
            runroot=chosen.runroot,
            storage_driver=chosen.storage_driver,
            runtime=chosen.runtime,
            conmon=chosen.conmon,
        )
    )
    form = call.text("format")
    if form:
        return _print_formatted(form, list(findings))
    return _print_lines(findings, quiet=call.flag("quiet"))


def _print_formatted(form: str, findings: list[Finding]) -> int:
    from rootless_pod.commands.template import print_values

    works = findings[-1].state == "ok"
    rows = [{"Subject": one.subject, "State": one.state, "Text": one.text, "Remedy": one.remedy} for one in findings]
    print_values(form, {"Works": works, "Findings": rows})
    return 0 if works else SICK_EXIT_CODE


def _print_lines(findings: Iterator[Finding], *, quiet: bool) -> int:
    show = _painted if sys.stdout.isatty() and _rich_is_there() else _plain
    last = None
    for one in findings:
        last = one
        if not quiet or one.state in ("limited", "failed"):
            show(one)
            sys.stdout.flush()
    return 0 if last is not None and last.state == "ok" else SICK_EXIT_CODE


def _plain(one: Finding) -> None:
    sys.stdout.write(f"{_MARKS[one.state]:<{_WIDTH}}{one.subject}: {one.text}\n")
    if one.state != "ok" and one.remedy:
        sys.stdout.write(f"{'':<{_WIDTH}}  -> {one.remedy}\n")


def _rich_is_there() -> bool:
    try:
        import rich  # noqa: F401 - only whether it is there
    except ImportError:
        return False
    return True


def _painted(one: Finding) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_column(width=_WIDTH)
    table.add_column(overflow="fold")
    words = Text.assemble((one.subject, "bold"), ": ", one.text)
    if one.state != "ok" and one.remedy:
        words.append(f"\n-> {one.remedy}", style="italic")
    table.add_row(Text(_MARKS[one.state], style=_STYLES[one.state]), words)
    Console().print(table)
