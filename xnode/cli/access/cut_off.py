"""Commands that were cut off: what they had sent, so that running one again does not do twice, without a word, what it did."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio
from sqlalchemy import Engine

from metering.units import Address
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.node.questions import ask_nonce, ask_receipt
from xnode.chain.send.tx_journal import SqlTxJournal, TxRecord, make_engine
from xnode.cli.terminal.screen import say
from xnode.errors import ExitCode, UserError
from xnode.home import Home
from xnode.text.hex import to_hex

MAX_SENT = 1_000
"""Transactions of one command that are looked at."""

WAIT_S = 120.0
"""For a transaction that an earlier command sent: many blocks of any chain."""

LOOK_S = 0.5

_LOOK = {
    "stake": "xnode provider stake",
    "unstake": "xnode provider stake",
    "withdraw-stake": "xnode provider stake",
    "pledge": "xnode provider stake",
    "leave": "xnode provider stake",
    "mint": "xnode provider mint",
    "burn": "xnode provider mint",
    "enlist": "xnode provider verifier",
    "challenge": "xnode provider capacity",
    "send": "xnode wallet balance",
    "redeem": "xnode wallet balance",
    "fees": "xnode wallet balance",
}
"""The command that shows what a command's transactions did; of all others it is the balance of what was deposited."""

_STEPS = dict.fromkeys(("approve", "approve-zero"), "the allowance only, which moves nothing")
"""Of a command that sends several: what one of them is, where its name does not say it."""


class CommandJournals:
    """The journals of the commands that send with one address on one chain, each in a folder for as long as it runs, and for
    longer when it could not see the end of what it sent."""

    def __init__(self, home: Home, chain_id: int, address: Address) -> None:
        self._parent, self._chain_id, self._address = home.data / "commands", chain_id, address
        self._prefix = f"{chain_id}-{address.hex()}-"

    @contextmanager
    def open(self) -> Iterator[Engine]:
        """A new journal. It stays behind when the process is killed, and with what is not final when the block is left."""
        self._parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = Path(tempfile.mkdtemp(prefix=self._prefix, dir=self._parent))
        with _locked(folder):
            engine = make_engine(folder / "transactions.db")
            try:
                yield engine
            finally:
                is_done = not SqlTxJournal(engine, self._chain_id, self._address).has_pending()
                engine.dispose()
                if is_done:
                    shutil.rmtree(folder)
                else:
                    # Such as at Ctrl-C: nothing takes back what the chain nodes have.
                    say(
                        "a transaction of this command may be out, and goes on without it: the same command, run again, tells"
                    )

    async def check(self, rpc: JsonRpc) -> None:
        """Raises UserError when an earlier command was cut off and what it sent is on its way, or, once, that it is done."""
        for folder in self._list_folders():
            with _locked(folder) as is_ours:
                if is_ours:
                    sent = await self._find_sent(rpc, folder)
                    if sent is None or sent.block is not None:
                        shutil.rmtree(folder)
                    if sent is not None:
                        raise sent.refuse()

    async def take_up(self, rpc: JsonRpc) -> None:
        """For a command that looks at the chain before each thing that it sends: waits for what an earlier one had sent, and
        says what that was. Raises UserError when it is still on its way after WAIT_S."""
        for folder in self._list_folders():
            with _locked(folder) as is_ours:
                if is_ours:
                    await self._wait_settled(rpc, folder)

    async def _wait_settled(self, rpc: JsonRpc, folder: Path) -> None:
        end = trio.current_time() + WAIT_S
        while (sent := await self._find_sent(rpc, folder)) is not None and sent.is_on_its_way:
            if trio.current_time() > end:
                raise sent.refuse()
            await trio.sleep(LOOK_S)
        shutil.rmtree(folder)
        if sent is not None:
            say(f"{sent.what}: an earlier try that was cut off had sent this already")

    def _list_folders(self) -> list[Path]:
        return sorted(self._parent.glob(f"{self._prefix}*"))

    async def _find_sent(self, rpc: JsonRpc, folder: Path) -> _Sent | None:
        """What the command of this folder had sent; None when nothing of it came to the chain, or another transaction took its
        place."""
        engine = make_engine(folder / "transactions.db")
        try:
            records = await SqlTxJournal(engine, self._chain_id, self._address).load_from_nonce(0, MAX_SENT)
        finally:
            engine.dispose()
        if not records:
            return None
        mined, known = await rpc.ask_all([ask_nonce(self._address), ask_nonce(self._address, "pending")])
        is_on_its_way = mined <= records[-1].nonce < known
        for record in reversed(records):
            block = await _find_block(rpc, record)
            if block is not None:
                return _Sent(record, block, is_on_its_way)
        return _Sent(records[-1], None, True) if is_on_its_way else None


@dataclass(frozen=True, slots=True)
class _Sent:
    """A transaction of a command that was cut off. block: where it is, None while it is in none; is_on_its_way: the command's
    last one, which may be another, is in none yet."""

    record: TxRecord
    block: int | None
    is_on_its_way: bool

    @property
    def what(self) -> str:
        return self.record.intent.partition("/")[0]

    @property
    def _step(self) -> str:
        """What of the command it is, in brackets; "" where the command sends this alone."""
        _, _, rest = self.record.intent.partition("/")
        step = rest.partition("/")[2]
        return f" ({_STEPS.get(step, step)})" if step and step != self.what else ""

    @property
    def _look(self) -> str:
        return _LOOK.get(self.what, "xnode pay balance")

    def refuse(self) -> UserError:
        name = to_hex(self.record.attempts[-1].tx_hash)
        if self.block is None:
            return UserError(
                f"a command that was cut off has sent this{self._step}: transaction {name} is on its way",
                where=self.what,
                hint="wait until it is in a block, and run this again then",
                code=ExitCode.CONFLICT,
            )
        return UserError(
            f"a command that was cut off had sent this{self._step}: transaction {name} is in block {self.block}",
            where=self.what,
            hint=f"`{self._look}` shows whether it did what you want now; running this again does it once more",
            code=ExitCode.CONFLICT,
        )


async def _find_block(rpc: JsonRpc, record: TxRecord) -> int | None:
    for attempt in record.attempts:
        receipt = await rpc.ask(ask_receipt(attempt.tx_hash))
        if receipt is not None:
            return receipt.block_number
    return None


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """The folder is its living command's; False when it is another's, or gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _try_lock(descriptor) and folder.exists()
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
