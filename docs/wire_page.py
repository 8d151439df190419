"""Wire page: docs/protocol-types.md, made from the types that nodes send each other: every field with its limit."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import msgspec
from code_words import find_end_reasons, find_statuses
from msgspec import inspect as types

from metering import capacity, evidence, prepay, receipt, refusal, resources, sla, tariff, terms, units, usage, voucher
from scheduler import book, job, offer, outputs, quote
from xnode.capacity import message as challenge
from xnode.capacity.opened_row import OpenedRow
from xnode.net import blobs, directory, records, wire
from xnode.net import outputs as output_stream
from xnode.node import effects, message

SPELLING = (
    "Every field of everything that nodes send each other, with its limits, made from the types by which the product reads "
    "it. How it is carried is in [protocol-net.md](protocol-net.md), what it means and who signs it in "
    "[protocol.md](protocol.md).",
    "## Spelling",
    "Bodies are canonical MessagePack: each value has one spelling, and a reader refuses bytes that are not what it would "
    "write itself. A value beyond its limit is refused before anything else is looked at (`malformed`).",
)

RULES = """- A type marked **map** is a map from its fields' names (`str`) to their values; one marked
  **array** is an array of its values. Both in the order of its table, all fields always there, none
  beside them.
- A type marked **tagged array** is an array with its tag, a `str`, before its values.
- Integers, `str`, `bin`, arrays and maps have their shortest form; an integer of zero or more has
  an unsigned one. There are no floats, no extension types, no timestamps. Text is UTF-8.
- No key stands twice in a map, and nothing follows the value.

| in the tables | what it is |
|---|---|
| `int A..B` | integer from A to B |
| `u128` | `bin` of 16 bytes: an unsigned number, big-endian. Money is in whole base units of the asset |
| `str A..B` | text of A to B characters (code points) |
| `bin A..B` | `bin` of A to B bytes: 20 an address, 32 a hash, 65 a signature (r, s, v with low s and v 27 or 28) |
| `bool`, `nil` | these |
| `"word"` | this text, or one of several |
| `[T] A..B` | array of A to B values T |
| `(T, U)` | array of exactly these |
| `T / U` | either; the default of an optional field is given beside it, and is sent like any other value |

