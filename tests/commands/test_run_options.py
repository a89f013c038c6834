"""The options of run and create against podman's own list and the records they fill."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from rootless_pod.commands.create import COMMAND as CREATE
from rootless_pod.commands.declare import Command
from rootless_pod.commands.parse import parse
from rootless_pod.commands.run_options import IMAGE_AND_COMMAND, RUN_OPTIONS, fields_for
from rootless_pod.errors import Refused
from rootless_pod.network.mode import NetworkRequest
from rootless_pod.spec.request import SpecRequest

RUN = Command(name="run", summary="", options=RUN_OPTIONS, arguments=IMAGE_AND_COMMAND, interspersed=False)
KINDS = {
    "strings": ("list", True),
    "stringArray": ("list", False),
    "tmpfs": ("list", False),
    "string": ("text", False),
    None: ("flag", False),
    "int": ("int", False),
    "uint": ("uint", False),
    "float": ("float", False),
    "<number>[<unit>]": ("size", False),
}


def podman_options(command):
    text = subprocess.run(["podman", command, "--help"], capture_output=True, text=True, check=True, timeout=30).stdout
    for line in text.partition("Options:")[2].splitlines():
        words = line.split("   ")[0 if line.startswith("  -") else 1 if line.startswith("   ") else 0].strip()
        head = line.strip().split("  ")[0]
        if not head.startswith("-"):
            continue
        parts = head.replace(",", "").split()
        short = parts.pop(0) if not parts[0].startswith("--") else None
        yield parts[0], short, parts[1] if len(parts) > 1 else None
        del words


@pytest.mark.peer
@pytest.mark.parametrize(("command", "options"), [("run", RUN_OPTIONS), ("create", CREATE.options)])
def test_every_option_of_podman_is_known_with_its_short_form_and_kind(command, options):
    if not shutil.which("podman"):
        pytest.skip("podman is not installed")
    ours = {option.name: option for option in options}
    seen = 0
    for name, short, kind in podman_options(command):
        if name == "--help":
            continue
        option = ours[name]
        seen += 1
        assert option.short == short, name
        if option.refuse and not option.choices or kind not in KINDS:
            continue
        assert (option.kind, option.split) == KINDS[kind], name
    assert seen > 100


def test_no_name_or_key_is_declared_twice():
    spelled = [word for option in RUN_OPTIONS for word in (option.name, option.short, *option.aliases) if word]
    assert len(spelled) == len(set(spelled))
    keys = [option.key for option in RUN_OPTIONS]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("record", [SpecRequest, NetworkRequest])
def test_values_not_given_equal_the_defaults_of_the_record_they_fill(record):
    values = parse(RUN, ["img"]).values
    wanted = record()
    picked = fields_for(record, values)
    picked.pop("publish", None)
    assert len(picked) > 5
    for key, value in picked.items():
        assert value == getattr(wanted, key), key


def test_every_refused_option_gives_a_reason_and_a_remedy():
    for option in RUN_OPTIONS:
        if option.refuse:
            with pytest.raises(Refused) as caught:
                parse(RUN, [f"{option.name}={'true' if option.kind == 'flag' else 'nonsense'}", "img"])
            assert caught.value.remedy, option.name


def test_every_option_that_acts_has_a_help_text():
    for option in RUN_OPTIONS:
        assert option.help or option.refuse, option.name
        assert not option.help.endswith("."), option.name
