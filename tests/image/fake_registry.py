"""A registry with faults on demand, as a process of its own: ``fake_registry.py DIRECTORY``.

DIRECTORY has ``faults.json``, ``manifests/NAME`` (their first line is the media type) and ``blobs/sha256:HEX``; the
port goes to ``port``, every request to ``requests`` (one JSON line each).
"""

import base64
import json
import os
import pathlib
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ROOT = pathlib.Path(sys.argv[1])
COUNTS: dict[str, int] = {}


def faults() -> dict:
    return json.loads((ROOT / "faults.json").read_text())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args):
        pass

    def do_POST(self):
        length = int(self.headers.get("Content-Length", "0"))
        self.form = {key: values[0] for key, values in parse_qs(self.rfile.read(length).decode()).items()}
        self.do_GET()

    def do_GET(self):
        url = urlsplit(self.path)
        self.note()
        rules = faults()
        if url.path == "/token":
            return self.token(parse_qs(url.query), rules)
        busy = rules.get("busy", {})
        if COUNTS.setdefault("busy", 0) < busy.get("times", 0):
            COUNTS["busy"] += 1
            return self.answer(
                busy["status"], b"{}", {"Retry-After": busy["retry_after"]} if "retry_after" in busy else {}
            )
        if not self.allowed(rules):
            return None
        _root, _v2, rest = url.path.split("/", 2)
        if "/blobs/" in rest or rest.startswith("elsewhere/"):
            return self.blob(rest.rsplit("/", 1)[1], rest, rules)
        if "/manifests/" in rest:
            return self.manifest(rest.rsplit("/", 1)[1], rules)
        if rest.endswith("/tags/list"):
            return self.answer(200, json.dumps({"tags": rules.get("tags", [])}).encode(), {})
        return self.answer(404, b'{"errors":[{"code":"UNKNOWN","message":"no such thing"}]}', {})

    def note(self):
        line = {
            "method": self.command,
            "path": self.path,
            "authorization": self.headers.get("Authorization"),
            "range": self.headers.get("Range"),
            "form": getattr(self, "form", None),
        }
        with open(ROOT / "requests", "a") as file:
            file.write(json.dumps(line) + "\n")

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def token(self, query, rules):
        COUNTS["tokens"] = COUNTS.get("tokens", 0) + 1
        expected = rules.get("token_credentials")
        sent = self.headers.get("Authorization", "").removeprefix("Basic ")
        form = getattr(self, "form", {})
        if expected and base64.b64decode(sent).decode() != expected and form.get("refresh_token") != expected:
            return self.answer(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}', {})
        scope = form.get("scope") or query.get("scope", [""])[0]
        return self.answer(200, json.dumps({"token": f"{scope}#{COUNTS['tokens']}"}).encode(), {})

    def allowed(self, rules):
        if "realm" not in rules:
            return True
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        scope, _hash, number = token.partition("#")
        uses = COUNTS[f"token {number}"] = COUNTS.get(f"token {number}", 0) + 1
        if token and scope == rules["scope"] and uses <= rules.get("token_requests", 1_000_000):
            return True
        challenge = f'Bearer realm="{rules["realm"]}",service="fake",scope="{rules["scope"]}"'
        self.answer(401, b"{}", {"WWW-Authenticate": challenge})
        return False

    def manifest(self, name, rules):
        path = ROOT / "manifests" / name
        if not path.exists():
            return self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}', {})
        media_type, _newline, data = path.read_bytes().partition(b"\n")
        headers = {"Content-Type": media_type.decode()}
        if "announce_digest" in rules:
            headers["Docker-Content-Digest"] = rules["announce_digest"]
        return self.answer(200, data, headers)

    def blob(self, digest, rest, rules):
        if "redirect" in rules and not rest.startswith("elsewhere/"):
            return self.answer(307, b"", {"Location": rules["redirect"] + digest})
        path = ROOT / "blobs" / digest
        if not path.exists():
            return self.answer(404, b"{}", {})
        data = path.read_bytes()
        start = 0
        given = self.headers.get("Range")
        if given and not rules.get("no_ranges"):
            start = int(given.removeprefix("bytes=").rstrip("-"))
        headers = {"Content-Length": str(len(data) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        end = len(data)
        cut = rules.get("cut", {}).get(digest)
        seen = COUNTS.get(digest, 0)
        if cut and seen < cut["times"]:
            COUNTS[digest] = seen + 1
            end = min(end, start + cut["after"])
        self.send_response(206 if start else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(data[start:end])
        except ConnectionError:
            self.close_connection = True
        if end < len(data):
            self.wfile.flush()
            self.close_connection = True
        return None


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if (ROOT / "tls.pem").exists():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(ROOT / "tls.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    temporary = ROOT / "port.tmp"
    temporary.write_text(str(server.server_address[1]))
    os.rename(temporary, ROOT / "port")
    server.serve_forever()
