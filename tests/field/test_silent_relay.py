"""A job between two nodes behind NAT goes on, and is paid, when the relay between them falls silent in its middle."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from examples.localnet import Localnet, Node, ProviderPlan, remove_leftovers
from tests.e2e.market import make_request, wait_until
from tests.field.crowd import JOB, SET_BY_PLAN, SET_FOR_DEMO, SUBMIT_S, take_defaults
from tests.xnode.runtime.busybox import make_busybox_layout
from xnode.config.file import read_table, write_config

FOLDER = Path(__file__).parents[2] / "build" / "field-relay"

RUN_S = 75
"""Long enough for a way that is never left to end the lease: default exposure is over before."""

END_S = 300.0


@pytest.mark.field_long
@pytest.mark.timeout(0)
def test_a_job_goes_on_over_the_second_relay() -> None:
    try:
        with Localnet(FOLDER, say=lambda _text: None) as net:
            net.start_chain(2.0)
            relays = [_add_relay(net, f"relay-{number}") for number in range(2)]
            both = tuple(one for relay in relays for one in net.bootstrap_of(relay))
            plan = ProviderPlan(
                "provider",
                "eu",
                {"vcpu_hour": "0.10", "memory_gib_hour": "0.02"},
                {"vcpus": 2.0, "memory": "1GiB", "disk": "1GiB"},
            )
            provider = _hide(net, net.add_provider(plan, both), "provider", SET_BY_PLAN)
            submitter = _hide(net, net.add_submitter("submitter", "100", both), "submitter", SET_FOR_DEMO)
            wait_until(lambda: len(net.bootstrap_of(provider)) == 2, "the provider has a place at both relays")
            wait_until(lambda: bool(submitter.control.call("offer.list")), "its offer is known")
            job_id = _place(net, submitter)

            def receipts() -> int:
                return int(submitter.control.call("job.show", {"job_id": job_id})["receipts"])

            wait_until(lambda: receipts() >= 2, "receipts come")
            for relay in relays:
                _blow(relay, receipts)
            ended = submitter.control.call("job.wait", {"job_id": job_id, "settled": True}, deadline_s=END_S)
            assert ended["job"]["reason"] == "completed", ended["timeline"]
            assert ended["settled"] == ended["vouchered"] != "0"
    finally:
        remove_leftovers(FOLDER)


def _blow(relay: Node, receipts: object) -> None:
    """Stop the relay for a while, and see receipts come all the same."""
    assert relay.process is not None and callable(receipts)
    relay.process.send_signal(signal.SIGSTOP)
    try:
        before, begun = receipts(), time.monotonic()
        wait_until(lambda: receipts() > before + 1, "receipts come without it")
        print(f"\n{relay.name} silent: two more receipts after {time.monotonic() - begun:.1f} s")
    finally:
        relay.process.send_signal(signal.SIGCONT)


def _add_relay(net: Localnet, name: str) -> Node:
    node = net.add_submitter(name, "", ())
    table = read_table(node.home)
    table["node"]["relay"] = True
    write_config(node.home, table)
    net.start(node)
    return node


def _hide(net: Localnet, node: Node, section: str, names: tuple[str, ...]) -> Node:
    """Behind NAT: it listens nowhere."""
    take_defaults(node, section, names)
    table = read_table(node.home)
    table["node"]["listen"] = []
    write_config(node.home, table)
    net.start(node)
    return node


def _place(net: Localnet, submitter: Node) -> str:
    path = net.folder / "long.yaml"
    path.write_text(JOB.format(name="long", image=make_busybox_layout(), seconds=RUN_S))
    answer = submitter.control.call("job.submit", make_request(path), deadline_s=SUBMIT_S)
    return str(answer["job_id"])
