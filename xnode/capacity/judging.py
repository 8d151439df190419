"""Judging: what a challenge asks of each device, and what a verifier makes of what it saw. Only computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from metering.capacity import (
    CapacityAnswer,
    ElementProof,
    SignedVerdict,
    answer_digest_of,
    find_opened_rows,
    verdict_digest_of,
)
from metering.eip712 import keccak
from metering.refusal import Refusal
from metering.signature import is_signed_by
from metering.units import Address, Hash32
from xnode.capacity.challenge import device_seed_of
from xnode.capacity.message import Answers
from xnode.capacity.opened_row import OpenedRow, check_opened_row, find_wrong_element
from xnode.capacity.products import DeviceTask
from xnode.capacity.worker_request import Expect, ExpectedMade
from xnode.ports.capacity import Challenge, DeclaredClass

ALLOWANCE_NS = 5_000_000_000
"""On top of a class's time limit: a node may see the draw one look later than a verifier (LOOK_S), starts its workers, and
the signed answers cross the net."""

FIRST_DRAWERS = 8
"""Verifiers that draw in the first block: with a third of the list against them, less than once in 200 draws none is honest."""

AWAY_NS = 10_000_000_000
"""A verifier that came this much after the draw was away for it."""

Timing = Literal["in_time", "late", "unknown"]
"""unknown: the answer was there when a verifier that had been away came back; it cannot tell since when."""


# ----------------------------------------------------------------------------------------------------------- the devices


@dataclass(frozen=True, slots=True)
class DeclaredDevices:
    """A declared class and the numbers of its devices in the challenge."""

    device_class: DeclaredClass
    first: int

    @property
    def devices(self) -> range:
        """Their numbers."""
        return range(self.first, self.first + self.device_class.count)


def list_declared(challenge: Challenge) -> tuple[DeclaredDevices, ...]:
    """The declared classes in order, with devices numbered through them."""
    listed, first = [], 0
    for one in challenge.declared:
        listed.append(DeclaredDevices(one, first))
        first += one.count
    return tuple(listed)


def make_tasks(challenge: Challenge, seed: Hash32) -> tuple[DeviceTask, ...]:
    """What each device computes. GPUs are taken in the order in which the driver numbers them, over all classes."""
    tasks, gpus = [], 0
    for declared in list_declared(challenge):
        for device in declared.devices:
            kind = declared.device_class.kind
            tasks.append(DeviceTask(device, kind, gpus, device_seed_of(seed, device), declared.device_class.n))
            gpus += kind == "gpu"
    return tuple(tasks)


def make_answers(
    challenge: Challenge, seed: Hash32, number: int, roots: Sequence[Hash32]
) -> tuple[CapacityAnswer, ...]:
    """What a node signs for its number-th declared class, given the devices' roots."""
    declared = list_declared(challenge)[number]
    return tuple(
        CapacityAnswer(challenge.challenge_id, device, declared.device_class.n, device_seed_of(seed, device), root)
        for device, root in zip(declared.devices, roots, strict=True)
    )


def check_answers(
    challenge: Challenge, number: int, answers: Answers, node: Address, separator: Hash32
) -> Refusal | None:
    """None when every device of the declared class has an answer that the node signed."""
    declared = list_declared(challenge)[number]
    if len(answers.devices) != declared.device_class.count:
        return Refusal("answers_count", f"{len(answers.devices)} answers for {declared.device_class.count} devices")
    due = make_answers(challenge, challenge.seed, number, [each.root for each in answers.devices])
    for answer, given in zip(due, answers.devices, strict=True):
        if not is_signed_by(node, answer_digest_of(separator, answer), given.signature):
            return Refusal("answer_signature", f"the answer of device {answer.device} is not signed by the node")
    return None


# ------------------------------------------------------------------------------------------------------------- the time


