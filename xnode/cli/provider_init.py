"""Provider init: from a wallet and a manifest to a registered provider with a config, safe to repeat at any point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metering.units import ZERO_ADDRESS, Address
from xnode.chain import payment_escrow, provider_registry
from xnode.chain.abi import to_hex
from xnode.chain.amounts import format_amount
from xnode.chain.tx_journal import TxCall
from xnode.cli.app import App
from xnode.cli.chain_access import find_deployment, run_async
from xnode.cli.money import NATIVE_DECIMALS
from xnode.cli.provider import DEFAULT_PRICES
from xnode.cli.screen import Screen, say
from xnode.cli.setup import ensure_node_key, read_node_address, require_no_provider, update_config
from xnode.cli.share import make_default_share
from xnode.cli.submitter_init import make_chain_table
from xnode.cli.transactions import Purse, Step, make_deadline, make_gas_step, open_purse
from xnode.cli.wallet import find_address
from xnode.errors import ExitCode, UserError
from xnode.wallet.keystore import Keystore, read_password
from xnode.wallet.signer import NodeSigner

NODE_GAS_WEI = 10**17
"""What the node key is filled up to: some hundreds of claims at a usual fee."""

LOW_GAS_WEI = NODE_GAS_WEI // 5


def init_provider(
    app: App,
    manifest: Path,
    *,
    rpc_url: str,
    owner: str,
    region: str,
    asset: str,
    force: bool,
    password_file: Path | None,
) -> None:
    """Write config and node key, then register. What fails halfway is done by the next try."""
    address = find_address(app, owner)
    deployment = find_deployment(app, manifest, rpc_url)
    deployment.manifest.find_asset(asset)
    if not _is_same_provider(app, address):
        require_no_provider(app.home, force)
        update_config(app.home, _make_table(app, manifest, rpc_url, address, region, asset))
        say(f"wrote {app.home.config}")
    config = app.load_config()
    ensure_node_key(app.home, config.node.password_file)
    _say_offer(config.provider)

    async def work() -> None:
        async with open_purse(app, deployment, to_hex(address), password_file) as purse:
            await _register(app, purse, config.node.password_file, force)

    run_async(work)
    say("next: xnode provider run")
    say("then: xnode provider status, and xnode provider price set vcpu_hour=...")


def withdraw_owed(app: App, password_file: Path | None, screen: Screen) -> None:
    """Send out payouts that the asset refused to deliver when they were claimed."""
    config = app.load_config()
    if config.provider is None:
        raise UserError("this home is no provider", where=str(app.home.config), todo="xnode provider init")
    owner = config.provider.owner
    deployment = find_deployment(app)
    contract = deployment.manifest.contracts.payment_escrow

    async def work() -> list[dict[str, str]]:
        async with deployment.connect() as rpc:
            owed = [(one, await rpc.view(contract, payment_escrow.OWED, owner, one.address)) for one in _assets()]
        rows = [{"asset": one.symbol, "owed": format_amount(amount, one.decimals)} for one, amount in owed if amount]
        if rows:
            async with open_purse(app, deployment, to_hex(owner), password_file) as purse:
                for one, amount in owed:
                    if amount:
                        data = payment_escrow.WITHDRAW_OWED.encode(owner, one.address)
                        await purse.send([Step(f"withdrawing {one.symbol}", TxCall(contract, data))])
        return rows

    def _assets() -> tuple[Any, ...]:
        return deployment.manifest.assets

    rows = run_async(work)
    if not rows:
        say(f"nothing waits: every claim was paid to {to_hex(owner)} at once")
    screen.show(rows, lambda: screen.record((row["asset"], row["owed"]) for row in rows))


def _make_table(
    app: App, manifest: Path, rpc_url: str, owner: Address, region: str, asset: str
) -> dict[str, dict[str, Any]]:
    provider = {
        "owner": to_hex(owner),
        "region": region,
        "asset": asset,
        "prices": DEFAULT_PRICES,
        "share": make_default_share(app.home.data),
    }
    return {**make_chain_table(manifest, rpc_url), "provider": provider}


def _is_same_provider(app: App, owner: Address) -> bool:
    """True when an earlier init for this owner has come as far as the config."""
    from xnode.config_file import read_table

    return str(read_table(app.home).get("provider", {}).get("owner", "")).lower() == to_hex(owner)


def _say_offer(provider: Any) -> None:
    share, prices = provider.share, provider.prices
    gib = 1 << 30
    say(
        f"offering {share.vcpus:g} vCPU, {share.memory_bytes / gib:.3g} GiB memory, {share.disk_bytes / gib:.3g} GiB disk"
        + (f", {share.gpus} GPU" if share.gpus else "")
        + f" at {prices.vcpu_hour} {provider.asset} per vCPU-hour"
    )


async def _register(app: App, purse: Purse, node_password: Path, force: bool) -> None:
    node, owner = read_node_address(app.home), purse.address
    registry = purse.deployment.manifest.contracts.provider_registry
    serves = Address(await purse.rpc.view(registry, provider_registry.PROVIDER_OF, node))
    current = Address(await purse.rpc.view(registry, provider_registry.NODE_KEY_OF, owner))
    if serves == owner:
        say(f"registered already: node {to_hex(node)} serves {to_hex(owner)}")
    elif serves != ZERO_ADDRESS:
        raise UserError(f"it serves {to_hex(serves)}", where=f"node key {to_hex(node)}", code=ExitCode.CONFLICT)
    elif current != ZERO_ADDRESS and not force:
        raise UserError(
            f"has a node key already, {to_hex(current)}, and can have only one",
            where=to_hex(owner),
            todo="use a wallet of its own for each host, or --force to put this host in the other's place",
            code=ExitCode.CONFLICT,
        )
    else:
        await purse.send([await _make_registration(app, purse, current, node_password)])
        say(f"registered: node {to_hex(node)} serves {to_hex(owner)}")
    await _fill_gas(purse, node)


async def _make_registration(app: App, purse: Purse, current: Address, node_password: Path) -> Step:
    manifest = purse.deployment.manifest
    registry = manifest.contracts.provider_registry
    key = await Keystore(app.home.node_key).load("", read_password({}, node_password) or "")
    nonce = await purse.rpc.view(registry, provider_registry.NONCES, purse.address)
    deadline = make_deadline()
    signer = NodeSigner(key, manifest.domain)
    signature = signer.sign_node_key(manifest.registry_domain, purse.address, nonce, deadline)
    if current == ZERO_ADDRESS:
        data = provider_registry.REGISTER.encode(key.address, ZERO_ADDRESS, deadline, signature)
        return Step("registering the provider", TxCall(registry, data))
    data = provider_registry.ROTATE_NODE_KEY.encode(key.address, deadline, signature)
    return Step(f"replacing node key {to_hex(current)}", TxCall(registry, data))


async def _fill_gas(purse: Purse, node: Address) -> None:
    """The node pays gas for openings and claims with its own key."""
    has = int(await purse.rpc.read("eth_getBalance", to_hex(node), "latest"), 16)
    if has >= LOW_GAS_WEI:
        return
    mine = int(await purse.rpc.read("eth_getBalance", to_hex(purse.address), "latest"), 16)
    missing = NODE_GAS_WEI - has
    if mine < 2 * missing:
        say(f"send the node key {to_hex(node)} about {format_amount(missing, NATIVE_DECIMALS)} to pay gas with")
        return
    await purse.send([make_gas_step(missing, node)])
