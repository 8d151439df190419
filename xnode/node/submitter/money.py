"""The submitter's money: which leases are paid, and the rest of an escrow taken back."""

from __future__ import annotations

from metering.refusal import Refusal
from metering.units import LAST_NS, NANOS_PER_SECOND, Amount, Hash32
from metering.voucher import fold_receipts
from xnode.node import changes, effects
from xnode.node.lease import OPEN, follow
from xnode.node.leaving import leaves
from xnode.node.records import LEASED, SubmitterEscrow, SubmitterJob, SubmitterLease
from xnode.node.registry import handles, on_failure, resumes, wakes
from xnode.node.state import State, Turn
from xnode.node.submitter.timeline import note

SETTLE_WAIT_NS = 900 * NANOS_PER_SECOND
"""How long a provider may take to claim and release before we take the rest back by thaw."""

OUTPUTS_ASK_NS = 300 * NANOS_PER_SECOND
"""Pause before a provider whose work is paid is asked again what the workload left: it may take its time to collect it."""

WITHDRAW_AGAIN_NS = 60 * NANOS_PER_SECOND
"""Pause before the chain is asked again for what is ours."""

THAW_AGAIN_NS = 60 * NANOS_PER_SECOND
"""Pause before we look again whether an escrow that should be taken back is still needed."""

RETAIN_NS = 24 * 3600 * NANOS_PER_SECOND
"""How long a settled lease stays at hand, for late messages."""


def see_escrow(turn: Turn, escrow: SubmitterEscrow, seen: changes.EscrowSeen) -> None:
    """The chain moved: settle what it has paid."""
    escrow = turn.put(escrow, deposited=seen.deposited, claimed=seen.claimed, thaw_end=seen.thaw_end)
    settle_if_claimed(turn, escrow)
    fold_settled(turn, escrow.escrow_id)


def settle_if_claimed(turn: Turn, escrow: SubmitterEscrow) -> None:
    """Leases are settled once everything we promised is claimed, or nothing is left in the escrow to claim."""
    promised = escrow.cumulative
    if escrow.claimed < promised and escrow.deposited > escrow.claimed:
        return
    if escrow.deposited == 0 and promised > 0:
        return
    for line in escrow.lines:
        lease = turn.get(SubmitterLease, line.lease_id)
        if lease is None or lease.status != "settling":
            continue
        _settle(turn, lease)
        job = turn.get(SubmitterJob, lease.job_hash)
        if job is not None and job.lease_id == lease.lease_id:
            paid = ("cost", str(int(line.cost)))
            # What the escrow has paid in all is no number of this job's: other jobs may share it.
            rest = (
                "the rest waits until the provider releases it"
                if escrow.deposited > escrow.claimed
                else "the rest is free"
            )
            note(turn, job, "settle", f"paid on chain, {rest}", paid)
    fold_settled(turn, escrow.escrow_id)


def _settle(turn: Turn, lease: SubmitterLease) -> None:
    wait_ns = OUTPUTS_ASK_NS if waits_for_outputs(turn.state, lease) else RETAIN_NS
    turn.put(lease, status=follow(lease.status, "settled"), wake_at_ns=turn.at_ns + wait_ns)


def fold_settled(turn: Turn, escrow_id: Hash32) -> None:
    """Fold the leases at the front that can change no more into one cost and one hash; with none left, whatever the
    provider does not give back is taken back."""
    escrow = turn.get(SubmitterEscrow, escrow_id)
    if escrow is None:
        return
    closed = 0
    while closed < len(escrow.lines) and _is_closed(turn, escrow.lines[closed].lease_id):
        closed += 1
    front = escrow.lines[:closed]
    wake_at_ns = escrow.wake_at_ns
    if closed == len(escrow.lines) and escrow.deposited > escrow.claimed and wake_at_ns is None:
        wake_at_ns = turn.at_ns + SETTLE_WAIT_NS
    turn.put(
        escrow,
        wake_at_ns=wake_at_ns,
        idle_at_ns=turn.at_ns if front else escrow.idle_at_ns,
        folded=escrow.folded + closed,
        prefix=fold_receipts(escrow.prefix, (line.digest for line in front)),
        closed_cost=Amount(escrow.closed_cost + sum(line.cost for line in front)),
        lines=escrow.lines[closed:],
    )


def _is_closed(turn: Turn, lease_id: Hash32) -> bool:
    lease = turn.get(SubmitterLease, lease_id)
    return lease is None or lease.status in ("settled", "refused")


def is_needed(turn: Turn, escrow_id: Hash32) -> bool:
    """True while a lease that may still cost something, or is being asked for, draws on the escrow."""
    escrow = turn.get(SubmitterEscrow, escrow_id)
    leases = (turn.get(SubmitterLease, line.lease_id) for line in escrow.lines) if escrow else ()
    return any(lease is not None and (lease.status in OPEN or lease.status == "requested") for lease in leases)


