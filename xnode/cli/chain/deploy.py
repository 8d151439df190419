"""`xnode chain deploy`: all contracts from a plan onto any EVM chain, and the manifest that nodes read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
import trio
from sqlalchemy import Engine as Database

from metering.units import Address
from xnode.chain.deployment.deploy import deploy, rehearse
from xnode.chain.deployment.manifest import Manifest, read_manifest, write_manifest
from xnode.chain.deployment.plan import CapacityPlan, Plan, check_chain, check_owned, check_pace, read_plan
from xnode.chain.node.json_rpc import JsonRpc, Reverted
from xnode.chain.reads import read_block_times
from xnode.chain.send.transactor import Pace, Transactor
from xnode.chain.send.tx_journal import SqlTxJournal, make_engine, read_chains, read_senders
from xnode.cli.access.access import require_gas, say_waits
from xnode.cli.access.deployment import check_url, run_async
from xnode.cli.access.keys import load_key
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.terminal.brief import brief_duration
from xnode.cli.terminal.given import GivenPath
from xnode.cli.terminal.password import password_option
from xnode.cli.terminal.reverts import explain
from xnode.cli.terminal.screen import Screen, say
from xnode.errors import ExitCode, Permanent, UserError
from xnode.private_lock import LockBusy, hold_private_lock
from xnode.text.hex import checksum_address, to_hex
from xnode.wallet.signer import WalletKey

TRANSACTIONS = 17
"""Fifteen contracts, and two that connect them."""

DEADLINE_S = 3600.0
"""For one transaction and its confirmations; a run that is given up on goes on with the next one."""


@click.command("deploy")
@click.argument("plan_file", metavar="PLAN", type=GivenPath(path_type=Path))
@click.option("--rpc-url", required=True, help="A node of the chain.")
@click.option(
    "--from", "wallet", envvar="ETH_FROM", default="", help="Wallet that pays the gas.  [default: the only one]"
)
@click.option("--manifest", "out", type=GivenPath(path_type=Path), help="Write it here.  [default: beside the plan]")
@password_option
@output_option
@pass_app
def deploy_(
    app: App, plan_file: Path, rpc_url: str, wallet: str, out: Path | None, password_file: Path | None, screen: Screen
) -> None:
    """Put all contracts on a chain, as a plan says.

    PLAN is a file like contracts/plan.example.toml; the manifest is written where it says.

    The wallet pays and keeps no power. Interrupted and run again it goes on where it stopped: its journal lies beside
    the manifest.
    """
    plan = read_plan(plan_file)
    check_owned(plan, str(plan_file))
    check_url(rpc_url)
    out = out or plan_file.with_suffix(".manifest.toml")
    journal = out.with_name(out.name + ".journal")
    if out.exists() and not journal.exists():
        raise UserError("is there already", where=str(out), hint="name another with --manifest", code=ExitCode.CONFLICT)
    known = read_manifest(out) if out.exists() else None

    async def work() -> Manifest:
        with _alone(journal):
            return await deploy_alone()

    async def deploy_alone() -> Manifest:
        key = await load_key(app, wallet, password_file)
        return await _deploy(plan, rpc_url, key, Files(plan_file, out, journal), known)

    manifest = keep_added(run_async(work), known)
    write_manifest(out, manifest)
    answer = make_answer(out, manifest)
    screen.show(answer, lambda: screen.record(answer.items()))
    say("deployed, and checked: code, wiring and owners are as this version of xnode has them")


class Files(NamedTuple):
    """What a deployment reads and writes."""

    plan: Path
    manifest: Path
    journal: Path


def keep_added(manifest: Manifest, known: Manifest | None) -> Manifest:
    """With the peers and the chain node that its people added to the file of an earlier run."""
    if known is None:
        return manifest
    return msgspec.structs.replace(
        manifest, bootstrap=known.bootstrap or manifest.bootstrap, rpc_url=known.rpc_url or manifest.rpc_url
    )


def make_answer(path: Path, manifest: Manifest) -> dict[str, Any]:
    """The manifest's file and its addresses."""
    names = manifest.contracts.__struct_fields__
    held = {name: checksum_address(getattr(manifest.contracts, name)) for name in names}
    return {"manifest": str(path), "chain_id": manifest.chain_id, "block": manifest.deployed_at_block, **held}


