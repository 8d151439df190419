"""The provider's money: is a lease funded, the receipts it issues, the vouchers it takes, the claims it sends."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from metering.checks import check_voucher, exposure_of
from metering.money_words import say_amount
from metering.prepay import STEPS
from metering.receipt import next_receipt, receipt_digest_of
from metering.refusal import Refusal
from metering.units import NANOS_PER_SECOND, ZERO, ZERO_HASH, Address, Amount, Hash32
from metering.usage import Counters
from metering.voucher import SignedVoucher, Voucher
from xnode.node import changes, effects
from xnode.node.lease import OPEN, follow, next_status
from xnode.node.leaving import leaves
from xnode.node.provider.earned import count_earned, see_paid
from xnode.node.provider.silence import note_receipt
from xnode.node.records import EarnedLine, Issued, KnownPayer, ProviderEscrow, ProviderLease
from xnode.node.registry import handles, keep_time, on_failure, wakes
from xnode.node.state import State, Turn

MAX_ISSUED = 16
"""Receipts kept unanswered for one lease: the oldest and the newest."""

RETAIN_NS = 24 * 3600 * NANOS_PER_SECOND
"""How long a settled lease stays at hand, with its outputs for the submitter to fetch."""

MAX_KNOWN_PAYERS = 10_000
"""Payers remembered; the one that has not paid for longest is a stranger again. About a megabyte."""

KNOWN_AGAIN_NS = 24 * 3600 * NANOS_PER_SECOND
"""How old the note of a payment may be before it is renewed."""

LAST_TRY_NS = 10 * NANOS_PER_SECOND
"""How long what is unpaid is waited for once more before a claim."""

RECLAIM_NS = 60 * NANOS_PER_SECOND
"""Pause before a failed claim is sent again."""


# ------------------------------------------------------------------------------------------------------------- funding


def accept_funding(turn: Turn, lease: ProviderLease, funding: changes.FundingRead) -> Refusal | None:
    """Take the lease into its escrow's account, or say how much is missing."""
    known = turn.get(ProviderEscrow, lease.terms.escrow_id)
    # What was claimed before we knew of it, or while it was put away, is paid: a voucher for less is worth nothing.
    escrow = known or ProviderEscrow(
        lease.terms.escrow_id, lease.escrow, claimed=funding.claimed, closed_cost=funding.claimed
    )
    if funding.thaw_end:
        return Refusal("escrow_thawing", "the escrow is being taken back; open another")
    reserved = funding.deposited - max(escrow.cumulative, funding.claimed) - _promised_of(turn, escrow)
    if escrow.claiming:
        # The claim under way gives back what is left, so nothing of it can be promised to another lease.
        reserved = 0
    opened = 0
    if lease.opening is not None:
        opened = int(lease.opening.amount)
        is_payer = lease.escrow.payer == lease.escrow.signer
        spendable = funding.free if is_payer else min(funding.free, funding.opener_cap)
        if spendable < opened:
            missing = opened - spendable
            return Refusal(
                "escrow_too_small",
                f"the payer's balance lacks {say_amount(missing, lease.terms.asset)}; deposit or approve more",
            )
    missing = int(lease.terms.cost_limit) - max(0, reserved) - opened
    if missing > 0:
        return Refusal(
            "escrow_too_small", f"the escrow lacks {say_amount(missing, lease.terms.asset)} for what the job may cost"
        )
    line = EarnedLine(lease.lease_id, lease.terms.lease_number, ZERO)
    escrow = see_paid(turn, escrow, funding.deposited, funding.claimed, escrow.thaw_end)
    turn.put(escrow, lines=(*escrow.lines, line))
    count_earned(turn, lease.terms.asset, leases=1)
    return None


def _promised_of(turn: Turn, escrow: ProviderEscrow) -> int:
    """What the other open leases of this escrow may still cost beyond what vouchers cover."""
    promised = 0
    for line in escrow.lines:
        lease = turn.get(ProviderLease, line.lease_id)
        if lease is not None and lease.status in OPEN:
            promised += lease.terms.cost_limit - line.covered_cost
    return promised


