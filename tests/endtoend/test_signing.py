"""Images signed on their way out: skopeo, podman and rpod itself say whether the signature is good."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pty
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import images
import pytest
from conftest import Rpod
from registries import Registry, require

pytestmark = [pytest.mark.registry, pytest.mark.peer]

PASSPHRASE = "two words"


class Gpg:
    """A keyring of its own; ``free@example.org`` has no passphrase, ``locked@example.org`` has."""

    def __init__(self, home: str) -> None:
        self.home = home
        for mail, passphrase in (("free@example.org", ""), ("locked@example.org", PASSPHRASE)):
            self("--passphrase", passphrase, "--quick-gen-key", f"Somebody <{mail}>", "ed25519", "sign", "never")

    def __call__(self, *words: str, stdin: bytes | None = None) -> bytes:
        argv = ["gpg", "--homedir", self.home, "--batch", "--yes", "--pinentry-mode", "loopback", *words]
        return subprocess.run(argv, check=True, capture_output=True, timeout=60, input=stdin).stdout

    def fingerprint(self, mail: str) -> str:
        listed = self("--with-colons", "--list-keys", mail).decode().splitlines()
        return next(line.split(":")[9] for line in listed if line.startswith("fpr"))

    def end(self) -> None:
        """End the agent, which remembers passphrases."""
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"], timeout=30, check=False)


@pytest.fixture(scope="module")
def gpg() -> Iterator[Gpg]:
    require("gpg")
    # A socket's path must be short.
    home = tempfile.mkdtemp(prefix="rpod-gpg-")
    made = Gpg(home)
    yield made
    made.end()
    shutil.rmtree(home, ignore_errors=True)


class Place:
    """A registry, the user's configuration for it, and rpod and skopeo that use both."""

    def __init__(self, rpod: Rpod, registry: Registry, gpg: Gpg, room: Path) -> None:
        self.registry, self.gpg, self.room = registry, gpg, room
        self.address = registry.address
        self.store, self.config = room / "lookaside", room / "config"
        (self.config / "containers/registries.d").mkdir(parents=True)
        self.env = {"XDG_CONFIG_HOME": str(self.config), "GNUPGHOME": gpg.home}
        self.rpod = rpod.with_options(env=self.env)
        self.configure(f"default-docker:\n  lookaside-staging: file://{self.store}\n  lookaside: file://{self.store}\n")

    def configure(self, text: str) -> None:
        (self.config / "containers/registries.d/a.yaml").write_text(text)

    def trust(self, **requirement: object) -> Path:
        """Have the policy require one kind of signature from the registry."""
        path = self.config / "containers/policy.json"
        rules = {"docker": {self.address: [requirement]}}
        path.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}], "transports": rules}))
        return path

    def trust_key(self, mail: str) -> Path:
        key = self.room / f"{mail}.gpg"
        key.write_bytes(self.gpg("--export", mail))
        return self.trust(type="signedBy", keyType="GPGKeys", keyPath=str(key))

    def push(self, image: str, name: str, *options: str) -> str:
        return self.rpod("push", "-q", "--tls-verify=false", *options, image, f"{self.address}/{name}")

    def skopeo_takes(self, name: str, policy: Path) -> bool:
        target = tempfile.mkdtemp(dir=self.room)
        words = ["skopeo", "--policy", str(policy), "--registries.d", str(self.config / "containers/registries.d")]
        words += ["copy", "-q", "--src-tls-verify=false", "--remove-signatures"]
        words += [f"docker://{self.address}/{name}", f"dir:{target}"]
        return subprocess.run(words, check=False, capture_output=True, timeout=120).returncode == 0

    def rpod_takes(self, name: str) -> bool:
        done = self.rpod.run("pull", "-q", "--tls-verify=false", f"{self.address}/{name}")
        assert done.returncode in (0, 125), done.stderr
        return done.returncode == 0

    def digest(self, name: str) -> str:
        repository, _colon, tag = name.partition(":")
        link = self.registry.place / f"data/docker/registry/v2/repositories/{repository}/_manifests/tags/{tag}"
        return (link / "current/link").read_text().strip()

    def signatures(self, name: str) -> list[Path]:
        """Return the files of the lookaside store about an image."""
        directory = self.store / f"{name.partition(':')[0]}@{self.digest(name).replace(':', '=')}"
        return sorted(directory.glob("signature-*"))

    def payload(self, signature: Path) -> dict[str, dict[str, object]]:
        found: dict[str, dict[str, object]] = json.loads(self.gpg("--decrypt", str(signature)))
        return found


@pytest.fixture
def place(rpod: Rpod, gpg: Gpg, tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "registry").mkdir()
    registry = Registry(tmp_path / "registry")
    yield Place(rpod, registry, gpg, tmp_path)
    registry.stop()


