"""Capacity challenges on real parts: a chain, four nodes over libp2p, matrices. Only the requester gives any order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.localnet import Localnet, remove_leftovers
from metering.capacity import answers_hash_of
from metering.units import ZERO_HASH
from tests.e2e.conftest import keep_logs
from tests.e2e.panel import STAKE, VCPUS, Panel

pytestmark = [pytest.mark.engine, pytest.mark.net, pytest.mark.chain, pytest.mark.slow]

FOLDER = Path(__file__).parents[2] / "build" / "e2e-capacity"


@pytest.fixture(scope="module")
def panel() -> Iterator[Panel]:
    """One network for the tests of this file, in their order."""
    try:
        with Localnet(FOLDER, say=lambda _text: None) as net:
            yield Panel.open(net)
    finally:
        keep_logs(FOLDER)
        remove_leftovers(FOLDER)


def test_a_providers_devices_are_verified_though_nodes_are_killed_where_it_hurts_most(panel: Panel) -> None:
    # The provider between its promise and its signature, a verifier between its verdict's, another with the answers in hand.
    first, second, _ = panel.verifiers
    panel.arm(panel.challenged, "answer_promised")
    panel.arm(first, "verdict_promised")
    panel.arm(second, "answers_received")
    challenge_id = panel.request()
    panel.revive_all()
    challenge = panel.wait_over(challenge_id)
    assert challenge.stage == "passed"
    capacity = panel.read().capacity
    assert (capacity.vcpus, capacity.cpu_milli, capacity.gpus) == (VCPUS, 1000 * VCPUS, 0)
    # What left each node is what it had promised before it was killed.
    recorded = panel.read_recorded()
    roots = panel.find_promised_roots(challenge)
    assert len(set(roots)) == VCPUS
    for member in panel.verifiers:
        verdict = recorded[member.owner.address].verdict
        assert verdict == panel.find_promised_verdict(member, challenge_id)
        assert verdict.passed and verdict.answers_hash == answers_hash_of(roots)


def test_one_devices_work_passed_off_as_two_is_jailed_and_costs_no_stake(panel: Panel) -> None:
    panel.net.kill(panel.challenged.node)
    panel.start_cheating(panel.challenged)
    challenge_id = panel.request()
    assert panel.wait_over(challenge_id).stage == "failed"
    known = panel.read()
    assert known.is_jailed and known.capacity.vcpus == 0
    assert panel.read_stake() == STAKE
    for signed in panel.read_recorded().values():
        assert (signed.verdict.passed, signed.verdict.answers_hash) == (False, ZERO_HASH)
    # The signed roots hold wrong elements: the verifier that found them has the documents that prove it.
    exported = panel.net.folder / "documents"
    finder = next(one for one in panel.verifiers if panel.read_promises(one, "AnswerDocument"))
    panel.net.run("provider", "verifier", "documents", "--export", str(exported), home=finder.node.home)
    found = panel.net.run("fault", "find", str(exported), "-o", "json", home=finder.node.home)
    assert {row["fault"] for row in json.loads(found.stdout)} == {"wrong_element"}
