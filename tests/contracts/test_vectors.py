"""The golden vectors, made by ethers, against the daemon's digests and signatures; forge reads the same file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from coincurve import PrivateKey

from metering.eip712 import TYPES, Domain, keccak, struct_hash_of, type_hash_of, type_string_of, typed_digest
from metering.signature import address_of_key, recover_signer, sign_digest
from metering.units import Address

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent.parent / "vectors" / "eip712.json").read_text())
DOMAIN = Domain(VECTORS["domain"]["chainId"], Address(bytes.fromhex(VECTORS["domain"]["verifyingContract"][2:])))
CASES = [pytest.param(case, id=f"{case['type']}: {case['note']}") for case in VECTORS["cases"]]


def read_value(kind: str, told: Any) -> Any:
    """A value of the vectors as the hasher takes it."""
    if kind in TYPES:
        fields = re.findall(r"(\w+) (\w+)", TYPES[kind].partition("(")[2])
        snake = {name: re.sub(r"([A-Z])", r"_\1", name).lower() for _, name in fields}
        return SimpleNamespace(**{snake[name]: read_value(of, told[name]) for of, name in fields})
    if kind in ("address", "bytes32"):
        return bytes.fromhex(told[2:])
    return int(told) if kind.startswith("uint") else told


def read_key(name: str) -> PrivateKey:
    return PrivateKey(bytes.fromhex(VECTORS["keys"][name]["privateKey"][2:]))


def hex_of(data: bytes) -> str:
    return "0x" + data.hex()


def test_there_is_a_case_for_every_type_that_is_signed() -> None:
    assert {case["type"] for case in VECTORS["cases"]} == set(TYPES)


def test_the_domain_separator_is_the_one_in_the_vectors() -> None:
    assert (DOMAIN.name, DOMAIN.version) == (VECTORS["domain"]["name"], VECTORS["domain"]["version"])
    assert hex_of(DOMAIN.separator()) == VECTORS["domain"]["separator"]


@pytest.mark.parametrize("case", CASES)
def test_type_and_value_hash_as_in_the_vectors(case: dict[str, Any]) -> None:
    name, value = case["type"], read_value(case["type"], case["value"])
    assert type_string_of(name) == case["typeString"]
    assert hex_of(type_hash_of(name)) == hex_of(keccak(case["typeString"].encode())) == case["typeHash"]
    assert hex_of(struct_hash_of(name, value)) == case["structHash"]
    assert hex_of(typed_digest(DOMAIN.separator(), name, value)) == case["digest"]


@pytest.mark.parametrize("case", CASES)
def test_our_signature_is_the_one_in_the_vectors_and_names_its_signer(case: dict[str, Any]) -> None:
    key = read_key(case["signedBy"])
    digest = typed_digest(DOMAIN.separator(), case["type"], read_value(case["type"], case["value"]))
    assert hex_of(sign_digest(key, digest)) == case["signature"]
    signer = recover_signer(digest, bytes.fromhex(case["signature"][2:]))
    assert signer == address_of_key(key.public_key)
    assert hex_of(signer) == VECTORS["keys"][case["signedBy"]]["address"].lower()
