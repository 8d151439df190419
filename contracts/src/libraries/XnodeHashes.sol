// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICapacityRegistry} from "../interfaces/ICapacityRegistry.sol";
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
}
