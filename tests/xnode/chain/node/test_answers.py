"""A chain node may say anything: every question gives its typed answer or Unfit, and no other code sees raw JSON."""

from __future__ import annotations

import ast
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import xnode
from metering.units import Address, Hash32
from xnode.chain.node import questions
from xnode.chain.node.answers import NodeError, Question, Receipt, Unfit, open_envelope

ADDRESS, HASH = Address(b"\x11" * 20), Hash32(b"\x22" * 32)

QUESTIONS: tuple[Question[object], ...] = (
    questions.ask_chain_id(),
    questions.ask_head(),
    questions.ask_balance(ADDRESS),
    questions.ask_nonce(ADDRESS, "pending"),
    questions.ask_gas_price(),
    questions.ask_block_size(5),
    questions.ask_code(ADDRESS),
    questions.ask_call(ADDRESS, b""),
    questions.ask_creation(ADDRESS, b"\x00", {ADDRESS: b"\x00"}),
    questions.ask_gas(ADDRESS, None, b"", 0),
    questions.ask_block(5),
    questions.ask_latest(),
    questions.ask_receipt(HASH),
    questions.ask_fees(),
    questions.ask_calldata(HASH),
    questions.send_raw(b"\x01"),
    questions.dump_state(),
    questions.ask_logs((ADDRESS,), (HASH, None), 1, 9),
)

# Words that answers are made of, so that what is drawn comes near to what fits.
words = st.sampled_from(
    ["0x", "0x0", "0x5", "0x05", "5", "", "0x" + "11" * 20, "0x" + "22" * 32, "0x" + "f" * 64, "0xzz", "0X5", "0x1\n"]
)
_KEYS = """number hash parentHash timestamp address topics data blockNumber blockHash transactionHash logIndex removed
status gasUsed contractAddress logs hash input baseFeePerGas reward effectiveGasPrice"""
keys = st.sampled_from(_KEYS.split())
leaves = st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats(allow_nan=False) | words | st.text(max_size=5)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | st.text(max_size=3), inner),
    max_leaves=12,
)


def test_every_question_is_looked_at() -> None:
    names = {name for name in vars(questions) if name.startswith(("ask_", "send_", "dump_"))}
    assert len(QUESTIONS) == len(names)


@given(values)
def test_any_json_is_an_answer_or_unfit(value: object) -> None:
    for question in QUESTIONS:
        try:
            question.read(json.dumps(value).encode())
        except Unfit as error:
            assert str(error).isprintable()


@given(st.binary(max_size=60))
def test_any_bytes_are_an_answer_or_unfit(content: bytes) -> None:
    for question in QUESTIONS:
        with suppress(Unfit):
            question.read(content)
    with suppress(Unfit):
        open_envelope(content, (1, 2))


replies = st.dictionaries(st.sampled_from(["id", "result", "error", "jsonrpc", "code", "message", "data"]), values)


@given(replies | st.lists(replies, max_size=3) | values, st.sampled_from([(1,), (1, 2)]))
def test_any_reply_is_opened_or_unfit(value: object, ids: tuple[int, ...]) -> None:
    try:
        found = open_envelope(json.dumps(value).encode(), ids)
    except Unfit as error:
        assert str(error).isprintable()
        return
    assert all(isinstance(one, bytes | NodeError) for one in found)


# ------------------------------------------------------------------------------------------------------- one by one


def receipt(**changed: object) -> bytes:
    whole: dict[str, object] = {
        "transactionHash": "0x" + "22" * 32,
        "blockNumber": "0x5",
        "status": "0x1",
        "gasUsed": "0x5208",
        "contractAddress": None,
        "logs": [],
    }
    return json.dumps(whole | changed).encode()


def test_a_receipt_of_a_transaction_in_no_block_is_none() -> None:
    question = questions.ask_receipt(HASH)
    assert question.read(receipt()) == Receipt(HASH, 5, True, 0x5208, None, ())
    assert question.read(receipt(blockNumber=None, status=None)) is None
    assert question.read(b"null") is None


@pytest.mark.parametrize(
    "changed", [{"status": None}, {"status": "0x2"}, {"gasUsed": None}, {"transactionHash": "0x" + "33" * 32}]
)
def test_a_receipt_that_does_not_say_how_it_went_is_unfit(changed: dict[str, object]) -> None:
    with pytest.raises(Unfit):
        questions.ask_receipt(HASH).read(receipt(**changed))


def log(**changed: object) -> dict[str, object]:
    whole: dict[str, object] = {
        "address": "0x" + "11" * 20,
        "topics": ["0x" + "22" * 32],
        "data": "0x",
        "blockNumber": "0x5",
        "blockHash": "0x" + "44" * 32,
        "transactionHash": "0x" + "55" * 32,
        "logIndex": "0x0",
        "removed": False,
    }
    return whole | changed


def read_logs(*logs: dict[str, object]) -> list[tuple[int, int]]:
    found = questions.ask_logs((ADDRESS,), (HASH,), 1, 9).read(json.dumps(logs).encode())
    return [(one.block_number, one.log_index) for one in found]


def test_logs_come_in_order_and_once() -> None:
    late, early = log(blockNumber="0x6"), log(blockNumber="0x5", logIndex="0x1")
    assert read_logs(late, log(), early, log(), late) == [(5, 0), (5, 1), (6, 0)]


@pytest.mark.parametrize(
    "changed",
    [
        {"address": "0x" + "12" * 20},
        {"topics": ["0x" + "23" * 32]},
        {"topics": []},
        {"blockNumber": "0xa"},
        {"blockNumber": None},
        {"removed": True},
        {"data": "0x1"},
        {"topics": ["0x22"]},
    ],
)
def test_logs_that_were_not_asked_for_are_unfit(changed: dict[str, object]) -> None:
    with pytest.raises(Unfit):
        read_logs(log(), log(**changed))


def test_two_logs_in_one_place_are_unfit() -> None:
    with pytest.raises(Unfit, match="two logs in one place"):
        read_logs(log(), log(data="0x05"))


def test_another_block_than_the_one_asked_for_is_unfit() -> None:
    block = {"number": "0x6", "hash": "0x" + "22" * 32, "parentHash": "0x" + "22" * 32, "timestamp": "0x1"}
    assert questions.ask_latest().read(json.dumps(block).encode()).number == 6
    with pytest.raises(Unfit, match="block 6 instead of 5"):
        questions.ask_block(5).read(json.dumps(block).encode())


@pytest.mark.parametrize("history", ['{"baseFeePerGas": []}', '{"baseFeePerGas": [null]}', '{"reward": []}', "null"])
def test_a_fee_history_without_a_base_fee_is_unfit(history: str) -> None:
    with pytest.raises(Unfit):
        questions.ask_fees().read(history.encode())


# ---------------------------------------------------------------------------------------------------- nowhere else


def test_no_other_code_names_a_method_of_the_chain_node() -> None:
    named = {}
    package = Path(xnode.__file__).parent
    for path in package.rglob("*.py"):
        texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        found = [text for text in texts if isinstance(text, str) and text.startswith("eth_") and text.isidentifier()]
        if found:
            named[str(path.relative_to(package))] = found
    # eth_tester and kin are packages, not methods.
    assert set(named) == {"chain/node/questions.py"}, named
