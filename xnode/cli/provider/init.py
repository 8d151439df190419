"""Provider init: from a wallet and a manifest to a registered provider with a config, safe to repeat at any point."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from metering.units import Address
from xnode.chain.intents.payments import withdraw_owed as send_withdraw_owed
from xnode.chain.intents.registration import register_provider
from xnode.chain.intents.session import WalletSession
from xnode.cli.access.access import Access, make_intent
from xnode.cli.access.deployment import RPC_VARIABLE
from xnode.cli.access.gas import fill_gas
from xnode.cli.access.keys import find_address
from xnode.cli.app import App
from xnode.cli.node.setup import ensure_node_key, read_node_address, require_no_provider, update_config
from xnode.cli.node.submitter_init import make_chain_table, make_node_table, require_settled
from xnode.cli.provider.prices import CREDIT_PRICES, DEFAULT_PRICES
from xnode.cli.provider.profile import find_profile, publish_profile
from xnode.cli.provider.share import make_default_share
from xnode.cli.terminal.screen import Screen, say
from xnode.config.file import read_table
from xnode.errors import ExitCode, UserError
from xnode.text.hex import to_hex
from xnode.wallet.keystore import Keystore, read_password
from xnode.wallet.signer import NodeSigner

NODE_GAS_WEI = 10**17
"""What the node key is filled up to: some hundreds of claims at a usual fee."""

DEFAULT_REGION = "local"

DEFAULT_ASSET = "OPENX"

CONSENT_S = 3600
"""How long the node key's consent is good: a stuck transaction must still find it so."""


def init_provider(
    app: App,
    manifest: Path,
    *,
    rpc_url: str | None,
    owner: str,
    region: str | None,
    asset: str | None,
    force: bool,
    password_file: Path | None,
    bootstrap: tuple[str, ...] = (),
    password: str = "",
) -> None:
    """Write config and node key, then register. What fails halfway, or is cut off, is done by the next try, which keeps the
    settings that it does not name. password: the wallet's, when it is known already."""
    address = find_address(app, owner)
    table = read_table(app.home)
    chain_node = find_chain_node(table, rpc_url)
    access = Access(app, to_hex(address), manifest, password_file, chain_node, password, goes_on=True)
    symbol = access.manifest.find_asset(asset or DEFAULT_ASSET).symbol
    if is_same_provider(table, address):
        provider = find_changes(table["provider"], region, symbol if asset else None)
    else:
        require_no_provider(app.home, force)
        provider = make_provider_table(app, address, region or DEFAULT_REGION, symbol)
    changes = {**make_chain_table(manifest, rpc_url), **make_node_table(bootstrap), "provider": provider}
    is_changed = any({**table.get(name, {}), **values} != table.get(name) for name, values in changes.items())
    if is_changed:
        require_settled(app, manifest)
        update_config(app.home, changes)
        say(f"wrote {app.home.config}")
    config = app.load_config()
    ensure_node_key(config)
    _say_offer(config.provider)

    async def work(session: WalletSession) -> bool:
        is_new = await _register(app, session, config.node.password_file, force)
        await publish_profile(session, find_profile(app))
        return is_new

    is_registered_now = access.act(work)
    if force and not (is_changed or is_registered_now):
        raise UserError(
            "--force replaced nothing: settings and registration are this owner's and this host's already",
            where=str(app.home.config),
            hint="name what shall be other, such as --region or --asset; all else is changed in that file",
            code=ExitCode.CONFLICT,
        )


def say_next(app: App) -> None:
    """What to do once a provider is registered."""
    running = "the node that runs here takes the settings up when it is started again: xnode daemon stop, then "
    say(f"next: {running if app.control.is_up() else ''}xnode provider run")
    say("then: xnode provider status, and xnode provider price set vcpu_hour=...")


def find_chain_node(table: dict[str, Any], rpc_url: str | None) -> str:
    """The one that the daemon will use, so that what registers here works there too; "" for the manifest's. As when settings are
    loaded, the environment wins over the file."""
    if rpc_url is not None:
        return rpc_url
    chain = table.get("chain")
    kept = chain.get("rpc_url", "") if isinstance(chain, dict) else ""
    return os.environ.get(RPC_VARIABLE, "") or str(kept)


