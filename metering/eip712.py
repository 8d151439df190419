"""EIP-712 digests: one table of type strings, from which every digest is computed (https://eips.ethereum.org/EIPS/eip-712)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
from sha3 import keccak_256

from metering.units import Address, Hash32

TYPES: dict[str, str] = {
    # Checked on chain (PaymentEscrow, ProviderRegistry).
    "Escrow": (
        "Escrow(address payer,address signer,address provider,address asset,bytes32 split,uint32 thaw,uint96 nonce)"
    ),
    "Opening": "Opening(bytes32 escrowId,uint128 amount,uint256 nonce,uint64 deadline)",
    "Release": "Release(bytes32 escrowId,uint128 newDeposited,uint256 nonce,uint64 deadline)",
    "Voucher": "Voucher(bytes32 escrowId,uint128 cumulative,bytes32 receiptsHash)",
    "NodeKey": "NodeKey(address provider,address nodeKey,uint256 nonce,uint64 deadline)",
    # Checked on chain by ERC-2612 tokens, in the token's own domain.
    "Permit": "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)",
    # Checked on chain by CapacityRegistry and FaultProver, in CapacityRegistry's domain.
    "Verdict": "Verdict(bytes32 challengeId,bytes32 answersHash,bool passed,bytes32 openingSeed)",
    "CapacityAnswer": "CapacityAnswer(bytes32 challengeId,uint32 device,uint32 n,bytes32 seed,bytes32 root)",
    # Checked by the two sides of a lease, by auditors, and by FaultProver.
    "Resources": "Resources(uint64 vcpuMilli,uint64 memoryBytes,uint64 diskBytes,uint64 gpus,string gpuModel)",
    "Tariff": (
        "Tariff(uint128 vcpuHour,uint128 memoryGibHour,uint128 diskGibHour,uint128 gpuHour,"
        "uint128 ingressGb,uint128 egressGb)"
    ),
    "Usage": (
        "Usage(uint128 vcpuNs,uint128 memoryByteNs,uint128 diskByteNs,uint128 gpuNs,"
        "uint128 ingressBytes,uint128 egressBytes)"
    ),
    "Offer": "Offer(address provider,address node,uint64 number,uint64 expiresAtNs,bytes32 bodyHash)",
    "Quote": "Quote(address provider,address node,uint64 number,uint64 expiresAtNs,bytes32 bodyHash)",
    "LeaseTerms": (
        "LeaseTerms(bytes32 jobHash,bytes32 quoteHash,address submitter,address provider,address node,bytes32 escrowId,"
        "uint64 leaseNumber,address asset,Resources resources,Tariff tariff,uint128 costLimit,uint128 exposureLimit,"
        "uint64 intervalNs,uint64 durationLimitNs,uint64 openUntilNs,uint32 availabilityPpm,uint32 refundPpm,"
        "uint32 exposureIntervals)"
    ),
    "Receipt": (
        "Receipt(bytes32 leaseId,uint64 number,uint64 atNs,uint64 runningNs,Usage usage,uint128 cost,bool final)"
    ),
    "NodeRecord": "NodeRecord(address node,uint64 number,uint64 expiresAtNs,bytes32 bodyHash)",
}

_DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_FIELD = re.compile(r"(\w+) (\w+)")


def keccak(data: bytes) -> Hash32:
    """keccak-256, the hash of the EVM."""
    return Hash32(keccak_256(data).digest())


def type_string_of(name: str) -> str:
    """The type with the types it refers to behind it in alphabetical order, as EIP-712's encodeType gives."""
    seen: set[str] = set()

    def visit(kind: str) -> None:
        for field_kind, _ in _fields_of(kind):
            if field_kind in TYPES and field_kind not in seen:
                seen.add(field_kind)
                visit(field_kind)

    visit(name)
    return TYPES[name] + "".join(TYPES[other] for other in sorted(seen))


def type_hash_of(name: str) -> Hash32:
    """EIP-712's typeHash."""
    return keccak(type_string_of(name).encode())


class Domain(msgspec.Struct, frozen=True):
    """Where a signature counts: one chain, one PaymentEscrow (ProviderRegistry, CapacityRegistry for the types they check)."""

    chain_id: int
    contract: Address
    name: str = "xnode"
    version: str = "1"

    def separator(self) -> Hash32:
        """EIP-712's domainSeparator."""
        return keccak(
            keccak(_DOMAIN_TYPE.encode())
            + keccak(self.name.encode())
            + keccak(self.version.encode())
            + self.chain_id.to_bytes(32, "big")
            + self.contract.rjust(32, b"\0")
        )


def struct_hash_of(name: str, value: Any) -> Hash32:
    """EIP-712's hashStruct of a value whose attributes are the type's fields in snake_case."""
    return _HASHERS[name](value)


def typed_digest(separator: Hash32, name: str, value: Any) -> Hash32:
    """What is signed: keccak(0x1901 || domainSeparator || hashStruct)."""
    return keccak(b"\x19\x01" + separator + _HASHERS[name](value))


def _fields_of(name: str) -> list[tuple[str, str]]:
    return _FIELD.findall(TYPES[name].partition("(")[2])


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", r"_\1", name).lower()


def _pad_exact(value: bytes, width: int) -> bytes:
    if len(value) != width:
        raise ValueError(f"expected {width} bytes, not {len(value)}")
    return value.rjust(32, b"\0")


def _make_field_encoder(kind: str) -> Callable[[Any], bytes]:
    if kind in TYPES:
        return lambda value: struct_hash_of(kind, value)
    if kind == "string":
        return lambda value: keccak(value.encode())
    if kind in ("bytes32", "address"):
        width = 32 if kind == "bytes32" else 20
        return lambda value: _pad_exact(value, width)
    if kind == "bool":
        return lambda value: int(value).to_bytes(32, "big")
    if kind.startswith("uint"):
        # A number too wide for its Solidity type must fail here, not be signed as something else.
        width = int(kind[4:]) // 8
        pad = bytes(32 - width)
        return lambda value: pad + (value if isinstance(value, bytes) else int.to_bytes(value, width, "big"))
    raise ValueError(f"no encoding for EIP-712 type {kind}")


def _make_hasher(name: str) -> Callable[[Any], Hash32]:
    type_hash = type_hash_of(name)
    fields = [(_snake(field), _make_field_encoder(kind)) for kind, field in _fields_of(name)]

    def hash_struct(value: Any) -> Hash32:
        return keccak(type_hash + b"".join([encode(getattr(value, field)) for field, encode in fields]))

    return hash_struct


_HASHERS = {name: _make_hasher(name) for name in TYPES}
