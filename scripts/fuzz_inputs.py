"""What the fuzz run feeds: real archives and documents, changed in ways that keep most of them readable, and made-up ones."""

from __future__ import annotations

import copy
import gzip
import io
import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "tests" / "endtoend"))
import images

from tests.storage import tarball

BLOCK = 512
PARTS = [b"a", b"b", b"d", b"..", b".", b"", b"outside", b"canary", b".wh.a", b".wh.canary", b".wh..wh..opq", b".wh...", b"\xff\xfe",
         b"x" * 90, b"x" * 256, b"/proc/self/cwd"]  # fmt: skip
# The run stands in the directory with the canary: /proc/self/cwd is an absolute way there.
KINDS = [b"0", b"\0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"x", b"g", b"L", b"K", b"S", b"V", b"M", b"Z"]
PAX_KEYS = [b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime", b"atime", b"GNU.sparse.size", b"GNU.sparse.map", b"GNU.sparse.major",
            b"GNU.sparse.minor", b"GNU.sparse.realsize", b"GNU.sparse.name", b"SCHILY.xattr.user.a", b"SCHILY.xattr.security.capability",
            b"SCHILY.xattr.system.posix_acl_access", b"LIBARCHIVE.xattr.user.b", b"hdrcharset", b"comment"]  # fmt: skip
FIELDS = [
    (0, 100),
    (100, 8),
    (108, 8),
    (116, 8),
    (124, 12),
    (136, 12),
    (148, 8),
    (156, 1),
    (157, 100),
    (257, 8),
    (345, 155),
]
WEIRD = [None, True, 0, -1, 1 << 63, 1 << 4000, 1e308, "", "x", "\0", "\ud800", "sha256:" + "0" * 64, "sha256:../../x", "a" * 10_000, [],
         {}, [[]], [None], {"a": {}}, {"": None}]  # fmt: skip
DIGEST = "sha256:" + "ab" * 32


def names() -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map(b"/".join)


def numbers() -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.integers(0, 2000).map(b"%d".__mod__),
        st.sampled_from(
            [b"", b"-1", b"1_0", b"1e3", b"9" * 30, b"9" * 5000, b"0,4", b"0,4,2,4", b"1700000000.5", b"nan", b"0x10"]
        ),
    )


@st.composite
def member(draw: st.DrawFn) -> bytes:
    """One member of a made-up archive."""
    kind = draw(st.sampled_from(KINDS))
    if kind in b"xg":
        key = st.one_of(st.sampled_from(PAX_KEYS), names())
        value = st.one_of(names(), numbers(), st.binary(max_size=40))
        return tarball.pax(draw(st.lists(st.tuples(key, value), max_size=4)), kind)
    if kind in b"LK":
        return tarball.gnu_long(kind, draw(names()) * draw(st.sampled_from([1, 1, 20, 300])))
    data = draw(st.binary(max_size=1500)) if kind in b"0\x007S" else b""
    fields = {
        "mode": draw(st.sampled_from([0, 0o644, 0o755, 0o4755, 0o7777])),
        "uid": draw(st.sampled_from([0, 1, 65534, 0o7777777])),
    }
    if draw(st.integers(0, 9)) == 0:
        fields["size_field"] = draw(
            st.sampled_from([b"\xff" * 12, b"\x80" + b"\0" * 7 + b"\x10\0\0\0", b"77777777777\0", b"0000000008\0 "])
        )
    size = len(data) if draw(st.integers(0, 9)) else draw(st.integers(0, 4000))
    return tarball.header(draw(names()), kind, size=size, link=draw(names()), **fields) + tarball.pad(data)


def made_up_archives() -> st.SearchStrategy[bytes]:
    return st.lists(member(), max_size=12).map(lambda members: b"".join(members) + tarball.END)


