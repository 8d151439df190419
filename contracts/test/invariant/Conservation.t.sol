// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {PlainAsset} from "../Assets.sol";
import {Bench} from "../Bench.sol";
import {Trading} from "./Trading.sol";

/// @notice What holds after any sequence of trades, in an asset and in credits, to the unit.
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
        bytes4[19] memory acts = [
            Trading.actDeposit.selector,
            Trading.actWithdraw.selector,
            Trading.actLeave.selector,
            Trading.actOpen.selector,
            Trading.actRelease.selector,
            Trading.actRefund.selector,
            Trading.actThaw.selector,
            Trading.actClose.selector,
            Trading.actVouch.selector,
            Trading.actClaim.selector,
            Trading.actClaimBatch.selector,
            Trading.actClaimWithoutSignature.selector,
            Trading.actWithdrawOwed.selector,
            Trading.actPaySplit.selector,
            Trading.actWithdrawFees.selector,
            Trading.actSetFee.selector,
            Trading.actStop.selector,
            Trading.actRefuse.selector,
            Trading.actGift.selector
        ];
        targets[0].selectors = new bytes4[](acts.length);
        for (uint256 i = 0; i < acts.length; i++) {
            targets[0].selectors[i] = acts[i];
        }
    }

    function invariant_the_escrow_holds_what_it_owes_and_what_was_given() external view {
        PlainAsset[2] memory assets = trading.assets();
        for (uint256 i = 0; i < 2; i++) {
            uint256 due = trading.liabilities(assets[i]) + trading.gifts(address(assets[i]));
            checkEqual(trading.held(assets[i]), due, "held");
        }
    }

    function invariant_liabilities_are_the_sum_of_their_parts() external view {
        PlainAsset[2] memory assets = trading.assets();
        for (uint256 i = 0; i < 2; i++) {
            checkEqual(trading.liabilities(assets[i]), trading.parts(assets[i]), "liabilities");
        }
    }

    function invariant_money_in_is_money_out_plus_money_owed() external view {
        PlainAsset[2] memory assets = trading.assets();
        for (uint256 i = 0; i < 2; i++) {
            uint256 out = trading.withdrawals(assets[i]) + trading.earnedOutside(assets[i]);
            checkEqual(trading.deposits(address(assets[i])), out + trading.liabilities(assets[i]), "deposits");
        }
    }

    function invariant_what_was_claimed_reached_providers_splits_and_protocol_or_waits_for_them() external view {
        PlainAsset[2] memory assets = trading.assets();
        for (uint256 i = 0; i < 2; i++) {
            checkEqual(trading.earned(assets[i]), trading.claims(address(assets[i])), "claims");
        }
    }

    function invariant_claimed_is_within_deposited_and_vouchered_and_never_falls() external view {
        checkTrue(trading.booksAgree(), "bounds, and accounts are the sums of their escrows");
        checkTrue(!trading.claimedFell(), "never falls");
    }

    function invariant_splits_hold_what_they_owe() external view {
        PlainAsset[2] memory assets = trading.assets();
        for (uint256 i = 0; i < 2; i++) {
            checkTrue(trading.splitsAreCovered(assets[i]), "covered, and no approval is left");
        }
    }
}