@handles(changes.OpeningConfirmed)
def on_opening_confirmed(turn: Turn, change: changes.OpeningConfirmed) -> None:
    """From here on vouchers are worth what they say."""
    escrow = turn.get(ProviderEscrow, change.escrow_id)
    if escrow is not None:
        see_paid(turn, escrow, change.deposited, change.claimed, escrow.thaw_end)
    lease = turn.get(ProviderLease, change.lease_id)
    if lease is not None and not lease.funded:
        # Vouchers taken while the opening was on its way count from now on.
        turn.put(lease, funded=True, covered_at_ns=max(lease.covered_at_ns, lease.covered.at_ns))


def exposure_ns_of(turn: Turn, lease: ProviderLease) -> int:
    """How much time of work may go unpaid: the agreed number of intervals."""
    return _intervals_of(turn, lease) * lease.terms.interval_ns


def _intervals_of(turn: Turn, lease: ProviderLease) -> int:
    provider = turn.state.settings.provider
    # Terms of 0.1.0 do not say how many: then it is our own setting, as it was when they were signed.
    return lease.terms.exposure_intervals or (provider.exposure_intervals if provider else 1)


def pace_ns_of(turn: Turn, lease: ProviderLease) -> int:
    """Between two receipts. Where a single interval may go unpaid, half of it is left to pay what the other half cost."""
    return lease.terms.interval_ns // (1 if _intervals_of(turn, lease) > 1 else 2)


def unpaid_at(turn: Turn, lease: ProviderLease) -> int:
    """When unpaid work reaches its limit in time: the agreed number of intervals after the last paid moment.

    Only what was stated can be paid: where our own receipt came late, there is as much time to answer it all the same.
    """
    interval_ns = lease.terms.interval_ns
    intervals = _intervals_of(turn, lease)
    limit_ns = lease.covered_at_ns + intervals * interval_ns + lease.excused_ns
    stated_ns = _unpaid_since(lease)
    if stated_ns is not None:
        limit_ns = max(limit_ns, stated_ns + intervals * interval_ns - pace_ns_of(turn, lease))
    elif lease.funded:
        # Nothing stated is unpaid: the next look is the next interval's, and then there is.
        limit_ns = max(limit_ns, turn.at_ns + interval_ns)
    return max(limit_ns, lease.grace_until_ns, _opening_until(turn, lease))


def _opening_until(turn: Turn, lease: ProviderLease) -> int:
    """No voucher counts before the chain has taken the opening, which takes as long as its blocks do."""
    provider = turn.state.settings.provider
    return lease.requested_at_ns + provider.opening_ns if provider and not lease.funded else 0


def is_overexposed(turn: Turn, lease: ProviderLease) -> bool:
    """True when more cost is unpaid than the terms allow, and there was an interval to pay it since it was stated."""
    stated_ns = _unpaid_since(lease)
    answer_ns = stated_ns + pace_ns_of(turn, lease) if stated_ns is not None else 0
    if stated_ns is None or turn.at_ns < max(lease.grace_until_ns, answer_ns, _opening_until(turn, lease)):
        return False
    return exposure_of(lease.last.cost, lease.covered.cost) > lease.terms.exposure_limit


def _unpaid_since(lease: ProviderLease) -> int | None:
    """When the oldest receipt was issued that no voucher covers."""
    return next((one.receipt.at_ns for one in lease.issued if one.receipt.number > lease.covered.number), None)


# ------------------------------------------------------------------------------------------------ receipts and vouchers


def issue_receipt(
    turn: Turn, lease: ProviderLease, counters: Counters, final: bool, read_at_ns: int | None = None
) -> ProviderLease:
    """The lease with its next receipt; counters that seem to fall (a clock set back) count as unchanged.

    read_at_ns: of what time the counters speak, if that was before now (the workload's end, or when they were read): a promise of
    availability counts up to the receipt.
    """
    last = lease.last
    running_ns = min(counters.running_ns, lease.terms.duration_limit_ns)
    at_ns = turn.at_ns
    if read_at_ns is not None:
        # Never so early that what ran since the last receipt does not fit between the two.
        at_ns = min(turn.at_ns, max(read_at_ns, last.at_ns + running_ns - last.running_ns))
    at_ns = max(at_ns, last.at_ns)
    steady = Counters(
        # Two clocks that disagree never make a statement that contradicts itself: what does not fit is not charged.
        running_ns=max(min(running_ns, last.running_ns + at_ns - last.at_ns), last.running_ns),
        vcpu_ns=max(counters.vcpu_ns, last.usage.vcpu_ns),
        ingress_bytes=max(counters.ingress_bytes, last.usage.ingress_bytes),
        egress_bytes=max(counters.egress_bytes, last.usage.egress_bytes),
    )
    network_bytes = lease.job.network_bytes
    age_ns = max(0, turn.at_ns - lease.requested_at_ns)
    receipt = next_receipt(last, lease.terms, steady, at_ns, final, network_bytes, age_ns)
    digest = receipt_digest_of(turn.state.settings.separator, receipt)
    issued = (*lease.issued, Issued(receipt, digest))
    # The oldest says since when the others wait; of those between the newest say everything, being cumulative.
    issued = (*issued[:1], *issued[1:][1 - MAX_ISSUED :])
    if receipt.cost > last.cost:
        count_earned(turn, lease.terms.asset, earned=receipt.cost - last.cost)
    lease = turn.put(lease, last=receipt, receipts=lease.receipts + 1, issued=issued)
    note_receipt(turn, lease)
    return lease