@pytest.fixture
def image(rpod: Rpod, tmp_path: Path) -> str:
    images.zstd_layout(tmp_path / "layout")
    return rpod("pull", "-q", f"oci:{tmp_path}/layout:mixed").strip()


@pytest.mark.covers("push --sign-by")
def test_what_is_signed_by_a_key_of_gpg_skopeo_and_rpod_take_and_nothing_else(place: Place, image: str) -> None:
    place.push(image, "team/app:1", "--sign-by", "free@example.org")
    place.push(image, "team/bare:1")
    (signature,) = place.signatures("team/app:1")
    claim = place.payload(signature)
    assert claim["critical"] == {
        "identity": {"docker-reference": f"{place.address}/team/app:1"},
        "image": {"docker-manifest-digest": place.digest("team/app:1")},
        "type": "atomic container signature",
    }
    assert set(claim["optional"]) == {"creator", "timestamp"}
    policy = place.trust_key("free@example.org")
    taken = {name: (place.skopeo_takes(name, policy), place.rpod_takes(name)) for name in ("team/app:1", "team/bare:1")}
    assert taken == {"team/app:1": (True, True), "team/bare:1": (False, False)}
    policy = place.trust_key("locked@example.org")
    assert (place.skopeo_takes("team/app:1", policy), place.rpod_takes("team/app:1")) == (False, False)


@pytest.mark.covers("push --sign-passphrase-file")
def test_a_key_with_a_passphrase_signs_with_its_file_and_not_without(place: Place, image: str) -> None:
    secret = place.room / "secret"
    secret.write_text(f"{PASSPHRASE}\nanother line\n")
    wrong = place.room / "wrong"
    wrong.write_text("another")
    locked = ["--sign-by", place.gpg.fingerprint("locked@example.org")]
    place.gpg.end()  # or it remembers the passphrase from making the key
    target = f"{place.address}/app:1"
    said = place.rpod.error(
        "push", "-q", "--tls-verify=false", *locked, "--sign-passphrase-file", str(wrong), image, target
    )
    assert "Bad passphrase" in said
    assert not (place.registry.place / "data/docker/registry/v2/repositories/app").exists()
    place.push(image, "app:1", *locked, "--sign-passphrase-file", str(secret))
    assert place.skopeo_takes("app:1", place.trust_key("locked@example.org"))


def test_signatures_of_others_stay_and_one_s_own_is_replaced(place: Place, image: str) -> None:
    secret = place.room / "secret"
    secret.write_text(PASSPHRASE)
    free = ("--sign-by", "free@example.org")
    place.push(image, "app:1", *free)
    place.push(image, "app:1", "--sign-by", "locked@example.org", "--sign-passphrase-file", str(secret))
    place.push(image, "app:2", *free)
    place.push(image, "app:1", *free)
    assert [one.name for one in place.signatures("app:1")] == ["signature-1", "signature-2", "signature-3"]
    assert [place.payload(one)["critical"]["identity"] for one in place.signatures("app:1")] == [
        {"docker-reference": f"{place.address}/app:{tag}"} for tag in (1, 1, 2)
    ]
    for mail in ("free@example.org", "locked@example.org"):
        assert place.skopeo_takes("app:1", place.trust_key(mail))


def test_nothing_is_sent_where_no_signature_can_be_made_or_kept(place: Place, image: str) -> None:
    target = f"docker://{place.address}/app:1"
    tried = ("push", "-q", "--tls-verify=false", "--sign-by")
    assert 'key "nobody@example.org" not found' in place.rpod.error(*tried, "nobody@example.org", image, target)
    free = (*tried, "free@example.org", image)
    assert "docker tar files" in place.rpod.error(*free, f"docker-archive:{place.room}/a.tar:x/y:1")
    for kind, words in (("oci", "OCI images"), ("oci-archive", "OCI images"), ("dir", "canonical Docker reference")):
        assert words in place.rpod.error(*free, f"{kind}:{place.room}/{kind}")
    place.configure("default-docker:\n  lookaside: https://signatures.example.org\n")
    assert "lookaside is not supported" in place.rpod.error(*free, target)
    said = place.rpod.with_options(env={"RPOD_PROGRAM_PATH": "/nowhere"}).error(*free, target)
    assert "gpg is not installed" in said
    assert "apt install gnupg" in said
    assert not (place.registry.place / "data/docker/registry/v2/repositories/app").exists()
    assert not list(place.room.glob("oci*"))
    assert "keeps no signatures" in place.rpod.error(
        "copy", "--sign-by", "free@example.org", f"containers-storage:{image}", "containers-storage:other"
    )


