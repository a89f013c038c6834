"""What ``info --debug`` says of the configuration: each key with its value, its file, and whether it acts."""

from __future__ import annotations

from rootless_pod.commands.configured import Filling, storage_driver, storage_root
from rootless_pod.config.containers import find_files, read_settings
from rootless_pod.config.known import reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless_pod.commands.declare import Globals


def explain(chosen: Globals) -> dict[str, Any]:
    """Return the files that were read, weakest first, and a row for every key in them."""
    from rootless_pod.commands.run import COMMAND

    settings = read_settings(find_files(chosen.module))
    values: dict[str, object] = {option.key: option.initial for option in COMMAND.options}
    filling = Filling(COMMAND, values, frozenset(), settings)
    filling.fill()
    found = dict(filling.passed_over)
    for key, (_value, reason) in (
        ("storage.driver", storage_driver(settings)),
        ("storage.rootless_storage_path", storage_root(settings)),
    ):
        if reason and key in settings.values:
            found[key] = reason
    rows = []
    for key, (value, file) in sorted(settings.values.items()):
        reason = found.get(key) or reason_of(key)
        rows.append({"key": key, "value": value, "file": file, "acts": not reason, "reason": reason})
    return {"files": list(settings.files), "settings": rows}