def push_receipts(turn: Turn, lease: ProviderLease) -> None:
    """Send every uncovered receipt, oldest first; a newer push takes the older one's place."""
    # The claim may come long after the wait for a final voucher: until then a submitter that is back can still pay.
    until_ns = turn.at_ns + RETAIN_NS if lease.last.final else 0
    slot = turn.slot("receipts", lease.lease_id, until_ns=until_ns)
    receipts = tuple(issued.receipt for issued in lease.issued)
    turn.emit(effects.PushReceipts(lease.lease_id, lease.terms.submitter, lease.submitter_addrs, receipts, *slot))


@handles(changes.VoucherReceived)
def on_voucher_received(turn: Turn, change: changes.VoucherReceived) -> None:
    """Take the voucher if it is good for the receipts it names; else it changes nothing, and exposure goes on growing."""
    lease = turn.get(ProviderLease, change.lease_id)
    escrow = turn.get(ProviderEscrow, lease.terms.escrow_id) if lease else None
    if lease is None or escrow is None:
        return
    zero = Voucher(escrow.escrow_id, ZERO, ZERO_HASH)
    last = escrow.voucher.voucher if escrow.voucher else zero
    if check_voucher(last, change.signed, change.coverage, escrow.escrow, turn.state.settings.separator):
        return
    lines = tuple(_cover_line(turn, line, change) for line in escrow.lines)
    if change.signed.voucher.cumulative < escrow.closed_cost + sum(line.covered_cost for line in lines):
        return
    turn.put(escrow, voucher=change.signed, lines=lines, ahead=_find_ahead(turn, escrow, change))
    for line in lines:
        covered = turn.get(ProviderLease, line.lease_id)
        if covered is not None:
            _cover_lease(turn, covered, change)


def _find_ahead(turn: Turn, escrow: ProviderEscrow, change: changes.VoucherReceived) -> tuple[SignedVoucher, ...]:
    """The good vouchers above the new one: those that came with it, else those that are held; a promise stays one."""
    last = change.signed.voucher
    ahead: list[SignedVoucher] = []
    separator = turn.state.settings.separator
    for one in change.ahead[:STEPS]:
        rises = one.voucher.cumulative > (ahead[-1] if ahead else change.signed).voucher.cumulative
        if rises and check_voucher(last, one, change.coverage, escrow.escrow, separator) is None:
            ahead.append(one)
    held = escrow.ahead if _most_of(escrow.ahead) > _most_of(ahead) else tuple(ahead)
    return tuple(one for one in held if one.voucher.cumulative > last.cumulative)


def _most_of(ahead: Sequence[SignedVoucher]) -> int:
    return ahead[-1].voucher.cumulative if ahead else 0


def cover_ahead(turn: Turn, lease: ProviderLease) -> ProviderLease:
    """Work that vouchers signed ahead pay for is paid at once; its receipts are still sent, when the submitter is back.

    What is signed ahead for one lease pays no other: its submitter agreed to be claimed from above its receipts there alone.
    """
    escrow = turn.get(ProviderEscrow, lease.terms.escrow_id)
    if not lease.job.prepay_ns or escrow is None or not escrow.ahead or lease.covered.number == lease.last.number:
        return lease
    lines = tuple(
        msgspec.structs.replace(line, ahead_cost=lease.last.cost) if line.lease_id == lease.lease_id else line
        for line in escrow.lines
    )
    covered = msgspec.structs.replace(escrow, lines=lines)
    if covered.due > _most_of(escrow.ahead):
        return lease
    turn.put(covered)
    paid_ns = lease.last.at_ns if lease.funded else lease.covered_at_ns
    return turn.put(
        lease, covered=lease.last, covered_at_ns=paid_ns, excused_ns=0 if lease.funded else lease.excused_ns
    )


