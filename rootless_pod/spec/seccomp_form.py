"""The form of a seccomp profile in Docker's format: which fields there are and what they hold.

Source: runtime-spec config-linux.md, "Seccomp"; seccomp.json(5) of containers/common.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ARGUMENT = {"index": int, "value": int, "valueTwo": int, "op": str}
_CONDITION = {"arches": [str], "caps": [str], "minKernel": str}
_RULE = {
    "names": [str],
    "name": str,
    "action": str,
    "errnoRet": int,
    "args": [_ARGUMENT],
    "includes": _CONDITION,
    "excludes": _CONDITION,
}
PROFILE: dict[str, Any] = {
    "defaultAction": str,
    "defaultErrnoRet": int,
    "architectures": [str],
    "archMap": [{"architecture": str, "subArchitectures": [str]}],
    "flags": [str],
    "listenerPath": str,
    "listenerMetadata": str,
    "syscalls": [_RULE],
}


def misfit(value: Any, form: Any = PROFILE, where: str = "") -> str:
    """Return where in ``value`` the first part of another form is (``syscalls[3].names``), "" if there is none.

    A field that is ``null`` is one left out; fields that are not in ``form`` don't count.
    """
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return where
        before = f"{where}." if where else ""
        parts = [(value[key], of, before + key) for key, of in form.items() if value.get(key) is not None]
    elif isinstance(form, list):
        if not isinstance(value, list):
            return where
        parts = [(one, form[0], f"{where}[{number}]") for number, one in enumerate(value)]
    else:
        return "" if isinstance(value, form) and not isinstance(value, bool) else where
    return next(filter(None, (misfit(*part) for part in parts)), "")
