"""registries.conf: search, aliases, prefixes, mirrors, drop-ins."""

from __future__ import annotations

import pathlib

import pytest

from rootless_pod.config.registries import read_registries
from rootless_pod.config.search import config_files
from rootless_pod.errors import Refused, Usage
from rootless_pod.oci.reference import parse_reference


@pytest.fixture
def read(tmp_path):
    def write(*texts):
        files = []
        for number, text in enumerate(texts):
            files.append(str(tmp_path / f"{number}.conf"))
            pathlib.Path(files[-1]).write_text(text)
        return read_registries(tuple(files))

    return write


def names(registries, text):
    return [str(one) for one in registries.candidates(text)]


def places(registries, text):
    return [(str(one.reference), one.insecure) for one in registries.endpoints(parse_reference(text))]


def test_without_any_file_short_names_are_sought_at_docker(read):
    assert names(read(), "busybox") == ["docker.io/library/busybox:latest"]


def test_short_names_are_sought_in_the_order_given(read):
    found = read('unqualified-search-registries = ["a.org", "b.org:5000"]\nshort-name-mode = "permissive"')
    assert names(found, "app:1") == ["a.org/app:1", "b.org:5000/app:1"]
    assert names(found, "c.org/app") == ["c.org/app:latest"]


def test_an_alias_is_the_only_candidate_and_keeps_the_tag(read):
    found = read('[aliases]\n"fedora" = "registry.example.org/fedora"\n"gone" = "x.org/gone"', '[aliases]\n"gone" = ""')
    assert names(found, "fedora:40") == ["registry.example.org/fedora:40"]
    assert names(found, "gone") == ["docker.io/library/gone:latest"]


def test_the_longest_prefix_wins_and_is_replaced_by_its_location(read):
    found = read(
        '[[registry]]\nprefix = "a.org"\nlocation = "b.org"\n'
        '[[registry]]\nprefix = "a.org/team"\nlocation = "c.org:5000/x"\ninsecure = true\n'
        '[[registry]]\nprefix = "*.wild.org"\nlocation = "w.org/proxy"\n'
    )
    assert places(found, "a.org/other/app:1") == [("b.org/other/app:1", False)]
    assert places(found, "a.org/team/app:1") == [("c.org:5000/x/app:1", True)]
    assert places(found, "a.org/teamster/app:1") == [("b.org/teamster/app:1", False)]
    assert places(found, "eu.wild.org/app:1") == [("w.org/proxy/app:1", False)]
    assert places(found, "wild.org/app:1") == [("wild.org/app:1", False)]


def test_mirrors_come_first_and_only_for_what_they_serve(read):
    found = read(
        '[[registry]]\nlocation = "a.org"\n'
        '[[registry.mirror]]\nlocation = "m1.org"\npull-from-mirror = "digest-only"\n'
        '[[registry.mirror]]\nlocation = "m2.org/x"\ninsecure = true\n'
    )
    digest = f"sha256:{'a' * 64}"
    assert places(found, "a.org/app:1") == [("m2.org/x/app:1", True), ("a.org/app:1", False)]
    assert places(found, f"a.org/app@{digest}")[0] == (f"m1.org/app@{digest}", False)


def test_a_blocked_registry_is_refused(read):
    with pytest.raises(Refused, match="blocked"):
        read('[[registry]]\nlocation = "a.org"\nblocked = true').endpoints(parse_reference("a.org/x"))


def test_version_1_is_understood(read):
    found = read('[registries.search]\nregistries = ["a.org"]\n[registries.insecure]\nregistries = ["b.org"]\n')
    assert names(found, "x") == ["a.org/x:latest"]
    assert places(found, "b.org/x:1") == [("b.org/x:1", True)]


@pytest.mark.parametrize(
    "text",
    [
        "= 3",
        "unqualified-search-registries = 3",
        'short-name-mode = "maybe"',
        "[[registry]]\ninsecure = true",
        '[[registry]]\nlocation = "a.org"\ninsecure = "false"',
        '[[registry]]\nlocation = "a.org"\nblocked = 1',
        '[[registry]]\nlocation = "a.org"\n[[registry.mirror]]\nlocation = "b.org"\ninsecure = "no"',
        '[[registry]]\nlocation = "https://a.org"',
        '[registry]\nlocation = "a.org"',
        "[aliases]\nx = 3",
    ],
)
def test_a_wrong_file_is_named(read, text):
    with pytest.raises(Usage, match=r"0\.conf"):
        read(text)


def test_the_users_file_replaces_the_machines_and_drop_ins_follow(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    mine = tmp_path / "containers"
    (mine / "registries.conf.d").mkdir(parents=True)
    (mine / "registries.conf").write_text("")
    for name in ("20-b.conf", "10-a.conf", "ignored.txt"):
        (mine / "registries.conf.d" / name).write_text("")
    found = [path for path in config_files("registries.conf") if path.startswith(str(tmp_path))]
    assert [pathlib.Path(path).name for path in found] == ["registries.conf", "10-a.conf", "20-b.conf"]
    assert "/etc/containers/registries.conf" not in config_files("registries.conf")
    assert config_files("registries.conf", override="/x") == ("/x",)