def _cover_line(turn: Turn, line: EarnedLine, change: changes.VoucherReceived) -> EarnedLine:
    lease = turn.get(ProviderLease, line.lease_id)
    issued = _find_covered(lease, change) if lease else None
    return msgspec.structs.replace(line, covered_cost=issued.receipt.cost) if issued else line


def _find_covered(lease: ProviderLease, change: changes.VoucherReceived) -> Issued | None:
    digest = change.coverage.digest_of(lease.terms.lease_number)
    return next((issued for issued in lease.issued if issued.digest == digest), None)


def _cover_lease(turn: Turn, lease: ProviderLease, change: changes.VoucherReceived) -> None:
    issued = _find_covered(lease, change)
    if issued is None:
        return
    receipt = issued.receipt
    # A receipt paid by the answer to another lease's stays until its own is answered: an audit wants to see it.
    is_own = change.lease_id == lease.lease_id
    newer = receipt.number > lease.covered.number
    lease = turn.put(
        lease,
        covered=receipt if newer else lease.covered,
        # Until the escrow is on chain a voucher may be worth nothing, so the clock of unpaid work runs on.
        covered_at_ns=max(lease.covered_at_ns, receipt.at_ns) if lease.funded else lease.covered_at_ns,
        excused_ns=0 if lease.funded else lease.excused_ns,
        issued=tuple(one for one in lease.issued if one.receipt.number > receipt.number) if is_own else lease.issued,
    )
    if lease.status == "ending":
        settle_if_paid(turn, lease, gave_up=False)


# ---------------------------------------------------------------------------------------------------------- settlement


def settle_if_paid(turn: Turn, lease: ProviderLease, gave_up: bool) -> None:
    """An ended lease goes to settlement when its final receipt is covered, or when we stop waiting for that."""
    status = next_status(lease.status, "paid")
    if status is None:
        return
    if gave_up:
        lease = cover_ahead(turn, lease)
    paid = lease.covered.final or lease.last.cost == lease.covered.cost
    if not (paid or gave_up):
        return
    turn.put(lease, status=status, wake_at_ns=None)
    escrow = turn.get(ProviderEscrow, lease.terms.escrow_id)
    if escrow is None:
        count_earned(turn, lease.terms.asset, settled=1)
        turn.put(lease, status=follow(status, "settled"), wake_at_ns=turn.at_ns + RETAIN_NS)
    else:
        claim_escrow(turn, escrow, tried=lease.lease_id)