def withdraw_owed(app: App, password_file: Path | None, screen: Screen) -> None:
    """Send out payouts that the asset refused to deliver when they were claimed."""
    config = app.load_config()
    if config.provider is None:
        raise UserError("this node is not a provider", where=str(app.home.config), hint="run `xnode provider init`")
    owner = config.provider.owner

    async def work(session: WalletSession) -> list[dict[str, str]]:
        rows = []
        for one in (await session.balances(owner)).assets:
            if one.owed:
                say(f"withdrawing {one.asset.symbol} ...")
                await send_withdraw_owed(session, make_intent("withdraw-owed"), owner, one.asset)
                rows.append({"asset": one.asset.symbol, "amount": one.asset.format(one.owed)})
        return rows

    rows = Access(app, to_hex(owner), password_file=password_file).act(work, leaves=True)
    if not rows:
        say(f"nothing waits: every claim was paid to {to_hex(owner)} at once")
    screen.show(rows, lambda: screen.record((row["asset"], row["amount"]) for row in rows))


def make_provider_table(app: App, owner: Address, region: str, asset: str) -> dict[str, Any]:
    """The [provider] section of a new provider that offers this host's hardware."""
    return {
        "owner": to_hex(owner),
        "region": region,
        "asset": asset,
        "prices": CREDIT_PRICES.get(asset, DEFAULT_PRICES),
        "share": make_default_share(app.home.data),
    }


def find_changes(provider: dict[str, Any], region: str | None, asset: str | None) -> dict[str, Any]:
    """What the command line names and an earlier init wrote otherwise; prices in another asset begin anew."""
    changes: dict[str, Any] = {} if region is None else {"region": region}
    if asset is not None and asset != provider.get("asset"):
        changes |= {"asset": asset, "prices": CREDIT_PRICES.get(asset, DEFAULT_PRICES)}
    return changes


def is_same_provider(table: dict[str, Any], owner: Address) -> bool:
    """True when an earlier init for this owner has come as far as the config."""
    return str(table.get("provider", {}).get("owner", "")).lower() == to_hex(owner)


def _say_offer(provider: Any) -> None:
    share, prices = provider.share, provider.prices
    gib = 1 << 30
    say(
        f"offering {share.vcpus:g} vCPU, {share.memory_bytes / gib:.3g} GiB memory, {share.disk_bytes / gib:.3g} GiB disk"
        + (f", {share.gpus} GPU" if share.gpus else "")
        + f" at {prices.vcpu_hour} {provider.asset} per vCPU-hour"
    )


async def _register(app: App, session: WalletSession, node_password: Path, force: bool) -> bool:
    """True when this made or moved the registration, False when it was there."""
    node, owner = read_node_address(app.home), session.address
    serves = await session.provider_of(node)
    registration = await session.registration(owner)
    is_there = serves == owner
    if is_there:
        say(f"registered already: node {to_hex(node)} serves {to_hex(owner)}")
    elif serves is not None:
        raise UserError(f"it serves {to_hex(serves)}", where=f"node key {to_hex(node)}", code=ExitCode.CONFLICT)
    elif registration.node_key is not None and not force:
        raise UserError(
            f"has a node key already, {to_hex(registration.node_key)}, and can have only one",
            where=to_hex(owner),
            hint="use a wallet of its own for each host, or --force to put this host in the other's place",
            code=ExitCode.CONFLICT,
        )
    else:
        say("registering ...")
        key = await Keystore(app.home.node_key).load("", read_password({}, node_password) or "")
        deadline = await session.chain_time_s() + CONSENT_S
        signer = NodeSigner(key, session.manifest.domain)
        consent = signer.sign_node_key(session.manifest.registry_domain, owner, registration.nonce, deadline)
        await register_provider(session, make_intent("register"), node, deadline, consent)
        say(f"registered: node {to_hex(node)} serves {to_hex(owner)}")
    await fill_gas(session, node, NODE_GAS_WEI)
    return not is_there
