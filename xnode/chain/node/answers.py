"""Answers: the one decoder of what a chain node says: JSON of a stranger in, typed values or UnfitAnswer out.

Strict about every field that we use, and blind to all others: nodes add fields of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from metering.units import Address, Hash32
from xnode.chain.abi.log import Log
from xnode.errors import Retryable
from xnode.text.hex import parse_hex

R_co = TypeVar("R_co", covariant=True)

MAX_SHOWN = 60
"""Of an answer that does not fit, in the error about it."""

MAX_LOGS = 100_000
"""Of one answer: 500 blocks full of our events are fewer."""

Quantity = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{1,64}\Z")]
Data = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]*\Z")]
_Hash = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{64}\Z")]
_Address = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{40}\Z")]


class UnfitAnswer(Retryable):
    """The chain node said something that is no answer to what it was asked. It may be fixed, or another may answer next."""


class Unfit(ValueError):
    """An answer does not fit its question; the message says what is wrong, without where."""


class Question(msgspec.Struct, Generic[R_co], frozen=True):
    """One call of a chain node. shape: what msgspec checks its result against; make: the value for callers, from that; it
    raises ValueError for what does not fit."""

    method: str
    params: tuple[Any, ...]
    shape: Any
    make: Callable[[Any], R_co]

    def read(self, result: bytes) -> R_co:
        """The value of a result. Raises Unfit."""
        try:
            return self.make(msgspec.json.decode(result, type=self.shape))
        except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
            raise Unfit(f"{show_answer(result)}: {error}") from error


class Block(msgspec.Struct, frozen=True):
    """A block's header, as far as we use it. timestamp: seconds UTC."""

    number: int
    hash: Hash32
    parent_hash: Hash32
    timestamp: int


class Receipt(msgspec.Struct, frozen=True):
    """What became of a mined transaction. made: the contract that it made."""

    tx_hash: Hash32
    block_number: int
    ok: bool
    gas_used: int
    made: Address | None
    logs: tuple[Log, ...]


class FeeHistory(msgspec.Struct, frozen=True):
    """base_fee: of the next block, wei per gas; tips: the median tip of each of the latest blocks."""

    base_fee: int
    tips: tuple[int, ...]


# ---------------------------------------------------------------------------------------------------------------- shapes


class BlockShape(msgspec.Struct, rename="camel"):
    """A block as JSON-RPC has it."""

    number: Quantity
    hash: _Hash
    parent_hash: _Hash
    timestamp: Quantity

    def make(self) -> Block:
        """It, typed."""
        return Block(number_of(self.number), _hash_of(self.hash), _hash_of(self.parent_hash), number_of(self.timestamp))


class LogShape(msgspec.Struct, rename="camel"):
    """A log entry as JSON-RPC has it."""

    address: _Address
    topics: Annotated[list[_Hash], msgspec.Meta(max_length=4)]
    data: Data
    block_number: Quantity
    block_hash: _Hash
    transaction_hash: _Hash
    log_index: Quantity
    removed: bool | None = None

    def make(self) -> Log:
        """It, typed."""
        if self.removed:
            raise ValueError("a log that a reorg has removed")
        return Log(
            Address(parse_hex(self.address)),
            tuple(map(_hash_of, self.topics)),
            parse_hex(self.data),
            number_of(self.block_number),
            _hash_of(self.block_hash),
            _hash_of(self.transaction_hash),
            number_of(self.log_index),
        )


LogsShape = Annotated[list[LogShape], msgspec.Meta(max_length=MAX_LOGS)]


class CalldataShape(msgspec.Struct, frozen=True):
    """Of eth_getTransactionByHash."""

    hash: _Hash
    input: Data


class ReceiptShape(msgspec.Struct, rename="camel"):
    """A receipt as JSON-RPC has it; of a transaction that is still pending some nodes give one without a block."""

    transaction_hash: _Hash
    block_number: Quantity | None = None
    status: Quantity | None = None
    gas_used: Quantity | None = None
    contract_address: _Address | None = None
    logs: LogsShape | None = None

    def make(self) -> Receipt | None:
        """It, typed; None while it is in no block."""
        if self.block_number is None:
            return None
        if self.status is None or self.gas_used is None:
            raise ValueError("a receipt of a mined transaction without status or gasUsed")
        status = quantity_of(self.status)
        if status not in (0, 1):
            raise ValueError(f"a receipt's status is 0x0 or 0x1, not {self.status}")
        made = Address(parse_hex(self.contract_address)) if self.contract_address else None
        logs = tuple(one.make() for one in self.logs or ())
        return Receipt(
            _hash_of(self.transaction_hash),
            number_of(self.block_number),
            status == 1,
            number_of(self.gas_used),
            made,
            logs,
        )


