"""Image stores of others, to be read and never written: ``additionalimagestores`` of storage.conf. HOT.

Source: containers-storage.conf(5). What else of that file acts is in ``commands.configured``.
"""

from __future__ import annotations

import os

from rootless_pod import log
from rootless_pod.config.search import user_config
from rootless_pod.config.tables import read_tables
from rootless_pod.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_KEY = "storage.options.additionalimagestores"
_OPTIONS = ("additionalimagestore=", "overlay.additionalimagestore=")
_MACHINE = "/etc/containers/storage.conf"


def is_store_option(option: str) -> bool:
    """Tell whether a ``--storage-opt`` names an image store, and so is none for a storage driver."""
    return option.startswith(_OPTIONS)


def additional_stores(options: Iterable[str], file: str | None = None) -> tuple[str, ...]:
    """Return the stores that ``options`` (of ``--storage-opt``) name, then those of storage.conf; each once.

    An option without a directory leaves out storage.conf. ``file`` stands in for the search for that file.
    A directory that is no store of rpod is passed over: without a word in storage.conf (it may be one of podman's),
    with a warning in an option. That is no error: a store that went away must not keep containers from ending well.

    Raises:
        Usage: storage.conf can't be read or understood.
    """
    given = [option.partition("=")[2] for option in options if is_store_option(option)]
    found = []
    for directory in given:
        if directory and _is_store(directory):
            found.append(directory)
        elif directory:
            log.warn(
                f"--storage-opt additionalimagestore={directory} is left out: no store of rpod that you may read; "
                "give the directory that was --root of a pull, readable for everybody"
            )
    if "" not in given:
        found += [one for one in _of_file(find_file() if file is None else file) if _is_store(one)]
    return tuple(dict.fromkeys(os.path.realpath(one) for one in found))


def find_file() -> str:
    """Return the path of storage.conf: ``$CONTAINERS_STORAGE_CONF``, the user's or the machine's; "" without one."""
    named = os.environ.get("CONTAINERS_STORAGE_CONF")
    if named:
        return named
    mine = f"{user_config()}/storage.conf"
    return next((path for path in (mine, _MACHINE) if os.path.exists(path)), "")


def _is_store(directory: str) -> bool:
    return os.access(f"{directory}/image/index.json", os.R_OK) and os.access(f"{directory}/layers", os.X_OK)


def _of_file(path: str) -> tuple[str, ...]:
    if not path:
        return ()
    stores = read_tables((path,))[0].get(_KEY, [])
    if not isinstance(stores, list) or not all(isinstance(one, str) for one in stores):
        raise Usage(f"{path}: {_KEY} is not a list of texts", remedy='write: ["/site/images"]')
    for one in stores:
        if one and not one.startswith("/"):
            log.warn(f"{path}: image store {one!r} is left out: the path is not absolute")
    return tuple(one for one in stores if one.startswith("/"))
