"""Images pulled and loaded under a policy: the verdict comes before any layer, and says why."""

from __future__ import annotations

import base64
import json
import os
import pathlib

import pytest

from rootless_pod.errors import Refused
from rootless_pod.image.inspect import inspect_image
from rootless_pod.image.load import load_file
from rootless_pod.image.lookup import list_images
from rootless_pod.image.pull import PullOptions, pull
from rootless_pod.image.trust.attachments import ARTIFACT_TYPE, signature_tag

QUIET = PullOptions(quiet=True, tls_verify=False, single_id=True)
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
COSIGN = "cosign container image signature"


def signed_by(path, **more):
    return {"type": "signedBy", "keyType": "GPGKeys", "keyPath": path, **more}


def sigstore_signed(path, **more):
    return {"type": "sigstoreSigned", "keyPath": path, "signedIdentity": {"type": "matchRepository"}, **more}


def blobs_asked_for(registry, but=()):
    return [one["path"] for one in registry.requests() if "/blobs/" in one["path"] and one["path"][-71:] not in but]


@pytest.fixture
def refused(paths, spy):
    """Pull and get the refusal's words; the store must be as it was."""

    def pull_refused(name, options=QUIET):
        before = spy()
        with pytest.raises(Refused) as caught:
            pull(paths, name, options)
        assert caught.value.remedy
        assert list_images(paths) == ()
        assert [path for path in spy() if path not in before and "/blobs/" in path] == []
        return caught.value.message

    return pull_refused


def test_a_gpg_signed_image_is_accepted_and_the_key_is_recorded(
    paths, fake, make_image, gpg, claim, write_policy, lookaside
):
    made = make_image()
    fake.add(made)
    name = f"{fake.host}/team/app:latest"
    lookaside("team/app", made.digest, gpg.sign(claim(made.digest, name), "release@example.org"))
    policy = write_policy(docker={f"{fake.host}/team": [signed_by(gpg.export("release@example.org"))]})
    (image,) = pull(paths, name, QUIET)
    assert inspect_image(paths, image)["Trust"] == [
        {
            "Name": name,
            "Requirements": ["signedBy"],
            "Keys": [gpg.fingerprint("release@example.org")],
            "SignedFor": [name],
            "Policy": policy,
            "Rule": f"transports.docker['{fake.host}/team']",
        }
    ]


def test_each_way_of_not_being_signed_has_its_own_words_and_fetches_no_layer(
    fake, make_image, gpg, claim, write_policy, lookaside, refused
):
    write_policy(docker={fake.host: [signed_by(gpg.export("release@example.org"))]})
    good, elsewhere = make_image(), make_image({"other": b"x"})
    fake.add(good)
    name = f"{fake.host}/team/app:latest"
    text = claim(good.digest, name)
    plain = gpg("-u", "release@example.org", "-z", "0", "--sign", stdin=text)
    cases = {
        "unsigned": ([], "it is not signed: no simple signature found"),
        "another key": ([gpg.sign(text, "other@example.org")], "which the policy does not list"),
        "tampered": ([plain.replace(b"latest", b"newest")], "damaged or forged"),
        "another manifest": (
            [gpg.sign(claim(elsewhere.digest, name), "release@example.org")],
            f"about the manifest {elsewhere.digest}",
        ),
        "another name": (
            [gpg.sign(claim(good.digest, f"{fake.host}/team/app:old"), "release@example.org")],
            f"it was made for {fake.host}/team/app:old, not for {name}",
        ),
        "no signature at all": ([b"garbage"], "it is no OpenPGP message"),
        "another kind of claim": (
            [gpg.sign(claim(good.digest, name, COSIGN), "release@example.org")],
            "not a 'atomic container signature'",
        ),
    }
    for number, (blobs, why) in enumerate(cases.values()):
        for path in lookaside.base.glob("team/*/*"):
            path.unlink()
        for path in lookaside.base.glob("team/*"):
            path.rmdir()
        if blobs:
            lookaside("team/app", good.digest, *blobs)
        message = refused(name)
        assert why in message, (number, message)
        assert f"transports.docker['{fake.host}'] (signedBy)" in message
    assert blobs_asked_for(fake) == []


