"""The tree of a Go template."""

from __future__ import annotations

from rootless_pod.commands.template_lexer import Lexer, Token, fault
from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_BLOCKS = ("if", "range", "with")


class Operand(Frozen):
    """A value: ``kind`` is dot, variable, word (a function), constant or pipe; ``fields`` are taken from it."""

    kind: str
    value: object
    fields: tuple[str, ...] = ()
    at: int


class Pipe(Frozen):
    """``$a, $b := command | command``; each command is its operands."""

    commands: tuple[tuple[Operand, ...], ...]
    variables: tuple[str, ...] = ()
    declares: bool = False
    at: int


class Node(Frozen):
    """``kind``: text, action, if, range, with, break, continue."""

    kind: str
    at: int
    text: str = ""
    pipe: Pipe | None = None
    body: tuple[Node, ...] = ()
    otherwise: tuple[Node, ...] = ()


class Parser:
    """Builds the tree of one template."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = Lexer(source).run()
        self.at = 0
        self.loops = 0
        self.variables = [{""}]

    def _fail(self, token: Token | None, words: str) -> NoReturn:
        raise fault(self.source, token.at if token else len(self.source), words)

    def _peek(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _take(self) -> Token:
        token = self._peek()
        if token is None:
            self._fail(None, "the template ends too early")
        self.at += 1
        return token

    def _skip_space(self) -> None:
        while (token := self._peek()) and token.kind == "space":
            self.at += 1

    def _next_kind(self) -> str:
        self._skip_space()
        token = self._peek()
        return token.kind if token else ""

    def parse(self) -> tuple[Node, ...]:
        """Return the nodes of the whole template.

        Raises:
            Usage: a block is not closed, a word has no meaning where it stands.
        """
        nodes, ended = self._parse_list(outermost=True)
        assert ended is None
        return nodes

    def _parse_list(self, *, outermost: bool = False) -> tuple[tuple[Node, ...], Token | None]:
        """Read nodes up to ``end`` or ``else`` (returned, its braces not yet closed)."""
        nodes: list[Node] = []
        begin = self._peek()
        while token := self._peek():
            self.at += 1
            if token.kind == "text":
                nodes.append(Node(kind="text", text=str(token.value), at=token.at))
                continue
            self._skip_space()
            word = self._peek()
            if word and word.kind == "word" and word.value in ("end", "else"):
                if outermost:
                    self._fail(word, f"{word.value} without a block")
                self.at += 1
                return tuple(nodes), word
            nodes.append(self._parse_action(token))
        if not outermost:
            self._fail(begin, "the block has no {{end}}")
        return tuple(nodes), None

    def _parse_action(self, opened: Token) -> Node:
        word = self._peek()
        if word and word.kind == "word":
            if word.value in _BLOCKS:
                self.at += 1
                return self._parse_block(str(word.value), word)
            if word.value in ("break", "continue"):
                if not self.loops:
                    self._fail(word, f"{word.value} outside a range")
                self.at += 1
                self._close()
                return Node(kind=str(word.value), at=word.at)
            if word.value in ("define", "template", "block"):
                self._fail(word, f"{word.value} is not supported")
        pipe = self._parse_pipe(("close",))
        self._close()
        return Node(kind="action", pipe=pipe, at=opened.at)

    def _close(self) -> None:
        self._skip_space()
        token = self._take()
        if token.kind != "close":
            self._fail(token, "expected }}")

    def _parse_block(self, kind: str, word: Token) -> Node:
        self.variables.append(set(self.variables[-1]))
        self.loops += kind == "range"
        pipe = self._parse_pipe(("close",), two=kind == "range")
        self._close()
        body, ended = self._parse_list()
        self.loops -= kind == "range"
        otherwise: tuple[Node, ...] = ()
        if ended and ended.value == "else":
            self._skip_space()
            following = self._peek()
            if following and following.kind == "word" and following.value in ("if", "with"):
                self.at += 1
                otherwise = (self._parse_block(str(following.value), following),)
                self.variables.pop()
                return Node(kind=kind, pipe=pipe, body=body, otherwise=otherwise, at=word.at)
            self._close()
            otherwise, ended = self._parse_list()
            if ended and ended.value == "else":
                self._fail(ended, "a second else")
        self._close()
        self.variables.pop()
        return Node(kind=kind, pipe=pipe, body=body, otherwise=otherwise, at=word.at)

    def _parse_pipe(self, until: tuple[str, ...], *, two: bool = False) -> Pipe:
        self._skip_space()
        first = self._peek()
        names, declares = self._parse_variables(two=two)
        commands = []
        while True:
            commands.append(self._parse_command(until))
            if self._next_kind() != "|":
                break
            self.at += 1
        if declares:
            self.variables[-1].update(names)
        return Pipe(commands=tuple(commands), variables=names, declares=declares, at=first.at if first else 0)

    def _parse_variables(self, *, two: bool) -> tuple[tuple[str, ...], bool]:
        """Read ``$a, $b :=`` or ``$a =``; go back when it is none of these."""
        start, names = self.at, []
        while self._next_kind() == "variable":
            names.append(str(self._take().value))
            sign = self._next_kind()
            if sign == "," and two and len(names) == 1:
                self.at += 1
                continue
            if sign in (":=", "="):
                token = self._take()
                if sign == "=":
                    for name in names:
                        self._check_variable(name, token)
                return tuple(names), sign == ":="
            break
        self.at = start
        return (), False

    def _check_variable(self, name: str, token: Token) -> None:
        if name not in self.variables[-1]:
            self._fail(token, f"undefined variable ${name}")

    def _parse_command(self, until: tuple[str, ...]) -> tuple[Operand, ...]:
        operands = []
        while self._next_kind() not in (*until, "|", ""):
            operands.append(self._parse_operand())
        if not operands:
            self._fail(self._peek(), "a value is missing")
        if operands[0].kind == "constant" and operands[0].value is None:
            self._fail(self.tokens[self.at - 1], "nil is not a command")
        if len(operands) > 1 and operands[0].kind != "word":
            self._fail(self.tokens[self.at - 1], "only a function takes arguments")
        return tuple(operands)

    def _parse_operand(self) -> Operand:
        token = self._take()
        fields: list[str] = []
        kind, value = token.kind, token.value
        if kind == "field":
            kind, fields = "dot", [str(value)]
        elif kind in ("string", "number"):
            kind = "constant"
        elif kind == "variable":
            self._check_variable(str(value), token)
        elif kind == "word" and value in ("true", "false", "nil"):
            kind, value = "constant", {"true": True, "false": False, "nil": None}[str(value)]
        elif kind == "(":
            kind, value = "pipe", self._parse_pipe((")",))
            self._skip_space()
            if self._take().kind != ")":
                self._fail(token, "the parenthesis is not closed")
        elif kind not in ("dot", "word"):
            self._fail(token, f"unexpected {'}}' if kind == 'close' else kind}")
        while (following := self._peek()) and following.kind == "field":
            if kind in ("word", "constant"):
                self._fail(following, "a field of something that has none")
            fields.append(str(self._take().value))
        return Operand(kind=kind, value=value, fields=tuple(fields), at=token.at)
