// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

import {ITimelock} from "../interfaces/ITimelock.sol";

/// @notice See {ITimelock}.
contract Timelock is TimelockController, ITimelock {
    uint256 public immutable leastDelay;

    constructor(uint256 minDelay, address[] memory proposers, address[] memory executors, address admin)
        TimelockController(minDelay, proposers, executors, admin)
    {
        leastDelay = minDelay;
    }

    function updateDelay(uint256 newDelay) public override {
        if (newDelay < leastDelay) revert DelayTooShort(newDelay, leastDelay);
        super.updateDelay(newDelay);
    }
}
