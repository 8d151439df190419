"""Client: the reading half of the registry protocol, for one repository and without an account."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urljoin, urlsplit

import httpcore2

from scheduler.registry import HUB, Reference, split_registry
from xnode.errors import Permanent, Retryable
from xnode.runtime.oci_manifest import INDEX_TYPES, MANIFEST_TYPES, MAX_DOCUMENT_BYTES
from xnode.runtime.registry.reach import Reach

HUB_HOST = "registry-1.docker.io"
"""Where the registry called docker.io answers."""

MAX_HOPS = 6
"""Redirects and the one answer to a challenge, together: registries redirect once or twice."""

QUIET_S = 30.0
"""How long a registry may say nothing."""

MAX_TOKEN_BYTES = 16 << 10

REDIRECTS = (301, 302, 303, 307, 308)

ACCEPT = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))

_CHALLENGE = re.compile(r'([a-z]+)="([^"]{0,2048})"')


class RegistryClient:
    """One repository. Use it as a context: it closes its connections."""

    def __init__(self, reference: Reference, reach: Reach, tls: ssl.SSLContext | None = None) -> None:
        """tls: whose certificates are trusted; None: those that everybody trusts."""
        host, port = split_registry(HUB_HOST if reference.registry == HUB else reference.registry)
        scheme = "http" if reach.is_plain(host, port) else "https"
        self._reach, self._repository = reach, reference.repository
        self._base = f"{scheme}://{host}:{port}"
        self._token = ""
        self._pool = httpcore2.AsyncConnectionPool(ssl_context=tls, max_connections=4, network_backend=reach)

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.__aexit__(kind, error, trace)

    async def read_manifest(self, digest: str) -> bytes:
        """The document of this digest, as the registry has it; at most one byte more than any may have."""
        async with self._open(f"/v2/{self._repository}/manifests/{digest}") as response:
            return await _read(response, MAX_DOCUMENT_BYTES + 1)

    @asynccontextmanager
    async def open_blob(self, digest: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """A blob's bytes as they come; unchecked, and as many as the registry likes."""
        async with self._open(f"/v2/{self._repository}/blobs/{digest}") as response:
            yield response.aiter_stream()

    @asynccontextmanager
    async def _open(self, path: str) -> AsyncIterator[httpcore2.Response]:
        """The answer with status 200, wherever the registry sends us for it. Raises Retryable or Permanent."""
        url = self._base + path
        for _ in range(MAX_HOPS):
            self._reach.check_url(url)
            async with self._get(url) as response:
                if response.status == 200:
                    yield response
                    return
                if response.status in REDIRECTS:
                    url = urljoin(url, _header(response, b"location"))
                elif response.status == 401 and not self._token:
                    challenge = _header(response, b"www-authenticate")
                    self._token = await self._read_token(challenge)
                else:
                    raise _make_fault(response.status, url)
        raise Permanent(f"{url[:200]}: more than {MAX_HOPS} hops", code="image", told="the registry answers in circles")

    @asynccontextmanager
    async def _get(self, url: str) -> AsyncIterator[httpcore2.Response]:
        # A token is for the registry: what it redirects to has its own signature in the URL.
        headers = [("Host", urlsplit(url).netloc), ("User-Agent", "xnode"), ("Accept", ACCEPT)]
        if self._token and url.startswith(self._base + "/"):
            headers.append(("Authorization", f"Bearer {self._token}"))
        timeout = {"connect": QUIET_S, "read": QUIET_S, "write": QUIET_S, "pool": QUIET_S}
        try:
            async with self._pool.stream("GET", url, headers=headers, extensions={"timeout": timeout}) as response:
                yield response
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
            reason = str(error) or type(error).__name__
            raise Retryable(f"registry {urlsplit(url).netloc} cannot be reached: {reason}") from error

    async def _read_token(self, challenge: str) -> str:
        """A token that anybody gets, from where the registry says."""
        scheme, _, words = challenge.partition(" ")
        asked = dict(_CHALLENGE.findall(words))
        if scheme.lower() != "bearer" or "realm" not in asked:
            raise _make_fault(401, self._base)
        query = {"scope": f"repository:{self._repository}:pull"}
        if "service" in asked:
            query["service"] = asked["service"]
        url = f"{asked['realm']}{'&' if '?' in asked['realm'] else '?'}{urlencode(query)}"
        self._reach.check_url(url)
        async with self._get(url) as response:
            raw = await _read(response, MAX_TOKEN_BYTES + 1)
        if response.status != 200 or len(raw) > MAX_TOKEN_BYTES:
            raise _make_fault(401 if response.status == 200 else response.status, url)
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            value = None
        token = (value.get("token") or value.get("access_token")) if isinstance(value, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise _make_fault(401, url)
        return token


async def _read(response: httpcore2.Response, most_bytes: int) -> bytes:
    """At most so many bytes: reading on would be for nothing."""
    found = bytearray()
    async for piece in response.aiter_stream():
        found += piece
        if len(found) >= most_bytes:
            break
    return bytes(found[:most_bytes])


def _header(response: httpcore2.Response, name: bytes) -> str:
    return next((value for key, value in response.headers if key.lower() == name), b"").decode("latin-1")


def _make_fault(status: int, url: str) -> Permanent | Retryable:
    what = f"registry {urlsplit(url).netloc} answered HTTP {status}"
    if status >= 500:
        return Retryable(what)
    if status == 429:
        return Permanent(what, code="image_busy", told="the registry lets this provider pull no more for now")
    if status in (401, 403, 404):
        # A client without an account hears the same.
        return Permanent(what, code="job_image", told="the registry has no such image for everybody")
    return Permanent(what, code="image", told="the registry did not give the image")
