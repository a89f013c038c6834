"""Docker schema 1: the signature holds, the history tells the image, and what has no place is refused."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from rootless_pod.errors import Corrupt, Refused
from rootless_pod.image import schema1
from rootless_pod.image.schema1 import EMPTY, EMPTY_LAYER, write_schema1
from rootless_pod.oci import mediatype
from rootless_pod.oci.descriptor import Descriptor
from rootless_pod.oci.manifest import Manifest

LAYERS = tuple(
    Descriptor(media_type=mediatype.DOCKER_LAYER_GZIP, digest=f"sha256:{name * 64}", size=7) for name in "ab"
)
CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "created": "2026-01-02T00:00:00Z",
    "config": {"Env": ["A=b"], "Cmd": ["sh"]},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "c" * 64] * 2},
    "history": [
        {"created": "2026-01-01T00:00:00Z", "created_by": "ADD <x>", "comment": "first"},
        {"created_by": "ENV A=b", "empty_layer": True, "author": "ann"},
        {"created": "2026-01-02T00:00:00Z", "created_by": "RUN y"},
    ],
}


def manifest(layers=LAYERS):
    config = Descriptor(media_type=mediatype.DOCKER_CONFIG, digest="sha256:" + "d" * 64, size=1)
    return Manifest(config=config, layers=layers, media_type=mediatype.DOCKER_MANIFEST)


def write(config=CONFIG, layers=LAYERS):
    return write_schema1(manifest(layers), json.dumps(config).encode(), name="team/app", tag="1", shown="here")


def decoded(text):
    return base64.urlsafe_b64decode(text + "==")


def test_the_signature_holds_over_what_the_digest_is_of():
    made = write()
    (signature,) = json.loads(made.data)["signatures"]
    protected = json.loads(decoded(signature["protected"]))
    payload = made.data[: protected["formatLength"]] + decoded(protected["formatTail"])
    assert made.digest == f"sha256:{hashlib.sha256(payload).hexdigest()}"
    assert {**json.loads(payload), "signatures": [signature]} == json.loads(made.data)
    jwk = signature["header"]["jwk"]
    x, y = (int.from_bytes(decoded(jwk[name]), "big") for name in "xy")
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    proof = decoded(signature["signature"])
    assert len(proof) == 64
    whole = encode_dss_signature(int.from_bytes(proof[:32], "big"), int.from_bytes(proof[32:], "big"))
    signed = f"{signature['protected']}.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}".encode()
    key.verify(whole, signed, ec.ECDSA(SHA256()))


def test_a_key_is_named_as_libtrust_names_it():
    # From a manifest that podman 4.3.1 wrote.
    x, y = "JGIaz6DajkId4out_D5aAy9VEuqYPZ0p6ca5yi7R0Bg", "oKLSHK95QdXyLqhHc06PTC6dGfKKuw5mia6LlpsSU0k"
    numbers = (int.from_bytes(decoded(one), "big") for one in (x, y))
    key = ec.EllipticCurvePublicNumbers(*numbers, ec.SECP256R1()).public_key()
    assert schema1.key_id(key) == "NLC7:ZEQT:IYKC:K74M:PYWX:XDDL:KYD6:53MI:IGS5:6G4J:EU7L:Q5XS"


def test_the_history_tells_the_image_newest_first():
    made = json.loads(write().data)
    assert (made["schemaVersion"], made["name"], made["tag"], made["architecture"]) == (1, "team/app", "1", "amd64")
    blobs = [one["blobSum"] for one in made["fsLayers"]]
    assert blobs == [LAYERS[1].digest, EMPTY.digest, LAYERS[0].digest]
    newest, middle, oldest = (json.loads(one["v1Compatibility"]) for one in made["history"])
    assert newest["config"] == CONFIG["config"]
    assert "rootfs" not in newest
    assert "history" not in newest
    assert (newest["parent"], middle["parent"], oldest.get("parent")) == (middle["id"], oldest["id"], None)
    assert (middle["throwaway"], middle["author"]) == (True, "ann")
    assert oldest["container_config"] == {"Cmd": ["ADD <x>"]}
    assert oldest["comment"] == "first"
    assert len({newest["id"], middle["id"], oldest["id"]}) == 3
    assert write().needs_empty
    assert json.loads(write().data)["history"] == made["history"], "the same image has the same ids"


@pytest.mark.parametrize("history", [None, [], [{"created_by": "one step for two layers"}]])
def test_an_image_whose_history_does_not_fit_gets_one_of_its_layers(history):
    made = write({**CONFIG, "history": history})
    assert [one["blobSum"] for one in json.loads(made.data)["fsLayers"]] == [LAYERS[1].digest, LAYERS[0].digest]
    assert not made.needs_empty


def test_the_empty_layer_is_an_empty_tar():
    assert gzip.decompress(EMPTY_LAYER) == bytes(1024)
    assert EMPTY.digest == "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"


def test_an_image_without_layers_has_the_empty_one():
    made = write({**CONFIG, "history": []}, layers=())
    assert [one["blobSum"] for one in json.loads(made.data)["fsLayers"]] == [EMPTY.digest]
    assert made.needs_empty


def test_what_has_no_place_is_refused():
    foreign = LAYERS[0].replace(media_type=mediatype.DOCKER_LAYER_FOREIGN_GZIP, urls=("https://a.org/x",))
    with pytest.raises(Refused, match="fetched from elsewhere"):
        write(layers=(foreign,))
    for config in ([], "x", {**CONFIG, "history": 7}, {**CONFIG, "history": ["x"]}):
        with pytest.raises(Corrupt, match="not that of an image"):
            write(config)
