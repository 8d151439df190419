// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Asking} from "./Asking.sol";
import {Bench} from "../Bench.sol";

/// @notice What holds after any sequence of demands, revealed leaves, doubts and proofs.
contract DemandsTest is Bench {
    Asking private asking;

    function setUp() external {
        asking = new Asking();
    }

    /// @dev Forge asks for this: whom to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(asking);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// @dev Forge asks for this: which functions to call.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(asking);
        bytes4[5] memory acts = [
            Asking.actDemand.selector,
            Asking.actReveal.selector,
            Asking.actDoubt.selector,
            Asking.actProve.selector,
            Asking.actWait.selector
        ];
        targets[0].selectors = new bytes4[](acts.length);
        for (uint256 i = 0; i < acts.length; i++) {
            targets[0].selectors[i] = acts[i];
        }
    }

    function invariant_the_fees_here_are_those_of_open_demands() external view {
        checkEqual(asking.held(), asking.openFees(), "fees");
        checkEqual(asking.providersOpenx(), asking.paidToProvider(), "the rest was paid to the provider or went back");
    }

    function invariant_only_wrong_leaves_that_were_shown_cost_stake() external view {
        if (asking.provenWrong() == 0) checkEqual(asking.stake(), asking.staked(), "nothing proved, nothing lost");
        else checkTrue(asking.stake() < asking.staked(), "proved and lost");
    }

    function invariant_each_demand_that_was_not_met_doubts_once() external view {
        checkEqual(asking.doubts(), asking.unrevealed(), "doubts");
    }
}
