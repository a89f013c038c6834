"""Images made by hand, stores in temporary directories, and registries on loopback."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time

import pytest

from rootless_pod.paths import Paths

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
# "secret" by bcrypt; made once with perl's crypt.
HTPASSWD = "ann:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"
HERE = pathlib.Path(__file__).parent
PACKAGE = str(HERE.parents[1])
TEST_USER = os.environ.get("RPOD_TEST_USER", "rpod-test")


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class MadeImage:
    """An image as bytes: manifest, and blobs by digest."""

    def __init__(self):
        self.blobs: dict[str, bytes] = {}
        self.manifest = b""
        self.manifest_type = OCI_MANIFEST
        self.config_digest = ""
        self.layers: list[dict] = []
        self.diff_ids: list[str] = []

    @property
    def digest(self):
        return digest_of(self.manifest)

    def keep(self, data, media_type):
        self.blobs[digest_of(data)] = data
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

    def seal(self, **config):
        text = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "created": "2024-05-01T10:00:00Z",
                "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "Labels": {"kind": "test"}},
                "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
                "history": [
                    {"created": "2024-05-01T10:00:00Z", "created_by": f"step {n}"} for n in range(len(self.layers))
                ],
                **config,
            }
        ).encode()
        descriptor = self.keep(text, "application/vnd.oci.image.config.v1+json")
        self.config_digest = descriptor["digest"]
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor, "layers": self.layers}
        self.manifest = json.dumps(document).encode()
        return self

    def add_layer(self, files, compression="gzip", links=()):
        tar = tar_of(files, links)
        data = {"gzip": lambda: gzip.compress(tar, mtime=0), "none": lambda: tar, "zstd": lambda: zstd(tar)}[
            compression
        ]()
        suffix = "" if compression == "none" else f"+{compression}"
        self.diff_ids.append(digest_of(tar))
        self.layers.append(self.keep(data, f"{LAYER}{suffix}"))

    def write_layout(self, path, ref_name=None):
        blobs = pathlib.Path(path) / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for digest, data in {**self.blobs, self.digest: self.manifest}.items():
            (blobs / digest.removeprefix("sha256:")).write_bytes(data)
        entry = {"mediaType": self.manifest_type, "digest": self.digest, "size": len(self.manifest)}
        if ref_name:
            entry["annotations"] = {"org.opencontainers.image.ref.name": ref_name}
        (pathlib.Path(path) / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (pathlib.Path(path) / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        return str(path)


def zstd(data):
    try:
        from compression import zstd as module
    except ImportError:
        from backports import zstd as module
    return module.compress(data)


def tar_of(files, links=()):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.uid, entry.gid, entry.mtime = 0, 0, 1_700_000_000
            if data is None:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            else:
                entry.mode, entry.size = 0o644, len(data)
                archive.addfile(entry, io.BytesIO(data))
        for name, target in links:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mtime = tarfile.LNKTYPE, target, 1_700_000_000
            archive.addfile(entry)
    return out.getvalue()


@pytest.fixture
def make_image():
    def make(*layers, compression="gzip", **config):
        image = MadeImage()
        for files in layers or (
            {"etc": None, "etc/motd": b"hello\n"},
            {"etc/motd": b"changed\n", "data": os.urandom(5000)},
        ):
            image.add_layer(files, compression)
        return image.seal(**config)

    return make


@pytest.fixture(autouse=True)
def _no_configuration_of_this_machine(tmp_path_factory, monkeypatch):
    home = tmp_path_factory.mktemp("home")
    (home / "registries.conf").write_text('unqualified-search-registries = ["docker.io"]\n')
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(home / "registries.conf"))
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def paths(tmp_path):
    made = Paths(graphroot=str(tmp_path / "root"), runroot=str(tmp_path / "run"), boot_id="boot")
    made.prepare()
    return made


@pytest.fixture
def spy(paths):
    """What lies in the store, to compare before and after."""

    def look():
        found = []
        for root in (paths.image, paths.layers):
            for directory, _directories, files in os.walk(root):
                found += [f"{directory}/{name}" for name in files]
        return sorted(found)

    return look


class FakeRegistry:
    def __init__(self, root, *, tls=False):
        self.root = pathlib.Path(root)
        self.root.mkdir()
        if tls:
            self._make_certificate()
        for name in ("manifests", "blobs"):
            (self.root / name).mkdir(parents=True)
        self.rules()
        (self.root / "requests").write_text("")
        self._process = subprocess.Popen([sys.executable, str(HERE / "fake_registry.py"), str(self.root)])
        self.host = f"127.0.0.1:{wait_for(lambda: (self.root / 'port').exists() and (self.root / 'port').read_text())}"

    def _make_certificate(self):
        done = subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
            ]
            + ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "ca.crt"],
            cwd=self.root,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        (self.root / "tls.pem").write_text((self.root / "key.pem").read_text() + (self.root / "ca.crt").read_text())

    def rules(self, **rules):
        (self.root / "faults.json.tmp").write_text(json.dumps(rules))
        os.rename(self.root / "faults.json.tmp", self.root / "faults.json")

    def add(self, image, tag="latest"):
        for digest, data in image.blobs.items():
            (self.root / "blobs" / digest).write_bytes(data)
        for name in (tag, image.digest):
            self.add_manifest(name, image.manifest, image.manifest_type)

    def add_manifest(self, name, data, media_type):
        (self.root / "manifests" / name).write_bytes(media_type.encode() + b"\n" + data)

    def requests(self):
        return [json.loads(line) for line in (self.root / "requests").read_text().splitlines()]

    def close(self):
        self._process.kill()
        self._process.wait()


def wait_for(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("did not happen in time")


@pytest.fixture
def fake(tmp_path):
    registry = FakeRegistry(tmp_path / "fake")
    yield registry
    registry.close()


@pytest.fixture
def tls_fake(tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed: no certificate can be made")
    registry = FakeRegistry(tmp_path / "tls", tls=True)
    yield registry
    registry.close()


@pytest.fixture
def second_fake(tmp_path):
    registry = FakeRegistry(tmp_path / "fake2")
    yield registry
    registry.close()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def _answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(params=["open", "basic"])
def real_registry(request, tmp_path):
    """(host, credentials) of a docker-registry, with and without a password."""
    if not shutil.which("docker-registry") or not shutil.which("skopeo"):
        pytest.skip("docker-registry or skopeo is not installed")
    port = free_port()
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if request.param == "basic":
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}
    (tmp_path / "registry.json").write_text(json.dumps(config))
    process = subprocess.Popen(
        ["docker-registry", "serve", str(tmp_path / "registry.json")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: _answers(port))
        yield f"127.0.0.1:{port}", "ann:secret" if request.param == "basic" else None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.fixture
def skopeo():
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")

    def run(*words):
        done = subprocess.run(["skopeo", *words], capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run


@pytest.fixture
def user_dir():
    """A directory of the unprivileged user, removed in its own namespace (its layers hold foreign ids)."""
    if os.getuid() == 0:
        try:
            owner = pwd.getpwnam(TEST_USER)
        except KeyError:
            pytest.skip(f"no user {TEST_USER}: set RPOD_TEST_USER")
    else:
        owner = pwd.getpwuid(os.getuid())
    directory = tempfile.mkdtemp(prefix="rpod-image-test-")
    os.chown(directory, owner.pw_uid, owner.pw_gid)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def rpod(user_dir):
    """``rpod`` on a store of its own in ``user_dir``, which is its home."""

    def run(*words, code=0, stdin=None, as_bytes=False):
        environment = {
            "HOME": user_dir,
            "XDG_RUNTIME_DIR": f"{user_dir}/run",
            "PATH": os.environ["PATH"],
            "PYTHONPATH": PACKAGE,
            "PYTHONDONTWRITEBYTECODE": "1",
            "CONTAINERS_REGISTRIES_CONF": f"{user_dir}/registries.conf",
        }
        pathlib.Path(user_dir, "registries.conf").touch()
        given = [f"{name}={value}" for name, value in environment.items()]
        become = ["setpriv", f"--reuid={TEST_USER}", f"--regid={TEST_USER}", "--init-groups"]
        prefix = become if os.getuid() == 0 else []
        command = [*prefix, "env", "-i", *given, sys.executable, "-m", "rootless_pod"]
        roots = ["--root", f"{user_dir}/root", "--runroot", f"{user_dir}/runroot"]
        done = subprocess.run(
            [*command, *roots, *words], input=stdin, capture_output=True, timeout=120, check=False, cwd="/"
        )
        assert done.returncode == code, (words, done.stdout, done.stderr.decode())
        run.stderr = done.stderr.decode()
        return done.stdout if as_bytes else done.stdout.decode()

    yield run
    # The pause process must not outlive the test.
    for record in pathlib.Path(user_dir, "runroot").glob("*/pause.json"):
        try:
            os.kill(json.loads(record.read_text())["pid"], 9)
        except (OSError, KeyError, ValueError):
            continue
