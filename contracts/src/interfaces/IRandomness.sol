// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Where the randomness of draws comes from
/// @notice Asked once for each draw, in the block of the draw.
interface IRandomness {
    /// @notice 32 bytes that nobody knew when the draw's wait began.
    function draw() external returns (bytes32);
}
