// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Bench} from "../Bench.sol";
import {Dealing} from "./Dealing.sol";
import {Promising} from "./Promising.sol";

/// @notice What holds after any sequence of promises, claims of silence, answers, settlements and compensations, among payers that leave,
/// providers that unstake and mint, and reporters.
/// forge-config: default.invariant.runs = 24
/// forge-config: default.invariant.depth = 160
/// forge-config: long.invariant.runs = 240
/// forge-config: long.invariant.depth = 250
contract SilencesTest is Bench {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Promising private dealing;

    function setUp() external {
        dealing = new Promising();
    }

    /// @dev Forge asks for this: whom to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(dealing);
    }

    /// @dev Forge asks for this: which functions to call. What is about promises is done more often than anything else.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(dealing);
        bytes4[17] memory acts = [
            Promising.actPromise.selector,
            Promising.actPromise.selector,
            Promising.actSilence.selector,
            Promising.actSilence.selector,
            Promising.actAnswer.selector,
            Promising.actSettle.selector,
            Promising.actSettle.selector,
            Promising.actLast.selector,
            Promising.actLast.selector,
            Promising.actCompensate.selector,
            Promising.actCompensate.selector,
            Dealing.actVouch.selector,
            Dealing.actLeave.selector,
            Dealing.actMint.selector,
            Promising.actTakeOut.selector,
            Dealing.actReport.selector,
            Dealing.actWait.selector
        ];
        targets[0].selectors = new bytes4[](acts.length);
        for (uint256 i = 0; i < acts.length; i++) {
            targets[0].selectors[i] = acts[i];
        }
    }

    /// @dev What these acts come to when they come in this order.
    function test_these_acts_reach_answers_settlements_and_compensations() external {
        dealing.actPromise(0, 1 + 150 ether, 0x5f5e100 << 32, 5, true);
        dealing.actSilence(0, 2 hours, 20 hours);
        checkEqual(dealing.claims() * 10 + dealing.answers(), 11, "claimed and answered");
        dealing.actPromise(0, 1 + 199 ether, 900_000 << 32, 5, false);
        dealing.actSilence(1, 2 hours, 0);
        dealing.actAnswer(2, 1, false);
        checkEqual(dealing.answers(), 2, "answered after all");
        dealing.actLeave(0, false, 0);
        dealing.actSilence(1, 2 hours, 0);
        dealing.actSettle(1, true);
        checkEqual(dealing.settlements(), 1, "settled");
        dealing.actCompensate(0, true);
        checkEqual(dealing.compensations(), 1, "out of stake");
    }

    /// @dev One function, so that every run asks it all after each act.
    function invariant_who_answers_loses_nothing_and_stake_gives_back_what_was_paid_and_no_more() external view {
        checkTrue(dealing.whoAnswersLosesNothing(), "neither of its reserve nor of its stake");
        checkTrue(!dealing.settledWhatWasAnswered(), "what was answered is over");
        checkTrue(!dealing.settledInTimeForAnAnswer(), "an answer has its day");
        checkTrue(dealing.compensationsAreWithinWhatTheProviderGot(), "what the provider got by each escrow");
        checkTrue(!dealing.compensatedBeforeTheThaw() && !dealing.compensatedWhatHadLapsed(), "and at no other time");
        checkTrue(dealing.refundsAreWithinWhatWasPromised(), "nor more than both signed");
        checkTrue(!dealing.compensatedOutOfCollateral() && !dealing.heldStakeLeft(), "collateral is its holders'");
        checkTrue(!dealing.compensatedSomebodyElse(), "it is the payer's");
        (uint256 held, uint256 owes, uint256 parts) = dealing.escrowHolds(4);
        checkTrue(held >= owes, "the escrow holds what it owes");
        checkEqual(owes, parts, "what it owes is the sum of its parts");
        checkTrue(dealing.openxIsWhole(), "every OPENX is somewhere, or burned");
        checkTrue(dealing.claimsAreWithinBounds(), "claimed is within deposited and vouchered");
        checkTrue(dealing.faultsAddUp(), "a compensation is not a fault");
    }
}
