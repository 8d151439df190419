"""NodeRecord: a node's signed, numbered, expiring statement of where it is and what it offers, kept by strangers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import msgspec

from metering.bounds import Multiaddrs, SignatureBytes
from metering.codec import decode_strict, encode
from metering.eip712 import keccak, typed_digest
from metering.refusal import Refusal
from metering.signature import is_signed_by
from metering.units import NANOS_PER_SECOND, U64, U64_MAX, Address, Hash32
from xnode.net.multiaddr import parse_multiaddr
from xnode.ports.wallet import Signer

MAX_RECORD_BYTES = 16 << 10
"""A signed offer with eight GPUs is about 1 KiB; every DHT server on the way stores this much of ours."""

MAX_MULTIADDRS = 8
MAX_LIFE_NS = 48 * 3600 * NANOS_PER_SECOND
"""A record further from its end than this is refused, so that no node's store fills with records that never end."""

PROVIDER_KEY_PREFIX = b"xn-provider/"
PROVIDER_SHARDS = 16
"""A DHT server gives at most 20 providers a key, so providers are spread over keys, by their address's last bits."""

_DHT_KEY = re.compile(r"/xn/([0-9a-f]{40})")


class NodeRecord(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """number: grows with every change, the newest counts; multiaddrs: where the node listens, without /p2p (empty when
    it cannot be dialed); body: opaque here (a signed offer, or nothing)."""

    node: Address
    number: U64
    expires_at_ns: U64
    multiaddrs: Multiaddrs
    body: Annotated[bytes, msgspec.Meta(max_length=MAX_RECORD_BYTES)]

    @property
    def body_hash(self) -> Hash32:
        """keccak of body and multiaddrs in their canonical bytes: the signature covers both."""
        return keccak(encode((self.body, self.multiaddrs)))


class SignedRecord(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A record and its node's signature over typed_digest(separator, "NodeRecord", record)."""

    record: NodeRecord
    signature: SignatureBytes


def make_record(record: NodeRecord, signer: Signer) -> bytes:
    """The signed bytes to publish."""
    return encode(SignedRecord(record, signer.sign("NodeRecord", record)))


def read_record(data: bytes, node: Address, separator: Hash32, now_ns: int) -> NodeRecord | Refusal:
    """The record that these bytes hold, wherever they came from, or why they hold none."""
    if len(data) > MAX_RECORD_BYTES:
        return Refusal("record_too_long", f"a record of {len(data)} bytes is longer than {MAX_RECORD_BYTES}")
    try:
        signed = decode_strict(data, SignedRecord)
    except ValueError as error:
        return Refusal("record_malformed", f"a record cannot be read: {type(error).__name__}")
    return check_record(signed, node, separator, now_ns) or signed.record


def check_record(signed: SignedRecord, node: Address, separator: Hash32, now_ns: int) -> Refusal | None:
    """What is wrong with a record that claims to be this node's."""
    record = signed.record
    if record.node != node:
        return Refusal("record_wrong_node", f"record of 0x{record.node.hex()} came for 0x{node.hex()}")
    if not 0 <= record.number <= U64_MAX or not 0 <= record.expires_at_ns <= U64_MAX:
        return Refusal("record_number", "a record's number or expiry is not of 64 bits")
    if record.expires_at_ns <= now_ns:
        return Refusal("record_expired", f"record {record.number} of 0x{node.hex()} has expired")
    if record.expires_at_ns > now_ns + MAX_LIFE_NS:
        return Refusal("record_too_lasting", f"record {record.number} of 0x{node.hex()} would last more than 48 h")
    if len(record.multiaddrs) > MAX_MULTIADDRS or any(parse_multiaddr(each) is None for each in record.multiaddrs):
        return Refusal("record_multiaddrs", f"record {record.number} of 0x{node.hex()} has addresses that are none")
    if not is_signed_by(node, typed_digest(separator, "NodeRecord", record), signed.signature):
        return Refusal("record_signature", f"record {record.number} is not signed by node 0x{node.hex()}")
    return None


def select_newest(records: Sequence[NodeRecord | Refusal]) -> int:
    """Index of the record to keep: the highest number, and the last of equals, so that putting one again renews it."""
    best, best_number = len(records) - 1, -1
    for index, record in enumerate(records):
        if isinstance(record, NodeRecord) and record.number >= best_number:
            best, best_number = index, record.number
    return best


def dht_key_of(node: Address) -> str:
    """Where a node's record is in the DHT. 44 characters: over 50 libp2p's look-ups silently find nothing."""
    return f"/xn/{node.hex()}"


def address_of_dht_key(key: str) -> Address | None:
    """The node whose record a DHT key names, or None for any other key."""
    match = _DHT_KEY.fullmatch(key)
    return Address(bytes.fromhex(match[1])) if match else None


def provider_key_of(node: Address) -> bytes:
    """The key under which this node is to be found as a provider."""
    return PROVIDER_KEY_PREFIX + str(node[-1] % PROVIDER_SHARDS).encode()


def list_provider_keys() -> tuple[bytes, ...]:
    """All keys under which providers are found."""
    return tuple(PROVIDER_KEY_PREFIX + str(shard).encode() for shard in range(PROVIDER_SHARDS))
