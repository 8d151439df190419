"""What a verifier makes of what it saw: times, turns and verdicts, computed alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.capacity import SignedVerdict, Verdict, answer_digest_of
from metering.eip712 import keccak
from metering.signature import Signature
from metering.units import ZERO_HASH, Address, Hash32
from tests.sim.challenging import CHALLENGE_ID, CPU, DOMAIN, make_node
from xnode.capacity.judging import (
    ALLOWANCE_NS,
    AWAY_NS,
    check_answers,
    check_verdict,
    choose_verdicts,
    find_rank,
    find_seen_ns,
    find_wave,
    judge_time,
    list_declared,
    make_answers,
    make_tasks,
)
from xnode.capacity.message import AnsweredDevice, Answers
from xnode.ports.capacity import Challenge

SECOND = 1_000_000_000
LIMIT = 20 * SECOND
SEEN = 10**18
GPU = replace(CPU, class_id=1, count=2, name="gpu", kind="gpu", n=512)
PANEL = tuple(make_node(number)[0] for number in (2, 3, 4))
CHALLENGE = Challenge(
    CHALLENGE_ID, make_node(1)[0], "drawn", 5, 0, keccak(b"seed"), PANEL, 3, (replace(GPU, class_id=0), CPU, GPU)
)


# ------------------------------------------------------------------------------------------------------------- the time


@pytest.mark.parametrize(
    ("watched_s", "answered_s", "now_s", "expected"),
    [
        (0, 5, 5, "in_time"),
        (0, 25, 25, "in_time"),
        (0, 25.001, 26, "late"),
        (0, None, 25, None),
        (0, None, 25.001, "late"),
        # Away at the draw: what was there at the return may have come in time or not.
        (30, 31, 31, "unknown"),
        (30, None, 55, None),
        (30, None, 56, "late"),
        (30, 56, 56, "late"),
        # Back in time to see that it did.
        (15, 24, 24, "in_time"),
        # A look later than the draw is not away.
        (2, 26, 26, "late"),
    ],
)
def test_the_time_is_judged_from_the_draw_and_by_who_was_there(
    watched_s: float, answered_s: float | None, now_s: float, expected: str | None
) -> None:
    answered = None if answered_s is None else SEEN + round(answered_s * SECOND)
    now, watched = SEEN + round(now_s * SECOND), SEEN + round(watched_s * SECOND)
    assert ALLOWANCE_NS == 5 * SECOND and AWAY_NS == 10 * SECOND
    assert judge_time(SEEN, watched, answered, LIMIT, now) == expected


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_an_answer_that_is_in_time_stays_so_however_late_it_is_looked_at(
    answered: int, watched: int, later: int
) -> None:
    first = judge_time(SEEN, SEEN, SEEN + answered * SECOND, LIMIT, SEEN + answered * SECOND)
    again = judge_time(
        SEEN, SEEN + watched * SECOND, SEEN + answered * SECOND, LIMIT, SEEN + (answered + later) * SECOND
    )
    assert (first == "in_time") == (again == "in_time")


def test_a_draw_found_done_was_just_now_unless_the_chain_says_it_is_long_ago() -> None:
    assert find_seen_ns(SEEN, 0) == find_seen_ns(SEEN, 10) == SEEN
    assert find_seen_ns(SEEN, 40) == SEEN - 40 * SECOND
    # A chain whose clock goes wrong cannot put the draw into the future.
    assert find_seen_ns(SEEN, -40) == SEEN


# ----------------------------------------------------------------------------------------------------------- the devices


def test_devices_are_numbered_through_the_declared_classes_and_gpus_through_the_host() -> None:
    assert [list(declared.devices) for declared in list_declared(CHALLENGE)] == [[0, 1], [2, 3], [4, 5]]
    tasks = make_tasks(CHALLENGE, CHALLENGE.seed)
    assert [task.device for task in tasks] == list(range(6))
    assert [task.ordinal for task in tasks if task.kind == "gpu"] == [0, 1, 2, 3]
    assert [task.n for task in tasks] == [512, 512, 256, 256, 512, 512]
    assert len({task.seed for task in tasks}) == 6


def sign_answers(number: int = 1, node: int = 1) -> Answers:
    roots = (keccak(b"one"), keccak(b"two"))
    signer = make_node(node)[1]
    answers = make_answers(CHALLENGE, CHALLENGE.seed, number, roots)
    return Answers(tuple(AnsweredDevice(one.root, signer.sign("CapacityAnswer", one)) for one in answers))


def test_answers_are_taken_only_with_the_nodes_signature_on_every_device() -> None:
    node, separator = make_node(1)[1].address, DOMAIN.separator()
    good = sign_answers()
    assert check_answers(CHALLENGE, 1, good, node, separator) is None
    swapped = Answers(good.devices[::-1])
    for number, answers in ((1, sign_answers(node=2)), (1, swapped), (2, good), (1, sign_answers(number=2))):
        refusal = check_answers(CHALLENGE, number, answers, node, separator)
        assert refusal is not None and refusal.code == "answer_signature"
    for few in (good.devices[:1], (), good.devices * 2):
        refusal = check_answers(CHALLENGE, 1, Answers(few), node, separator)
        assert refusal is not None and refusal.code == "answers_count"


def test_an_answer_says_the_size_and_seed_of_its_own_device() -> None:
    answers = make_answers(CHALLENGE, CHALLENGE.seed, 1, (keccak(b"one"), keccak(b"two")))
    tasks = make_tasks(CHALLENGE, CHALLENGE.seed)
    assert [(one.device, one.n, one.seed) for one in answers] == [(t.device, t.n, t.seed) for t in tasks[2:4]]
    assert len({answer_digest_of(DOMAIN.separator(), one) for one in answers}) == 2


# ---------------------------------------------------------------------------------------------------------- the verdicts


def make_verdict(member: int, passed: bool, answers_hash: Hash32 = ZERO_HASH) -> SignedVerdict:
    verdict = Verdict(CHALLENGE_ID, answers_hash, passed, keccak(b"entropy %d" % member))
    return SignedVerdict(verdict, make_node(member)[1].sign("Verdict", verdict))


def test_verdicts_decide_only_as_a_quorum_that_agrees() -> None:
    passed = {make_node(number)[0]: make_verdict(number, True, keccak(b"a")) for number in (4, 2, 3)}
    chosen = choose_verdicts(CHALLENGE, passed)
    assert chosen is not None and [member for member, _ in chosen] == sorted(passed)
    two = dict(list(passed.items())[:2])
    assert choose_verdicts(CHALLENGE, two) is None
    assert choose_verdicts(CHALLENGE, {}) is None
    other = make_node(4)[0]
    assert choose_verdicts(CHALLENGE, {**passed, other: make_verdict(4, False)}) is None
    assert choose_verdicts(CHALLENGE, {**passed, other: make_verdict(4, True, keccak(b"b"))}) is None
    assert choose_verdicts(replace(CHALLENGE, quorum=2), {**passed, other: make_verdict(4, False)}) is not None
    # Before the draw there is no quorum, and so nothing that could decide.
    assert choose_verdicts(replace(CHALLENGE, quorum=0), passed) is None


def test_a_verdict_counts_for_its_signer_and_its_challenge_alone() -> None:
    separator, node = DOMAIN.separator(), make_node(2)[1].address
    assert check_verdict(CHALLENGE, make_verdict(2, True), node, separator) is None
    refusals = [
        check_verdict(CHALLENGE, make_verdict(3, True), node, separator),
        check_verdict(replace(CHALLENGE, challenge_id=keccak(b"another")), make_verdict(2, True), node, separator),
        check_verdict(CHALLENGE, replace_signature(make_verdict(2, True)), node, separator),
    ]
    codes = [refusal.code for refusal in refusals if refusal is not None]
    assert codes == ["verdict_signature", "verdict_of_another", "verdict_signature"]


def replace_signature(signed: SignedVerdict) -> SignedVerdict:
    return SignedVerdict(signed.verdict, Signature(bytes(65)))


# ------------------------------------------------------------------------------------------------------------ one's turn


@given(st.binary(min_size=32, max_size=32), st.integers(1, 20))
def test_every_member_has_a_turn_of_its_own(subject: bytes, count: int) -> None:
    members = [Address(number.to_bytes(20, "big")) for number in range(count)]
    assert sorted(find_rank(subject, members, member) for member in members) == list(range(count))
    assert find_rank(subject, members, Address(b"\xff" * 20)) == count


def test_the_first_eight_places_draw_at_once_and_each_wave_after_doubles_them() -> None:
    waves = Counter(find_wave(place) for place in range(512))
    assert waves == {0: 8, 1: 8, 2: 16, 3: 32, 4: 64, 5: 128, 6: 256}
    assert [find_wave(place) for place in range(512)] == sorted(waves.elements())
