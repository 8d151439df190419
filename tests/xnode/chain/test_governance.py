"""What waits in the timelock, read from its own events; and that only it governs."""

from __future__ import annotations

import pytest

from tests.xnode.chain.devchain import Bed
from xnode.chain.abi.codec import Call
from xnode.chain.contracts import payment_escrow
from xnode.chain.deployment.devnet import GOVERNANCE_DELAY_S, OWNER_KEY
from xnode.cli.chain.governance import describe_call, make_report
from xnode.cli.terminal.brief import brief_id
from xnode.text.hex import checksum_address, to_hex
from xnode.wallet.signer import WalletKey

pytestmark = pytest.mark.chain

SCHEDULE = Call("Timelock", "schedule")
EXECUTE = Call("Timelock", "execute")


async def test_a_proposal_waits_is_ready_and_is_done(bed: Bed) -> None:
    c = bed.manifest.contracts
    call = payment_escrow.SET_FEE.encode(c.openx_token, 300)
    schedule = SCHEDULE.encode(c.payment_escrow, 0, call, bytes(32), bytes(32), GOVERNANCE_DELAY_S)
    await bed.send_as_owner(c.timelock, schedule)
    report = await make_report(bed.rpc, bed.manifest)
    owner = checksum_address(WalletKey(OWNER_KEY).address)
    assert (report["delay_s"], report["roles"]["proposers"]) == (GOVERNANCE_DELAY_S, [owner])
    assert report["roles"]["admins"] == [checksum_address(c.timelock)], (
        "only the timelock itself changes who may propose"
    )
    (one,) = report["operations"]
    assert (one["stage"], one["contract"]) == ("waiting", "payment_escrow")
    assert one["call"] == f"setFee(asset={checksum_address(c.openx_token)}, feePpm=300)"

    await bed.rpc.write("evm_increaseTime", hex(GOVERNANCE_DELAY_S + 1))
    await bed.rpc.write("evm_mine")
    assert (await make_report(bed.rpc, bed.manifest))["operations"][0]["stage"] == "ready"
    await bed.send_as_owner(c.timelock, EXECUTE.encode(c.payment_escrow, 0, call, bytes(32), bytes(32)))
    assert (await make_report(bed.rpc, bed.manifest))["operations"][0]["stage"] == "done"
    state = await bed.rpc.view(c.payment_escrow, payment_escrow.ASSET_OF, c.openx_token)
    assert state.fee_ppm == 300

    undo = payment_escrow.SET_FEE.encode(c.openx_token, 0)
    schedule = SCHEDULE.encode(c.payment_escrow, 0, undo, bytes(32), bytes(32), GOVERNANCE_DELAY_S)
    await bed.send_as_owner(c.timelock, schedule)
    await bed.rpc.write("evm_increaseTime", hex(GOVERNANCE_DELAY_S + 1))
    await bed.send_as_owner(c.timelock, EXECUTE.encode(c.payment_escrow, 0, undo, bytes(32), bytes(32)))


async def test_an_operation_is_not_ready_before_the_one_that_it_comes_after_is_done(bed: Bed) -> None:
    c = bed.manifest.contracts
    call, first = payment_escrow.SET_FEE.encode(c.openx_token, 100), b"\x07" * 32
    schedule = SCHEDULE.encode(c.payment_escrow, 0, call, first, bytes(32), GOVERNANCE_DELAY_S)
    await bed.send_as_owner(c.timelock, schedule)
    await bed.rpc.write("evm_increaseTime", hex(GOVERNANCE_DELAY_S + 1))
    await bed.rpc.write("evm_mine")
    (one,) = [one for one in (await make_report(bed.rpc, bed.manifest))["operations"] if one["predecessor"]]
    assert (one["predecessor"], one["stage"]) == (to_hex(first), f"after {brief_id(to_hex(first))}")


async def test_an_unknown_call_is_shown_as_its_bytes(bed: Bed) -> None:
    c = bed.manifest.contracts
    assert describe_call(c, c.payment_escrow, b"\x01\x02\x03\x04") == "0x01020304"
    assert describe_call(c, c.provider_registry, b"") == "0x"
    cut = payment_escrow.SET_FEE.encode(c.openx_token, 300)[:-1]
    assert describe_call(c, c.payment_escrow, cut) == to_hex(cut)
