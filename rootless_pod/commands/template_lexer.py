"""Cut a Go template into text and the tokens of its actions.

Source: Go's text/template documentation (actions, trimming with ``{{-`` and ``-}}``, comments, constants).
"""

from __future__ import annotations

from rootless_pod.errors import Usage
from rootless_pod.frozen import Frozen

_SPACE = " \t\r\n"
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", "'": "'", '"': '"'}
_HEX_LENGTH = {"x": 2, "u": 4, "U": 8}


class Token(Frozen):
    """One token.

    ``kind``: ``text``, ``open``, ``close`` (of an action), ``field`` (".Name"; value without the dot), ``dot``,
    ``variable`` (value without the "$"), ``word``, ``string``, ``number``, ``space``, or the sign itself.
    """

    kind: str
    value: object
    at: int


def fault(source: str, at: int, words: str) -> Usage:
    """Return the error for a mistake at the character ``at``."""
    line = source.count("\n", 0, at) + 1
    column = at - (source.rfind("\n", 0, at) + 1) + 1
    return Usage(
        f"template, line {line}, character {column}: {words}",
        remedy="see the Go template syntax (https://pkg.go.dev/text/template), such as '{{.ID}} {{.Names}}'",
    )


def _is_name(letter: str) -> bool:
    return letter == "_" or letter.isalnum()


class Lexer:
    """Walks over ``source`` once."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.tokens: list[Token] = []

    def _add(self, kind: str, value: object, at: int) -> None:
        self.tokens.append(Token(kind=kind, value=value, at=at))

    def run(self) -> list[Token]:
        """Return all tokens.

        Raises:
            Usage: an action or a constant is not closed, or a sign has no meaning.
        """
        source, trim = self.source, False
        while self.at < len(source):
            begin = source.find("{{", self.at)
            text = source[self.at : begin if begin >= 0 else len(source)]
            trim_right = begin >= 0 and source[begin + 2 : begin + 3] == "-" and source[begin + 3 : begin + 4] in _SPACE
            trim_right = trim_right and begin + 3 < len(source)
            if trim:
                text = text.lstrip(_SPACE)
            if trim_right:
                text = text.rstrip(_SPACE)
            if text:
                self._add("text", text, self.at)
            if begin < 0:
                break
            self.at = begin + (3 if trim_right else 2)
            trim = self._read_action(begin)
        return self.tokens

    def _read_action(self, begin: int) -> bool:
        """Read up to the closing braces; return whether the text after them is trimmed."""
        source = self.source
        if source[self.at :].lstrip(_SPACE).startswith("/*"):
            return self._skip_comment(begin)
        self._add("open", None, begin)
        while True:
            if self.at >= len(source):
                raise fault(source, begin, "the action is not closed")
            for closing in ("-}}", "}}"):
                spaced = closing == "}}" or source[self.at - 1] in _SPACE
                if source.startswith(closing, self.at) and spaced:
                    self._add("close", None, self.at)
                    self.at += len(closing)
                    return closing == "-}}"
            self._read_token()

    def _skip_comment(self, begin: int) -> bool:
        end = self.source.find("*/", self.at)
        rest = self.source[end + 2 :] if end >= 0 else ""
        if rest.startswith("}}"):
            self.at = end + 4
            return False
        if rest.lstrip(_SPACE).startswith("-}}") and rest[:1] in _SPACE:
            self.at = self.source.index("-}}", end) + 3
            return True
        raise fault(self.source, begin, "the comment is not closed")

    def _read_token(self) -> None:
        source, at = self.source, self.at
        letter = source[at]
        following = source[at + 1 : at + 2]
        if letter in _SPACE:
            while self.at < len(source) and source[self.at] in _SPACE:
                self.at += 1
            self._add("space", None, at)
        elif letter in "\"`'":
            self._read_constant(letter)
        elif letter == "." and (_is_name(following) and not following.isdigit()):
            self.at += 1
            self._add("field", self._read_name(), at)
        elif letter == "." and not following.isdigit():
            self.at += 1
            self._add("dot", None, at)
        elif letter == "$":
            self.at += 1
            self._add("variable", self._read_name(), at)
        elif letter.isdigit() or letter in ".+-":
            self._read_number()
        elif _is_name(letter):
            self._add("word", self._read_name(), at)
        elif source.startswith(":=", at):
            self.at += 2
            self._add(":=", None, at)
        elif letter in "()|,=":
            self.at += 1
            self._add(letter, None, at)
        else:
            raise fault(source, at, f"unexpected {letter!r}")

    def _read_name(self) -> str:
        begin = self.at
        while self.at < len(self.source) and _is_name(self.source[self.at]):
            self.at += 1
        return self.source[begin : self.at]

    def _read_number(self) -> None:
        begin = self.at
        self.at += 1
        while self.at < len(self.source) and (_is_name(self.source[self.at]) or self.source[self.at] in ".+-"):
            if self.source[self.at] in "+-" and self.source[self.at - 1] not in "eE":
                break
            self.at += 1
        text = self.source[begin : self.at]
        try:
            value: object = int(text, 0) if text.lstrip("+-")[:1] != "0" or len(text) < 3 else _int_or_octal(text)
        except ValueError:
            try:
                value = float(text)
            except ValueError:
                raise fault(self.source, begin, f"{text!r} is not a number") from None
        self._add("number", value, begin)

    def _read_constant(self, quote: str) -> None:
        source, begin = self.source, self.at
        self.at += 1
        parts = []
        while True:
            letter = source[self.at : self.at + 1]
            if not letter or (letter == "\n" and quote != "`"):
                raise fault(source, begin, "the constant is not closed")
            self.at += 1
            if letter == quote:
                break
            parts.append(self._read_escape() if letter == "\\" and quote != "`" else letter)
        text = "".join(parts)
        if quote != "'":
            self._add("string", text, begin)
        elif len(text) == 1:
            self._add("number", ord(text), begin)
        else:
            raise fault(source, begin, "a character constant holds one character")

    def _read_escape(self) -> str:
        letter = self.source[self.at : self.at + 1]
        self.at += 1
        if letter in _ESCAPES and letter:
            return _ESCAPES[letter]
        length = _HEX_LENGTH.get(letter, 0)
        digits = self.source[self.at : self.at + length]
        try:
            found = chr(int(digits, 16)) if length and len(digits) == length else ""
        except (ValueError, OverflowError):
            found = ""
        if not found:
            raise fault(self.source, self.at - 2, f"unknown escape \\{letter}")
        self.at += length
        return found


def _int_or_octal(text: str) -> int:
    """Read "0x1f", "0b1", "0o17" and Go's old octal "017"."""
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if digits[1:2].isdigit():
        return sign * int(digits, 8)
    return sign * int(digits, 0)
