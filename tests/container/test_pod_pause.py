"""The infra container's own program, put together from machine code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rootless_pod.container.pod import pause
from rootless_pod.errors import HostUnready

_MINE = os.uname().machine
runs_here = pytest.mark.skipif(_MINE not in pause.LISTINGS, reason=f"there is no program for {_MINE}")


@pytest.mark.parametrize("machine", pause.LISTINGS)
def test_the_machine_code_is_what_its_listing_says(machine: str, tmp_path: Path) -> None:
    assembler = shutil.which("llvm-mc")
    objcopy = shutil.which("llvm-objcopy")
    if assembler is None or objcopy is None:
        pytest.skip("llvm is not installed")
    listing = "".join(f"{words}\n" for _digits, words in pause.LISTINGS[machine])
    arch = {"x86_64": "x86-64"}.get(machine, machine)
    subprocess.run(
        [assembler, f"-arch={arch}", "-filetype=obj", "-o", tmp_path / "object"], input=listing.encode(), check=True
    )
    subprocess.run([objcopy, "-O", "binary", "-j", ".text", tmp_path / "object", tmp_path / "code"], check=True)
    assert (tmp_path / "code").read_bytes().hex() == "".join(digits for digits, _words in pause.LISTINGS[machine])


def test_another_machine_is_told_what_helps() -> None:
    with pytest.raises(HostUnready, match="on mips64, only on") as caught:
        pause.program("mips64")
    assert caught.value.remedy is not None
    assert "catatonit" in caught.value.remedy


@runs_here
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_waits_until_it_is_asked_to_end(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "pause"
    path.write_bytes(pause.program(_MINE))
    path.chmod(0o755)
    with subprocess.Popen([path]) as process:
        stat = Path(f"/proc/{process.pid}/stat")
        for _ in range(500):
            if "(pause) S" in stat.read_text():
                break
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.01)
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.send_signal(number)
        assert process.wait(10) == 0


_ADOPT = """
import os, sys
# A child that ends before us, adopted by the program we become: as in a process namespace of which it is the first.
read, write = os.pipe()
if os.fork() == 0:
    os.close(write)
    os.read(read, 1)
    os._exit(0)
os.close(read)
os.set_inheritable(write, False)
os.execv(sys.argv[1], sys.argv[1:])
"""


@runs_here
def test_it_reaps_the_children_it_has(tmp_path: Path) -> None:
    path = tmp_path / "pause"
    path.write_bytes(pause.program(_MINE))
    path.chmod(0o755)
    process = subprocess.Popen([sys.executable, "-c", _ADOPT, str(path)])
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        for _ in range(500):
            if Path(f"/proc/{process.pid}/comm").read_text() == "pause\n" and not children.read_text():
                break
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.01)
        assert children.read_text() == ""
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
