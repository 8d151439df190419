// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICapacityRegistry} from "../interfaces/ICapacityRegistry.sol";
import {IEvidence} from "../interfaces/IEvidence.sol";
import {IFaultProver} from "../interfaces/IFaultProver.sol";
import {IPaymentEscrow} from "../interfaces/IPaymentEscrow.sol";

/// @title The EIP-712 struct hashes of everything signed for the contracts
/// @notice The only place in the contracts that knows a type string. tests/vectors/eip712.json, made by another
/// implementation, holds these and the daemon's own to the same bytes.
library XnodeHashes {
    bytes32 internal constant ESCROW_TYPEHASH = keccak256(
        "Escrow(address payer,address signer,address provider,address asset,bytes32 split,uint32 thaw,uint96 nonce)"
    );
    bytes32 internal constant OPENING_TYPEHASH =
        keccak256("Opening(bytes32 escrowId,uint128 amount,uint256 nonce,uint64 deadline)");
    bytes32 internal constant VOUCHER_TYPEHASH =
        keccak256("Voucher(bytes32 escrowId,uint128 cumulative,bytes32 receiptsHash)");
    bytes32 internal constant RELEASE_TYPEHASH =
        keccak256("Release(bytes32 escrowId,uint128 newDeposited,uint256 nonce,uint64 deadline)");
    bytes32 internal constant NODE_KEY_TYPEHASH =
        keccak256("NodeKey(address provider,address nodeKey,uint256 nonce,uint64 deadline)");

    bytes32 internal constant VERDICT_TYPEHASH =
        keccak256("Verdict(bytes32 challengeId,bytes32 answersHash,bool passed,bytes32 openingSeed)");
    bytes32 internal constant CAPACITY_ANSWER_TYPEHASH =
        keccak256("CapacityAnswer(bytes32 challengeId,uint32 device,uint32 n,bytes32 seed,bytes32 root)");
    bytes32 internal constant OFFER_TYPEHASH =
        keccak256("Offer(address provider,address node,uint64 number,uint64 expiresAtNs,bytes32 bodyHash)");
    bytes32 internal constant QUOTE_TYPEHASH =
        keccak256("Quote(address provider,address node,uint64 number,uint64 expiresAtNs,bytes32 bodyHash)");

    string private constant USAGE =
        "Usage(uint128 vcpuNs,uint128 memoryByteNs,uint128 diskByteNs,uint128 gpuNs,uint128 ingressBytes,uint128 egressBytes)";
    string private constant RESOURCES =
        "Resources(uint64 vcpuMilli,uint64 memoryBytes,uint64 diskBytes,uint64 gpus,string gpuModel)";
    string private constant TARIFF =
        "Tariff(uint128 vcpuHour,uint128 memoryGibHour,uint128 diskGibHour,uint128 gpuHour,uint128 ingressGb,uint128 egressGb)";
    bytes32 internal constant USAGE_TYPEHASH = keccak256(bytes(USAGE));
    bytes32 internal constant RESOURCES_TYPEHASH = keccak256(bytes(RESOURCES));
    bytes32 internal constant TARIFF_TYPEHASH = keccak256(bytes(TARIFF));
    bytes32 internal constant RECEIPT_TYPEHASH = keccak256(
        bytes.concat(
            "Receipt(bytes32 leaseId,uint64 number,uint64 atNs,uint64 runningNs,Usage usage,uint128 cost,bool final)",
            bytes(USAGE)
        )
    );
    bytes32 internal constant LEASE_TERMS_TYPEHASH = keccak256(
        bytes.concat(
            "LeaseTerms(bytes32 jobHash,bytes32 quoteHash,address submitter,address provider,address node,bytes32 escrowId,",
            "uint64 leaseNumber,address asset,Resources resources,Tariff tariff,uint128 costLimit,uint128 exposureLimit,",
            "uint64 intervalNs,uint64 durationLimitNs,uint64 openUntilNs,uint32 availabilityPpm,uint32 refundPpm,",
            "uint32 exposureIntervals)",
            bytes(RESOURCES),
            bytes(TARIFF)
        )
    );

    function hashEscrow(IPaymentEscrow.Escrow memory terms) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                ESCROW_TYPEHASH,
                terms.payer,
                terms.signer,
                terms.provider,
                terms.asset,
                terms.split,
                terms.thaw,
                terms.nonce
            )
        );
    }

    function hashOpening(IPaymentEscrow.Opening memory opening) internal pure returns (bytes32) {
        return
            keccak256(abi.encode(OPENING_TYPEHASH, opening.escrowId, opening.amount, opening.nonce, opening.deadline));
    }

    function hashVoucher(bytes32 escrowId, uint128 cumulative, bytes32 receiptsHash) internal pure returns (bytes32) {
        return keccak256(abi.encode(VOUCHER_TYPEHASH, escrowId, cumulative, receiptsHash));
    }

    function hashRelease(IPaymentEscrow.Release memory order) internal pure returns (bytes32) {
        return keccak256(abi.encode(RELEASE_TYPEHASH, order.escrowId, order.newDeposited, order.nonce, order.deadline));
    }

    function hashNodeKey(address provider, address nodeKey, uint256 nonce, uint64 deadline)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(NODE_KEY_TYPEHASH, provider, nodeKey, nonce, deadline));
    }

    function hashVerdict(ICapacityRegistry.Verdict memory verdict) internal pure returns (bytes32) {
        return keccak256(abi.encode(VERDICT_TYPEHASH, verdict));
    }

    function hashCapacityAnswer(IFaultProver.CapacityAnswer memory answer) internal pure returns (bytes32) {
        return keccak256(abi.encode(CAPACITY_ANSWER_TYPEHASH, answer));
    }

    function hashOffer(IFaultProver.Numbered memory offer) internal pure returns (bytes32) {
        return keccak256(abi.encode(OFFER_TYPEHASH, offer));
    }

    function hashQuote(IFaultProver.Numbered memory quote) internal pure returns (bytes32) {
        return keccak256(abi.encode(QUOTE_TYPEHASH, quote));
    }

    function hashReceipt(IEvidence.Receipt memory receipt) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                RECEIPT_TYPEHASH,
                receipt.leaseId,
                receipt.number,
                receipt.atNs,
                receipt.runningNs,
                hashUsage(receipt.usage),
                receipt.cost,
                receipt.last
            )
        );
    }

    function hashUsage(IEvidence.Usage memory usage) internal pure returns (bytes32) {
        return keccak256(abi.encode(USAGE_TYPEHASH, usage));
    }

    function hashLeaseTerms(IEvidence.LeaseTerms memory terms) internal pure returns (bytes32) {
        // In two parts: so many fields at once are more than the stack holds.
        bytes memory parties = abi.encode(
            LEASE_TERMS_TYPEHASH,
            terms.jobHash,
            terms.quoteHash,
            terms.submitter,
            terms.provider,
            terms.node,
            terms.escrowId,
            terms.leaseNumber,
            terms.asset
        );
        bytes memory conditions = abi.encode(
            hashResources(terms.resources),
            keccak256(abi.encode(TARIFF_TYPEHASH, terms.tariff)),
            terms.costLimit,
            terms.exposureLimit,
            terms.intervalNs,
            terms.durationLimitNs,
            terms.openUntilNs,
            terms.availabilityPpm,
            terms.refundPpm,
            terms.exposureIntervals
        );
        return keccak256(bytes.concat(parties, conditions));
    }

    function hashResources(IEvidence.Resources memory resources) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                RESOURCES_TYPEHASH,
                resources.vcpuMilli,
                resources.memoryBytes,
                resources.diskBytes,
                resources.gpus,
                keccak256(bytes(resources.gpuModel))
            )
        );
    }
}
