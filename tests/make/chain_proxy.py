"""ChainProxy: between a node and its chain node, for as long as a test runs; it spoils answers in the way that is set."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

UPSTREAM_S = 20.0

Reply = dict[str, Any]


def _null_all(reply: Reply, _method: str) -> None:
    reply["result"] = None


def _string_error(reply: Reply, _method: str) -> None:
    del reply["result"]
    reply["error"] = "Too many requests"


def _word_code(reply: Reply, _method: str) -> None:
    del reply["result"]
    reply["error"] = {"code": "LIMIT", "message": "x"}


def _odd_code(reply: Reply, _method: str) -> None:
    del reply["result"]
    reply["error"] = {"code": -32029, "message": "daily limit reached"}


def _wrong_chain(reply: Reply, method: str) -> None:
    if method == "eth_chainId":
        reply["result"] = "0x1"


def _empty_view(reply: Reply, method: str) -> None:
    if method == "eth_call":
        reply["result"] = "0x"


def _no_logs(reply: Reply, method: str) -> None:
    if method == "eth_getLogs":
        reply["result"] = None


def _pending(reply: Reply, method: str) -> None:
    if method == "eth_getTransactionReceipt" and reply.get("result"):
        reply["result"]["blockNumber"] = None


def _numbers(reply: Reply, method: str) -> None:
    if method in ("eth_blockNumber", "eth_getTransactionCount"):
        reply["result"] = int(reply["result"], 16)


def _old(reply: Reply, method: str) -> None:
    if method == "eth_blockNumber":
        reply["result"] = "0x1"


def _no_id(reply: Reply, _method: str) -> None:
    reply["id"] = 10**9


SPOILT: dict[str, Callable[[Reply, str], None]] = {
    "null results": _null_all,
    "an error that is a string": _string_error,
    "an error whose code is a word": _word_code,
    "an error of a code of its own": _odd_code,
    "another chain": _wrong_chain,
    "empty views": _empty_view,
    "null logs": _no_logs,
    "receipts without a block": _pending,
    "numbers that are no hex": _numbers,
    "an old head": _old,
    "ids of others": _no_id,
}
"""What becomes of a good reply."""

WHOLE: dict[str, tuple[int, bytes]] = {
    "a login page": (200, b"<html>Please sign in</html>"),
    "too many requests": (429, b"slow down"),
    "no access": (403, b'{"message": "quota"}'),
    "a server error": (500, b"oops"),
    "moved": (301, b""),
    "nothing": (200, b""),
    "null": (200, b"null"),
    "half an object": (200, b'{"jsonrpc": "2.0", "id"'),
    "deep nesting": (200, b'{"id": ' + b"[" * 200_000),
    "bytes that are no text": (200, b'{"id": 1, "result": "\xff\xfe"}'),
}
"""What is answered without asking."""

MODES = (*SPOILT, *WHOLE, "drop")


class ChainProxy:
    """Use it as a context; mode "ok" passes everything on."""

    def __init__(self, upstream: str) -> None:
        self.mode = "ok"
        self.served: Counter[str] = Counter()
        """Requests by the mode in which they were answered."""
        self._upstream = upstream
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where a node finds it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, body: bytes) -> tuple[int, bytes] | None:
        """Status and content; None to close the connection."""
        mode = self.mode
        self.served[mode] += 1
        if mode == "drop":
            return None
        if mode in WHOLE:
            return WHOLE[mode]
        content = self._ask(body)
        if mode == "ok":
            return 200, content
        asked, replies = json.loads(body), json.loads(content)
        calls = asked if isinstance(asked, list) else [asked]
        methods = {one["id"]: one["method"] for one in calls}
        for reply in replies if isinstance(replies, list) else [replies]:
            if "result" in reply:
                SPOILT[mode](reply, methods.get(reply["id"], ""))
        return 200, json.dumps(replies).encode()

    def _ask(self, body: bytes) -> bytes:
        request = urllib.request.Request(self._upstream, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=UPSTREAM_S) as response:
            content: bytes = response.read()
        return content


def _make_handler(proxy: ChainProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            try:
                answer = proxy.answer(body)
            except OSError:
                answer = (502, b"the chain node is away")
            if answer is None:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(answer[0])
            self.send_header("content-length", str(len(answer[1])))
            self.end_headers()
            self.wfile.write(answer[1])

    return Handler
