"""Ask an installed network program what it can do, once for each version of its file."""

from __future__ import annotations

import os

from rootless_pod import jsontext
from rootless_pod.errors import HostUnready, ProgramFailed
from rootless_pod.programs.find import find_program
from rootless_pod.programs.run import run
from rootless_pod.slirp.driver import Features
from rootless_pod.state.record import read_bytes, write_bytes

_HELP_TIMEOUT_SECONDS = 10.0
_PACKAGES = {"slirp4netns": "slirp4netns", "pasta": "passt"}


def parse_flags(help_text: str) -> tuple[str, ...]:
    """Return the long options that a ``--help`` text names, sorted."""
    flags = set()
    for word in help_text.split():
        if word.startswith("--"):
            flag = word.partition("=")[0].rstrip(",.;:)")
            if len(flag) > 2:
                flags.add(flag)
    return tuple(sorted(flags))


def locate(name: str) -> str:
    """Return the path of the program ``name``.

    Raises:
        HostUnready: it is not installed.
    """
    path = find_program(name)
    if path is None:
        package = _PACKAGES.get(name, name)
        raise HostUnready(
            f"program {name} is not installed", remedy=f"as root: apt install {package} (or dnf install {package})"
        )
    return path


def identity(path: str) -> list[int | str]:
    """Return what changes when another program lies at ``path``."""
    found = os.stat(path)
    return [path, found.st_mtime_ns, found.st_size, found.st_ino]


def read_features(name: str, probes_dir: str | None) -> Features:
    """Return the features of ``name``, from the cache in ``probes_dir`` if the file is the same as then.

    Raises:
        HostUnready: it is not installed.
        ProgramFailed: it names no options.
    """
    path = locate(name)
    key = identity(path)
    cache = f"{probes_dir}/{name}.json" if probes_dir else None
    if cache:
        known = _read_cache(cache, key)
        if known is not None:
            return known
    features = _ask(path)
    if cache:
        record = {"key": key, "version": features.version, "flags": list(features.flags)}
        try:
            write_bytes(cache, jsontext.dumps(record).encode())
        except OSError:
            pass  # the answer is good without a cache
    return features


class Program:
    """An installed network program, asked once. ``probes_dir`` caches what it can do (None: ask each time)."""

    name = ""

    def __init__(self, probes_dir: str | None = None) -> None:
        """Nothing is run yet."""
        self.probes_dir = probes_dir
        self._features: Features | None = None

    def features(self) -> Features:
        """Return what the installed program can do (HostUnready if there is none)."""
        if self._features is None:
            self._features = read_features(self.name, self.probes_dir)
        return self._features


def _read_cache(cache: str, key: list[int | str]) -> Features | None:
    try:
        record = jsontext.loads(read_bytes(cache))
        if record["key"] != key:
            return None
        return Features(path=str(key[0]), version=record["version"], flags=tuple(record["flags"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _ask(path: str) -> Features:
    """Run the program for its help and its version; both may come on either stream and with any exit code."""
    answers = []
    for option in ("--help", "--version"):
        done = run([path, option], timeout_seconds=_HELP_TIMEOUT_SECONDS)
        answers.append((done.stdout + b"\n" + done.stderr).decode(errors="replace"))
    flags = parse_flags(answers[0])
    if not flags:
        raise ProgramFailed(f"{path} --help names no options: {answers[0].strip()[:200]}", remedy="run: rpod doctor")
    version = next((line.strip() for line in answers[1].splitlines() if line.strip()), "unknown version")
    return Features(path=path, version=version, flags=flags)