def test_a_directory_holds_its_signature_beside_the_manifest(place: Place, image: str) -> None:
    name = "registry.example.org/team/app:7"
    words = ("copy", "-q", f"containers-storage:{image}", f"dir:{place.room}/dir")
    place.rpod(*words, "--sign-by", "free@example.org", "--sign-identity", name)
    payload = place.payload(place.room / "dir/signature-1")
    assert payload["critical"]["identity"] == {"docker-reference": name}
    digest = hashlib.sha256((place.room / "dir/manifest.json").read_bytes()).hexdigest()
    assert payload["critical"]["image"] == {"docker-manifest-digest": f"sha256:{digest}"}
    key = place.room / "key.gpg"
    key.write_bytes(place.gpg("--export", "free@example.org"))
    rule = {"type": "signedBy", "keyType": "GPGKeys", "keyPath": str(key)}
    rule["signedIdentity"] = {"type": "exactReference", "dockerReference": name}  # type: ignore[assignment]
    policy = place.room / "policy.json"
    policy.write_text(json.dumps({"default": [{"type": "reject"}], "transports": {"dir": {"": [rule]}}}))
    taken = subprocess.run(
        ["skopeo", "--policy", policy, "copy", "-q", f"dir:{place.room}/dir", f"dir:{place.room}/again"],
        check=False, capture_output=True, timeout=60,
    )  # fmt: skip
    assert taken.returncode == 0, taken.stderr
    place.rpod("pull", "-q", "--signature-policy", str(policy), f"dir:{place.room}/dir")
    # What was signed before does not stay beside another image.
    place.rpod(*words)
    assert not (place.room / "dir/signature-1").exists()
    assert place.rpod.error("pull", "-q", "--signature-policy", str(policy), f"dir:{place.room}/dir")


def test_a_list_and_its_images_are_all_signed(place: Place, image: str) -> None:
    place.rpod("manifest", "create", "both", image)
    place.rpod(
        "manifest", "push", "-q", "--tls-verify=false", "--sign-by", "free@example.org", "both",
        f"{place.address}/list:1",
    )  # fmt: skip
    assert len(list(place.store.glob("list@sha256=*/signature-1"))) == 2
    policy = place.trust_key("free@example.org")
    assert place.skopeo_takes("list:1", policy)
    assert place.rpod_takes("list:1")


def test_what_is_in_a_registry_already_is_signed_there(place: Place, image: str) -> None:
    place.push(image, "team/app:1")
    free = ("image", "sign", "--tls-verify=false", "--sign-by", "free@example.org")
    target = f"docker://{place.address}/team/app:1"
    assert place.rpod(*free, target) == ""
    policy = place.trust_key("free@example.org")
    assert place.skopeo_takes("team/app:1", policy)
    assert place.rpod_takes("team/app:1")
    other = place.room / "other"
    said = place.rpod.error(*free, "--directory", str(other), target)
    assert str(other) in said
    other.mkdir()
    place.rpod(*free, "--directory", str(other), target)
    assert [one.name for one in other.glob("team/*/*")] == ["signature-1"]
    assert "not a multi-architecture image" in place.rpod.error(*free, "--all", target)
    assert "please provide an identity" in place.rpod.error("image", "sign", target)
    assert "canonical Docker reference" in place.rpod.error(*free, f"dir:{place.room}")
    place.rpod("manifest", "create", "both", image)
    place.rpod("manifest", "push", "-q", "--tls-verify=false", "both", f"{place.address}/list:1")
    place.rpod(*free, "--all", f"docker://{place.address}/list:1")
    assert len(list(place.store.glob("list@sha256=*/signature-1"))) == 2


class SigstoreKey:
    """A key pair as ``cosign generate-key-pair`` writes it. Source: go-securesystemslib, ``encrypted``."""

    def __init__(self, place: Path, kind: str = "SIGSTORE") -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from nacl.secret import SecretBox

        private = ec.generate_private_key(ec.SECP256R1())
        der = private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        salt, nonce = os.urandom(32), os.urandom(24)
        secret = hashlib.scrypt(PASSPHRASE.encode(), salt=salt, n=32768, r=8, p=1, maxmem=1 << 27, dklen=32)

        def text(data: bytes) -> str:
            return base64.b64encode(data).decode()

        box = {
            "kdf": {"name": "scrypt", "params": {"N": 32768, "r": 8, "p": 1}, "salt": text(salt)},
            "cipher": {"name": "nacl/secretbox", "nonce": text(nonce)},
            "ciphertext": text(SecretBox(secret).encrypt(der, nonce).ciphertext),
        }
        title = f"ENCRYPTED {kind} PRIVATE KEY"
        self.private, self.public, self.passphrase = place / f"{kind}.key", place / f"{kind}.pub", place / "passphrase"
        body = text(json.dumps(box).encode())
        self.private.write_text(f"-----BEGIN {title}-----\n{body}\n-----END {title}-----\n")
        self.passphrase.write_text(f"{PASSPHRASE}\n")
        public = private.public_key()
        self.public.write_bytes(
            public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )

    def options(self) -> tuple[str, ...]:
        return "--sign-by-sigstore-private-key", str(self.private), "--sign-passphrase-file", str(self.passphrase)