def test_one_good_signature_among_bad_ones_is_enough(paths, fake, make_image, gpg, claim, write_policy, lookaside):
    made = make_image()
    fake.add(made)
    name = f"{fake.host}/app:latest"
    text = claim(made.digest, name)
    lookaside("app", made.digest, b"junk", gpg.sign(text, "other@example.org"), gpg.sign(text, "release@example.org"))
    write_policy(docker={fake.host: [signed_by(gpg.export("release@example.org"))]})
    assert pull(paths, name, QUIET)


def test_all_requirements_must_hold(paths, fake, make_image, gpg, claim, write_policy, lookaside, refused):
    made = make_image()
    fake.add(made)
    name = f"{fake.host}/app:latest"
    text = claim(made.digest, name)
    lookaside("app", made.digest, gpg.sign(text, "release@example.org"))
    both = [signed_by(gpg.export("release@example.org")), signed_by(gpg.export("other@example.org"))]
    write_policy(docker={fake.host: both})
    assert "which the policy does not list" in refused(name)
    write_policy(docker={fake.host: [both[0], {"type": "reject"}]})
    assert "rejects every image" in refused(name)
    directory = next(lookaside.base.glob("app@*"))
    (directory / "signature-2").write_bytes(gpg.sign(text, "other@example.org"))
    write_policy(docker={fake.host: both})
    (image,) = pull(paths, name, QUIET)
    assert len(inspect_image(paths, image)["Trust"][0]["Keys"]) == 2


def test_a_pull_by_digest_takes_a_signature_for_any_tag_of_the_repository(
    paths, fake, make_image, gpg, claim, write_policy, lookaside
):
    made = make_image()
    fake.add(made)
    name = f"{fake.host}/app"
    lookaside("app", made.digest, gpg.sign(claim(made.digest, f"{name}:v7"), "release@example.org"))
    write_policy(docker={fake.host: [signed_by(gpg.export("release@example.org"))]})
    assert pull(paths, f"{name}@{made.digest}", QUIET)
    with pytest.raises(Refused, match="it was made for"):
        pull(paths, f"{name}:latest", QUIET)


def test_a_mirrors_image_is_judged_by_its_own_name_with_the_mirrors_signatures(
    paths, fake, make_image, gpg, claim, write_policy, lookaside
):
    made = make_image()
    fake.add(made, "v1")
    pathlib.Path(os.environ["CONTAINERS_REGISTRIES_CONF"]).write_text(
        f'[[registry]]\nlocation = "real.example.org"\n[[registry.mirror]]\nlocation = "{fake.host}/mirror"\n'
        "insecure = true\n"
    )
    name = "real.example.org/app:v1"
    lookaside("mirror/app", made.digest, gpg.sign(claim(made.digest, name), "release@example.org"))
    write_policy(docker={"real.example.org": [signed_by(gpg.export("release@example.org"))]})
    (image,) = pull(paths, name, QUIET.replace(tls_verify=None))
    assert image.names == (name,)


def add_index(fake, made, tag="latest"):
    index = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [
                {
                    "mediaType": OCI_MANIFEST,
                    "digest": made.digest,
                    "size": len(made.manifest),
                    "platform": {"os": "linux", "architecture": arch},
                }
                for arch in ("amd64", "arm64")
            ],
        }
    ).encode()
    fake.add(made, "child")
    fake.add_manifest(tag, index, OCI_INDEX)
    import hashlib

    digest = f"sha256:{hashlib.sha256(index).hexdigest()}"
    fake.add_manifest(digest, index, OCI_INDEX)
    return digest


