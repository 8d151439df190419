"""Payment: deposits, withdrawals and the node's cap, as the transactions that make them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metering.units import Address, Amount
from xnode.chain import openx_token, payment_escrow
from xnode.chain.abi import to_hex
from xnode.chain.amounts import format_amount, parse_amount
from xnode.chain.manifest import Asset
from xnode.chain.rpc import Reverted
from xnode.chain.tx_journal import TxCall
from xnode.cli.app import App
from xnode.cli.chain_access import find_deployment, is_configured, run_async
from xnode.cli.screen import Screen, say
from xnode.cli.setup import ensure_node_key, read_node_address
from xnode.cli.submitter_init import init_submitter
from xnode.cli.transactions import Purse, Step, make_deadline, open_purse
from xnode.config_file import read_table
from xnode.errors import ExitCode, UserError


def deposit_for_jobs(
    app: App, text: str, cap: str | None, wallet: str, asset: str, manifest: Path | None, password_file: Path | None
) -> dict[str, Any]:
    """Deposit, and let the node use up to the cap (None: all of the deposit)."""
    if manifest and not is_configured(app):
        init_submitter(app, manifest, "", wallet)
        say(f"wrote {app.home.config}")
    deployment = find_deployment(app, manifest)
    token = deployment.manifest.find_asset(asset)
    amount = parse_amount(text, token.decimals)
    wanted_cap = parse_amount(cap, token.decimals, where="--cap") if cap else None
    ensure_node_key(app.home, app.load_config().node.password_file)
    node = read_node_address(app.home)

    async def work() -> dict[str, Any]:
        async with open_purse(app, deployment, wallet or find_payer(app), password_file) as purse:
            await _require_held(purse, token, amount)
            before = await _read_free(purse, token)
            new_cap = wanted_cap if wanted_cap is not None else Amount(before + amount)
            hashes = await purse.send(await _make_deposit(purse, token, amount, node, new_cap))
            return await _report(purse, token, node, hashes)

    return run_async(work)


def withdraw_free(
    app: App, text: str, wallet: str, asset: str, manifest: Path | None, password_file: Path | None
) -> dict[str, Any]:
    """Pay free balance back to the wallet."""
    deployment = find_deployment(app, manifest)
    token = deployment.manifest.find_asset(asset)
    asked = None if text == "all" else parse_amount(text, token.decimals)

    async def work() -> dict[str, Any]:
        async with open_purse(app, deployment, wallet or find_payer(app), password_file) as purse:
            free = await _read_free(purse, token)
            amount = free if asked is None else asked
            if amount > free or not amount:
                raise UserError(
                    f"only {format_amount(free, token.decimals, token.symbol)} are free",
                    where=to_hex(purse.address),
                    todo="the rest is reserved for jobs until they settle",
                    code=ExitCode.FUNDS,
                )
            data = payment_escrow.WITHDRAW.encode(token.address, amount, purse.address)
            what = f"withdrawing {format_amount(amount, token.decimals, token.symbol)}"
            hashes = await purse.send([Step(what, TxCall(_escrow_of(purse), data))])
            return await _report(purse, token, None, hashes)

    return run_async(work)


def approve_node(
    app: App, cap: str, wallet: str, asset: str, manifest: Path | None, password_file: Path | None
) -> dict[str, Any]:
    """Set what the node's key may still reserve."""
    deployment = find_deployment(app, manifest)
    token = deployment.manifest.find_asset(asset)
    amount = parse_amount(cap, token.decimals, where="CAP")
    node = read_node_address(app.home)

    async def work() -> dict[str, Any]:
        async with open_purse(app, deployment, wallet or find_payer(app), password_file) as purse:
            data = payment_escrow.APPROVE_OPENER.encode(node, token.address, amount)
            what = f"letting {to_hex(node)} use {format_amount(amount, token.decimals, token.symbol)}"
            hashes = await purse.send([Step(what, TxCall(_escrow_of(purse), data))])
            return await _report(purse, token, node, hashes)

    return run_async(work)


def find_payer(app: App) -> str:
    """The config's payer; "" when it names none, which means the only wallet there is."""
    return str(read_table(app.home).get("submitter", {}).get("payer", ""))


def draw_done(screen: Screen, answer: dict[str, Any]) -> None:
    """Print what a payment came to."""
    screen.record((name.replace("_", " "), value) for name, value in answer.items() if not isinstance(value, list))


async def _make_deposit(purse: Purse, token: Asset, amount: Amount, node: Address, cap: Amount) -> list[Step]:
    escrow = _escrow_of(purse)
    what = f"depositing {format_amount(amount, token.decimals, token.symbol)}"
    approve = payment_escrow.APPROVE_OPENER.encode(node, token.address, cap)
    permitted = await _make_permitted_deposit(purse, token, amount)
    if permitted:
        return [Step(what, TxCall(escrow, payment_escrow.MULTICALL.encode([permitted, approve])))]
    deposit = payment_escrow.DEPOSIT.encode(purse.address, token.address, amount)
    return [
        Step("approving the escrow", TxCall(token.address, openx_token.APPROVE.encode(escrow, amount))),
        Step(what, TxCall(escrow, payment_escrow.MULTICALL.encode([deposit, approve]))),
    ]


async def _make_permitted_deposit(purse: Purse, token: Asset, amount: Amount) -> bytes | None:
    """Calldata of a deposit with the owner's permit; None for an asset that knows no permits (ERC-2612)."""
    try:
        _, name, version, *_ = await purse.rpc.view(token.address, openx_token.EIP712_DOMAIN)
        nonce = await purse.rpc.view(token.address, openx_token.NONCES, purse.address)
        expected = await purse.rpc.view(token.address, openx_token.DOMAIN_SEPARATOR)
    except Reverted:
        return None
    domain = openx_token.make_domain(purse.deployment.manifest.chain_id, token.address, name, version)
    if domain.separator() != expected:
        return None
    deadline = make_deadline()
    permit = openx_token.Permit(purse.address, _escrow_of(purse), amount, nonce, deadline)
    signature = purse.key.sign_typed(domain, "Permit", permit)
    return payment_escrow.DEPOSIT_WITH_PERMIT.encode(
        purse.address, token.address, amount, deadline, signature[64], signature[:32], signature[32:64]
    )


async def _require_held(purse: Purse, token: Asset, amount: Amount) -> None:
    held = await purse.rpc.view(token.address, openx_token.BALANCE_OF, purse.address)
    if amount > held:
        raise UserError(
            f"the wallet has {format_amount(held, token.decimals, token.symbol)}",
            where=to_hex(purse.address),
            todo="deposit less, or send it more (on a devnet: xnode devnet fund)",
            code=ExitCode.FUNDS,
        )


async def _read_free(purse: Purse, token: Asset) -> Amount:
    return Amount(await purse.rpc.view(_escrow_of(purse), payment_escrow.FREE, purse.address, token.address))


async def _report(purse: Purse, token: Asset, node: Address | None, hashes: list[str]) -> dict[str, Any]:
    free = await _read_free(purse, token)
    report: dict[str, Any] = {
        "payer": to_hex(purse.address),
        "asset": token.symbol,
        "deposited": format_amount(free, token.decimals),
        "transactions": hashes,
    }
    if node:
        cap = await purse.rpc.view(_escrow_of(purse), payment_escrow.OPENER_CAP, purse.address, node, token.address)
        report |= {"node": to_hex(node), "node_may_use": format_amount(cap, token.decimals)}
    return report


def _escrow_of(purse: Purse) -> Address:
    return purse.deployment.manifest.contracts.payment_escrow