def thaw(turn: Turn, escrow_id: Hash32) -> None:
    """Begin to take the rest of an escrow back."""
    escrow = turn.get(SubmitterEscrow, escrow_id)
    if escrow is not None and not escrow.thaw_asked:
        # Numbered, because one that the chain has reverted stays reverted under its name.
        number = escrow.withdrawals + 1
        turn.put(escrow, thaw_asked=True, withdrawals=number)
        slot = turn.slot("thaw", escrow_id, number=number, lane=effects.slot_id_of("chain", escrow_id))
        turn.emit(effects.StartThaw(escrow_id, escrow.escrow, *slot))


@handles(changes.ThawStarted)
def on_thaw_started(turn: Turn, change: changes.ThawStarted) -> None:
    """Wake when the thaw is over."""
    escrow = turn.get(SubmitterEscrow, change.escrow_id)
    if escrow is not None:
        wake_at_ns = max(turn.at_ns, min((change.thaw_end + 1) * NANOS_PER_SECOND, LAST_NS))
        turn.put(escrow, thaw_end=change.thaw_end, wake_at_ns=wake_at_ns)


@resumes(SubmitterEscrow)
def resume_escrow(turn: Turn, escrow: SubmitterEscrow, away_ns: int) -> None:
    """What its provider had left to claim in, it has left still; a thaw's end is the chain's."""
    if escrow.wake_at_ns is not None and not escrow.thaw_end:
        turn.put(escrow, wake_at_ns=escrow.wake_at_ns + away_ns)


@wakes(SubmitterEscrow)
def on_escrow_woke(turn: Turn, escrow: SubmitterEscrow) -> None:
    """The thaw is over: take the rest."""
    escrow_id = escrow.escrow_id
    escrow = turn.put(escrow, wake_at_ns=None)
    if escrow.thaw_end:
        escrow = turn.put(escrow, withdrawals=escrow.withdrawals + 1)
        lane = effects.slot_id_of("chain", escrow_id)
        slot = turn.slot("close", escrow_id, number=escrow.withdrawals, lane=lane)
        turn.emit(effects.CloseEscrow(escrow_id, escrow.escrow, escrow.cumulative, *slot))
    elif escrow.thaw_asked:
        turn.put(escrow, thaw_asked=False)
        thaw(turn, escrow_id)
    elif escrow.deposited > escrow.claimed and all(_is_closed(turn, line.lease_id) for line in escrow.lines):
        thaw(turn, escrow_id)


@handles(changes.EscrowClosed)
def on_escrow_closed(turn: Turn, change: changes.EscrowClosed) -> None:
    """The rest is back: whatever was promised beyond what was claimed is void."""
    escrow = turn.get(SubmitterEscrow, change.escrow_id)
    if escrow is None:
        return
    for line in escrow.lines:
        lease = turn.get(SubmitterLease, line.lease_id)
        if lease is not None and lease.status == "settling":
            _settle(turn, lease)
            job = turn.get(SubmitterJob, lease.job_hash)
            if job is not None and job.lease_id == lease.lease_id:
                note(turn, job, "settle", "the rest of the escrow came back after the thaw")
    fold_settled(turn, escrow.escrow_id)
    escrow = turn.get(SubmitterEscrow, change.escrow_id) or escrow
    if turn.at_ns < escrow.opening_until_ns:
        # An opening that is still on its way would put money into an escrow that is no longer watched: look again when none
        # can be.
        turn.put(escrow, thaw_asked=True, thaw_end=0, wake_at_ns=escrow.opening_until_ns)
    else:
        turn.archive(escrow, wake_at_ns=None)


@on_failure(effects.StartThaw)
def on_thaw_failed(turn: Turn, effect: effects.StartThaw, _refusal: Refusal) -> None:
    """See _withdraw_again."""
    _withdraw_again(turn, effect.escrow_id)


@on_failure(effects.CloseEscrow)
def on_close_failed(turn: Turn, effect: effects.CloseEscrow, _refusal: Refusal) -> None:
    """See _withdraw_again."""
    _withdraw_again(turn, effect.escrow_id)


def _withdraw_again(turn: Turn, escrow_id: Hash32) -> None:
    """Never given up: the money is ours, so it is asked for again after a pause."""
    escrow = turn.get(SubmitterEscrow, escrow_id)
    if escrow is not None:
        turn.put(escrow, wake_at_ns=turn.at_ns + WITHDRAW_AGAIN_NS)


def waits_for_outputs(state: State, lease: SubmitterLease) -> bool:
    """True while the job lives by this lease and its outputs are not here."""
    job = state.get(SubmitterJob, lease.job_hash)
    return job is not None and job.lease_id == lease.lease_id and job.status in (*LEASED, "fetching")


def put_away_escrow(turn: Turn, escrow: SubmitterEscrow) -> None:
    """Archive it, unless an opening that we signed may still put money into it."""
    if turn.at_ns >= escrow.opening_until_ns:
        turn.archive(escrow, wake_at_ns=None)


@leaves(SubmitterEscrow, put_away_escrow)
def escrow_is_over(_state: State, escrow: SubmitterEscrow) -> int | None:
    """No lease draws on it, and nothing lies in it."""
    busy = escrow.lines or escrow.thaw_asked or escrow.thaw_end or escrow.wake_at_ns
    return None if busy or escrow.deposited > escrow.claimed else escrow.idle_at_ns