@pytest.mark.parametrize("which", ["manifest", "index"])
def test_a_signature_of_the_manifest_or_of_its_index_will_do(
    paths, fake, make_image, gpg, claim, write_policy, lookaside, which
):
    made = make_image()
    index = add_index(fake, made)
    name = f"{fake.host}/app:latest"
    digest = made.digest if which == "manifest" else index
    lookaside("app", digest, gpg.sign(claim(digest, name), "release@example.org"))
    write_policy(docker={fake.host: [signed_by(gpg.export("release@example.org"))]})
    assert pull(paths, name, QUIET)


def attach(fake, key, digest, reference, claim, *, kind=COSIGN, annotations=None, by="tag", name="sig"):
    """Put a cosign signature beside the image: at its tag, or as a referrer."""
    payload = claim(digest, reference, kind)
    blob = fake_blob(fake, payload)
    config = fake_blob(fake, b"{}")
    layer = {"mediaType": PAYLOAD_TYPE, **blob, "annotations": annotations or key.annotations(payload)}
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
        "layers": [layer],
    }
    if by == "tag":
        fake.add_manifest(signature_tag(digest), json.dumps(manifest).encode(), OCI_MANIFEST)
        return
    manifest["artifactType"] = ARTIFACT_TYPE
    data = json.dumps(manifest).encode()
    own = fake_blob(fake, data)
    fake.add_manifest(own["digest"], data, OCI_MANIFEST)
    entry = {"mediaType": OCI_MANIFEST, **own, "artifactType": ARTIFACT_TYPE}
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
    fake.add_manifest(digest.replace(":", "-"), json.dumps(index).encode(), OCI_INDEX)


def fake_blob(fake, data):
    import hashlib

    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    (fake.root / "blobs" / digest).write_bytes(data)
    return {"digest": digest, "size": len(data)}


@pytest.mark.parametrize("by", ["tag", "referrer"])
def test_a_cosign_signed_image_is_accepted_and_the_key_is_recorded(
    paths, fake, make_image, cosign_key, claim, write_policy, lookaside, by
):
    made, key = make_image(), cosign_key()
    fake.add(made)
    attach(fake, key, made.digest, f"{fake.host}/team/app", claim, by=by)
    write_policy(docker={fake.host: [sigstore_signed(key.path)]})
    (image,) = pull(paths, f"{fake.host}/team/app", QUIET)
    (trust,) = inspect_image(paths, image)["Trust"]
    assert trust["Requirements"] == ["sigstoreSigned"]
    assert trust["Keys"][0].startswith("SHA256:")
    assert trust["SignedFor"] == [f"{fake.host}/team/app"]


def test_each_way_of_not_being_cosign_signed_has_its_own_words(
    fake, make_image, cosign_key, claim, write_policy, lookaside, refused
):
    made, elsewhere, key, other = make_image(), make_image({"x": b"y"}), cosign_key(), cosign_key()
    fake.add(made)
    name = f"{fake.host}/app"
    write_policy(docker={fake.host: [sigstore_signed(key.path)]})
    assert "it is not signed: no sigstore signature found" in refused(name)
    attach(fake, other, made.digest, name, claim)
    assert "not made with a key of the policy" in refused(name)
    attach(fake, key, made.digest, f"{fake.host}/other", claim)
    assert f"it was made for {fake.host}/other" in refused(name)
    attach(fake, key, made.digest, name, claim, kind="atomic container signature")
    assert "not a 'cosign container image signature'" in refused(name)
    attach(fake, key, made.digest, name, claim, annotations=key.annotations(b"something else"))
    assert "its payload was changed" in refused(name)
    # A signature of another image, moved to this one's tag.
    attach(fake, key, elsewhere.digest, name, claim)
    os.rename(
        fake.root / "manifests" / signature_tag(elsewhere.digest), fake.root / "manifests" / signature_tag(made.digest)
    )
    assert f"about the manifest {elsewhere.digest}" in refused(name)
    layers = [layer["digest"] for layer in made.layers]
    assert not [path for path in blobs_asked_for(fake) if path[-71:] in (*layers, made.config_digest)]


