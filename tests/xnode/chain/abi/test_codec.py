"""Selectors, topics and reverts against the committed ABIs."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode as abi_encode

from metering.eip712 import keccak
from metering.units import Address
from xnode.chain.abi.artifacts import CONTRACTS, load_artifact
from xnode.chain.abi.codec import Event, Function, decode_revert, decode_values, make_signature, split_types
from xnode.chain.contracts import (
    capacity_registry,
    compute_credit,
    fault_prover,
    openx_token,
    payment_escrow,
    provider_registry,
    split_registry,
    timelock,
)
from xnode.chain.contracts.events import KINDS, TOPICS
from xnode.text.hex import checksum_address

MODULES = {
    "OpenxToken": openx_token,
    "ProviderRegistry": provider_registry,
    "SplitRegistry": split_registry,
    "CapacityRegistry": capacity_registry,
    "ComputeCredit": compute_credit,
    "PaymentEscrow": payment_escrow,
    "FaultProver": fault_prover,
    "TimelockController": timelock,
}


def _canonical(fields: list[dict[str, object]]) -> tuple[str, ...]:
    signature = make_signature({"name": "", "inputs": fields})
    return split_types(signature[1:-1])


def test_every_contract_has_its_module() -> None:
    assert tuple(MODULES) == CONTRACTS


@pytest.mark.parametrize("name", MODULES)
def test_every_function_is_one_of_the_contracts(name: str) -> None:
    entries = {make_signature(e): e for e in load_artifact(name).abi if e["type"] == "function"}
    ours = {key: value for key, value in vars(MODULES[name]).items() if isinstance(value, Function)}
    assert len(ours) > 3
    for function in ours.values():
        entry = entries[function.signature]
        expected = _canonical(entry["outputs"])
        # One static tuple has the bytes of its parts.
        parts = split_types(expected[0][1:-1]) if len(expected) == 1 and expected[0].endswith(")") else expected
        assert function.outputs in (expected, parts, ()), function.signature


@pytest.mark.parametrize("name", MODULES)
def test_every_event_is_one_of_the_contracts(name: str) -> None:
    entries = {make_signature(e): e for e in load_artifact(name).abi if e["type"] == "event"}
    ours = [value for value in vars(MODULES[name]).values() if isinstance(value, Event)]
    assert ours
    for event in ours:
        fields = entries[event.signature]["inputs"]
        assert event.indexed_fields == tuple((f["name"], f["type"]) for f in fields if f["indexed"])
        assert event.data_fields == tuple((f["name"], f["type"]) for f in fields if not f["indexed"])


def test_no_escrow_event_is_left_out() -> None:
    left_out = {
        "AssetAdded",
        "ClaimShared",
        "DepositsResumed",
        "DepositsStopped",
        "EIP712DomainChanged",
        "FeeRecipientSet",
        "FeeSet",
        "FeesWithdrawn",
        "GuardianSet",
        "OwnershipTransferStarted",
        "OwnershipTransferred",
        "OwedWithdrawn",
        "SplitPaid",
    }
    told = {make_signature(e) for e in load_artifact("PaymentEscrow").abi if e["type"] == "event"}
    ours = {event.signature for event in KINDS}
    assert {signature.partition("(")[0] for signature in told - ours} == left_out
    assert len(set(TOPICS)) == len(KINDS)


def test_a_custom_error_is_told_by_name_and_values() -> None:
    data = keccak(b"OpenerCapExceeded(address,uint256,uint256)")[:4]
    data += abi_encode(("address", "uint256", "uint256"), (b"\x11" * 20, 7, 5))
    revert = decode_revert(data)
    assert revert.name == "OpenerCapExceeded"
    assert revert.values == {"opener": b"\x11" * 20, "asked": 7, "cap": 5}
    assert str(revert) == f"OpenerCapExceeded(opener=0x{'11' * 20}, asked=7, cap=5)"


def test_a_text_revert_is_told() -> None:
    data = keccak(b"Error(string)")[:4] + abi_encode(("string",), ("no",))
    assert str(decode_revert(data)) == "Error(message=no)"


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x02\x03\x04", keccak(b"Error(string)")[:4] + b"\xff" * 7])
def test_strange_revert_data_is_no_bug(data: bytes) -> None:
    assert str(decode_revert(data))


def test_checksums_are_those_of_erc55() -> None:
    # The examples of https://eips.ethereum.org/EIPS/eip-55.
    for text in ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb"):
        assert checksum_address(Address(bytes.fromhex(text[2:]))) == text


def test_addresses_are_bytes_however_deep_they_lie() -> None:
    one, two = b"\x11" * 20, b"\x22" * 20
    types = ("address", "(address,uint8)[]", "(bool,(address[],bytes))")
    data = abi_encode(types, (one, [(two, 7)], (True, ([one, two], b"x"))))
    assert decode_values(types, data) == (one, ((two, 7),), (True, ((one, two), b"x")))


def test_code_differs_only_in_immutables() -> None:
    artifact = load_artifact("PaymentEscrow")
    start, length = artifact.immutables[0]
    filled = bytearray(artifact.deployed_bytecode)
    filled[start : start + length] = b"\x07" * length
    assert artifact.matches(bytes(filled))
    filled[start - 1] ^= 1
    assert not artifact.matches(bytes(filled))
    assert not artifact.matches(artifact.deployed_bytecode + b"\0")
