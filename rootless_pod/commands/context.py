"""What the command line's global options mean for the containers: the ``Context`` of a call. HOT."""

from __future__ import annotations

import os

from rootless_pod.config.storage import is_store_option
from rootless_pod.container.context import Context, Places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.commands.declare import Call


def context_of(call: Call) -> Context:
    """Return the places, namespace and drivers of this call (its command needs the user's namespace)."""
    assert call.namespace is not None
    chosen = call.globals
    return Context(
        paths=call.paths,
        namespace=call.namespace,
        storage_driver=chosen.storage_driver,
        storage_options=tuple(one for one in chosen.storage_opt if not is_store_option(one)),
        runtime=chosen.runtime,
        runtime_is_default=chosen.runtime_is_default,
        runtime_flags=chosen.runtime_flag,
        conmon=chosen.conmon,
        log_level=chosen.log_level,
        hooks_dirs=tuple(os.path.abspath(one) for one in chosen.hooks_dir),
        cdi_dirs=tuple(os.path.abspath(one) for one in chosen.cdi_spec_dir),
    )


def places_of(call: Call) -> Places:
    """Return the places and drivers of a call that does not enter the user's namespace."""
    chosen = call.globals
    return Places(
        paths=call.paths,
        storage_driver=chosen.storage_driver,
        runtime=chosen.runtime,
        runtime_flags=chosen.runtime_flag,
        conmon=chosen.conmon,
    )
