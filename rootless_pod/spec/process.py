"""The process's words: arguments, environment, directory and limits. HOT.

``container=oci`` is set in the environment: the generic value that systemd knows and then looks at
/run/.containerenv, which is there as well. Source: podman 4.3.1 (probed) for order and precedence.
"""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.errors import Refused, Usage
from rootless_pod.spec.quantities import parse_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from rootless_pod.oci.image import ImageConfig
    from rootless_pod.spec.host import HostFacts
    from rootless_pod.spec.request import SpecRequest

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CANNOT_INVOKE = 126
INIT_TARGET = "/run/rpod-init"
SYSTEMD_STOP_SIGNAL = 37  # SIGRTMIN+3
_SYSTEMD_PATHS = ("/usr/sbin/init", "/sbin/init", "/usr/local/sbin/init")
_PROXY_NAMES = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
]
_NOFILE_MAX = 1 << 20
_NPROC_MAX = 1 << 22


def compose_args(request: SpecRequest, image: ImageConfig | None) -> tuple[str, ...]:
    """Join entrypoint and command: an entrypoint of the caller's drops the image's command as well.

    Raises:
        Usage: nothing is left to run.
    """
    entrypoint = parse_entrypoint(request.entrypoint)
    command = request.command
    if entrypoint is None:
        entrypoint = (image.entrypoint if image else None) or ()
        if not command:
            command = (image.cmd if image else None) or ()
    args = entrypoint + command
    if not args:
        raise Usage(
            "no command or entrypoint provided, and no CMD or ENTRYPOINT from image",
            remedy="write the command after the image: rpod run IMAGE COMMAND",
        )
    return (INIT_TARGET, "--", *args) if request.init else args


