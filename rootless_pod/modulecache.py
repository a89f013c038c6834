"""The modules of a hot command in one file, so that starting it opens one file instead of a hundred. HOT.

Python looks for, opens and checks each module's compiled file; for ``run`` that is a third of the time its own work
takes, and on a network file system far more. The first run of a command leaves all modules it used in one file in the
runtime directory: an index, then each module's code, of which a run reads what it uses. The next one takes each from
there if its source has the same time and size (as Python's own compiled files do), else from where it lies. It also
notes in which order they were done: the runs after it read these in one piece and run them in that order, without the
import system having to find each (2 ms for ``run``). Nothing depends on the file: it may vanish or be unwritable.
"""

from __future__ import annotations

import _imp
import fcntl
import gc
import marshal
import os
import sys
import time
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType, ModuleType
    from typing import Any

COMMANDS = frozenset(
    {"run", "ps", "exec", "start", "stop", "rm", "logs", "inspect", "container", "images", "pull", "pod"}
)
_PACKAGE = "rootless_pod"
_OPEN_TO_OTHERS = 0o022
_ABANDONED_SECONDS = 30
_HIGH_FD = 200
_LONGEST_NAME = 250
_TREES_KEPT = 3
_HEAD = 16
"""Bytes the file begins with: the length of the index behind them, and that of the whole file."""
_TOGETHER = -1
"""Stands for a module's place in the file where its code is in the piece that all runs read."""
INSIDE = "_RPOD_INSIDE"
"""The variable by which a program that rpod starts in its user namespace knows that it is there."""
_NOUNS = frozenset({"container", "pod"})


