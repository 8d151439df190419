"""Reporting faults and breaches by the program itself: found in files, committed to, proved, and listed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from metering.codec import encode
from metering.evidence import LeaseDocument, NumberedDocument
from metering.faults import Known, find_equivocations
from metering.receipt import Receipt, SignedReceipt
from metering.signature import sign_digest
from metering.terms import lease_id_of
from metering.units import NANOS_PER_SECOND, Address, Amount, Hash32
from metering.usage import NO_USAGE
from scheduler.book import Book
from tests.make.documents import make_evidence
from tests.make.leases import make_authors
from tests.make.values import DOMAIN, NOW_NS, SEPARATOR, make_escrow, make_key, make_offer, make_terms, sign_offer
from tests.xnode.cli.conftest import Run
from tests.xnode.cli.provider import Provider
from xnode.cli.evidence.files import make_page, read_documents, read_evidence, write_document, write_evidence
from xnode.console.documents import show_documents
from xnode.console.evidence import EvidenceMaker
from xnode.control.server import Method, to_json
from xnode.errors import ExitCode, UserError
from xnode.home import Home
from xnode.text.hex import to_hex


@pytest.fixture
def provider(xnode_here: Run, home: Home, manifest: str, password: str) -> Provider:
    return Provider(xnode_here, home, manifest, password)


def sign_offers(provider: Provider, folder: Path) -> None:
    """Two different offers of one number, as files."""
    key, domain = provider.load_node_key(), provider.deployment.domain
    for body in (b"\x01", b"\x02"):
        head = (domain.chain_id, domain.contract, "Offer", provider.address, key.address, 3, 2**62, Hash32(body * 32))
        document = NumberedDocument(*head, b"")  # type: ignore[arg-type]
        write_document(replace(document, signature=key.sign_typed(domain, "Offer", document)), folder)


def sign_receipts(provider: Provider, folder: Path) -> list[Path]:
    """The terms of a lease, and two different receipts of one number of it, as files in two folders: what two auditors were
    shown."""
    key, domain, files = provider.load_node_key(), provider.deployment.domain, []
    terms = make_terms(provider=provider.address, node=key.address)
    lease_id = lease_id_of(domain.separator(), terms)
    ours, theirs = sign_digest(make_key(0), lease_id), key.sign_typed(domain, "LeaseTerms", terms)
    lease = LeaseDocument(domain.chain_id, domain.contract, make_escrow(), terms, ours, theirs)
    at_ns = provider.chain_time_s() * NANOS_PER_SECOND
    for cost in (5, 6):
        receipt = Receipt(lease_id, 7, at_ns, 10, NO_USAGE, Amount(cost), False)
        signed = SignedReceipt(receipt, key.sign_typed(domain, "Receipt", receipt))
        file = folder / str(cost) / f"receipt-{lease_id.hex()[:8]}-000000000007.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(make_page(signed)))
        files.append(file)
    terms_file = folder / f"lease-{lease_id.hex()[:8]}.json"
    terms_file.write_text(json.dumps(make_page(lease)))
    return [terms_file, *files]


@pytest.mark.chain
@pytest.mark.slow
def test_a_fault_is_found_committed_to_and_proved_by_the_same_command_run_twice(provider: Provider) -> None:
    folder = provider.home.folder / "evidence"
    provider.run("provider", "stake", "100")
    sign_offers(provider, folder)
    (row,) = provider.ask("fault", "find", str(folder))
    assert (row["fault"], row["provider"], row["proven"]) == ("equivocation", provider.owner, False)
    assert "two different offers 3" in provider.run("fault", "find", str(folder)).stdout
    assert provider.ask("fault", "list") == []

    (row,) = provider.ask("fault", "report", str(folder), "--no-wait")
    assert "slashed" not in row
    # Cut here, nothing is lost: the salt is on disk, and the next run finds the commitment on chain.
    (salt,) = (provider.home.folder / "faults").iterdir()
    kept = salt.read_text()
    (again,) = provider.ask("fault", "report", str(folder), "--no-wait")
    assert again["provable_from_s"] == row["provable_from_s"] and salt.read_text() == kept
    provider.pass_time(600)
    done = provider.run("fault", "report", str(folder), "-o", "json")
    (row,) = json.loads(done.stdout)
    assert (row["slashed"], row["reward"]) == ("20", "2")
    assert "committed to it at" in done.stderr and not salt.exists()

    assert "proved before" in provider.refuse("fault", "report", str(folder), code=ExitCode.CONFLICT)
    (row,) = provider.ask("fault", "list", "--of", provider.owner)
    assert (row["what"], row["slashed"], row["reporter"]) == ("equivocation", "20", provider.owner)
    assert provider.ask("fault", "list", "--of", "0x" + "11" * 20) == []
    assert "equivocation" in provider.run("fault", "list").stdout
    record = provider.ask("provider", "reputation")
    assert (record["faults"], record["slashed"], record["stake"]) == (1, "20", "80")


@pytest.mark.chain
@pytest.mark.slow
def test_receipts_of_two_folders_prove_together_and_each_alone_proves_nothing(provider: Provider) -> None:
    terms, *files = sign_receipts(provider, provider.home.folder / "evidence")
    (row,) = provider.ask("fault", "find", str(terms), *map(str, files))
    assert row["about"].startswith("two different receipts 7 of lease 0x")
    assert "prove no fault" in provider.refuse("fault", "find", *map(str, files), code=ExitCode.NOT_FOUND)
    for file in files:
        assert "1 documents prove no fault" in provider.refuse("fault", "find", str(file), code=ExitCode.NOT_FOUND)
        shown = (str(terms), str(file.parent))
        assert "prove no fault" in provider.refuse("fault", "report", *shown, code=ExitCode.NOT_FOUND)
    assert "no broken promise" in provider.refuse("pay", "refund", str(files[0]), code=ExitCode.NOT_FOUND)


def make_contradiction() -> tuple[NumberedDocument, NumberedDocument]:
    """What a node's book keeps of a provider that shows two different offers under one number, as documents."""
    book, one, two = Book(SEPARATOR), make_offer(), make_offer(expires_at_ns=NOW_NS + 2 * NANOS_PER_SECOND)
    book.add(sign_offer(one), NOW_NS)
    assert book.add(sign_offer(two), NOW_NS) is not None
    (proof,) = book.proofs
    maker = EvidenceMaker(None, None, DOMAIN)  # type: ignore[arg-type]
    return maker.make_contradiction(proof)


