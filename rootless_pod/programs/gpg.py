"""GnuPG, which keeps the user's secret keys: it signs for us, and says who signed what it knows.

Source: gpg(1) of GnuPG 2.2, doc/DETAILS ("Format of colon listings", "--status-fd"); tried with 2.2.40.
"""

from __future__ import annotations

import os

from rootless_pod.errors import HostUnready, NotFound, ProgramFailed, Usage
from rootless_pod.frozen import Frozen
from rootless_pod.programs.find import find_program
from rootless_pod.programs.run import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.programs.run import Completed

# A passphrase may have to be typed, or a key on a card be touched: only what asks nobody has a limit.
_QUIET_SECONDS = 60.0
_PASSPHRASE_FD = 3


class Opened(Frozen):
    """What a message says, and the fingerprint of the primary key that signed it."""

    payload: bytes
    fingerprint: str


def list_argv(key: str) -> list[str]:
    """Return the call that lists the secret keys that ``key`` (fingerprint, key id, address) means."""
    return ["gpg", "--batch", "--no-tty", "--with-colons", "--list-secret-keys", "--", key]


def sign_argv(fingerprint: str, *, passphrase: bool) -> list[str]:
    """Return the call that wraps standard input into a signed message."""
    given = ["--pinentry-mode", "loopback", "--passphrase-fd", str(_PASSPHRASE_FD)] if passphrase else []
    return ["gpg", "--batch", "--no-armor", *given, "--local-user", fingerprint, "--output", "-", "--sign"]


def open_argv() -> list[str]:
    """Return the call that unwraps a signed message; who signed goes to standard error."""
    return ["gpg", "--batch", "--no-tty", "--status-fd", "2", "--output", "-", "--decrypt"]


def find_secret_key(key: str) -> str:
    """Return the fingerprint of the one secret key that ``key`` means.

    Raises:
        HostUnready: gpg is not installed.
        NotFound: there is none.
        Usage: there are several.
    """
    if find_program("gpg") is None:
        raise HostUnready(
            "program gpg is not installed: it keeps the OpenPGP keys that images are signed with",
            remedy="install gnupg (Debian: apt install gnupg), or sign with --sign-by-sigstore-private-key",
        )
    done = run(list_argv(key), timeout_seconds=_QUIET_SECONDS)
    found = fingerprints(done.stdout.decode(errors="replace"))
    if not found:
        raise NotFound(f'key "{key}" not found', remedy="see: gpg --list-secret-keys", exit_code=125)
    if len(found) > 1:
        raise Usage(f'key "{key}" means {len(found)} keys', remedy=f"give a fingerprint: {found[0]}")
    return found[0]


def fingerprints(listing: str) -> list[str]:
    """Return the fingerprints of the primary keys in a listing with colons."""
    found, of_primary = [], False
    for line in listing.splitlines():
        fields = line.split(":")
        if fields[0] in ("sec", "ssb"):
            of_primary = fields[0] == "sec"
        elif fields[0] == "fpr" and of_primary and len(fields) > 9:
            found.append(fields[9])
            of_primary = False
    return list(dict.fromkeys(found))


def sign(data: bytes, fingerprint: str, passphrase: str | None = None) -> bytes:
    """Return a signed message around ``data``; without a passphrase gpg's agent asks for it where there is one.

    Raises:
        ProgramFailed: gpg did not sign.
    """
    environment = dict(os.environ)
    if os.isatty(0):
        environment.setdefault("GPG_TTY", os.ttyname(0))
    argv = sign_argv(fingerprint, passphrase=passphrase is not None)
    if passphrase is None:
        done = run(argv, stdin=data, env=environment)
    else:
        secret = _in_memory(passphrase.encode() + b"\n")
        try:
            done = run(argv, stdin=data, env=environment, fds={_PASSPHRASE_FD: secret}, timeout_seconds=_QUIET_SECONDS)
        finally:
            os.close(secret)
    if done.code != 0 or not done.stdout:
        raise ProgramFailed(
            f"gpg does not sign with the key {fingerprint}: {_said(done)}",
            remedy="give its passphrase with --sign-passphrase-file, or run: gpg --sign and see what it wants",
        )
    return done.stdout


def open_signed(message: bytes) -> Opened | None:
    """Return what a message says if one key of the user's keyring signed it and is good, else nothing."""
    done = run(open_argv(), stdin=message, timeout_seconds=_QUIET_SECONDS)
    for line in done.stderr.decode(errors="replace").splitlines():
        words = line.split()
        # [GNUPG:] VALIDSIG KEY DATE TIME EXPIRES VERSION RESERVED ALGORITHM HASH CLASS PRIMARY-KEY
        if words[:2] == ["[GNUPG:]", "VALIDSIG"] and done.code == 0:
            return Opened(payload=done.stdout, fingerprint=words[11] if len(words) > 11 else words[2])
    return None


def _in_memory(data: bytes) -> int:
    fd = os.memfd_create("passphrase", os.MFD_CLOEXEC)
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _said(done: Completed) -> str:
    lines = [line.removeprefix("gpg: ") for line in done.stderr.decode(errors="replace").strip().splitlines()]
    return "; ".join(lines[-2:]) or f"exit code {done.code}"
