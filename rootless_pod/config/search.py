"""Where the configuration files shared by podman, buildah and skopeo lie, in the order they are read."""

from __future__ import annotations

import os

SYSTEM = ("/usr/share/containers", "/etc/containers")
"""The machine's directories, weakest first."""


def home() -> str:
    """Return the user's home (from ``HOME``, else the password database)."""
    given = os.environ.get("HOME", "")
    if given.startswith("/"):
        return given
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/nonexistent"


def user_config() -> str:
    """Return ``$XDG_CONFIG_HOME/containers`` or ``~/.config/containers``."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return f"{base}/containers" if base.startswith("/") else f"{home()}/.config/containers"


def config_files(name: str, *, override: str | None = None) -> tuple[str, ...]:
    """Return the files of configuration ``name`` (``registries.conf``) that exist, weakest first.

    ``override`` (the value of the file's environment variable) replaces all of them. The user's main file replaces
    the machine's; drop-in directories ``NAME.d/*.conf`` of both come after, sorted by file name.
    Source: containers-registries.conf(5), containers-registries.conf.d(5).
    """
    if override:
        return (override,)
    mine = user_config()
    main = next(
        (path for path in (f"{mine}/{name}", *(f"{d}/{name}" for d in SYSTEM[::-1])) if os.path.isfile(path)), None
    )
    files = [main] if main else []
    dropped: dict[str, str] = {}
    for directory in (*SYSTEM, mine):
        for file in drop_ins(f"{directory}/{name}.d"):
            dropped[file] = f"{directory}/{name}.d/{file}"
    return (*files, *(dropped[file] for file in sorted(dropped)))


def drop_ins(directory: str) -> list[str]:
    """Return the names of the drop-in files in ``directory``, in no order."""
    try:
        return [file for file in os.listdir(directory) if file.endswith(".conf")]
    except OSError:
        return []
