"""HTTP: /health, /readyz, /metrics and /v1/metadata of a node, on a loopback address."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

import anycorn
import structlog
import trio
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from xnode.control.views import NodeStatus
from xnode.errors import ExitCode, UserError, real_error_of

if TYPE_CHECKING:
    from trio_typing import TaskStatus

Status = Callable[[], Awaitable[NodeStatus]]

OWN_NAMES = ("localhost", "127.0.0.1", "::1")

STATUS_DEADLINE_S = 5.0
"""A node that cannot report its state within this time is not ready."""

UNREAD_DEADLINE_MS = 10_000
"""A client that stops reading is cut off by the kernel after this; otherwise it would block our shutdown."""

GRACE_S = 1.0
"""What answers in progress have left when we stop; ours take milliseconds."""

_AGAIN_S = 0.1
"""Pause before a server that a request has broken serves again; what comes meanwhile waits in the backlog."""

_BACKLOG = 64

_log = structlog.get_logger()


async def serve_http(
    host: str,
    port: int,
    status: Status,
    registry: CollectorRegistry,
    names: tuple[str, ...] = (),
    *,
    task_status: TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer until cancelled; starts with the URL. names: further names that requests may call us by. Raises UserError when the
    address cannot be had."""
    listener = _bind(host, port)
    address = listener.getsockname()
    url = f"http://[{address[0]}]:{address[1]}" if ":" in address[0] else f"http://{address[0]}:{address[1]}"
    config = anycorn.Config()
    config.include_server_header = False
    config.errorlog = None
    config.h11_max_incomplete_size = 8 << 10
    config.read_timeout = 30
    config.graceful_timeout = GRACE_S
    app = CheckedHost(make_app(status, registry), (host, *names))
    task_status.started(url)
    with listener:
        while True:
            # anycorn closes the descriptor that it is given.
            config.bind = [f"fd://{listener.dup().detach()}"]
            try:
                await _serve_until_cancelled(app, config)
            except* Exception as group:
                # Some requests that no browser sends raise in the server itself: the node and its paid work go on.
                _log.error("http server failed and serves again", reason=repr(real_error_of(group)))
            await trio.sleep(_AGAIN_S)


def make_app(status: Status, registry: CollectorRegistry) -> Starlette:
    """The routes as an ASGI application."""

    async def health(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        checks = await _read_checks(status)
        ready = not any(checks.values())
        body = {"ready": ready, "checks": {name: reason or "ok" for name, reason in checks.items()}}
        return JSONResponse(body, status_code=200 if ready else 503)

    async def metrics(_request: Request) -> Response:
        # A collector may read files: not on the thread that signs receipts.
        text = await trio.to_thread.run_sync(generate_latest, registry)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})

    async def metadata(_request: Request) -> Response:
        node = await status()
        return JSONResponse(
            {
                "software": f"xnode/{node.version}",
                "node": node.node,
                "roles": list(node.roles),
                "chain_id": node.chain_id,
                "multiaddrs": list(node.multiaddrs),
            }
        )

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/v1/metadata", metadata),
        ],
        exception_handlers={Exception: _answer_bug},
    )


class CheckedHost:
    """The application for requests that name us by an address of ours or a name that we were given: a page of the web whose name
    was made to lead here (DNS rebinding) calls us by that name."""

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset(name.strip("[]").lower() for name in (*OWN_NAMES, *names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        reached = str((scope.get("server") or ("",))[0])
        if len(hosts) == 1 and read_host(hosts[0]) in {*self._names, reached}:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            text = "this host name is not one of ours: see node.http_names\n"
            await PlainTextResponse(text, status_code=421)(scope, receive, send)
        else:
            await send({"type": "websocket.close"})


def read_host(header: str) -> str:
    """The name or address of a Host header, without its port."""
    text = header.strip().lower().removesuffix(".")
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        return address if not port or port.startswith(":") else text
    return text.partition(":")[0].removesuffix(".")


async def _serve_until_cancelled(app: ASGIApp, config: anycorn.Config) -> None:
    stop, shield = trio.Event(), trio.CancelScope(shield=True)

    async def serve() -> None:
        # A cancelled anycorn reports a failed shutdown; asked to stop, it ends well.
        with shield:
            await anycorn.serve(app, config, mode="asgi", shutdown_trigger=stop.wait)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        try:
            await trio.sleep_forever()
        finally:
            stop.set()
            shield.deadline = trio.current_time() + 2 * GRACE_S


async def _read_checks(status: Status) -> dict[str, str]:
    try:
        with trio.fail_after(STATUS_DEADLINE_S):
            return dict((await status()).ready)
    except trio.TooSlowError:
        return {"node": f"did not report its state within {STATUS_DEADLINE_S:g} s"}


async def _answer_bug(_request: Request, error: Exception) -> Response:
    """Whatever goes wrong in one request is logged, sent to no one in detail, and ends nothing else."""
    _log.error("http request failed", exc_info=error)
    return PlainTextResponse("internal error\n", status_code=500)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Accepted connections inherit it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_DEADLINE_MS)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UserError(
            f"cannot serve HTTP there ({error.strerror})",
            where=f"{host}:{port}",
            hint='set [node] http to a free port, or to "" for none',
            code=ExitCode.CONFLICT,
        ) from error
    return listener
