"""Options of ``run`` and ``create`` about the container's health. HOT. Spelling: podman-run(1) of 4.3 and 5.x."""

from __future__ import annotations

from rootless_pod.commands.declare import Option, flag, text

_G = "Health"


def _count(name: str, words: str) -> Option:
    return Option(name=name, kind="uint", metavar="COUNT", help=words, group=_G)


HEALTH: tuple[Option, ...] = (
    text("--health-cmd", "The check: a command for the container's shell, or a JSON list; none: no check", group=_G),
    text("--health-interval", "Time between checks (default 30s); disable: none by itself", metavar="TIME", group=_G),
    _count("--health-retries", "Failures in a row that make it unhealthy (default 3)"),
    text(
        "--health-timeout", "A check that takes longer has failed and is killed (default 30s)", metavar="TIME", group=_G
    ),
    text("--health-start-period", "Failures in this time after the start don't count", metavar="TIME", group=_G),
    text(
        "--health-on-failure",
        "What to do when it turns unhealthy: none, kill, restart or stop (default none)",
        metavar="ACTION",
        group=_G,
    ),
    text("--health-startup-cmd", "A check for the start, made until it succeeds, before the other", group=_G),
    text("--health-startup-interval", "Time between start-up checks (default 30s)", metavar="TIME", group=_G),
    _count("--health-startup-retries", "Failed start-up checks that restart it (default 0: never)"),
    _count("--health-startup-success", "Start-up checks that have to succeed (default: one)"),
    text("--health-startup-timeout", "Limit of a start-up check (default 30s)", metavar="TIME", group=_G),
    text(
        "--health-log-destination",
        "Where the log is kept: local, a directory, or events_logger (default local)",
        metavar="PLACE",
        group=_G,
    ),
    _count("--health-max-log-count", "Entries the log keeps (default 5; 0: all)"),
    _count("--health-max-log-size", "Characters of output an entry keeps (default 500; 0: all)"),
    flag("--no-healthcheck", "Run no health check, not the image's either", group=_G),
)
