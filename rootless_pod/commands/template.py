"""``--format``: Go templates over decoded JSON, ``json``, and tables of chosen columns.

Source: Go's text/template documentation; containers/common's report package for the functions and ``table``.
"""

from __future__ import annotations

import sys

from rootless_pod.commands import template_functions as functions
from rootless_pod.commands.table import wants_json
from rootless_pod.commands.template_lexer import fault
from rootless_pod.commands.template_parse import Parser
from rootless_pod.commands.template_print import NO_VALUE, go_json, go_type, is_struct, print_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from rootless_pod.commands.template_parse import Node, Operand, Pipe


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Template:
    """One parsed template; ``render`` may be called many times.

    Raises:
        Usage: the text is not a template, or names a function that does not exist.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        try:
            self.nodes = Parser(source).parse()
        except RecursionError:
            raise fault(source, 0, "nested too deeply") from None

    def render(self, value: object, *, heading: bool = False) -> str:
        """Fill the template in with ``value`` as its dot; ``heading`` fills in column titles.

        Raises:
            Usage: a field is not there, or a function can't work on its values.
        """
        out: list[str] = []
        try:
            _Run(self.source, value, heading=heading).walk(self.nodes, value, out)
        except RecursionError:
            raise fault(self.source, 0, "nested too deeply") from None
        return "".join(out)


class _Run:
    """One rendering: the variables and the way from nodes to text."""

    def __init__(self, source: str, root: object, *, heading: bool) -> None:
        self.source = source
        self.heading = heading
        self.scopes: list[dict[str, Any]] = [{"": root}]

    def walk(self, nodes: Sequence[Node], dot: object, out: list[str]) -> None:
        for node in nodes:
            if node.kind == "text":
                out.append(node.text)
            elif node.kind == "break":
                raise _Break
            elif node.kind == "continue":
                raise _Continue
            elif node.kind == "action":
                assert node.pipe
                value = self.pipe(node.pipe, dot)
                if not node.pipe.variables:
                    out.append(print_value(value))
            else:
                self.scopes.append({})
                self.block(node, dot, out)
                self.scopes.pop()

    def block(self, node: Node, dot: object, out: list[str]) -> None:
        assert node.pipe
        value = self.pipe(node.pipe, dot)
        if node.kind == "range":
            self.loop(node, node.pipe, value, dot, out)
        elif not functions.is_true(value):
            self.walk(node.otherwise, dot, out)
        else:
            self.walk(node.body, value if node.kind == "with" else dot, out)

    def loop(self, node: Node, pipe: Pipe, value: object, dot: object, out: list[str]) -> None:
        empty = True
        for key, item in self.items(value, node):
            empty = False
            self.scopes.append({})
            depth = len(self.scopes)
            if pipe.variables:
                self.store(pipe, pipe.variables[-1], item)
                if len(pipe.variables) > 1:
                    self.store(pipe, pipe.variables[0], key)
            try:
                self.walk(node.body, item, out)
            except _Continue:
                pass
            except _Break:
                return
            finally:
                del self.scopes[depth - 1 :]
        if empty:
            self.walk(node.otherwise, dot, out)

    def items(self, value: object, node: Node) -> Iterator[tuple[object, object]]:
        if isinstance(value, (list, tuple)):
            yield from enumerate(value)
        elif isinstance(value, dict):
            yield from sorted(value.items())
        elif isinstance(value, int) and not isinstance(value, bool):
            yield from ((number, number) for number in range(value))
        elif value is not None and value is not NO_VALUE:
            raise fault(self.source, node.at, f"range can't go over {go_type(value)}")

    def store(self, pipe: Pipe, name: str, value: object) -> None:
        if pipe.declares:
            self.scopes[-1][name] = value
            return
        for scope in reversed(self.scopes):
            if name in scope:
                scope[name] = value
                return

    def pipe(self, pipe: Pipe, dot: object) -> Any:
        value: Any = NO_VALUE
        for at, command in enumerate(pipe.commands):
            value = self.command(command, dot, [value] if at else [])
        for name in pipe.variables:
            self.store(pipe, name, value)
        return value

    def command(self, command: Sequence[Operand], dot: object, piped: list[Any]) -> Any:
        first = command[0]
        if first.kind != "word":
            if piped:
                raise fault(self.source, first.at, "a value is piped into something that is no function")
            return self.operand(first, dot)
        name = str(first.value)
        if name in functions.LAZY:
            return self.lazy(name, command, dot, piped)
        if name not in functions.FUNCTIONS:
            raise fault(self.source, first.at, f"function {name!r} is not defined")
        arguments = [self.operand(operand, dot) for operand in command[1:]] + piped
        if self.heading and name in functions.HEADING_FUNCTIONS:
            return arguments[0] if arguments else ""
        try:
            return functions.call(name, arguments)
        except (functions.FunctionError, TypeError) as cause:
            raise fault(self.source, first.at, f"{name}: {cause}") from None

    def lazy(self, name: str, command: Sequence[Operand], dot: object, piped: list[Any]) -> Any:
        """``and`` and ``or`` stop at the value that decides."""
        value: Any = NO_VALUE
        if len(command) == 1 and not piped:
            raise fault(self.source, command[0].at, f"{name}: wants at least 1 value, got 0")
        for operand in command[1:]:
            value = self.operand(operand, dot)
            if functions.is_true(value) == (name == "or"):
                return value
        return piped[0] if piped else value

    def operand(self, operand: Operand, dot: object) -> Any:
        value: Any = dot
        if operand.kind == "constant":
            value = operand.value
        elif operand.kind == "variable":
            value = next(scope[str(operand.value)] for scope in reversed(self.scopes) if operand.value in scope)
        elif operand.kind == "pipe":
            value = self.pipe(operand.value, dot)  # type: ignore[arg-type]
        elif operand.kind == "word":
            return self.command((operand,), dot, [])
        for field in operand.fields:
            value = self.field(value, field, operand)
        return value

    def field(self, value: object, name: str, operand: Operand) -> object:
        if isinstance(value, dict):
            if name in value:
                return value[name]
            alike = [key for key in value if isinstance(key, str) and key.lower() == name.lower()]
            if len(alike) == 1:
                return value[alike[0]]
            if not is_struct(value):
                return NO_VALUE
            from rootless_pod.commands.nearest import nearest

            guess = nearest(name, value)
            raise fault(
                self.source, operand.at, f"there is no field .{name}" + (f" (there is .{guess})" if guess else "")
            )
        if value is None or value is NO_VALUE:
            return NO_VALUE
        raise fault(self.source, operand.at, f"can't take field .{name} of {go_type(value)}")


def render(source: str, value: object) -> str:
    """Fill in one template.

    Raises:
        Usage: the template is wrong, or asks for what ``value`` does not have.
    """
    return Template(source).render(value)


def unescape(form: str) -> str:
    r"""Turn the two characters ``\t`` or ``\n``, as shells hand them over, into a tab or a line's end."""
    return form.replace("\\t", "\t").replace("\\n", "\n")


