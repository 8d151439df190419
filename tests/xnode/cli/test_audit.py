"""Evidence on its way through files: exported by either side, checked by any party, and no change to it unseen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from metering.audit import audit_evidence
from metering.codec import decode, decode_strict, encode
from metering.evidence import CoveredVoucher, LeaseDocument
from metering.receipt import SignedReceipt
from metering.units import Amount, Hash32
from tests.make.documents import make_evidence
from tests.xnode.cli.conftest import Run
from tests.xnode.cli.fake_daemon import JOB, LEASE
from xnode.chain.contracts.events import Claimed
from xnode.chain.deployment.manifest import Asset
from xnode.cli.evidence.audit_chain import count_unshown, describe_claims
from xnode.cli.evidence.files import make_page, read_evidence, write_evidence
from xnode.console.documents import show_documents
from xnode.control.server import to_json
from xnode.errors import ExitCode, UserError
from xnode.home import Home

KINDS: dict[str, type[Any]] = {"lease": LeaseDocument, "receipt": SignedReceipt, "voucher": CoveredVoucher}


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    write_evidence((to_json(row) for lease in make_evidence() for row in show_documents(lease)), tmp_path / "documents")
    return tmp_path / "documents"


def find_fault(folder: Path) -> str:
    """The code of the first thing that is wrong."""
    try:
        refusal = audit_evidence(read_evidence(folder)).refusal
    except UserError as error:
        assert error.code == ExitCode.REFUSED
        return error.what.partition(":")[0]
    return refusal.code if refusal is not None else ""


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(
    ("command", "leases"),
    [
        (("job", "receipts", JOB), [(1, 0, True), (2, 0, True), (2, 1, True), (5, 0, True)]),
        # The last receipt of the lease that runs has not reached its submitter.
        (("provider", "receipts", LEASE), [(1, 1, True), (2, 2, True), (3, 2, False), (5, 5, True)]),
    ],
)
def test_what_either_side_exports_passes_without_a_daemon(
    xnode: Run, home: Home, command: tuple[str, ...], leases: list[tuple[int, int, bool]]
) -> None:
    done = xnode(*command, "--export", "documents")
    assert done.returncode == 0 and len(done.stdout.split()) == len(list((home.folder / "documents").iterdir()))
    (home.folder / "control.sock").unlink(missing_ok=True)
    assert max(len(line) for line in xnode("audit", "documents").stdout.splitlines()) <= 80
    done = xnode("audit", "documents", "-o", "json")
    assert done.returncode == 0 and "all of it holds" in done.stderr
    rows = json.loads(done.stdout)
    checked = sorted((row["receipts"], row["vouchers"], row["cost"] == row["covered"]) for row in rows)
    assert checked == leases


def test_an_audit_says_in_one_line_what_is_wrong_and_where(xnode_here: Run, documents: Path) -> None:
    (third,) = documents.glob("receipt-*-000000000003.json")
    receipt = third.with_name(third.name.replace("0003", "0002"))
    document = json.loads(receipt.read_text())
    receipt.write_text(json.dumps({**document, "cost": "1"}))
    done = xnode_here("audit", str(documents))
    assert done.returncode == ExitCode.REFUSED
    assert done.stderr.strip() == f"error: {receipt}: document_differs: cost is not what the signed bytes say"
    receipt.unlink()
    done = xnode_here("audit", str(documents))
    error, hint = done.stderr.splitlines()
    assert done.returncode == ExitCode.REFUSED and error.startswith("error: ") and hint.startswith("hint: ")
    assert "coverage_digest: lease 0x" in done.stderr and "names a receipt of lease 0" in done.stderr
    assert "signatures" in done.stdout


def test_terms_of_another_version_are_named_so_with_the_fields_that_they_lack(documents: Path) -> None:
    (lease, *_) = documents.glob("lease-*.json")
    page = json.loads(lease.read_text())
    (document,) = [one.document for one in read_evidence(documents) if lease.stem.endswith(one.lease_id.hex()[:8])]
    chain_id, contract, escrow, terms, *rest = msgspec.msgpack.decode(encode(document))
    del page["terms"]["exposure_intervals"]
    page["bytes"] = "0x" + msgspec.msgpack.encode([chain_id, contract, escrow, terms[:-1], *rest]).hex()
    lease.write_text(json.dumps(page))
    with pytest.raises(UserError, match=r"document_version: .* lack: exposure_intervals") as caught:
        read_evidence(documents)
    assert caught.value.hint and caught.value.where == str(lease)


def test_what_is_not_a_regular_file_is_refused_and_not_waited_for(documents: Path) -> None:
    (documents / "receipt-0.json").mkdir()
    assert find_fault(documents) == "document_unreadable"


def test_a_document_has_every_signed_field_exactly(documents: Path) -> None:
    for path in documents.glob("receipt-*.json"):
        document = json.loads(path.read_text())
        signed = decode(bytes.fromhex(document["bytes"][2:]), SignedReceipt)
        assert document["cost"] == str(int(signed.receipt.cost))
        assert document["usage"]["memory_byte_ns"] == str(int(signed.receipt.usage.memory_byte_ns))
        assert document["signature"] == "0x" + signed.signature.hex()
    (lease, _) = sorted(documents.glob("lease-*.json"))
    assert json.loads(lease.read_text())["domain"]["chain_id"] == 31337


def change_values(value: Any) -> Iterator[Any]:
    """The document with one value in it changed, for every value."""
    match value:
        case dict():
            for name in value:
                for changed in change_values(value[name]):
                    yield {**value, name: changed}
        case list():
            for index, item in enumerate(value):
                for changed in change_values(item):
                    yield [*value[:index], changed, *value[index + 1 :]]
        case bool():
            yield not value
        case int():
            yield value + 1
        case str():
            yield value[:-1] + ("0" if value[-1:] != "0" else "1")


def test_no_field_can_be_changed_or_left_out_or_added(documents: Path) -> None:
    for path in sorted(documents.glob("*.json")):
        text = path.read_text()
        document = json.loads(text)
        changes = [*change_values(document), {**document, "more": 1}]
        changes += [{name: document[name] for name in document if name != left_out} for left_out in document]
        for changed in changes:
            path.write_text(json.dumps(changed))
            assert find_fault(documents) in ("document_differs", "document_bytes", "document_unreadable"), changed
        path.write_text(text)
    assert find_fault(documents) == ""


def test_no_byte_can_be_changed_even_when_the_fields_are_made_to_fit(documents: Path) -> None:
    found = set()
    for path in sorted(documents.glob("*.json")):
        text = path.read_text()
        raw = bytes.fromhex(json.loads(text)["bytes"][2:])
        for at in range(len(raw)):
            changed = raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]
            try:
                document = make_page(decode_strict(changed, KINDS[path.name.partition("-")[0]]))
            except ValueError:
                continue
            path.write_text(json.dumps(document))
            fault = find_fault(documents)
            assert fault, f"byte {at} of {path.name}"
            found.add(fault)
        path.write_text(text)
    signed = {"terms_signature", "terms_countersignature", "receipt_signature", "voucher_signature"}
    assert signed | {"escrow_id", "receipt_cost", "receipt_number", "voucher_receipts_hash"} <= found | {
        "document_name"
    }
    assert find_fault(documents) == ""


def test_a_missing_file_is_missed_wherever_money_hangs_on_it(documents: Path, tmp_path: Path) -> None:
    for path in sorted(documents.glob("*.json")):
        kept = tmp_path / "kept.json"
        shutil.move(path, kept)
        # Without a voucher less is promised, which is no lie: it shows as unpaid.
        assert bool(find_fault(documents)) != path.name.startswith("voucher"), path.name
        shutil.move(kept, path)


def test_a_folder_without_documents_holds_nothing(xnode_here: Run, tmp_path: Path) -> None:
    done = xnode_here("audit", str(tmp_path))
    assert done.returncode == ExitCode.REFUSED and "evidence_empty" in done.stderr
    assert xnode_here("audit", str(tmp_path / "nowhere")).returncode == ExitCode.USAGE


def test_a_claim_on_an_earlier_voucher_of_the_same_sum_accuses_no_one() -> None:
    leases = make_evidence()
    vouchers = [one.signed.voucher for lease in leases for one in lease.vouchers]
    escrow_id, asset = vouchers[-1].escrow_id, Asset("USD", 6, leases[0].document.terms.asset)
    claims = [Claimed(escrow_id, voucher.cumulative, voucher.receipts_hash) for voucher in vouchers]
    assert count_unshown(claims, leases) == 0 and count_unshown([], leases) == 0
    assert "not shown" not in describe_claims(claims, leases, [asset])
    # Receipts that cost nothing came after it: the sum is the newest voucher's, the receipts are not.
    earlier = msgspec.structs.replace(claims[-1], receipts_hash=Hash32(b"\x01" * 32))
    assert count_unshown([*claims[:-1], earlier], leases) == 1
    line = describe_claims([*claims[:-1], earlier], leases, [asset])
    assert line.endswith(f"1 of {len(claims)} claims were on an earlier voucher of the same sum, not shown here")


def test_documents_exported_before_the_end_hold_and_what_came_later_is_told() -> None:
    leases = make_evidence()
    last = [one.signed.voucher for lease in leases for one in lease.vouchers][-1]
    asset = Asset("USD", 6, leases[0].document.terms.asset)
    later = [Claimed(last.escrow_id, Amount(last.cumulative + 1_500_000), Hash32(b"\x01" * 32))]
    assert count_unshown(later, leases) == 0
    line = describe_claims(later, leases, [asset])
    assert f"{asset.show(last.cumulative)} of {asset.show(last.cumulative)} promised is claimed" in line
    assert "and 1.5 USD on vouchers signed later" in line
    assert "0 USD of" in describe_claims([], leases, [asset])