def claim_escrow(turn: Turn, escrow: ProviderEscrow, urgent: bool = False, tried: Hash32 | None = None) -> None:
    """Claim once no lease of the escrow is open any more (or at once, when the payer takes it back), and free the rest.

    Before, submitters that left earlier leases unpaid are asked once more; tried: the lease that was waited for just now.
    """
    leases = [turn.get(ProviderLease, line.lease_id) for line in escrow.lines]
    busy = any(lease is not None and lease.status in OPEN for lease in leases)
    if escrow.claiming or (busy and not urgent):
        return
    if any(lease is not None and _is_unfunded(lease) for lease in leases):
        # The opening is still on its way: claim when it has arrived, else the claim would find nothing.
        turn.put(escrow, wake_at_ns=turn.at_ns + RECLAIM_NS // 6)
        return
    unpaid = [lease for lease in leases if lease is not None and lease.lease_id != tried and _is_left_unpaid(lease)]
    if unpaid and not (urgent or escrow.asked_again):
        turn.put(escrow, asked_again=True, wake_at_ns=turn.at_ns + LAST_TRY_NS)
        for lease in unpaid:
            push_receipts(turn, lease)
        return
    claims = escrow.claims + 1
    turn.put(escrow, claiming=True, claims=claims, wake_at_ns=None)
    lane = effects.slot_id_of("chain", escrow.escrow_id)
    slot = turn.slot("claim", escrow.escrow_id, number=claims, lane=lane)
    turn.emit(effects.Claim(escrow.escrow_id, escrow.escrow, escrow.payable, not busy, *slot))


@handles(changes.ClaimConfirmed)
def on_claim_confirmed(turn: Turn, change: changes.ClaimConfirmed) -> None:
    """Money is where it belongs: the leases it covers are settled and folded into one number."""
    escrow = turn.get(ProviderEscrow, change.escrow_id)
    if escrow is None:
        return
    if change.claimed > escrow.claimed:
        note_payer(turn, escrow.escrow.payer)
    # A voucher may have come after the claim was sent: then there is more to claim before anything is settled.
    more = change.claimed < escrow.due and change.claimed < change.deposited
    escrow = see_paid(turn, escrow, change.deposited, change.claimed, escrow.thaw_end)
    open_lines = []
    closed = int(escrow.closed_cost)
    for line in escrow.lines:
        lease = turn.get(ProviderLease, line.lease_id)
        if lease is not None and (more or _is_unfunded(lease) or lease.status not in ("settling", "settled")):
            open_lines.append(line)
            continue
        closed += line.covered_cost
        if lease is not None and lease.status == "settling":
            count_earned(turn, lease.terms.asset, settled=1)
            turn.put(lease, status=follow(lease.status, "settled"), wake_at_ns=turn.at_ns + RETAIN_NS)
    turn.put(
        escrow, claiming=False, asked_again=more, closed_cost=Amount(closed), lines=tuple(open_lines),
        idle_at_ns=turn.at_ns,
    )  # fmt: skip
    if any(_is_settling(turn, line.lease_id) for line in open_lines):
        turn.put(turn.get(ProviderEscrow, change.escrow_id) or escrow, wake_at_ns=turn.at_ns + RECLAIM_NS // 6)


def note_payer(turn: Turn, payer: Address) -> None:
    """This payer has paid us: its submitters are no strangers from now on."""
    known = turn.get(KnownPayer, payer)
    if known is not None and turn.at_ns - known.at_ns < KNOWN_AGAIN_NS:
        return
    others = tuple(turn.state.all(KnownPayer)) if known is None else ()
    if len(others) >= MAX_KNOWN_PAYERS:
        turn.archive(min(others, key=lambda one: one.at_ns))
    turn.put(KnownPayer(payer, turn.at_ns))


def _is_unfunded(lease: ProviderLease) -> bool:
    return lease.opening is not None and not lease.funded


def _is_left_unpaid(lease: ProviderLease) -> bool:
    return lease.status == "settling" and not lease.covered.final and lease.last.cost > lease.covered.cost


def _is_settling(turn: Turn, lease_id: Hash32) -> bool:
    lease = turn.get(ProviderLease, lease_id)
    return lease is not None and lease.status == "settling"


@on_failure(effects.Claim)
def on_claim_failed(turn: Turn, effect: effects.Claim, _refusal: Refusal) -> None:
    """Never given up: the voucher stays good, so it is sent again after a pause."""
    escrow = turn.get(ProviderEscrow, effect.escrow_id)
    if escrow is not None:
        turn.put(escrow, claiming=False, asked_again=True, wake_at_ns=turn.at_ns + RECLAIM_NS)


keep_time(ProviderEscrow, "what wakes it is a claim of our own")


@wakes(ProviderEscrow)
def on_escrow_woke(turn: Turn, escrow: ProviderEscrow) -> None:
    """Time to try a claim again."""
    escrow = turn.put(escrow, wake_at_ns=None)
    if escrow.lines:
        claim_escrow(turn, escrow, urgent=bool(escrow.thaw_end))


def resume_escrow(turn: Turn, escrow: ProviderEscrow) -> None:
    """After a restart: an escrow whose leases all wait for settlement and that has no claim under way gets one."""
    if any(_is_settling(turn, line.lease_id) for line in escrow.lines):
        claim_escrow(turn, escrow)


@leaves(ProviderEscrow)
def escrow_is_over(_state: State, escrow: ProviderEscrow) -> int | None:
    """Nothing of it is owed to us, and no lease draws on it."""
    is_over = not (escrow.lines or escrow.claiming or escrow.wake_at_ns) and escrow.worth <= escrow.claimed
    return escrow.idle_at_ns if is_over else None
