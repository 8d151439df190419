// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IEvidence} from "./IEvidence.sol";

/// @title How a reporter is first with its proof
/// @notice First {commit} to keccak256(abi.encode(reporter, evidenceId, salt)), then prove between {COMMIT_DELAY} and {COMMIT_LIFE} seconds
/// later. The evidence's id is keccak256(abi.encode(uint8 fault, address provider, bytes32 a, bytes32 b)) with a and b out of the documents
/// themselves, as each judge says: nobody can commit to a fault without having the documents that prove it. Who copies a proof
/// from the mempool has to wait {COMMIT_DELAY} first, while the original is included.
///
/// - The reporter gets {IProviderRegistry-REWARD_PPM} of what is slashed; the rest is burned. A provider that reports itself loses far more
///   than it gets, and gains nothing for later: what more is shown of the same episode takes what the episode as a whole costs, of
///   what lies there then ({IProviderRegistry-slash}).
/// - Evidence is not used up before its episode ends. The same proof again takes nothing as long as nothing was added to the stake, nor at
///   all once the episode is over, and is refused by the registry.
/// - A provider that knows its own fault can commit to it first, and take the reporter's tenth when a proof shows up. It cannot
///   be distinguished from a reporter. It still loses nine tenths.
interface ICommitments is IEvidence {
    event Committed(bytes32 indexed commitment, address indexed reporter);
    event FaultProven(
        bytes32 indexed evidenceId,
        address indexed provider,
        Fault indexed fault,
        address reporter,
        uint256 slashed,
        uint256 reward
    );

    error NotCommitted(bytes32 evidenceId, bytes32 commitment);
    error CommitmentTooYoung(uint256 provableAt, uint256 time);
    error CommitmentTooOld(uint256 provableUntil, uint256 time);

    /// @notice Notes the time of a commitment. One that runs already, or may be proved with, keeps its time, so that no one can reset
    /// another party's.
    function commit(bytes32 commitment) external;

    /// @notice When a commitment was made, in seconds since 1970; zero when never.
    function committedAt(bytes32 commitment) external view returns (uint256);

    /// @notice Whether this evidence was shown and counted.
    function isProven(bytes32 evidenceId) external view returns (bool);

    // solhint-disable func-name-mixedcase
    function COMMIT_DELAY() external view returns (uint256);
    function COMMIT_LIFE() external view returns (uint256);
    // solhint-enable func-name-mixedcase
}
