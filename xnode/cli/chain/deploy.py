"""`xnode chain deploy`: all contracts from a plan onto any EVM chain, and the manifest that nodes read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import trio
from sqlalchemy import Engine as Database

from metering.units import Address
from xnode.chain.deployment.deploy import deploy, rehearse
from xnode.chain.deployment.manifest import Manifest, write_manifest
from xnode.chain.deployment.plan import Plan, check_chain, check_pace, read_plan
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.reads import read_block_times
from xnode.chain.send.transactor import Pace, Transactor
from xnode.chain.send.tx_journal import SqlTxJournal, make_engine, read_senders
from xnode.cli.access.access import require_gas, say_waits
from xnode.cli.access.deployment import check_url, run_async
from xnode.cli.access.keys import load_key
from xnode.cli.app import App, output_option, pass_app
from xnode.cli.terminal.given import GivenPath
from xnode.cli.terminal.password import password_option
from xnode.cli.terminal.screen import Screen, say
from xnode.errors import ExitCode, Permanent, UserError
from xnode.private_lock import LockBusy, hold_private_lock
from xnode.text.hex import checksum_address, to_hex
from xnode.wallet.signer import WalletKey

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
    check_url(rpc_url)
    out = out or plan_file.with_suffix(".manifest.toml")
    journal = out.with_name(out.name + ".journal")
    if out.exists() and not journal.exists():
        raise UserError("is there already", where=str(out), hint="name another with --manifest", code=ExitCode.CONFLICT)

    async def work() -> Manifest:
        with _alone(journal):
            return await deploy_alone()

    async def deploy_alone() -> Manifest:
        key = await load_key(app, wallet, password_file)
        return await _deploy(plan, rpc_url, key, journal)

    manifest = run_async(work)
    write_manifest(out, manifest)
    answer = make_answer(out, manifest)
    screen.show(answer, lambda: screen.record(answer.items()))
    say("deployed, and checked: code, wiring and owners are as this version of xnode has them")


def make_answer(path: Path, manifest: Manifest) -> dict[str, Any]:
    """The manifest's file and its addresses."""
    names = manifest.contracts.__struct_fields__
    held = {name: checksum_address(getattr(manifest.contracts, name)) for name in names}
    return {"manifest": str(path), "chain_id": manifest.chain_id, "block": manifest.deployed_at_block, **held}


async def _deploy(plan: Plan, rpc_url: str, key: WalletKey, path: Path) -> Manifest:
    async with JsonRpc(rpc_url, None) as unknown:
        chain_id = await unknown.check_chain_id()
        check_chain(plan, chain_id, unknown.where)
        check_pace(plan, await read_block_times(unknown), unknown.where)
    engine = make_engine(path)
    journal = SqlTxJournal(engine, chain_id, key.address)
    label = f"deploy-{plan.digest().hex()[:16]}"
    await _require_same(engine, key.address, journal, label, path)
    async with JsonRpc(rpc_url, chain_id) as rpc, trio.open_nursery() as nursery:
        await require_gas(rpc, key.address)
        await rehearse(rpc, key.address, chain_id, plan, say)
        pace = Pace(confirmations=plan.confirmations, poll_interval_s=0.5, deadline_s=DEADLINE_S)
        transactor = Transactor(rpc, key, journal, chain_id, pace)
        await nursery.start(transactor.run)
        nursery.start_soon(say_waits, rpc, lambda: transactor.in_flight > 0)
        say(f"deploying on chain {chain_id} from {to_hex(key.address)} ...")
        with naming_a_mixture(path):
            manifest = await deploy(rpc, transactor, chain_id, plan, label=label, say=say)
        nursery.cancel_scope.cancel()
    return manifest


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
def naming_a_mixture(path: Path) -> Iterator[None]:
    """What the check finds wrong in contracts that were just made is no fault of a manifest, which is not there yet."""
    try:
        yield
    except Permanent as error:
        if error.reason_code != "deployment":
            raise
        hint = f"what {path} records is not one whole deployment: begin a new one with another --manifest"
        raise Permanent(error.message, code=error.reason_code, hint=hint) from error
