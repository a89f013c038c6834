"""How a Python package gets to where this rpod finds it. Rarely needed: imported when one is missing."""

from __future__ import annotations

import os
import sys

_DISTRIBUTIONS = {"dns": "dnspython", "nacl": "PyNaCl", "yaml": "PyYAML", "compression": "backports.zstd"}
"""What is installed under another name than it is imported by."""

_NEEDS = {"pyfuse3": "; it is compiled, which needs: apt-get install gcc pkg-config libfuse3-dev python3-dev"}


def distribution(module: str) -> str:
    """Return what is installed so that ``module`` (``dns.message``) can be imported."""
    top = module.partition(".")[0]
    return "backports.zstd" if top == "backports" else _DISTRIBUTIONS.get(top, top)


def how_to_install(package: str, *, executable: str = sys.executable, top: str = "") -> str:
    """Return the remedy for a missing ``package``.

    The Python of a distribution takes packages from the distribution only (PEP 668), which has ours too old or not at
    all: from a checkout (at ``top``; "": where this file lies) everything goes into an environment of its own.
    """
    top = top or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    more = _NEEDS.get(package, "")
    prefix = os.path.dirname(os.path.dirname(executable))
    if os.path.exists(f"{prefix}/pyvenv.cfg") or not _is_managed():
        return f"run: {executable} -m pip install {package}{more}"
    quickstart = f"{top}/scripts/quickstart"
    if not os.path.exists(quickstart):
        return f"run: {executable} -m pip install --break-system-packages {package}{more}"
    place = f"{os.environ.get('XDG_DATA_HOME') or '~/.local/share'}/rootless-pod-venv"
    then = f" && {place}/bin/pip install {package}{more}" if more else ""
    return f"run: {quickstart}{then} (and then {place}/bin/rpod)"


def _is_managed() -> bool:
    import sysconfig

    return os.path.exists(f"{sysconfig.get_path('stdlib')}/EXTERNALLY-MANAGED")
