"""A registry that takes uploads, inside the test's process, with faults on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class UploadRegistry:
    """State and faults; ``requests`` are (method, path, headers) in order.

    ``cut``: bytes after which the connection of an upload breaks, once each. ``keeps_partial``: whether what came
    before is kept. ``refuses_large``: monolithic PUTs are answered with 413. ``realm``: tokens are wanted.
    """

    def __init__(self):
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.cut: list[int] = []
        self.keeps_partial = True
        self.refuses_large = False
        self.upload_base = ""
        self.rejected_manifests: tuple[str, ...] = ()
        self.statuses: list[tuple[str, int, dict[str, str]]] = []
        self.tokens = False
        self.token_scopes: list[list[str]] = []
        self.account = ""
        self.lock = threading.Lock()
        registry = self

        class Bound(_Handler):
            state = registry

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def methods(self, method):
        return [path for name, path, _headers in self.requests if name == method]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: UploadRegistry

    def log_message(self, *_args):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        state = self.state
        url = urlsplit(self.path)
        with state.lock:
            state.requests.append((self.command, self.path, dict(self.headers.items())))
            planned = next((one for one in state.statuses if one[0] == self.command), None)
            if planned:
                state.statuses.remove(planned)
        if planned:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            return self.answer(planned[1], b'{"errors":[{"message":"planned"}]}', planned[2])
        if url.path == "/token":
            return self.token(url)
        if not self.allowed(url):
            return None
        for pattern, function in (
            (r"/v2/", self.version),
            (r"/v2/(.+)/blobs/uploads/([^/]*)", self.upload),
            (r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})", self.blob),
            (r"/v2/(.+)/manifests/([^/]+)", self.manifest),
            (r"/v2/(.+)/referrers/([^/]+)", self.referrers),
            (r"/v2/_catalog", self.catalog),
            (r"/v1/search", self.search),
        ):
            found = re.fullmatch(pattern, url.path)
            if found:
                return function(*found.groups(), parse_qs(url.query))
        return self.answer(404, b'{"errors":[{"message":"no such thing"}]}')

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_any

    def token(self, url):
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        if self.state.account and base64.b64decode(given).decode() != self.state.account:
            return self.answer(401, b'{"errors":[{"message":"who are you"}]}')
        scopes = parse_qs(url.query).get("scope", [])
        self.state.token_scopes.append(scopes)
        return self.answer(
            200, json.dumps({"token": base64.b64encode(" ".join(scopes or ["none"]).encode()).decode()}).encode()
        )

    def allowed(self, url):
        state = self.state
        given = self.headers.get("Authorization", "")
        if not state.tokens:
            if not state.account or given == "Basic " + base64.b64encode(state.account.encode()).decode():
                return True
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="test"'})
            return False
        found = re.match(r"/v2/(.+?)/(blobs|manifests|tags|referrers)/", url.path)
        place = f"repository:{found.group(1)}" if found else ""
        action = "pull" if self.command in ("GET", "HEAD") else "pull,push"
        if given.startswith("Bearer "):
            granted = base64.b64decode(given.removeprefix("Bearer ")).decode().split()
            if not place or f"{place}:pull,push" in granted or f"{place}:{action}" in granted:
                return True
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        scope = f',scope="{place}:{action}"' if place else ""
        self.answer(401, b"{}", {"WWW-Authenticate": f'Bearer realm="http://{state.host}/token",service="test"{scope}'})
        return False

    def version(self, _query):
        self.answer(200, b"{}")

    def blob(self, repository, digest, _query):
        data = self.state.blobs.get((repository, digest))
        self.answer(200 if data is not None else 404, data or b"")

    def upload(self, repository, name, query):
        state = self.state
        if self.command == "POST":
            mount, source = query.get("mount", [""])[0], query.get("from", [""])[0]
            if (source, mount) in state.blobs:
                state.blobs[repository, mount] = state.blobs[source, mount]
                return self.answer(201)
            name = uuid.uuid4().hex
            state.uploads[name] = b""
            return self.answer(202, b"", {"Location": self.location(repository, name)})
        if name not in state.uploads:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            return self.answer(404, b'{"errors":[{"message":"upload unknown"}]}')
        if self.command == "GET":
            held = len(state.uploads[name])
            return self.answer(
                204, b"", {"Range": f"0-{max(held - 1, 0)}", "Location": self.location(repository, name)}
            )
        return self.take(repository, name, query)

    def location(self, repository, name):
        return f"{self.state.upload_base}/v2/{repository}/blobs/uploads/{name}?state={len(self.state.uploads[name])}"

    def take(self, repository, name, query):
        state = self.state
        size = int(self.headers.get("Content-Length", "0"))
        if self.command == "PUT" and size and state.refuses_large:
            self.rfile.read(size)
            return self.answer(413)
        if self.command == "PATCH":
            start = int(self.headers["Content-Range"].partition("-")[0])
            if start != len(state.uploads[name]):
                self.rfile.read(size)
                return self.answer(416)
        if size and state.cut:
            part = self.rfile.read(min(size, state.cut.pop(0)))
            state.uploads[name] = state.uploads[name] + part if state.keeps_partial else b""
            if not state.keeps_partial:
                del state.uploads[name]
            self.close_connection = True
            self.connection.close()
            return None
        state.uploads[name] += self.rfile.read(size)
        if self.command == "PATCH":
            return self.answer(202, b"", {"Location": self.location(repository, name)})
        data = state.uploads.pop(name)
        digest = query.get("digest", ["none"])[0]
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            return self.answer(400, b'{"errors":[{"message":"digest invalid"}]}')
        state.blobs[repository, digest] = data
        return self.answer(201)

    def manifest(self, repository, reference, _query):
        state = self.state
        if self.command == "PUT":
            data = self.rfile.read(int(self.headers["Content-Length"]))
            kind = self.headers["Content-Type"]
            if kind in state.rejected_manifests:
                return self.answer(400, b'{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid"}]}')
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            for name in (reference, digest):
                state.manifests[repository, name] = (kind, data)
            return self.answer(201, b"", {"Docker-Content-Digest": digest})
        kind, data = state.manifests.get((repository, reference), ("", b""))
        if not data:
            return self.answer(404, b'{"errors":[{"message":"manifest unknown"}]}')
        return self.answer(200, data, {"Content-Type": kind})

    def referrers(self, _repository, _digest, _query):
        self.answer(404, b"404 page not found")

    def catalog(self, query):
        names = sorted({repository for repository, _name in self.state.manifests})
        last = query.get("last", [""])[0]
        page = [name for name in names if name > last][:2]
        more = {"Link": f'</v2/_catalog?n=2&last={page[-1]}>; rel="next"'} if page and page[-1] != names[-1] else {}
        self.answer(200, json.dumps({"repositories": page}).encode(), more)

    def search(self, _query):
        self.answer(404)
