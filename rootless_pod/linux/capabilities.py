"""Names and numbers of capabilities. No ctypes. Source: linux/capability.h, capabilities(7)."""

from __future__ import annotations

from rootless_pod.linux.procfs import read_text

_WORDS = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
NAMES = tuple(f"CAP_{word}" for word in _WORDS.split())
"""Every capability; the position is its number."""

ALL_BITS = (1 << len(NAMES)) - 1


def names_of(bits: int) -> tuple[str, ...]:
    """Return the names of the bits that are set, in alphabetical order; unknown bits are left out."""
    return tuple(sorted(name for number, name in enumerate(NAMES) if bits >> number & 1))


def bits_of(names: tuple[str, ...]) -> int:
    """Return the set of bits of some names (``ValueError`` for an unknown one)."""
    bits = 0
    for name in names:
        bits |= 1 << NAMES.index(name)
    return bits


def status_bits(field: str, status: str | None = None) -> int:
    """Return a ``Cap…`` line of /proc/self/status (or of the text given) as bits; all bits where it is missing."""
    if status is None:
        try:
            status = read_text("/proc/self/status")
        except OSError:
            return ALL_BITS
    for line in status.splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1], 16)
    return ALL_BITS
