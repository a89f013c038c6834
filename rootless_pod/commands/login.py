"""``rpod login``."""

from __future__ import annotations

import os
import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag, text
from rootless_pod.errors import NotFound, RpodError, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.image.registry.auth import Credentials
    from rootless_pod.image.registry.connect import Access
    from rootless_pod.image.registry.login import LoginPlace

COMMAND = Command(
    name="login",
    summary="Log in to a registry",
    help=(
        "Tries a user name and password at a registry and keeps them for later, in $REGISTRY_AUTH_FILE, "
        "$XDG_RUNTIME_DIR/containers/auth.json (gone after a reboot) or ~/.config/containers/auth.json, or with the "
        "credential helper that is configured. podman, buildah and skopeo use the same files."
    ),
    options=(
        text("--authfile", "Keep them in this file", metavar="FILE", completes="file"),
        text("--cert-dir", "TLS certificates and keys for the registry", metavar="DIR", completes="directory"),
        text("--compat-auth-file", "Keep them in this file of Docker's", metavar="FILE", completes="file"),
        flag("--get-login", "Print the user name that is kept, and do nothing else"),
        text("--password", "Password (others can see it while the command runs)", "-p", metavar="PASSWORD"),
        flag("--password-stdin", "Read the password from standard input"),
        flag("--tls-verify", "Speak HTTPS and check certificates", default=True),
        text("--username", "User name", "-u", metavar="NAME"),
        flag("--verbose", "Print where the credentials are kept", "-v"),
    ),
    arguments=(
        Argument(
            name="REGISTRY", kind="optional", help="HOST[:PORT][/NAMESPACE]; the first that is searched if not given"
        ),
    ),
    examples=("rpod login registry.example.org", "rpod login -u ann --password-stdin localhost:5000 < secret"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Log in; with credentials that are kept already, try these first."""
    from rootless_pod.image.registry.auth import Credentials
    from rootless_pod.image.registry.authfile import choose_target
    from rootless_pod.image.registry.connect import Access
    from rootless_pod.image.registry.login import LoginPlace, login

    place = LoginPlace(call.one("registry"))
    target = choose_target(call.text("authfile") or None, call.text("compat_auth_file") or None)
    named = call.text("authfile") or call.text("compat_auth_file") or None
    if call.flag("get_login"):
        return _print_login(place, named)
    if call.flag("password_stdin") and call.text("password"):
        raise Usage("--password can't go with --password-stdin", remedy="use one of the two")
    if call.flag("password_stdin") and not call.text("username"):
        raise Usage("--password-stdin needs --username", remedy="give the user name with -u")
    access = Access(
        tls_verify=call.flag("tls_verify") if "tls_verify" in call.given else None,
        cert_dir=call.text("cert_dir") or None,
    )
    kept = place.stored(named)
    if kept is not None and not (call.text("username") or call.text("password")) and _still_valid(place, kept, access):
        return 0
    username = call.text("username") or _ask_name(kept)
    password = sys.stdin.read().rstrip("\r\n") if call.flag("password_stdin") else call.text("password")
    password = password or _ask_password()
    used = login(place, Credentials(username=username, password=password), access, target)
    if call.flag("verbose"):
        sys.stdout.write(f"Used: {used}\n")
    sys.stdout.write("Login Succeeded!\n")
    return 0


def _print_login(place: LoginPlace, authfile: str | None) -> int:
    kept = place.stored(authfile)
    if kept is None:
        raise NotFound(f"not logged into {place.key}", remedy=f"run: rpod login {place.key}", exit_code=125)
    sys.stdout.write(f"{kept.username or '<token>'}\n")
    return 0


def _still_valid(place: LoginPlace, kept: Credentials, access: Access) -> bool:
    """Try what is kept and say so."""
    sys.stdout.write(f"Authenticating with existing credentials for {place.key}\n")
    try:
        place.verify(kept, access)
    except RpodError as fault:
        if not os.isatty(0):
            raise
        sys.stdout.write(f"Existing credentials are not valid: {fault.message}\n")
        return False
    sys.stdout.write(f"Existing credentials are valid. Already logged in to {place.key}\n")
    return True


def _ask_name(kept: Credentials | None) -> str:
    if not os.isatty(0):
        raise Usage("no user name was given and standard input is no terminal", remedy="give it with --username")
    proposed = f" ({kept.username})" if kept is not None and kept.username else ""
    sys.stdout.write(f"Username{proposed}: ")
    sys.stdout.flush()
    return sys.stdin.readline().strip() or (kept.username if kept is not None else "")


def _ask_password() -> str:
    if not os.isatty(0):
        raise Usage("no password was given and standard input is no terminal", remedy="give it with --password-stdin")
    from getpass import getpass

    return getpass("Password: ")
