"""Images on their way out: pushed, copied, logged in for; skopeo, podman and umoci say whether they arrived."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import images
import pytest
import trees
from conftest import Rpod, free_port
from registries import Cutting, require
from test_formats import ADDED, Podman, devices, differences, done, our_tree, podman

__all__ = ["podman"]  # a fixture

pytestmark = [pytest.mark.registry, pytest.mark.peer]

ACCOUNT = "ann:secret words"


class TokenServer:
    """Gives tokens to ``ACCOUNT`` only, signed as docker-registry wants them. Source: distribution, spec/auth/jwt."""

    def __init__(self, place: Path) -> None:
        self.place = place
        words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tokens"]
        run_openssl(*words, "-keyout", str(place / "token.key"), "-out", str(place / "token.crt"))
        self.certificate = base64.b64encode(ssl.PEM_cert_to_DER_cert((place / "token.crt").read_text())).decode()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_args: object) -> None:
                pass

            def do_GET(self) -> None:
                given = self.headers.get("Authorization", "").removeprefix("Basic ")
                allowed = base64.b64decode(given).decode() == ACCOUNT
                query = parse_qs(urlsplit(self.path).query)
                token = server.token(query["service"][0], query.get("scope", [])) if allowed else ""
                body = json.dumps({"token": token}).encode()
                self.send_response(200 if allowed else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.realm = f"http://127.0.0.1:{self.server.server_address[1]}/token"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, service: str, scopes: list[str]) -> str:
        now = int(time.time())
        access = [dict(zip(("type", "name", "actions"), scope.split(":"), strict=True)) for scope in scopes]
        access = [{**one, "actions": one["actions"].split(",")} for one in access]
        claims = {
            "iss": "tests",
            "sub": "ann",
            "aud": service,
            "exp": now + 300,
            "nbf": now - 10,
            "iat": now,
            "jti": "1",
        }
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self.certificate]}
        parts = [encoded(json.dumps(one).encode()) for one in (header, {**claims, "access": access})]
        signed = run_openssl("dgst", "-sha256", "-sign", str(self.place / "token.key"), stdin=".".join(parts).encode())
        return ".".join([*parts, encoded(signed)])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def run_openssl(*words: str, stdin: bytes | None = None) -> bytes:
    require("openssl")
    return subprocess.run(["openssl", *words], check=True, capture_output=True, input=stdin, timeout=60).stdout


class Server:
    """A docker-registry, ``kind`` of ``open``, ``basic``, ``tls``, ``token``; options tell tools how to reach it."""

    def __init__(self, place: Path, kind: str) -> None:
        require("docker-registry", "skopeo")
        self.place, self.kind, self.port = place, kind, free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.tokens: TokenServer | None = None
        config: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": f"{place}/data"}},
            "http": {"addr": self.address},
        }
        if kind == "basic":
            require("htpasswd")
            user, _colon, password = ACCOUNT.partition(":")
            words = ["htpasswd", "-cbBC", "4", f"{place}/htpasswd", user, password]
            subprocess.run(words, check=True, capture_output=True)
            config["auth"] = {"htpasswd": {"realm": "tests", "path": f"{place}/htpasswd"}}
        elif kind == "tls":
            config["http"] = {"addr": self.address, "tls": self._certificates()}
        elif kind == "token":
            self.tokens = TokenServer(place)
            rules = {"realm": self.tokens.realm, "service": "tests", "issuer": "tests"}
            config["auth"] = {"token": {**rules, "rootcertbundle": f"{place}/token.crt"}}
        (place / "config.json").write_text(json.dumps(config))
        self.log = place / "access.log"
        with self.log.open("ab") as log:
            words = ["docker-registry", "serve", str(place / "config.json")]
            self._server = subprocess.Popen(words, stdout=log, stderr=subprocess.DEVNULL)
        for _ in range(400):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        pytest.fail(f"docker-registry does not answer on {self.address}")

    def _certificates(self) -> dict[str, str]:
        """Make a CA of the test and a certificate by it; ``ca/ca.crt`` is for clients."""
        place = self.place
        (place / "ca").mkdir()
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        ca = ["req", "-x509", *curve, "-days", "2", "-subj", "/CN=test CA", "-addext", "keyUsage=keyCertSign"]
        run_openssl(*ca, "-keyout", f"{place}/ca.key", "-out", f"{place}/ca/ca.crt")
        run_openssl("req", *curve, "-subj", "/CN=registry", "-keyout", f"{place}/tls.key", "-out", f"{place}/tls.csr")
        (place / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
        sign = ["x509", "-req", "-in", f"{place}/tls.csr", "-CA", f"{place}/ca/ca.crt", "-CAkey", f"{place}/ca.key"]
        run_openssl(*sign, "-CAcreateserial", "-days", "2", "-extfile", f"{place}/ext", "-out", f"{place}/tls.crt")
        return {"certificate": f"{place}/tls.crt", "key": f"{place}/tls.key"}

    def options(self, prefix: str = "") -> list[str]:
        """Return the options by which rpod (and, with a prefix, skopeo) may use it."""
        if self.kind == "tls":
            return [f"--{prefix}cert-dir", f"{self.place}/ca"]
        creds = [f"--{prefix}creds", ACCOUNT] if self.kind in ("basic", "token") else []
        return [f"--{prefix}tls-verify=false", *creds]

    def digest(self, name: str) -> str:
        """Return the digest of what skopeo sees under ``name``."""
        words = ["skopeo", "inspect", *self.options(), "--format", "{{.Digest}}", f"docker://{self.address}/{name}"]
        return done(*words).decode().strip()

    def sent(self) -> list[str]:
        """Return the requests that carried a blob's bytes, by their log lines."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if ('"PUT /v2/' in line or '"PATCH /v2/' in line) and "/blobs/uploads/" in line]

    def stop(self) -> None:
        self._server.terminate()
        self._server.wait(10)
        if self.tokens:
            self.tokens.close()


