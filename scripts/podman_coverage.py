"""Which comparison line or end-to-end test names a command or an option.

A line of tests/compare names what its ``covers`` says. A test names what it types, as far as the words stand in its source
(``rpod("run", "--env", …)``), and what its marker says: ``@pytest.mark.covers("run --env", …)``.
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
if str(TOP) not in sys.path:
    sys.path.insert(0, str(TOP))

from rootless_pod.commands import index  # noqa: E402 - the path comes first
from rootless_pod.commands.declare import Command  # noqa: E402
from rootless_pod.commands.lookup import find_command  # noqa: E402
from rootless_pod.commands.parse import HelpWanted, parse  # noqa: E402
from rootless_pod.errors import RpodError  # noqa: E402

# (command, option), the option "" for the command itself → who names it.
Names = dict[tuple[str, str], list[str]]
PODMAN: dict[str, str] = json.loads((TOP / "scripts" / "podman-4.3.1.json").read_text())
_UNKNOWN = "1"  # stands for words that are computed: a number is taken for a text as well


def declaration(words: str) -> Command:
    return importlib.import_module(f"rootless_pod.commands.{index.COMMANDS[words][0]}").COMMAND


def spelled(command: Command) -> dict[str, str]:
    """Return each spelling of an option and its first name."""
    names = {}
    for option in command.options:
        for name in (option.name, option.short, *option.aliases):
            if name:
                names[name] = option.name
    return names


def entries(text: str) -> Iterator[tuple[str, str]]:
    """Take ``ps --all --filter`` apart.

    Raises:
        ValueError: there is no such command or option.
    """
    words = text.split()
    options = [word for word in words if word.startswith("-")]
    named = " ".join(word for word in words if not word.startswith("-"))
    command = index.resolve(named) or (named if named in PODMAN else None)
    if command is None:
        raise ValueError(f"covers {text!r}: no such command")
    known = {option: option for option in PODMAN.get(command, "").split()}
    known.update(spelled(declaration(command)) if command in index.COMMANDS else {})
    yield command, ""
    for option in options:
        if option not in known:
            raise ValueError(f"covers {text!r}: {command} has no {option}")
        yield command, known[option]


def from_lines() -> Iterator[tuple[tuple[str, str], str]]:
    for path in sorted((TOP / "tests" / "compare").glob("*.toml")):
        for scene in tomllib.loads(path.read_text())["scene"]:
            for line in scene["lines"]:
                covers = line["covers"]
                for text in [covers] if isinstance(covers, str) else covers:
                    for entry in entries(text):
                        yield entry, f"compared: {scene['name']}"


class _Words(ast.NodeVisitor):
    """Collects the command lines that stand in a test: the constant words of calls and lists."""

    def __init__(self, known: dict[str, list[str]]) -> None:
        self.known = known
        self.found: list[list[str]] = []

    def words(self, nodes: list[ast.expr]) -> list[str]:
        out: list[str] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                out += self.words([node.value])
            elif isinstance(node, (ast.List, ast.Tuple)):
                out += self.words(node.elts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                out.append(node.value)
            elif isinstance(node, ast.Name) and node.id in self.known:
                out += self.known[node.id]
            elif isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else _UNKNOWN for part in node.values)
                out.append("".join(str(part) for part in parts))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "split":
                value = node.func.value
                out += value.value.split() if isinstance(value, ast.Constant) and isinstance(value.value, str) else []
            else:
                out.append(_UNKNOWN)
        return out

    def visit_Call(self, node: ast.Call) -> None:
        self.found.append(self.words(node.args))
        self.generic_visit(node)

    def visit_List(self, node: ast.List) -> None:
        self.found.append(self.words(node.elts))
        self.generic_visit(node)

    def visit_Tuple(self, node: ast.Tuple) -> None:
        self.found.append(self.words(node.elts))
        self.generic_visit(node)


def typed(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the command and the options of a command line, read by rpod's own parser; nothing where it is none."""
    if words and words[0].startswith("-"):
        return
    try:
        command, rest = find_command(words)
        parsed = parse(declaration(command), [*rest, *([_UNKNOWN] * 3 if command in ("run", "create", "exec") else [])])
    except (RpodError, HelpWanted):
        return
    yield command, ""
    for option in declaration(command).options:
        if option.key in parsed.given:
            yield command, option.name


def _constants(tree: ast.Module) -> dict[str, list[str]]:
    """Return the lists of words that a module gives a name."""
    known: dict[str, list[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.List, ast.Tuple, ast.Constant)):
            words = _Words(known).words([node.value])
            known.update({target.id: words for target in node.targets if isinstance(target, ast.Name)})
    return known


def _marked(test: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    for one in test.decorator_list:
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr == "covers":
            for argument in one.args:
                yield from entries(ast.literal_eval(argument))


def from_tests() -> Iterator[tuple[tuple[str, str], str]]:
    for folder in ("endtoend", "vm"):
        for path in sorted((TOP / "tests" / folder).glob("*.py")):
            tree = ast.parse(path.read_text())
            known = _constants(tree)
            for test in ast.walk(tree):
                if not isinstance(test, ast.FunctionDef):
                    continue
                name = f"{path.name}: {test.name.removeprefix('test_').replace('_', ' ')}"
                for entry in _marked(test):
                    yield entry, name
                collector = _Words(known)
                collector.visit(test)
                for words in collector.found:
                    for entry in typed(words):
                        yield entry, name


def names() -> Names:
    found: Names = {}
    for entry, where in (*from_lines(), *from_tests()):
        rows = found.setdefault(entry, [])
        if where not in rows:
            rows.append(where)
    return found
