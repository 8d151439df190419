// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Evidence} from "./Evidence.sol";
import {ICommitments} from "../interfaces/ICommitments.sol";
import {IProviderRegistry} from "../interfaces/IProviderRegistry.sol";

/// @notice See {ICommitments}: who is first with a proof, and what follows from it.
abstract contract Commitments is Evidence, ICommitments {
    /// @dev Longer than a transaction that pays its way waits to be included.
    uint256 public constant COMMIT_DELAY = 10 minutes;
    uint256 public constant COMMIT_LIFE = 1 days;

    mapping(bytes32 commitment => uint256) public committedAt;
    mapping(bytes32 evidenceId => bool) public isProven;

    function commit(bytes32 commitment) external {
        if (block.timestamp <= committedAt[commitment] + COMMIT_LIFE) return;
        committedAt[commitment] = block.timestamp;
        emit Committed(commitment, msg.sender);
    }

    function _evidenceIdOf(Fault fault, address provider, bytes32 a, bytes32 b) internal pure returns (bytes32) {
        return keccak256(abi.encode(fault, provider, a, b));
    }

    function _commitmentTo(bytes32 evidenceId, bytes32 salt) internal view returns (bytes32) {
        return keccak256(abi.encode(msg.sender, evidenceId, salt));
    }

    function _checkCommitted(bytes32 evidenceId, bytes32 commitment) internal view {
        uint256 since = committedAt[commitment];
        // Zero is never, not a time.
        // slither-disable-next-line incorrect-equality
        if (since == 0) revert NotCommitted(evidenceId, commitment);
        if (block.timestamp < since + COMMIT_DELAY) {
            revert CommitmentTooYoung(since + COMMIT_DELAY, block.timestamp);
        }
        if (block.timestamp > since + COMMIT_LIFE) revert CommitmentTooOld(since + COMMIT_LIFE, block.timestamp);
    }

    /// @dev The registry is our own contract and calls only OPENX; what it took is known only when it has taken it.
    // slither-disable-next-line reentrancy-events
    function _slash(address provider, IProviderRegistry.Penalty memory penalty) internal {
        isProven[penalty.faultId] = true;
        (uint256 slashed, uint256 reward) = registry.slash(provider, penalty);
        emit FaultProven(penalty.faultId, provider, Fault(penalty.fault), msg.sender, slashed, reward);
    }
}