@pytest.fixture(params=["open", "basic", "tls", "token"])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    made = Server(tmp_path, request.param)
    yield made
    made.stop()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path, "open")
    yield made
    made.stop()


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A small image of gzip, zstd and plain layers as a layout (tag ``mixed``), and its digest."""
    path = tmp_path_factory.mktemp("small") / "layout"
    return path, images.zstd_layout(path)


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory with a short name without colons, on a disk."""
    import tempfile

    # podman makes an image's name of the path: a random name with '_' in the wrong place would be none.
    above = Path(tempfile.mkdtemp(prefix="rpod-push-", dir="/var/tmp"))
    made = above.with_name(f"rpod-push-{os.getpid()}")
    above.rename(made)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def config_of(server: Server, name: str) -> str:
    words = ["skopeo", "inspect", "--raw", *server.options(), f"docker://{server.address}/{name}"]
    return str(json.loads(done(*words))["config"]["digest"])


def test_a_push_and_copies_in_every_direction_keep_the_digest(
    rpod: Rpod, server: Server, small: tuple[Path, str], room: Path
) -> None:
    layout, digest = small
    place = f"docker://{server.address}"
    rpod("copy", "-q", f"oci:{layout}:mixed", f"{place}/one:1", *server.options("dest-"))
    assert server.digest("one:1") == digest
    rpod(
        "copy", "-q", f"{place}/one:1", f"{place}/deep/er/two:2", *server.options("src-"), *server.options("dest-"),
        "--digestfile", f"{room}/digest",
    )  # fmt: skip
    assert (room / "digest").read_text() == server.digest("deep/er/two:2") == digest
    assert rpod("copy", "-q", f"{place}/one:1", f"dir:{room}/dir", *server.options("src-")) == ""
    rpod("copy", "-q", f"dir:{room}/dir", f"oci-archive:{room}/file.tar:x")
    rpod("copy", "-q", f"oci-archive:{room}/file.tar:x", f"{place}/three:3", *server.options("dest-"))
    assert server.digest("three:3") == digest
    rpod("copy", "-q", f"{place}/three:3", "containers-storage:kept:1", *server.options("src-"))
    assert rpod("image", "inspect", "--format", "{{.Digest}}", "localhost/kept:1").strip() == digest
    rpod("push", "-q", *server.options(), "localhost/kept:1", f"{server.address}/four:4")
    # A push packs the plain layer; a copy would have left it.
    assert server.digest("four:4") != digest
    assert config_of(server, "four:4") == config_of(server, "three:3")
    image = rpod("pull", "-q", *server.options(), f"{server.address}/four:4").strip()
    assert rpod("run", "--rm", image, "cat", "/app/one").strip() == "linked"