async def _deploy(plan: Plan, rpc_url: str, key: WalletKey, files: Files, known: Manifest | None) -> Manifest:
    path = files.journal
    async with JsonRpc(rpc_url, None) as unknown:
        chain_id = await unknown.check_chain_id()
        check_chain(plan, chain_id, unknown.where)
        check_pace(plan, await read_block_times(unknown), unknown.where)
    if known is not None and known.chain_id != chain_id:
        raise _refuse_other_chain(known.chain_id, chain_id, files.manifest)
    engine = make_engine(path)
    for other in await read_chains(engine):
        if other != chain_id:
            raise _refuse_other_chain(other, chain_id, path)
    journal = SqlTxJournal(engine, chain_id, key.address)
    label = f"deploy-{plan.digest().hex()[:16]}"
    await _require_same(engine, key.address, journal, label, path)
    async with JsonRpc(rpc_url, chain_id) as rpc, trio.open_nursery() as nursery:
        await require_gas(rpc, key.address)
        with naming_the_plan(files.plan):
            await rehearse(rpc, key.address, chain_id, plan, say)
        pace = Pace(confirmations=plan.confirmations, poll_interval_s=0.5, deadline_s=DEADLINE_S)
        transactor = Transactor(rpc, key, journal, chain_id, pace)
        await nursery.start(transactor.run)
        nursery.start_soon(say_waits, rpc, lambda: transactor.in_flight > 0)
        say(f"deploying on chain {chain_id} from {to_hex(key.address)} ...")
        say(describe_time(plan))
        with naming_a_mixture(path):
            manifest = await deploy(rpc, transactor, chain_id, plan, label=label, say=say)
        nursery.cancel_scope.cancel()
    return manifest


def describe_time(plan: Plan) -> str:
    """How long all transactions take, each of which waits until the one before it counts."""
    each_ms = (plan.confirmations + 1) * plan.block_ms
    return (
        f"{TRANSACTIONS} transactions, one after the other, each with {plan.confirmations} confirmations: "
        f"about {brief_duration(TRANSACTIONS * each_ms * 10**6)}"
    )


def _refuse_other_chain(known: int, chain_id: int, path: Path) -> UserError:
    return UserError(
        f"is of chain {known}, and the chain node is of chain {chain_id}",
        where=str(path),
        hint="name another --manifest for another chain",
        code=ExitCode.CONFLICT,
    )


@contextmanager
def _alone(journal: Path) -> Iterator[None]:
    """Only one command works with a journal at a time: two would each make what the other has not told yet."""
    lock = journal.with_name(f"{journal.name}.lock")
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_private_lock(lock, wait_s=0))
        except OSError as error:
            reason = error.strerror or "unknown"
            raise UserError(f"cannot be written: {reason}", where=str(lock), hint="name another --manifest") from error
        except LockBusy as error:
            raise UserError(
                f"another `xnode chain deploy` ({error.holder or 'pid unknown'}) works with it",
                where=str(journal),
                hint="let that one end, or name another --manifest",
                code=ExitCode.CONFLICT,
            ) from error
        yield


async def _require_same(engine: Database, sender: Address, journal: SqlTxJournal, label: str, path: Path) -> None:
    """A journal of another plan or wallet must not mix two deployments."""
    begun = await journal.load_from_nonce(0, 1)
    if begun and not begun[0].intent.startswith(f"{label}/"):
        raise UserError(
            "a deployment of another plan, or by another version of xnode, was begun here",
            where=str(path),
            hint="go on with that one, or name another --manifest",
            code=ExitCode.CONFLICT,
        )
    others = [one for one in await read_senders(engine) if one != sender]
    if others:
        raise UserError(
            f"a deployment paid by {checksum_address(others[0])} was begun here",
            where=str(path),
            hint="go on with that wallet (--from), or name another --manifest",
            code=ExitCode.CONFLICT,
        )


@contextmanager
def naming_the_plan(path: Path) -> Iterator[None]:
    """What a contract says to a value of the plan is a mistake in that file, by the key that it has there."""
    try:
        yield
    except Reverted as error:
        told = explain(error.revert)
        setting = error.revert.values.get("setting")
        key = find_key(setting.rstrip(b"\0").decode(errors="replace")) if isinstance(setting, bytes) else ""
        hint = told.hint if told.hint and told.hint != "change it" else "see contracts/plan.example.toml"
        raise UserError(f"{key}: {told.what}" if key else told.what, where=str(path), hint=hint) from error
    except UserError as error:
        raise UserError(error.what, where=str(path), hint=error.hint, code=error.code) from error


def find_key(setting: str) -> str:
    """Where a plan has what a contract calls a setting, such as drawDelay; "" where that is not known."""
    snake = re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", setting)
    names = ("draw_delay_s", *CapacityPlan.__struct_fields__)
    return next((f"capacity.{name}" for name in names if name in (snake, f"{snake}_s")), "")


@contextmanager
def naming_a_mixture(path: Path) -> Iterator[None]:
    """What the check finds wrong in contracts that were just made is no fault of a manifest, which is not there yet."""
    try:
        yield
    except Permanent as error:
        if error.reason_code != "deployment":
            raise
        hint = f"what {path} records is not one whole deployment: begin a new one with another --manifest"
        raise Permanent(error.message, code=error.reason_code, hint=hint) from error
