"""The OCI hooks of a container that is being started: chosen, put into its config.json, and asked to change it."""

from __future__ import annotations

from rootless_pod import jsontext, log
from rootless_pod.errors import ProgramFailed, RpodError, TimedOut
from rootless_pod.programs import run as programs
from rootless_pod.runtime.hook import TIMED_OUT, read_failures, wrapped
from rootless_pod.spec.bundle import config_text
from rootless_pod.spec.hooks import PRECREATE, STAGES, by_stage, read_hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from rootless_pod.container.record import ContainerConfig
    from rootless_pod.spec.generate import Spec
    from rootless_pod.spec.hooks import Hook

    _Result = TypeVar("_Result")

CANNOT_INVOKE = 126
_LOG = "hooks.log"
_LAST_LINES = 3
_INSIDE = "startContainer"
# Within the limits of the calls of the runtime that the hooks belong to.
_BEFORE_SECONDS, _AFTER_SECONDS = 200, 45


def with_hooks(
    directories: tuple[str, ...],
    config: ContainerConfig,
    spec: Spec,
    state: dict[str, Any],
    bundle: str,
    *,
    given: tuple[Hook, ...] = (),
) -> Spec:
    """Return the spec with the hooks that fit the container, changed by those of stage ``precreate``.

    ``given`` are those of its devices, which come first.

    ``state`` remembers that there are hooks: then it is the runtime that has to delete the container.

    Raises:
        NotFound, Corrupt, Refused: a hook file can't be meant.
        ProgramFailed, TimedOut: a ``precreate`` hook failed.
    """
    chosen = list(given)
    chosen += [
        hook
        for hook in read_hooks(directories)
        if hook.fits(
            annotations=spec.config.get("annotations") or {},
            command=spec.config["process"]["args"][0],
            has_bind_mounts=bool(config.request.mounts or config.request.volumes_from),
        )
    ]
    if not chosen:
        return spec
    stages = by_stage(chosen)
    if stages:
        spec = with_config(spec, {**spec.config, "hooks": stages})
    for hook in chosen:
        if PRECREATE in hook.stages:
            spec = _filtered(hook, spec)
    files = {hook.path: hook.file for hook in chosen}
    stages = spec.config.get("hooks") or {}
    for stage in (one for one in STAGES if one != _INSIDE and stages.get(one)):
        limit = _AFTER_SECONDS if stage.startswith("post") else _BEFORE_SECONDS
        stages[stage] = [
            wrapped(stage, files.get(hook["path"], ""), hook, log=f"{bundle}/{_LOG}", timeout_seconds=limit)
            for hook in stages[stage]
        ]
    state["hooks"] = bool(stages)
    return spec


def with_config(spec: Spec, config: dict[str, Any]) -> Spec:
    """Return the spec with another config; bundle.config_text wants "linux" to be its last key."""
    return spec.replace(config={**{key: config[key] for key in config if key != "linux"}, "linux": config["linux"]})


def _filtered(hook: Hook, spec: Spec) -> Spec:
    """Hand config.json to a hook and take what it prints in its place.

    Raises:
        ProgramFailed, TimedOut: it failed, or what it printed is no config.json.
    """
    text = config_text(spec)
    env = dict(variable.partition("=")[::2] for variable in hook.env)
    limit = hook.timeout_seconds or _BEFORE_SECONDS
    try:
        # args[0] is the name the program is called by; it is found by its path.
        done = programs.run((hook.path, *hook.args[1:]), stdin=text.encode(), env=env, timeout_seconds=limit)
    except TimedOut as cause:
        raise TimedOut(f"precreate hook {hook.path} did not end within {limit} s", remedy=f"see {hook.file}") from cause
    except OSError as cause:
        raise ProgramFailed(
            f"precreate hook {hook.path} failed: {cause.strerror}", remedy=f"see {hook.file}"
        ) from cause
    if done.code != 0:
        said = "; ".join(done.stderr.decode(errors="replace").strip().splitlines()[-_LAST_LINES:])
        raise ProgramFailed(
            f"precreate hook {hook.path} failed with exit code {done.code}{': ' + said if said else ''}",
            remedy=f"see {hook.file}",
        )
    try:
        return _read_config(spec, done.stdout)
    except (ValueError, KeyError, TypeError) as cause:
        raise ProgramFailed(
            f"precreate hook {hook.path} printed no config.json: {cause}", remedy=f"see {hook.file}"
        ) from cause


def _read_config(spec: Spec, text: bytes) -> Spec:
    """Take config.json apart again; raises ValueError, KeyError or TypeError."""
    config = jsontext.loads(text)
    linux = dict(config["linux"])
    seccomp = linux.pop("seccomp", None)
    stages = config.get("hooks") or {}
    if not isinstance(config["process"]["args"], list) or not all(isinstance(one, list) for one in stages.values()):
        raise TypeError("process.args and hooks hold lists")
    for hook in (hook for stage in stages.values() for hook in stage):
        if not isinstance(hook["path"], str):
            raise TypeError("the path of a hook is no string")
    changed = spec.replace(seccomp=jsontext.dumps(seccomp) if seccomp else "")
    return with_config(changed, {**config, "linux": linux})


def naming_hook(bundle: str, step: Callable[[], _Result]) -> _Result:
    """Run a step of a start that calls hooks; if it fails by one, say which and what it said.

    Raises:
        ProgramFailed: a hook failed (exit code 126).
        RpodError: the step failed by itself.
    """
    try:
        done = step()
    except RpodError as cause:
        failures = read_failures(f"{bundle}/{_LOG}")
        if not failures:
            raise
        raise ProgramFailed(
            _sentence(failures[-1]),
            remedy=f"see {failures[-1]['file'] or failures[-1]['path']}",
            exit_code=CANNOT_INVOKE,
        ) from cause
    warn_of_hooks(bundle, "poststart")
    return done


def warn_of_hooks(bundle: str, stage: str) -> str:
    """Say which hooks of a stage failed without anything failing for it; return the sentences."""
    sentences = [_sentence(one) for one in read_failures(f"{bundle}/{_LOG}") if one["stage"] == stage]
    for sentence in sentences:
        log.warn(sentence)
    return "; ".join(sentences)


def _sentence(failure: dict[str, Any]) -> str:
    ended = f"did not end within {failure['timeout']} s"
    if failure["code"] != TIMED_OUT:
        ended = f"failed with exit code {failure['code']}"
    said = f": {failure['words']}" if failure["words"] else ""
    return f"{failure['stage']} hook {failure['path']} {ended}{said}"
