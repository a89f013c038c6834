"""A docker-registry on loopback that tests fill, damage, slow down and count the requests of."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from conftest import free_port


def require(*programs: str) -> None:
    """Skip the test where a program is not installed; in CI that is a failure."""
    for program in programs:
        if shutil.which(program) is None:
            if os.environ.get("CI"):
                pytest.fail(f"{program} is not installed, and CI must have it")
            pytest.skip(f"{program} is not installed")


class Registry:
    """One server with a data directory of its own; ``accounts`` (user → password) makes it ask who you are.

    ``more``: lines of its configuration.
    """

    def __init__(self, place: Path, accounts: dict[str, str] | None = None, more: str = "") -> None:
        require("docker-registry", "skopeo")
        self.place, self.port = place, free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._credentials = next(iter((accounts or {}).items()), None)
        config = (
            f"version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: false\n"
            f"storage:\n  filesystem:\n    rootdirectory: {place}/data\nhttp:\n  addr: {self.address}\n"
        )
        config += more
        if accounts:
            require("htpasswd")
            for user, password in accounts.items():
                made = "" if (place / "htpasswd").exists() else "c"
                words = ["htpasswd", f"-{made}bBC", "4", str(place / "htpasswd"), user, password]
                subprocess.run(words, check=True, capture_output=True)
            config += f"auth:\n  htpasswd:\n    realm: tests\n    path: {place}/htpasswd\n"
        (place / "config.yml").write_text(config)
        self.log = place / "access.log"
        with self.log.open("ab") as log:
            words = ["docker-registry", "serve", str(place / "config.yml")]
            self._server = subprocess.Popen(words, stdout=log, stderr=subprocess.DEVNULL)
        for _ in range(400):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        pytest.fail(f"docker-registry does not answer on {self.address}")

    def stop(self) -> None:
        self._server.terminate()
        self._server.wait(10)

    def push(self, source: str, name: str, *options: str) -> str:
        """Copy ``source`` (as skopeo names it) here, blobs as they are unless ``options`` say else; return its digest here."""
        words = ["skopeo", "copy", "-q", "--dest-tls-verify=false", *(options or ("--preserve-digests",))]
        if self._credentials:
            words += ["--dest-creds", ":".join(self._credentials)]
        subprocess.run(
            [*words, source, f"docker://{self.address}/{name}"], check=True, capture_output=True, timeout=300
        )
        repository, _colon, tag = name.partition(":")
        link = self.place / f"data/docker/registry/v2/repositories/{repository}/_manifests/tags/{tag}/current/link"
        return link.read_text().strip()

    def blob(self, digest: str) -> Path:
        """Return the file in which the registry keeps a blob."""
        name = digest.removeprefix("sha256:")
        return self.place / f"data/docker/registry/v2/blobs/sha256/{name[:2]}/{name}/data"

    def fetched(self) -> list[str]:
        """Return the digests of the blobs handed out so far, in order."""
        text = self.log.read_text(errors="replace")
        return re.findall(r'"GET /v2/\S+/blobs/(sha256:[0-9a-f]{64}) HTTP/1\.1" 20[06]', text)


class Proxy:
    """Hands connections on to a registry, in both directions."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._hand_on, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._hand_on, args=(server, client, True), daemon=True).start()

    def _hand_on(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(65536):
                self.forward(data, target, answers=answers)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        source.close()  # each direction closes the end it read from

    def forward(self, data: bytes, target: socket.socket, *, answers: bool) -> None:
        """Hand on one piece; OSError breaks the connection off."""
        target.sendall(data)


class Stalling(Proxy):
    """Stops handing on after ``limit`` bytes of answers until it is released."""

    def __init__(self, port: int, limit: int) -> None:
        self._left = limit
        self._released = threading.Event()
        self.stalled = threading.Event()
        super().__init__(port)

    def release(self) -> None:
        self._released.set()

    def close(self) -> None:
        self.release()
        super().close()

    def forward(self, data: bytes, target: socket.socket, *, answers: bool) -> None:
        if answers:
            self._left -= len(data)
            if self._left < 0 and not self._released.is_set():
                self.stalled.set()
                self._released.wait(60)
        target.sendall(data)


class Cutting(Proxy):
    """Breaks each of the first ``times`` connections that sent ``limit`` bytes."""

    def __init__(self, port: int, limit: int, times: int) -> None:
        self._limit, self.left = limit, times
        self._seen: dict[socket.socket, int] = {}
        super().__init__(port)

    def forward(self, data: bytes, target: socket.socket, *, answers: bool) -> None:
        seen = self._seen[target] = self._seen.get(target, 0) + len(data)
        if not answers and seen > self._limit and self.left > 0:
            self.left -= 1
            raise ConnectionAbortedError
        target.sendall(data)
