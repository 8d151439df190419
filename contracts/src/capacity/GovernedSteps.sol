// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IGovernedSteps} from "../interfaces/IGovernedSteps.sol";

/// @title The checks of {IGovernedSteps}
library GovernedSteps {
    /// @dev before: zero for a number that is set for the first time.
    function check(bytes32 setting, uint256 value, uint256 before, uint256 min, uint256 max) internal pure {
        if (before != 0) {
            min = Math.max(min, Math.ceilDiv(before, 2));
            max = Math.min(max, before * 2);
        }
        if (value < min || value > max) revert IGovernedSteps.SettingOutOfBounds(setting, value, min, max);
    }

    /// @dev changedAt: zero before the first change.
    function checkPause(uint256 changedAt, uint256 pause) internal view {
        if (changedAt != 0 && block.timestamp < changedAt + pause) {
            revert IGovernedSteps.ChangedTooSoon(changedAt + pause, block.timestamp);
        }
    }
}
