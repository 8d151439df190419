// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentEscrow} from "../interfaces/IPaymentEscrow.sol";
import {XnodeHashes} from "../libraries/XnodeHashes.sol";

/// @title The packed rows of a batch claim, read and hashed in one piece of memory
/// @notice A row is payer 20, signer 20, nonce 12, cumulative 16, receiptsHash 32, r 32, vs 32 bytes, big-endian, without
/// padding. What this computes is what {XnodeHashes} and ECDSA.tryRecover compute (a differential test holds them equal);
/// it is written apart because their memory and copies cost 1,200 gas more a row.
library ClaimRows {
    uint256 internal constant ROW_LENGTH = 164;

    /// @dev Half the order of secp256k1, rounded up. From here on s makes the second form of each signature.
    uint256 private constant HALF_ORDER_UP = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1;

    error FrameOutOfPlace(uint256 freeMemory);

    /// @notice Takes the memory the other functions work in. Must be the first to take any in a call, so that it lies at a
    /// known address (an addition at each use would cost 150 gas a row); else it reverts. Its layout:
    /// 0x080 Escrow: typehash, payer, signer, provider, asset, split, thaw, nonce
    /// 0x180 EIP-712: 0x1901 at the end of its word, domain separator, struct hash
    /// 0x1e0 Voucher: typehash, escrowId, cumulative, receiptsHash
    /// 0x260 r, vs
    /// ecrecover takes digest, v, r, s from 0x220 on, where the voucher's last words lay, so that one copy places all that a row
    /// holds behind its nonce. Its answer comes where the digest was.
    function takeFrame() internal pure {
        uint256 freeMemory;
        assembly ("memory-safe") {
            freeMemory := mload(0x40)
        }
        if (freeMemory != 0x80) revert FrameOutOfPlace(freeMemory);
        assembly ("memory-safe") {
            mstore(0x40, 0x2a0)
        }
    }

    /// @notice Fills in what all rows of a batch share.
    function fillFrame(bytes32 domain, address provider, address asset, bytes32 split, uint32 thaw) internal pure {
        bytes32 escrowTypehash = XnodeHashes.ESCROW_TYPEHASH;
        bytes32 voucherTypehash = XnodeHashes.VOUCHER_TYPEHASH;
        uint256 providerWord = uint160(provider);
        uint256 assetWord = uint160(asset);
        uint256 thawWord = thaw;
        assembly ("memory-safe") {
            mstore(0x080, escrowTypehash)
            // Rows are copied into the lower bytes of these three.
            mstore(0x0a0, 0)
            mstore(0x0c0, 0)
            mstore(0x160, 0)
            mstore(0x0e0, providerWord)
            mstore(0x100, assetWord)
            mstore(0x120, split)
            mstore(0x140, thawWord)
            mstore(0x180, 0x1901)
            mstore(0x1a0, domain)
            mstore(0x1e0, voucherTypehash)
        }
    }

    /// @notice Where the rows begin and end in the calldata.
    function bounds(bytes calldata rows) internal pure returns (uint256 start, uint256 end) {
        assembly ("memory-safe") {
            start := rows.offset
            end := add(start, rows.length)
        }
    }

    /// @notice The escrow a row is about, and what its voucher promises. row is where the row begins in the calldata; the
    /// caller has made sure that it is all there.
    function readVoucher(uint256 row) internal pure returns (bytes32 escrowId, uint256 cumulative) {
        assembly ("memory-safe") {
            calldatacopy(0x0ac, row, 20)
            calldatacopy(0x0cc, add(row, 20), 20)
            calldatacopy(0x174, add(row, 40), 12)
            mstore(0x1c0, keccak256(0x080, 0x100))
            escrowId := keccak256(0x19e, 0x42)

            mstore(0x200, escrowId)
            mstore(0x220, 0)
            calldatacopy(0x230, add(row, 52), 112)
            cumulative := mload(0x220)
        }
    }

    /// @notice Whether the row that {readVoucher} just read into the frame is signed by the signer it names. Asked once, for it
    /// writes over the voucher.
    function isSigned() internal view returns (bool signed) {
        assembly ("memory-safe") {
            mstore(0x1c0, keccak256(0x1e0, 0x80))
            mstore(0x220, keccak256(0x19e, 0x42))

            let vs := mload(0x280)
            let s := shr(1, shl(1, vs))
            mstore(0x240, add(27, shr(255, vs)))
            mstore(0x280, s)

            // A signature without a signer leaves the digest there, and no one can find a digest that is its own signer.
            pop(staticcall(gas(), 1, 0x220, 0x80, 0x220, 0x20))
            signed := and(eq(mload(0x220), mload(0x0c0)), lt(s, HALF_ORDER_UP))
        }
    }

    /// @notice Emits {IPaymentEscrow-Claimed} for the row that was last read.
    function emitClaimed(uint256 row, bytes32 escrowId, uint256 claimed) internal {
        bytes32 topic = IPaymentEscrow.Claimed.selector;
        assembly ("memory-safe") {
            mstore(0x220, claimed)
            mstore(0x240, calldataload(add(row, 68)))
            log2(0x220, 0x40, topic, escrowId)
        }
    }
}
