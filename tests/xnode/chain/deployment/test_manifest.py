"""The deployment manifest as a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metering.units import Address
from xnode.chain.deployment.manifest import (
    Asset,
    Contracts,
    Manifest,
    format_manifest,
    parse_address,
    read_manifest,
    write_manifest,
)
from xnode.errors import UserError

CONTRACTS = Contracts(
    **{name: Address(bytes([number]) * 20) for number, name in enumerate(Contracts.__struct_fields__, 10)}
)
MANIFEST = Manifest(
    chain_id=31337,
    deployed_at_block=3,
    confirmations=2,
    contracts=CONTRACTS,
    assets=(
        Asset("OPENX", 18, Address(b"\x0b" * 20)),
        Asset("USD", 6, Address(b"\xdd" * 20)),
        Asset("tCPU", 18, CONTRACTS.cpu_credit),
    ),
    rpc_url="http://127.0.0.1:8545",
    bootstrap=("/ip4/192.0.2.1/tcp/4001/p2p/16Uiu2HAm1", "/dns4/seed.example/tcp/4001/p2p/16Uiu2HAm2"),
    min_thaw_s=86_400,
)


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    write_manifest(path, MANIFEST)
    assert read_manifest(path) == MANIFEST


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("chain_id = 31337", "chain_id = 0", "chain_id"),
        ("chain_id = 31337", 'chain_id = "31337"', "chain_id: must be a whole number, not text in quotes"),
        ("chain_id = 31337\n", "", "chain_id"),
        ("confirmations = 2", "confirmations = 0", "confirmations"),
        ("confirmations = 2", "confirmations = 2\ncolour = 1", "colour"),
        ("min_thaw_s = 86400", "min_thaw_s = 9999999", "min_thaw_s"),
        ("decimals = 6", "decimals = 99", "decimals"),
        ('symbol = "USD"', 'symbol = "OPENX"', "symbol"),
        ('symbol = "USD"', 'symbol = "U S"', "symbol"),
        ("http://", "ftp://", "rpc_url"),
        ("/p2p/16Uiu2HAm1", "", "bootstrap"),
        ('bootstrap = ["', 'bootstrap = ["seed.example:4001/p2p/16Uiu2HAm1", "', "bootstrap"),
        ("payment_escrow = ", "escrow = ", "lacks payment_escrow"),
        ("0x0c0c0c0c", "0x0c0c", "contracts.provider_registry"),
        ("[contracts]", "[contracts", "not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, before: str, after: str, told: str) -> None:
    text = format_manifest(MANIFEST)
    path = tmp_path / "manifest.toml"
    path.write_text(text.replace(before, after) if before in text else text.lower().replace(before.lower(), after))
    with pytest.raises(UserError) as caught:
        read_manifest(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_manifest_of_an_older_deployment_says_nothing_of_the_least_thaw(tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    path.write_text(format_manifest(MANIFEST).replace("min_thaw_s = 86400\n", ""))
    assert read_manifest(path).min_thaw_s == 0


def test_a_manifest_of_the_three_first_contracts_says_what_it_lacks_and_what_to_do(tmp_path: Path) -> None:
    old = [
        line
        for line in format_manifest(MANIFEST).splitlines()
        if not re.match("timelock|split|cap|gpu|cpu|fault", line)
    ]
    path = tmp_path / "manifest.toml"
    path.write_text("\n".join(old))
    with pytest.raises(UserError) as caught:
        read_manifest(path)
    assert str(caught.value) == (
        f"{path}: lacks timelock, split_registry, capacity_registry, gpu_credit, cpu_credit, fault_prover: it is of an"
        " older deployment; get the manifest of the current one (on a devnet: remove its folder and start it again)"
    )


def test_credits_are_distinguished_from_other_assets() -> None:
    assert [asset.symbol for asset in MANIFEST.credits] == ["tCPU"]


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_manifest(tmp_path / "none.toml")


def test_an_asset_is_found_by_symbol_and_by_address() -> None:
    assert MANIFEST.find_asset("usd").decimals == 6
    assert MANIFEST.find_asset("0x" + "dd" * 20).symbol == "USD"
    with pytest.raises(UserError, match="OPENX, USD, tCPU"):
        MANIFEST.find_asset("EUR")


def test_a_mistyped_digit_in_an_address_is_seen() -> None:
    good = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    assert parse_address(good, "x") == parse_address(good.lower(), "x")
    with pytest.raises(UserError, match="checksum"):
        parse_address(good.replace("6053", "6054"), "x")
    for text in ("", "0x12", good[2:], good + "0", None, 7):
        with pytest.raises(UserError, match="not an address"):
            parse_address(text, "x")
