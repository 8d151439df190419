"""The naive node: handles a receipt in the most obvious way: eth-account for the signatures, an ORM commit for each."""

from __future__ import annotations

from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data
from sqlalchemy import LargeBinary, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from metering.codec import decode, encode
from metering.eip712 import TYPES, Domain
from metering.receipt import Receipt
from metering.tariff import cost_of
from metering.terms import LeaseTerms
from metering.units import Hash32
from metering.voucher import Coverage, SignedVoucher, Voucher
from xnode.node.message import ReceiptQueue, VoucherAnswer
from xnode.store.database import set_pragmas


class _Table(DeclarativeBase):
    pass


class _Lease(_Table):
    """The last receipt of a lease, and what was signed for it."""

    __tablename__ = "lease"
    lease_id: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    number: Mapped[int]
    cost: Mapped[bytes] = mapped_column(LargeBinary(16))
    receipt: Mapped[bytes]
    signature: Mapped[bytes]
    voucher: Mapped[bytes]


class NaiveNode:
    """Checks, stores, signs: one receipt after the other."""

    def __init__(self, url: str, domain: Domain, secret: bytes, terms: dict[Hash32, LeaseTerms]) -> None:
        self._engine = create_engine(url)
        event.listen(self._engine, "connect", set_pragmas)
        event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        _Table.metadata.create_all(self._engine)
        self._account, self._terms = Account.from_key(secret), terms
        self._domain = {
            "name": domain.name,
            "version": domain.version,
            "chainId": domain.chain_id,
            "verifyingContract": "0x" + domain.contract.hex(),
        }

    def take(self, body: bytes) -> bytes:
        """The answer to a push of one receipt; raises ValueError when it is not acceptable."""
        signed = decode(body, ReceiptQueue).receipts[0]
        receipt = signed.receipt
        terms = self._terms[receipt.lease_id]
        message = encode_typed_data(self._domain, _TYPES["Receipt"], _make_message(receipt))
        signer = Account.recover_message(message, signature=signed.signature)
        with Session(self._engine) as session:
            lease = session.get(_Lease, receipt.lease_id)
            last_number, last_cost = (lease.number, int.from_bytes(lease.cost, "big")) if lease else (0, 0)
            if bytes.fromhex(signer[2:]) != terms.node or receipt.number != last_number + 1:
                raise ValueError("wrong signer or number")
            if receipt.cost < last_cost or receipt.cost != cost_of(receipt.usage, terms.tariff):
                raise ValueError("wrong cost")
            voucher = Voucher(terms.escrow_id, receipt.cost, Hash32(bytes(32)))
            promise = encode_typed_data(self._domain, _TYPES["Voucher"], _make_message(voucher))
            signature = bytes(self._account.sign_message(promise).signature)
            lease = lease or _Lease(lease_id=receipt.lease_id)
            lease.number, lease.cost = receipt.number, receipt.cost.to_bytes(16, "big")
            lease.receipt, lease.signature, lease.voucher = encode(receipt), signed.signature, encode(voucher)
            session.add(lease)
            session.commit()
        return encode(VoucherAnswer(SignedVoucher(voucher, signature), Coverage(0, Hash32(bytes(32)), ())))

    def close(self) -> None:
        """Let the database go."""
        self._engine.dispose()


def _make_types(*names: str) -> dict[str, list[dict[str, str]]]:
    fields = {name: TYPES[name].partition("(")[2].rstrip(")").split(",") for name in names}
    return {
        name: [dict(zip(("type", "name"), one.split(), strict=True)) for one in found] for name, found in fields.items()
    }


_TYPES = {"Receipt": _make_types("Receipt", "Usage"), "Voucher": _make_types("Voucher")}


def _make_message(value: Receipt | Voucher) -> dict[str, Any]:
    """By the names the type strings use: camel case."""
    message = {}
    for field in value.__struct_fields__:
        head, *rest = field.split("_")
        inner = getattr(value, field)
        is_struct = hasattr(inner, "__struct_fields__")
        message[head + "".join(word.title() for word in rest)] = _make_message(inner) if is_struct else inner
    return message
