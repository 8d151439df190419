"""Bytes pass as the shape of a type just when they can be read as the type."""

from __future__ import annotations

import random
from typing import Annotated, Any

import msgspec
import pytest

from metering.codec import check_readable, decode, encode
from metering.receipt import SignedReceipt
from metering.shape import shape_of
from metering.units import U128, Address, Amount
from metering.voucher import Voucher
from tests.make.records import make_provider_lease, make_submitter_lease
from tests.make.values import make_escrow, make_job, make_terms
from xnode.node.records import Record


class Old(U128):
    """An earlier version wrote it as an integer."""

    __slots__ = ()
    was_integer = True


class Small(msgspec.Struct, frozen=True, tag="small"):
    amount: Amount
    who: Address = Address(bytes(20))


class Other(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    old: Old


class Listed(msgspec.Struct, frozen=True, array_like=True, rename="camel"):
    first_amount: Amount
    more: tuple[Amount, ...] = ()
    pair: tuple[int, Amount] | None = None


class Checked(msgspec.Struct, frozen=True):
    """Says more of itself than its types do."""

    number: int

    def __post_init__(self) -> None:
        if self.number == 7:
            raise ValueError("not seven")


class Whole(msgspec.Struct, frozen=True):
    one: Small | Other
    listed: list[Listed]
    named: dict[str, Amount]
    limited: Annotated[str, msgspec.Meta(max_length=3)]
    checked: Checked | None = None
    maybe: Amount | None = None


WHOLE = Whole(
    one=Small(Amount(5)),
    listed=[Listed(Amount(1), (Amount(2), Amount(3)), (4, Amount(5)))],
    named={"a": Amount(1 << 127)},
    limited="abc",
    checked=Checked(3),
)
OTHER = msgspec.structs.replace(WHOLE, one=Other(Old(9)), listed=[], checked=None, maybe=Amount(0))

SAMPLES: tuple[tuple[Any, Any], ...] = (
    (WHOLE, Whole),
    (OTHER, Whole),
    (make_submitter_lease(), Record),
    (make_provider_lease(), Record),
    (make_terms(), type(make_terms())),
    (make_escrow(), type(make_escrow())),
    (make_job(), type(make_job())),
)


def is_readable(check: Any, data: bytes, kind: Any) -> bool:
    try:
        check(data, kind)
    except (ValueError, RecursionError):
        return False
    return True


@pytest.mark.parametrize(("value", "kind"), SAMPLES)
def test_what_was_written_passes_and_what_was_changed_passes_when_it_can_be_read(value: Any, kind: Any) -> None:
    rng, data = random.Random(1), encode(value)
    check_readable(data, kind)
    found = []
    for _ in range(3000):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 3))):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        changed = changed[: rng.choice((len(changed), rng.randrange(len(changed))))]
        found.append(is_readable(decode, bytes(changed), kind))
        assert is_readable(check_readable, bytes(changed), kind) == found[-1], bytes(changed).hex()
    assert any(found) and not all(found)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (5, Amount),
        (bytes(15), Amount),
        (bytes(17), Amount),
        (-1, Old),
        ({"number": 7}, Checked),
        ({"number": 7}, Checked | None),
        ([bytes(16), [bytes(16), b"short"]], Listed),
        ([], Listed),
        ([bytes(16), [], [1, 2]], Listed),
        ({"type": "Other", "old": bytes(16), "more": 1}, Other),
        ({"type": "small"}, Small),
        (bytes(19), Address),
        ("four", Annotated[str, msgspec.Meta(max_length=3)]),
    ],
)
def test_what_cannot_be_read_does_not_pass(value: Any, kind: Any) -> None:
    data = msgspec.msgpack.encode(value)
    assert not is_readable(decode, data, kind)
    assert not is_readable(check_readable, data, kind)


def test_what_an_earlier_version_wrote_passes() -> None:
    for value in (5, bytes(16)):
        check_readable(msgspec.msgpack.encode(value), Old)
    check_readable(encode(Small(Amount(1))), Small | Other)
    check_readable(msgspec.msgpack.encode({"type": "small", "amount": bytes(16)}), Small)


def test_no_number_of_ours_is_left_in_what_is_on_the_way_of_every_receipt() -> None:
    for kind in (SignedReceipt, Voucher, Record):
        assert "Amount" not in str(_types_in(shape_of(kind)))


def _types_in(kind: Any) -> list[Any]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [found for one in msgspec.structs.fields(kind) for found in _types_in(one.type)]
    parts = getattr(kind, "__args__", ())
    return [found for one in parts for found in _types_in(one)] if parts else [kind]
