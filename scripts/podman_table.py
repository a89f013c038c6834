"""Write docs/podman.md: each command and option of podman 4.3.1, and what rpod makes of it.

What is known of podman stands in podman-4.3.1.json (from its own --help); what is known of rpod, in its declarations.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

TOP = Path(__file__).parents[1]
PAGE = TOP / "docs" / "podman.md"
sys.path.insert(0, str(TOP))

from rootless_pod.commands import index  # noqa: E402 - the path comes first
from rootless_pod.commands.declare import Command, Option  # noqa: E402

# (command or "" for all, option) → mark and words. What is not named here and is declared is "same".
NOTES = {
    ("", "--network"): (
        "different",
        "no bridges; not given: pasta where it works, else slirp4netns, else host with a line that says why",
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
Options that podman got later (`run --gpus`, `--health-startup-cmd` …) are known too and treated alike.
"""
COLUMNS = "| option | | |\n|---|---|---|\n"


def declared(command: Command) -> dict[str, Option]:
    """Return each spelling and its option."""
    return {name: option for option in command.options for name in (option.name, *option.aliases)}


def mark_of(command: str, flag: str, option: Option | None) -> tuple[str, str]:
    """Return same, better, different, refused or missing, and what to know."""
    if option is None:
        return "missing", "unknown here: a usage error"
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


def section(words: str, command: Command, flags: list[str]) -> str:
    have = declared(command)
    marks = {flag: mark_of(words, flag, have.get(flag)) for flag in flags}
    same = [flag for flag, (mark, note) in marks.items() if mark == "same" and not note]
    rest = {flag: value for flag, value in marks.items() if flag not in same}
    more = sorted(name for name, option in have.items() if name not in flags and option.shown and not option.hidden)
    text = f"### {words}\n\n"
    if words in WORDS:
        text += WORDS[words] + "\n\n"
    if same:
        text += "Same: " + " ".join(f"`{flag}`" for flag in same) + "\n\n"
    if not flags:
        text += "Same; it has no options.\n\n"
    if more:
        text += "Also here: " + " ".join(f"`{flag}`" for flag in more) + "\n\n"
    if rest:
        text += COLUMNS + "".join(f"| `{f}` | {mark} | {note} |\n" for f, (mark, note) in sorted(rest.items())) + "\n"
    return text


def page() -> str:
    podman: dict[str, str] = json.loads((TOP / "scripts" / "podman-4.3.1.json").read_text())
    here = {
        words: importlib.import_module(f"rootless_pod.commands.{row[0]}").COMMAND
        for words, row in index.COMMANDS.items()
    }
    aliases = {spelling: target for spelling, target in index.ALIASES.items() if spelling in podman}
    counts: dict[str, int] = {}
    sections = []
    for words in sorted(here):
        if words not in podman:
            continue
        flags = podman[words].split()
        have = declared(here[words])
        for flag in flags:
            mark = mark_of(words, flag, have.get(flag))[0]
            counts[mark] = counts.get(mark, 0) + 1
        sections.append(section(words, here[words], flags))
    absent = sorted(words for words in podman if words not in here and words not in aliases)
    own = sorted(words for words in here if words not in podman)
    total = ", ".join(
        f"{counts[mark]} {mark}" for mark in ("same", "better", "different", "refused", "missing") if mark in counts
    )
    return (
        INTRODUCTION
        + f"\nOptions of the commands below: {total}.\n\n## Commands\n\n"
        + f"Here: {_quoted(words for words in here if words in podman)}\n\n"
        + "Other spellings of the same: "
        + ", ".join(f"`{a}` = `{b}`" for a, b in sorted(aliases.items()))
        + f"\n\nOnly here: {_quoted(own)}\n\nNot here yet: {_quoted(absent)}\n\n## Options\n\n"
        + "".join(sections)
    ).rstrip("\n") + "\n"  # fmt: skip


def main() -> int:
    text = page()
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text() != text:
            print("docs/podman.md is not what the declarations say; run: scripts/podman-table", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
