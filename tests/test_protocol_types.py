"""The protocol's tables are enough to write a peer from: an offer built from them alone, without any of our types, is taken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import msgpack
import msgspec
import pytest
from coincurve import PrivateKey
from sha3 import keccak_256

from metering.codec import decode_strict
from metering.units import NANOS_PER_HOUR
from scheduler.book import Book
from scheduler.job import Job
from scheduler.offer import SignedOffer
from tests.make.values import DOMAIN, NOW_NS, SEPARATOR
from tests.test_bounds import WIRE
from xnode.net.records import NodeRecord, read_record
from xnode.node.lease import EndReason, LeaseStatus

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "protocol-types.md").read_text()


@dataclass(frozen=True)
class Table:
    """What the page says of a type. form: "map" or "array"; fields: (name, type) in order."""

    form: str
    fields: tuple[tuple[str, str], ...]


def read_tables() -> dict[str, Table]:
    """Every type on the page."""
    found = {}
    for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        name = section.partition("\n")[0]
        form = re.search(r"^\*\*(map|array|tagged array)\b", section, re.MULTILINE)
        assert form is not None, name
        rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", section.partition("\n## ")[0], re.MULTILINE)
        found[name] = Table(form[1], tuple(rows))
    return found


TABLES = read_tables()


# --------------------------------------------------------------- a peer that knows MessagePack, keccak, secp256k1, and the page


def write(kind: str, value: Any) -> Any:
    """The plain value to give to a MessagePack library for a value of a type that the page names."""
    if kind in TABLES:
        table = TABLES[kind]
        assert set(value) == {name for name, _ in table.fields}, kind
        written = {name: write(inner, value[name]) for name, inner in table.fields}
        return written if table.form == "map" else list(written.values())
    if kind == "u128":
        return value.to_bytes(16, "big")
    listed = re.fullmatch(r"\[(.+)\] (\d+)\.\.(\d+)", kind)
    if listed:
        assert int(listed[2]) <= len(value) <= int(listed[3])
        return [write(listed[1], one) for one in value]
    sized = re.fullmatch(r"(int|str|bin) (\d+)\.\.(\d+)", kind)
    if sized:
        assert int(sized[2]) <= (value if sized[1] == "int" else len(value)) <= int(sized[3])
    else:
        assert kind == "bool", kind
    return value


def pack(kind: str, value: Any) -> bytes:
    return bytes(msgpack.packb(write(kind, value), use_bin_type=True))


def keccak(data: bytes) -> bytes:
    return bytes(keccak_256(data).digest())


def word(value: Any) -> bytes:
    """EIP-712's 32 bytes of an address, a hash or a number."""
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


def sign(key: PrivateKey, type_name: str, values: list[Any]) -> bytes:
    """As protocol.md says of signatures; the type's string stands there."""
    (type_string,) = re.findall(rf"^{type_name}\(.*\)$", (DOCS / "protocol.md").read_text(), re.MULTILINE)
    domain_type = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    domain = [keccak(domain_type), keccak(b"xnode"), keccak(b"1"), DOMAIN.chain_id, DOMAIN.contract]
    struct = [keccak(type_string.encode()), *values]
    digest = keccak(b"\x19\x01" + keccak(b"".join(map(word, domain))) + keccak(b"".join(map(word, struct))))
    raw: bytes = key.sign_recoverable(digest, hasher=None)
    return raw[:64] + bytes((raw[64] + 27,))


KEY = PrivateKey((4711).to_bytes(32, "big"))
NODE = keccak(KEY.public_key.format(compressed=False)[1:])[12:]
GPU = {"vendor": "nvidia", "model": "NVIDIA H200", "memory_bytes": 150 << 30, "driver": "550.54.15", "uuid": "GPU-1"}
PROFILE = {
    "cpu_model": "a processor", "cpu_cores": 4, "cpu_threads": 8, "memory_bytes": 16 << 30, "disk_bytes": 100 << 30,
    "architecture": "x86_64", "kernel": "6.1", "gpus": [GPU], "network_mbps": 1_000, "cgroup_version": 2,
}  # fmt: skip
RESOURCES = {
    "vcpu_milli": 8_000,
    "memory_bytes": 16 << 30,
    "disk_bytes": 100 << 30,
    "gpus": 1,
    "gpu_model": "NVIDIA H200",
}
PRICES = ("vcpu_hour", "memory_gib_hour", "disk_gib_hour", "gpu_hour", "ingress_gb", "egress_gb")
BODY = {
    "profile": PROFILE, "capacity": RESOURCES, "free": RESOURCES, "tariff": dict.fromkeys(PRICES, 10**17),
    "asset": b"\xaa" * 20, "region": "eu-west", "interval_ns": 10 * 10**9, "exposure_intervals": 2,
    "min_duration_ns": 10**9, "max_duration_ns": 24 * NANOS_PER_HOUR, "thaw": 3_600, "allows_network": True,
    "runtime": "crun", "software": "other/1.0", "multiaddrs": ["/ip4/192.0.2.1/tcp/4001"], "fetches_images": True,
    "promise": {"availability_ppm": 0, "refund_ppm": 0},
}  # fmt: skip


