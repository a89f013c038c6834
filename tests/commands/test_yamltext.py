"""YAML for ``info``. Expected texts are what podman 4.3.1 prints for the same values, or what YAML 1.1 wants quoted."""

from __future__ import annotations

import pytest

from rootless_pod.commands.yamltext import to_yaml


def test_maps_are_sorted_and_indented_and_lists_stand_below_their_key() -> None:
    value = {"b": {"z": 1, "y": []}, "a": [{"size": 1, "host_id": 5}, {"size": 2, "host_id": 6}], "c": {}, "d": None}
    assert to_yaml(value) == (
        'a:\n- host_id: 5\n  size: 1\n- host_id: 6\n  size: 2\nb:\n  "y": []\n  z: 1\nc: {}\nd: null\n'
    )


def test_text_of_several_lines_is_a_block() -> None:
    assert to_yaml({"version": "crun 1\ncommit: x"}) == "version: |-\n  crun 1\n  commit: x\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '""'),
        ("12", '"12"'),
        ("1.5", '"1.5"'),
        ("true", '"true"'),
        ("No", '"No"'),
        ("null", '"null"'),
        ("0x1f", '"0x1f"'),
        ("1e3", '"1e3"'),
        ("10:20", '"10:20"'),
        ("2026-01-02", '"2026-01-02"'),
        ("a: b", '"a: b"'),
        ("a #b", '"a #b"'),
        ("ends:", '"ends:"'),
        (" blank", '" blank"'),
        ("- item", '"- item"'),
        ("*x", '"*x"'),
        ("tab\there", '"tab\\there"'),
        ("trailing\n", '"trailing\\n"'),
        ("/usr/bin/conmon", "/usr/bin/conmon"),
        ("conmon version 2.1.6, commit: unknown", '"conmon version 2.1.6, commit: unknown"'),
        ("1h 2m 3.00s", "1h 2m 3.00s"),
        ("v2", "v2"),
        ("4.3.1", "4.3.1"),
        ("-x", "-x"),
    ],
)
def test_text_is_quoted_only_where_it_would_be_read_as_something_else(text: str, expected: str) -> None:
    assert to_yaml({"k": text}) == f"k: {expected}\n"


def test_numbers_and_truth_are_not_quoted() -> None:
    assert to_yaml({"a": 5, "b": True, "c": 1.25}) == "a: 5\nb: true\nc: 1.25\n"