@pytest.mark.covers("push --sign-by-sigstore-private-key")
def test_a_sigstore_signature_lies_beside_the_image_with_those_of_others(place: Place, image: str) -> None:
    mine, theirs = SigstoreKey(place.room), SigstoreKey(place.room, "COSIGN")
    target = f"{place.address}/app:1"
    said = place.rpod.error("push", "-q", "--tls-verify=false", *mine.options(), image, target)
    assert "writing sigstore attachments is disabled by configuration" in said
    place.configure("default-docker:\n  use-sigstore-attachments: true\n")
    for key in (mine, theirs, mine):
        place.push(image, "app:1", *key.options())
    tag = f"{place.digest('app:1').replace(':', '-')}.sig"
    words = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{place.address}/app:{tag}"]
    manifest = json.loads(subprocess.run(words, check=True, capture_output=True, timeout=60).stdout)
    assert [one["mediaType"] for one in manifest["layers"]] == [
        "application/vnd.dev.cosign.simplesigning.v1+json"
    ] * 2, "one's own is replaced"
    assert all("dev.cosignproject.cosign/signature" in one["annotations"] for one in manifest["layers"])
    place.push(image, "bare:1")
    for key in (mine, theirs):
        place.trust(type="sigstoreSigned", keyPath=str(key.public))
        assert place.rpod_takes("app:1")
        assert not place.rpod_takes("bare:1")
    stranger = SigstoreKey(place.registry.place)
    place.trust(type="sigstoreSigned", keyPath=str(stranger.public))
    assert not place.rpod_takes("app:1")


def test_a_sigstore_key_that_can_t_be_opened_is_refused_before_anything_is_sent(place: Place, image: str) -> None:
    place.configure("default-docker:\n  use-sigstore-attachments: true\n")
    key = SigstoreKey(place.room)
    wrong = place.room / "wrong"
    wrong.write_text("another\n")
    target = f"{place.address}/app:1"
    tried = ("push", "-q", "--tls-verify=false", "--sign-by-sigstore-private-key")
    said = place.rpod.error(*tried, str(key.private), "--sign-passphrase-file", str(wrong), image, target)
    assert "passphrase does not open" in said
    assert "not a TTY" in place.rpod.error(*tried, str(key.private), image, target)
    assert "no private key of sigstore" in place.rpod.error(*tried, str(key.public), image, target)
    assert "only one of" in place.rpod.error(*tried[:3], "--sign-by", "free@example.org", *key.options(), image, target)
    assert not (place.registry.place / "data/docker/registry/v2/repositories/app").exists()


def test_a_passphrase_is_asked_for_on_the_terminal_and_not_shown(place: Place, image: str) -> None:
    place.configure("default-docker:\n  use-sigstore-attachments: true\n")
    key = SigstoreKey(place.room)
    argv = place.rpod.argv(
        "push", "-q", "--tls-verify=false", "--sign-by-sigstore-private-key", str(key.private), image,
        f"{place.address}/app:1",
    )  # fmt: skip
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(argv[0], argv, place.rpod.env)  # noqa: S606 - nothing else runs here
    said = b""
    while b"Passphrase for key" not in said or not said.endswith(b": "):
        said += os.read(terminal, 4096)
    os.write(terminal, f"{PASSPHRASE}\n".encode())
    try:
        while more := os.read(terminal, 4096):
            said += more
    except OSError:
        pass  # the other end is closed: EIO
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said
    assert PASSPHRASE.encode() not in said
    place.trust(type="sigstoreSigned", keyPath=str(key.public))
    assert place.rpod_takes("app:1")


def test_a_file_of_parameters_names_the_sigstore_key(place: Place, image: str) -> None:
    place.configure("default-docker:\n  use-sigstore-attachments: true\n")
    key, params = SigstoreKey(place.room), place.room / "params.yaml"
    params.write_text(f"privateKeyFile: {key.private}\nprivateKeyPassphraseFile: {key.passphrase}\n")
    place.push(image, "app:1", "--sign-by-sigstore", str(params))
    place.trust(type="sigstoreSigned", keyPath=str(key.public))
    assert place.rpod_takes("app:1")
    params.write_text(f"privateKeyFile: {key.private}\nrekorURL: https://rekor.example.org\n")
    said = place.rpod.error(
        "push", "-q", "--tls-verify=false", "--sign-by-sigstore", str(params), image, f"{place.address}/app:2"
    )
    assert "Rekor" in said
