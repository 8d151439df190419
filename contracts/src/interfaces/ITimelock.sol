// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title The owner of everything that is governed
/// @notice OpenZeppelin's TimelockController, with a floor: its delay is everybody's time to see what was proposed and to claim and leave
/// before it, so governance makes it longer, and shorter again, but never shorter than it was at the beginning ({leastDelay}).
interface ITimelock {
    error DelayTooShort(uint256 delay, uint256 leastDelay);

    /// @notice Seconds, from the constructor: no delay is less.
    function leastDelay() external view returns (uint256);
}
