"""Views of stacked layers and what differs between them; plain whiteouts, so no privilege is needed."""

from __future__ import annotations

import os

import pytest

from rootless_pod.storage.changes import Comparison
from rootless_pod.storage.verify import differences
from rootless_pod.storage.view import View

MOMENT = (1_700_000_000_000_000_000, 1_700_000_000_000_000_000)


@pytest.fixture
def tree(tmp_path):
    """Make a directory from ``{path: content}``; a path that ends in a slash is a directory."""

    def make(name, content):
        root = tmp_path / name
        root.mkdir()
        for path, data in content.items():
            target = root / path
            if path.endswith("/"):
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(data)
        for directory, _names, files in os.walk(root):
            for one in files:
                os.utime(f"{directory}/{one}", ns=MOMENT)
            os.utime(directory, ns=MOMENT)
        return str(root)

    return make


def shown(view, node=None, prefix=b""):
    node = node or view.root()
    found = []
    for name, child in sorted(view.children(node).items()):
        found.append((prefix + name).decode())
        if child.is_directory:
            found += shown(view, child, prefix + name + b"/")
    return found


def lines(*words, **how):
    return [f"{change.kind} {change.path.decode()}" for change in Comparison(*words, **how).changes()]


def test_a_view_shows_layers_as_an_overlay_does(tree):
    low = tree("low", {"a": "1", "d/x": "1", "d/y": "1", "e/z": "1", "f": "1", "g/h": "1"})
    top = tree(
        "top", {"d/.wh.x": "", "d/new": "1", "e/.wh..wh..opq": "", "e/only": "1", ".wh.f": "", "g": "now a file"}
    )
    assert shown(View((top, low))) == ["a", "d", "d/new", "d/y", "e", "e/only", "g"]
    assert ".wh.f" in shown(View((top,), plain=True))


def test_a_layer_between_does_not_let_through_what_one_above_hides(tree):
    low, middle = tree("low", {"a": "1", "d/x": "1"}), tree("middle", {".wh.a": "", ".wh.d": ""})
    top = tree("top", {"a": "2", "d/y": "1"})
    assert shown(View((top, middle, low))) == ["a", "d", "d/y"]


def test_changes_are_listed_as_podman_does(tree):
    low = tree("low", {"same": "1", "d/changed": "1", "d/gone": "1", "whole/a": "1", "turned/x": "1"})
    top = tree("top", {"d/changed": "2", "d/.wh.gone": "", ".wh.whole": "", "new/deep/f": "1", "turned": "a file now"})
    assert lines(View((low,)), View((top, low))) == [
        "C d", "C d/changed", "D d/gone", "A new", "A new/deep", "A new/deep/f", "C turned", "D whole",
    ]  # fmt: skip


def test_a_copied_tree_differs_only_where_bytes_or_attributes_do(tree):
    low = tree("low", {"same": "abc", "content": "abc", "mode": "abc", "d/e": "x"})
    copy = tree("copy", {"same": "abc", "content": "abd", "mode": "abc", "d/e": "x"})
    os.chmod(f"{copy}/mode", 0o600)
    old, new = View((low,)), View((copy,), plain=True)
    assert lines(old, new, contents=True) == ["C content", "C mode"]


def test_owners_are_compared_as_the_image_means_them(tree):
    low, copy = tree("low", {"a": "1"}), tree("copy", {"a": "1"})
    old, new = View((low,)), View((copy,), plain=True)
    assert lines(old, new, contents=True) == []
    assert lines(old, new, contents=True, owner=lambda uid, gid: (uid + 1, gid)) == ["C a"]


def test_a_damaged_unpacking_is_told_apart(tree):
    fresh = tree("fresh", {"a": "12", "d/b": "1", "c": "1"})
    stored = tree("stored", {"a": "13", "d/b": "1", "strange": "1"})
    os.chmod(f"{stored}/d/b", 0o777)
    found = differences(fresh, stored)
    assert sorted(found) == [
        "'a' has other content",
        "'c' is missing",
        "'d/b' has mode 777, not 644",
        "'strange' does not belong there",
    ]
    assert differences(fresh, fresh) == []


def test_hard_links_that_came_apart_are_damage(tree):
    fresh, stored = tree("fresh", {"a": "1"}), tree("stored", {"a": "1", "b": "1"})
    os.link(f"{fresh}/a", f"{fresh}/b")
    assert differences(fresh, stored)