def test_two_offers_that_the_market_showed_prove_it() -> None:
    documents = make_contradiction()
    owners = {documents[0].node: documents[0].provider}
    (proof,) = find_equivocations(documents, SEPARATOR, Known(make_authors(owners)))
    assert proof.provider == documents[0].provider


def test_what_this_node_was_shown_is_written_as_documents(
    xnode: Run, serve: Callable[[Mapping[str, Method]], None], home: Home
) -> None:
    shown = make_contradiction()

    async def tell(_params: dict[str, Any]) -> list[dict[str, str]]:
        return [{"type": document.kind, "bytes": to_hex(encode(document))} for document in shown]

    serve({"offer.contradictions": tell})
    done = xnode("fault", "seen", "--export", "documents")
    assert done.returncode == 0, done.stderr
    assert set(read_documents([home.folder / "documents"])) == set(shown)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "document_unreadable"),
        ("[]", "document_unreadable"),
        ('{"type": "Gift"}', "document_type"),
        ('{"type": "Offer"}', "bytes"),
    ],
)
def test_a_file_that_is_no_document_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "offer-1.json"
    path.write_text(text)
    (tmp_path / "unrelated.json").write_text("{")
    with pytest.raises(UserError, match=told) as caught:
        read_documents([tmp_path])
    assert str(path) in str(caught.value) and caught.value.code == ExitCode.REFUSED


def _address(number: int) -> Address:
    return Address(bytes([number]) * 20)


def test_a_document_says_what_its_bytes_say(tmp_path: Path) -> None:
    document = NumberedDocument(
        1, _address(1), "Quote", _address(2), _address(3), 4, 5, Hash32(b"\x06" * 32), b"\x07" * 65
    )
    path = write_document(document, tmp_path)
    assert path.name.startswith("quote-") and read_documents([path]) == [document]
    path.write_text(path.read_text().replace('"number": 4', '"number": 5'))
    with pytest.raises(UserError, match="number is not what the signed bytes say"):
        read_documents([path])


def test_a_folder_without_documents_is_named_and_not_searched_in_vain(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(UserError, match="no documents found") as caught:
        read_documents([tmp_path])
    assert caught.value.where == str(tmp_path) and "receipt-*.json" in caught.value.hint


@pytest.mark.parametrize("read", [read_documents, lambda paths: read_evidence(paths[0])])
def test_what_is_not_taken_of_a_folder_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], read: Callable[[list[Path]], object]
) -> None:
    rows = [to_json(row) for lease in make_evidence() for row in show_documents(lease)]
    written = write_evidence(rows, tmp_path / "documents")
    read([tmp_path / "documents"])
    assert not capsys.readouterr().err, "all of it is taken"
    for name in ("copy of a receipt.json", "receipt-1.json.bak"):
        (tmp_path / "documents" / name).write_bytes(written[0].read_bytes())
    read([tmp_path / "documents"])
    told = capsys.readouterr().err
    assert "2 files are not taken, like copy of a receipt.json" in told and "receipt-*.json" in told
    for path in written:
        path.unlink()
    with pytest.raises(UserError, match="no documents found; 2 files are not taken"):
        read([tmp_path / "documents"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no documents found, the folder is empty"):
        read([tmp_path / "empty"])
