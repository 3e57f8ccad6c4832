"""A hub of one model on a local port, or one that never answers: as much of the hub's HTTP interface as a snapshot needs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve_hub(repository: str, files: dict[str, bytes], *, silent: bool = False) -> Iterator[str]:
    """Serve `files` as `repository`; yield the endpoint. `silent`: connections are accepted and never answered."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            if silent:
                over.wait()
                self.close_connection = True
            elif self.path.startswith(f"/api/models/{repository}/tree"):
                self._json([{"type": "file", "oid": _oid(files[name]), "path": name, "size": len(files[name])} for name in files])
            elif self.path.startswith(f"/api/models/{repository}"):
                siblings = [{"rfilename": name, "size": len(content), "blobId": _oid(content)} for name, content in files.items()]
                self._json({"id": repository, "sha": COMMIT, "siblings": siblings})
            elif (name := self.path.rpartition(f"/{repository}/resolve/{COMMIT}/")[2]) in files:
                self._answer(200, files[name], {"ETag": f'"{_oid(files[name])}"', "X-Repo-Commit": COMMIT})
            else:
                self._answer(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})

        def _json(self, value: object) -> None:
            self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
