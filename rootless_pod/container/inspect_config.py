"""The part ``Config`` of a container's ``inspect``: the process as it runs, or as it would be started."""

from __future__ import annotations

from rootless_pod.errors import RpodError
from rootless_pod.frozen import Frozen
from rootless_pod.jsontext import Map, NoList, NoMap
from rootless_pod.spec.process import runs_systemd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.container.health import HealthRequest
    from rootless_pod.container.lookup import Container
    from rootless_pod.oci.image import Image
    from rootless_pod.secrets.request import SecretRequest


class ProcessFacts(Frozen):
    """What is known of the process: from the runtime-spec while it runs, else from the request and the image."""

    env: tuple[str, ...]
    directory: str
    user: str
    hostname: str
    effective: tuple[str, ...]
    bounding: tuple[str, ...]
    limits: tuple[dict[str, Any], ...]
    resources: dict[str, Any]


def facts_of(container: Container, image: Image | None, spec: dict[str, Any]) -> ProcessFacts:
    """Return the facts; ``spec`` is empty where nothing runs."""
    request = container.config.request.process
    hostname = spec.get("hostname") or request.hostname or container.id[:12]
    user = request.user or (image.config.user if image is not None else "")
    if not spec:
        return _planned(container, image, user, hostname)
    process = spec.get("process", {})
    capabilities = process.get("capabilities", {})
    return ProcessFacts(
        env=tuple(process.get("env", ())),
        directory=process.get("cwd", "/"),
        user=user,
        hostname=hostname,
        effective=tuple(capabilities.get("effective") or ()),
        bounding=tuple(capabilities.get("bounding") or ()),
        limits=tuple(process.get("rlimits") or ()),
        resources=spec.get("linux", {}).get("resources", {}),
    )


def _planned(container: Container, image: Image | None, user: str, hostname: str) -> ProcessFacts:
    """Compute what the next start would ask for; HOME is known only where a root file system is mounted."""
    from rootless_pod.spec import process, security
    from rootless_pod.spec.host import read_host_facts
    from rootless_pod.spec.resources import asked_resources

    request = container.config.request.process
    config, host = image.config if image is not None else None, read_host_facts()
    root = user.partition(":")[0] in ("", "0", "root")
    try:
        env = process.compose_environment(request, config, host, hostname=hostname, home="/root" if root else "/")
        directory = process.choose_directory(request, config)
        capabilities = security.choose_capabilities(request, 0 if root else 1, host)
        limits, resources = process.compose_limits(request, host), asked_resources(request)
    except RpodError:
        # What was possible when it was created may not be now: its words are shown as they were typed.
        return ProcessFacts(
            env=request.env,
            directory=request.working_dir or "/",
            user=user,
            hostname=hostname,
            effective=(),
            bounding=(),
            limits=(),
            resources={},
        )
    return ProcessFacts(
        env=env,
        directory=directory,
        user=user,
        hostname=hostname,
        effective=capabilities.effective,
        bounding=capabilities.bounding,
        limits=tuple(limits),
        resources=resources,
    )


def _health(request: HealthRequest | None) -> dict[str, Any]:
    """Return the health check as podman shows it: numbers that are 0 are left out, and 5.x's fields only where used."""
    action = {"HealthcheckOnFailureAction": request.on_failure if request is not None else "none"}
    if request is None:
        return action
    numbers = (
        ("StartPeriod", request.start_period_ns),
        ("Interval", request.interval_ns),
        ("Timeout", request.timeout_ns),
        ("Retries", request.retries),
    )
    check = {"Test": list(request.test), **{name: value for name, value in numbers if value}}
    found: dict[str, Any] = {"Healthcheck": check, **action}
    if request.startup_test:
        numbers = (
            ("Interval", request.startup_interval_ns),
            ("Timeout", request.startup_timeout_ns),
            ("Retries", request.startup_retries),
            ("Successes", request.startup_success),
        )
        check = {"Test": list(request.startup_test), **{name: value for name, value in numbers if value}}
        found["StartupHealthCheck"] = check
    defaults = type(request)()
    for name, field in (
        ("HealthLogDestination", "log_destination"),
        ("HealthcheckMaxLogCount", "log_count"),
        ("HealthcheckMaxLogSize", "log_size"),
    ):
        if getattr(request, field) != getattr(defaults, field):
            found[name] = getattr(request, field)
    return found


def _secrets(secrets: tuple[SecretRequest, ...]) -> dict[str, Any]:
    """Return what is known of the mounted secrets; podman leaves the field out where there are none."""
    shown = [
        {"Name": one.name, "ID": one.id, "UID": one.uid, "GID": one.gid, "Mode": one.mode}
        for one in secrets
        if one.kind == "mount"
    ]
    return {"Secrets": shown} if shown else {}


def inspect_config(container: Container, facts: ProcessFacts) -> dict[str, Any]:
    """Return the object."""
    config, request = container.config, container.config.request
    process = request.process
    hidden = {one.variable for one in request.secrets if one.kind == "env"}
    return {
        "Hostname": facts.hostname,
        "Domainname": "",
        "User": facts.user,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": process.terminal,
        "OpenStdin": process.stdin_open,
        "StdinOnce": False,
        "Env": [one for one in facts.env if one.partition("=")[0] not in hidden],
        "Cmd": list(config.words) or NoList(),
        "Image": config.image_name,
        "Volumes": NoMap(),
        "WorkingDir": facts.directory,
        "Entrypoint": " ".join(config.command[: config.entrypoint]),
        "OnBuild": NoList(),
        "Labels": Map(config.labels) or NoMap(),
        "Annotations": Map(word.partition("=")[::2] for word in process.annotations),
        "StopSignal": config.stop_signal,
        **_health(request.health),
        "CreateCommand": list(request.create_command),
        **({"SystemdMode": True} if runs_systemd(process.systemd, config.command) else {}),
        **_secrets(request.secrets),
        "Umask": process.umask or "0022",
        "Timeout": request.timeout_seconds,
        "StopTimeout": request.stop_timeout_seconds,
        "Passwd": process.passwd,
        "sdNotifyMode": request.sdnotify,
    }
