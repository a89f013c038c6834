"""Where the data of a secret is: in a file of the store, in pass(1)'s, or behind the user's own commands.

Source: containers/common pkg/secrets (the drivers' names, options and what they call), podman-secret-create(1).
"""

from __future__ import annotations

import os

from rootless_pod.errors import HostUnready, NotFound, ProgramFailed, Usage
from rootless_pod.programs import run as programs
from rootless_pod.programs.find import find_program
from rootless_pod.state.record import read_bytes, write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    class Driver(Protocol):
        """Keeps the data of secrets by their ids."""

        def store(self, secret_id: str, data: bytes) -> None:
            """Keep ``data``."""

        def lookup(self, secret_id: str) -> bytes:
            """Return it."""

        def delete(self, secret_id: str) -> None:
            """Forget it; gone already is fine."""


DRIVERS = {"file": ("path",), "pass": ("root", "key", "gpghomedir"), "shell": ("list", "lookup", "store", "delete")}
"""The drivers and the options they take."""
_TIMEOUT_SECONDS = 120.0


def open_driver(name: str, options: Mapping[str, str]) -> Driver:
    """Return the driver ``name``; the options of ``file`` are complete (``path``).

    Raises:
        Usage: there is no such driver, or its options are unknown or incomplete.
        HostUnready: a program it needs is not installed.
    """
    if name not in DRIVERS:
        raise Usage(f"unknown secret driver {name!r}", remedy=f"use one of: {', '.join(DRIVERS)}")
    for key in options:
        if key not in DRIVERS[name]:
            raise Usage(
                f"secret driver {name} has no option {key!r}", remedy=f"its options are: {', '.join(DRIVERS[name])}"
            )
    if name == "shell":
        return ShellDriver(options)
    return PassDriver(options) if name == "pass" else FileDriver(options["path"])


class FileDriver:
    """One file a secret, readable by the user alone."""

    def __init__(self, directory: str) -> None:
        """Name the directory (made with the first secret)."""
        self.directory = directory

    def store(self, secret_id: str, data: bytes) -> None:
        """Keep ``data``; it survives a power cut."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        write_bytes(f"{self.directory}/{secret_id}", data, durable=True)

    def lookup(self, secret_id: str) -> bytes:
        """Return the data.

        Raises:
            NotFound: the file is gone.
        """
        try:
            return read_bytes(f"{self.directory}/{secret_id}")
        except FileNotFoundError as cause:
            raise NotFound(f"the data of secret {secret_id} is not in {self.directory}", exit_code=125) from cause

    def delete(self, secret_id: str) -> None:
        """Remove the file, and what a killed ``store`` left of it."""
        try:
            found = os.listdir(self.directory)
        except FileNotFoundError:
            return
        for name in found:
            if name == secret_id or (name.startswith(f".{secret_id}.") and name.endswith(".tmp")):
                os.unlink(f"{self.directory}/{name}")


class PassDriver:
    """Encrypted files as pass(1) keeps them: ``root/ID.gpg``, made and read by gpg."""

    def __init__(self, options: Mapping[str, str]) -> None:
        """Complete the options as pass does: the store in the home directory, the key from its ``.gpg-id``."""
        home = os.environ.get("HOME", "")
        root = options.get("root") or os.environ.get("PASSWORD_STORE_DIR") or f"{home}/.password-store"
        self.root = root
        self.key = options.get("key") or _first_line(f"{root}/.gpg-id")
        self.home = options.get("gpghomedir", "")
        found = find_program("gpg")
        if found is None:
            raise HostUnready(
                "secret driver pass needs gpg, which is not installed",
                remedy="ask an administrator to run: apt-get install gnupg",
            )
        self.gpg = found

    def _argv(self, *words: str) -> tuple[str, ...]:
        return (self.gpg, "--batch", *(("--homedir", self.home) if self.home else ()), *words)

    def store(self, secret_id: str, data: bytes) -> None:
        """Encrypt for the key.

        Raises:
            Usage: there is none.
        """
        if not self.key:
            raise Usage(
                f"secret driver pass has no key: {self.root}/.gpg-id is missing",
                remedy="run: pass init KEY; or give one with --driver-opts key=KEY",
            )
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        path = f"{self.root}/{secret_id}.gpg"
        argv = self._argv("--yes", "--trust-model", "always", "--encrypt", "-r", self.key, "-o", path)
        _check(programs.run(argv, stdin=data, timeout_seconds=_TIMEOUT_SECONDS), "gpg can't encrypt the secret")

    def lookup(self, secret_id: str) -> bytes:
        """Decrypt.

        Raises:
            NotFound: there is no such file.
        """
        path = f"{self.root}/{secret_id}.gpg"
        if not os.path.exists(path):
            raise NotFound(f"the data of secret {secret_id} is not in {self.root}", exit_code=125)
        done = programs.run(self._argv("--decrypt", path), timeout_seconds=_TIMEOUT_SECONDS)
        return _check(done, "gpg can't decrypt the secret")

    def delete(self, secret_id: str) -> None:
        """Remove the file."""
        FileDriver(self.root).delete(f"{secret_id}.gpg")


class ShellDriver:
    """Four commands of the user's; they find the id in ``SECRET_ID``, and the data is on stdin and stdout."""

    def __init__(self, options: Mapping[str, str]) -> None:
        """Keep the commands.

        Raises:
            Usage: one is missing.
        """
        missing = [name for name in DRIVERS["shell"] if not options.get(name)]
        if missing:
            raise Usage(
                f"secret driver shell needs its option {missing[0]}",
                remedy="give list, lookup, store and delete, each by --driver-opts NAME=COMMAND",
            )
        self.commands = dict(options)

    def _call(self, what: str, secret_id: str, data: bytes = b"") -> bytes:
        argv = ("/bin/sh", "-c", self.commands[what])
        env = {**os.environ, "SECRET_ID": secret_id}
        done = programs.run(argv, stdin=data, env=env, timeout_seconds=_TIMEOUT_SECONDS)
        return _check(done, f"the command {what!r} of secret driver shell failed")

    def store(self, secret_id: str, data: bytes) -> None:
        """Call ``store``."""
        self._call("store", secret_id, data)

    def lookup(self, secret_id: str) -> bytes:
        """Call ``lookup``."""
        return self._call("lookup", secret_id)

    def delete(self, secret_id: str) -> None:
        """Call ``delete``."""
        self._call("delete", secret_id)


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return ""


def _check(done: programs.Completed, what: str) -> bytes:
    if done.code != 0:
        said = "; ".join(done.stderr.decode(errors="replace").strip().splitlines()[-3:])
        raise ProgramFailed(f"{what}: {said or f'exit code {done.code}'}", remedy="correct the driver's options")
    return done.stdout
