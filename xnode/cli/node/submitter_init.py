"""Submitter init: the node key and config of a node that buys compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xnode.chain.deployment.manifest import read_manifest
from xnode.cli.access.deployment import check_url
from xnode.cli.access.keys import find_address
from xnode.cli.app import App
from xnode.cli.node.setup import ensure_node_key, update_config
from xnode.text.hex import to_hex


def init_submitter(app: App, manifest: Path, rpc_url: str | None, payer: str, bootstrap: tuple[str, ...] = ()) -> None:
    """Write config and node key; what the config says already stays."""
    address = find_address(app, payer)
    changes = {
        **make_chain_table(manifest, rpc_url),
        **make_node_table(bootstrap),
        "submitter": {"payer": to_hex(address)},
    }
    update_config(app.home, changes)
    ensure_node_key(app.load_config())


def make_chain_table(manifest: Path, rpc_url: str | None) -> dict[str, dict[str, Any]]:
    """The [chain] section for this manifest, which must be good. rpc_url: None keeps what is set, "" is the manifest's."""
    read_manifest(manifest)
    chain: dict[str, Any] = {"manifest": str(manifest.expanduser().absolute())}
    if rpc_url is not None:
        if rpc_url:
            check_url(rpc_url)
        chain["rpc_url"] = rpc_url
    return {"chain": chain}


def make_node_table(bootstrap: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The [node] section for peers that the command line names; none when it names none."""
    return {"node": {"bootstrap": list(bootstrap)}} if bootstrap else {}
