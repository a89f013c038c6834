"""The hot parser and typer's read every command line alike: the same values, or both refuse."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, __file__.rsplit("/", 1)[0])

from both_parsers import FAILED, HELP, with_rpod, with_typer

from rootless_pod.commands.declare import Argument, Command, Option, flag, text, texts
from rootless_pod.commands.run_options import CREATE_OPTIONS, IMAGE_AND_COMMAND, RUN_OPTIONS

RUN = Command(
    name="run",
    summary="Run",
    options=tuple(option for option in RUN_OPTIONS if not option.refuse),
    arguments=IMAGE_AND_COMMAND,
    interspersed=False,
)
CREATE = Command(
    name="create",
    summary="Create",
    options=tuple(option for option in CREATE_OPTIONS if not option.refuse),
    arguments=IMAGE_AND_COMMAND,
    interspersed=False,
)
MIXED = Command(
    name="mixed",
    summary="Everything at once",
    options=(
        flag("--all", "", "-a"),
        flag("--force", "", "-f"),
        text("--name", "", "-n"),
        texts("--filter", ""),
        texts("--label", "", "-l", split=True),
        Option(name="--time", short="-t", kind="uint", default=10),
        Option(name="--level", kind="int"),
        Option(name="--size", kind="size"),
        Option(name="--interval", kind="duration"),
        Option(name="--share", kind="float"),
        Option(name="--sort", choices=("id", "names")),
        Option(name="--net", aliases=("--network",), default="x"),
    ),
    arguments=(Argument(name="FIRST"), Argument(name="OTHERS", kind="many")),
)
UNCHECKED = MIXED.replace(
    options=tuple(option for option in MIXED.options if option.kind in ("flag", "text", "list") and not option.choices)
)
TWO = Command(
    name="two",
    summary="Two",
    options=(flag("--quiet", "", "-q"),),
    arguments=(Argument(name="FROM"), Argument(name="TO", kind="optional")),
)
SOME = Command(
    name="some",
    summary="At least one",
    options=(flag("--quiet", "", "-q"), text("--out", "", "-o")),
    arguments=(Argument(name="IMAGES", kind="many", least=1),),
)
NONE = Command(name="none", summary="No arguments", options=(flag("--quiet", "", "-q"),))
COMMANDS = (RUN, CREATE, MIXED, TWO, SOME, NONE)
VALUES = (
    *("x", "a=b", "", "-", "-5", "5", "0", "10m", "64k", "1.5", "1h30m", "id", "names", "a,b", "--", "-x", "--all"),
    *(
        "bad value",
        "ünï",
        "80:80",
        "99999999999999999999999",
        "0x10",
        "1_000",
        "+3",
        " 7",
        "host",
        "never",
        "\t",
        "=",
        "٣",
    ),
)


def words_for(command: Command, pick: random.Random) -> list[str]:
    """Make a command line that is often right and sometimes not; pflag's own forms are tested elsewhere.

    A value that is checked is given once: click looks at the last one only, pflag and rpod at each.
    """
    words: list[str] = []
    options = list(command.options)
    for _ in range(pick.randrange(7)):
        option = pick.choice(options)
        if option.choices or option.kind not in ("flag", "text", "list"):
            options.remove(option)
        value = pick.choice(VALUES)
        spelled = pick.choice([option.name, *option.aliases, *([option.short] * 2 if option.short else [])])
        shape = pick.randrange(10)
        if shape == 0:
            words.append(pick.choice(VALUES))
        elif shape == 1:
            words.append(pick.choice(["--nosuch", "-Z", "--nam", "-", "--", "--no-all", "--=x", "-é"]))
        elif option.kind == "flag":
            shorts = [other.short for other in command.options if other.short and other.kind == "flag"]
            cluster = "-" + "".join(pick.choice(shorts)[1] for _ in range(pick.randrange(1, 4))) if shorts else spelled
            words.append(cluster if shape < 5 else spelled)
        elif spelled.startswith("--") and shape < 6:
            words.append(f"{spelled}={value}")
        elif not spelled.startswith("--") and shape < 6 and not value.startswith("="):
            words.append(spelled + value)
        else:
            words.append(spelled)
            if pick.randrange(12):
                words.append(value)
    words += [pick.choice(VALUES) for _ in range(pick.randrange(4))]
    return words


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_fixed_corpus_of_lines_is_read_alike(command):
    pick = random.Random(20260101)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(1500 if command in (MIXED, RUN) else 700):
        words = words_for(command, pick)
        ours, theirs = with_rpod(command, words), with_typer(command, words)
        assert ours == theirs, words
        outcomes["refused" if ours == FAILED else "read"] += 1
    assert min(outcomes.values()) > 50, outcomes


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(COMMANDS), st.integers(min_value=0, max_value=2**48))
def test_generated_lines_are_read_alike(command, seed):
    words = words_for(command, random.Random(seed))
    assert with_rpod(command, words) == with_typer(command, words), words


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([UNCHECKED, TWO, SOME, NONE]),
    st.lists(st.text(alphabet="-=ab nqflt5,", max_size=6), max_size=5),
)
def test_lines_of_any_letters_are_read_alike(command, words):
    # "-f=x" is pflag's value form, which click does not know
    words = [word for word in words if not (len(word) > 1 and word[0] == "-" and word[1] != "-" and "=" in word)]
    words = [word for word in words if not (word.startswith(("--all=", "--force=", "--quiet=")))]
    assert with_rpod(command, words) == with_typer(command, words), words


def test_both_take_the_request_for_help():
    for command in COMMANDS:
        assert with_rpod(command, ["--help"]) == HELP
        assert with_typer(command, ["--help"]) == HELP
