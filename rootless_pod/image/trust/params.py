"""Files of parameters for signing with sigstore. Source: containers-sigstore-signing-params.yaml(5)."""

from __future__ import annotations

from rootless_pod.errors import Refused
from rootless_pod.frozen import Frozen
from rootless_pod.image.trust.yamlfile import load

_NEEDS_NETWORK = {
    "fulcio": "signing with a certificate of Fulcio needs its servers and those of an identity provider",
    "rekorURL": "entering a signature into a Rekor log needs that server",
}


class Params(Frozen):
    """The private key's file, and that of its passphrase ("": it is asked for)."""

    key_file: str
    passphrase_file: str = ""


def read_params(path: str) -> Params:
    """Read a file.

    Raises:
        Refused: it can't be read, is not valid, or asks for what rpod does not do.
        HostUnready: PyYAML is not installed.
    """
    table = load(path, _invalid)
    if not isinstance(table, dict):
        raise _invalid(path, "it is not a mapping of names")
    for name, reason in _NEEDS_NETWORK.items():
        if name in table:
            raise Refused(f"{path}: {reason}: rpod signs with keys only", remedy="name a privateKeyFile there")
    for name, value in table.items():
        if name not in ("privateKeyFile", "privateKeyPassphraseFile"):
            raise _invalid(path, f"unknown field {name!r}")
        if not isinstance(value, str):
            raise _invalid(path, f"{name} is not a string")
    if not table.get("privateKeyFile"):
        raise _invalid(path, "privateKeyFile is missing")
    return Params(key_file=table["privateKeyFile"], passphrase_file=table.get("privateKeyPassphraseFile", ""))


def _invalid(path: str, why: str) -> Refused:
    return Refused(f"{path} is not valid: {why}", remedy=f"mend {path}; see containers-sigstore-signing-params.yaml(5)")
