"""containers.conf: which files count, what later ones change, what is kept of them."""

from __future__ import annotations

import json
import os

import pytest

from rootless_pod.config.containers import find_files, is_configured, read_settings
from rootless_pod.config.known import KNOWN, is_known, reason_of
from rootless_pod.config.tables import read_tables
from rootless_pod.errors import NotFound, Usage

VARIABLES = (
    "CONTAINERS_CONF",
    "CONTAINERS_CONF_OVERRIDE",
    "CONTAINERS_STORAGE_CONF",
    "STORAGE_DRIVER",
    "STORAGE_OPTS",
)


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.fixture
def write(tmp_path):
    def file(name, text):
        path = tmp_path / "containers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return file


def test_the_user_s_file_comes_after_the_machine_s_and_before_its_drop_ins_in_the_order_of_their_names(write):
    main = write("containers.conf", "")
    second, first = write("containers.conf.d/20.conf", ""), write("containers.conf.d/10.conf", "")
    write("containers.conf.d/30.txt", "not read")
    assert find_files()[-3:] == (main, first, second)


def test_the_variable_stands_for_all_files_and_the_override_comes_last(write, monkeypatch):
    write("containers.conf", "")
    module = write("containers.conf.modules/gpu.conf", "")
    monkeypatch.setenv("CONTAINERS_CONF", "/dev/null")
    assert find_files() == ("/dev/null",)
    monkeypatch.setenv("CONTAINERS_CONF_OVERRIDE", "/o.conf")
    assert find_files(["gpu.conf"]) == ("/dev/null", module, "/o.conf")
    with pytest.raises(NotFound) as raised:
        find_files(["nothing.conf"])
    assert "containers.conf.modules/nothing.conf" in raised.value.remedy


def test_a_storage_variable_alone_is_a_configuration(monkeypatch):
    monkeypatch.setenv("CONTAINERS_CONF", "")
    monkeypatch.setenv("STORAGE_DRIVER", "vfs")
    assert is_configured()
    settings = read_settings((), "")
    assert (settings.text("storage.driver"), settings.origin("storage.driver")) == ("vfs", "$STORAGE_DRIVER")


def test_later_files_win_key_by_key_and_lists_are_joined_where_they_ask_for_it(write):
    first = write("a", '[containers]\nenv=["A=1"]\ndns_servers=["192.0.2.1"]\ntz="local"\n[engine]\nruntime="runc"\n')
    second = write("b", '[containers]\nenv=["B=2", {append=true}]\ndns_servers=["192.0.2.2"]\n')
    third = write("c", '[containers]\nenv=["C=3"]\n')
    settings = read_settings((first, second, third), "", cache="")
    assert settings.texts("containers.env") == ("A=1", "B=2", "C=3")
    assert settings.texts("containers.dns_servers") == ("192.0.2.2",)
    assert (settings.text("containers.tz"), settings.origin("containers.tz")) == ("local", first)
    assert settings.origin("containers.env") == third
    forgetting = write("d", '[containers]\nenv=["D=4", {append=false}]\n')
    assert read_settings((first, second, forgetting), "", cache="").texts("containers.env") == ("D=4",)


def test_a_value_of_another_type_names_its_file_and_key(write):
    settings = read_settings((write("a", "[containers]\nenv=1\ntz=2\n"),), "", cache="")
    for read in (settings.texts, settings.text):
        with pytest.raises(Usage) as raised:
            read("containers.env")
        assert "containers/a: containers.env" in raised.value.message


@pytest.mark.parametrize("text", ["[containers", "a = \n", "\ud800".encode("utf-8", "surrogatepass")])
def test_a_file_that_is_not_toml_is_named(write, text):
    path = write("a", "")
    with open(path, "wb") as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Usage) as raised:
        read_tables((path,), "")
    assert path in raised.value.message


def test_a_missing_file_names_the_variable_to_correct(monkeypatch):
    monkeypatch.setenv("CONTAINERS_CONF", "/nowhere/containers.conf")
    with pytest.raises(Usage) as raised:
        read_tables(find_files(), "")
    assert raised.value.remedy == "correct $CONTAINERS_CONF"


def test_a_file_is_parsed_once_for_as_long_as_it_stays_the_same(write, tmp_path):
    cache, path = str(tmp_path / "cache"), write("a", '[containers]\ntz = "local"\n')
    assert read_tables((path,), cache) == [{"containers.tz": "local"}]
    with open(cache) as file:
        kept = json.load(file)
    kept[path][-1] = {"from": "cache"}
    with open(cache, "w") as file:
        json.dump(kept, file)
    assert read_tables((path,), cache) == [{"from": "cache"}]
    write("a", '[containers]\ntz = "Europe/Rome"\n')
    assert read_tables((path,), cache) == [{"containers.tz": "Europe/Rome"}]
    os.truncate(cache, 3)
    assert read_tables((path,), cache) == [{"containers.tz": "Europe/Rome"}]


def test_files_that_are_gone_are_forgotten(write, tmp_path):
    cache, path, other = str(tmp_path / "cache"), write("a", "[containers]\ntz = 'UTC'\n"), write("b", "")
    read_tables((path, other), cache)
    os.unlink(other)
    read_tables((path,), cache)
    third = write("c", "")
    read_tables((path, third), cache)
    with open(cache) as file:
        assert sorted(json.load(file)) == sorted([path, third])


def test_keys_nobody_knows_are_named_once(write, tmp_path, capfd):
    cache, path = str(tmp_path / "cache"), write("a", '[containers]\ntz = "local"\ntzz = "x"\n[engin]\na = 1\n')
    read_tables((path,), cache)
    said = capfd.readouterr().err
    assert f"{path}: nobody knows containers.tzz, engin.a" in said
    read_tables((path,), cache)
    assert capfd.readouterr().err == ""


def test_every_key_has_a_reason_or_acts_and_families_are_known():
    assert reason_of("containers.tz") == ""
    assert "no limit" in reason_of("engine.num_locks")
    assert reason_of("engine.runtimes.crun") == ""
    assert reason_of("nothing.at.all") == "nobody knows this key"
    assert not is_known("containers.tzz")
    assert all(not why.endswith(".") for why in KNOWN.values())


def test_dates_and_nested_tables_come_through_as_json_can_hold_them(write, tmp_path):
    path = write("a", "[machine]\nborn = 2026-01-01\n[engine.runtimes]\ncrun = ['/a', '/b']\n")
    cache = str(tmp_path / "cache")
    wanted = [{"machine.born": "2026-01-01", "engine.runtimes.crun": ["/a", "/b"]}]
    assert read_tables((path,), cache) == wanted
    assert read_tables((path,), cache) == wanted
