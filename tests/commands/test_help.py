"""Help: rich through typer, plain where typer is not installed, both from the same declaration."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

from rootless_pod.commands import index
from rootless_pod.commands.declare import Argument, Command, Option, flag, text
from rootless_pod.commands.plain_help import command_help, group_help
from rootless_pod.commands.typer_app import load_command

SCRIPT = pathlib.Path(__file__).parents[2] / "bin" / "rpod"

TRY = Command(
    name="try",
    summary="Try something",
    help="Tries SOMETHING until it works.",
    options=(
        flag("--all", "Try all", "-a"),
        text("--name", "The name", metavar="NAME", default="x"),
        Option(name="--time", short="-t", kind="uint", metavar="SECONDS", help="How long", group="Limits"),
        Option(name="--pod", refuse="no pods; leave it out"),
        Option(name="--secret-door", hidden=True),
    ),
    arguments=(Argument(name="SOMETHING"), Argument(name="MORE", kind="many")),
    examples=("rpod try luck",),
)

NO_SITE = f"""
import sys
sys.path.append({str(SCRIPT.parents[1])!r})
from rootless_pod.cli import main
sys.exit(main(["version", "--help"]))
"""

GOLDEN = """\
Try something

Description:
  Tries SOMETHING until it works.

Usage:
  rpod container try [options] SOMETHING [MORE...]

Examples:
  rpod try luck

Options:
  -a, --all        Try all
      --name NAME  The name (default x)

Limits options:
  -t, --time SECONDS  How long
"""


def with_typer(*words):
    environment = {**os.environ, "COLUMNS": "160", "RPOD_PYTHON": sys.executable, "TERM": "dumb", "NO_COLOR": "1"}
    return subprocess.run(
        [str(SCRIPT), *words], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_plain_text_is_laid_out_like_podmans():
    assert command_help(TRY, "container try") == GOLDEN


@pytest.mark.parametrize("words", sorted(index.COMMANDS))
def test_the_help_of_every_command_shows_each_option_that_acts_and_none_that_is_refused(words):
    command = load_command(words)
    shown = with_typer(*words.split(), "--help")
    assert (shown.returncode, shown.stderr) == (0, ""), shown.stderr
    plain = command_help(command, words)
    assert f"Usage: rpod {words}" in shown.stdout
    assert f"rpod {words}" in plain
    for option in command.options:
        assert (re.search(f"{option.name}[ ,]", shown.stdout) is not None) == option.shown, option.name
        assert (re.search(f"{option.name}[ \\n]", plain) is not None) == option.shown, option.name
        if option.shown:
            assert option.help, option.name
    for example in command.examples:
        assert example in plain
        assert example.split()[0] in shown.stdout


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], ["--root", "/x", "--help"]])
def test_the_programs_help_lists_every_command_and_group(words):
    shown = with_typer(*words)
    assert (shown.returncode, shown.stderr) == (0, "")
    for word in [*index.within(""), *index.groups_within("")]:
        if index.ALIASES.get(word) is None:
            assert f" {word} " in shown.stdout
            assert f"  {word} " in group_help("")
    assert "--log-level" in shown.stdout
    assert "(default warn)" in shown.stdout


@pytest.mark.parametrize("group", sorted(index.GROUPS))
def test_a_groups_help_lists_its_commands(group):
    for shown in (with_typer(group, "--help"), with_typer("help", group)):
        assert (shown.returncode, shown.stderr) == (0, "")
        assert f"Usage: rpod {group} " in shown.stdout
        for word in index.within(group):
            assert f" {word} " in shown.stdout
            assert f"  {word} " in group_help(group)


def test_help_of_a_noun_form_is_that_of_its_command():
    assert "rpod ps" in with_typer("container", "ls", "--help").stdout
    assert "rpod ps" in with_typer("help", "container", "ls").stdout


def test_help_of_nothing_known_is_a_usage_error():
    shown = with_typer("help", "nosuch")
    assert (shown.returncode, shown.stdout) == (125, "")
    assert "unknown command 'rpod nosuch'" in shown.stderr


def test_brackets_in_help_texts_are_shown_as_they_are():
    assert "[[IP:][HOSTPORT]:]PORT[/udp]" in with_typer("run", "--help").stdout


def test_without_typer_the_help_is_plain():
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            NO_SITE,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "Show the versions of rpod and what it stands on\n\nUsage:\n  rpod version [options]\n"
    )
