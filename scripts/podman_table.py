"""Write docs/podman.md: each command and option of podman 4.3.1, and what rpod makes of it.

What is known of podman stands in podman-4.3.1.json (from its own --help); what is known of rpod, in its declarations.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

TOP = Path(__file__).parents[1]
PAGE = TOP / "docs" / "podman.md"
sys.path[:0] = [str(TOP), str(TOP / "scripts")]

import podman_coverage  # noqa: E402 - the paths come first

from rootless_pod.commands import index  # noqa: E402
from rootless_pod.commands.declare import Command, Option  # noqa: E402

PODMAN: dict[str, str] = podman_coverage.PODMAN
MARKS = json.loads((TOP / "scripts" / "podman-marks.json").read_text())

# (command or "" for all, option) → mark and words. What is not named here and is declared is "same".
NOTES = {
    ("", "--network"): (
        "better",
        "not given: pasta where it works, else slirp4netns, else host with a line that says why",
    ),
    ("", "--publish"): ("better", "a port that is taken is reported with the next free one"),
    ("", "--userns"): (
        "better",
        "keep-id starts at once: owners are shifted by the kernel or by FUSE, nothing is copied",
    ),
    ("", "--uidmap"): ("better", "as with keep-id, nothing is copied"),
    ("", "--gidmap"): ("better", "as with keep-id, nothing is copied"),
    ("", "--memory"): ("better", "without a delegated controller it is refused with the remedy, never dropped"),
    ("", "--cpus"): ("better", "without a delegated controller it is refused with the remedy, never dropped"),
    ("", "--pids-limit"): ("better", "without a delegated controller it is refused with the remedy, never dropped"),
}
WORDS = {
    "run": "The image `host` is this machine's own system. `--dry-run` prints the whole plan and changes nothing.",
    "create": "As `run`, without starting; `--dry-run` too.",
    "ps": "Reads no database: what it shows is looked up at that moment.",
    "inspect": "The fields scripts read; not every field podman has.",
    "unshare": "Joins the namespace that all containers of this user live in.",
    "pull": "Also from `oci:`, `oci-archive:` and `docker-archive:`; each blob is checked while it streams.",
    "stop": "A paused container is thawed and stopped (podman refuses); one that is initialized is ended at once.",
    "stats": "Works without cgroups too: what no controller counts is summed over the processes.",
    "top": "Where the container has no ps, `-eo` with names of descriptors works all the same.",
    "update": "Also of containers that do not run, and of the restart policy; podman 4.3.1 forgets it at the next start.",
    "mount": "A container that is started takes the mount over; after its end it is mounted no more.",
    "exec": "Without a terminal the process is started by the runtime directly, no second monitor stays beside it.",
}
INTRODUCTION = """# rpod beside podman

Written by `scripts/podman-table` from the declarations of rpod's commands; a test holds it current. Compared with
podman 4.3.1. **same**: type what you know. **better**, **different**: the note says how. **refused**: known, and
answered with the reason and what to do instead, because an option that is silently ignored is worse than none.
**not yet**: to come. Options that podman got later (`run --gpus`, `--health-startup-cmd` …) are known too and
treated alike. The marks: **M** what everybody relies on, **E** expected, **N** nice to have, **S** of no use without
root (`scripts/podman-marks.json`).