def make_offer(body: dict[str, Any]) -> bytes:
    """A signed offer, as a peer in another language writes it."""
    head = {"provider": b"\x22" * 20, "node": NODE, "number": NOW_NS // 10**6, "expires_at_ns": NOW_NS + NANOS_PER_HOUR}
    signature = sign(KEY, "Offer", [*head.values(), keccak(pack("OfferBody", body))])
    return pack("SignedOffer", {"offer": {**head, "body": body}, "signature": signature})


def make_record(body: bytes) -> bytes:
    """The record that carries it: its body's hash is over the body and the addresses."""
    addrs = BODY["multiaddrs"]
    head = {"node": NODE, "number": NOW_NS // 10**6, "expires_at_ns": NOW_NS + NANOS_PER_HOUR}
    signature = sign(KEY, "NodeRecord", [*head.values(), keccak(msgpack.packb([body, addrs], use_bin_type=True))])
    return pack("SignedRecord", {"record": {**head, "multiaddrs": addrs, "body": body}, "signature": signature})


def test_an_offer_written_from_the_tables_alone_is_taken() -> None:
    data = make_offer(BODY)
    book = Book(SEPARATOR)
    assert book.add(decode_strict(data, SignedOffer), NOW_NS) is None
    taken = book.get(NODE)  # type: ignore[arg-type]
    assert taken is not None and taken.offer.body.profile.gpus[0].model == "NVIDIA H200"
    record = read_record(make_record(data), NODE, SEPARATOR, NOW_NS)  # type: ignore[arg-type]
    assert isinstance(record, NodeRecord) and record.body == data


# ------------------------------------------------------------------------------------------------- the limits are the product's


def find_edges(kind: str, value: Any) -> Iterator[tuple[Any, bool]]:
    """(the value with one field at its limit or just beyond it, whether it may be read), for every limit below a type."""
    if kind in TABLES:
        for name, inner in TABLES[kind].fields:
            for edge, may in find_edges(inner, value[name]):
                yield {**value, name: edge}, may
    listed = re.fullmatch(r"\[(.+)\] (\d+)\.\.(\d+)", kind)
    if listed:
        most = int(listed[3])
        yield [*value, *[value[0]] * (most - len(value))], True
        yield [value[0]] * (most + 1), False
        yield from (([edge], may) for edge, may in find_edges(listed[1], value[0]))
    sized = re.fullmatch(r"(int|str) (\d+)\.\.(\d+)", kind)
    if sized:
        most = int(sized[3])
        yield (most if sized[1] == "int" else "x" * most), True
        if most < 2**64 - 1:
            yield (most + 1 if sized[1] == "int" else "x" * (most + 1)), False


def plain(kind: str, value: Any) -> Any:
    """As write(), for values beyond the limits."""
    if kind in TABLES:
        written = {name: plain(inner, value[name]) for name, inner in TABLES[kind].fields}
        return written if TABLES[kind].form == "map" else list(written.values())
    listed = re.fullmatch(r"\[(.+)\] .*", kind)
    return [plain(listed[1], one) for one in value] if listed else write("u128", value) if kind == "u128" else value


def test_each_limit_of_an_offer_on_the_page_is_where_the_product_has_it() -> None:
    edges = list(find_edges("OfferBody", BODY))
    assert len(edges) >= 60
    for body, may in edges:
        offer = {"provider": bytes(20), "node": NODE, "number": 1, "expires_at_ns": 1, "body": body}
        data = msgpack.packb(plain("SignedOffer", {"offer": offer, "signature": bytes(65)}), use_bin_type=True)
        if may:
            decode_strict(data, SignedOffer)
        else:
            with pytest.raises(msgspec.ValidationError):
                decode_strict(data, SignedOffer)


def find_structs(kind: Any) -> set[str]:
    """Names of all structs that a type of the wire holds."""
    info = msgspec.inspect.type_info(kind)
    waiting, found = [info], set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, msgspec.inspect.StructType) and one.cls.__name__ not in found:
            found.add(one.cls.__name__)
            waiting += [field.type for field in one.fields]
        waiting += [*getattr(one, "types", ()), *getattr(one, "item_types", ())]
        if isinstance(one, msgspec.inspect.VarTupleType):
            waiting.append(one.item_type)
    return found


def test_every_type_of_the_wire_is_on_the_page() -> None:
    assert set().union(*map(find_structs, WIRE.values())) <= TABLES.keys()


def test_every_name_of_a_state_and_a_reason_is_on_the_page() -> None:
    for name in (*get_args(LeaseStatus), *get_args(EndReason)):
        assert f"| `{name}` | " in PAGE


def test_a_job_has_its_fields_in_the_order_of_the_page() -> None:
    assert tuple(name for name, _ in TABLES["Job"].fields) == Job.__struct_fields__
