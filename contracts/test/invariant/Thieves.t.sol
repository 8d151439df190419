// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Bench} from "../Bench.sol";
import {Thieving} from "./Thieving.sol";

/// @notice What a thief of node keys can never do, whatever documents he shows, in any order and at any time.
contract ThievesTest is Bench {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Thieving private thieving;

    function setUp() external {
        thieving = new Thieving();
    }

    /// @dev Forge asks for this: whom to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(thieving);
    }

    /// @dev Forge asks for this: which functions to call. Documents are shown more often than anything else happens.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(thieving);
        bytes4[8] memory acts = [
            Thieving.actRotate.selector,
            Thieving.actLeave.selector,
            Thieving.actStake.selector,
            Thieving.actUnstake.selector,
            Thieving.actWait.selector,
            Thieving.actShow.selector,
            Thieving.actShow.selector,
            Thieving.actBreach.selector
        ];
        targets[0].selectors = new bytes4[](acts.length);
        for (uint256 i = 0; i < acts.length; i++) {
            targets[0].selectors[i] = acts[i];
        }
    }

    function invariant_no_documents_take_more_of_a_stake_than_the_ceiling_in_any_period() external view {
        checkTrue(!thieving.tookAboveTheCeiling(), "half of what lay there and was added");
    }

    function invariant_a_key_answers_while_it_is_bound_and_for_a_thaw_after_and_never_else() external view {
        checkTrue(!thieving.deadKeyAnswered(), "never else");
        checkTrue(!thieving.liveKeyWasSilent(), "always then");
    }

    function invariant_openx_in_the_registry_is_the_sum_of_compartments_and_forfeits() external view {
        checkEqual(thieving.lies(), thieving.parts(), "parts");
        checkEqual(thieving.supply() + thieving.burned(), thieving.genesis(), "burned and nothing else is gone");
    }
}
