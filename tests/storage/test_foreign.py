"""Layers in a store of somebody else: found, never locked, moved or removed."""

from __future__ import annotations

import os

import pytest

from rootless_pod.oci.image import Image, ImageConfig
from rootless_pod.paths import Paths
from rootless_pod.storage.foreign import owners_are_unknown
from rootless_pod.storage.layer import LayerInfo
from rootless_pod.storage.prune import prune_layers
from rootless_pod.storage.store import Store

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def add(store, chain_id, *, opaque_root=False):
    with store.staging() as staging:
        info = LayerInfo(chain_id=chain_id, diff_id=f"sha256:{chain_id}", size_bytes=3, opaque_root=opaque_root)
        staging.commit(chain_id, info)


@pytest.fixture
def paths(tmp_path):
    return Paths(
        graphroot=str(tmp_path / "own"), runroot=str(tmp_path / "r"), boot_id="0", additional=(str(tmp_path / "site"),)
    )


@pytest.fixture
def site(tmp_path):
    store = Store(Paths(graphroot=str(tmp_path / "site"), runroot=str(tmp_path / "r"), boot_id="0"))
    add(store, A)
    add(store, B)
    return store


def image(*layers):
    config = ImageConfig(architecture="amd64", os="linux")
    return Image(id="1", manifest_digest="", manifest_media_type="", names=(), config=config, layers=layers)


def test_ones_own_layer_comes_before_that_of_another(paths, site):
    store = Store(paths)
    add(store, B)
    add(store, C)
    assert store.lower_dirs((A, B, C)) == (store.layer_path(C), f"{store.root}/{B}/diff", f"{site.root}/{A}/diff")
    assert [store.is_foreign(chain) for chain in (A, B, C)] == [True, False, False]
    assert store.layers() == (B, C)


def test_an_opaque_layer_of_another_hides_what_is_below(paths, site):
    add(site, C, opaque_root=True)
    assert Store(paths).lower_dirs((A, C)) == (f"{site.root}/{C}/diff",)


def test_prune_and_trash_leave_anothers_layers_alone(paths, site):
    store = Store(paths)
    add(store, C)
    assert [one.chain_id for one in prune_layers(store, frozenset, grace_seconds=-1.0)] == [C]
    with pytest.raises(OSError, match="Read-only"):
        store.move_to_trash(store.layer_dir(A))
    assert site.layers() == (A, B)


def test_holding_anothers_layer_makes_no_file_there(paths, site):
    os.unlink(f"{site.root}/{A}/lock")
    with Store(paths).hold((A, C)) as held:
        assert held.present == (A,)
    assert not os.path.exists(f"{site.root}/{A}/lock")


def test_owners_of_ones_own_id_are_known(paths, site):
    assert not owners_are_unknown(paths, image(A, B))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_owners_that_show_as_nobody_are_unknown_in_anothers_store_only(paths, site):
    os.chown(f"{site.root}/{A}/diff", 65534, 65534)
    assert owners_are_unknown(paths, image(A, B))
    add(Store(paths), A)
    assert not owners_are_unknown(paths, image(A, B))