def parse_entrypoint(value: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return ``--entrypoint`` as words: a JSON array is taken apart, any other text is one word, "" is none."""
    if value is None or isinstance(value, tuple):
        return value if value != ("",) else ()
    if value.startswith("["):
        try:
            words = jsontext.loads(value)
        except ValueError:
            words = None
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return tuple(words)
    return (value,) if value else ()


def compose_environment(
    request: SpecRequest, image: ImageConfig | None, host: HostFacts, *, hostname: str, home: str
) -> tuple[str, ...]:
    """Return ``NAME=value`` texts.

    Later wins: our defaults, those of containers.conf, the image, the host (``--env-host``), proxies, ``--env-file``,
    ``--env``, ``--env-merge``.
    ``--unsetenv`` takes away defaults and the image's, never what the caller set. HOSTNAME and HOME come last,
    where nobody gave them.
    """
    env: dict[str, str] = {"PATH": DEFAULT_PATH, "container": "oci"}
    if request.terminal:
        env["TERM"] = "xterm"
    env.update(parse_environment(request.default_env, host.environment, "containers.conf: env"))
    for text in image.env if image else ():
        name, _, value = text.partition("=")
        env[name] = value
    if request.unsetenv_all:
        env.clear()
    for name in request.unsetenv:
        env.pop(name, None)
    if request.env_host:
        env.update(host.environment)
    if request.http_proxy:
        env.update({name: host.environment[name] for name in _PROXY_NAMES if host.environment.get(name)})
    env.update(parse_environment(request.env_file, host.environment, "--env-file"))
    env.update(parse_environment(request.env, host.environment, "--env"))
    for text in request.env_merge:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise Usage(f"--env-merge {text!r} must be in the form NAME=VALUE")
        env[name] = expand(value, env)
    env.setdefault("HOSTNAME", hostname)
    env.setdefault("HOME", home)
    return tuple(f"{name}={value}" for name, value in env.items())


def parse_environment(texts: Iterable[str], environment: Mapping[str, str], option: str) -> dict[str, str]:
    """Parse ``NAME=value``, ``NAME`` (the caller's value, if any) and ``PRE*`` (all the caller's that begin so)."""
    found: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not name or "\0" in text:
            raise Usage(f"{option} {text!r} is not a variable", remedy="write NAME=VALUE")
        if separator:
            found[name] = value
        elif name.endswith("*"):
            found.update({key: value for key, value in environment.items() if key.startswith(name[:-1])})
        elif name in environment:
            found[name] = environment[name]
    return found


def parse_env_lines(text: str) -> tuple[str, ...]:
    """Return the entries of an ``--env-file``: blank lines and those starting with ``#`` are left out."""
    lines = (line.lstrip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Replace ``$NAME`` and ``${NAME}`` by their values; an unknown one by nothing."""
    result, rest = "", text
    while "$" in rest:
        before, _, rest = rest.partition("$")
        result += before
        if rest.startswith("{") and "}" in rest:
            name, _, rest = rest[1:].partition("}")
        else:
            length = 0
            while length < len(rest) and (rest[length].isalnum() or rest[length] == "_"):
                length += 1
            name, rest = rest[:length], rest[length:]
        result += environment.get(name, "") if name else "$"
    return result + rest


def choose_directory(request: SpecRequest, image: ImageConfig | None) -> str:
    """Return the absolute working directory.

    Raises:
        Usage: the caller's is relative.
    """
    if request.working_dir:
        if not request.working_dir.startswith("/"):
            raise Usage(
                f"the working directory {request.working_dir!r} is invalid, it needs to be an absolute path",
                remedy=f"use --workdir /{request.working_dir}",
                exit_code=CANNOT_INVOKE,
            )
        return _normal(request.working_dir)
    directory = image.working_dir if image else ""
    return _normal(f"/{directory}")


def _normal(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def compose_limits(request: SpecRequest, host: HostFacts) -> list[dict[str, Any]]:
    """Return ``process.rlimits``: the caller's ``--ulimit``, and files and processes as far as our own hard limits go.

    Raises:
        Usage: an unknown limit, or a soft above its hard value.
        Refused: more than our own hard limit, which no user may raise.
    """
    if "host" in request.ulimit:
        if len(request.ulimit) > 1:
            raise Usage("--ulimit host can't go with another --ulimit")
        return []
    limits: dict[str, tuple[int, int]] = {}
    for name, most in (("nofile", _NOFILE_MAX), ("nproc", _NPROC_MAX)):
        if name in host.limits:
            soft, hard = host.limits[name]
            limits[name] = (_least(soft, most), _least(hard, most))
    for text in request.default_ulimit:
        name, soft, hard = parse_ulimit(text, host.limits, cut=True)
        limits[name] = (soft, hard)
    for text in request.ulimit:
        name, soft, hard = parse_ulimit(text, host.limits)
        limits[name] = (soft, hard)
    return [
        {"type": f"RLIMIT_{name.upper()}", "hard": _unsigned(hard), "soft": _unsigned(soft)}
        for name, (soft, hard) in limits.items()
    ]


def parse_ulimit(text: str, own: Mapping[str, tuple[int, int]], *, cut: bool = False) -> tuple[str, int, int]:
    """Parse ``name=soft[:hard]``; -1 is as much as there is. ``own`` are the limits of this process.

    With ``cut``, more than the own hard limit is that limit.

    Raises:
        Usage: it can't be meant.
        Refused: it is above the own hard limit.
    """
    name, separator, values = text.partition("=")
    name = name.lower().removeprefix("rlimit_")
    if not separator or (own and name not in own):
        raise Usage(f"invalid ulimit argument: {text!r}", remedy="write NAME=SOFT[:HARD], as in nofile=1024:2048")
    soft_text, _, hard_text = values.partition(":")
    soft = parse_int(soft_text, f"--ulimit {name}", minimum=-1)
    hard = parse_int(hard_text, f"--ulimit {name}", minimum=-1) if hard_text else soft
    ceiling = own[name][1] if name in own else -1
    hard = ceiling if hard == -1 else hard
    soft = hard if soft == -1 else soft
    if hard != -1 and soft > hard:
        raise Usage(f"--ulimit {text}: the soft limit {soft} is above the hard limit {hard}")
    if ceiling != -1 and (hard == -1 or hard > ceiling):
        if cut:
            return name, min(soft, ceiling) if soft != -1 else ceiling, ceiling
        raise Refused(
            f"--ulimit {text}: your own hard limit is {ceiling}, and only root may raise it",
            remedy=f"use --ulimit {name}={min(soft, ceiling)}:{ceiling}, or raise it in /etc/security/limits.conf",
        )
    return name, soft, hard


def _least(value: int, most: int) -> int:
    return most if value == -1 else min(value, most)


def _unsigned(value: int) -> int:
    """Return RLIM_INFINITY for -1, as the runtime-spec's uint64 wants it."""
    return (1 << 64) - 1 if value == -1 else value


def choose_personality(text: str) -> str:
    """Return the runtime-spec's name of an execution domain: ``LINUX32`` shows a 64-bit machine as its 32-bit kin.

    Raises:
        Usage: there is no such domain.
    """
    name = text.upper().removeprefix("PER_")
    if name not in ("LINUX", "LINUX32"):
        raise Usage(f"--personality {text}: no such execution domain", remedy="use LINUX or LINUX32")
    return name


def runs_systemd(mode: str, args: tuple[str, ...]) -> bool:
    """Tell whether the container is prepared for a systemd in it: ``--systemd`` and its command say so."""
    if mode.lower() == "true" and args:
        return args[0] in _SYSTEMD_PATHS or os.path.basename(args[0]) == "systemd"
    return mode.lower() == "always"
