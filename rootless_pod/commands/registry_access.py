"""What the registry options of a command mean, where it has no others of a transfer."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.commands.declare import Call
    from rootless_pod.image.registry.connect import Access


def registry_access(call: Call) -> Access:
    """Return how to reach a registry by ``commands.pull.REGISTRY_OPTIONS``."""
    from rootless_pod.image.registry.connect import Access

    return Access(
        tls_verify=call.flag("tls_verify") if "tls_verify" in call.given else None,
        authfile=call.text("authfile") or None,
        creds=call.text("creds") or None,
        cert_dir=call.text("cert_dir") or None,
    )
