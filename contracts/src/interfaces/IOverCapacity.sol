// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICapacityRegistry} from "./ICapacityRegistry.sol";
import {ICommitments} from "./ICommitments.sol";

/// @title Where the same hours sold to several are proved
/// @notice Receipts of many leases, over a time in which one verdict on their provider was in force, that together hold more than the
/// verified devices can serve: {OVER_CAPACITY_PPM} of the provider's compartment. {IEvidence} says whose word a document is,
/// {ICommitments} how it is reported.
///
/// A case
/// 1. {commit} to the whole of the evidence. Its id has a = bytes32(historyIndex) and b = the chain over its pairs in order, from zero:
///    keccak256(abi.encode(b before, leaseId, digest of the older receipt, digest of the newer)).
/// 2. After {COMMIT_DELAY} {openCase}, then {addPairs} as often as it takes, {MAX_PAIRS} in a call and {MAX_CASE_PAIRS} in all, then
///    {close}. Pairs can be read in the mempool: who needs more than one transaction sends them within {COMMIT_DELAY}.
///
/// What a pair counts
/// - The growth of usage between two receipts of one lease, and at most what the lease has reserved of the devices for the time between
///   these two. So a clock that is set, a suspend or a counter that jumps makes no lease count for more than it holds; only leases that
///   together hold more than there is are a fault.
/// - Each lease once, by ascending id over the whole case.
///
/// What is too much
/// - More than the devices can serve in the time from the oldest receipt to the newest and {TOLERANCE_NS}. That time is {LEAST_WINDOW_NS} or
///   longer, all of it within the verdict. Selling twice shows for hours; a clock that is set by minutes does not.
/// - The devices are the most, of each kind, of the verdict in force over that time and of the verdicts under which the case's leases began. So
///   a smaller verdict makes nobody guilty of leases that began under a larger one: what was promised is what was verified then.
/// - A lease begins at its openUntilNs, or where its older receipt says that it ran before that: then. What was in force up to {START_NS}
///   earlier counts too, because terms are signed some time before. A lease that began while no verdict was in force is refused: it
///   was promised nothing that the chain knows.
/// - A kind of device of which none of these verdicts knows any is not judged: no credit is minted on it.
///
/// What it does not promise
/// - Receipts bear the time that the provider wrote. One that dates them outside of every verdict cannot be judged here; a submitter
///   sees the wrong time and refuses.
///
/// Assumptions
/// - capacity is our own contract and does not call back. This contract is a judge of the registry's for the provider's compartment.
interface IOverCapacity is ICommitments {
    /// @notice Two receipts of one lease between which usage is counted.
    /// @param begunUnder which verdict of {ICapacityRegistry-historyOf} was in force when the lease began
    struct ReceiptPair {
        SignedLease lease;
        SignedReceipt older;
        SignedReceipt newer;
        uint64 begunUnder;
    }

    /// @notice What a case has so far.
    /// @param chain over its pairs, as in its id
    /// @param lastLease id of the pair that was added last
    /// @param gpus the most of the verdicts under which its leases began; vcpus likewise
    struct Case {
        address provider;
        uint64 historyIndex;
        uint32 pairs;
        uint32 gpus;
        uint32 vcpus;
        uint64 oldestNs;
        uint64 newestNs;
        bytes32 chain;
        bytes32 lastLease;
        uint256 gpuNs;
        uint256 vcpuNs;
    }

    event CaseOpened(address indexed reporter, bytes32 indexed commitment, address indexed provider);
    event PairsAdded(address indexed reporter, bytes32 indexed commitment, uint256 pairs);

    error NoCase(address reporter, bytes32 commitment);
    error PairsCount(uint256 pairs, uint256 max);
    error PairOutOfOrder(bytes32 leaseId);
    error LeasesNotAscending(bytes32 leaseId);
    error UsageFalls(bytes32 leaseId);
    error NotBegunUnder(bytes32 leaseId, uint256 begunAt, uint64 historyIndex);
    error OutsideOfVerdict(uint256 oldestNs, uint256 newestNs, uint64 from, uint64 until);
    error WindowTooShort(uint256 windowNs, uint256 leastNs);
    error WithinCapacity(uint256 gpuNs, uint256 vcpuNs, uint256 windowNs);

    /// @notice Opens the caller's case under a commitment that may be proved with, empty; one that it had under it is dropped.
    /// @param historyIndex which verdict of {ICapacityRegistry-historyOf} was in force from the oldest to the newest receipt
    function openCase(bytes32 commitment, address provider, uint64 historyIndex) external;

    /// @notice Adds pairs to the caller's case.
    /// @param pairs 1 to {MAX_PAIRS}, by ascending lease id, all above those that are there
    function addPairs(bytes32 commitment, ReceiptPair[] calldata pairs) external;

    /// @notice Judges the caller's case, which is gone afterwards.
    function close(bytes32 commitment, bytes32 salt) external;

    /// @notice A reporter's open case; all zero where there is none.
    function caseOf(address reporter, bytes32 commitment) external view returns (Case memory);

    function capacity() external view returns (ICapacityRegistry);
    // solhint-disable func-name-mixedcase
    function OVER_CAPACITY_PPM() external view returns (uint32);
    function TOLERANCE_NS() external view returns (uint256);
    function LEAST_WINDOW_NS() external view returns (uint256);
    function START_NS() external view returns (uint256);
    function MAX_PAIRS() external view returns (uint256);
    function MAX_CASE_PAIRS() external view returns (uint256);
    // solhint-enable func-name-mixedcase
}
