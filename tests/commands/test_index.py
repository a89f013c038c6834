"""The map of commands."""

from __future__ import annotations

import importlib
import pathlib

import pytest

import rootless_pod.commands
from rootless_pod.commands import index
from rootless_pod.commands.declare import Command

HERE = pathlib.Path(rootless_pod.commands.__path__[0])


@pytest.mark.parametrize("words", sorted(index.COMMANDS))
def test_every_row_names_a_module_with_a_command_and_a_main(words):
    module = importlib.import_module(f"rootless_pod.commands.{index.COMMANDS[words][0]}")
    assert isinstance(module.COMMAND, Command)
    assert callable(module.main)
    assert module.COMMAND.name == words.split()[-1]
    keys = [option.key for option in module.COMMAND.options]
    assert len(keys) == len(set(keys))
    spelled = [
        word for option in module.COMMAND.options for word in (option.name, option.short, *option.aliases) if word
    ]
    assert len(spelled) == len(set(spelled))


def test_every_module_with_a_command_has_a_row():
    listed = {module for module, _ in index.COMMANDS.values()}
    found = {path.stem for path in HERE.glob("*.py") if "\nCOMMAND = Command(" in path.read_text(encoding="utf-8")}
    assert found == listed


def test_aliases_lead_to_commands_and_hide_none():
    for words, meant in index.ALIASES.items():
        assert meant in index.COMMANDS, words
        assert words not in index.COMMANDS, words
        assert " " not in words or words.split()[0] in index.GROUPS


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("container ls", "ps"),
        ("container ps", "ps"),
        ("image ls", "images"),
        ("image list", "images"),
        ("image rm", "rmi"),
    ],
)
def test_podmans_noun_forms_are_known(words, meant):
    assert index.resolve(words) == meant


def test_an_unknown_word_is_nothing():
    assert index.resolve("container") is None
    assert index.resolve("nosuch") is None
