"""A real registry on a real port, over a layout folder, that can also misbehave."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from xnode.runtime.oci_manifest import MANIFEST_TYPE

Answer = Callable[[BaseHTTPRequestHandler], bool]
"""Answers a request in its own way; False leaves it to the registry."""


@dataclass(slots=True)
class Served:
    """asked: the paths, in order; tokens: what was shown as authorization."""

    place: str
    asked: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)


def reply(request: BaseHTTPRequestHandler, status: int, raw: bytes = b"", **headers: str) -> bool:
    """A whole answer. Headers: www_authenticate is WWW-Authenticate."""
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("Content-Length", str(len(raw)))
    request.end_headers()
    request.wfile.write(raw)
    return True


@contextmanager
def serve_registry(
    layout: Path, answer: Answer = lambda _request: False, tls: ssl.SSLContext | None = None
) -> Iterator[Served]:
    """A registry at 127.0.0.1 that has the layout's blobs under any name."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            served.tokens.append(self.headers.get("Authorization", ""))
            if answer(self):
                return
            kind, _, digest = self.path.rpartition("/")
            path = layout / "blobs/sha256" / digest.removeprefix("sha256:")
            found = path.is_file()
            is_manifest = kind.endswith("/manifests")
            media_type = MANIFEST_TYPE if is_manifest else "application/octet-stream"
            reply(self, 200 if found else 404, path.read_bytes() if found else b"{}", content_type=media_type)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_args: None  # type: ignore[method-assign]
        served = Served(f"127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