def real_archives() -> list[bytes]:
    """Archives as builders of images write them: OCI layers, the three formats of the standard library, sparse files, long names."""
    found = [images.application_layer(b"root:x:0:0::/:/bin/sh\n", b"root:x:0:\n"), images.whiteout_layer()]
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as tar:
            images.add(tar, "d", mode=0o755, kind=tarfile.DIRTYPE)
            images.add(tar, "d/" + "n" * 90, b"content" * 100)
            if form != tarfile.USTAR_FORMAT:
                images.add(tar, "d/" + "long/" * 40 + "f", b"deep")
                images.add(tar, "s", kind=tarfile.SYMTYPE, link="../outside/" + "t" * 150)
            images.add(tar, "h", kind=tarfile.LNKTYPE, link="d/" + "n" * 90)
            images.add(tar, "p", kind=tarfile.FIFOTYPE)
        found.append(out.getvalue())
    sparse = [
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.realsize", b"4096"),
        (b"GNU.sparse.name", b"hole"),
    ]
    found.append(tarball.pax(sparse) + tarball.file(b"x", tarball.pad(b"1\n0\n9\n") + b"123456789") + tarball.END)
    found.append(
        tarball.pax([(b"SCHILY.xattr.user.k", b"v"), (b"mtime", b"1700000000.123456789")])
        + tarball.file(b"x", b"y")
        + tarball.END
    )
    found.append(
        tarball.directory(b"a") + tarball.symlink(b"a/l", b"/outside") + tarball.file(b"a/l/f", b"z") + tarball.END
    )
    return found


@st.composite
def changed_archives(draw: st.DrawFn, bases: list[bytes]) -> bytes:
    """A real archive with blocks moved, fields replaced and bytes flipped; checksums are mended mostly, so that it is read on."""
    data = bytearray(draw(st.sampled_from(bases)))
    mend = draw(st.integers(0, 4)) > 0
    for _change in range(draw(st.integers(1, 6))):
        blocks = max(1, len(data) // BLOCK)
        at = draw(st.integers(0, blocks - 1)) * BLOCK
        way = draw(st.integers(0, 6))
        if way == 0:
            del data[at : at + BLOCK]
        elif way == 1:
            data[at:at] = data[at : at + BLOCK * draw(st.integers(1, 4))]
        elif way == 2:
            other = draw(st.sampled_from(bases))
            data[at:at] = other[: draw(st.integers(1, len(other) // BLOCK)) * BLOCK]
        elif way == 3:
            offset, width = draw(st.sampled_from(FIELDS))
            value = draw(st.one_of(names(), numbers(), st.binary(max_size=12), st.sampled_from(KINDS)))
            data[at + offset : at + offset + width] = value[:width].ljust(width, b"\0")
        elif way == 4:
            for place in draw(st.lists(st.integers(0, max(0, len(data) - 1)), max_size=8)):
                data[place : place + 1] = bytes([draw(st.integers(0, 255))])
        elif way == 5:
            del data[draw(st.integers(0, len(data))) :]
        else:
            data[at:at] = draw(member())
    if mend:
        mend_checksums(data)
    return bytes(data)


def mend_checksums(data: bytearray) -> None:
    for at in range(0, len(data) - BLOCK + 1, BLOCK):
        if data[at + 257 : at + 262] == b"ustar":
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + BLOCK])


def flipped(data: bytes, places: list[tuple[int, int]]) -> bytes:
    out = bytearray(data)
    for place, value in places:
        if out:
            out[place % len(out)] = value
    return bytes(out)


def flips() -> st.SearchStrategy[list[tuple[int, int]]]:
    return st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=6)


def packed(archives: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Archives as they come, or packed with gzip and then damaged, or cut off."""
    zipped = st.tuples(archives, flips(), st.integers(0, 3000)).map(
        lambda row: flipped(gzip.compress(row[0], 1, mtime=0), row[1])[: row[2] if row[2] < 300 else None]
    )
    return st.one_of(archives, archives, archives, zipped)


def archives() -> st.SearchStrategy[bytes]:
    return packed(st.one_of(changed_archives(real_archives()), made_up_archives()))


def spots(value: object) -> list[tuple[object, object]]:
    """Return (container, key) of everything inside a JSON value."""
    found: list[tuple[object, object]] = []
    inside = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, one in inside:
        found.append((value, key))
        found += spots(one)
    return found


@st.composite
def changed_documents(draw: st.DrawFn, bases: list[object]) -> bytes:
    """A JSON document with values exchanged, taken out, doubled or nested; sometimes bytes flipped or a part cut off."""
    document = json.loads(json.dumps(draw(st.sampled_from(bases))))
    leaf = st.one_of(
        st.sampled_from(WEIRD).map(copy.deepcopy),
        st.text(max_size=12),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
    )
    for _change in range(draw(st.integers(0, 3))):
        places = spots(document)
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        way = draw(st.integers(0, 4))
        if way == 0:
            del container[key]  # type: ignore[attr-defined]
        elif way == 1 and isinstance(container, list):
            container.extend([container[key]] * draw(st.integers(1, 50)))  # type: ignore[index]
        elif way == 2:
            container[key] = {"a": container[key]}  # type: ignore[index]
        elif way == 3 and isinstance(container, dict):
            container[draw(st.text(max_size=8))] = draw(leaf)
        else:
            container[key] = draw(leaf)  # type: ignore[index]
    data = json.dumps(document, ensure_ascii=True).encode()
    way = draw(st.integers(0, 19))
    if way == 0:
        return flipped(data, draw(flips()))
    if way == 1:
        return data[: draw(st.integers(0, len(data)))]
    if way == 2:
        return b"[" * draw(st.integers(1, 200_000))
    if way == 3:
        return data.replace(b'"', b'"\xff', 1)
    return data


@st.composite
def changed_texts(draw: st.DrawFn, bases: list[str], words: list[str]) -> bytes:
    """Texts put together from a language's own words, from pieces of good texts and from anything."""
    whole = draw(st.sampled_from(bases))
    piece = st.one_of(st.sampled_from(words), st.text(max_size=6), st.sampled_from(bases))
    for _change in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(whole)))
        end = at + draw(st.integers(0, 8))
        whole = whole[:at] + draw(piece) + whole[end:]
    return flipped(whole.encode("utf-8", "surrogateescape"), draw(flips()) if draw(st.integers(0, 9)) == 0 else [])


