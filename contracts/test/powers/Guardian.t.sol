// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Scene} from "./Scene.sol";

/// @notice What the guardian may never do.
contract GuardianPowersTest is Scene {
    function test_the_guardian_may_never_do_anything_else() external {
        checkAllRefused(guardian, "guardian");
        uint256[] memory before = holdings();
        vm.prank(guardian);
        escrow.stopDeposits(address(0));
        vm.prank(guardian);
        escrow.stopDeposits(address(asset));
        checkSameHoldings(before, "deposits are stopped");
        everybodyLeaves();
    }
}
