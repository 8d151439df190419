// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {Commitments} from "./Commitments.sol";
import {Evidence} from "./Evidence.sol";
import {ICapacityRegistry} from "../interfaces/ICapacityRegistry.sol";
import {IOverCapacity} from "../interfaces/IOverCapacity.sol";
import {IPaymentEscrow} from "../interfaces/IPaymentEscrow.sol";
import {IProviderRegistry} from "../interfaces/IProviderRegistry.sol";

/// @notice See {IOverCapacity}.
contract OverCapacity is Commitments, IOverCapacity {
    uint32 public constant OVER_CAPACITY_PPM = 300_000;
    /// @dev More than a clock is off that anybody looks after; selling twice shows for hours.
    uint256 public constant TOLERANCE_NS = 15 minutes * NANOS;
    uint256 public constant LEAST_WINDOW_NS = 1 hours * NANOS;
    /// @dev Terms are signed, image and inputs fetched, at most so long before a workload runs.
    uint256 public constant START_NS = 1 hours * NANOS;
    /// @dev About 85 KiB of the 128 KiB that nodes relay in one transaction.
    uint256 public constant MAX_PAIRS = 32;
    /// @dev As many leases as a challenge has devices.
    uint256 public constant MAX_CASE_PAIRS = 1024;

    ICapacityRegistry public immutable capacity;

    mapping(address reporter => mapping(bytes32 commitment => Case)) private _cases;

    constructor(IProviderRegistry registry_, ICapacityRegistry capacity_, IPaymentEscrow escrow_)
        Evidence(registry_, escrow_)
    {
        if (address(capacity_) == address(0)) revert ZeroAddress();
        capacity = capacity_;
    }

    function openCase(bytes32 commitment, address provider, uint64 historyIndex) external {
        if (provider == address(0)) revert ZeroAddress();
        _checkCommitted(bytes32(0), commitment);
        delete _cases[msg.sender][commitment];
        Case storage opened = _cases[msg.sender][commitment];
        opened.provider = provider;
        opened.historyIndex = historyIndex;
        opened.oldestNs = type(uint64).max;
        emit CaseOpened(msg.sender, commitment, provider);
    }

    function addPairs(bytes32 commitment, ReceiptPair[] calldata pairs) external {
        if (pairs.length == 0 || pairs.length > MAX_PAIRS) revert PairsCount(pairs.length, MAX_PAIRS);
        Case memory gathered = _caseOf(commitment);
        bytes32 domain = escrow.domainSeparator();
        for (uint256 i = 0; i < pairs.length; i++) {
            _addPair(gathered, domain, pairs[i]);
        }
        if (gathered.pairs > MAX_CASE_PAIRS) revert PairsCount(gathered.pairs, MAX_CASE_PAIRS);
        _cases[msg.sender][commitment] = gathered;
        emit PairsAdded(msg.sender, commitment, gathered.pairs);
    }

    function close(bytes32 commitment, bytes32 salt) external {
        Case memory closed = _caseOf(commitment);
        if (closed.pairs == 0) revert PairsCount(0, MAX_CASE_PAIRS);
        bytes32 evidenceId =
            _evidenceIdOf(Fault.OverCapacity, closed.provider, bytes32(uint256(closed.historyIndex)), closed.chain);
        _checkCommitted(evidenceId, _commitmentTo(evidenceId, salt));
        delete _cases[msg.sender][commitment];
        _checkAbove(closed);
        IProviderRegistry.Penalty memory penalty = IProviderRegistry.Penalty({
            role: IProviderRegistry.Role.Provider,
            fault: uint8(Fault.OverCapacity),
            ppm: OVER_CAPACITY_PPM,
            datedAt: uint64(closed.newestNs / NANOS),
            faultId: evidenceId,
            reporter: msg.sender
        });
        _slash(closed.provider, penalty);
    }

    function caseOf(address reporter, bytes32 commitment) external view returns (Case memory) {
        return _cases[reporter][commitment];
    }

    // ---- Inside

    function _caseOf(bytes32 commitment) private view returns (Case memory found) {
        found = _cases[msg.sender][commitment];
        if (found.provider == address(0)) revert NoCase(msg.sender, commitment);
    }

    function _addPair(Case memory gathered, bytes32 domain, ReceiptPair calldata pair) private view {
        bytes32 leaseId = _leaseIdOf(domain, pair.lease);
        address provider = pair.lease.terms.provider;
        if (provider != gathered.provider) revert SignersDiffer(provider, gathered.provider);
        // Ascending means that no lease counts twice.
        if (leaseId <= gathered.lastLease) revert LeasesNotAscending(leaseId);
        bytes32 olderDigest = _checkOfLease(domain, leaseId, provider, pair.older);
        bytes32 newerDigest = _checkOfLease(domain, leaseId, provider, pair.newer);
        gathered.lastLease = leaseId;
        gathered.chain = keccak256(abi.encode(gathered.chain, leaseId, olderDigest, newerDigest));
        gathered.pairs++;
        _addUsage(gathered, leaseId, pair.lease.terms.resources, pair.older.receipt, pair.newer.receipt);
        _addLimits(gathered, leaseId, pair);
    }

    function _addUsage(
        Case memory gathered,
        bytes32 leaseId,
        Resources calldata reserved,
        Receipt calldata older,
        Receipt calldata newer
    ) private pure {
        if (newer.number <= older.number || newer.atNs < older.atNs) {
            revert PairOutOfOrder(leaseId);
        }
        bool falls = newer.usage.gpuNs < older.usage.gpuNs || newer.usage.vcpuNs < older.usage.vcpuNs;
        if (falls) revert UsageFalls(leaseId);
        uint256 passedNs = newer.atNs - older.atNs;
        gathered.gpuNs += Math.min(newer.usage.gpuNs - older.usage.gpuNs, reserved.gpus * passedNs);
        gathered.vcpuNs += Math.min(newer.usage.vcpuNs - older.usage.vcpuNs, reserved.vcpuMilli * passedNs / 1000);
        if (older.atNs < gathered.oldestNs) gathered.oldestNs = older.atNs;
        if (newer.atNs > gathered.newestNs) gathered.newestNs = newer.atNs;
    }

    /// @dev The most that was verified when the lease began.
    function _addLimits(Case memory gathered, bytes32 leaseId, ReceiptPair calldata pair) private view {
        uint256 begunNs = _begunOf(pair);
        // As in {_authorOf}.
        // slither-disable-next-line calls-loop
        ICapacityRegistry.Capacity memory verified = capacity.historyOf(gathered.provider, pair.begunUnder);
        bool isInForce = verified.from * NANOS <= begunNs && begunNs < verified.until * NANOS;
        if (!isInForce) revert NotBegunUnder(leaseId, begunNs / NANOS, pair.begunUnder);
        _raise(gathered, verified);
        if (pair.begunUnder == 0 || begunNs >= verified.from * NANOS + START_NS) return;
        // slither-disable-next-line calls-loop
        verified = capacity.historyOf(gathered.provider, pair.begunUnder - 1);
        if (verified.until * NANOS + START_NS > begunNs) _raise(gathered, verified);
    }

    /// @dev No later than the terms say, nor than the older receipt says that the workload ran.
    function _begunOf(ReceiptPair calldata pair) private pure returns (uint256) {
        uint256 ranFromNs = Math.saturatingSub(pair.older.receipt.atNs, pair.older.receipt.runningNs);
        return Math.min(pair.lease.terms.openUntilNs, ranFromNs);
    }

    function _raise(Case memory gathered, ICapacityRegistry.Capacity memory verified) private pure {
        if (verified.gpus > gathered.gpus) gathered.gpus = verified.gpus;
        if (verified.vcpus > gathered.vcpus) gathered.vcpus = verified.vcpus;
    }

    function _checkAbove(Case memory closed) private view {
        ICapacityRegistry.Capacity memory verified = capacity.historyOf(closed.provider, closed.historyIndex);
        if (closed.oldestNs < verified.from * NANOS || closed.newestNs > verified.until * NANOS) {
            revert OutsideOfVerdict(closed.oldestNs, closed.newestNs, verified.from, verified.until);
        }
        _raise(closed, verified);
        uint256 windowNs = closed.newestNs - closed.oldestNs;
        if (windowNs < LEAST_WINDOW_NS) revert WindowTooShort(windowNs, LEAST_WINDOW_NS);
        bool isAbove = _isAbove(closed.gpuNs, closed.gpus, windowNs) || _isAbove(closed.vcpuNs, closed.vcpus, windowNs);
        if (!isAbove) revert WithinCapacity(closed.gpuNs, closed.vcpuNs, windowNs);
    }

    function _isAbove(uint256 servedNs, uint256 devices, uint256 windowNs) private pure returns (bool) {
        return devices != 0 && servedNs > devices * (windowNs + TOLERANCE_NS);
    }
}