def test_what_is_pushed_podman_and_umoci_unpack_to_the_same_files(
    img: Rpod, podman: Podman, plain: Server, layout_digest: str, debian: bool, room: Path
) -> None:
    require("umoci")
    name = f"{plain.address}/debian:1"
    img("push", "-q", "--tls-verify=false", "img", name)
    assert plain.digest("debian:1") == layout_digest
    ours = our_tree(img, "img")
    image = podman("pull", "-q", "--tls-verify=false", name).strip()
    but = ADDED | devices(ours)
    assert differences(ours, podman.read_tree(image), but) == {}
    img("push", "-q", "--tls-verify=false", "--compression-format", "zstd", "img", f"{plain.address}/debian:zstd")
    done("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{plain.address}/debian:zstd", f"oci:{room}/z:1")
    done("skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"oci:{room}/l:1")
    img("unshare", "umoci", "unpack", "--image", f"{room}/l:1", f"{room}/bundle")
    theirs = json.loads(img("unshare", "/usr/bin/python3", trees.__file__, f"{room}/bundle/rootfs"))
    img("unshare", "rm", "-rf", f"{room}/bundle")
    assert differences(ours, theirs, but | devices(theirs)) == {}
    packed = podman("pull", "-q", "--tls-verify=false", f"{plain.address}/debian:zstd").strip()
    assert packed == image, "the id is that of the config, which did not change"


@pytest.mark.parametrize("form", ["oci", "oci-archive", "docker-archive", "dir"])
def test_what_is_pushed_to_a_file_others_read(
    rpod: Rpod, podman: Podman, small: tuple[Path, str], room: Path, form: str
) -> None:
    layout, digest = small
    image = rpod("pull", "-q", f"oci:{layout}:mixed").strip()
    end = {"oci": f"{room}/out:v1", "oci-archive": f"{room}/o.tar:v1", "dir": f"{room}/dir"}.get(
        form, f"{room}/d.tar:registry.example.org/app:1"
    )
    rpod("push", "-q", image, f"{form}:{end}")
    if form != "docker-archive":
        assert done("skopeo", "inspect", "--format", "{{.Digest}}", f"{form}:{end}").decode().strip() == digest
    assert podman("pull", "-q", f"{form}:{end}").strip() == image
    podman("rmi", "-fa")


def test_a_second_push_sends_nothing_and_another_repository_gets_blobs_by_mount(
    rpod: Rpod, plain: Server, small: tuple[Path, str]
) -> None:
    layout, digest = small
    image = rpod("pull", "-q", f"oci:{layout}:mixed").strip()
    name = f"{plain.address}/base:1"
    rpod("tag", image, name)
    rpod("push", "-q", "--tls-verify=false", "--format", "oci", name)
    before = plain.sent()
    assert before
    rpod("push", "-q", "--tls-verify=false", name)
    assert plain.sent() == before
    rpod("push", "-q", "--tls-verify=false", name, f"{plain.address}/other/app:1")
    # The plain layer is packed anew: its digest is not that of a blob in the store, but the registry has the rest.
    assert len(plain.sent()) - len(before) <= 1
    assert plain.digest("other/app:1") == plain.digest("base:1")


def test_a_push_over_a_line_that_breaks_arrives_whole(img: Rpod, plain: Server, layout_digest: str) -> None:
    proxy = Cutting(plain.port, limit=5_000_000, times=3)
    try:
        img("push", "-q", "--tls-verify=false", "--retry-delay", "50ms", "img", f"{proxy.address}/debian:1")
    finally:
        proxy.close()
    assert proxy.left < 3, "no connection was cut"
    assert plain.digest("debian:1") == layout_digest


def test_a_push_without_a_registry_that_answers_names_it(rpod: Rpod, small: tuple[Path, str]) -> None:
    image = rpod("pull", "-q", f"oci:{small[0]}:mixed").strip()
    address = f"127.0.0.1:{free_port()}"
    said = rpod.error("push", "-q", "--tls-verify=false", "--retry", "0", image, f"{address}/app:1")
    assert address in said
    assert "Traceback" not in said


def test_a_login_serves_push_podman_and_skopeo_until_the_logout(
    rpod: Rpod, server: Server, small: tuple[Path, str], tmp_path: Path
) -> None:
    if server.kind not in ("basic", "token"):
        pytest.skip("this registry asks nobody who they are")
    file = f"{tmp_path}/auth.json"
    told = rpod.with_options(env={"REGISTRY_AUTH_FILE": file})
    user, _colon, password = ACCOUNT.partition(":")
    said = told.error("login", "--tls-verify=false", "-u", user, "-p", "wrong", server.address)
    assert "wrong" not in said
    assert not Path(file).exists()
    words = ["login", "--tls-verify=false", "-u", user, "--password-stdin", server.address]
    assert told(*words, stdin=f"{password}\n".encode()) == "Login Succeeded!\n"
    assert Path(file).stat().st_mode & 0o777 == 0o600
    assert told("login", "--get-login", server.address) == f"{user}\n"
    assert "Already logged in" in told("login", "--tls-verify=false", server.address)
    image = told("pull", "-q", f"oci:{small[0]}:mixed").strip()
    told("push", "-q", "--tls-verify=false", image, f"{server.address}/team/app:1")
    told("rmi", "-f", image)
    ended = told.with_options("--log-level", "debug").run("pull", "--tls-verify=false", f"{server.address}/team/app:1")
    secrets = (password.encode(), base64.b64encode(ACCOUNT.encode()), b"Bearer", b"eyJ")
    assert ended.returncode == 0
    assert not any(one in ended.stdout + ended.stderr for one in secrets)
    words = ["skopeo", "inspect", "--tls-verify=false", "--authfile", file, f"docker://{server.address}/team/app:1"]
    assert json.loads(done(*words))["Digest"]
    assert "team/app" in told("search", "--tls-verify=false", "--list-tags", f"{server.address}/team/app")
    assert told("logout", server.address) == f"Removed login credentials for {server.address}\n"
    assert json.loads(Path(file).read_text()) == {"auths": {}}
    assert "login" in told.error("push", "-q", "--tls-verify=false", image, f"{server.address}/team/app:2")
    assert "not logged into" in told.error("login", "--get-login", server.address)
    # What podman keeps serves rpod.
    words = ["podman", "login", "--tls-verify=false", "--authfile", file, "-u", user, "-p", password, server.address]
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run(words, check=True, capture_output=True, timeout=60, env=environment)
    told("push", "-q", "--tls-verify=false", image, f"{server.address}/team/app:2")


def test_repositories_and_tags_are_found(rpod: Rpod, plain: Server, small: tuple[Path, str]) -> None:
    for name in ("team/app:1", "team/app:2", "team/other:1"):
        rpod("copy", "-q", "--dest-tls-verify=false", f"oci:{small[0]}:mixed", f"docker://{plain.address}/{name}")
    found = rpod("search", "--tls-verify=false", "--format", "{{.Name}}", f"{plain.address}/app")
    assert found.split() == [f"{plain.address}/team/app"]
    listed = rpod("search", "--tls-verify=false", "--list-tags", f"{plain.address}/team/app")
    heading, *rows = [line.split() for line in listed.splitlines()]
    assert heading == ["NAME", "TAG"]
    assert sorted(rows) == [[f"{plain.address}/team/app", "1"], [f"{plain.address}/team/app", "2"]]


def test_certificates_are_checked_unless_told_otherwise(rpod: Rpod, tmp_path: Path, small: tuple[Path, str]) -> None:
    server = Server(tmp_path, "tls")
    try:
        image = rpod("pull", "-q", f"oci:{small[0]}:mixed").strip()
        said = rpod.error("push", "-q", "--retry", "0", image, f"{server.address}/app:1")
        assert "certificate" in said
        rpod("push", "-q", "--tls-verify=false", image, f"{server.address}/app:1")
        rpod("push", "-q", *server.options(), image, f"{server.address}/app:2")
    finally:
        server.stop()


def test_an_encrypted_layer_is_refused_with_words(rpod: Rpod) -> None:
    assert "encrypted layers" in rpod.error("push", "--encrypt-layer", "0", "x", "y.org/z")
    assert "no transport" in rpod.error("copy", "app", "dir:/nowhere")
