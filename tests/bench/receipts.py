"""Bench of receipts: what a submitter's node does for each push, from the request's bytes to the signed voucher's, by
the real handler, loop, step and journal (SQLite, WAL, FULL), against what one writes first.

    python -m tests.bench.run --only receipts
"""

from __future__ import annotations

import gc
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import trio

from metering.codec import decode, encode
from metering.receipt import SignedReceipt, make_first, next_receipt, receipt_digest_of
from metering.signature import sign_digest
from metering.units import NANOS_PER_SECOND, Address, Amount, Hash32
from metering.usage import Counters
from metering.voucher import voucher_digest_of
from tests.bench.naive_receipts import NaiveNode
from tests.bench.row import Row, judge, show_rate, show_times
from tests.make.values import DOMAIN, SEPARATOR, TOKEN, address_of, make_escrow, make_job, make_key, make_terms
from xnode.clock import SystemClock
from xnode.heap import freeze_start
from xnode.loop import Loop
from xnode.node import effects
from xnode.node.changes import Change, EffectDone
from xnode.node.message import RECEIPTS_PUSH, ReceiptQueue, VoucherAnswer
from xnode.node.records import NodeSettings, PaidLine, SubmitterEscrow, SubmitterJob, SubmitterLease
from xnode.node.state import kind_of
from xnode.peers.job_log import LogArchive
from xnode.peers.serve import PeerService
from xnode.store.database import open_database
from xnode.store.journal import Batch, Journal
from xnode.wallet.signer import NodeSigner, WalletKey

LEASES = 200
ROUNDS = 5
PUSHES = 25
"""Of each lease in one round with one receipt a push."""

QUEUED = 10
"""Receipts that wait together in one push, where they do."""

NAIVE = 300
"""Receipts the naive node takes in one round: it is slow, and its pace does not change."""

TARGET_PER_CORE_S = 12_000
TARGET_QUEUED_PER_CORE_S = 100_000


@dataclass(frozen=True, slots=True)
class Pace:
    """Receipts per second of the whole process's CPU time, and per second of wall time."""

    per_core_s: float
    per_wall_s: float