def test_cosigns_signatures_count_only_where_registries_d_says_so(
    fake, make_image, cosign_key, claim, write_policy, write_registries_d, refused
):
    made, key = make_image(), cosign_key()
    fake.add(made)
    attach(fake, key, made.digest, f"{fake.host}/app", claim)
    write_policy(docker={fake.host: [sigstore_signed(key.path)]})
    assert "use-sigstore-attachments is off" in refused(f"{fake.host}/app")


def test_a_damaged_signature_blob_is_not_read_as_another(
    paths, fake, make_image, cosign_key, claim, write_policy, lookaside
):
    from rootless_pod.errors import Corrupt

    made, key = make_image(), cosign_key()
    fake.add(made)
    attach(fake, key, made.digest, f"{fake.host}/app", claim)
    manifest = json.loads((fake.root / "manifests" / signature_tag(made.digest)).read_bytes().partition(b"\n")[2])
    blob = fake.root / "blobs" / manifest["layers"][0]["digest"]
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    write_policy(docker={fake.host: [sigstore_signed(key.path)]})
    with pytest.raises(Corrupt):
        pull(paths, f"{fake.host}/app", QUIET)
    assert list_images(paths) == ()


def test_other_layers_of_a_signatures_manifest_are_not_fetched(
    paths, fake, make_image, cosign_key, claim, write_policy, lookaside
):
    made, key = make_image(), cosign_key()
    fake.add(made)
    attach(fake, key, made.digest, f"{fake.host}/app", claim)
    at = fake.root / "manifests" / signature_tag(made.digest)
    table = json.loads(at.read_bytes().partition(b"\n")[2])
    other = {"mediaType": "application/octet-stream", "digest": "sha256:" + "0" * 64, "size": 1 << 40}
    table["layers"].insert(0, other)
    fake.add_manifest(signature_tag(made.digest), json.dumps(table).encode(), OCI_MANIFEST)
    write_policy(docker={fake.host: [sigstore_signed(key.path)]})
    assert pull(paths, f"{fake.host}/app", QUIET)
    assert not [one for one in fake.requests() if other["digest"] in one["path"]]


def test_a_rejected_registry_and_a_broken_policy_refuse_every_pull(fake, make_image, write_policy, refused):
    fake.add(make_image())
    path = write_policy()
    assert "rejects every image" in refused(f"{fake.host}/app")
    pathlib.Path(path).write_text('{"default": [{"type": "insecureAcceptAnything"}], "tranports": {}}')
    assert "unknown field 'tranports'" in refused(f"{fake.host}/app")
    assert "cannot read the trust policy" in refused(f"{fake.host}/app", QUIET.replace(signature_policy="/none"))
    assert blobs_asked_for(fake) == []


def test_a_missing_key_refuses_with_its_path(fake, make_image, write_policy, refused):
    fake.add(make_image())
    write_policy(docker={fake.host: [signed_by("/nonexistent/key.gpg")]})
    assert "cannot read the key '/nonexistent/key.gpg" in refused(f"{fake.host}/app")


def test_another_policy_can_be_named(paths, fake, make_image, write_policy, tmp_path):
    fake.add(make_image())
    write_policy()
    open_policy = tmp_path / "open.json"
    open_policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    (image,) = pull(paths, f"{fake.host}/app", QUIET.replace(signature_policy=str(open_policy)))
    assert inspect_image(paths, image)["Trust"][0]["Policy"] == str(open_policy)


def test_what_is_here_already_under_a_closed_policy_is_not_renewed(paths, fake, make_image, write_policy):
    fake.add(make_image())
    write_policy([{"type": "insecureAcceptAnything"}])
    assert pull(paths, f"{fake.host}/app", QUIET)
    write_policy()
    with pytest.raises(Refused):
        pull(paths, f"{fake.host}/app", QUIET.replace(newer=True))


