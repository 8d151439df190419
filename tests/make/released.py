"""Released: what one version of xnode leaves behind: both nodes' stores in the middle of a market, and what they signed.

Run it in the checkout of a release, by the file's path and with that checkout first on PYTHONPATH, so that the release's own code
simulates, stores and signs: `PYTHONPATH=. python .../tests/make/released.py tests/fixtures/versions/0.6.0`. It has needed nothing
but what every version since 0.2.0 has.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from contextlib import suppress
from inspect import isawaitable
from pathlib import Path
from typing import Any

import trio

ROLES = ("submitter", "provider")


def main(folder: Path) -> None:
    """Write everything into the folder."""
    from tests.make import scene as scenes
    from tests.make.scene import make_scene
    from xnode import __version__

    scene = make_scene()
    folder.mkdir(parents=True, exist_ok=True)
    for number, role in enumerate(ROLES):
        machine = scene.world.machines[number]
        with tempfile.TemporaryDirectory() as temporary:
            trio.run(fill_store, Path(temporary, "xnode.db"), scenes._read_disk(machine), machine)
            data = Path(temporary, "xnode.db").read_bytes()
        (folder / f"{role}.db.gz").write_bytes(gzip.compress(data, 9, mtime=0))
    documents = [one for number in (0, 1) for one in trio.run(list_documents, scene, number)]
    (folder / "signed.json.gz").write_bytes(gzip.compress(json.dumps(documents, indent=1).encode(), 9, mtime=0))
    (folder / "about.json").write_text(json.dumps(describe(__version__), indent=1) + "\n")


async def fill_store(path: Path, batch: Any, machine: Any) -> None:
    """The database as the daemon has it, closed as at a clean stop."""
    from xnode.store.database import open_database
    from xnode.store.journal import Journal

    batch.effects = {one.id: (version, one) for version, one in machine.disk.load().effects}
    engine = open_database(f"sqlite:///{path}")
    await Journal(engine).commit(batch)
    engine.dispose()


async def list_documents(scene: Any, number: int) -> list[dict[str, str]]:
    """The evidence of all leases of one side, each document as its canonical bytes."""
    from metering.codec import encode
    from tests.make.values import DOMAIN
    from tests.xnode.console.test_evidence import DiskJournal
    from xnode.console.evidence import EvidenceMaker

    machine = scene.world.machines[number]
    maker = EvidenceMaker(DiskJournal(machine.disk), machine.signer, DOMAIN)  # type: ignore[arg-type]
    rows = []
    for escrow_id in scene.world.ledger.escrows:
        made = (maker.make_earned if number else maker.make_paid)(escrow_id)
        for one in await made if isawaitable(made) else made:
            parts = [("LeaseDocument", one.document), *(("SignedReceipt", receipt) for receipt in one.receipts)]
            parts += [("CoveredVoucher", voucher) for voucher in one.vouchers]
            parts += [("PrepaidVoucher", voucher) for voucher in getattr(one, "ahead", ())]
            rows += [{"side": ROLES[number], "type": kind, "bytes": encode(part).hex()} for kind, part in parts]
    return rows


def describe(version: str) -> dict[str, Any]:
    """What the fixture is of. form: as the release marks a data folder, 0 before there were marks; types: of everything that is
    stored, to see when it changes."""
    # Beside this file, whichever checkout is on the path.
    from stored_types import hash_stored_types  # type: ignore[import-not-found]

    form = 0
    with suppress(ImportError):
        from xnode.store.mark import FORM

        form = FORM
    return {"version": version, "form": form, "types": hash_stored_types()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
