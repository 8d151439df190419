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
        bytes4[12] memory acts = [
            Challenging.actRequest.selector,
            Challenging.actSpotCheck.selector,
            Challenging.actDraw.selector,
            Challenging.actRecord.selector,
            Challenging.actNoteVerdicts.selector,
            Challenging.actStrikeOff.selector,
            Challenging.actChallenge.selector,
            Challenging.actLapse.selector,
            Challenging.actEnlistOrLeave.selector,
            Challenging.actWithdrawFees.selector,
            Challenging.actPass.selector,
            Challenging.actSettle.selector
        ];
        targets[0].selectors = new bytes4[](acts.length);
        for (uint256 i = 0; i < acts.length; i++) {
            targets[0].selectors[i] = acts[i];
        }
    }

    function invariant_fees_here_are_exactly_those_owed_or_at_stake() external view {
        checkEqual(challenging.held(), challenging.owedFees(), "fees");
        uint256 gone = challenging.withdrawals() + challenging.burned();
        checkEqual(challenging.payments(), challenging.held() + gone, "conserved");
    }

    function invariant_challenges_panels_histories_and_pledges_are_lawful() external {
        checkTrue(challenging.panelsAreLawful(), "panels ascend, without the provider, and need more than two thirds");
        checkTrue(challenging.eachProviderHasOneOpenAtMost(), "a provider has one open challenge at most");
        checkTrue(challenging.historiesAreInOrder(), "histories are in order, and the jailed have nothing in force");
        checkTrue(challenging.pledgesAreStaked(), "every verifier has its pledge staked");
        checkTrue(!challenging.doubtEndedEarly(), "only the provider's own challenge ends a doubt");
        checkTrue(!challenging.struckOffInOrder(), "nobody is struck off who is in order");
    }
}
