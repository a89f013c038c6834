"""Which image another was made from."""

from __future__ import annotations

from rootless_pod.image.parents import ending_at, parent_of
from rootless_pod.oci.image import Image, ImageConfig


def image(name: str, steps: tuple[str, ...], layers: tuple[str, ...]) -> Image:
    history = tuple({"created_by": step, "created": "2024-01-01T00:00:00Z"} for step in steps)
    config = ImageConfig(history=history, diff_ids=layers)
    return Image(
        id=name, manifest_digest=f"sha256:{name}", manifest_media_type="", names=(), config=config, layers=layers,
        size_bytes=1, created=None,
    )  # fmt: skip


BASE = image("base", ("add",), ("a",))
CHILD = image("child", ("add", "copy"), ("a", "b"))
GRANDCHILD = image("grandchild", ("add", "copy", "env"), ("a", "b"))
OTHER = image("other", ("add", "run"), ("a", "c"))


def test_the_parent_is_one_step_behind_with_the_same_layers_below() -> None:
    everything = [BASE, CHILD, GRANDCHILD, OTHER]
    assert [parent_of(one, everything) for one in everything] == ["", "base", "child", "base"]


def test_other_layers_below_or_another_history_make_no_parent() -> None:
    stranger = image("stranger", ("add",), ("z",))
    renamed = image("renamed", ("fetch",), ("a",))
    assert parent_of(CHILD, [stranger, renamed, CHILD]) == ""


def test_an_image_without_history_is_nobodys_parent() -> None:
    assert parent_of(image("one", ("add",), ("a",)), [image("bare", (), ())]) == ""


def test_a_step_belongs_to_the_image_whose_layers_end_there() -> None:
    assert ending_at(("a", "b"), [BASE, CHILD]) == CHILD
    assert ending_at(("z",), [BASE]) is None
    assert ending_at((), [BASE]) is None
