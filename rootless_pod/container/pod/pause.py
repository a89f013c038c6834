"""The program of an infra container: it does nothing but keep the pod's namespaces, and needs no image.

A static ELF file of some 200 bytes, put together here from machine code. It blocks all signals, reaps whatever
children it has (as process 1 of a shared process namespace it inherits those of all others), takes the next signal, and
ends if that is SIGTERM or SIGINT. The listings are assembled again and compared by a test.
Source: elf(5); syscalls(2); rt_sigtimedwait(2): a blocked signal is never ignored, whatever its disposition.
"""

from __future__ import annotations

import os
import struct

from rootless_pod.errors import HostUnready

NAME = "pause"
_ADDRESS = 0x400000
_ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_EXECUTABLE, _LOAD, _READ_EXECUTE = 2, 1, 5

LISTINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "x86_64": (
        ("6aff", "push $-1"),  # the set of all signals, on the stack
        ("31ff", "xor %edi, %edi"),  # rt_sigprocmask(SIG_BLOCK, all, NULL, 8)
        ("4889e6", "mov %rsp, %rsi"),
        ("31d2", "xor %edx, %edx"),
        ("6a08", "push $8"),
        ("415a", "pop %r10"),
        ("6a0e", "push $14"),
        ("58", "pop %rax"),
        ("0f05", "syscall"),
        ("6aff", "1: push $-1"),  # wait4(-1, NULL, WNOHANG, NULL)
        ("5f", "pop %rdi"),
        ("31f6", "xor %esi, %esi"),
        ("6a01", "push $1"),
        ("5a", "pop %rdx"),
        ("4531d2", "xor %r10d, %r10d"),
        ("6a3d", "push $61"),
        ("58", "pop %rax"),
        ("0f05", "syscall"),
        ("85c0", "test %eax, %eax"),
        ("7fec", "jg 1b"),  # as long as there was one
        ("4889e7", "mov %rsp, %rdi"),  # rt_sigtimedwait(all, NULL, NULL, 8)
        ("31f6", "xor %esi, %esi"),
        ("31d2", "xor %edx, %edx"),
        ("6a08", "push $8"),
        ("415a", "pop %r10"),
        ("b880000000", "mov $128, %eax"),
        ("0f05", "syscall"),
        ("83f80f", "cmp $15, %eax"),  # SIGTERM
        ("7405", "je 2f"),
        ("83f802", "cmp $2, %eax"),  # SIGINT
        ("75d0", "jne 1b"),
        ("31ff", "2: xor %edi, %edi"),  # exit_group(0)
        ("b8e7000000", "mov $231, %eax"),
        ("0f05", "syscall"),
    ),
    "aarch64": (
        ("09008092", "mov x9, #-1"),  # the set of all signals, on the stack
        ("e90f1ff8", "str x9, [sp, #-16]!"),
        ("000080d2", "mov x0, #0"),  # rt_sigprocmask(SIG_BLOCK, all, NULL, 8)
        ("e1030091", "mov x1, sp"),
        ("020080d2", "mov x2, #0"),
        ("030180d2", "mov x3, #8"),
        ("e81080d2", "mov x8, #135"),
        ("010000d4", "svc #0"),
        ("00008092", "1: mov x0, #-1"),  # wait4(-1, NULL, WNOHANG, NULL)
        ("010080d2", "mov x1, #0"),
        ("220080d2", "mov x2, #1"),
        ("030080d2", "mov x3, #0"),
        ("882080d2", "mov x8, #260"),
        ("010000d4", "svc #0"),
        ("1f000071", "cmp w0, #0"),
        ("2cffff54", "b.gt 1b"),  # as long as there was one
        ("e0030091", "mov x0, sp"),  # rt_sigtimedwait(all, NULL, NULL, 8)
        ("010080d2", "mov x1, #0"),
        ("020080d2", "mov x2, #0"),
        ("030180d2", "mov x3, #8"),
        ("281180d2", "mov x8, #137"),
        ("010000d4", "svc #0"),
        ("1f3c0071", "cmp w0, #15"),  # SIGTERM
        ("60000054", "b.eq 2f"),
        ("1f080071", "cmp w0, #2"),  # SIGINT
        ("e1fdff54", "b.ne 1b"),
        ("000080d2", "2: mov x0, #0"),  # exit_group(0)
        ("c80b80d2", "mov x8, #94"),
        ("010000d4", "svc #0"),
    ),
}
_MACHINES = {"x86_64": 62, "aarch64": 183}


def program(machine: str) -> bytes:
    """Return the ELF file for ``machine`` (as ``uname -m`` says it).

    Raises:
        HostUnready: there is none for it.
    """
    if machine not in LISTINGS:
        raise HostUnready(
            f"rpod has no program for an infra container on {machine}, only on {', '.join(LISTINGS)}",
            remedy="ask an administrator to run: apt-get install catatonit; or use --infra-image, or --infra=false",
        )
    code = b"".join(bytes.fromhex(digits) for digits, _words in LISTINGS[machine])
    start = _ELF_HEADER.size + _PROGRAM_HEADER.size
    size = start + len(code)
    identity = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")  # 64 bits, little-endian, version 1
    header = _ELF_HEADER.pack(
        identity, _EXECUTABLE, _MACHINES[machine], 1, _ADDRESS + start, _ELF_HEADER.size, 0, 0,
        _ELF_HEADER.size, _PROGRAM_HEADER.size, 1, 0, 0, 0,
    )  # fmt: skip
    segment = _PROGRAM_HEADER.pack(_LOAD, _READ_EXECUTE, 0, _ADDRESS, _ADDRESS, size, size, 0x10000)
    return header + segment + code


def command(directory: str) -> tuple[str, ...]:
    """Put the program into ``directory`` and return the words that run it there. Idempotent.

    Where rpod has no program for this machine, a static catatonit of the host does.
    """
    machine = os.uname().machine
    if machine in LISTINGS:
        _install(f"{directory}/{NAME}", program(machine))
        return (f"/{NAME}",)
    from rootless_pod.programs.find import find_program
    from rootless_pod.state.record import read_bytes

    found = find_program("catatonit")
    if found is None:
        program(machine)  # says what is missing
    else:
        _install(f"{directory}/{NAME}", read_bytes(found))
    return (f"/{NAME}", "-P")


def _install(path: str, data: bytes) -> None:
    from rootless_pod.state.record import read_bytes, write_bytes

    try:
        if read_bytes(path) == data and os.access(path, os.X_OK):
            return
    except OSError:
        pass  # not there yet
    write_bytes(path, data, mode=0o755)
