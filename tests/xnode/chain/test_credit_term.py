"""The credit term as the real contracts give it: until when leases may run while credits are outstanding."""

from __future__ import annotations

import pytest

from metering.units import Amount
from tests.make.verifiers import Verifiers, make_verifiers
from tests.xnode.chain.devchain import PACE, TOKEN, Bed
from tests.xnode.chain.intents.wallets import session_of
from xnode.chain.abi.codec import Call
from xnode.chain.capacity import MOST_CHECK_S, CapacityClient, find_end_by, is_in_default
from xnode.chain.contracts.compute_credit import IN_FORCE
from xnode.chain.deployment.devnet import CAPACITY, STAKE_THAW_S
from xnode.chain.intents.credits import mint
from xnode.chain.intents.registration import register_provider
from xnode.chain.intents.stake import add_stake
from xnode.chain.intents.verification import request_challenge
from xnode.chain.send.transactor import Transactor
from xnode.chain.send.tx_journal import SqlTxJournal, make_engine
from xnode.node.credit_term import NO_TERM, CreditTerm
from xnode.ports.capacity import Verified
from xnode.wallet.signer import NodeSigner

GRACE_S = 14 * 86_400
SPOT_CHECK = Call("CapacityRegistry", "spotCheck")


@pytest.mark.parametrize(
    ("outstanding", "served_until_s", "now_s", "end_by_s"),
    [
        (1, IN_FORCE, 50, 100 + GRACE_S - MOST_CHECK_S),
        (1, 40, 50, 40 + GRACE_S - MOST_CHECK_S),
        (1, 40, 40 + GRACE_S, 40 + GRACE_S - MOST_CHECK_S),
        (1, 40, 41 + GRACE_S, 0),
        (0, IN_FORCE, 50, 0),
        (-5, IN_FORCE, 50, 0),
    ],
    ids=["in force", "more is owed than is in force", "the last second", "in default", "nothing owed", "served ahead"],
)
def test_a_day_of_the_grace_is_left_for_a_challenge(
    outstanding: int, served_until_s: int, now_s: int, end_by_s: int
) -> None:
    assert find_end_by(outstanding, served_until_s, 100, GRACE_S, now_s) == end_by_s
    assert is_in_default(outstanding, served_until_s, 100, GRACE_S, now_s) == (outstanding > 0 and not end_by_s)


def test_half_of_a_short_grace_is_left_for_a_challenge() -> None:
    assert find_end_by(1, IN_FORCE, 100, 10, 50) == 105


@pytest.mark.chain
async def test_leases_are_bound_by_what_was_minted_and_more_by_a_check_that_failed(bed: Bed) -> None:
    manifest, node = bed.manifest, await bed.new_wallet()
    provider = await bed.new_wallet(openx=30 * TOKEN)
    verifiers = Verifiers(bed.rpc, manifest, bed.folder)
    for one in make_verifiers():
        await bed.give(one.wallet.address, openx=200 * TOKEN, wei=10 * TOKEN)
    await verifiers.enlist()
    journal = SqlTxJournal(make_engine(bed.folder / "node.sqlite"), manifest.chain_id, node.address)
    capacity = CapacityClient(bed.rpc, manifest, Transactor(bed.rpc, node, journal, manifest.chain_id, PACE))
    async with session_of(bed, provider) as session:
        deadline = await session.chain_time_s() + 600
        consent = NodeSigner(node, manifest.domain).sign_node_key(
            manifest.registry_domain, provider.address, 0, deadline
        )
        await register_provider(session, "register", node.address, deadline, consent)
        await add_stake(session, "stake", Amount(10 * TOKEN))
        assert await capacity.read_verified(provider.address) == Verified(0, 0)
        await request_challenge(session, "challenge", [(0, 2)], Amount(5 * TOKEN))
        await verifiers.judge(provider.address)
        spare = CAPACITY.recheck_time_s + STAKE_THAW_S - STAKE_THAW_S // 2
        assert await capacity.read_verified(provider.address) == Verified(2, 0, CreditTerm(longest_s=spare))
        await mint(session, "mint", manifest.find_asset("tCPU"), provider.address, Amount(TOKEN))
        bound = await capacity.read_verified(provider.address)
        now_s = await session.chain_time_s()
        assert (bound.term.gpu_end_by_s, bound.term.longest_s) == (0, spare)
        assert 0 <= now_s + CAPACITY.validity_s + spare - CAPACITY.recheck_time_s - bound.term.cpu_end_by_s < 60

        await bed.approve_as_owner(manifest.contracts.capacity_registry, 10 * TOKEN)
        await bed.send_as_owner(manifest.contracts.capacity_registry, SPOT_CHECK.encode(provider.address))
        await verifiers.judge(provider.address, passed=False)
        doubted = await capacity.read_verified(provider.address)
    assert (doubted.vcpus, doubted.gpus) == (2, 0), "it is held to it until it ends"
    assert 0 <= doubted.in_doubt_until_s - now_s - CAPACITY.recheck_time_s < 60
    end_by_s = doubted.in_doubt_until_s + STAKE_THAW_S - STAKE_THAW_S // 2
    assert doubted.term == CreditTerm(cpu_end_by_s=end_by_s), "another check ends it no earlier"
    assert doubted.term != NO_TERM
