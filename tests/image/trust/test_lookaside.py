"""registries.d, and signatures as numbered files on disk and on the web."""

from __future__ import annotations

import http.server
import os
import pathlib
import threading

import pytest

from rootless_pod.errors import Refused
from rootless_pod.image.registry.transport import TlsSettings, Transport
from rootless_pod.image.trust.lookaside import DirectorySignatures, Lookaside
from rootless_pod.image.trust.registriesd import find_directory, read_registries_d
from rootless_pod.image.trust.scope import registry_scopes
from rootless_pod.oci.reference import parse_reference

DIGEST = "sha256:" + "c" * 64


def scopes(name):
    return registry_scopes(parse_reference(name))


def test_each_word_comes_from_the_most_specific_section_that_says_it(write_registries_d):
    write_registries_d(
        """
default-docker:
  lookaside: https://default.example.org
docker:
  a.org:
    lookaside: https://a.example.org
    use-sigstore-attachments: true
  a.org/team:
    sigstore: file:///old-name
  a.org/team/app:7:
    lookaside-staging: file:///only-for-writing
  "*.b.org":
    use-sigstore-attachments: true
"""
    )
    found = read_registries_d()
    assert found.lookaside(scopes("c.org/x")) == "https://default.example.org"
    assert found.lookaside(scopes("a.org/x")) == "https://a.example.org"
    assert found.lookaside(scopes("a.org/team/app")) == "file:///old-name"
    assert found.lookaside(scopes("a.org/team/app:7")) == "file:///old-name"
    assert found.attachments(scopes("a.org/team/app"))
    assert found.attachments(scopes("x.b.org/app"))
    assert not found.attachments(scopes("c.org/x"))


@pytest.mark.skipif(os.getuid() == 0, reason="root's lie in /var/lib/containers/sigstore")
def test_without_a_word_signatures_lie_in_the_users_data(monkeypatch):
    found = read_registries_d("/nonexistent")
    assert found.lookaside(scopes("a.org/x")) == f"file://{os.environ['HOME']}/.local/share/containers/sigstore"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert found.lookaside(scopes("a.org/x")) == "file:///data/containers/sigstore"
    assert found.configured_lookaside(scopes("a.org/x")) == ""


def test_the_users_directory_replaces_the_machines(write_registries_d):
    assert find_directory(system="/system") == "/system"
    own = write_registries_d("docker: {}\n")
    assert find_directory(system="/system") == own


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("- a\n", "is not a mapping"),
        ("a: [\n", "is not valid"),
        ("docker: 3\n", "docker is not a mapping"),
        ("docker:\n  3: {}\n", "docker is not a mapping"),
        ("docker:\n  a.org: x\n", "docker.a.org is not a mapping"),
        ("docker:\n  a.org:\n    lookaside: 3\n", "docker.a.org.lookaside is not a string"),
        ("docker:\n  a.org:\n    use-sigstore-attachments: maybe\n", "neither true nor false"),
        ("default-docker: x\n", "default-docker is not a mapping"),
    ],
)
def test_a_bad_file_refuses_and_is_named(write_registries_d, text, why):
    directory = write_registries_d(text)
    with pytest.raises(Refused) as caught:
        read_registries_d()
    assert f"{directory}/a.yaml" in caught.value.message
    assert why in caught.value.message


@pytest.mark.parametrize("text", ["docker:\n  a.org: {}\n", "default-docker: {lookaside: 'file:///x'}\n"])
def test_two_files_may_not_speak_about_the_same(write_registries_d, text):
    write_registries_d(text)
    write_registries_d(text, "b")
    with pytest.raises(Refused, match=r"b\.yaml is not valid.*a\.yaml too"):
        read_registries_d()


def no_web():
    raise AssertionError("no web address is asked for")


def write(base, name, *blobs, prefix=""):
    directory = pathlib.Path(base, name)
    directory.mkdir(parents=True, exist_ok=True)
    for number, blob in enumerate(blobs, 1):
        (directory / f"{prefix}signature-{number}").write_bytes(blob)


