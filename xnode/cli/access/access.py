"""Access: which deployment and which wallet a command is about; each is opened only when it is needed."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar

import trio

from metering.units import Address
from xnode.backoff import Backoff
from xnode.chain.deployment.check import find_other_owner
from xnode.chain.deployment.manifest import Manifest
from xnode.chain.intents.session import WalletSession, open_session
from xnode.chain.node.json_rpc import DEADLINE_S, JsonRpc, read_native_balance
from xnode.chain.reads import ChainReads
from xnode.chain.send.transactor import Pace
from xnode.cli.access.cut_off import CommandJournals
from xnode.cli.access.deployment import Deployment, find_deployment, run_async
from xnode.cli.access.keys import find_address, load_key
from xnode.cli.app import App
from xnode.cli.terminal.screen import say
from xnode.config.file import read_table
from xnode.errors import ExitCode, UserError
from xnode.text.hex import to_hex
from xnode.text.wait import show_wait

T = TypeVar("T")

SAY_AGAIN = Backoff(first_s=15.0, most_s=60.0)
"""Between looks whether a person should be told what their transaction waits for."""

QUICK_S = 2.0
"""For a question that a healthy chain node answers at once, while a person looks at the screen."""

_PACE = Pace(poll_interval_s=0.2)
"""A person is waiting."""


@dataclass(frozen=True)
class Access:
    """wallet: a name or an address, "" for the only one there is; manifest_path: None for the config's deployment; rpc_url:
    "" for the config's or the manifest's chain node; password: the wallet's, "" where a file has it or a person is asked;
    goes_on: it looks at the chain before each thing that it sends, so what an earlier try had sent is taken up."""

    app: App
    wallet: str = ""
    manifest_path: Path | None = None
    password_file: Path | None = None
    rpc_url: str = ""
    password: str = field(default="", repr=False)
    goes_on: bool = False

    @classmethod
    def of_owner(
        cls, app: App, wallet: str = "", manifest: Path | None = None, password_file: Path | None = None
    ) -> Self:
        """For what a provider does: without a wallet, the config's owner."""
        return cls(app, wallet or _read_name(app, "provider", "owner"), manifest, password_file)

    @classmethod
    def of_payer(
        cls, app: App, wallet: str = "", manifest: Path | None = None, password_file: Path | None = None
    ) -> Self:
        """For what the payer of jobs does: without a wallet, the config's payer."""
        return cls(app, wallet or _read_name(app, "submitter", "payer"), manifest, password_file)

    @cached_property
    def deployment(self) -> Deployment:
        """The contracts and a chain node. Raises UserError when nothing names them."""
        return find_deployment(self.app, self.manifest_path, self.rpc_url)

    @property
    def manifest(self) -> Manifest:
        """The deployment's contracts and assets."""
        return self.deployment.manifest

    @cached_property
    def address(self) -> Address:
        """The wallet's address, for which no password is needed."""
        return find_address(self.app, self.wallet)

    def look(self, work: Callable[[ChainReads], Awaitable[T]], deadline_s: float = DEADLINE_S) -> T:
        """What `work` finds on chain; needs no password. deadline_s: of each question, which is asked three times at most."""
        deployment = self.deployment

        async def run() -> T:
            async with deployment.connect(deadline_s) as rpc:
                return await work(ChainReads(rpc, deployment.manifest))

        return run_async(run)

    def act(self, work: Callable[[WalletSession], Awaitable[T]], *, leaves: bool = False) -> T:
        """What `work` comes to with the wallet open. leaves: as in `open`."""

        async def run() -> T:
            async with self.open(leaves=leaves) as session:
                return await work(session)

        return run_async(run)

    @asynccontextmanager
    async def open(self, *, leaves: bool = False) -> AsyncIterator[WalletSession]:
        """The wallet, ready to send. Asks for the password before it asks the chain anything.

        leaves: it lets our own money leave, or defends it: another owner of the same bytecode is then told, not refused.
        """
        deployment = self.deployment
        key = await load_key(self.app, self.wallet, self.password_file, self.password)
        # The journal ends with the command: one that is killed must not go on unasked when the next one starts, which is told.
        journals = CommandJournals(self.app.home, deployment.manifest.chain_id, key.address)
        with journals.open() as engine:
            opened = open_session(deployment.manifest, key, engine, rpc_url=deployment.rpc_url, pace=_PACE)
            async with opened as session, trio.open_nursery() as nursery:
                await (journals.take_up if self.goes_on else journals.check)(session.rpc)
                await _check_contracts(session.rpc, deployment.manifest, leaves)
                await require_gas(session.rpc, session.address)
                nursery.start_soon(say_waits, session.rpc, lambda: session.is_waiting)
                yield session
                nursery.cancel_scope.cancel()


async def _check_contracts(rpc: JsonRpc, manifest: Manifest, leaves: bool) -> None:
    other = await find_other_owner(rpc, manifest)
    if other is None:
        return
    if not leaves:
        raise other
    say(f"warning: {other.message}; this goes on: no owner can stop it\nhint: {other.hint} before you pay anything in")


async def say_waits(rpc: JsonRpc, is_waiting: Callable[[], bool]) -> None:
    """Tell the person who waits what the transaction waits for, at first soon, then seldom. is_waiting: while one is sent."""
    for pause_s in SAY_AGAIN.pauses():
        await trio.sleep(pause_s)
        pulse, where = rpc.pulse, rpc.where
        problem = pulse.describe()
        if not problem and is_waiting() and pulse.still_s >= SAY_AGAIN.first_s:
            problem = f"no new block at {where} for {show_wait(pulse.still_s)}"
        if problem:
            say(f"waiting for the chain: {problem}")


def make_intent(what: str) -> str:
    """A name for one effect of this command; another command's is another effect."""
    return f"{what}/{secrets.token_hex(8)}"


async def require_gas(rpc: JsonRpc, address: Address) -> None:
    """Raise UserError when the address cannot pay for any transaction."""
    if not await read_native_balance(rpc, address):
        raise UserError(
            "no gas",
            where=f"{to_hex(address)} on {rpc.where}",
            hint=f"send some of the chain's native token to {to_hex(address)} (on a devnet: xnode devnet fund)",
            code=ExitCode.FUNDS,
        )


def _read_name(app: App, section: str, name: str) -> str:
    return str(read_table(app.home).get(section, {}).get(name, ""))
