"""``rpod events``: what happened to containers, pods, images and volumes since the machine started."""

from __future__ import annotations

import sys
import time

from rootless_pod.commands.declare import Call, Command, flag, text, texts
from rootless_pod.commands.moment import moment_ns
from rootless_pod.errors import Refused, Usage
from rootless_pod.state.eventlog import Event, follow_events, read_events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SHORT_ID = 12
_KEYS = ("container", "event", "image", "label", "pod", "type", "volume")
_SEPARATE = ("health_status", "network", "PodID")

COMMAND = Command(
    name="events",
    summary="Show what happens to containers, pods, images and volumes",
    help=(
        "Prints events as they happen; with --since or --until also those that were. The log is kept in the runtime "
        "directory: it ends with the boot, and the oldest events go when it grows beyond 2 MB."
    ),
    options=(
        texts("--filter", "Only events that fit KEY=VALUE: " + ", ".join(_KEYS), "-f", metavar="FILTER"),
        text("--format", "json, or a Go template", metavar="FORMAT"),
        flag("--no-trunc", "Show whole ids (default true)", default=True),
        text("--since", "Events since a time (RFC 3339, seconds since 1970) or a span ago such as 10m", metavar="TIME"),
        flag("--stream", "Go on with events to come (default true)", default=True),
        flag("--no-stream", "Print the events that were and end, as --stream=false", hidden=True),
        text("--until", "Events until a time, or a span from now such as 10m", metavar="TIME"),
    ),
    examples=(
        "rpod events --since 1h --stream=false",
        "rpod events --filter event=died --format '{{.Name}} {{.ContainerExitCode}}'",
        "rpod events --filter type=image --format json",
    ),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print events, one a line, each as soon as it is there."""
    if call.globals.events_backend == "none":
        raise Refused("no events are kept or read: --events-backend none", remedy="leave the option out")
    now = time.time_ns()
    since_ns = moment_ns(call.text("since"), "--since", ahead=False, now_ns=now)
    until_ns = moment_ns(call.text("until"), "--until", ahead=True, now_ns=now)
    fits = parse_filters(call.texts("filter"))
    shown = formatter(call.text("format"), whole=call.flag("no_trunc"))
    directory = call.paths.events
    if call.flag("stream") and not call.flag("no_stream"):
        history = bool(call.text("since") or call.text("until"))
        events = follow_events(directory, history=history, until_ns=until_ns)
    else:
        events = read_events(directory)
    for event in events:
        early = since_ns is not None and event.time_ns < since_ns
        late = until_ns is not None and event.time_ns > until_ns
        if not early and not late and fits(event):
            sys.stdout.write(shown(event))
            sys.stdout.flush()
    return 0


def parse_filters(words: tuple[str, ...]) -> Callable[[Event], bool]:
    """Return the test of an event: the same key twice means either, different keys mean both.

    Raises:
        Usage: an unknown key, or no value.
    """
    wanted: dict[str, list[str]] = {}
    for word in words:
        key, separator, value = word.partition("=")
        key = key.lower()
        if not separator or key not in _KEYS:
            what = f"--filter {word!r} is not KEY=VALUE" if not separator else f"--filter {key!r} is not known"
            raise Usage(what, remedy=f"use one of {', '.join(_KEYS)}")
        wanted.setdefault(key, []).append(value)
    return lambda event: all(any(_fits(event, key, value) for value in values) for key, values in wanted.items())


def _fits(event: Event, key: str, value: str) -> bool:
    if key == "event":
        return event.action == ("died" if value == "die" else value)
    if key == "type":
        return event.kind == value
    if key == "label":
        name, separator, wanted = value.partition("=")
        return name in event.attributes and (not separator or event.attributes[name] == wanted)
    if key == "image":
        return _is_of_image(event, value)
    return event.kind == key and (event.name == value or (bool(value) and event.id.startswith(value)))


def _is_of_image(event: Event, value: str) -> bool:
    """Tell whether an image event is about ``value``, or a container's image is called so."""
    names = [event.image] if event.kind == "container" else [event.name] if event.kind == "image" else []
    for name in names:
        bare = name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name
        if value in (name, bare) or name.endswith(f"/{value}") or bare.endswith(f"/{value}"):
            return True
    return event.kind == "image" and bool(value) and event.id.startswith(value.removeprefix("sha256:"))


def formatter(form: str, *, whole: bool) -> Callable[[Event], str]:
    """Return what makes the line of an event: podman's words, ``json``, or a template.

    Raises:
        Usage: the template is wrong.
    """
    if not form:
        return lambda event: human(event, whole=whole)
    if form in ("json", "{{json .}}", "{{ json . }}"):
        from rootless_pod.jsontext import dumps

        return lambda event: f"{dumps(as_json(event))}\n"
    from rootless_pod.commands.template import Template, unescape

    source = unescape(form)
    template = Template(source if source.endswith("\n") else f"{source}\n")
    return lambda event: template.render(fields(event))


def _shown_attributes(event: Event) -> dict[str, str]:
    return {key: value for key, value in event.attributes.items() if key not in _SEPARATE}


def human(event: Event, *, whole: bool) -> str:
    """Return the line that podman prints."""
    from rootless_pod.commands.times import go_time

    words = [go_time(event.time_ns), event.kind, event.action]
    shown_id = event.id if whole else event.id[:_SHORT_ID]
    if event.kind in ("container", "pod"):
        about = [f"image={event.image}", f"name={event.name}"]
        if "health_status" in event.attributes:
            about.append(f"health_status={event.attributes['health_status']}")
        about += [f"{key}={value}" for key, value in _shown_attributes(event).items()]
        words += [shown_id, f"({', '.join(about)})"]
    elif event.kind == "network":
        words += [shown_id, f"(container={shown_id}, name={event.attributes.get('network', '')})"]
    elif event.kind == "image":
        words += [shown_id, event.name]
    elif event.name:
        words.append(event.name)
    line = " ".join(words)
    return (line if line.isprintable() else line.encode("unicode_escape").decode()) + "\n"


def as_json(event: Event) -> dict[str, object]:
    """Return podman's object of an event: empty fields are left out, attributes are null where there can't be any."""
    from rootless_pod.commands.times import rfc3339

    about: dict[str, object] = {
        "ContainerExitCode": event.exit_code,
        "ID": event.id,
        "Image": event.image,
        "Name": event.name,
        "Network": event.attributes.get("network"),
        "Status": event.action,
        "Time": rfc3339(event.time_ns),
        "Type": event.kind,
        "health_status": event.attributes.get("health_status"),
        "PodID": event.attributes.get("PodID"),
    }
    found = {key: value for key, value in about.items() if value}
    attributes = _shown_attributes(event)
    return {**found, "Attributes": attributes if attributes or event.kind == "container" else None}


def fields(event: Event) -> dict[str, object]:
    """Return what a template may name."""
    from rootless_pod.commands.times import go_time
    from rootless_pod.jsontext import dumps

    attributes = _shown_attributes(event)
    return {
        "ContainerExitCode": event.exit_code or 0,
        "ID": event.id,
        "Image": event.image,
        "Name": event.name,
        "Network": event.attributes.get("network", ""),
        "Status": event.action,
        "Time": go_time(event.time_ns),
        "Type": event.kind,
        "HealthStatus": event.attributes.get("health_status", ""),
        "Details": {"ID": "", "PodID": event.attributes.get("PodID", ""), "Attributes": attributes},
        "PodID": event.attributes.get("PodID", ""),
        "Attributes": attributes,
        "ToJSONString": dumps(as_json(event)),
    }
