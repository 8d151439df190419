// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title What is governed by one owner from the block it was made in
/// @notice The owner, a timelock, neither hands a contract on nor gives it up: who governs is changed by the roles of the timelock, after
/// its delay and in its own events, and nowhere else. So a node that knows the owner of a contract knows it for good.
interface IGovernedForGood {
    error OwnedForGood(address owner);
}
