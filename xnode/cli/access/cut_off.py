"""Commands that were cut off: what they had sent, so that running one again does not do twice, without a word, what it did."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from metering.units import Address
from xnode.chain.node.json_rpc import JsonRpc
from xnode.chain.node.questions import ask_nonce, ask_receipt
from xnode.chain.send.tx_journal import SqlTxJournal, TxRecord, make_engine
from xnode.errors import ExitCode, UserError
from xnode.home import Home
from xnode.text.hex import to_hex

MAX_SENT = 1_000
"""Transactions of one command that are looked at."""


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

    async def check(self, rpc: JsonRpc) -> None:
        """Raises UserError when an earlier command was cut off and what it sent is on its way, or, once, that it is done."""
        for folder in sorted(self._parent.glob(f"{self._prefix}*")):
            with _locked(folder) as is_ours:
                if is_ours:
                    await self._check_folder(rpc, folder)

    async def _check_folder(self, rpc: JsonRpc, folder: Path) -> None:
        engine = make_engine(folder / "transactions.db")
        try:
            records = await SqlTxJournal(engine, self._chain_id, self._address).load_from_nonce(0, MAX_SENT)
        finally:
            engine.dispose()
        for record in reversed(records):
            block = await _find_block(rpc, record)
            if block is not None:
                shutil.rmtree(folder)
                raise UserError(
                    f"a command that was cut off had sent this: transaction {_name(record)} is in block {block}",
                    where=_what(record),
                    hint="look whether it did what you want now; running this again does it once more",
                    code=ExitCode.CONFLICT,
                )
        mined, known = await rpc.ask_all([ask_nonce(self._address), ask_nonce(self._address, "pending")])
        if records and mined <= records[-1].nonce < known:
            raise UserError(
                f"a command that was cut off has sent this: transaction {_name(records[-1])} is on its way",
                where=_what(records[-1]),
                hint="wait until it is in a block, and run this again then",
                code=ExitCode.CONFLICT,
            )
        # It never came to the chain node, or another transaction took its place.
        shutil.rmtree(folder)


async def _find_block(rpc: JsonRpc, record: TxRecord) -> int | None:
    for attempt in record.attempts:
        receipt = await rpc.ask(ask_receipt(attempt.tx_hash))
        if receipt is not None:
            return receipt.block_number
    return None


def _what(record: TxRecord) -> str:
    return record.intent.partition("/")[0]


def _name(record: TxRecord) -> str:
    return to_hex(record.attempts[-1].tx_hash)


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
