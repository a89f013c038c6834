"""Which stores of others are used: options, storage.conf, and what is passed over."""

from __future__ import annotations

import pytest

from rootless_pod.config.storage import additional_stores, find_file, is_store_option
from rootless_pod.errors import Usage


@pytest.fixture
def store(tmp_path):
    def make(name):
        (tmp_path / name / "image").mkdir(parents=True)
        (tmp_path / name / "layers").mkdir()
        (tmp_path / name / "image/index.json").write_text("{}")
        return str(tmp_path / name)

    return make


def written(tmp_path, text):
    (tmp_path / "storage.conf").write_text(text)
    return str(tmp_path / "storage.conf")


def test_stores_of_the_file_come_after_those_of_options_and_each_once(tmp_path, store):
    a, b, c = store("a"), store("b"), store("c")
    file = written(
        tmp_path, f'[storage]\ndriver = "overlay"\n[storage.options]\nadditionalimagestores = ["{b}", "{c}"]\n'
    )
    options = (f"additionalimagestore={a}", f"overlay.additionalimagestore={b}", "squash_to_root")
    assert additional_stores(options, file) == (a, b, c)


def test_an_option_without_a_directory_leaves_out_the_file(tmp_path, store):
    file = written(tmp_path, f'[storage.options]\nadditionalimagestores = ["{store("a")}"]\n')
    assert additional_stores(("additionalimagestore=",), file) == ()


def test_a_directory_of_the_file_that_is_no_store_is_passed_over_without_a_word(tmp_path, store, capfd):
    file = written(tmp_path, f'[storage.options]\nadditionalimagestores = ["{tmp_path}/podman", "{store("a")}"]\n')
    assert additional_stores((), file) == (f"{tmp_path}/a",)
    assert capfd.readouterr().err == ""


def test_a_directory_of_an_option_that_is_no_store_is_left_out_with_a_warning(tmp_path, capfd):
    assert additional_stores((f"additionalimagestore={tmp_path}/gone",), "") == ()
    assert f"{tmp_path}/gone is left out" in capfd.readouterr().err


def test_a_relative_path_in_the_file_is_left_out_with_a_warning(tmp_path, capfd):
    assert additional_stores((), written(tmp_path, '[storage.options]\nadditionalimagestores = ["here"]\n')) == ()
    assert "not absolute" in capfd.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "[storage.options]\nadditionalimagestores = [\n]\n",
        "[storage.options]\n# additionalimagestores = ['/x']\n",
        '[storage]\nadditionalimagestores = ["/elsewhere in the file"]\n',
        "",
    ],
)
def test_a_file_that_names_no_store_gives_none(tmp_path, text):
    assert additional_stores((), written(tmp_path, text)) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[storage.options]\nadditionalimagestores = "/one"\n', "not a list"),
        ('[storage.options]\nadditionalimagestores = [1, "/one"]\n', "not a list"),
        ('[storage.options\nadditionalimagestores = ["/one"]\n', "not TOML"),
        ("deep = " + "[" * 5000 + "]" * 5000, "not TOML"),
        ("long = " + "9" * 5000, "not TOML"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_its_name(tmp_path, text, said):
    with pytest.raises(Usage, match=said) as raised:
        additional_stores((), written(tmp_path, text))
    assert "storage.conf" in raised.value.message


def test_a_missing_file_named_by_the_environment_is_refused(tmp_path):
    with pytest.raises(Usage, match="cannot be read"):
        additional_stores((), f"{tmp_path}/none.conf")


def test_the_file_is_the_one_of_the_environment_then_the_users(tmp_path, monkeypatch):
    (tmp_path / "containers").mkdir()
    (tmp_path / "containers/storage.conf").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("CONTAINERS_STORAGE_CONF", raising=False)
    assert find_file() == f"{tmp_path}/containers/storage.conf"
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", "/named.conf")
    assert find_file() == "/named.conf"


def test_options_of_drivers_are_no_stores():
    assert not is_store_option("squash_to_root")
    assert is_store_option("additionalimagestore=/x")
