"""What a transaction is to do is written as it is read back, whatever kind of number it was made with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metering.codec import decode, encode
from metering.units import Amount, Hash32
from tests.make.values import address_of
from xnode.chain.send.tx_journal import Attempt, SqlTxJournal, TxCall, TxRecord, make_engine

PAID = TxRecord(
    "pay", TxCall(address_of(1), b"", value=Amount(7)), 21_000, (Attempt(0, 2, 1, Hash32(bytes(32)), b"raw"),)
)


def test_money_is_written_as_wei() -> None:
    call = TxCall(address_of(1), b"", value=Amount(10**18), gas_floor=Amount(5))
    assert (type(call.value), type(call.gas_floor)) == (int, int)
    assert decode(encode(call), TxCall) == call == TxCall(address_of(1), b"", 10**18, 5)


async def test_a_payment_of_an_amount_is_found_again(tmp_path: Path) -> None:
    journal = SqlTxJournal(make_engine(tmp_path / "tx.sqlite"), 1, address_of(0))
    await journal.save(PAID)
    assert await journal.load_pending() == (PAID,) and await journal.load("pay") == PAID


@pytest.mark.parametrize("value", [1.0, "1", True, None, b"\x01"])
def test_what_is_no_whole_number_is_no_value(value: Any) -> None:
    with pytest.raises(TypeError, match="value of a transaction is a whole number"):
        TxCall(address_of(1), b"", value=value)
