// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Bench} from "../Bench.sol";
import {Challenging} from "./Challenging.sol";

/// @notice What holds after any sequence of requests, draws, verdicts, comings and goings.
contract ChallengesTest is Bench {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Challenging private challenging;

    function setUp() external {
        challenging = new Challenging();
    }

    /// @dev Forge asks for this: whom to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(challenging);
    }

    /// @dev Forge asks for this: which functions to call.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(challenging);
        bytes4[9] memory acts = [
            Challenging.actRequest.selector,
            Challenging.actSpotCheck.selector,
            Challenging.actDraw.selector,
            Challenging.actRecord.selector,
            Challenging.actLapse.selector,
            Challenging.actEnlistOrLeave.selector,
            Challenging.actWithdrawFees.selector,
            Challenging.actPass.selector,
            Challenging.actSettle.selector
        ];
        // Twice what leads to a verdict, or most runs would never see one.
        bytes4[4] memory again = [Challenging.actRequest.selector, acts[2], Challenging.actRecord.selector, acts[1]];
        targets[0].selectors = new bytes4[](acts.length + again.length);
        for (uint256 i = 0; i < targets[0].selectors.length; i++) {
            targets[0].selectors[i] = i < acts.length ? acts[i] : again[i - acts.length];
        }
    }

    function invariant_fees_here_are_exactly_those_owed_or_at_stake() external view {
        checkEqual(challenging.held(), challenging.owedFees(), "fees");
        checkEqual(challenging.payments(), challenging.held() + challenging.withdrawals(), "conserved");
    }

    function invariant_panels_ascend_leave_the_provider_out_and_need_more_than_two_thirds() external view {
        checkTrue(challenging.panelsAreLawful(), "panels");
    }

    function invariant_a_provider_has_one_open_challenge_at_most() external view {
        checkTrue(challenging.eachProviderHasOneOpenAtMost(), "open");
    }

    function invariant_histories_are_in_order_and_the_jailed_have_nothing_in_force() external view {
        checkTrue(challenging.historiesAreInOrder(), "histories");
    }

    function invariant_every_verifier_has_its_pledge_staked() external view {
        checkTrue(challenging.pledgesAreStaked(), "pledges");
    }
}