class ModuleCache:
    """A finder and loader of the modules in one file; ``save`` writes it anew where modules were missing."""

    def __init__(self, path: str, top: str) -> None:
        """Read the index of the file ``path``; ``top`` is the directory the package lies in."""
        self.path = path
        self.top = top
        self.used_other = False
        self._fd, self._base = -1, 0
        self.entries: dict[str, tuple[int, int, bool, int, int]] = {}
        self.together: dict[str, CodeType] = {}
        self.order: list[str] = []
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            # Out of the way of descriptors that a caller hands on by number.
            self._fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD)
            head = os.pread(fd, _HEAD, 0)
            size, whole = int.from_bytes(head[:8], "big"), int.from_bytes(head[8:], "big")
            if whole != os.fstat(fd).st_size:
                return
            entries, length = marshal.loads(os.pread(fd, size, _HEAD))  # noqa: S302 - a private file of ours
            together = marshal.loads(os.pread(fd, length, _HEAD + size))  # noqa: S302
        except (OSError, ValueError, EOFError, TypeError, OverflowError):
            return
        finally:
            os.close(fd)
        if isinstance(entries, dict) and isinstance(together, dict):
            self.entries, self.together, self._base = entries, together, _HEAD + size + length

    def load_together(self) -> None:
        """Import what the noted run imported, in the order it was done; the first that has changed ends it."""
        modules, kind = sys.modules, type(sys)
        for name in self.together:
            if name in modules:
                continue
            spec = self.find_spec(name)
            if spec is None:
                return
            parent, _, last = name.rpartition(".")
            module = kind(name)
            # As the import system would: importlib._bootstrap._init_module_attrs.
            module.__file__, module.__loader__, module.__spec__ = spec.origin, self, spec  # type: ignore[assignment]
            module.__package__ = parent
            if spec.submodule_search_locations is not None:
                module.__path__, module.__package__ = spec.submodule_search_locations, name
            modules[name] = module
            try:
                exec(self.together[name], module.__dict__)  # noqa: S102 - importing is running
            except BaseException:
                del modules[name]
                raise
            if parent in modules:
                setattr(modules[parent], last, module)

    def _code(self, name: str) -> bytes:
        """Return the compiled module as it lies in the file."""
        _time_ns, _size, _is_package, start, length = self.entries[name]
        if start == _TOGETHER:
            return marshal.dumps(self.together[name])
        return os.pread(self._fd, length, self._base + start)

    def find_spec(self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None) -> Any:
        """Return the spec of a module of the package that is here and current."""
        if not name.startswith(_PACKAGE):
            return None
        entry = self.entries.get(name)
        if entry is None:
            self.used_other = True
            return None
        time_ns, size, is_package, _start, _length = entry
        location = f"{self.top}/{name.replace('.', '/')}"
        origin = f"{location}/__init__.py" if is_package else f"{location}.py"
        try:
            found = os.stat(origin)
        except OSError:
            found = None
        if found is None or (found.st_mtime_ns, found.st_size) != (time_ns, size):
            del self.entries[name]
            self.used_other = True
            return None
        spec = ModuleSpec(name, self, origin=origin, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        spec.cached = self.path  # said, because Python would work out the usual place: a millisecond for all of run
        if is_package:
            spec.submodule_search_locations = [location]
        return spec

    def create_module(self, _spec: Any) -> None:
        """Leave making the module to the import system."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        name = module.__name__
        exec(self.get_code(name), module.__dict__)  # noqa: S102 - importing is running
        self.order.append(name)

    def get_code(self, name: str) -> CodeType:
        """Return a module's code (``python -m``, ``pkgutil`` and others ask for it)."""
        code = self.together.get(name)
        return marshal.loads(self._code(name)) if code is None else code  # noqa: S302 - see __init__

    def is_package(self, name: str) -> bool:
        """Tell whether a module is a package."""
        return self.entries[name][2]

    def save(self) -> None:
        """Write what this process imported of the package, if the file lacks a part of it; failures don't matter.

        Where it lacks nothing, but most modules still came one by one, the order of this process is noted.
        """
        more = not self.used_other and len(self.order) > len(self.together)
        order = [*self.together, *self.order] if more else []
        if not self.used_other and not order:
            return
        self.used_other = False
        index: dict[str, tuple[int, int, bool, int, int]] = {}
        pieces: list[bytes] = []
        written = 0
        for name, facts, code in (*self._kept(), *self._imported()):
            if name in order:
                index[name] = (*facts, _TOGETHER, 0)
                continue
            index[name] = (*facts, written, len(code))
            pieces.append(code)
            written += len(code)
        together = marshal.dumps({name: self.get_code(name) for name in order})
        head = marshal.dumps((index, len(together)))
        temporary = f"{self.path}.new"
        try:
            if time.time() - os.stat(temporary).st_mtime > _ABANDONED_SECONDS:
                os.unlink(temporary)  # its writer was killed
        except OSError:
            pass
        try:
            with open(temporary, "xb", opener=_private) as file:
                whole = _HEAD + len(head) + len(together) + written
                parts = (len(head).to_bytes(8, "big"), whole.to_bytes(8, "big"), head, together, *pieces)
                file.write(b"".join(parts))
            os.rename(temporary, self.path)
            _drop_others(*os.path.split(self.path))
        except OSError:
            pass

    def _kept(self) -> Iterator[tuple[str, tuple[int, int, bool], bytes]]:
        """Yield what the file has and is still good."""
        for name, (time_ns, size, is_package, _start, _length) in self.entries.items():
            yield name, (time_ns, size, is_package), self._code(name)

    def _imported(self) -> Iterator[tuple[str, tuple[int, int, bool], bytes]]:
        """Yield what this process imported from elsewhere."""
        for name, module in list(sys.modules.items()):
            origin = getattr(module, "__file__", None)
            if not name.startswith(_PACKAGE) or name in self.entries or not origin:
                continue
            try:
                # Before it is read: one that is replaced meanwhile must not be taken for the new one.
                found = os.stat(origin)
                code = module.__loader__.get_code(name)  # type: ignore[union-attr]
            except (AttributeError, ImportError, OSError):
                continue
            _imp._fix_co_filename(code, origin)  # type: ignore[attr-defined]  # noqa: SLF001 - as the import system
            yield name, (found.st_mtime_ns, found.st_size, origin.endswith("/__init__.py")), marshal.dumps(code)


def _drop_others(directory: str, own: str) -> None:
    """Remove the files of trees that are gone, and all but those of the trees used last: the directory is memory.

    One that is read goes on being read: it is open.
    """
    trees: dict[str, list[str]] = {}
    for name in os.listdir(directory):
        start = name.find("%")
        if name.startswith("modules-") and start > 0:
            trees.setdefault(name[start:].removesuffix(".new"), []).append(f"{directory}/{name}")
    trees.pop(own[own.find("%") :], None)
    used = {}
    for tree, files in trees.items():
        cut_short = any(len(os.path.basename(file)) >= _LONGEST_NAME for file in files)
        if cut_short or os.path.isdir(tree.replace("%", "/")):
            found = [os.stat(file) for file in files]
            used[tree] = max(max(one.st_atime, one.st_mtime) for one in found)
    kept = sorted(used, key=lambda tree: used[tree])[1 - _TREES_KEPT :]
    for tree, files in trees.items():
        for file in files if tree not in kept else ():
            os.unlink(file)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


_installed: ModuleCache | None = None


def runtime_uid() -> int:
    """Return the id that runtime directories are named by: the user's outside, where ``rpod unshare`` makes it 0."""
    uid = os.getuid()
    if uid or INSIDE not in os.environ:
        return uid
    try:
        fd = os.open("/proc/self/uid_map", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return uid
    try:
        ranges = [line.split() for line in os.read(fd, 4096).splitlines()]
    finally:
        os.close(fd)
    return next((int(outside) for inside, outside, _size in ranges if inside == b"0"), uid)


def private_directory(*, make: bool = False) -> str:
    """Return the runtime directory rpod chooses by itself, if it is there already and nobody else's; or "".

    With ``make`` one that is missing is made.
    """
    uid, name = os.getuid(), runtime_uid()
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    places = (
        f"{runtime}/rootless-pod" if runtime else "",
        f"/run/user/{name}/rootless-pod",
        f"/dev/shm/rpod-{name}",  # noqa: S108 - owner and mode are checked
    )
    for directory in places:
        try:
            found = os.lstat(directory)
        except OSError:
            continue
        if found.st_uid == uid and not found.st_mode & _OPEN_TO_OTHERS and found.st_mode & 0o170000 == 0o040000:
            return directory
    for directory in places if make else ():
        parent = os.path.dirname(directory)
        try:
            if parent == "/dev/shm" or os.stat(parent).st_uid == uid:  # noqa: S108 - what is made is ours alone
                os.mkdir(directory, 0o700)
                return directory
        except OSError:
            continue
    return ""


def install(argv: Sequence[str]) -> None:
    """Let the modules of the command in ``argv`` come from its file, if there is a private runtime directory for it."""
    global _installed  # noqa: PLW0603 - one a process
    command = _command_in(argv)
    directory = private_directory() if command is not None else ""
    if not directory:
        return
    # What is loaded stays: to look through it for garbage again and again takes 0.8 ms of a run.
    gc.disable()
    top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    name = f"modules-{sys.implementation.cache_tag}-{command}-{top.replace('/', '%')}"
    _installed = ModuleCache(f"{directory}/{name[:_LONGEST_NAME]}", top)
    sys.meta_path.insert(0, _installed)
    if "importtime" not in sys._xoptions:  # noqa: SLF001 - Python's own name; one who asks for them is to see all imports
        _installed.load_together()
    gc.freeze()
    gc.enable()


def _command_in(argv: Sequence[str]) -> str | None:
    """Return the hot command of a command line: its first word that is neither an option nor an option's value.

    Behind a noun its verb belongs to it.
    """
    before = ""
    for place, word in enumerate(argv):
        if not word.startswith("-") and (not before.startswith("--") or "=" in before):
            verb = "".join(argv[place + 1 : place + 2])
            if word in _NOUNS and verb.isalpha():
                return f"{word}-{verb}"
            return word if word in COMMANDS else None
        before = word
    return None


def save() -> None:
    """Keep what this command imported for the next one; called once, when its work is done."""
    if _installed is not None:
        _installed.save()