def run(say: Callable[[str], None] = print) -> list[Row]:
    """Ours and the naive node in turns; medians of the rounds."""
    paces: dict[str, list[Pace]] = {"one": [], "queued": [], "naive": []}
    for number in range(ROUNDS):
        paces["naive"].append(_measure_naive())
        paces["one"].append(_measure_ours(PUSHES, 1))
        paces["queued"].append(_measure_ours(PUSHES // 5, QUEUED))
        now = {name: show_rate(found[-1].per_core_s) for name, found in paces.items()}
        say(f"receipts, round {number + 1} of {ROUNDS}: {now}")
    naive = _median(paces["naive"])
    return [
        _make_row("one in each push", _median(paces["one"]), naive, TARGET_PER_CORE_S),
        _make_row(f"{QUEUED} queued in each push", _median(paces["queued"]), naive, TARGET_QUEUED_PER_CORE_S),
    ]


def _median(paces: list[Pace]) -> Pace:
    return Pace(median(one.per_core_s for one in paces), median(one.per_wall_s for one in paces))


def _make_row(how: str, ours: Pace, naive: Pace, target: int) -> Row:
    return Row(
        what=f"receipts verified, durable and countersigned; {LEASES} leases, {how}",
        ours=f"{show_rate(ours.per_core_s)}/core ({show_rate(ours.per_wall_s)} wall)",
        other=f"eth-account and an ORM commit each: {show_rate(naive.per_core_s)}/core "
        f"({show_rate(naive.per_wall_s)} wall)",
        ratio=show_times(ours.per_core_s / naive.per_core_s),
        target=f">= {target:,} /s/core",
        verdict=judge(ours.per_core_s >= target),
    )


# ---------------------------------------------------------------------------------------------------------------- ours


@dataclass(frozen=True, slots=True)
class Load:
    """The records a submitter's node has of its leases, and the pushes that come in for each."""

    records: tuple[SubmitterJob | SubmitterLease | SubmitterEscrow | NodeSettings, ...]
    callers: tuple[Address, ...]
    pushes: tuple[tuple[bytes, ...], ...]


def make_load(leases: int, pushes: int, queued: int, now_ns: int) -> Load:
    """Running leases with a provider each, and their receipts, `queued` in one push."""
    records: list[SubmitterJob | SubmitterLease | SubmitterEscrow | NodeSettings] = [NodeSettings(separator=SEPARATOR)]
    queues = []
    for number in range(leases):
        lease = _make_lease(number, now_ns)
        escrow = make_escrow(provider=address_of(number + 1), nonce=number)
        line = PaidLine(lease.lease_id, Amount(0), lease.last_digest)
        records += [lease, SubmitterEscrow(lease.terms.escrow_id, escrow, lines=(line,))]
        records.append(SubmitterJob(lease.job_hash, make_job(nonce=number.to_bytes(16, "big")), now_ns))
        signed = _make_receipts(lease, number, pushes * queued)
        bodies = (encode(ReceiptQueue(signed[at : at + queued])) for at in range(0, len(signed), queued))
        queues.append(tuple(bodies))
    return Load(tuple(records), tuple(address_of(number + 1) for number in range(leases)), tuple(queues))


def _make_lease(number: int, now_ns: int) -> SubmitterLease:
    name = number.to_bytes(32, "big")
    terms = make_terms(
        job_hash=Hash32(name), escrow_id=Hash32(b"\1" + name[1:]), node=address_of(number + 1),
        cost_limit=Amount(50 * TOKEN), duration_limit_ns=7200 * NANOS_PER_SECOND,
    )  # fmt: skip
    lease_id = Hash32(b"\2" + name[1:])
    first = make_first(lease_id, now_ns - 3600 * NANOS_PER_SECOND)
    return SubmitterLease(
        lease_id, terms.job_hash, terms, ("/ip4/127.0.0.1/tcp/4001",), None, first.at_ns, first, Hash32(bytes(32)), "running"
    )  # fmt: skip


def _make_receipts(lease: SubmitterLease, number: int, count: int) -> tuple[SignedReceipt, ...]:
    key, receipt, found = make_key(number + 1), lease.last, []
    for at_s in range(1, count + 1):
        counters = Counters(running_ns=at_s * NANOS_PER_SECOND, vcpu_ns=at_s * NANOS_PER_SECOND // 4)
        receipt = next_receipt(receipt, lease.terms, counters, receipt.at_ns + NANOS_PER_SECOND, False)
        found.append(SignedReceipt(receipt, sign_digest(key, receipt_digest_of(SEPARATOR, receipt))))
    return tuple(found)


def _measure_ours(pushes: int, queued: int) -> Pace:
    load = make_load(LEASES, pushes, queued, SystemClock().now_ns())
    folder = Path(tempfile.mkdtemp(prefix="xnode-bench-"))
    try:
        return trio.run(_push_all, load, folder, pushes * queued)
    finally:
        shutil.rmtree(folder)


async def _push_all(load: Load, folder: Path, count: int) -> Pace:
    """Every lease's provider pushes, waits for its voucher, pushes again: 200 at once."""
    database = open_database(f"sqlite:///{folder}/node.db")
    journal, clock = Journal(database), SystemClock()
    await journal.commit(Batch(records={(kind_of(type(one)), one.key): (one, True) for one in load.records}))
    loop = Loop(journal, clock, _do_nothing)
    signer = NodeSigner(WalletKey(make_key(0).secret), DOMAIN)
    push = PeerService(loop, clock, signer, None, LogArchive(folder / "archive"), journal).methods()[RECEIPTS_PUSH]
    answers: dict[Address, bytes] = {}

    async def push_each(caller: Address, bodies: tuple[bytes, ...]) -> None:
        for body in bodies:
            answers[caller] = await push(caller, body)

    async with trio.open_nursery() as nursery:
        await nursery.start(loop.run)
        freeze_start()
        wall, cpu = time.perf_counter(), time.process_time()
        async with trio.open_nursery() as pushing:
            for caller, bodies in zip(load.callers, load.pushes, strict=True):
                pushing.start_soon(push_each, caller, bodies)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        nursery.cancel_scope.cancel()
    gc.unfreeze()
    _check_answers(answers, count)
    database.dispose()
    return Pace(LEASES * count / cpu, LEASES * count / wall)


def _check_answers(answers: dict[Address, bytes], count: int) -> None:
    """What is fast must also be right."""
    assert len(answers) == LEASES
    for body in answers.values():
        signed = decode(body, VoucherAnswer).signed
        assert signed.signature == sign_digest(make_key(0), voucher_digest_of(SEPARATOR, signed.voucher))
        assert signed.voucher.cumulative > 0, count


async def _do_nothing(_effect: effects.DurableEffect) -> Change:
    return EffectDone()


# --------------------------------------------------------------------------------------------------------------- naive


def _measure_naive() -> Pace:
    load = make_load(LEASES, NAIVE // LEASES + 1, 1, SystemClock().now_ns())
    bodies = [body for turn in zip(*load.pushes, strict=True) for body in turn][:NAIVE]
    folder = Path(tempfile.mkdtemp(prefix="xnode-bench-"))
    try:
        terms = {one.lease_id: one.terms for one in load.records if isinstance(one, SubmitterLease)}
        node = NaiveNode(f"sqlite:///{folder}/node.db", DOMAIN, make_key(0).secret, terms)
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        for body in bodies:
            node.take(body)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        node.close()
    finally:
        shutil.rmtree(folder)
    return Pace(NAIVE / cpu, NAIVE / wall)