def descriptor(media_type: str, **more: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": DIGEST, "size": 1234, **more}


OCI, DOCKER = "application/vnd.oci.image", "application/vnd.docker"
MANIFESTS: list[object] = [
    {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": descriptor(f"{OCI}.config.v1+json"),
     "layers": [descriptor(f"{OCI}.layer.v1.tar+gzip"), descriptor(f"{OCI}.layer.v1.tar+zstd", annotations={"a": "b"}, urls=["https://host.example/x"])],
     "annotations": {"k": "v"}, "subject": descriptor(f"{OCI}.manifest.v1+json"), "artifactType": "application/x"},
    {"schemaVersion": 2, "mediaType": f"{DOCKER}.distribution.manifest.v2+json", "config": descriptor(f"{DOCKER}.container.image.v1+json"),
     "layers": [descriptor(f"{DOCKER}.image.rootfs.diff.tar.gzip"), descriptor(f"{DOCKER}.image.rootfs.foreign.diff.tar.gzip", urls=["x"])]},
    {"schemaVersion": 1, "name": "x", "fsLayers": [{"blobSum": DIGEST}], "history": [{"v1Compatibility": "{}"}]},
]  # fmt: skip
INDEXES: list[object] = [
    {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [
        descriptor(f"{OCI}.manifest.v1+json", platform={"os": "linux", "architecture": "amd64", "os.features": ["x"]}),
        descriptor(f"{OCI}.manifest.v1+json", platform={"os": "linux", "architecture": "arm64", "variant": "v8", "os.version": "1"}),
        descriptor(f"{OCI}.index.v1+json")], "annotations": {}},
    {"schemaVersion": 2, "mediaType": f"{DOCKER}.distribution.manifest.list.v2+json", "manifests": [
        descriptor(f"{DOCKER}.distribution.manifest.v2+json", platform={"os": "linux", "architecture": "amd64"})]},
]  # fmt: skip
CONFIGS: list[object] = [
    {"architecture": "amd64", "os": "linux", "variant": "v1", "created": "2026-01-02T03:04:05.123456789Z", "author": "me", "config": {
        "User": "1:2", "ExposedPorts": {"80/tcp": {}}, "Env": ["PATH=/bin", "A"], "Entrypoint": ["/x"], "Cmd": ["y"], "Volumes": {"/v": {}},
        "WorkingDir": "/w", "Labels": {"l": "v"}, "StopSignal": "SIGTERM", "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1}, "Shell": ["sh"]},
     "rootfs": {"type": "layers", "diff_ids": [DIGEST, DIGEST]}, "history": [
         {"created": "2026-01-02T03:04:05Z", "created_by": "x", "empty_layer": True}, {"comment": "c"}]},
]  # fmt: skip
STORE_INDEXES: list[object] = [
    {"schemaVersion": 2, "manifests": [
        descriptor(f"{OCI}.manifest.v1+json", annotations={"org.opencontainers.image.ref.name": "localhost/x:latest"}),
        descriptor(f"{OCI}.index.v1+json"), descriptor(f"{OCI}.manifest.v1+json", annotations={"a": "b"})]},
]  # fmt: skip
POLICIES: list[object] = [
    {"default": [{"type": "reject"}], "transports": {"docker": {
        "host.example": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k", "signedIdentity": {"type": "matchRepoDigestOrExact"}}],
        "host.example/a": [{"type": "sigstoreSigned", "keyData": "YQ==", "signedIdentity": {"type": "remapIdentity", "prefix": "docker.io/a/b", "signedPrefix": "host.example/c"}}],
        "*.example": [{"type": "sigstoreSigned", "fulcio": {"caPath": "/c", "oidcIssuer": "https://i", "subjectEmail": "a@b"}, "rekorPublicKeyPath": "/r"}],
        "": [{"type": "insecureAcceptAnything"}]}, "oci": {"/x": [{"type": "insecureAcceptAnything"}]}, "dir": {}}},
]  # fmt: skip
REGISTRIES = [
    'unqualified-search-registries = ["docker.io", "quay.io"]\nshort-name-mode = "enforcing"\n[[registry]]\nprefix = "*.example.com"\n'
    'location = "host.example/a"\ninsecure = true\nblocked = false\n[[registry.mirror]]\nlocation = "mirror.example:5000/b"\n'
    'pull-from-mirror = "digest-only"\n[aliases]\n"x" = "docker.io/library/x"\n',
    '[registries.search]\nregistries = ["a.example"]\n[registries.insecure]\nregistries = ["b.example"]\n[registries.block]\nregistries = []\n',
]  # fmt: skip
REGISTRY_WORDS = ["[[registry]]\n", "prefix=", "location=", "mirror", "[aliases]\n", '""', '"*."', "true", "[]", "{}", "1979-05-27", "nan",
                  "=", "\n", '"a/b:c@d"', "insecure=1\n", "unqualified-search-registries=", "credential-helpers=[1]\n", "[registries]\n"]  # fmt: skip
YAML = [
    "default-docker:\n  lookaside: https://host.example/s\ndocker:\n  host.example/a:\n    lookaside-staging: file:///x\n    use-sigstore-attachments: true\n"
]
YAML_WORDS = [
    "docker:\n",
    "  ",
    "- ",
    "&a ",
    "*a",
    "<<: ",
    "!!python/object:os.system ",
    "!!binary ",
    "{",
    "}",
    "[",
    "? ",
    "|\n",
    "2026-01-02",
    "null",
    "\t",
    ": ",
]
REFERENCES = ["docker.io/library/busybox:1.36", f"host.example:5000/a/b_c.d-e@{DIGEST}", "x", "localhost/x:latest", f"a/b:t@{DIGEST}",
              "docker://x/y", "oci:/dir:tag", "docker-archive:/x.tar:a:b", "oci-archive:x", "dir:/d", "[::1]:5000/x"]  # fmt: skip
REFERENCE_WORDS = [
    "/",
    ":",
    "@",
    ".",
    "..",
    "//",
    "sha256:",
    "A",
    "_",
    "__",
    "-",
    "5000",
    "\0",
    "\n",
    "%2e",
    "é",
    "a" * 300,
    "0" * 64,
]
LOGS = [
    "2026-01-02T03:04:05.123456789+00:00 stdout F hello\n2026-01-02T03:04:05.2Z stderr P part\n2026-01-02T03:04:05.3+01:00 stderr F rest\n",
    "2026-02-29T25:61:61.9-23:59 stdout P \n2026-01-02T03:04:05.123456789+00:00 stdout P x",
]
LOG_WORDS = [
    " ",
    "\n",
    "stdout",
    "stderr",
    "F",
    "P",
    "2026-01-02T03:04:05Z",
    ".",
    "+00:00",
    "\r",
    "\0",
    "٣",
    "²",
    "x" * 70_000,
    "\n" * 50,
]
TEMPLATES = ["{{.Name}}", "table {{.Name}}\\t{{.Size}}", "{{range $i, $x := .List}}{{$i}}={{$x}},{{else}}none{{end}}",
             '{{if and .Yes (not .No) | or .Zero}}{{printf "%5.2f %q %v %x" 1.5 .Name .Map .Name}}{{end}}', "{{json .}}",
             '{{with .Map}}{{index . "k"}}{{end}}{{/* c */}}{{- slice .Name 1 2 -}}', '{{join .List ","}} {{upper .Name}} {{len .Map}}',
             "{{$x := 1}}{{$x = 2}}{{eq $x 2 3}}{{lt 1 2.5}}{{break}}"]  # fmt: skip
TEMPLATE_WORDS = ["{{", "}}", "{{-", "-}}", "{{end}}", "{{else}}", "range ", "if ", "with ", "define ", "template ", "$", "$x", ":=", "|", ".", "..", "(", ")",
                  '"', "`", "'a'", "'", "1e309", "0x1p4", "1_0", "0b2", "-", "printf ", '"%999999d"', '"%*d"', '"%[3]d"', '"%.999999999f"', "slice ",
                  "index ", "pad ", "json ", "print ", ".Name", ".Map", ".List", ".No.No", "nil", "true", "/*", "*/", "{{break}}", "(" * 2000, "split ", "html "]  # fmt: skip

NETWORKS = [
    {"name": "full", "id": "84" * 32, "driver": "bridge", "network_interface": "podman4", "created": "2026-11-23T21:23:47.68Z",
     "subnets": [{"subnet": "10.77.0.0/24", "gateway": "10.77.0.7", "lease_range": {"start_ip": "10.77.0.9", "end_ip": "10.77.0.255"}}],
     "routes": [{"destination": "10.5.0.0/24", "gateway": "10.77.0.9", "metric": 5}], "ipv6_enabled": False, "internal": True,
     "dns_enabled": True, "network_dns_servers": ["192.0.2.53"], "labels": {"a": "b"}, "options": {"mtu": "1400"},
     "ipam_options": {"driver": "host-local"}},
]  # fmt: skip
# Questions for A, AAAA, PTR and ANY, one with EDNS, an answer, one with a pointer that goes round.
QUERIES = [
    bytes.fromhex(text)
    for text in (
        "12340100000100000000000003777777000001000103777777",
        "1234010000010000000000010377656203646e7306706f646d616e00001c00010000291000000000000000",
        "12340100000100000000000001320131023839023130" + "07696e2d61646472046172706100000c0001",
        "123401000001000000000000026462" + "00" + "00ff0001",
        "123481800001000100000000037777770000010001c00c00010001000000000004c0000201",
        "12340100000100000000000003777777c00c00010001",
    )
]


def changed_messages() -> st.SearchStrategy[bytes]:
    """Return messages with some bytes changed, cut off or repeated."""

    def change(message: bytes, changes: dict[int, int], end: int, more: bytes) -> bytes:
        data = bytearray(message)
        for at, value in changes.items():
            data[at % len(data)] = value
        return bytes(data[: len(data) - end]) + more

    odd = st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 0x3F, 0x40, 0xC0, 0xFF]))
    return st.one_of(
        st.binary(max_size=100),
        st.builds(
            change,
            st.sampled_from(QUERIES),
            st.dictionaries(st.integers(0, 60), odd, max_size=5),
            st.integers(0, 8),
            st.one_of(st.just(b""), st.binary(max_size=20), st.binary(max_size=4).map(lambda part: part * 100)),
        ),
    )


Make = Callable[[], st.SearchStrategy[bytes]]
INPUTS: dict[str, Make] = {
    "tar": archives,
    "manifest": lambda: changed_documents(MANIFESTS),
    "index": lambda: changed_documents(INDEXES),
    "config": lambda: changed_documents(CONFIGS),
    "store-index": lambda: changed_documents(STORE_INDEXES),
    "reference": lambda: changed_texts(REFERENCES, REFERENCE_WORDS),
    "policy": lambda: changed_documents(POLICIES),
    "registries": lambda: changed_texts(REGISTRIES, REGISTRY_WORDS),
    "registries.d": lambda: changed_texts(YAML, YAML_WORDS),
    "log": lambda: changed_texts(LOGS, LOG_WORDS),
    "template": lambda: changed_texts(TEMPLATES, TEMPLATE_WORDS),
    "network": lambda: changed_documents(NETWORKS),
    "dns": changed_messages,
}