Names end in their unit: `_ns` nanoseconds (`_at_ns`, `_until_ns`: since 1970 UTC), `_bytes`,
`_mbps` 10^6 bits a second, `_milli` thousandths, `_ppm` millionths; `thaw` and `deadline` are in
seconds."""

GROUPS: dict[str, tuple[type[msgspec.Struct], ...]] = {
    "Offers": (
        records.SignedRecord, records.NodeRecord, offer.SignedOffer, offer.Offer, offer.OfferBody, offer.HardwareProfile,
        offer.Gpu, resources.Resources, tariff.Tariff, sla.Promise,
    ),
    "Jobs and quotes": (
        job.Job, job.Image, job.InputFile, job.Blob, quote.SignedQuote, quote.Quote, quote.QuoteBody, message.QuoteAsk,
        message.QuoteQuery,
    ),
    "Leases": (
        message.LeaseOffer, terms.LeaseTerms, terms.Escrow, terms.Opening, message.LeaseQuery, effects.LeaseReport,
        job.OutputFile, message.Progress,
    ),
    "Receipts and vouchers": (
        message.ReceiptQueue, receipt.SignedReceipt, receipt.Receipt, usage.Usage, message.VoucherAnswer,
        voucher.SignedVoucher, voucher.Voucher, voucher.Coverage,
    ),
    "Logs, blobs and outputs": (
        message.LogQuery, message.LogPiece, blobs.BlobRequest, output_stream.OutputsRequest, output_stream.OutputsFrame,
        outputs.OutputSummary, outputs.FileEntry, outputs.LinkEntry, outputs.FolderEntry, outputs.LeftOut,
    ),
    "Frames and refusals": (wire.Request, wire.Response, refusal.Refusal),
    "Capacity challenges": (
        challenge.AnswerQuery, challenge.Answers, challenge.AnsweredDevice, challenge.ProductQuery, challenge.OpenQuery,
        OpenedRow, capacity.SignedVerdict, capacity.Verdict, capacity.SignedAnswer, capacity.CapacityAnswer,
        capacity.ElementProof,
    ),
    "Evidence": (
        evidence.LeaseDocument, evidence.CoveredVoucher, evidence.PrepaidVoucher, evidence.NumberedDocument,
        evidence.AnswerDocument, evidence.VerdictDocument,
    ),
}  # fmt: skip

WHOLE = (
    ("request, answer or item of a stream", f"{wire.MAX_BODY_BYTES:,} bytes"),
    (
        "signed record",
        f"{records.MAX_RECORD_BYTES:,} bytes; {records.MAX_MULTIADDRS} addresses; at most 48 h to its end",
    ),
    (
        "signed offer",
        f"{book.MAX_OFFER_BYTES:,} bytes; at most {book.MAX_OFFER_LIFE_NS // units.NANOS_PER_HOUR} h to its end",
    ),
    ("command, args and env of a job together", f"{job.MAX_TEXT_BYTES:,} bytes, with one for each word"),
    ("a part of an input's path", f"{job.MAX_PART_BYTES} bytes"),
    ("files of a job's inputs, those in packs too", f"{job.MAX_INPUT_FILES:,}"),
    ("stop signal of a job", " ".join(f"`{name}`" for name in job.STOP_SIGNALS if name) + ", or the empty text"),
    ("time from the stop signal to the kill", f"{job.MAX_GRACE_NS // units.NANOS_PER_SECOND} s"),
    (
        "inventory of outputs",
        f"{outputs.MAX_INVENTORY_BYTES:,} bytes; {outputs.MAX_ENTRIES:,} files, links and empty folders",
    ),
    (
        "a path of an output",
        f"{outputs.MAX_PATH_BYTES:,} bytes; {outputs.MAX_PART_BYTES} a part, {outputs.MAX_FOLDERS} folders",
    ),
    ("vouchers signed ahead", f"{prepay.STEPS}"),
    ("nodes that `peers.list` names", f"{directory.MAX_LISTED:,}"),
)
"""What no field says alone."""


def wire_sections() -> Iterator[str]:
    """The page below its title, part by part."""
    yield from SPELLING
    yield RULES
    yield "## Limits of a whole"
    yield _table("what", "at most", WHOLE)
    yield "## Names of states and reasons"
    yield "The `status` of a LeaseReport; how they follow each other is in [ARCHITECTURE.md](../ARCHITECTURE.md)."
    yield _table("status", "the lease", ((f"`{name}`", text) for name, text in find_statuses()))
    yield "The `end_reason` of a LeaseReport, nil while it has not ended."
    yield _table("reason", "when", ((f"`{name}`", text) for name, text in find_end_reasons()))
    yield "Codes of refusals are in [exit-codes.md](exit-codes.md#codes)."
    for title, members in GROUPS.items():
        yield f"## {title}"
        for one in members:
            yield from describe(one)


def describe(struct: type[msgspec.Struct]) -> Iterator[str]:
    """A type: its form, what is said of it, its fields."""
    config, info = struct.__struct_config__, types.type_info(struct)
    assert isinstance(info, types.StructType)
    yield f"### {struct.__name__}"
    form = "array" if config.array_like else "map"
    if config.tag is not None:
        form = f'tagged array, "{config.tag}"'
    yield f"**{form}**. {' '.join((inspect.getdoc(struct) or '').split())}"
    rows = []
    for field in info.fields:
        rows.append((f"`{field.encode_name}`", f"`{name_type(field.type)}`", _default_of(field)))
    yield _table("field", "type", rows, "default")


def _default_of(field: Any) -> str:
    if field.default is msgspec.NODEFAULT:
        return ""
    match field.default:
        case None:
            return "nil"
        case bool() as value:
            return str(value).lower()
        case int() | str() | tuple() as value:
            return f"`{value!r}`".replace("'", '"').replace("()", "[]")
        case value:
            return f"all of {type(value).__name__} at zero"


def name_type(info: Any) -> str:
    """A field's type as the tables write it."""
    match info:
        case types.StructType(cls=cls) | types.CustomType(cls=cls):
            return "u128" if issubclass(cls, units.U128) else str(cls.__name__)
        case types.UnionType(types=members):
            return " / ".join(map(name_type, members))
        case types.VarTupleType(item_type=item):
            return f"[{name_type(item)}] {info.min_length or 0}..{info.max_length}"
        case types.TupleType(item_types=members):
            return f"({', '.join(map(name_type, members))})"
        case types.IntType():
            return f"int {info.ge}..{_most_of(info)}"
        case types.StrType():
            return f"str {info.min_length or 0}..{info.max_length}"
        case types.BytesType():
            return f"bin {info.min_length or 0}..{info.max_length}"
        case types.LiteralType(values=values):
            return " / ".join(f'"{value}"' for value in values)
        case types.BoolType():
            return "bool"
        case types.NoneType():
            return "nil"
    raise TypeError(f"no name for {info}")


def _most_of(info: types.IntType) -> int:
    if info.lt is not None:
        return info.lt - 1
    return units.U64_MAX if info.le is None else info.le


def _table(first: str, second: str, rows: Any, *more: str) -> str:
    heads = (first, second, *more)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