def judge_time(seen_ns: int, watched_ns: int, answered_ns: int | None, limit_ns: int, now_ns: int) -> Timing | None:
    """What the time of the answer says; None as long as there is none and it may still come in time.

    seen_ns: when the draw was; watched_ns: when this verifier began to look, later than that when it was away.
    """
    allowed_ns = limit_ns + ALLOWANCE_NS
    if answered_ns is None:
        return None if now_ns - watched_ns <= allowed_ns else "late"
    if answered_ns - seen_ns <= allowed_ns:
        return "in_time"
    was_away = watched_ns - seen_ns > AWAY_NS
    return "unknown" if was_away and answered_ns - watched_ns <= allowed_ns else "late"


def find_seen_ns(now_ns: int, chain_late_s: int) -> int:
    """When the draw was for a verifier that finds it done: now, but as long ago as the chain says where that is long.

    chain_late_s: from the draw's block to the newest one. A clock of blocks is coarse, so little of it counts as nothing.
    """
    late_ns = chain_late_s * 1_000_000_000
    return now_ns - late_ns if late_ns > AWAY_NS else now_ns


# --------------------------------------------------------------------------------------------------------- one's turn


def find_rank(subject: bytes, members: Sequence[Address], me: Address) -> int:
    """Whose turn it is to do what anyone may do and one should: 0 for the first. Different for each subject."""
    order = sorted(members, key=lambda member: keccak(subject + member))
    return order.index(me) if me in order else len(order)


def find_wave(place: int) -> int:
    """In which wave who took this place by chance draws: the first FIRST_DRAWERS in wave 0, as many in the next, then
    twice as many in each."""
    return (place // FIRST_DRAWERS).bit_length()


# ---------------------------------------------------------------------------------------------------------- one device


def make_expect(task: DeviceTask, vector_seed: Hash32, opening_seed: Hash32) -> Expect:
    """What a verifier computes for a device."""
    return Expect(task.seed, task.n, vector_seed, task.device, find_opened_rows(opening_seed, task.device, task.n))


def judge_product(task: DeviceTask, product: bytes, expected: ExpectedMade) -> Refusal | None:
    """None when the product times the random vector is what it must be."""
    if product == expected.vector_product:
        return None
    return Refusal("wrong_product", f"device {task.device}: its product is not A x B")


@dataclass(frozen=True, slots=True)
class WrongElement:
    """Evidence against the node that signed the root: FaultProver.proveWrongElement takes it."""

    device: int
    proof: ElementProof


def judge_row(
    task: DeviceTask, root: Hash32, row: int, opened: OpenedRow, expected: bytes
) -> Refusal | WrongElement | None:
    """None when the row is under the signed root, and right."""
    refusal = check_opened_row(root, task.n, row, opened)
    if refusal is not None:
        return Refusal(refusal.code, f"device {task.device}: {refusal.detail}")
    proof = find_wrong_element(task.n, row, opened, expected)
    return WrongElement(task.device, proof) if proof else None


# ---------------------------------------------------------------------------------------------------------- the verdicts


def check_verdict(challenge: Challenge, signed: SignedVerdict, node: Address, separator: Hash32) -> Refusal | None:
    """None when it is this node's verdict on this challenge."""
    if signed.verdict.challenge_id != challenge.challenge_id:
        return Refusal("verdict_of_another", "the verdict is on another challenge")
    if not is_signed_by(node, verdict_digest_of(separator, signed.verdict), signed.signature):
        return Refusal("verdict_signature", "the verdict is not signed by the caller's node key")
    return None


def choose_verdicts(
    challenge: Challenge, verdicts: Mapping[Address, SignedVerdict]
) -> tuple[tuple[Address, SignedVerdict], ...] | None:
    """The verdicts that decide, by verifier ascending: all that agree with each other, once they are a quorum."""
    groups: dict[tuple[bool, Hash32], list[tuple[Address, SignedVerdict]]] = {}
    for member, signed in sorted(verdicts.items()):
        groups.setdefault((signed.verdict.passed, signed.verdict.answers_hash), []).append((member, signed))
    largest = max(groups.values(), key=len, default=[])
    return tuple(largest) if len(largest) >= challenge.quorum > 0 else None
