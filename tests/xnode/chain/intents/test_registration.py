"""A wallet as a provider, against real contracts."""

from __future__ import annotations

import pytest

from metering.eip712 import Domain
from metering.units import Amount
from tests.xnode.chain.devchain import Bed, make_wallet
from tests.xnode.chain.intents.wallets import sent_by
from xnode.chain.contracts.provider_registry import StakeDetails
from xnode.chain.intents.registration import register_provider
from xnode.chain.intents.session import WalletSession
from xnode.chain.node.json_rpc import Reverted
from xnode.chain.reads import Registration
from xnode.wallet.signer import NodeSigner

pytestmark = pytest.mark.chain


async def test_a_provider_registers_once_and_rotates_its_key(bed: Bed, session: WalletSession) -> None:
    empty = await session.registration(session.address)
    nothing = StakeDetails(Amount(0), Amount(0), 0)
    assert empty == Registration(session.address, None, session.address, nothing, 0)
    for nonce in range(2):
        node = NodeSigner(make_wallet(), bed.manifest.domain)
        deadline = await session.chain_time_s() + 600
        consent = node.sign_node_key(bed.manifest.registry_domain, session.address, nonce, deadline)
        payout = make_wallet("payout").address
        assert await register_provider(session, f"r{nonce}", node.address, deadline, consent, payout) is not None
        assert await register_provider(session, f"again {nonce}", node.address, deadline, consent, payout) is None
        known = await session.registration(session.address)
        assert (known.node_key, known.payout, known.nonce) == (node.address, payout, nonce + 1)
    assert await sent_by(bed, session) == 2


async def test_another_keys_consent_is_refused(bed: Bed, session: WalletSession) -> None:
    node, deadline = make_wallet().address, await session.chain_time_s() + 600
    other = NodeSigner(make_wallet(), Domain(31337, bed.manifest.contracts.provider_registry))
    consent = other.sign_node_key(bed.manifest.registry_domain, session.address, 0, deadline)
    with pytest.raises(Reverted, match="WrongNodeKeySignature"):
        await register_provider(session, "r", node, deadline, consent)
