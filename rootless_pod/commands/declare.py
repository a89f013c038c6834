"""The words a command is declared in: plain data, read by the hot parser and by typer alike. HOT."""

from __future__ import annotations

from rootless_pod.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.paths import Paths
    from rootless_pod.userns.pause import UserNamespace

# What an option's kind gives in ``Call.values``:
#   flag                     bool; ``--x``, ``--x=false``
#   text                     str | None
#   int, uint                int | None (``keep_text``: the checked text)
#   float, size, duration    str | None: checked when parsed, kept as typed (see ``quantity``)
#   list                     tuple of str, in order (``split``: "a,b" counts as two)
#   optional                 str | None; ``--x`` alone gives ``optional_value``, a value needs ``--x=value``
KINDS = ("flag", "text", "int", "uint", "float", "size", "duration", "list", "optional")


class Option(Frozen):
    """One option of a command. ``group`` is the heading it stands under in the help.

    ``refuse`` ("reason; remedy"): the option is known, but cannot act here: giving it is an error saying so
    (with ``choices``: giving any other value than these is).
    ``completes`` names what its value is: container, image, volume, network, file, directory, or nothing.
    """

    name: str
    short: str | None = None
    kind: str = "text"
    metavar: str = ""
    help: str = ""
    default: str | int | bool | tuple[str, ...] | None = None
    dest: str = ""
    choices: tuple[str, ...] = ()
    completes: str | None = None
    hidden: bool = False
    group: str = "Options"
    aliases: tuple[str, ...] = ()
    split: bool = False
    keep_text: bool = False
    optional_value: str = ""
    refuse: str = ""

    @property
    def key(self) -> str:
        """The name of its value in ``Call.values``: ``dest``, or made from ``name``."""
        return self.dest or self.name[2:].replace("-", "_")

    @property
    def takes_value(self) -> bool:
        """Whether the next word is its value (a flag's or an optional value needs ``=``)."""
        return self.kind not in ("flag", "optional")

    @property
    def shown(self) -> bool:
        """Whether the help has it: not when it is always refused."""
        return not self.hidden and not (self.refuse and not self.choices)

    @property
    def help_with_default(self) -> str:
        """The help text with the default, where there is one worth saying."""
        if self.default in (None, "", (), False, 0) or "default" in self.help:
            return self.help
        return f"{self.help} (default {self.default})"

    @property
    def initial(self) -> str | int | bool | tuple[str, ...] | None:
        """The value when the option is not given."""
        if self.default is None:
            if self.kind == "flag":
                return False
            return () if self.kind == "list" else None
        return self.default


def flag(name: str, words: str, short: str | None = None, **more: Any) -> Option:
    """Declare a yes-or-no option."""
    return Option(name=name, short=short, kind="flag", help=words, **more)


def text(name: str, words: str, short: str | None = None, **more: Any) -> Option:
    """Declare an option with one value; not given it is "" (say ``default=None`` where "" is a value)."""
    return Option(name=name, short=short, help=words, **{"default": "", **more})


def texts(name: str, words: str, short: str | None = None, **more: Any) -> Option:
    """Declare an option that may be given several times."""
    return Option(name=name, short=short, kind="list", help=words, **more)


class Argument(Frozen):
    """One positional argument.

    ``kind``: ``one`` (str), ``optional`` (str | None), ``many`` (tuple of at least ``least``),
    ``rest`` (tuple: everything left, options included; a leading ``--`` is dropped).
    """

    name: str
    kind: str = "one"
    help: str = ""
    completes: str | None = None
    least: int = 0

    @property
    def key(self) -> str:
        """The name of its value in ``Call.arguments``."""
        return self.name.lower().replace("-", "_")


class Command(Frozen):
    """One command: ``interspersed=False`` ends the options at the first positional argument."""

    name: str
    summary: str
    help: str = ""
    options: tuple[Option, ...] = ()
    arguments: tuple[Argument, ...] = ()
    examples: tuple[str, ...] = ()
    needs_userns: bool = True
    interspersed: bool = True
    configuration: str = "full"
    """Whether containers.conf is read: ``full``, ``store`` (only if no ``--root`` says where that is), or ``none``."""


class Globals(Frozen):
    """The options before the command's name."""

    root: str | None = None
    runroot: str | None = None
    storage_driver: str | None = None
    storage_opt: tuple[str, ...] = ()
    runtime: str | None = None
    runtime_is_default: bool = False
    """Whether ``runtime`` is from a file: then one that a container has of its own comes first."""
    runtime_flag: tuple[str, ...] = ()
    conmon: str | None = None
    log_level: str = "warn"
    module: tuple[str, ...] = ()
    noout: bool = False
    out: str | None = None
    events_backend: str | None = None
    hooks_dir: tuple[str, ...] = ()
    cdi_spec_dir: tuple[str, ...] = ()


class Call(Frozen):
    """What ``main`` of a command gets: the parsed words, the places and the user's namespace.

    ``given`` holds the keys of the options that were on the command line.
    ``namespace`` is ``None`` for a command that does not need it; ``places`` is then ``None`` too,
    and ``paths`` looks for the two roots when asked.
    """

    command: Command
    values: dict[str, object]
    arguments: dict[str, object]
    given: frozenset[str] = frozenset()
    globals: Globals
    places: Paths | None = None
    namespace: UserNamespace | None = None

    @property
    def paths(self) -> Paths:
        """Return the two roots (in the user's namespace: those found before it was entered).

        Raises:
            HostUnready: no runtime directory is usable.
        """
        if self.places is not None:
            return self.places
        from rootless_pod.config.storage import additional_stores
        from rootless_pod.paths import find_paths

        paths = find_paths(self.globals.root, self.globals.runroot)
        stores = additional_stores(self.globals.storage_opt)
        return paths.replace(additional=stores) if stores else paths

    def entered(self) -> Call:
        """Join the user's namespace and return the call with it; once a process, before any thread.

        Raises:
            HostUnready: there is none to be had.
        """
        import os

        from rootless_pod.userns.enter import enter

        paths = self.paths
        paths.prepare()
        call = self.replace(places=paths, namespace=enter(paths))
        if os.path.isdir(f"{paths.graphroot}/unwritten"):
            from rootless_pod.image.unwritten import settle

            settle(paths)
        return call

    def flag(self, key: str) -> bool:
        """Return a flag's value."""
        return bool(self.values[key])

    def text(self, key: str) -> str:
        """Return a text, "" when it is not given and has no default."""
        value = self.values[key]
        return "" if value is None else str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list option's values in order."""
        value = self.values[key]
        assert isinstance(value, tuple)
        return value

    def number(self, key: str) -> int | None:
        """Return an ``int`` or ``uint`` option's value."""
        value = self.values[key]
        assert value is None or isinstance(value, int)
        return value

    def one(self, key: str) -> str:
        """Return a positional argument of kind ``one`` ("" for an ``optional`` one left out)."""
        value = self.arguments[key]
        return "" if value is None else str(value)

    def many(self, key: str) -> tuple[str, ...]:
        """Return a positional argument of kind ``many`` or ``rest``."""
        value = self.arguments[key]
        assert isinstance(value, tuple)
        return value
