"""Build and run the test machine of scripts/vm-test: Debian with systemd and cgroup v2, in QEMU without KVM.

The image is never written: each run starts from the same state. ``RPOD_VM_DIR`` is where it is kept
(``~/.cache/rootless-pod-vm``), ``RPOD_VM_MIRROR`` the mirror of Debian if not this machine's own, ``RPOD_VM_ACCEL``
QEMU's accelerator (``tcg``; ``kvm`` is much faster where it works).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
GUEST = HERE / "guest"
PACKAGES = (
    "systemd-sysv", "udev", "kmod", "dbus", "dbus-user-session", "libpam-systemd", "procps", "iproute2", "uidmap", "crun",
    "runc", "conmon", "slirp4netns", "passt", "fuse-overlayfs", "fuse3", "catatonit", "busybox-static", "strace",
    "python3", "ca-certificates", "util-linux",
)  # fmt: skip
DISK_BYTES = 4 << 30
MEMORY = "1G"
UNABLE = 77  # what test harnesses take for "skipped"


class Unable(Exception):
    """Something this machine lacks."""


def directory() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("RPOD_VM_DIR") or cache / "rootless-pod-vm")


def need(program: str, package: str) -> str:
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise Unable(f"{program} is not installed; on Debian and Ubuntu: apt-get install {package}")
    return found


def suite() -> str:
    """Debian's name for this machine's release; bookworm where it is another distribution."""
    facts = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return facts.get("VERSION_CODENAME", "bookworm").strip('"') if facts.get("ID") == "debian" else "bookworm"


def stamp() -> str:
    """Changes with whatever the image is made of."""
    parts = [Path(__file__).read_bytes(), *(path.read_bytes() for path in sorted(GUEST.iterdir()))]
    parts += [suite().encode(), os.environ.get("RPOD_VM_MIRROR", "").encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def is_built(place: Path) -> bool:
    kept = place / "stamp"
    return kept.exists() and kept.read_text() == stamp()


def build() -> None:
    """Make the image, unless there is one made by this script as it is now."""
    place = directory()
    if is_built(place):
        print(f"vm: the image in {place} is current")
        return
    mmdebstrap, mke2fs = need("mmdebstrap", "mmdebstrap"), need("mke2fs", "e2fsprogs")
    if os.geteuid() != 0:
        raise Unable("the image of the virtual machine is built by root, once: sudo scripts/vm build")
    if os.uname().machine != "x86_64":
        raise Unable(f"the virtual machine is one of x86_64, and this is {os.uname().machine}")
    place.mkdir(parents=True, exist_ok=True)
    print(f"vm: building an image in {place}: about a minute", flush=True)
    with tempfile.TemporaryDirectory(prefix="new-", dir=place) as new_name:
        new = Path(new_name)
        os.chmod(new, 0o755)
        mirror = os.environ.get("RPOD_VM_MIRROR")
        argv = [mmdebstrap, "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
        argv += [f"--dpkgopt=path-exclude=/usr/share/{kind}/*" for kind in ("doc", "man", "locale", "info")]
        # Without these steps mmdebstrap would remove the lists that setup.sh finds the kernel with.
        argv += ["--skip=essential/unlink", "--skip=cleanup/apt/lists"]
        argv += [f"--customize-hook=bash '{GUEST}/setup.sh' \"$1\"", suite(), f"{new}/root"]
        run([*argv, *([mirror] if mirror else [])], env={**os.environ, "RPOD_VM_NEW": str(new), "TMPDIR": str(new)})
        run(
            [
                mke2fs,
                "-q",
                "-t",
                "ext4",
                "-O",
                "^has_journal",
                "-m",
                "0",
                "-d",
                f"{new}/root",
                f"{new}/disk",
                f"{DISK_BYTES >> 10}k",
            ]
        )
        for name in ("vmlinuz", "initrd", "disk"):
            os.replace(new / name, place / name)
        (place / "stamp").write_text(stamp())
        subprocess.run(["rm", "-rf", "--one-file-system", f"{new}/root"], check=False)
    print(f"vm: built ({int(os.stat(place / 'disk').st_blocks / 2048)} MB)")


def run(argv: list[str], env: dict[str, str] | None = None) -> None:
    done = subprocess.run(argv, env=env, check=False)
    if done.returncode:
        raise SystemExit(f"vm: {argv[0]} failed ({done.returncode})")


def start(tree: Path, limit_seconds: float) -> int:
    """Boot, run ``tree/job`` in the machine with its words on our stdout, and return its exit code."""
    place = directory()
    if not is_built(place):
        raise Unable("the image of the virtual machine is not built: sudo scripts/vm build")
    qemu = need("qemu-system-x86_64", "qemu-system-x86")
    with tempfile.TemporaryDirectory(prefix="rpod-vm-") as scratch_name:
        scratch = Path(scratch_name)
        run(["tar", "-c", "-f", f"{scratch}/job", "--owner=1000", "--group=1000", "-C", str(tree), "."])
        accelerator = os.environ.get("RPOD_VM_ACCEL", "tcg")
        argv = [
            qemu, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-M", "pc", "-smp", "2",
            "-m", MEMORY, "-accel", accelerator, "-cpu", "host" if accelerator == "kvm" else "Nehalem-v1", "-nic", "none",
            "-kernel", f"{place}/vmlinuz", "-initrd", f"{place}/initrd", "-append",
            "console=ttyS0 quiet mitigations=off random.trust_cpu=on tsc=reliable no_timer_check panic=-1"
            " systemd.show_status=false",
            "-chardev", f"file,id=console,path={scratch}/console", "-serial", "chardev:console",
            "-drive", f"if=virtio,format=raw,snapshot=on,file={place}/disk",
            "-drive", f"if=virtio,format=raw,readonly=on,file={scratch}/job",
            "-device", "virtio-serial-pci", "-device", "virtio-rng-pci",
            "-chardev", "stdio,id=said,signal=off", "-device", "virtserialport,chardev=said,name=said",
            "-chardev", f"file,id=code,path={scratch}/code", "-device", "virtserialport,chardev=code,name=code",
        ]  # fmt: skip
        silent, kept_open = os.pipe()  # at the end of its input QEMU would drop what the machine says
        try:
            subprocess.run(
                argv,
                stdin=silent,
                timeout=limit_seconds,
                check=False,
                env={**os.environ, "TMPDIR": scratch_name},
            )
        except subprocess.TimeoutExpired:
            print(f"vm: not done after {limit_seconds:.0f} s", file=sys.stderr)
            return 124
        finally:
            os.close(silent)
            os.close(kept_open)
        code = (scratch / "code").read_text().strip() if (scratch / "code").exists() else ""
        if not code:
            print("vm: the machine ended before the job did; its last words:", file=sys.stderr)
            print((scratch / "console").read_text(errors="replace")[-2000:], file=sys.stderr)
            return 125
        return int(code)


def main() -> int:
    words = sys.argv[1:]
    try:
        if words == ["build"]:
            build()
            return 0
        if len(words) in (2, 3) and words[0] == "run":
            return start(Path(words[1]), float(words[2]) if len(words) == 3 else 600)
    except Unable as cause:
        print(f"vm: {cause}", file=sys.stderr)
        return UNABLE
    print((HERE / "vm").read_text().split("set -euo")[0], file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
