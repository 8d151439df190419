"""Selectors, topics and reverts against the committed ABIs."""

from __future__ import annotations

import msgspec
import pytest
from eth_abi.abi import encode as abi_encode

from metering.eip712 import keccak
from metering.units import Address
from xnode.chain.abi.artifacts import CONTRACTS, AbiField, load_abi, load_artifact
from xnode.chain.abi.codec import Call, View, decode_revert, decode_values, encode_values, list_of
from xnode.chain.contracts.events import EVENTS, events_by_topic
from xnode.text.hex import checksum_address


def make_field(kind: str, name: str = "", *components: AbiField) -> AbiField:
    return AbiField(kind, name, components)


@pytest.mark.parametrize("name", CONTRACTS)
def test_no_contract_has_two_functions_or_events_of_one_name(name: str) -> None:
    named = [(entry.kind, entry.name) for entry in load_abi(name)]
    assert len(named) > 2 and len(set(named)) == len(named)


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
        "OwnershipTransferred",
        "OwedWithdrawn",
        "SplitPaid",
    }
    theirs = {entry.name for entry in load_abi("PaymentEscrow") if entry.kind == "event"}
    assert theirs - {event.kind.__name__ for event in EVENTS} == left_out
    assert len(events_by_topic()) == len(EVENTS)


def test_a_custom_error_has_its_name_and_values() -> None:
    data = keccak(b"OpenerCapExceeded(address,uint256,uint256)")[:4]
    data += abi_encode(("address", "uint256", "uint256"), (b"\x11" * 20, 7, 5))
    revert = decode_revert(data)
    assert revert.name == "OpenerCapExceeded"
    assert revert.values == {"opener": b"\x11" * 20, "asked": 7, "cap": 5}
    assert str(revert) == f"OpenerCapExceeded(opener=0x{'11' * 20}, asked=7, cap=5)"


def test_a_text_revert_has_its_text() -> None:
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
    pair = make_field("tuple[]", "pairs", make_field("address"), make_field("uint8"))
    inner = make_field("tuple", "inner", make_field("address[]"), make_field("bytes"))
    fields = (make_field("address"), pair, make_field("tuple", "outer", make_field("bool"), inner))
    values = (one, [(two, 7)], (True, ([one, two], b"x")))
    data = abi_encode(("address", "(address,uint8)[]", "(bool,(address[],bytes))"), values)
    assert encode_values(fields, values) == data
    assert decode_values(fields, data) == (one, ((two, 7),), (True, ((one, two), b"x")))


def test_a_struct_is_encoded_by_the_names_of_its_fields() -> None:
    class Shuffled(msgspec.Struct):
        thaw_end: int
        final: bool
        asset: bytes
        nonce: bytes

    parts = ("asset", "address"), ("thawEnd", "uint64"), ("nonce", "uint256"), ("last", "bool")
    fields = (make_field("tuple", "it", *(make_field(kind, name) for name, kind in parts)),)
    found = encode_values(
        fields, [Shuffled(thaw_end=5, final=True, asset=b"\x11" * 20, nonce=b"\x07".rjust(32, b"\0"))]
    )
    assert found == abi_encode(("(address,uint64,uint256,bool)",), ((b"\x11" * 20, 5, 7, True),))


def test_a_call_needs_as_many_values_as_the_function_takes() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Call("PaymentEscrow", "withdraw").encode(b"\x11" * 20)


def test_a_view_gives_what_its_result_makes_of_the_outputs() -> None:
    data = abi_encode(("(uint128,uint128,uint64)[]",), ([(7, 5, 3), (1, 1, 1)],))
    states = View("PaymentEscrow", "escrowStates", list_of(lambda deposited, claimed, end: deposited - claimed + end))
    assert states.decode(data) == (5, 1)


def test_code_differs_only_in_immutables() -> None:
    artifact = load_artifact("PaymentEscrow")
    start, length = artifact.immutables[0]
    filled = bytearray(artifact.deployed_bytecode)
    filled[start : start + length] = b"\x07" * length
    assert artifact.matches(bytes(filled))
    filled[start - 1] ^= 1
    assert not artifact.matches(bytes(filled))
    assert not artifact.matches(artifact.deployed_bytecode + b"\0")
