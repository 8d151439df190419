"""The receipts that calldata shows, whatever contract they went through."""

from __future__ import annotations

from metering.receipt import SignedReceipt
from metering.units import Amount
from tests.make.records import make_receipt
from tests.make.values import address_of
from xnode.chain.contracts.breach_prover import MAX_ANSWERS, SHOW_RECEIPT, find_answers, make_answer
from xnode.chain.contracts.payment_escrow import MULTICALL

SIGNED = SignedReceipt(make_receipt(10), bytes(range(65)))
LAST = SignedReceipt(make_receipt(20, final=True), bytes(65))


def test_a_receipt_is_read_as_it_was_signed() -> None:
    assert find_answers(make_answer(SIGNED)) == (SIGNED,)
    (found,) = find_answers(make_answer(LAST))
    assert found == LAST and isinstance(found.receipt.cost, Amount)


def test_also_as_part_of_another_contracts_call() -> None:
    packed = MULTICALL.encode([make_answer(SIGNED), make_answer(LAST)])
    assert find_answers(packed) == (SIGNED, LAST)
    assert find_answers(b"\x01\x02\x03" + make_answer(SIGNED)) == (SIGNED,)


def test_calldata_that_shows_none_gives_none() -> None:
    selector = SHOW_RECEIPT.selector
    for data in (b"", selector, selector + address_of(1), make_answer(SIGNED)[:-65], b"\xff" * 700, selector * 1000):
        assert find_answers(data) == ()


def test_no_more_are_looked_for_than_a_wallet_packs() -> None:
    calls = [make_answer(SIGNED)] * (MAX_ANSWERS + 5)
    assert len(find_answers(MULTICALL.encode(calls))) == MAX_ANSWERS
