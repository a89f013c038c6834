"""Overlay mounts without the limits of mount(2)'s one page of options.

Three ways, by what the kernel has: directories handed over as descriptors (Linux 6.13),
``lowerdir+`` one by one (6.5), and names that are descriptor numbers relative to
``/proc/self/fd`` (any kernel; 500 layers, the kernel's own limit, fit one page).
Source: Linux Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import os

from rootless_pod.linux import libc, mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FSCONFIG_SET_FD = 5
PAGE_LIMIT = 4095
"""Bytes of options one mount(2) takes."""
SPECIAL = frozenset(':,\\"')
"""Characters that the option text of overlay gives a meaning of its own."""
VALUE_LIMIT = 255
"""Bytes of one value of fsconfig(2)."""


def option_flags(options: Iterable[str]) -> list[tuple[str, str | None]]:
    """Split ``key=value`` and ``key`` into pairs."""
    pairs = [option.partition("=") for option in options]
    return [(key, value if equals else None) for key, equals, value in pairs]


def mount_by_fsconfig(
    target: str, lower_dirs: Sequence[str], upper: str | None, work: str | None, options: Sequence[str]
) -> None:
    """Mount an overlay with ``lowerdir+`` once a layer, **top first** (raises OSError; ``EINVAL`` before Linux 6.5).

    Names may hold any character; those that are too long for fsconfig(2), or hold what some kernels
    unescape there, go through ``/proc/self/fd``.
    """
    held: list[int] = []
    try:
        named = option_flags(options)
        named += [("lowerdir+", _short(directory, held)) for directory in lower_dirs]
        if upper is not None and work is not None:
            named += [("upperdir", _short(upper, held)), ("workdir", _short(work, held))]
        fd = mount.new_filesystem_mount("overlay", named)
        try:
            mount.move_mount(fd, target)
        finally:
            os.close(fd)
    finally:
        for fd in held:
            os.close(fd)


def _short(path: str, held: list[int]) -> str:
    if len(os.fsencode(path)) <= VALUE_LIMIT and not SPECIAL.intersection(path):
        return path
    held.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    return f"/proc/self/fd/{held[-1]}"


def mount_by_descriptors(
    target: str, lowers: Sequence[int], upper: int | None, work: int | None, options: Sequence[str]
) -> None:
    """Mount an overlay of directories behind descriptors, which need be attached nowhere (Linux 6.13).

    Raises:
        OSError: a call failed; ``EINVAL`` where the kernel knows layers by name only.
    """
    context = libc.syscall("fsopen", b"overlay", mount.FSOPEN_CLOEXEC)
    try:
        for key, value in option_flags(options):
            command = mount.FSCONFIG_SET_FLAG if value is None else mount.FSCONFIG_SET_STRING
            libc.syscall("fsconfig", context, command, libc.encoded(key), libc.encoded(value), 0, path=key)
        layers = [("lowerdir+", fd) for fd in lowers]
        if upper is not None and work is not None:
            layers += [("upperdir", upper), ("workdir", work)]
        for key, fd in layers:
            libc.syscall("fsconfig", context, FSCONFIG_SET_FD, libc.encoded(key), None, fd, path=key)
        libc.syscall("fsconfig", context, mount.FSCONFIG_CMD_CREATE, None, None, 0)
        made = libc.syscall("fsmount", context, mount.FSMOUNT_CLOEXEC, 0)
    finally:
        os.close(context)
    try:
        mount.move_mount(made, target)
    finally:
        os.close(made)


def mount_by_numbers(
    target: str, lower_dirs: Sequence[str], upper: str | None, work: str | None, options: Sequence[str]
) -> None:
    """Mount an overlay through mount(2) with descriptor numbers for names, in a child (its working directory changes).

    Raises:
        OSError: a directory can't be opened, or the mount failed.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        number = 0
        try:
            _mount_numbered(target, lower_dirs, upper, work, options)
        except OSError as error:
            number = error.errno or 5
        except BaseException:  # nothing may leave the child
            number = 5
        finally:
            os.write(write_end, bytes([number & 0xFF]))
            os._exit(0)
    os.close(write_end)
    try:
        answer = os.read(read_end, 1)
    finally:
        os.close(read_end)
        os.waitpid(child, 0)
    number = answer[0] if answer else 5
    if number:
        raise OSError(number, f"mount: {os.strerror(number)}", target)


def _mount_numbered(
    target: str, lower_dirs: Sequence[str], upper: str | None, work: str | None, options: Sequence[str]
) -> None:
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    where = os.path.abspath(target)
    numbers = [os.open(directory, flags) for directory in lower_dirs]
    written = ""
    if upper is not None and work is not None:
        written = f",upperdir={os.open(upper, flags)},workdir={os.open(work, flags)}"
    os.chdir("/proc/self/fd")
    lower = ":".join(str(number) for number in numbers)
    leading = "".join(f"{option}," for option in options)
    mount.mount("overlay", where, "overlay", 0, f"{leading}lowerdir={lower}{written}")
