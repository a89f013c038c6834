"""What lists and templates show of secrets."""

from __future__ import annotations

from rootless_pod.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.secrets.store import Secret


def row(secret: Secret) -> dict[str, object]:
    """Return the fields of a line of ``secret ls``."""
    from rootless_pod.commands.times import ago

    return {
        "ID": secret.id,
        "Name": secret.name,
        "Driver": secret.driver,
        "CreatedAt": ago(secret.created_ns / 1e9),
        "UpdatedAt": ago(secret.updated_ns / 1e9),
    }


def as_json(secret: Secret, moment: object = None) -> dict[str, object]:
    """Return podman's object of ``secret inspect``; ``moment`` turns a time into what is to be shown."""
    from rootless_pod.oci.moments import rfc3339

    write = moment if callable(moment) else rfc3339
    return {
        "ID": secret.id,
        "CreatedAt": write(secret.created_ns),
        "UpdatedAt": write(secret.updated_ns),
        "Spec": {
            "Name": secret.name,
            "Driver": {"Name": secret.driver, "Options": secret.options},
            "Labels": secret.labels,
        },
    }


def matching(found: list[Secret], conditions: tuple[str, ...]) -> list[Secret]:
    """Return those that fit: the same key twice means either, different keys mean both.

    Raises:
        Usage: an unknown key.
    """
    wanted: dict[str, list[str]] = {}
    for condition in conditions:
        key, separator, value = condition.partition("=")
        if not separator or key not in ("name", "id"):
            raise Usage(f"--filter {condition!r} is not known", remedy="use name=EXPRESSION or id=ID")
        wanted.setdefault(key, []).append(value)
    if "id" in wanted:
        found = [one for one in found if any(one.id.startswith(value) for value in wanted["id"])]
    if "name" in wanted:
        import re

        try:
            found = [one for one in found if any(re.search(value, one.name) for value in wanted["name"])]
        except re.error as cause:
            raise Usage(f"--filter name: not a regular expression: {cause}") from cause
    return found
