"""Credentials written and taken away again; short names asked for."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import stat
import sys

import pytest

from rootless_pod.config.aliases import alias_file, read_aliases
from rootless_pod.config.registries import Registries, read_registries
from rootless_pod.errors import NotFound, ProgramFailed, Refused, Usage
from rootless_pod.image.registry.auth import Credentials, find_credentials
from rootless_pod.image.registry.authfile import Target, choose_target, erase, erase_all, store
from rootless_pod.image.registry.connect import Access
from rootless_pod.image.registry.login import LoginPlace, login, logout
from rootless_pod.image.registry.search import SearchFilter, list_tags, parse_filters, search
from rootless_pod.image.shortname import resolve_short_name
from rootless_pod.oci.reference import parse_reference

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from upload_registry import UploadRegistry  # noqa: E402 - a module beside this one

ANN = Credentials(username="ann", password="se:cret")
PLAIN = Access(tls_verify=False)


@pytest.fixture
def server():
    made = UploadRegistry()
    made.account = "ann:se:cret"
    yield made
    made.close()


@pytest.fixture
def target(tmp_path):
    return Target(path=str(tmp_path / "deep/auth.json"))


def test_a_login_is_tried_at_the_registry_and_kept_for_the_owner_only(server, target):
    assert login(LoginPlace(server.host), ANN, PLAIN, target) == target.path
    assert stat.S_IMODE(os.stat(target.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(target.path)).st_mode) == 0o700
    kept = json.loads(pathlib.Path(target.path).read_text())
    assert kept == {"auths": {server.host: {"auth": base64.b64encode(b"ann:se:cret").decode()}}}
    assert find_credentials(parse_reference(f"{server.host}/x/y"), authfile=target.path) == ANN
    logout(LoginPlace(server.host), target)
    assert json.loads(pathlib.Path(target.path).read_text()) == {"auths": {}}
    with pytest.raises(NotFound, match="not logged into"):
        logout(LoginPlace(server.host), target)


@pytest.mark.parametrize("tokens", [True, False])
def test_a_wrong_password_is_refused_and_nothing_is_kept(server, target, tokens):
    server.tokens = tokens
    with pytest.raises(Refused) as caught:
        login(LoginPlace(server.host), Credentials(username="ann", password="wrong-one"), PLAIN, target)
    assert "wrong-one" not in str(caught.value)
    assert not os.path.exists(target.path)
    login(LoginPlace(server.host), ANN, PLAIN, target)


@pytest.mark.parametrize("text", ["https://a.org/v2/", "a.org", "http://a.org/"])
def test_a_scheme_and_a_path_of_the_api_are_left_out(text):
    assert LoginPlace(text, Registries()).key == "a.org"


def test_a_namespace_is_a_key_of_its_own_and_dockers_names_are_one():
    assert LoginPlace("a.org:5000/team/app", Registries()).key == "a.org:5000/team/app"
    assert LoginPlace("index.docker.io", Registries()).key == "docker.io"
    assert LoginPlace("", Registries(search=("b.org", "c.org"))).key == "b.org"
    with pytest.raises(Usage, match="names an image"):
        LoginPlace("a.org/team/app:1", Registries())
    with pytest.raises(Usage):
        LoginPlace("", Registries(search=()))


def test_what_else_is_in_the_file_stays_and_a_link_stays_a_link(tmp_path):
    real = tmp_path / "dotfiles.json"
    before = {"auths": {"b.org": {"auth": "eDp5"}, "https://a.org/v1/": {"auth": "eDp5"}}, "psFormat": "table"}
    real.write_text(json.dumps(before))
    link = tmp_path / "auth.json"
    link.symlink_to(real)
    store(Target(path=str(link)), "a.org", ANN)
    assert link.is_symlink()
    after = json.loads(real.read_text())
    assert after["psFormat"] == "table"
    assert sorted(after["auths"]) == ["a.org", "b.org"]
    erase_all(Target(path=str(link)))
    assert json.loads(real.read_text()) == {"auths": {}, "psFormat": "table"}


def test_dockers_file_has_dockers_key(tmp_path):
    target = choose_target(None, str(tmp_path / "config.json"))
    store(target, "docker.io", ANN)
    assert list(json.loads((tmp_path / "config.json").read_text())["auths"]) == ["https://index.docker.io/v1/"]
    assert find_credentials(parse_reference("busybox"), authfile=str(tmp_path / "config.json")) == ANN
    erase(target, "docker.io")


def test_the_file_is_the_one_named_then_the_environments_then_podmans(monkeypatch, tmp_path):
    assert choose_target("/a/file").path == "/a/file"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", "/b/file")
    assert choose_target().path == "/b/file"
    monkeypatch.delenv("REGISTRY_AUTH_FILE")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert choose_target().path == f"{tmp_path}/containers/auth.json"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "missing"))
    assert choose_target().path.endswith("/config/containers/auth.json")
    with pytest.raises(Usage, match="compat"):
        choose_target("/a", "/b")


HELPER = """#!/bin/sh
dir="$(dirname "$0")/kept"; mkdir -p "$dir"
case "$1" in
store) json=$(cat); name=$(echo "$json" | sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/'); echo "$json" > "$dir/$name" ;;
get) read name; [ -f "$dir/$name" ] || { echo "credentials not found in native keychain"; exit 1; }; cat "$dir/$name" ;;
erase) read name; rm "$dir/$name" ;;
list) cd "$dir"; printf '{'; sep=''; for one in *; do printf '%s"%s":"x"' "$sep" "$one"; sep=,; done; printf '}' ;;
esac
"""


@pytest.fixture
def helper(tmp_path, monkeypatch):
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("RPOD_PROGRAM_PATH", f"{directory}:/usr/bin:/bin")
    path = directory / "docker-credential-test"
    path.write_text(HELPER)
    path.chmod(0o755)
    return directory / "kept"


@pytest.mark.parametrize("table", [{"credsStore": "test"}, {"credHelpers": {"a.org": "test"}}])
def test_a_helper_of_the_file_keeps_gives_and_forgets(helper, tmp_path, table):
    path = tmp_path / "auth.json"
    path.write_text(json.dumps(table))
    target = Target(path=str(path))
    assert store(target, "a.org", ANN) == "credential helper test"
    assert "cret" not in path.read_text()
    assert find_credentials(parse_reference("a.org/x"), authfile=str(path)) == ANN
    erase(target, "a.org")
    assert os.listdir(helper) == []
    with pytest.raises(NotFound):
        erase(target, "a.org")


def test_a_helper_of_registries_conf_comes_before_the_file(helper, target):
    assert store(target, "a.org", ANN, helpers=("test",)) == "credential helper test"
    assert not os.path.exists(target.path)
    assert find_credentials(parse_reference("a.org/x"), helpers=("test",)) == ANN
    store(target, "b.org", ANN, helpers=("test",))
    erase_all(target, helpers=("test",))
    assert os.listdir(helper) == []


def test_a_helper_that_fails_is_named_without_the_secret(helper, target):
    (helper.parent / "docker-credential-test").write_text("#!/bin/sh\ncat >/dev/null\necho locked >&2\nexit 1\n")
    with pytest.raises(ProgramFailed, match="test.*locked") as caught:
        store(target, "a.org", ANN, helpers=("test",))
    assert "cret" not in str(caught.value)


# Short names.


class Answers:
    def __init__(self, *lines):
        self.lines = list(lines)
        self.asked = []

    def is_there(self):
        return bool(self.lines)

    def ask(self, text):
        self.asked.append(text)
        return self.lines.pop(0)


TWO = Registries(search=("a.org", "b.org"))


def test_a_short_name_is_asked_for_at_a_terminal_and_the_answer_is_kept():
    terminal = Answers("7", "2")
    found = resolve_short_name(TWO, "team/app:1", terminal)
    assert [str(one) for one in found.candidates] == ["b.org/team/app:1"]
    assert "1) a.org/team/app:1" in terminal.asked[0]
    found.keep()
    assert read_aliases(alias_file()) == {"team/app": "b.org/team/app"}
    os.environ.pop("CONTAINERS_REGISTRIES_CONF")
    assert [str(one) for one in read_registries().candidates("team/app:2")] == ["b.org/team/app:2"]


def test_an_empty_answer_is_the_first_and_nonsense_is_none():
    assert resolve_short_name(TWO, "app", Answers("")).candidates[0].registry == "a.org"
    with pytest.raises(Refused, match="no image was chosen"):
        resolve_short_name(TWO, "app", Answers("x", "0", "3"))


@pytest.mark.parametrize(("mode", "count"), [("permissive", 2), ("disabled", 2)])
def test_off_a_terminal_the_mode_decides(mode, count):
    registries = TWO.replace(short_name_mode=mode)
    assert len(resolve_short_name(registries, "app", Answers()).candidates) == count


def test_enforcing_refuses_to_guess_off_a_terminal():
    with pytest.raises(Refused, match="could mean any of: a.org/app:latest, b.org/app:latest"):
        resolve_short_name(TWO, "app", Answers())
    assert resolve_short_name(TWO, "c.org/app", Answers()).alias is None
    assert resolve_short_name(Registries(search=("a.org",)), "app", Answers()).alias is None


def test_an_empty_search_list_says_so():
    with pytest.raises(Usage, match="no registry is configured"):
        resolve_short_name(Registries(search=()), "app", Answers())


def test_a_damaged_file_of_aliases_is_named():
    path = pathlib.Path(alias_file())
    path.parent.mkdir(parents=True)
    path.write_text("[aliases\n")
    with pytest.raises(Usage, match="short-name-aliases"):
        read_aliases(str(path))


# Search.


def test_a_registry_without_the_search_api_is_gone_through_by_its_catalog(server):
    server.account = ""
    for name in ("team/app", "team/other", "zoo/app2", "zoo/last"):
        server.manifests[name, "1"] = ("x", b"{}")
    found = search(f"{server.host}/app", PLAIN, wanted=SearchFilter())
    assert [one.name for one in found] == [f"{server.host}/team/app", f"{server.host}/zoo/app2"]
    assert search(f"{server.host}/app", PLAIN, limit=1, wanted=SearchFilter())[0].name.endswith("team/app")
    assert search(f"{server.host}/app", PLAIN, wanted=parse_filters(("stars=3",))) == ()


def test_filters_are_read_or_refused():
    assert parse_filters(("stars=3", "is-official", "is-automated=false")) == SearchFilter(
        stars=3, official=True, automated=False
    )
    for wrong in ("stars=x", "colour=red", "is-official=maybe"):
        with pytest.raises(Usage, match="not a filter"):
            parse_filters((wrong,))


def test_tags_need_a_registry_in_the_name():
    with pytest.raises(Usage, match="names no registry"):
        list_tags("app", PLAIN)


def test_a_search_where_nothing_answers_says_why(server):
    with pytest.raises(Refused, match="can't be searched"):
        search(f"{server.host}/app", PLAIN, wanted=SearchFilter())
