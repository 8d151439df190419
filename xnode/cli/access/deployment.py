"""Chain access: which chain a command means, and one connection to it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import trio

from xnode.chain.deployment.manifest import Manifest, read_manifest
from xnode.chain.node.json_rpc import DEADLINE_S, JsonRpc
from xnode.cli.app import App
from xnode.config.file import read_table
from xnode.errors import UserError
from xnode.logs import silence_logs

T = TypeVar("T")

RPC_VARIABLE = "XNODE_CHAIN__RPC_URL"


@dataclass(frozen=True)
class Deployment:
    """The contracts, and the chain node through which to reach them."""

    manifest: Manifest
    rpc_url: str

    @asynccontextmanager
    async def connect(self, deadline_s: float = DEADLINE_S) -> AsyncIterator[JsonRpc]:
        """deadline_s: of each question."""
        manifest = self.manifest
        rpc = JsonRpc(self.rpc_url, manifest.chain_id, deadline_s=deadline_s, least_block=manifest.deployed_at_block)
        async with rpc:
            yield rpc


def find_deployment(app: App, manifest_path: Path | None = None, rpc_url: str = "") -> Deployment:
    """The deployment of --chain, else of the home's config. Raises UserError when neither names one."""
    if manifest_path is None:
        config = app.load_config()
        manifest_path, rpc_url = config.chain.manifest, rpc_url or config.chain.rpc_url
    manifest = read_manifest(manifest_path.expanduser())
    url = rpc_url or os.environ.get(RPC_VARIABLE, "") or manifest.rpc_url
    if not url:
        raise UserError(
            "no chain node is named",
            where=str(manifest_path),
            hint=f"name one with --rpc-url or in {RPC_VARIABLE}, [chain] rpc_url or the manifest",
        )
    check_url(url)
    return Deployment(manifest, url)


def check_url(url: str) -> None:
    """Raise UserError for what is not an http address, without repeating it: it may hold an access key."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise UserError("not an http URL", where="the chain node", hint="write rpc_url like http://127.0.0.1:8545")


def is_configured(app: App) -> bool:
    """True when this home already knows its chain."""
    return "chain" in read_table(app.home) or "XNODE_CHAIN__MANIFEST" in os.environ


def run_async(function: Callable[[], Awaitable[T]]) -> T:
    """The result of an async function that a command waits for."""
    silence_logs()
    return trio.run(function)
