"""A store that several use at once: another's, read-only; and one's own, filled by eight pulls together."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import images
import pytest
from conftest import Rpod, make_store
from registries import Registry

_TREE = "find {root} -printf '%p %T@ %C@ %s %m\\n' | sort"


@pytest.fixture
def pair(shared: Rpod) -> Iterator[tuple[Rpod, Rpod]]:
    """Two stores that have the shared one beside them: one by option, one by storage.conf."""
    by_option = make_store("--storage-opt", f"additionalimagestore={shared.root}")
    by_file = make_store()
    conf = by_file.runroot / "storage.conf"
    conf.write_text(f'[storage.options]\nadditionalimagestores = ["{shared.root}"]\n')
    by_file = by_file.with_options(env={"CONTAINERS_STORAGE_CONF": str(conf)})
    yield by_option, by_file
    by_option.end()
    by_file.end()


def state(shared: Rpod) -> str:
    return "".join(
        shared("unshare", "sh", "-c", _TREE.format(root=shared.root / part))
        for part in ("image", "layers", "image-cache")
    )


def test_two_stores_run_and_list_images_of_a_third_and_nothing_is_written_there(
    shared: Rpod, pair: tuple[Rpod, Rpod]
) -> None:
    shared("images")  # so that its own cache is there
    before = state(shared)
    with ThreadPoolExecutor(4) as several:
        words = ("run", "--rm", "--network", "none", "localhost/img", "sh", "-c", "echo mine > /tmp/f && cat /tmp/f")
        said = list(several.map(lambda one: one(*words), (*pair, *pair)))
    assert said == ["mine\n"] * 4
    for one in pair:
        (listed,) = [row for row in json.loads(one("images", "--format", "json")) if row.get("Names")]
        assert listed["ReadOnly"] is True
        assert "R/O" in one("images").splitlines()[0]
        assert one("images", "-q", "--filter", "readonly=false") == ""
        assert not list((one.root / "layers").iterdir()), "layers were unpacked again"
        assert "read-only store" in one.error("rmi", "localhost/img")
        assert "read-only store" in one.error("tag", "localhost/img", "localhost/other")
        one("image", "prune", "-af")
        one("rmi", "-a")
    assert state(shared) == before


def test_a_pull_takes_the_layers_that_another_store_has(
    tmp_path: Path, layout: Path, shared: Rpod, pair: tuple[Rpod, Rpod]
) -> None:
    registry = Registry(tmp_path)
    try:
        registry.push(f"oci:{layout}:test", "app:1")
        one = pair[0]
        name = f"{registry.address}/app:1"
        one("pull", "-q", "--tls-verify=false", name)
        assert registry.fetched() == []
        assert not list((one.root / "layers").iterdir())
        assert one("run", "--rm", "--network", "none", name, "cat", "/app/dir/new") == "new\n"
        one("system", "check")
        one("rmi", name)
        assert shared("run", "--rm", "--network", "none", "localhost/img", "cat", "/app/dir/new") == "new\n"
    finally:
        registry.stop()


def test_the_store_works_where_nothing_can_be_written_or_locked(shared: Rpod, pair: tuple[Rpod, Rpod]) -> None:
    one = pair[0]
    script = f'mount --bind {shared.root} {shared.root} && mount -o remount,bind,ro {shared.root} && exec "$@"'
    words = one.argv("run", "--rm", "--network", "none", "localhost/img", "cat", "/app/dir/new")
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *words],
        capture_output=True, text=True, timeout=120, env=one.env, check=False,
    )  # fmt: skip
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"no mount namespace here: {done.stderr}")
    assert (done.stdout, done.returncode) == ("new\n", 0), done.stderr


def test_a_store_of_ids_one_does_not_have_runs_by_fuse_overlayfs_and_no_other(
    shared: Rpod, pair: tuple[Rpod, Rpod]
) -> None:
    if not os.access("/dev/fuse", os.W_OK) or shutil.which("fuse-overlayfs") is None:
        pytest.skip("no fuse-overlayfs here")
    if len(shared("unshare", "cat", "/proc/self/uid_map").splitlines()) < 2:
        pytest.skip("no subordinate ids to give files to")
    one, site = pair[0], pair[1].root / "site"
    give = f"mkdir -m 755 {site} && cp -a {shared.root}/image {shared.root}/layers {site} && chmod -R a+rX {site}"
    shared("unshare", "sh", "-c", f"chmod 755 {site.parent} && {give} && chown -R 7:7 {site}")
    user = Rpod(one.root, one.runroot, "--storage-opt", f"additionalimagestore={site}")
    script = "echo mine > /tmp/f && cat /tmp/f && cat /app/dir/new"

    def alone(*options: str) -> subprocess.CompletedProcess[str]:
        words = user.with_options(*options).argv(
            "run", "--rm", "--network", "none", "localhost/img", "sh", "-c", script
        )
        return subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", *words],
            capture_output=True, text=True, timeout=120, env=user.env, check=False,
        )  # fmt: skip

    done = alone()
    assert (done.stdout, done.returncode) == ("mine\nnew\n", 0), done.stderr
    done = alone("--storage-driver", "overlay")
    assert done.returncode == 125, done
    assert "ids that you don't have" in done.stderr


def test_eight_pulls_at_once_fetch_each_blob_once(rpod: Rpod, tmp_path: Path, layout: Path) -> None:
    registry = Registry(tmp_path)
    writer = images.LayoutWriter(tmp_path / "layout")
    base = images.busybox_base(images.cache_directory()).read_bytes()
    common = [(base, "gzip"), (images.application_layer(b"", b""), "gzip")]
    try:
        for number in range(4):
            writer.image([*common, (images.whiteout_layer(), "gzip")][: 2 + number % 2], {"Cmd": [str(number)]}, "one")
            registry.push(f"oci:{tmp_path}/layout:one", f"app{number}:1")
        names = [f"{registry.address}/app{number % 4}:1" for number in range(8)]
        going = [
            rpod.start("pull", "-q", "--tls-verify=false", name, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for name in names
        ]
        for pull in going:
            said = pull.communicate(timeout=120)
            assert pull.returncode == 0, said
        counts = Counter(registry.fetched())
        blobs = {
            one["digest"]
            for path in (tmp_path / "layout/blobs/sha256").iterdir()
            if path.stat().st_size < 10_000 and path.read_bytes().startswith(b'{"schemaVersion"')
            for one in json.loads(path.read_bytes())["layers"]
        }
        assert len(blobs) == 3
        assert {digest: counts[digest] for digest in blobs} == dict.fromkeys(blobs, 1)
        rpod("system", "check")
    finally:
        registry.stop()
