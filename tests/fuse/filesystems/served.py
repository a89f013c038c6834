"""Runs inside a user namespace: one scene on a mounted tree; prints its answer as JSON.

``python -m tests.fuse.filesystems.served SCENE DIRECTORY``
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import subprocess
import sys

from rootless_pod.fuse.choose import driver_named
from rootless_pod.fuse.driver import RootfsRequest
from rootless_pod.linux import procfs
from tests.fuse.world import get, put, whiteout


def request_for(base, name, lower):
    container = f"{base}/{name}"
    for part in ("upper", "work", "merged"):
        os.makedirs(f"{container}/{part}", exist_ok=True)
    return RootfsRequest(
        container_dir=container, merged=f"{container}/merged", upper=f"{container}/upper",
        work=f"{container}/work", lower_dirs=tuple(lower),
    )  # fmt: skip


class Mounted:
    def __init__(self, base, lower, driver="pyfuse3", name="container"):
        self.driver = driver_named(driver)
        self.request = request_for(base, name, lower)
        self.mounted = self.driver.mount(self.request)

    def __enter__(self):
        return self.request.merged

    def __exit__(self, *_failure):
        self.driver.unmount(self.request, self.mounted)


def plain_tree(base):
    lower = f"{base}/lower"
    os.makedirs(f"{lower}/dir/sub", exist_ok=True)
    put(f"{lower}/file", b"lower")
    put(f"{lower}/dir/a", b"a")
    put(f"{lower}/dir/sub/b", b"b" * 3_000_000)
    put(f"{lower}/setuid", b"x", 0o4755)
    return lower


def forty_layers(base):
    """Layer n has its own file, replaces ``shared``, and removes the file of the layer below (but layer 0's)."""
    layers = []
    for number in range(40):
        layer = f"{base}/layer-{number}"
        os.makedirs(f"{layer}/usr/lib")
        put(f"{layer}/usr/lib/only-{number}", str(number).encode())
        put(f"{layer}/usr/lib/shared", str(number).encode())
        if number > 1:
            whiteout(f"{layer}/usr/lib/only-{number - 1}")
        layers.insert(0, layer)
    with Mounted(base, layers) as top:
        put(f"{top}/usr/lib/only-0", b"changed")
        return [sorted(os.listdir(f"{top}/usr/lib")), get(f"{top}/usr/lib/shared").decode(),
                get(f"{top}/usr/lib/only-0").decode(), get(f"{base}/layer-0/usr/lib/only-0").decode()]  # fmt: skip


def open_descriptors_see_the_copy(base):
    with Mounted(base, [plain_tree(base)]) as top:
        reader = os.open(f"{top}/file", os.O_RDONLY)
        view = mmap.mmap(reader, 5, prot=mmap.PROT_READ)
        put(f"{top}/file", b"UPPER")
        return [
            os.pread(reader, 10, 0).decode(),
            view[:].decode(),
            os.fstat(reader).st_ino == os.stat(f"{top}/file").st_ino,
        ]


def killed_server(base):
    """Kill the server with files open; unmount; mount again; say what is there."""
    lower = plain_tree(base)
    tree = Mounted(base, [lower])
    top = tree.request.merged
    put(f"{top}/new", b"n" * 100_000)
    put(f"{top}/dir/sub/b", b"changed")
    os.unlink(f"{top}/file")
    held = os.open(f"{top}/new", os.O_RDONLY)
    os.kill(tree.mounted.helper_pid, signal.SIGKILL)
    os.waitpid(tree.mounted.helper_pid, 0)
    try:
        os.listdir(top)
        answer = "it still lists"
    except OSError as error:
        answer = error.strerror
    tree.driver.unmount(tree.request, tree.mounted)
    os.close(held)
    os.mkdir(f"{tree.request.work}/#rpod-1-1")
    with Mounted(base, [lower]) as top:
        return [answer, sorted(os.listdir(top)), len(get(f"{top}/new")), get(f"{top}/dir/sub/b").decode(),
                os.listdir(tree.request.work)]  # fmt: skip


def server_ends_and_is_named(base):
    tree = Mounted(base, [plain_tree(base)])
    pid = tree.mounted.helper_pid
    alive = procfs.is_alive(pid, tree.mounted.helper_started)
    resident = next(line for line in procfs.read_text(f"/proc/{pid}/status").splitlines() if line.startswith("VmRSS"))
    tree.driver.unmount(tree.request, tree.mounted)
    return [
        alive,
        procfs.start_time(pid),
        int(resident.split()[1]),
        get(f"{base}/container/pyfuse3-overlay.log").decode(),
    ]


def set_ids_are_cleared_by_a_write_of_another(base):
    with Mounted(base, [plain_tree(base)]) as top:
        os.chmod(f"{top}/setuid", 0o6777)
        before = os.stat(f"{top}/setuid").st_mode & 0o7777
        code = f"import os\nos.setgid(1); os.setuid(1)\nopen({f'{top}/setuid'!r}, 'a').write('y')"
        subprocess.run([sys.executable, "-c", code], check=True)
        return [before, os.stat(f"{top}/setuid").st_mode & 0o7777]


WORK = """
import sqlite3, sys
base = sqlite3.connect(sys.argv[1], timeout=60)
for number in range(40):
    base.execute("insert into t values (?, ?)", (sys.argv[2], "x" * 600)); base.commit()
"""


def sqlite_with_a_write_ahead_log(base):
    import sqlite3

    with Mounted(base, [plain_tree(base)]) as top:
        path = f"{top}/dir/base.db"
        base_db = sqlite3.connect(path)
        mode = base_db.execute("pragma journal_mode=wal").fetchone()[0]
        base_db.execute("create table t (who, what)")
        base_db.commit()
        running = [subprocess.Popen([sys.executable, "-c", WORK, path, str(number)]) for number in range(4)]
        codes = [process.wait() for process in running]
        answer = [mode, codes, base_db.execute("select count(*) from t").fetchone()[0],
                  base_db.execute("pragma integrity_check").fetchone()[0]]  # fmt: skip
        base_db.close()
        return answer


STRESS = """
import os, sys
top, mine = sys.argv[1:]
os.makedirs(f"{top}/dir/{mine}")
for number in range(60):
    name = f"{top}/dir/{mine}/{number}"
    with open(name, "w") as file:
        file.write(mine * 1000)
    os.rename(name, name + ".new")
    os.link(name + ".new", name)
    with open(name, "a") as file:
        file.write("+")
    assert os.stat(name + ".new").st_size == len(mine) * 1000 + 1 and os.stat(name).st_nlink == 2
    os.symlink("0", name + ".link")
    if number % 2:
        os.unlink(name)
    with open(f"{top}/dir/log", "a") as file:
        file.write("line\\n")
"""


def four_processes_at_once(base):
    with Mounted(base, [plain_tree(base)]) as top:
        running = [subprocess.Popen([sys.executable, "-c", STRESS, top, who]) for who in "wxyz"]
        codes = [process.wait() for process in running]
        return [codes, [len(os.listdir(f"{top}/dir/{who}")) for who in "wxyz"], len(get(f"{top}/dir/log").splitlines())]


CHANGES = """
set -e
rm -r usr/email; mkdir usr/email; echo new > usr/email/x
mv usr/json usr/json2; mv usr/json2 usr/json
chmod 700 usr/asyncio; chown 0:0 usr/ast.py; rm usr/abc.py; ln usr/ast.py usr/ast2.py
sed -i s/import/IMPORT/ usr/os.py; truncate -s 10 usr/re/__init__.py; ln -s nowhere usr/link; mkfifo usr/pipe
cp -a usr/collections usr/copied; tar cf - usr/logging | (mkdir x && tar xf - -C x)
touch -d 2001-02-03T04:05:06.789 usr/csv.py; setfattr -n user.test -v value usr/csv.py
mkdir -p a/b/c; mv a/b d; rmdir a; find . -name '__pycache__' -prune -exec rm -r {} +
"""


def same_changes_by_native_overlay_and_by_us(base):
    """Return what differs between the upper directories and between the merged trees."""
    lower = f"{base}/lower"
    os.makedirs(f"{lower}/usr")
    library = os.path.dirname(os.__file__)
    for name in ("email", "json", "asyncio", "collections", "logging", "re", "ast.py", "abc.py", "os.py", "csv.py"):
        subprocess.run(
            ["cp", "-r", "--preserve=mode,timestamps", f"{library}/{name}", f"{lower}/usr/{name}"], check=True
        )
    seen = {}
    for driver in ("overlay", "pyfuse3"):
        tree = Mounted(base, [lower], driver, driver)
        with tree as top:
            subprocess.run(["sh", "-c", CHANGES], cwd=top, check=True)
            merged = described(top)
        seen[driver] = (described(tree.request.upper), merged)
    return [
        sorted(
            f"{key} {one.get(key)} {other.get(key)}"
            for key in one.keys() | other.keys()
            if one.get(key) != other.get(key)
        )
        for one, other in zip(seen["overlay"], seen["pyfuse3"], strict=True)
    ]


def one_container_mounted_by_each_driver_in_turn(base):
    """Change a tree under one driver after the other; return where what the next one shows differs."""
    lower = plain_tree(base)
    put(f"{lower}/dir/c", b"c")
    wrong, before = [], None
    for turn, driver in enumerate(("overlay", "pyfuse3", "fuse-overlayfs", "pyfuse3", "overlay")):
        with Mounted(base, [lower], driver, "shared") as top:
            shown = described(top)
            if before is not None and {k: v[:-1] for k, v in shown.items()} != {k: v[:-1] for k, v in before.items()}:
                wrong.append([driver, sorted(shown), sorted(before)])
            if turn == 0:
                os.unlink(f"{top}/dir/a")
                os.unlink(f"{top}/setuid")
            elif turn == 1:
                os.unlink(f"{top}/dir/sub/b")
                os.rmdir(f"{top}/dir/sub")
                os.mkdir(f"{top}/dir/sub")
                os.rename(f"{top}/file", f"{top}/moved")
            elif turn == 2:
                put(f"{top}/made", b"by fuse-overlayfs")
                os.unlink(f"{top}/dir/c")
            elif turn == 3:
                os.rename(f"{top}/dir", f"{top}/other")
            before = described(top)
    return [wrong, sorted(before)]


def described(top):
    import hashlib
    import stat

    seen = {}
    for directory, names, files in os.walk(top):
        for name in [*names, *files]:
            path = os.path.join(directory, name)
            found = os.lstat(path)
            content = hashlib.sha256(get(path)).hexdigest() if stat.S_ISREG(found.st_mode) else ""
            attributes = [
                (key, os.getxattr(path, key, follow_symlinks=False).hex())
                for key in sorted(os.listxattr(path, follow_symlinks=False))
                # overlayfs' private notes on where a file came from
                if key not in {"user.overlay.origin", "user.overlay.impure"}
            ]
            # overlayfs links one whiteout many times
            links = 0 if stat.S_ISDIR(found.st_mode) or stat.S_ISCHR(found.st_mode) else found.st_nlink
            seen[os.path.relpath(path, top)] = (
                oct(found.st_mode), found.st_uid, found.st_gid, found.st_rdev, links, content, attributes,
            )  # fmt: skip
    return seen


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](sys.argv[2])))
