// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRandomness} from "../interfaces/IRandomness.sol";

/// @title Randomness out of the beacon chain's RANDAO
/// @notice keccak256(abi.encode(block.prevrandao, calling contract)).
///
/// Promises
/// - No block's maker can set the value: each adds to the mix a signature that it cannot choose.
/// - A chain whose prevrandao is a constant is refused, at deployment and at each draw: Arbitrum answers 1 and BNB a block's
///   difficulty of 2, while a mix below 2^128 comes once in 2^128 blocks.
///
/// What it does not promise
/// - The value of a block is known when the block before it is there. The maker of a block may leave a draw out of it, or leave out
///   the block, and so gets the draw of a later one: one more try for each block in a row that is its own. Makers of a
///   third of all blocks get four times the tries on average.
/// - Who makes no blocks can ask in each, and revert, until somebody else has drawn: see {ICapacityRegistry}.
/// - The sequencer of an OP-stack chain takes the mix of a block of Ethereum, and chooses which one within its drift (half an hour is
///   150 blocks); it can also keep draws out for as long as transactions forced from Ethereum wait (12 hours are 3,600).
///   A network that does not trust the sequencer of its chain deploys another {IRandomness}.
contract RandaoRandomness is IRandomness {
    uint256 private constant LEAST = 1 << 128;

    error NoRandomness(uint256 prevrandao);

    constructor() {
        _mix();
    }

    function draw() external view returns (bytes32) {
        return keccak256(abi.encode(_mix(), msg.sender));
    }

    function _mix() private view returns (uint256 mix) {
        mix = block.prevrandao;
        if (mix < LEAST) revert NoRandomness(mix);
    }
}
