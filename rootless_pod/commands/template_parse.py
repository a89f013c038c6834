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

    def fail(self, token: Token | None, words: str) -> NoReturn:
        raise fault(self.source, token.at if token else len(self.source), words)

    def peek(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            self.fail(None, "the template ends too early")
        self.at += 1
        return token

    def skip_space(self) -> None:
        while (token := self.peek()) and token.kind == "space":
            self.at += 1

    def next_kind(self) -> str:
        self.skip_space()
        token = self.peek()
        return token.kind if token else ""

    def parse(self) -> tuple[Node, ...]:
        """Return the nodes of the whole template.

        Raises:
            Usage: a block is not closed, a word has no meaning where it stands.
        """
        nodes, ended = self.parse_list(outermost=True)
        assert ended is None
        return nodes

    def parse_list(self, *, outermost: bool = False) -> tuple[tuple[Node, ...], Token | None]:
        """Read nodes up to ``end`` or ``else`` (returned, its braces not yet closed)."""
        nodes: list[Node] = []
        begin = self.peek()
        while token := self.peek():
            self.at += 1
            if token.kind == "text":
                nodes.append(Node(kind="text", text=str(token.value), at=token.at))
                continue
            self.skip_space()
            word = self.peek()
            if word and word.kind == "word" and word.value in ("end", "else"):
                if outermost:
                    self.fail(word, f"{word.value} without a block")
                self.at += 1
                return tuple(nodes), word
            nodes.append(self.parse_action(token))
        if not outermost:
            self.fail(begin, "the block has no {{end}}")
        return tuple(nodes), None

    def parse_action(self, opened: Token) -> Node:
        word = self.peek()
        if word and word.kind == "word":
            if word.value in _BLOCKS:
                self.at += 1
                return self.parse_block(str(word.value), word)
            if word.value in ("break", "continue"):
                if not self.loops:
                    self.fail(word, f"{word.value} outside a range")
                self.at += 1
                self.close()
                return Node(kind=str(word.value), at=word.at)
            if word.value in ("define", "template", "block"):
                self.fail(word, f"{word.value} is not supported")
        pipe = self.parse_pipe(("close",))
        self.close()
        return Node(kind="action", pipe=pipe, at=opened.at)

    def close(self) -> None:
        self.skip_space()
        token = self.take()
        if token.kind != "close":
            self.fail(token, "expected }}")

    def parse_block(self, kind: str, word: Token) -> Node:
        self.variables.append(set(self.variables[-1]))
        self.loops += kind == "range"
        pipe = self.parse_pipe(("close",), two=kind == "range")
        self.close()
        body, ended = self.parse_list()
        self.loops -= kind == "range"
        otherwise: tuple[Node, ...] = ()
        if ended and ended.value == "else":
            self.skip_space()
            following = self.peek()
            if following and following.kind == "word" and following.value in ("if", "with"):
                self.at += 1
                otherwise = (self.parse_block(str(following.value), following),)
                self.variables.pop()
                return Node(kind=kind, pipe=pipe, body=body, otherwise=otherwise, at=word.at)
            self.close()
            otherwise, ended = self.parse_list()
            if ended and ended.value == "else":
                self.fail(ended, "a second else")
        self.close()
        self.variables.pop()
        return Node(kind=kind, pipe=pipe, body=body, otherwise=otherwise, at=word.at)

    def parse_pipe(self, until: tuple[str, ...], *, two: bool = False) -> Pipe:
        self.skip_space()
        first = self.peek()
        names, declares = self.parse_variables(two=two)
        commands = []
        while True:
            commands.append(self.parse_command(until))
            if self.next_kind() != "|":
                break
            self.at += 1
        if declares:
            self.variables[-1].update(names)
        return Pipe(commands=tuple(commands), variables=names, declares=declares, at=first.at if first else 0)

    def parse_variables(self, *, two: bool) -> tuple[tuple[str, ...], bool]:
        """Read ``$a, $b :=`` or ``$a =``; go back when it is none of these."""
        start, names = self.at, []
        while self.next_kind() == "variable":
            names.append(str(self.take().value))
            sign = self.next_kind()
            if sign == "," and two and len(names) == 1:
                self.at += 1
                continue
            if sign in (":=", "="):
                token = self.take()
                if sign == "=":
                    for name in names:
                        self.check_variable(name, token)
                return tuple(names), sign == ":="
            break
        self.at = start
        return (), False

    def check_variable(self, name: str, token: Token) -> None:
        if name not in self.variables[-1]:
            self.fail(token, f"undefined variable ${name}")

    def parse_command(self, until: tuple[str, ...]) -> tuple[Operand, ...]:
        operands = []
        while self.next_kind() not in (*until, "|", ""):
            operands.append(self.parse_operand())
        if not operands:
            self.fail(self.peek(), "a value is missing")
        if len(operands) > 1 and operands[0].kind not in ("word",):
            self.fail(self.tokens[self.at - 1], "only a function takes arguments")
        return tuple(operands)

    def parse_operand(self) -> Operand:
        token = self.take()
        fields: list[str] = []
        kind, value = token.kind, token.value
        if kind == "field":
            kind, fields = "dot", [str(value)]
        elif kind in ("string", "number"):
            kind = "constant"
        elif kind == "variable":
            self.check_variable(str(value), token)
        elif kind == "word" and value in ("true", "false", "nil"):
            kind, value = "constant", {"true": True, "false": False, "nil": None}[str(value)]
        elif kind == "(":
            kind, value = "pipe", self.parse_pipe((")",))
            self.skip_space()
            if self.take().kind != ")":
                self.fail(token, "the parenthesis is not closed")
        elif kind not in ("dot", "word"):
            self.fail(token, f"unexpected {kind}")
        while (following := self.peek()) and following.kind == "field":
            if kind in ("word", "constant"):
                self.fail(following, "a field of something that has none")
            fields.append(str(self.take().value))
        return Operand(kind=kind, value=value, fields=tuple(fields), at=token.at)