"Named by" is a test that types the option for real: a scene of the lines that `scripts/compare-podman` runs through both
tools ([what differed](compare.md)), or an end-to-end test. `create` takes the options of `run` by the same code, so what
names one names both. A test holds that each M and E row that is same or better has a name.
"""
REFUSED = ("container checkpoint", "container restore")
COLUMNS = "| option | mark | | named by | note |\n|---|---|---|---|---|\n"


def declared(command: Command) -> dict[str, Option]:
    """Return each spelling and its option."""
    return {name: option for option in command.options for name in (option.name, *option.aliases)}


def mark_of(command: str, flag: str, option: Option | None) -> tuple[str, str]:
    """Return same, better, different, refused or missing, and what to know."""
    if command in REFUSED:
        return "refused", "the command itself is"
    if option is None:
        return "not yet", "unknown here: a usage error"
    if option.refuse and not option.choices:
        reason, _semicolon, remedy = option.refuse.partition("; ")
        return "refused", f"{reason}. {remedy[:1].upper()}{remedy[1:]}" if remedy else reason
    for key in ((command, flag), ("", flag)):
        if key in NOTES:
            return NOTES[key]
    if option.refuse:
        reason, _semicolon, remedy = option.refuse.partition("; ")
        return "different", f"only {', '.join(option.choices)}: {reason}. {remedy[:1].upper()}{remedy[1:]}"
    return "same", ""


def _quoted(words: Iterable[str]) -> str:
    return " ".join(f"`{one}`" for one in sorted(words))


def mark_for(command: str, flag: str = "") -> str:
    """Return M, E, N, S or later for a command or one of its options; an option counts as its command does."""
    if flag and command in ("run", "create"):
        found = [mark for mark, flags in MARKS["run"].items() if flag in flags]
        return found[0] if found else "N"
    found = [mark for mark, commands in MARKS["commands"].items() if command in commands]
    return found[0] if found else "N"


def named_by(command: str, flag: str, have: dict[str, Option], names: podman_coverage.Names) -> list[str]:
    """Return who types an option; ``run`` and ``create`` answer for each other."""
    name = have[flag].name if flag else ""
    twins = ("run", "create") if command in ("run", "create") and flag else (command,)
    return [
        where for one in (command, *(twin for twin in twins if twin != command)) for where in names.get((one, name), [])
    ]


def section(words: str, command: Command, flags: list[str], names: podman_coverage.Names) -> str:
    have = declared(command)
    more = sorted(name for name, option in have.items() if name not in flags and option.shown and not option.hidden)
    by = named_by(words, "", have, names)
    text = f"### {words}\n\n{mark_for(words)}; {_named(by) or 'not named by a test yet'}.\n\n"
    if words in WORDS:
        text += WORDS[words] + "\n\n"
    if not flags:
        text += "Same; it has no options.\n\n"
    if more:
        text += "Also here: " + " ".join(f"`{flag}`" for flag in more) + "\n\n"
    if flags:
        text += COLUMNS
    for flag in sorted(flags):
        mark, note = mark_of(words, flag, have.get(flag))
        where = _named(named_by(words, flag, have, names)) if flag in have else ""
        text += f"| `{flag}` | {mark_for(words, flag)} | {mark} | {where} | {note} |\n"
    return text + ("\n" if flags else "")


def _named(where: list[str]) -> str:
    """Return the first name, and how many more there are."""
    if not where:
        return ""
    return (where[0] if len(where) < 2 else f"{where[0]} (+{len(where) - 1})").replace("|", "\\|")


def without_names(text: str) -> str:
    """Return the page without the column of names: tests come and go faster than options."""
    lines = []
    for line in text.splitlines():
        if line.startswith("Same or better, but typed by no test yet"):
            continue
        cells = line.split(" | ")
        if line.startswith("| `--") and len(cells) == 5:
            cells[3] = ""
        lines.append(" | ".join(cells) if not re.match(r"(M|E|N|S|later); ", line) else line.partition(";")[0])
    return "\n".join(lines)


def unnamed() -> list[str]:
    """Return the M and E rows that are same or better and that no test names."""
    names, missing = podman_coverage.names(), []
    for words in here():
        flags = PODMAN[words].split() if words in PODMAN else []
        have = declared(here()[words])
        for flag in ["", *flags]:
            marked = mark_for(words, flag) in ("M", "E")
            state = mark_of(words, flag, have.get(flag))[0] if flag else "same"
            if marked and state in ("same", "better") and not named_by(words, flag, have, names):
                missing.append(f"{words} {flag}".strip())
    return missing


@functools.cache
def here() -> dict[str, Command]:
    """Return rpod's commands by their words."""
    return {words: podman_coverage.declaration(words) for words in index.COMMANDS}


def page() -> str:
    podman, names = PODMAN, podman_coverage.names()
    aliases = {spelling: target for spelling, target in index.ALIASES.items() if spelling in podman}
    counts: dict[str, int] = {}
    sections = []
    for words in sorted(here()):
        if words not in podman:
            continue
        flags = podman[words].split()
        have = declared(here()[words])
        for flag in flags:
            mark = mark_of(words, flag, have.get(flag))[0]
            counts[mark] = counts.get(mark, 0) + 1
        sections.append(section(words, here()[words], flags, names))
    absent = sorted(words for words in podman if words not in here() and words not in aliases)
    coming = [words for words in absent if mark_for(words) in ("M", "E", "N")]
    own = sorted(words for words in here() if words not in podman)
    total = ", ".join(
        f"{counts[mark]} {mark}" for mark in ("same", "better", "different", "refused", "not yet") if mark in counts
    )
    return (
        INTRODUCTION
        + f"\nOptions of the commands below: {total}.\n\n## Commands\n\n"
        + f"Here: {_quoted(words for words in here() if words in podman)}\n\n"
        + "Other spellings of the same: "
        + ", ".join(f"`{a}` = `{b}`" for a, b in sorted(aliases.items()))
        + f"\n\nOnly here: {_quoted(own)}\n\nNot here yet: {_quoted(coming)}\n\n"
        + "To come with builds, kube files and the API: "
        + f"{_quoted(words for words in absent if mark_for(words) == 'later')}\n\n"
        + "Not planned, of no use without root: "
        + f"{_quoted(words for words in absent if mark_for(words) == 'S')}\n\n"
        + f"Same or better, but typed by no test yet: {_quoted(unnamed()) or 'nothing'}\n\n## Options\n\n"
        + "".join(sections)
    ).rstrip("\n") + "\n"  # fmt: skip


def main() -> int:
    text = page()
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or without_names(PAGE.read_text()) != without_names(text):
            print("docs/podman.md is not what the declarations say; run: scripts/podman-table", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
