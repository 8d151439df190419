// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Bench} from "../Bench.sol";
import {Trading} from "./Trading.sol";

/// @notice What holds after any sequence of trades.
contract ConservationTest is Bench {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Trading private trading;

    function setUp() external {
        trading = new Trading();
    }

    /// @dev Forge asks for this: whom to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(trading);
    }

    /// @dev Forge asks for this: which functions to call.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(trading);
        bytes4[11] memory acts = [
            Trading.actDeposit.selector,
            Trading.actWithdraw.selector,
            Trading.actOpen.selector,
            Trading.actClaim.selector,
            Trading.actClaimWithoutSignature.selector,
            Trading.actRelease.selector,
            Trading.actThaw.selector,
            Trading.actClose.selector,
            Trading.actWithdrawOwed.selector,
            Trading.actBlock.selector,
            Trading.actGift.selector
        ];
        targets[0].selectors = new bytes4[](acts.length);
        for (uint256 i = 0; i < acts.length; i++) {
            targets[0].selectors[i] = acts[i];
        }
    }

    function invariant_the_escrow_holds_what_it_owes() external view {
        checkTrue(trading.held() >= trading.liabilities(), "held >= liabilities");
    }

    function invariant_liabilities_are_the_sum_of_their_parts() external view {
        checkEqual(trading.liabilities(), trading.parts(), "liabilities");
    }

    function invariant_money_in_is_money_out_plus_money_owed() external view {
        uint256 out = trading.withdrawals() + trading.providersHold() + trading.liabilities();
        checkEqual(trading.deposits(), out, "deposits");
    }

    function invariant_providers_hold_or_are_owed_what_was_claimed() external view {
        checkEqual(trading.providersHold() + trading.providersAreOwed(), trading.claims(), "claims");
    }

    function invariant_claimed_is_within_deposited_and_vouchered_and_never_falls() external view {
        checkTrue(trading.claimsAreWithinBounds(), "bounds");
        checkTrue(!trading.claimedFell(), "never falls");
    }
}
