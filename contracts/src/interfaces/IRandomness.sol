// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Where challenges get what nobody can choose
/// @notice One value for each block and calling contract. A contract that needs several values out of one draw hashes it with what
/// tells them apart, as CapacityRegistry does with the challenge's id.
///
/// What every implementation must promise
/// - Unpredictable: when a challenge is requested, {Settings-drawDelay} before, no one knows the value of any block in which it can be drawn.
/// - One value: all who draw through the same contract in one block get the same. Who is first in the block decides nothing, and a
///   call that reverts because its sender dislikes the panel has only shown what the next call in that block gives.
/// - Closed: where there is no randomness {draw} reverts. It never answers with something that could be known before.
/// - No price, no owner, no callback into the caller.
///
/// An adapter for a beacon (drand) takes a round whose time is after the request, checks its signature on chain, and keeps
/// it; one for a verifiable random function (VRF) keeps what the oracle proved. Both may revert until the value is there. They are
/// for chains where one party makes all blocks; docs/economics.md says what such a party can do without them.
interface IRandomness {
    /// @notice The value of this block for the calling contract.
    function draw() external returns (bytes32);
}
