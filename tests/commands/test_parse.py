"""The hot parser: podman's forms, its refusals, its words."""

from __future__ import annotations

import pytest

from rootless_pod.commands.declare import Argument, Command, Option, flag, text, texts
from rootless_pod.commands.globals import PERSISTENT
from rootless_pod.commands.parse import HelpWanted, parse
from rootless_pod.errors import Refused, Usage

COMMAND = Command(
    name="try",
    summary="Try",
    options=(
        flag("--interactive", "", "-i"),
        flag("--tty", "", "-t"),
        flag("--proxy", "", default=True),
        texts("--env", "", "-e"),
        texts("--dns", "", split=True),
        texts("--state", "", split=True, choices=("up", "down")),
        text("--name", ""),
        text("--host", "", "-h"),
        Option(name="--time", kind="uint", default=10),
        Option(name="--weight", kind="uint", keep_text=True, default=""),
        Option(name="--memory", short="-m", kind="size"),
        Option(name="--wait", kind="duration"),
        Option(name="--color", short="-c", kind="optional", optional_value="always"),
        Option(name="--pod", refuse="no pods; use a network"),
        Option(name="--restart", default="no", choices=("no",), refuse="no daemon; use systemd"),
    ),
    arguments=(Argument(name="IMAGE"), Argument(name="COMMAND", kind="rest")),
    interspersed=False,
)


def values(*words):
    return parse(COMMAND, [*words, "img"]).values


# Source of each: pflag, FlagSet.parseLongArg and parseSingleShortArg; seen with podman 4.3.1.
@pytest.mark.parametrize(
    ("words", "key", "wanted"),
    [
        (["-it"], "tty", True),
        (["--tty=false"], "tty", False),
        (["--proxy=false"], "proxy", False),
        (["--proxy=F"], "proxy", False),
        ([], "proxy", True),
        (["-i=false"], "interactive", False),
        (["-it=false"], "tty", False),
        (["-e=K=V"], "env", ("K=V",)),
        (["-eK=V"], "env", ("K=V",)),
        (["-ite", "K"], "env", ("K",)),
        (["-e="], "env", ("=",)),
        (["-e", "a,b"], "env", ("a,b",)),
        (["--env=a", "--env", "b"], "env", ("a", "b")),
        (["--dns", "1,2", "--dns=3"], "dns", ("1", "2", "3")),
        (["--dns", '"a,b",c'], "dns", ("a,b", "c")),
        (["--state", "up,down"], "state", ("up", "down")),
        (["--name="], "name", ""),
        (["--name", "--tty"], "name", "--tty"),
        (["--time", "0"], "time", 0),
        ([], "time", 10),
        (["--weight", "5"], "weight", "5"),
        (["-m64m"], "memory", "64m"),
        (["--wait", "1m30s"], "wait", "1m30s"),
        (["-c"], "color", "always"),
        (["--color"], "color", "always"),
        (["--color=never"], "color", "never"),
        (["--restart=no"], "restart", "no"),
        (["-hbox"], "host", "box"),
    ],
)
def test_podmans_forms_are_read(words, key, wanted):
    assert values(*words)[key] == wanted


def test_everything_after_the_image_is_the_commands_own():
    parsed = parse(COMMAND, ["-i", "img", "ls", "-t", "--", "--name", "x"])
    assert parsed.arguments == {"image": "img", "command": ("ls", "-t", "--", "--name", "x")}
    assert parsed.given == {"interactive"}


def test_one_double_dash_before_the_command_is_dropped():
    assert parse(COMMAND, ["img", "--", "ls", "-l"]).arguments["command"] == ("ls", "-l")
    assert parse(COMMAND, ["--", "img", "--", "--", "x"]).arguments["command"] == ("--", "x")


@pytest.mark.parametrize(
    ("words", "message", "remedy"),
    [
        (["--nmae", "x"], "unknown option --nmae", "use --name"),
        (["--na", "x"], "unknown option --na", "use --name"),
        (["--zzz"], "unknown option --zzz", "see 'rpod try --help'"),
        (["-itZ"], "unknown option -Z in -itZ", "see"),
        (["--name"], "option --name needs a value", "see"),
        (["-e"], "option -e needs a value", "see"),
        (["--time", "x"], "option --time: 'x' is not a whole number", "see"),
        (["--time", "-1"], "option --time: '-1' is not a whole number", "see"),
        (["--time", "99999999999999999999"], "is too large", "see"),
        (["--memory", "64q"], "is not a size", "see"),
        (["--wait", "5x"], "is not a duration", "see"),
        (["--tty=maybe"], "neither true nor false", "see"),
        (["--state", "up,away"], "not one of up, down", "see"),
        ([], "missing argument IMAGE", "see"),
    ],
)
def test_a_wrong_line_is_refused_in_words_with_a_remedy(words, message, remedy):
    with pytest.raises(Usage) as caught:
        parse(COMMAND, words)
    assert message in caught.value.message
    assert remedy in (caught.value.remedy or "")
    assert caught.value.exit_code == 125


def test_one_argument_too_many_is_named():
    with pytest.raises(Usage, match="one argument too many: 'b'"):
        parse(Command(name="x", summary="", arguments=(Argument(name="A"),)), ["a", "b"])


def test_an_option_that_cannot_act_says_why_and_what_to_do_instead():
    with pytest.raises(Refused) as caught:
        values("--pod", "x")
    assert caught.value.message == "option --pod cannot be used: no pods"
    assert caught.value.remedy == "use a network"
    with pytest.raises(Refused, match="no daemon"):
        values("--restart", "always")


def test_help_is_asked_for_by_h_only_where_h_means_nothing_else():
    with pytest.raises(HelpWanted):
        parse(COMMAND, ["--help", "--nosuch"])
    with pytest.raises(HelpWanted):
        parse(Command(name="x", summary=""), ["-h"])
    assert values("-h", "box")["host"] == "box"


def test_global_options_are_known_by_their_long_name_after_the_command_too():
    parsed = parse(COMMAND, ["--root", "/a", "img", "--runroot", "/b"], persistent=PERSISTENT)
    assert parsed.persistent == {"root": "/a"}
    assert parsed.arguments["command"] == ("--runroot", "/b")
