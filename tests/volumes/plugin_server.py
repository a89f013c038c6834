"""A volume plugin: directories below one place, and a log of what was asked of it.

plugin_server.py SOCKET DIRECTORY LOG
"""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import sys
from typing import Any

SOCKET, PLACE, LOG = sys.argv[1:4] if len(sys.argv) > 3 else ("", "", "")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        with open(LOG, "a") as log:
            log.write(f"{self.path.rpartition('.')[2]} {asked.get('Name', '')}".rstrip() + "\n")
        error, answer = self.act(self.path.rpartition("/")[2], asked)
        body = json.dumps({**answer, "Err": error}).encode()
        self.send_response(500 if error else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def act(self, action: str, asked: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        name = asked.get("Name", "")
        path = f"{PLACE}/{name}"
        if action == "Plugin.Activate":
            return "", {"Implements": ["VolumeDriver"]}
        if action == "VolumeDriver.List":
            return "", {"Volumes": [{"Name": one} for one in sorted(os.listdir(PLACE))]}
        if action == "VolumeDriver.Create":
            if "bad" in (asked.get("Opts") or {}):
                return "bad option", {}
            os.makedirs(path)
            return "", {}
        if not os.path.isdir(path):
            return "no such volume", {}
        if action == "VolumeDriver.Remove":
            os.rename(path, f"{os.path.dirname(PLACE)}/removed-{name}")
            return "", {}
        if action == "VolumeDriver.Get":
            return "", {"Volume": {"Name": name, "Mountpoint": path, "Status": {"place": "here"}}}
        return "", {"Mountpoint": path}

    def log_message(self, *_words: Any) -> None:
        pass


class Server(socketserver.UnixStreamServer):
    def get_request(self) -> tuple[Any, Any]:
        connection, _address = super().get_request()
        return connection, ("plugin", 0)


if __name__ == "__main__":
    with Server(SOCKET, Handler) as server:
        server.serve_forever()
