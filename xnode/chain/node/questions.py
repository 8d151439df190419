"""Questions: every call that we make of a chain node, with what its answer must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from metering.units import Address, Hash32
from xnode.chain.abi.log import Log
from xnode.chain.node.answers import (
    Block,
    BlockShape,
    CalldataShape,
    Data,
    FeeHistory,
    FeeHistoryShape,
    LogShape,
    LogsShape,
    Quantity,
    Question,
    Receipt,
    ReceiptShape,
    number_of,
    quantity_of,
)
from xnode.text.hex import parse_hex, to_hex

Topic = bytes | Sequence[bytes] | None
"""One value, any of several, or any at all."""

MAX_NONCE = 1 << 32
"""More transactions than any account has sent."""

FEE_BLOCKS = 5
"""Blocks whose median tips say what is usual."""


def _ask_quantity(method: str, *params: object) -> Question[int]:
    return Question(method, params, Quantity, quantity_of)


def _ask_number(method: str, *params: object) -> Question[int]:
    return Question(method, params, Quantity, number_of)


def ask_chain_id() -> Question[int]:
    return _ask_number("eth_chainId")


def ask_head() -> Question[int]:
    """The newest block's number."""
    return _ask_number("eth_blockNumber")


def ask_balance(address: Address) -> Question[int]:
    """Wei."""
    return _ask_quantity("eth_getBalance", to_hex(address), "latest")


def ask_nonce(address: Address, block: str | int = "latest") -> Question[int]:
    """How many transactions of the address are mined by then; with "pending", or are known to the node."""
    return Question("eth_getTransactionCount", (to_hex(address), _spell(block)), Quantity, _nonce_of)


def _nonce_of(text: str) -> int:
    found = number_of(text)
    if found > MAX_NONCE:
        raise ValueError(f"{found} transactions of one account")
    return found


def ask_gas_price() -> Question[int]:
    """Wei per gas, by a node that gives no fee history."""
    return _ask_quantity("eth_gasPrice")


def ask_block_size(number: int) -> Question[int]:
    """How many transactions a block has; 0 for one that is not there."""
    return Question("eth_getBlockTransactionCountByNumber", (hex(number),), Quantity | None, _quantity_or_zero)


def _quantity_or_zero(text: str | None) -> int:
    return number_of(text) if text else 0


def ask_code(address: Address) -> Question[bytes]:
    """A contract's code; empty where there is none."""
    return Question("eth_getCode", (to_hex(address), "latest"), Data, parse_hex)


def ask_call(to: Address, data: bytes, block: str | int = "latest") -> Question[bytes]:
    """What a call returns, without a transaction."""
    return Question("eth_call", ({"to": to_hex(to), "data": to_hex(data)}, _spell(block)), Data, parse_hex)


def ask_creation(sender: Address, code: bytes, standing: Mapping[Address, bytes]) -> Question[bytes]:
    """What code a contract's creation would leave, without a transaction. standing: code that is taken to be at an address."""
    request = {"from": to_hex(sender), "data": to_hex(code)}
    there = {to_hex(address): {"code": to_hex(one)} for address, one in standing.items()}
    return Question("eth_call", (request, "latest", there) if there else (request, "latest"), Data, parse_hex)


def ask_gas(sender: Address, to: Address | None, data: bytes, wei: int) -> Question[int]:
    """How much gas a transaction would take."""
    request = {"from": to_hex(sender), "data": to_hex(data), "value": hex(wei)}
    if to is not None:
        request["to"] = to_hex(to)
    return _ask_number("eth_estimateGas", request, "latest")


def ask_block(block: str | int) -> Question[Block | None]:
    """A block's header; None for one that the node does not have."""

    def make(shape: BlockShape | None) -> Block | None:
        found = shape.make() if shape is not None else None
        if found is not None and isinstance(block, int) and found.number != block:
            raise ValueError(f"block {found.number} instead of {block}")
        return found

    return Question("eth_getBlockByNumber", (_spell(block), False), BlockShape | None, make)


def ask_latest() -> Question[Block]:
    """The newest block's header."""
    return Question("eth_getBlockByNumber", ("latest", False), BlockShape, BlockShape.make)


def ask_receipt(tx_hash: Hash32) -> Question[Receipt | None]:
    """What became of a transaction; None while it is in no block."""

    def make(shape: ReceiptShape | None) -> Receipt | None:
        found = shape.make() if shape is not None else None
        if found is not None and found.tx_hash != tx_hash:
            raise ValueError("the receipt of another transaction")
        return found

    return Question("eth_getTransactionReceipt", (to_hex(tx_hash),), ReceiptShape | None, make)


def ask_calldata(tx_hash: Hash32) -> Question[bytes | None]:
    """What a transaction was sent with; None where the node does not have it."""

    def make(shape: CalldataShape | None) -> bytes | None:
        if shape is not None and parse_hex(shape.hash) != tx_hash:
            raise ValueError("another transaction")
        return parse_hex(shape.input) if shape is not None else None

    return Question("eth_getTransactionByHash", (to_hex(tx_hash),), CalldataShape | None, make)


def ask_fees() -> Question[FeeHistory]:
    """What blocks cost of late."""
    return Question("eth_feeHistory", (hex(FEE_BLOCKS), "latest", [50]), FeeHistoryShape, FeeHistoryShape.make)


def send_raw(raw: bytes) -> Question[bytes]:
    """Hands a transaction over; its hash."""
    return Question("eth_sendRawTransaction", (to_hex(raw),), Data, parse_hex)


def dump_state() -> Question[bytes]:
    """anvil's whole state, packed."""
    return Question("anvil_dumpState", (), Data, parse_hex)


def ask_logs(
    addresses: Sequence[Address], topics: Sequence[Topic], first_block: int, last_block: int
) -> Question[tuple[Log, ...]]:
    """The logs of some contracts in some blocks, in order, each once. One that was not asked for makes the answer unfit."""
    wanted = {
        "address": [to_hex(one) for one in addresses],
        "topics": [_topic_to_json(topic) for topic in topics],
        "fromBlock": hex(first_block),
        "toBlock": hex(last_block),
    }
    is_wanted = _make_filter(frozenset(addresses), topics, first_block, last_block)

    def make(shapes: list[LogShape]) -> tuple[Log, ...]:
        found: dict[tuple[int, int], Log] = {}
        for shape in shapes:
            log = shape.make()
            if not is_wanted(log):
                raise ValueError("a log that was not asked for")
            if found.setdefault((log.block_number, log.log_index), log) != log:
                raise ValueError("two logs in one place")
        return tuple(found[place] for place in sorted(found))

    return Question("eth_getLogs", (wanted,), LogsShape, make)


def _make_filter(
    addresses: frozenset[Address], topics: Sequence[Topic], first_block: int, last_block: int
) -> Callable[[Log], bool]:
    allowed = [
        topic if topic is None else frozenset((topic,) if isinstance(topic, bytes) else topic) for topic in topics
    ]

    def is_wanted(log: Log) -> bool:
        return (
            log.address in addresses
            and first_block <= log.block_number <= last_block
            and len(log.topics) >= len(allowed)
            and all(any_of is None or topic in any_of for topic, any_of in zip(log.topics, allowed, strict=False))
        )

    return is_wanted


def _topic_to_json(topic: Topic) -> Any:
    if topic is None or isinstance(topic, bytes):
        return None if topic is None else to_hex(topic)
    return [to_hex(one) for one in topic]


def _spell(block: str | int) -> str:
    return block if isinstance(block, str) else hex(block)