def test_files_are_read_in_order_until_one_is_missing(tmp_path):
    base = tmp_path / "with blank"
    write(base, f"team/app@sha256={'c' * 64}", b"\x90a", b"\0sigstore-json\n{}", b"\x90c")
    (base / f"team/app@sha256={'c' * 64}" / "signature-5").write_bytes(b"\x90e")
    store = Lookaside(f"file://{tmp_path}/with%20blank", "team/app", no_web)
    found = store.read(DIGEST)
    assert [one.data for one in found] == [b"\x90a", b"\0sigstore-json\n{}", b"\x90c"]
    assert found[0].place.endswith("/signature-1")
    assert store.read("sha256:" + "d" * 64) == ()


def test_too_many_or_too_large_signatures_are_refused(tmp_path):
    write(tmp_path, f"app@sha256={'c' * 64}", *[b"\x90"] * 129)
    with pytest.raises(Refused, match="more than 128"):
        Lookaside(f"file://{tmp_path}", "app", no_web).read(DIGEST)
    write(tmp_path, f"big@sha256={'c' * 64}", b"\x90" * ((4 << 20) + 1))
    with pytest.raises(Refused, match="more than 4194304 bytes"):
        Lookaside(f"file://{tmp_path}", "big", no_web).read(DIGEST)


@pytest.mark.parametrize("url", ["ftp://x", "/path", "x.org", "", "http://[x"])
def test_other_addresses_are_refused(url):
    with pytest.raises(Refused, match="no file:, http: or https: URL"):
        Lookaside(url, "app", no_web)


def test_a_dir_images_signatures_lie_beside_its_blobs(tmp_path):
    child = "sha256:" + "d" * 64
    write(tmp_path, "image", b"\x90top", b'\0sigstore-json\n{"mimeType": "t", "payload": ""}')
    write(tmp_path, "image", b"\x90child", prefix=f"{'d' * 64}-")
    found = DirectorySignatures(str(tmp_path / "image"), DIGEST)
    assert [one.data for one in found.simple(DIGEST)] == [b"\x90top"]
    assert [one.media_type for one in found.sigstore(DIGEST)] == ["t"]
    assert [one.data for one in found.simple(child)] == [b"\x90child"]


class Web:
    """A web server of a few answers: path → (status, headers, body)."""

    def __init__(self):
        answers, asked = {}, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_args):
                pass

            def do_GET(self):
                asked.append(self.path)
                status, headers, body = answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        self.answers, self.asked = answers, asked
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def read(self, path="", repository="team/app"):
        return Lookaside(self.url + path, repository, lambda: Transport(TlsSettings())).read(DIGEST)


@pytest.fixture
def web():
    served = Web()
    yield served
    served.server.shutdown()
    served.server.server_close()


AT = f"/sigs/team/app@sha256={'c' * 64}/signature-"


def test_web_signatures_are_read_until_one_is_not_found(web):
    web.answers[f"{AT}1"] = (200, {}, b"\x90one")
    web.answers[f"{AT}2"] = (200, {}, b"\x90two")
    assert [one.data for one in web.read("/sigs/")] == [b"\x90one", b"\x90two"]
    assert web.asked == [f"{AT}{number}" for number in (1, 2, 3)]


def test_a_redirect_is_followed_but_not_round_and_round(web):
    web.answers[f"{AT}1"] = (302, {"Location": "/moved"}, b"")
    web.answers["/moved"] = (200, {}, b"\x90one")
    assert [one.data for one in web.read("/sigs")] == [b"\x90one"]
    web.answers["/moved"] = (302, {"Location": "/moved"}, b"")
    with pytest.raises(Refused, match="more than 5 times"):
        web.read("/sigs")
    web.answers["/moved"] = (302, {"Location": "file:///etc/passwd"}, b"")
    with pytest.raises(Refused, match="redirects from"):
        web.read("/sigs")
    web.answers["/moved"] = (302, {"Location": "http://[x"}, b"")
    with pytest.raises(Refused, match="redirects from"):
        web.read("/sigs")


def test_an_error_of_the_store_is_not_taken_for_no_signature(web):
    web.answers[f"{AT}1"] = (500, {}, b"")
    with pytest.raises(Refused, match="status 500"):
        web.read("/sigs")
    web.answers[f"{AT}1"] = (200, {}, b"\x90" * ((4 << 20) + 1))
    with pytest.raises(Refused, match="more than 4194304 bytes"):
        web.read("/sigs")