def _with_newline(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def pretty_json(value: object, depth: int = 0) -> str:
    """Return JSON with four blanks a level, as podman prints ``inspect`` and ``--format json``."""
    blanks, inner = "     " * depth, "     " * (depth + 1)
    if isinstance(value, dict) and value:
        keys = value if is_struct(value) else sorted(value, key=str)
        rows = (f"{inner}{go_json(str(key))}: {pretty_json(value[key], depth + 1)}" for key in keys)
        return "{\n" + ",\n".join(rows) + f"\n{blanks}}}"
    if isinstance(value, (list, tuple)) and value:
        return "[\n" + ",\n".join(f"{inner}{pretty_json(item, depth + 1)}" for item in value) + f"\n{blanks}]"
    return go_json(value)


def print_values(form: str, value: object) -> None:
    """Print one value as ``--format`` says: ``json``, or a template.

    Raises:
        Usage: the template is wrong.
    """
    if wants_json(form):
        sys.stdout.write(pretty_json(value) + "\n")
        return
    sys.stdout.write(render(_with_newline(unescape(form)), value))


def _table_form(form: str) -> str:
    """Make the blanks between the actions of ``table …`` the borders of columns."""
    out, inside = [], 0
    text = unescape(form.strip())
    for at, letter in enumerate(text):
        inside += text.startswith("{{", at) - text.startswith("}}", at)
        out.append("\t" if letter == " " and inside <= 0 else letter)
    return "".join(out)


def default_heading(field: str) -> str:
    """Make a column's title from a field's name: ``CreatedAt`` → ``CREATED AT``."""
    out = ""
    for at, letter in enumerate(field):
        if at and letter.isupper() and not field[at - 1].isupper():
            out += " "
        out += letter
    return out.upper()


class _Headings(dict):  # type: ignore[type-arg]
    """Column titles by field; one that has none of its own is made from the field's name."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return default_heading(name)


def print_rows(
    form: str, rows: Sequence[Mapping[str, object]], headings: Mapping[str, str], *, noheading: bool = False
) -> None:
    """Print a list as ``--format`` says: ``json``, ``table {{.A}} {{.B}}``, or a template filled in for each row.

    Raises:
        Usage: the template is wrong.
    """
    if wants_json(form):
        sys.stdout.write(pretty_json(list(rows)) + "\n")
        return
    is_table = form.startswith("table ") or form == "table"
    source = _with_newline(_table_form(form[6:]) if is_table else unescape(form))
    template = Template(source)
    lines = [template.render(row) for row in rows]
    if not is_table:
        sys.stdout.write("".join(lines))
        return
    from rootless_pod.commands.table import align

    if not noheading:
        lines.insert(0, template.render(_Headings(headings), heading=True))
    cells = [line.split("\t") for text in lines for line in text.splitlines()]
    sys.stdout.write(align(cells))