class FeeHistoryShape(msgspec.Struct, rename="camel"):
    """eth_feeHistory's answer. base_fee_per_gas ends with the next block's."""

    base_fee_per_gas: Annotated[list[Quantity | None], msgspec.Meta(min_length=1, max_length=1025)]
    reward: Annotated[list[list[Quantity]], msgspec.Meta(max_length=1024)] | None = None

    def make(self) -> FeeHistory:
        """It, typed."""
        base = self.base_fee_per_gas[-1]
        if base is None:
            raise ValueError("no base fee")
        return FeeHistory(quantity_of(base), tuple(quantity_of(block[0]) for block in self.reward or () if block))


def quantity_of(text: str) -> int:
    """The number of a Quantity."""
    return int(text, 16)


def number_of(text: str) -> int:
    """The number of a Quantity that counts or dates something: one beyond 63 bits is nonsense that would outlive its answer."""
    found = int(text, 16)
    if found >= 1 << 63:
        raise ValueError(f"{text} is beyond all numbers of this kind")
    return found


def _hash_of(text: str) -> Hash32:
    return Hash32(parse_hex(text))


# -------------------------------------------------------------------------------------------------------------- envelope


class NodeError(msgspec.Struct, frozen=True):
    """A JSON-RPC error. code: 0 where the node's is no number; data: revert data, where it has some."""

    code: int
    message: str
    data: bytes | None


class _Reply(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class _ErrorShape(msgspec.Struct):
    code: Any = 0
    message: Any = ""
    data: Any = None


_replies = msgspec.json.Decoder(list[_Reply] | _Reply)


def open_envelope(content: bytes, ids: Sequence[int]) -> list[bytes | NodeError]:
    """For each call by its id, in order: its result's JSON, or its error. Raises Unfit when there is no answer to one.

    An error that stands alone for several calls is the error of all of them.
    """
    try:
        found = _replies.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Unfit(f"{show_answer(content)}: {error}") from error
    replies = found if isinstance(found, list) else [found]
    by_id = {bytes(reply.id).strip(b'"'): reply for reply in replies}
    alone = replies[0] if len(replies) == 1 and not _has(replies[0].id) else None
    if alone is not None and len(ids) > 1 and not _has(alone.error):
        alone = None
    opened = []
    for one in ids:
        reply = by_id.get(b"%d" % one) or alone
        if reply is None:
            raise Unfit(f"{show_answer(content)}: no reply has the id {one}")
        opened.append(_open(reply))
    return opened


def _has(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in (b"", b"null")


def _open(reply: _Reply) -> bytes | NodeError:
    if _has(reply.error):
        return _read_error(bytes(reply.error))
    if not bytes(reply.result):
        raise Unfit("neither a result nor an error")
    return bytes(reply.result)


def _read_error(raw: bytes) -> NodeError:
    try:
        shape = msgspec.json.decode(raw, type=_ErrorShape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Unfit(f"an error that is not one: {show_answer(raw)}") from error
    if not isinstance(shape.code, int) or not isinstance(shape.message, str):
        raise Unfit(f"an error that is not one: {show_answer(raw)}")
    data = shape.data.get("data") if isinstance(shape.data, dict) else shape.data
    return NodeError(shape.code, shape.message, _find_revert_data(data))


def _find_revert_data(data: object) -> bytes | None:
    if isinstance(data, str) and data.startswith("0x") and len(data) >= 10:
        try:
            return parse_hex(data)
        except ValueError:
            return None
    return None


def show_answer(content: bytes) -> str:
    """An answer's beginning, safe to print."""
    text = ascii(content[: MAX_SHOWN + 1].decode(errors="replace"))[1:-1]
    return text if len(content) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
