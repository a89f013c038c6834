"""OCI hooks: the files that describe them, and which of them a container gets.

Imported only where a directory of hooks is configured. Source: oci-hooks(5) of containers/common, version 1.0.0; the
runtime-spec for the stages; ``precreate`` is libpod's own.
"""

from __future__ import annotations

import os
import re

from rootless_pod.errors import Corrupt, NotFound, Refused
from rootless_pod.frozen import Frozen
from rootless_pod.oci.document import Document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

VERSION = "1.0.0"
PRECREATE = "precreate"
STAGES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
_CONDITIONS = frozenset({"always", "annotations", "commands", "hasBindMounts"})


class Hook(Frozen):
    """One hook file: the program, when it is wanted (None: not asked), and the stages it runs at."""

    file: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout_seconds: int | None = None
    always: bool | None = None
    annotations: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()
    bind_mounts: bool | None = None
    stages: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the runtime-spec's object."""
        found: dict[str, Any] = {"path": self.path}
        if self.args:
            found["args"] = list(self.args)
        if self.env:
            found["env"] = list(self.env)
        if self.timeout_seconds is not None:
            found["timeout"] = self.timeout_seconds
        return found

    def fits(self, *, annotations: dict[str, str], command: str, has_bind_mounts: bool) -> bool:
        """Tell whether the container gets this hook: every condition that is given holds, and one is given.

        Of several commands one has to fit; each pair of annotation patterns has to fit some annotation.
        """
        holds = []
        if self.always is not None:
            holds.append(self.always)
        if self.bind_mounts is not None:
            holds.append(self.bind_mounts and has_bind_mounts)
        for key, value in self.annotations:
            holds.append(any(re.search(key, one) and re.search(value, annotations[one]) for one in annotations))
        if self.commands:
            holds.append(any(re.search(pattern, command) for pattern in self.commands))
        return bool(holds) and all(holds)


def read_hooks(directories: Iterable[str]) -> tuple[Hook, ...]:
    """Return the hooks of all directories by file name; one of the same name in a later directory takes its place.

    Raises:
        NotFound: a directory, or the program of a hook, is not there.
        Corrupt: a file is no hook of version 1.0.0; the message names file and field.
        Refused: a program is not executable.
    """
    files: dict[str, str] = {}
    for directory in directories:
        try:
            names = os.listdir(directory)
        except OSError as cause:
            raise NotFound(
                f"cannot read the hooks directory {directory}: {cause.strerror}",
                remedy="correct --hooks-dir, or hooks_dir in containers.conf",
                exit_code=125,
            ) from cause
        files.update({name: f"{directory}/{name}" for name in names if name.endswith(".json")})
    return tuple(read_hook(files[name]) for name in sorted(files))


def read_hook(file: str) -> Hook:
    """Return the hook that a file describes.

    Raises:
        NotFound, Corrupt, Refused: as ``read_hooks``.
    """
    try:
        with open(file, "rb") as opened:
            data = opened.read()
    except OSError as cause:
        raise NotFound(f"cannot read the hook {file}: {cause.strerror}", exit_code=125) from cause
    try:
        hook = _parse(file, Document.parse(data, f"hook {file}: $"))
    except Corrupt as cause:
        cause.message = cause.message.replace(": $.", ": ").replace(": $ ", ": it ")
        cause.remedy = f"correct {file}, or move it out of the directory"
        raise
    if hook.stages != ("startContainer",):  # that one is looked up inside the container
        check_program(hook)
    return hook


def _parse(file: str, document: Document) -> Hook:
    if document.text("version") != VERSION:
        raise document.fault("version", f"is {document.text('version')!r}, not {VERSION!r}")
    inner, when = document.child("hook"), document.child("when")
    if inner is None or when is None:
        raise document.fault("hook" if inner is None else "when", "is missing")
    unknown = sorted(set(when.plain()) - _CONDITIONS)
    if unknown:
        raise when.fault(unknown[0], f"is none of {', '.join(sorted(_CONDITIONS))}")
    timeout = inner.integer("timeout") if "timeout" in inner else None
    if timeout == 0:
        raise inner.fault("timeout", "is not a number of seconds above 0")
    hook = Hook(
        file=file,
        path=inner.text("path"),
        args=inner.texts("args") or (),
        env=inner.texts("env") or (),
        timeout_seconds=timeout,
        always=_boolean(when, "always"),
        annotations=tuple(when.mapping("annotations").items()),
        commands=when.texts("commands") or (),
        bind_mounts=_boolean(when, "hasBindMounts"),
        stages=document.texts("stages") or (),
    )
    _check_values(hook)
    return hook


def _boolean(document: Document, name: str) -> bool | None:
    value = document.plain().get(name)
    if value is not None and not isinstance(value, bool):
        raise document.fault(name, "is neither true nor false")
    return value


def _check_values(hook: Hook) -> None:
    if not hook.path.startswith("/"):
        raise Corrupt(f"hook {hook.file}: hook.path is not absolute: {hook.path!r}")
    if not hook.stages:
        raise Corrupt(f"hook {hook.file}: stages is empty")
    for stage in hook.stages:
        if stage not in (*STAGES, PRECREATE):
            raise Corrupt(f"hook {hook.file}: stages has {stage!r}, which is none of {', '.join((*STAGES, PRECREATE))}")
    for variable in hook.env:
        if "=" not in variable:
            raise Corrupt(f"hook {hook.file}: hook.env has {variable!r}, which is not NAME=VALUE")
    patterns = [("when.commands", one) for one in hook.commands]
    patterns += [("when.annotations", one) for pair in hook.annotations for one in pair]
    for field, pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as cause:
            raise Corrupt(f"hook {hook.file}: {field} has {pattern!r}, no regular expression: {cause}") from cause


def check_program(hook: Hook) -> None:
    """Refuse a hook whose program could not be run.

    Raises:
        NotFound, Refused: it is not there, or not executable.
    """
    if not os.path.exists(hook.path):
        raise NotFound(
            f"hook {hook.file}: hook.path {hook.path} does not exist", remedy="install the program", exit_code=125
        )
    if os.path.isdir(hook.path) or not os.access(hook.path, os.X_OK):
        raise Refused(f"hook {hook.file}: hook.path {hook.path} is not executable", remedy=f"chmod +x {hook.path}")


def by_stage(hooks: Iterable[Hook]) -> dict[str, list[dict[str, Any]]]:
    """Return the ``hooks`` of config.json, without ``precreate``."""
    found: dict[str, list[dict[str, Any]]] = {}
    for hook in hooks:
        for stage in hook.stages:
            if stage != PRECREATE:
                found.setdefault(stage, []).append(hook.to_json())
    return found
