"""Pulls from a registry with faults, and from a real one."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from rootless_pod.errors import Corrupt, NotFound, Refused
from rootless_pod.image.acquire import acquire
from rootless_pod.image.lookup import list_images, lookup
from rootless_pod.image.pull import PullOptions, pull
from rootless_pod.oci.platform import host_platform

QUIET = PullOptions(quiet=True, tls_verify=False, single_id=True)


def name_in(fake, tag="latest"):
    return f"{fake.host}/team/app:{tag}"


def file_in(paths, image, layer, name):
    return pathlib.Path(f"{paths.layers}/{image.layers[layer]}/diff/{name}").read_bytes()


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_a_pulled_image_keeps_its_digests_and_its_layers_are_unpacked(paths, fake, make_image, compression):
    made = make_image(compression=compression)
    fake.add(made)
    (image,) = pull(paths, name_in(fake), QUIET)
    assert f"sha256:{image.id}" == made.config_digest
    assert image.manifest_digest == made.digest
    assert image.names == (name_in(fake),)
    assert file_in(paths, image, 0, "etc/motd") == b"hello\n"
    assert file_in(paths, image, 1, "etc/motd") == b"changed\n"
    for digest, data in made.blobs.items():
        assert pathlib.Path(paths.image, "blobs", digest.replace(":", "/")).read_bytes() == data


def test_a_layer_that_is_here_is_not_fetched_again(paths, fake, make_image):
    shared = {"big": os.urandom(10_000)}
    first, second = make_image(shared), make_image(shared, {"own": b"x"})
    fake.add(first, "one")
    fake.add(second, "two")
    pull(paths, name_in(fake, "one"), QUIET)
    before = len(fake.requests())
    pull(paths, name_in(fake, "two"), QUIET)
    asked = [one["path"] for one in fake.requests()[before:]]
    assert not any(first.layers[0]["digest"] in path for path in asked)
    assert any(second.layers[1]["digest"] in path for path in asked)


def test_a_hard_link_into_a_lower_layer_finds_its_target_whatever_comes_in_first(paths, fake, make_image):
    made = make_image({"lib": None, "lib/one": os.urandom(2_000_000)})
    made.add_layer({}, links=[("lib/two", "lib/one")])
    fake.add(made.seal())
    (image,) = pull(paths, name_in(fake), QUIET)
    assert file_in(paths, image, 1, "lib/two") == file_in(paths, image, 0, "lib/one")


def test_an_index_gives_the_manifest_of_this_machine_and_of_the_platform_asked_for(paths, fake, make_image):
    here = host_platform().architecture
    mine, other = make_image({"a": b"mine"}, architecture=here), make_image({"a": b"other"}, architecture="s390x")
    fake.add(mine, "x")
    fake.add(other, "y")
    index = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                {
                    "mediaType": one.manifest_type,
                    "digest": one.digest,
                    "size": len(one.manifest),
                    "platform": {"os": "linux", "architecture": architecture},
                }
                for one, architecture in ((other, "s390x"), (mine, here))
            ],
        }
    ).encode()
    fake.add_manifest("latest", index, "application/vnd.oci.image.index.v1+json")
    assert pull(paths, name_in(fake), QUIET)[0].manifest_digest == mine.digest
    assert pull(paths, name_in(fake), QUIET.replace(platform="linux/s390x"))[0].manifest_digest == other.digest
    with pytest.raises(NotFound, match="s390x"):
        pull(paths, name_in(fake), QUIET.replace(platform="linux/riscv64"))


def test_an_image_pulled_by_digest_is_found_by_that_name(paths, fake, make_image):
    made = make_image()
    fake.add(made)
    name = f"{fake.host}/team/app@{made.digest}"
    pull(paths, name, QUIET)
    assert lookup(paths, name).manifest_digest == made.digest
    assert lookup(paths, f"{fake.host}/team/app@{made.digest}").names == (name,)


def tampered(fake, made, which):
    path = fake.root / "blobs" / made.layers[which]["digest"]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_tampered_layer_is_refused_and_leaves_nothing_of_it(paths, fake, make_image, spy, compression, which):
    made = make_image({"a": os.urandom(3000)}, {"b": os.urandom(3000)}, compression=compression)
    fake.add(made)
    tampered(fake, made, which)
    with pytest.raises(Corrupt):
        pull(paths, name_in(fake), QUIET)
    assert list_images(paths) == ()
    assert not any(made.layers[which]["digest"][7:] in name or ".tmp-" in name for name in spy())
    assert not any("staging" in name for name in os.listdir(paths.layers))


def test_a_blob_of_another_length_than_its_descriptor_says_is_refused(paths, fake, make_image):
    made = make_image({"a": os.urandom(3000)}, compression="none")
    fake.add(made)
    path = fake.root / "blobs" / made.layers[0]["digest"]
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(Corrupt, match="bytes"):
        pull(paths, name_in(fake), QUIET)
    assert list_images(paths) == ()


def test_a_config_with_another_digest_is_refused(paths, fake, make_image):
    made = make_image()
    fake.add(made)
    path = fake.root / "blobs" / made.config_digest
    path.write_bytes(path.read_bytes().replace(b"hello", b"hallo").replace(b"linux", b"minix"))
    with pytest.raises(Corrupt):
        pull(paths, name_in(fake), QUIET)


def test_a_layer_whose_content_is_not_the_diff_id_is_refused(paths, fake, make_image):
    made = make_image()
    made.diff_ids[0] = sha256(b"something else")
    fake.add(made.seal())
    with pytest.raises(Corrupt, match="config says"):
        pull(paths, name_in(fake), QUIET)
    assert list_images(paths) == ()


def test_a_manifest_with_another_digest_than_asked_for_is_refused(paths, fake, make_image):
    made, other = make_image({"a": b"1"}), make_image({"a": b"2"})
    fake.add(made)
    fake.add_manifest(made.digest, other.manifest, other.manifest_type)
    with pytest.raises(Corrupt, match="another digest"):
        pull(paths, f"{fake.host}/team/app@{made.digest}", QUIET)


def test_a_manifest_with_another_digest_than_announced_is_refused(paths, fake, make_image):
    fake.add(make_image())
    fake.rules(announce_digest=sha256(b"other"))
    with pytest.raises(Corrupt, match="another digest"):
        pull(paths, name_in(fake), QUIET)


def test_a_schema_1_manifest_is_refused_with_words(paths, fake):
    document = json.dumps({"schemaVersion": 1, "name": "x", "fsLayers": [], "history": []}).encode()
    fake.add_manifest("latest", document, "application/vnd.docker.distribution.manifest.v1+prettyjws")
    with pytest.raises(Corrupt, match="schema 1"):
        pull(paths, name_in(fake), QUIET)


def test_an_artifact_is_refused_with_words(paths, fake, make_image):
    made = make_image()
    made.layers[0]["mediaType"] = "application/vnd.example.model"
    fake.add(made.seal())
    with pytest.raises(Refused, match="artifact"):
        pull(paths, name_in(fake), QUIET)


def test_a_missing_tag_is_not_found_with_exit_code_125(paths, fake):
    with pytest.raises(NotFound) as caught:
        pull(paths, name_in(fake, "none"), QUIET)
    assert caught.value.exit_code == 125
    assert "manifest unknown" in caught.value.message


def test_a_registry_that_is_down_is_named(paths, fake):
    host = fake.host
    fake.close()
    with pytest.raises(Refused, match=host):
        pull(paths, f"{host}/team/app", QUIET)


def test_plain_http_needs_leave_even_on_loopback(paths, fake, make_image):
    fake.add(make_image())
    with pytest.raises(Refused, match="speaks http, not https") as caught:
        pull(paths, name_in(fake), QUIET.replace(tls_verify=None))
    assert "--tls-verify=false" in caught.value.remedy
    conf = pathlib.Path(os.environ["CONTAINERS_REGISTRIES_CONF"])
    conf.write_text(f'[[registry]]\nlocation = "{fake.host}"\ninsecure = true\n')
    assert pull(paths, name_in(fake), QUIET.replace(tls_verify=None))
    with pytest.raises(Refused):
        pull(paths, name_in(fake), QUIET.replace(tls_verify=True))


@pytest.mark.parametrize("no_ranges", [False, True], ids=["ranges", "no-ranges"])
def test_a_broken_connection_goes_on_where_it_stopped(paths, fake, make_image, no_ranges):
    made = make_image({"big": os.urandom(400_000)}, compression="none")
    fake.add(made)
    digest = made.layers[0]["digest"]
    fake.rules(cut={digest: {"after": 150_000, "times": 2}}, no_ranges=no_ranges)
    (image,) = pull(paths, name_in(fake), QUIET)
    assert len(file_in(paths, image, 0, "big")) == 400_000
    ranges = [one["range"] for one in fake.requests() if digest in one["path"]]
    assert ranges[0] is None
    assert ranges[1] == "bytes=150000-"


def test_a_connection_that_breaks_without_end_is_given_up(paths, fake, make_image, spy):
    made = make_image({"big": os.urandom(1000)}, compression="none")
    fake.add(made)
    fake.rules(cut={made.layers[0]["digest"]: {"after": 0, "times": 1000}})
    from rootless_pod.image.registry.client import RegistryClient
    from rootless_pod.image.registry.source import ResumingBlob
    from rootless_pod.image.registry.transport import TlsSettings, Transport, Unreachable
    from rootless_pod.oci.descriptor import Descriptor

    client = RegistryClient(
        fake.host, "team/app", transport=Transport(TlsSettings(verify=False)), credentials=lambda: None, insecure=True
    )
    layer = made.layers[0]
    descriptor = Descriptor(media_type=layer["mediaType"], digest=layer["digest"], size=layer["size"])
    pauses = []
    blob = ResumingBlob(lambda at: client.blob(descriptor.digest, offset=at), descriptor, "x", pause=pauses.append)
    with pytest.raises(Unreachable):
        blob.read(100)
    assert len(pauses) == 5


def test_a_busy_registry_is_asked_again_after_the_time_it_gives(paths, fake, make_image):
    fake.add(make_image())
    fake.rules(busy={"times": 2, "status": 503, "retry_after": "1"})
    began = time.monotonic()
    assert pull(paths, name_in(fake), QUIET)
    assert time.monotonic() - began >= 1.9


def test_a_bearer_token_is_fetched_with_the_scope_and_renewed_when_it_ends(paths, fake, make_image):
    fake.add(make_image({"a": b"1"}, {"b": b"2"}, {"c": b"3"}))
    fake.rules(
        realm=f"http://{fake.host}/token",
        scope="repository:team/app:pull",
        token_credentials="bob:pw",
        token_requests=1,
    )
    with pytest.raises(Refused, match="access denied"):
        pull(paths, name_in(fake), QUIET)
    assert pull(paths, name_in(fake), QUIET.replace(creds="bob:pw"))
    tokens = [one for one in fake.requests() if one["path"].startswith("/token")]
    assert len(tokens) >= 3
    assert "scope=repository%3Ateam%2Fapp%3Apull" in tokens[-1]["path"]
    # The password goes to the token server only.
    for one in fake.requests():
        if not one["path"].startswith("/token"):
            assert not (one["authorization"] or "").startswith("Basic")


def test_an_identity_token_is_traded_for_a_bearer_token(paths, fake, make_image, tmp_path):
    fake.add(make_image())
    fake.rules(realm=f"http://{fake.host}/token", scope="repository:team/app:pull", token_credentials="refresh-me")
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {fake.host: {"identitytoken": "refresh-me"}}}))
    assert pull(paths, name_in(fake), QUIET.replace(authfile=str(tmp_path / "auth.json")))
    posts = [one for one in fake.requests() if one["method"] == "POST"]
    assert posts[0]["form"]["grant_type"] == "refresh_token"


def test_a_redirect_to_another_host_gets_no_token(paths, fake, second_fake, make_image):
    made = make_image()
    fake.add(made)
    second_fake.add(made)
    fake.rules(
        realm=f"http://{fake.host}/token",
        scope="repository:team/app:pull",
        redirect=f"http://{second_fake.host}/v2/elsewhere/",
    )
    assert pull(paths, name_in(fake), QUIET.replace(creds="bob:pw"))
    seen = second_fake.requests()
    assert len(seen) >= 3
    assert all(one["authorization"] is None for one in seen)


STRICT = QUIET.replace(tls_verify=None)


def trust(fake):
    directory = pathlib.Path(os.environ["XDG_CONFIG_HOME"], "containers/certs.d", fake.host)
    directory.mkdir(parents=True)
    (directory / "ca.crt").write_text((fake.root / "ca.crt").read_text())


def test_an_unknown_certificate_is_refused_until_it_is_in_certs_d(paths, tls_fake, make_image):
    tls_fake.add(make_image())
    with pytest.raises(Refused, match="not trusted") as caught:
        pull(paths, name_in(tls_fake), STRICT)
    assert f"certs.d/{tls_fake.host}/ca.crt" in caught.value.remedy
    assert tls_fake.requests() == []
    trust(tls_fake)
    assert pull(paths, name_in(tls_fake), STRICT)


def test_cert_dir_and_leave_to_skip_verification_work_as_well(paths, tls_fake, make_image):
    tls_fake.add(make_image())
    assert pull(paths, name_in(tls_fake), STRICT.replace(cert_dir=str(tls_fake.root)))
    assert pull(paths, name_in(tls_fake), QUIET)


def test_a_redirect_from_https_to_http_is_not_followed(paths, tls_fake, fake, make_image):
    made = make_image()
    tls_fake.add(made)
    fake.add(made)
    trust(tls_fake)
    tls_fake.rules(redirect=f"http://{fake.host}/v2/elsewhere/")
    with pytest.raises(Refused, match="redirects from https to http"):
        pull(paths, name_in(tls_fake), STRICT)
    assert fake.requests() == []


def test_a_token_server_without_encryption_gets_no_password_of_a_registry_with_it(paths, tls_fake, fake, make_image):
    tls_fake.add(make_image())
    trust(tls_fake)
    tls_fake.rules(realm=f"http://{fake.host}/token", scope="repository:team/app:pull")
    with pytest.raises(Refused, match="not encrypted"):
        pull(paths, name_in(tls_fake), STRICT.replace(creds="bob:pw"))
    assert fake.requests() == []


def test_a_redirect_loop_ends(paths, fake, make_image):
    fake.add(make_image())
    fake.rules(redirect=f"http://{fake.host}/v2/team/app/blobs/")
    with pytest.raises(Refused, match="redirects"):
        pull(paths, name_in(fake), QUIET)


def test_a_mirror_is_asked_first_and_the_registry_itself_when_it_has_nothing(paths, fake, second_fake, make_image):
    made = make_image()
    second_fake.add(made)
    pathlib.Path(os.environ["CONTAINERS_REGISTRIES_CONF"]).write_text(
        f'[[registry]]\nprefix = "example.org/team"\nlocation = "{second_fake.host}/team"\ninsecure = true\n'
        f'[[registry.mirror]]\nlocation = "{fake.host}/mirror"\ninsecure = true\n'
    )
    (image,) = pull(paths, "example.org/team/app", QUIET.replace(tls_verify=None))
    assert image.names == ("example.org/team/app:latest",)
    assert fake.requests()[0]["path"] == "/v2/mirror/app/manifests/latest"
    fake.add(made)
    before = len(second_fake.requests())
    pull(paths, "example.org/team/app", QUIET.replace(tls_verify=None))
    assert len(second_fake.requests()) == before


def test_a_blocked_registry_is_not_asked(paths, fake, make_image):
    fake.add(make_image())
    pathlib.Path(os.environ["CONTAINERS_REGISTRIES_CONF"]).write_text(
        f'[[registry]]\nlocation = "{fake.host}"\nblocked = true\n'
    )
    with pytest.raises(Refused, match="blocked"):
        pull(paths, name_in(fake), QUIET)
    assert fake.requests() == []


def test_a_new_image_under_an_old_name_leaves_the_old_one_without_a_name(paths, fake, make_image):
    first, second = make_image({"a": b"1"}), make_image({"a": b"2"})
    fake.add(first)
    old = pull(paths, name_in(fake), QUIET)[0]
    fake.add(second)
    pull(paths, name_in(fake), QUIET)
    assert lookup(paths, name_in(fake)).manifest_digest == second.digest
    assert lookup(paths, old.id).names == ()


def test_every_tag_is_pulled_with_all_tags(paths, fake, make_image):
    fake.add(make_image({"a": b"1"}), "one")
    fake.add(make_image({"a": b"2"}), "two")
    fake.rules(tags=["one", "two"])
    images = pull(paths, f"{fake.host}/team/app", QUIET.replace(all_tags=True))
    assert [image.names for image in images] == [(name_in(fake, "one"),), (name_in(fake, "two"),)]


def test_a_foreign_layer_comes_from_its_address_without_credentials(paths, fake, second_fake, make_image):
    made = make_image()
    second_fake.add(made)
    layer = made.layers[0]
    layer["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    layer["urls"] = [f"http://{second_fake.host}/v2/elsewhere/{layer['digest']}"]
    fake.add(made.seal())
    os.unlink(fake.root / "blobs" / layer["digest"])
    assert pull(paths, name_in(fake), QUIET)
    assert second_fake.requests()[0]["authorization"] is None


def test_acquire_pulls_by_its_policy(paths, fake, make_image):
    first, second = make_image({"a": b"1"}), make_image({"a": b"2"})
    fake.add(first)
    name = name_in(fake)

    def get(policy):
        return acquire(paths, name, pull_policy=policy, quiet=True, tls_verify=False, single_id=True).manifest_digest

    with pytest.raises(NotFound):
        get("never")
    assert get("missing") == first.digest
    fake.add(second)
    assert get("missing") == first.digest
    assert get("newer") == second.digest
    fake.add(first)
    assert get("always") == first.digest
    fake.close()
    assert get("missing") == first.digest
    assert get("newer") == first.digest


def test_acquire_unpacks_a_layer_again_whose_directory_is_gone(paths, fake, make_image):
    import shutil

    fake.add(make_image())
    (image,) = pull(paths, name_in(fake), QUIET)
    fake.close()
    shutil.rmtree(f"{paths.layers}/{image.layers[0]}")
    again = acquire(paths, name_in(fake), quiet=True, single_id=True)
    assert file_in(paths, again, 0, "etc/motd") == b"hello\n"


PULL_SCRIPT = """
import sys
from rootless_pod.image.pull import PullOptions, pull
from rootless_pod.paths import Paths
paths = Paths(graphroot=sys.argv[1], runroot=sys.argv[2], boot_id="boot")
print(pull(paths, sys.argv[3], PullOptions(quiet=True, tls_verify=False, single_id=True))[0].id)
"""


def pull_beside(paths, name):
    return subprocess.Popen(
        [sys.executable, "-c", PULL_SCRIPT, paths.graphroot, paths.runroot, name],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_two_pulls_of_the_same_image_fetch_each_layer_once(paths, fake, make_image):
    made = make_image({"a": os.urandom(3_000_000)}, {"b": os.urandom(3_000_000)})
    fake.add(made)
    both = [pull_beside(paths, name_in(fake)) for _ in range(2)]
    answers = {one.communicate(timeout=60)[0] for one in both}
    assert answers == {f"{made.config_digest[7:]}\n".encode()}
    for layer in made.layers:
        assert len([one for one in fake.requests() if layer["digest"] in one["path"]]) == 1


@pytest.mark.parametrize("after_seconds", [0.25, 0.35, 0.45, 0.6])
def test_a_killed_pull_leaves_nothing_that_the_next_one_does_not_mend(paths, fake, make_image, after_seconds):
    made = make_image(*({f"f{n}": os.urandom(2_000_000)} for n in range(6)))
    fake.add(made)
    process = pull_beside(paths, name_in(fake))
    time.sleep(after_seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    (image,) = pull(paths, name_in(fake), QUIET)
    for layer in range(6):
        assert len(file_in(paths, image, layer, f"f{layer}")) == 2_000_000
    assert not [name for name in os.listdir(paths.layers) if name.startswith(".")]
    assert not [name for name in os.listdir(f"{paths.image}/blobs") if name.startswith(".")]
    assert not [name for name in os.listdir(paths.locks) if name.startswith("layer-")]


@pytest.mark.kernel
@pytest.mark.skipif(os.getuid() != 0, reason="needs root to mount a small tmpfs")
def test_a_full_disk_gives_a_clear_error_and_a_clean_store(tmp_path, fake, make_image):
    from rootless_pod.errors import HostUnready
    from rootless_pod.paths import Paths

    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(small)], check=True)
    try:
        paths = Paths(graphroot=f"{small}/root", runroot=f"{small}/run", boot_id="boot")
        made = make_image({"a": b"small"}, {"big": os.urandom(50_000_000)})
        fake.add(made)
        with pytest.raises(HostUnready) as caught:
            pull(paths, name_in(fake), QUIET)
        assert "no space left" in caught.value.message or "disk full" in caught.value.message
        assert caught.value.remedy
        assert list_images(paths) == ()
        left = sum(os.path.getsize(f"{root}/{name}") for root, _d, names in os.walk(small) for name in names)
        assert left < 100_000
        fake.add(make_image({"a": b"small"}))
        assert pull(paths, name_in(fake), QUIET)
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.peer
@pytest.mark.registry
def test_a_real_registry_gives_the_digests_that_skopeo_sees(paths, real_registry, make_image, skopeo, tmp_path):
    host, creds = real_registry
    made = make_image()
    layout = made.write_layout(tmp_path / "layout", "v1")
    login = ["--dest-creds", creds] if creds else []
    for tag, extra in (("oci", []), ("docker", ["--format", "v2s2"])):
        target = f"docker://{host}/app:{tag}"
        skopeo("copy", "--dest-tls-verify=false", *login, *extra, f"oci:{layout}:v1", target)
        if creds:
            with pytest.raises(Refused, match="access denied"):
                pull(paths, f"{host}/app:{tag}", QUIET)
            with pytest.raises(Refused, match="access denied"):
                pull(paths, f"{host}/app:{tag}", QUIET.replace(creds="ann:wrong"))
        (image,) = pull(paths, f"{host}/app:{tag}", QUIET.replace(creds=creds))
        shown = json.loads(skopeo("inspect", "--tls-verify=false", *(["--creds", creds] if creds else []), target))
        assert image.manifest_digest == shown["Digest"]
        assert f"sha256:{image.id}" == made.config_digest
        # The store itself is a layout that skopeo reads as it is.
        from_store = json.loads(skopeo("inspect", f"oci:{paths.image}:{host}/app:{tag}"))
        assert from_store["Layers"] == shown["Layers"]
        assert (from_store["Digest"] == shown["Digest"]) == (tag == "oci")
        skopeo("copy", f"oci:{paths.image}:{host}/app:{tag}", f"dir:{tmp_path / tag}")


@pytest.mark.registry
@pytest.mark.parametrize("real_registry", ["basic"], indirect=True)
@pytest.mark.parametrize("place", ["runtime", "config", "docker", "env"])
def test_stored_credentials_are_found(paths, real_registry, make_image, skopeo, tmp_path, place, monkeypatch):
    host, creds = real_registry
    layout = make_image().write_layout(tmp_path / "layout", "v1")
    skopeo("copy", "--dest-tls-verify=false", "--dest-creds", creds, f"oci:{layout}:v1", f"docker://{host}/app:1")
    text = json.dumps({"auths": {host: {"auth": base64.b64encode(creds.encode()).decode()}}})
    file = {
        "runtime": pathlib.Path(os.environ["XDG_RUNTIME_DIR"], "containers/auth.json"),
        "config": pathlib.Path(os.environ["XDG_CONFIG_HOME"], "containers/auth.json"),
        "docker": pathlib.Path(os.environ["HOME"], ".docker/config.json"),
        "env": tmp_path / "named.json",
    }[place]
    if place == "env":
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    assert pull(paths, f"{host}/app:1", QUIET)
