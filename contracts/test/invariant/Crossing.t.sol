// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Bench} from "../Bench.sol";
import {Crossing} from "./Crossing.sol";

/// @notice What holds of OPENX on two chains after any acts of honest and broken bridges, holders and the owner.
contract CrossingTest is Bench {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Crossing private crossing;

    function setUp() external {
        crossing = new Crossing();
    }

    /// @dev Forge asks for this: whom to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(crossing);
    }

    /// @dev Forge asks for this: which functions to call.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(crossing);
        bytes4[8] memory acts = [
            Crossing.actLeave.selector,
            Crossing.actReturn.selector,
            Crossing.actForge.selector,
            Crossing.actSwallow.selector,
            Crossing.actSetLimits.selector,
            Crossing.actBlink.selector,
            Crossing.actBurn.selector,
            Crossing.actWait.selector
        ];
        targets[0].selectors = new bytes4[](acts.length);
        for (uint256 i = 0; i < acts.length; i++) {
            targets[0].selectors[i] = acts[i];
        }
    }

    function invariant_no_bridge_and_no_owner_makes_openx_beyond_genesis_and_ceilings() external view {
        checkTrue(crossing.homeIsWithinGenesis(), "the home supply never passes what it began with");
        checkTrue(crossing.awayIsWithinItsCeiling(), "elsewhere bridges bring no more than the highest ceiling");
        checkTrue(crossing.suppliesAddUp(), "every unit is of genesis or of a bridge");
        checkTrue(crossing.sumsAreOfTheirParts(), "the sum over bridges is their sum");
        checkTrue(!crossing.viewsLied(), "mintableBy and burnableBy say exactly what goes");
        checkTrue(!crossing.limitsForgiven(), "taking a bridge off and on forgives nothing");
    }
}
