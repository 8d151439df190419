"""Submitter init: the node key and config of a node that buys compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xnode.chain.deployment.manifest import read_manifest
from xnode.cli.access.deployment import check_url, is_configured
from xnode.cli.access.keys import find_address
from xnode.cli.app import App
from xnode.cli.node.setup import ensure_node_key, update_config
from xnode.text.hex import to_hex


def init_submitter(app: App, manifest: Path, rpc_url: str | None, payer: str, bootstrap: tuple[str, ...] = ()) -> None:
    """Write config and node key; what the config says already stays."""
    address = find_address(app, payer)
    require_settled(app, manifest)
    changes = {
        **make_chain_table(manifest, rpc_url),
        **make_node_table(bootstrap),
        "submitter": {"payer": to_hex(address)},
    }
    update_config(app.home, changes)
    ensure_node_key(app.load_config())


def require_settled(app: App, manifest: Path) -> None:
    """Raise UserError where this home has money on other contracts than the manifest's: its config names those still, and only
    with it the node can claim."""
    from xnode.store.deployment import check_deployment_of_store

    if is_configured(app):
        separator = read_manifest(manifest).domain.separator()
        check_deployment_of_store(app.load_config().node.database_url, separator, str(manifest))


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
