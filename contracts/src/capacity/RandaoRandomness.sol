// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRandomness} from "../interfaces/IRandomness.sol";

/// @notice See {IRandomness}. The randomness of the chain's proposers, which each of them adds to.
contract RandaoRandomness is IRandomness {
    function draw() external view returns (bytes32) {
        return keccak256(abi.encode(block.prevrandao, msg.sender));
    }
}
