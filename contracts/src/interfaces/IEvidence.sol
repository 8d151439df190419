// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentEscrow} from "./IPaymentEscrow.sol";
import {IProviderRegistry} from "./IProviderRegistry.sol";

/// @title What the judges of evidence read, and whose word a document is
/// @notice {IFaultProver}, {IOverCapacity} and {IBreachProver} judge by nothing but signatures and arithmetic. What holds for all of them:
///
/// - A document is the word of the provider whose key signed it, where {IProviderRegistry-authorOf} says that the key had this authority at
///   the document's own date: bound then, and not taken away for longer than the stake's thaw. So a key that was replaced long ago proves
///   nothing, and one that was replaced yesterday proves nothing that is dated later. No document counts that is dated more than an
///   hour ahead.
/// - A receipt counts only beside the terms of its lease with both signatures, whose digest is the lease's id: a lease that never was
///   proves nothing. Under the terms the key need only be the provider's at any time, because a lease can run for longer than a thaw
///   and the receipts say when.
/// - No provider is judged by another's signature, nor by one made for another chain, contract or type.
/// - These contracts have no owner, no pause and no upgrade, and hold no money.
///
/// What none of them promises
/// - Documents bear the date that their signer wrote. Who holds a key that is bound now, or was until a thaw ago, can write any document of that
///   time: what is taken for it has a ceiling for each period ({IProviderRegistry-slash}), and ends with the key.
///
/// Assumptions
/// - keccak256 finds no collisions. Keys are ordinary ones; signatures are 65 bytes r, s, v with s in the lower half and v 27 or 28.
/// - registry and escrow are our own contracts and do not call back.
interface IEvidence {
    enum Fault {
        None,
        Equivocation,
        OverCapacity,
        WrongElement,
        FalseVerdict
    }

    struct Usage {
        uint128 vcpuNs;
        uint128 memoryByteNs;
        uint128 diskByteNs;
        uint128 gpuNs;
        uint128 ingressBytes;
        uint128 egressBytes;
    }

    /// @notice `metering/eip712.py`'s Receipt, signed in PaymentEscrow's domain.
    struct Receipt {
        bytes32 leaseId;
        uint64 number;
        uint64 atNs;
        uint64 runningNs;
        Usage usage;
        uint128 cost;
        bool last;
    }

    struct SignedReceipt {
        Receipt receipt;
        bytes sig;
    }

    struct Resources {
        uint64 vcpuMilli;
        uint64 memoryBytes;
        uint64 diskBytes;
        uint64 gpus;
        string gpuModel;
    }

    struct Tariff {
        uint128 vcpuHour;
        uint128 memoryGibHour;
        uint128 diskGibHour;
        uint128 gpuHour;
        uint128 ingressGb;
        uint128 egressGb;
    }

    struct LeaseTerms {
        bytes32 jobHash;
        bytes32 quoteHash;
        address submitter;
        address provider;
        address node;
        bytes32 escrowId;
        uint64 leaseNumber;
        address asset;
        Resources resources;
        Tariff tariff;
        uint128 costLimit;
        uint128 exposureLimit;
        uint64 intervalNs;
        uint64 durationLimitNs;
        uint64 openUntilNs;
        uint32 availabilityPpm;
        uint32 refundPpm;
        uint32 exposureIntervals;
    }

    /// @notice A lease as both sides signed it.
    struct SignedLease {
        LeaseTerms terms;
        bytes submitterSig;
        bytes nodeSig;
    }

    error ZeroAddress();
    /// @param datedAt seconds: the date of the document, for which the key has no authority
    error NotAProvidersKey(address signer, uint256 datedAt);
    error SignersDiffer(address a, address b);
    error NotSignedBy(address signer, address expected);
    error NotTheLease(bytes32 receiptsLease, bytes32 leaseId);

    function escrow() external view returns (IPaymentEscrow);
    function registry() external view returns (IProviderRegistry);
}