def write_dir(made, path):
    """The image in skopeo's ``dir:`` format."""
    path.mkdir(parents=True)
    (path / "version").write_text("Directory Transport Version: 1.1\n")
    (path / "manifest.json").write_bytes(made.manifest)
    for digest, data in made.blobs.items():
        (path / digest.removeprefix("sha256:")).write_bytes(data)
    return path


def test_a_dir_image_brings_its_signatures(paths, make_image, gpg, claim, cosign_key, write_policy, tmp_path):
    made, key = make_image(), cosign_key()
    path = write_dir(made, tmp_path / "images" / "one")
    payload = claim(made.digest, "a.org/app:1", COSIGN)
    (path / "signature-1").write_bytes(gpg.sign(claim(made.digest, "a.org/app:1"), "release@example.org"))
    table = {"mimeType": PAYLOAD_TYPE, "payload": base64.b64encode(payload).decode()}
    stored = json.dumps({**table, "annotations": key.annotations(payload)}).encode()
    (path / "signature-2").write_bytes(b"\0sigstore-json\n" + stored)
    identity = {"type": "exactReference", "dockerReference": "a.org/app:1"}
    gpg_key = gpg.export("release@example.org")
    scope = os.path.realpath(tmp_path / "images")
    write_policy(
        dir={
            scope: [
                signed_by(gpg_key, signedIdentity=identity),
                {**sigstore_signed(key.path), "signedIdentity": identity},
            ]
        }
    )
    (image,) = pull(paths, f"dir:{path}", QUIET)
    assert inspect_image(paths, image)["Trust"][0]["Requirements"] == ["signedBy", "sigstoreSigned"]
    assert load_file(paths, str(path), single_id=True, quiet=True)
    write_policy(dir={scope: [signed_by(gpg_key)]})
    with pytest.raises(Refused, match="use exactReference or exactRepository"):
        pull(paths, f"dir:{path}", QUIET)
    write_policy(dir={f"{scope}/two": [{"type": "insecureAcceptAnything"}]})
    with pytest.raises(Refused, match="rejects every image"):
        load_file(paths, str(path), single_id=True, quiet=True)


def test_layouts_and_archives_are_judged_by_path_and_transport(paths, make_image, write_policy, tmp_path, gpg):
    made = make_image()
    layout = made.write_layout(tmp_path / "layout", "v1")
    accept = [{"type": "insecureAcceptAnything"}]
    here = os.path.realpath(layout)
    for rules in ({here: accept}, {f"{here}:v1": accept}, {os.path.dirname(here): accept}, {"": accept}):
        write_policy(oci=rules)
        assert pull(paths, f"oci:{layout}:v1", QUIET)
    for rules in ({f"{here}:v2": accept}, {f"{here}2": accept}):
        write_policy(oci=rules)
        with pytest.raises(Refused, match="rejects every image"):
            pull(paths, f"oci:{layout}:v1", QUIET)
    write_policy(oci={"": [signed_by(gpg.export("release@example.org"))]})
    with pytest.raises(Refused, match=r"not signed.*oci: holds no signatures"):
        load_file(paths, layout, single_id=True, quiet=True)


def test_an_archive_on_standard_input_has_its_transports_own_rule(paths, make_image, write_policy, tmp_path):
    import subprocess

    made = make_image()
    layout = made.write_layout(tmp_path / "layout", "v1")
    archive = tmp_path / "a.tar"
    subprocess.run(["tar", "-C", layout, "-cf", str(archive), "."], check=True, timeout=60)
    accept = [{"type": "insecureAcceptAnything"}]
    write_policy(**{"oci-archive": {os.path.realpath(archive): accept}})
    assert load_file(paths, str(archive), single_id=True, quiet=True)
    with open(archive, "rb") as file, pytest.raises(Refused, match="rejects every image"):
        load_file(paths, file, single_id=True, quiet=True)
    write_policy(**{"oci-archive": {"": accept}})
    with open(archive, "rb") as file:
        assert load_file(paths, file, single_id=True, quiet=True)
