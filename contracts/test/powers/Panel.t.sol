// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICapacityRegistry} from "../../src/interfaces/ICapacityRegistry.sol";
import {IProviderRegistry} from "../../src/interfaces/IProviderRegistry.sol";
import {Scene} from "./Scene.sol";

/// @notice What a panel may never do, all of whose members collude.
contract PanelPowersTest is Scene {
    function test_a_quorum_of_a_panel_may_never_take_stake() external {
        uint256[] memory before = holdings();
        address[] memory panel = drawn(asked).panel;
        record(asked, makeBallot(asked, panel, panel.length, false));
        // It says so again of everything that it is asked, and of the provider that is well.
        bytes32 id = checkAs(payer, provider);
        panel = drawn(id).panel;
        record(id, makeBallot(id, panel, panel.length, false));
        for (uint256 i = 0; i < panel.length; i++) {
            checkAllRefused(panel[i], "verifier");
        }
        checkTrue(capacity.isJailed(jailed), "jailed");
        checkSameHoldings(before, "no stake is gone");
        vm.warp(block.timestamp + STAKE_THAW);
        vm.prank(jailed);
        checkEqual(registry.withdrawStake(), LEAVING, "and what leaves, leaves whole");
    }

    function test_a_quorum_of_a_panel_may_never_end_at_once_what_somebody_else_had_checked() external {
        ICapacityRegistry.Capacity memory verified = capacity.capacityOf(provider);
        bytes32 id = checkAs(payer, provider);
        address[] memory panel = drawn(id).panel;
        record(id, makeBallot(id, panel, panel.length, false));
        checkEqual(capacity.lapsedSince(provider), 0, "it has not ended");
        checkEqual(capacity.inDoubtUntil(provider), block.timestamp + RECHECK, "it may be shown again");
        checkTrue(!capacity.isJailed(provider), "nor is its provider jailed");
        checkTrue(!tgpu.isDefaulted(provider), "nor in default");
        vm.warp(block.timestamp + RECHECK - ANSWER_TIME);
        giveOpenx(provider, PRICE);
        challenge(true);
        checkEqual(capacity.capacityOf(provider).gpuMilli, verified.gpuMilli, "as it was");
        (uint64 passed, uint64 failed,) = capacity.triesOf(provider);
        checkEqual(passed * 10 + failed, 20, "twice passed, never failed");
        IProviderRegistry.Stake memory own = registry.stakeDetails(provider);
        checkEqual(own.staked, 5_000 ether, "for no stake");
    }

    function checkAs(address who, address whom) private returns (bytes32) {
        giveOpenx(who, PRICE);
        approveFees(who);
        vm.prank(who);
        return capacity.spotCheck(whom);
    }
}
