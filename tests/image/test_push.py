"""Uploads to a registry with faults: what is sent, what is not, and to whom."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pathlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rootless_pod.errors import Corrupt, Refused, Usage
from rootless_pod.image.ends import open_source, split_end
from rootless_pod.image.load import load_source
from rootless_pod.image.lookup import lookup
from rootless_pod.image.push import CopyOptions, copy, push
from rootless_pod.image.recompress import Compression
from rootless_pod.image.registry.auth import parse_creds
from rootless_pod.image.registry.client import RegistryClient
from rootless_pod.image.registry.connect import Access
from rootless_pod.image.registry.session import Session
from rootless_pod.image.registry.transport import TlsSettings, Transport, Unreachable
from rootless_pod.image.registry.upload import Uploader
from rootless_pod.image.transfer import TransferOptions
from rootless_pod.oci.descriptor import Descriptor
from rootless_pod.oci.reference import Source

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from upload_registry import UploadRegistry  # noqa: E402 - a module beside this one

PLAIN = Access(tls_verify=False, first_pause_seconds=0.01)
QUIET = CopyOptions(source=PLAIN, destination=PLAIN, quiet=True)


@pytest.fixture
def server():
    made = UploadRegistry()
    yield made
    made.close()


@pytest.fixture
def other():
    made = UploadRegistry()
    yield made
    made.close()


@pytest.fixture
def kept(paths, make_image, tmp_path):
    """An image in the store, called ``localhost/app:1``."""

    def keep(*layers, **how):
        made = make_image(*layers, **how)
        made.write_layout(tmp_path / f"layout-{made.digest[7:15]}", "localhost/app:1")
        load_source(
            paths,
            Source(transport="oci", rest=f"{tmp_path}/layout-{made.digest[7:15]}"),
            platform=None,
            single_id=os.getuid() != 0,
            quiet=True,
        )
        return made

    return keep


def changed(**how):
    return QUIET.replace(transfer=TransferOptions(**how))


def test_a_push_keeps_every_byte_and_a_second_one_sends_no_blob(paths, server, kept):
    made = kept()
    done = push(paths, "localhost/app:1", f"{server.host}/team/app:1", QUIET)
    assert (done.digest, done.unchanged) == (made.digest, True)
    assert server.manifests["team/app", "1"] == (made.manifest_type, made.manifest)
    assert {digest: data for (_name, digest), data in server.blobs.items()} == made.blobs
    server.requests.clear()
    push(paths, "localhost/app:1", f"{server.host}/team/app:1", QUIET)
    assert server.methods("POST") == []
    assert len(server.methods("HEAD")) == len(made.blobs)


def test_an_image_without_a_registry_in_its_name_needs_a_destination(paths, kept):
    kept()
    with pytest.raises(Usage, match="not in a registry"):
        push(paths, "localhost/app:1", "", QUIET)
    with pytest.raises(Usage, match="names no registry"):
        push(paths, "localhost/app:1", "app:2", QUIET)
    with pytest.raises(Usage, match="no name"):
        push(paths, lookup(paths, "localhost/app:1").id, "", QUIET)


@pytest.mark.parametrize("keeps_partial", [True, False])
def test_a_broken_upload_goes_on_where_the_registry_stands(paths, server, kept, keeps_partial):
    made = kept({"big": os.urandom(3_000_000)}, compression="none")
    server.keeps_partial = keeps_partial
    server.cut = [1_000_000, 700_000]
    push(
        paths, "localhost/app:1", f"{server.host}/app:1", QUIET.replace(transfer=TransferOptions(preserve_digests=True))
    )
    digest = made.layers[0]["digest"]
    assert server.blobs["app", digest] == made.blobs[digest]
    ranges = [headers["Content-Range"] for name, _path, headers in server.requests if name == "PATCH"]
    if keeps_partial:
        size = made.layers[0]["size"]
        assert ranges[0] == f"1000000-{size - 1}"
        assert ranges[-1] == f"1700000-{size - 1}"
    else:
        assert ranges == []


def test_an_upload_that_breaks_without_end_is_given_up_and_nothing_is_named(paths, server, kept):
    kept({"big": os.urandom(300_000)})
    server.cut = [1000] * 100
    with pytest.raises(Unreachable):
        push(paths, "localhost/app:1", f"{server.host}/app:1", QUIET)
    assert server.manifests == {}


def test_a_registry_that_takes_no_large_request_gets_chunks(server):
    server.refuses_large = True
    data = os.urandom(1_000_000)
    uploader = Uploader(session_with(server), "app", chunk_bytes=300_000)
    blob = Descriptor(media_type="x", digest=f"sha256:{hashlib.sha256(data).hexdigest()}", size=len(data))
    seen = []
    uploader.upload(blob, lambda: Reader(data), on_progress=seen.append)
    assert server.blobs["app", blob.digest] == data
    assert len(server.methods("PATCH")) == 4
    assert seen[-1] == len(data)


class Reader:
    def __init__(self, data):
        self.data = data

    def read(self, size):
        part, self.data = self.data[:size], self.data[size:]
        return part

    def close(self):
        pass


def session_with(server, **more):
    return Session(
        server.host,
        shown=server.host,
        transport=Transport(TlsSettings(verify=False)),
        credentials=lambda: None,
        insecure=True,
        pause=lambda _seconds: None,
        **more,
    )


def test_a_blob_of_another_repository_is_mounted(paths, server, kept):
    made = kept()
    push(paths, "localhost/app:1", f"{server.host}/first/app:1", QUIET)
    copy(paths, f"docker://{server.host}/first/app:1", f"docker://{server.host}/second/app:1", QUIET)
    assert server.manifests["second/app", "1"][1] == made.manifest
    assert len([path for path in server.methods("POST") if "from=first/app" in path]) == len(made.blobs)
    assert all(("second/app", digest) in server.blobs for digest in made.blobs)
    assert not any("/second/" in path for path in server.methods("PUT") if "/blobs/" in path)


def test_a_mount_that_is_not_granted_becomes_an_upload_at_the_same_address(server):
    uploader = Uploader(session_with(server), "app")
    data = b"some bytes"
    blob = Descriptor(media_type="x", digest=f"sha256:{hashlib.sha256(data).hexdigest()}", size=len(data))
    location = uploader.mount(blob.digest, "elsewhere")
    assert location
    uploader.upload(blob, lambda: Reader(data), location=location)
    assert server.blobs["app", blob.digest] == data
    assert len(server.methods("POST")) == 1


def test_one_token_allows_all_of_a_push(paths, server, kept):
    kept()
    server.tokens, server.account = True, "ann:secret"
    options = QUIET.replace(destination=PLAIN.replace(creds="ann:secret"))
    push(paths, "localhost/app:1", f"{server.host}/team/app:1", options)
    assert {tuple(scopes) for scopes in server.token_scopes} == {("repository:team/app:pull,push",)}
    with pytest.raises(Refused, match="access denied"):
        push(paths, "localhost/app:1", f"{server.host}/team/app:1", QUIET)


def test_an_upload_address_on_another_host_gets_no_credentials(paths, server, other, kept):
    kept()
    server.account = "ann:secret"
    other.uploads = server.uploads
    other.blobs = server.blobs
    server.upload_base = f"http://{other.host}"
    push(
        paths,
        "localhost/app:1",
        f"{server.host}/app:1",
        QUIET.replace(destination=PLAIN.replace(creds="ann:secret")),
    )
    assert other.methods("PUT")
    assert not any("authorization" in {name.lower() for name in headers} for _m, _p, headers in other.requests)
    assert any(headers.get("Authorization") for _m, _p, headers in server.requests)


def test_a_busy_registry_gets_the_time_it_asks_for(server):
    pauses = []
    session = session_with(server)
    session.pause = pauses.append
    server.statuses = [("PUT", 503, {"Retry-After": "7"}), ("HEAD", 429, {"Retry-After": "3"})]
    data = b"x" * 1000
    blob = Descriptor(media_type="x", digest=f"sha256:{hashlib.sha256(data).hexdigest()}", size=len(data))
    uploader = Uploader(session, "app")
    assert not uploader.has_blob(blob.digest)
    uploader.upload(blob, lambda: Reader(data))
    assert pauses == [3.0, 7.0]
    assert server.blobs["app", blob.digest] == data


def test_a_limit_is_explained_and_not_waited_for_when_it_is_long(server):
    server.statuses = [("GET", 429, {"Retry-After": "2400", "RateLimit-Limit": "100;w=21600"})]
    client = RegistryClient.on(session_with(server), "app")
    with pytest.raises(Refused, match=r"100 requests in 6 hours; wait 40 minutes") as caught:
        client.manifest("latest")
    assert "rpod login" in caught.value.remedy
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_layers_are_packed_anew_on_request_and_hold_the_same_tar(paths, server, kept, kind):
    made = kept({"a": b"text " * 5000}, compression="zstd" if kind == "gzip" else "gzip")
    done = push(
        paths, "localhost/app:1", f"{server.host}/app:1", changed(compression=Compression(kind=kind, force=True))
    )
    assert not done.unchanged
    manifest = json.loads(server.manifests["app", "1"][1])
    assert manifest["layers"][0]["mediaType"].endswith(f"+{kind}")
    assert manifest["config"]["digest"] == made.config_digest
    data = server.blobs["app", manifest["layers"][0]["digest"]]
    assert hashlib.sha256(unpacked(data, kind)).hexdigest() == made.diff_ids[0][7:]
    assert len(data) == manifest["layers"][0]["size"]


def unpacked(data, kind):
    if kind == "gzip":
        return gzip.decompress(data)
    try:
        from compression import zstd
    except ImportError:
        from backports import zstd
    return zstd.decompress(data)


def test_plain_layers_are_packed_for_a_registry_and_stay_plain_in_a_layout(paths, server, kept, tmp_path):
    made = kept({"a": b"text " * 5000}, compression="none")
    push(paths, "localhost/app:1", f"{server.host}/app:1", QUIET)
    assert json.loads(server.manifests["app", "1"][1])["layers"][0]["mediaType"].endswith("+gzip")
    done = push(paths, "localhost/app:1", f"oci:{tmp_path}/out:v1", QUIET)
    assert done.digest == made.digest
    with pytest.raises(Refused, match="digest of a layer"):
        push(
            paths,
            "localhost/app:1",
            f"oci:{tmp_path}/out:v2",
            changed(preserve_digests=True, compression=Compression(kind="gzip")),
        )


def test_a_manifest_becomes_dockers_on_request_and_back(paths, server, kept):
    made = kept()
    push(paths, "localhost/app:1", f"{server.host}/app:d", changed(manifest_format="v2s2"))
    kind, data = server.manifests["app", "d"]
    assert kind == "application/vnd.docker.distribution.manifest.v2+json"
    assert json.loads(data)["config"]["digest"] == made.config_digest
    copy(
        paths,
        f"docker://{server.host}/app:d",
        f"docker://{server.host}/back:1",
        changed(manifest_format="oci"),
    )
    back = json.loads(server.manifests["back", "1"][1])
    assert [one["digest"] for one in back["layers"]] == [one["digest"] for one in made.layers]
    assert back["mediaType"] == made.manifest_type
    with pytest.raises(Refused, match="zstd"):
        push(
            paths,
            "localhost/app:1",
            f"{server.host}/app:x",
            changed(manifest_format="v2s2", compression=Compression(kind="zstd", force=True)),
        )


DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def test_a_registry_that_takes_no_oci_manifests_gets_dockers_of_the_same_blobs(paths, server, kept):
    made = kept()
    server.rejected_manifests = (OCI_MANIFEST,)
    done = push(paths, "localhost/app:1", f"{server.host}/team/app:1", QUIET)
    kind, data = server.manifests["team/app", "1"]
    assert (kind, done.media_type, done.unchanged) == (DOCKER_MANIFEST, DOCKER_MANIFEST, False)
    assert done.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert [layer["digest"] for layer in json.loads(data)["layers"]] == [layer["digest"] for layer in made.layers]


def test_where_the_kind_was_asked_for_or_digests_must_stay_the_refusal_stands(paths, server, kept):
    kept()
    server.rejected_manifests = (OCI_MANIFEST,)
    with pytest.raises(Refused, match="manifest invalid"):
        push(paths, "localhost/app:1", f"{server.host}/team/app:1", changed(manifest_format="oci"))
    with pytest.raises(Refused, match="would change"):
        push(paths, "localhost/app:1", f"{server.host}/team/app:1", changed(preserve_digests=True))
    server.rejected_manifests = (OCI_MANIFEST, DOCKER_MANIFEST)
    with pytest.raises(Refused, match="manifest invalid"):
        push(paths, "localhost/app:1", f"{server.host}/team/app:1", QUIET)
    assert server.manifests == {}


def test_a_damaged_source_is_refused_and_nothing_is_named(paths, server, make_image, tmp_path):
    made = make_image({"a": os.urandom(5000)})
    made.write_layout(tmp_path / "in", "v1")
    victim = tmp_path / "in/blobs/sha256" / made.layers[0]["digest"][7:]
    data = bytearray(victim.read_bytes())
    data[100] ^= 1
    victim.write_bytes(bytes(data))
    for target in (f"docker://{server.host}/app:1", f"oci:{tmp_path}/out:1", f"dir:{tmp_path}/dir"):
        with pytest.raises(Corrupt):
            copy(paths, f"oci:{tmp_path}/in:v1", target, QUIET)
    for target in ("oci-archive", "docker-archive"):
        with pytest.raises(Corrupt):
            copy(paths, f"oci:{tmp_path}/in:v1", f"{target}:{tmp_path}/file.tar", QUIET)
    assert server.manifests == {}
    assert not (tmp_path / "out/index.json").exists()
    assert not (tmp_path / "dir/manifest.json").exists()
    assert not [name for name in os.listdir(tmp_path) if "file.tar" in name]


def index_layout(path, images):
    for image in images:
        image.write_layout(path) if not path.exists() else [
            (path / "blobs/sha256" / digest[7:]).write_bytes(data)
            for digest, data in {**image.blobs, image.digest: image.manifest}.items()
        ]
    index = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                {
                    "mediaType": one.manifest_type,
                    "digest": one.digest,
                    "size": len(one.manifest),
                    "platform": {"os": "linux", "architecture": name},
                }
                for name, one in zip(("amd64", "s390x"), images, strict=True)
            ],
        }
    ).encode()
    digest = f"sha256:{hashlib.sha256(index).hexdigest()}"
    (path / "blobs/sha256" / digest[7:]).write_bytes(index)
    entry = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest, "size": len(index)}
    entry["annotations"] = {"org.opencontainers.image.ref.name": "all"}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return digest, index


def test_a_whole_list_goes_around_with_its_digests(paths, server, make_image, tmp_path):
    images = [make_image({"a": b"1"}), make_image({"a": b"2"}, architecture="s390x")]
    digest, index = index_layout(tmp_path / "in", images)
    everything = changed(all_platforms=True, preserve_digests=True)
    copy(paths, f"oci:{tmp_path}/in:all", f"docker://{server.host}/app:all", everything)
    assert server.manifests["app", "all"][1] == index
    for target in (f"oci:{tmp_path}/out:all", f"dir:{tmp_path}/dir", f"oci-archive:{tmp_path}/file.tar:all"):
        assert copy(paths, f"docker://{server.host}/app:all", target, everything).digest == digest
        assert copy(paths, target, f"docker://{server.host}/again:all", everything).digest == digest
    with pytest.raises(Refused, match="list"):
        copy(paths, f"oci:{tmp_path}/in:all", f"docker-archive:{tmp_path}/d.tar", everything)
    one = copy(paths, f"oci:{tmp_path}/in:all", f"oci:{tmp_path}/one:1", changed(platform="linux/s390x"))
    assert one.digest == images[1].digest
    packed = changed(all_platforms=True, compression=Compression(kind="zstd", force=True))
    other = copy(paths, f"oci:{tmp_path}/in:all", f"docker://{server.host}/zstd:all", packed)
    listed = json.loads(server.manifests["zstd", "all"][1])["manifests"]
    assert other.digest != digest
    assert all(("zstd", entry["digest"]) in server.manifests for entry in listed)
    assert [entry["platform"]["architecture"] for entry in listed] == ["amd64", "s390x"]


def test_every_directory_and_archive_holds_the_same_image(paths, make_image, tmp_path):
    made = make_image()
    made.write_layout(tmp_path / "in", "v1")
    before = f"oci:{tmp_path}/in:v1"
    for target in (f"dir:{tmp_path}/dir", f"oci-archive:{tmp_path}/o.tar:v1", f"oci:{tmp_path}/out:v1"):
        assert copy(paths, before, target, QUIET).digest == made.digest
        before = target
    copy(paths, before, f"docker-archive:{tmp_path}/d.tar:team/app:1", QUIET)
    opened = open_source(paths, split_end(f"docker-archive:{tmp_path}/d.tar"), PLAIN)
    assert opened.names == ("docker.io/team/app:1",)
    assert json.loads(opened.source.manifest()[0])["config"]["digest"] == made.config_digest
    opened.close()
    # Into one that is there already: the others stay, the same name is replaced.
    second = make_image({"b": b"2"})
    second.write_layout(tmp_path / "second", "v1")
    copy(paths, f"oci:{tmp_path}/second:v1", f"oci:{tmp_path}/out:v2", QUIET)
    copy(paths, f"oci:{tmp_path}/second:v1", f"oci:{tmp_path}/out:v1", QUIET)
    entries = json.loads((tmp_path / "out/index.json").read_text())["manifests"]
    assert [one["digest"] for one in entries] == [second.digest] * 2
    copy(paths, f"oci:{tmp_path}/second:v1", f"dir:{tmp_path}/dir", QUIET)
    names = {one.removeprefix("sha256:") for one in second.blobs}
    assert set(os.listdir(tmp_path / "dir")) == {"version", "manifest.json", *names}


def test_a_directory_with_something_else_in_it_is_not_touched(paths, make_image, tmp_path):
    make_image().write_layout(tmp_path / "in", "v1")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter").write_text("dear")
    for transport in ("dir", "oci"):
        with pytest.raises(Exception, match="not empty"):
            copy(paths, f"oci:{tmp_path}/in:v1", f"{transport}:{tmp_path}/mine", QUIET)
    assert os.listdir(tmp_path / "mine") == ["letter"]


def test_a_referrer_is_listed_under_the_tag_where_the_registry_has_no_list(paths, server, make_image, tmp_path):
    subject = make_image()
    subject.write_layout(tmp_path / "in", "v1")
    copy(paths, f"oci:{tmp_path}/in:v1", f"docker://{server.host}/app:1", QUIET)
    signature = make_image({"sig": b"s"})
    document = json.loads(signature.manifest)
    described = {"mediaType": subject.manifest_type, "digest": subject.digest, "size": len(subject.manifest)}
    document |= {"subject": described, "artifactType": "application/vnd.example.signature"}
    signature.manifest = json.dumps(document).encode()
    signature.write_layout(tmp_path / "sig", "v1")
    for _twice in range(2):
        copy(paths, f"oci:{tmp_path}/sig:v1", f"docker://{server.host}/app:sig", QUIET)
    client = RegistryClient.on(session_with(server), "app")
    (found,) = client.referrers(subject.digest)
    assert (found.digest, found.artifact_type) == (signature.digest, "application/vnd.example.signature")
    assert client.referrers(subject.digest, "application/vnd.example.other") == ()
    assert client.referrers(signature.digest) == ()


class Proxy:
    """An HTTP proxy that notes what it was asked for."""

    def __init__(self):
        self.seen = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_args):
                pass

            def do_GET(self):
                proxy.seen.append((self.path, self.headers.get("Proxy-Authorization")))
                body = json.dumps({"tags": ["through", "the", "proxy"]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def test_a_proxy_of_the_environment_is_used_with_its_own_credentials(monkeypatch):
    proxy = Proxy()
    monkeypatch.setenv("http_proxy", f"http://me:pw@{proxy.address}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    session = Session(
        "registry.invalid",
        shown="x",
        transport=Transport(TlsSettings(verify=False)),
        credentials=lambda: None,
        insecure=True,
        attempts=1,
    )
    try:
        assert RegistryClient.on(session, "team/app").tags() == ("through", "the", "proxy")
    finally:
        proxy.server.shutdown()
        proxy.server.server_close()
    ((path, given),) = proxy.seen
    assert path == "http://registry.invalid/v2/team/app/tags/list"
    assert given.startswith("Basic ")


def test_a_copy_is_judged_by_the_trust_policy_before_a_byte_is_sent(paths, server, make_image, tmp_path):
    make_image().write_layout(tmp_path / "in", "v1")
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "reject"}]}')
    judged = QUIET.replace(signature_policy=str(policy))
    for options in (judged, judged.replace(transfer=TransferOptions(all_platforms=True))):
        with pytest.raises(Refused, match="reject"):
            copy(paths, f"oci:{tmp_path}/in:v1", f"docker://{server.host}/app:1", options)
    assert server.requests == []
    copy(paths, f"oci:{tmp_path}/in:v1", f"docker://{server.host}/app:1", QUIET)
    server.requests.clear()
    with pytest.raises(Refused, match="reject"):
        copy(paths, f"docker://{server.host}/app:1", f"dir:{tmp_path}/out", judged)
    assert not any("/blobs/" in path for path in server.methods("GET"))
    with pytest.raises(Refused, match="reject"):
        copy(paths, f"docker://{server.host}/app:1", "containers-storage:app:1", judged)


def test_a_redirect_of_an_upload_to_another_host_carries_no_proof(server, other):
    server.account = "ann:secret"
    session = session_with(server)
    session.use(parse_creds("ann:secret"))
    other.statuses = []
    server.statuses = [("PUT", 307, {"Location": f"http://{other.host}/v2/app/blobs/uploads/x"})]
    other.uploads["x"] = b""
    data = b"y" * 5000
    blob = Descriptor(media_type="x", digest=f"sha256:{hashlib.sha256(data).hexdigest()}", size=len(data))
    with pytest.raises(Refused):
        # The other host takes the bytes but says that their address lacks the digest.
        Uploader(session, "app").upload(blob, lambda: Reader(data))
    assert other.requests
    assert not any("Authorization" in headers for _method, _path, headers in other.requests)


def test_an_artifact_goes_to_every_place_but_a_docker_archive(paths, server, make_image, tmp_path):
    made = make_image({"model": b"weights"})
    made.layers[0]["mediaType"] = "application/vnd.example.model"
    made.seal().write_layout(tmp_path / "in", "v1")
    before = f"oci:{tmp_path}/in:v1"
    for target in (f"docker://{server.host}/app:1", f"oci-archive:{tmp_path}/o.tar:v1", f"dir:{tmp_path}/dir"):
        assert copy(paths, before, target, QUIET).digest == made.digest
        before = target
    with pytest.raises(Refused, match="container images"):
        copy(paths, before, f"docker-archive:{tmp_path}/d.tar", QUIET)
    assert not (tmp_path / "d.tar").exists()
