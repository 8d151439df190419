// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title How fast a governed number may change
/// @notice Within fixed bounds, by a factor of two at most, and once in a stake thaw of the registry. So whoever starts to leave when
/// a change is announced is out before a second one follows, and no number of changes amounts to more in that time.
interface IGovernedSteps {
    /// @param min the least value allowed now: the fixed bound, or half of what is set
    /// @param max the same: the fixed bound, or twice what is set
    error SettingOutOfBounds(bytes32 setting, uint256 value, uint256 min, uint256 max);
    error ChangedTooSoon(uint256 nextAt, uint256 time);
}
