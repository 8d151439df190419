// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {ClaimRows} from "../src/money/ClaimRows.sol";
import {PlainAsset} from "./Assets.sol";
import {Market} from "./Market.sol";

/// @notice Asks the library about a row whose signer is swapped after hashing: in a real row the digest depends on the
/// signer, so nobody can make a signature with an s of choice.
contract RowReader {
    function isSignedBy(bytes calldata rows, bytes32 domain, IPaymentEscrow.Escrow calldata terms, address signer)
        external
        view
        returns (bool)
    {
        ClaimRows.takeFrame();
        ClaimRows.fillFrame(domain, terms.provider, terms.asset, terms.split, terms.thaw);
        (uint256 row,) = ClaimRows.bounds(rows);
        ClaimRows.readVoucher(row);
        assembly {
            mstore(0x0c0, signer)
        }
        return ClaimRows.isSigned();
    }
}

/// @notice Takes memory before the library does.
contract LateReader {
    function takeLate() external pure returns (uint256 length) {
        length = new bytes(1).length;
        ClaimRows.takeFrame();
    }
}

/// @notice The packed path and the readable one have the same outcome: same result, same state, same events.
contract ClaimRowsTest is Market {
    struct Draw {
        uint256 payerKey;
        uint256 signerKey;
        uint96 nonce;
        uint128 deposited;
        uint128 claimedBefore;
        uint128 refundedBefore;
        uint128 cumulative;
        bytes32 receiptsHash;
        uint8 flaw;
        uint16 feePpm;
        uint32 splitPpm;
        bool inCredits;
        bool isRefused;
    }

    struct Outcome {
        uint256 paid;
        uint256 deposited;
        uint256 claimed;
        uint256 providerBalance;
        uint256 burned;
        uint256 settled;
        uint256 owed;
        uint256 owedToSplit;
        IPaymentEscrow.Asset asset;
        bytes32 logs;
    }

    uint256 private judged;

    function testFuzz_packed_and_readable_claims_have_the_same_outcome(Draw memory draw) external {
        (IPaymentEscrow.Escrow memory terms, uint256 key) = arrange(draw);
        bytes memory sig = signAs(key, voucherDigest(terms, draw.cumulative, draw.receiptsHash));
        if (draw.flaw % 8 == 1) draw.receiptsHash = keccak256(abi.encode(draw.receiptsHash));
        if (draw.flaw % 8 == 2) terms.nonce ^= 1;

        uint256 before = vm.snapshotState();
        vm.recordLogs();
        bytes memory row = packRow(terms, draw.cumulative, draw.receiptsHash, sig);
        Outcome memory packed = observe(terms, claimRowsOf(terms, row));
        vm.revertToState(before);
        vm.recordLogs();
        uint256 paid = escrow.claimOne(terms, draw.cumulative, draw.receiptsHash, sig);
        Outcome memory readable = observe(terms, paid);
        checkEqual(keccak256(abi.encode(packed)), keccak256(abi.encode(readable)), "outcome");
        if (draw.flaw % 8 != 2) checkConserved(terms, packed);
    }

    function testFuzz_random_bytes_as_rows_pay_nothing_and_never_revert(bytes32[41] memory noise, uint8 count)
        external
    {
        openEscrow(0, 10 ether);
        bytes memory rows = abi.encodePacked(noise); // 41 words are 8 rows
        uint256 length = uint256(count % 9) * 164;
        assembly {
            mstore(rows, length)
        }
        checkEqual(claimRows(rows), 0, "paid");
    }

    function testFuzz_a_batch_is_the_sum_of_its_rows(uint128[6] memory amounts, uint8 flawed) external {
        bytes memory rows;
        uint256 expected;
        for (uint96 i = 0; i < 6; i++) {
            uint128 amount = uint128(within(amounts[i], 1, 20 ether));
            IPaymentEscrow.Escrow memory terms = openEscrow(i, 10 ether);
            bool bad = flawed & (1 << i) != 0;
            rows = bytes.concat(rows, makeRow(bad ? STRANGER_KEY : SIGNER_KEY, terms, amount));
            if (!bad) expected += amount < 10 ether ? amount : 10 ether;
        }
        checkEqual(claimRows(rows), expected, "paid");
        checkEqual(asset.balanceOf(provider), expected, "provider");
    }

    function test_a_frame_that_would_lie_elsewhere_is_refused() external {
        LateReader late = new LateReader();
        vm.expectRevert(abi.encodeWithSelector(ClaimRows.FrameOutOfPlace.selector, 0xc0));
        late.takeLate();
    }

    function test_a_row_is_signed_by_nobody_or_with_an_s_in_the_lower_half() external {
        // Only an s below 2^255 can be written there at all, for its top bit carries the parity.
        uint256 half = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
        RowReader reader = new RowReader();
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        bytes32 digest = voucherDigest(terms, 1 ether, RECEIPTS);
        for (uint256 i = 0; i < 20; i++) {
            bytes32 r = keccak256(abi.encode(i));
            for (uint256 s = half; s <= half + 1; s++) {
                address by = ecrecover(digest, 28, r, bytes32(s));
                bytes memory row = packRow(terms, 1 ether, RECEIPTS, abi.encodePacked(r, s, uint8(28)));
                if (by == address(0)) {
                    // r is on the curve half of the time. Off it, nobody has signed.
                    bool taken = reader.isSignedBy(row, escrow.domainSeparator(), terms, signer);
                    checkTrue(!taken, "no signature, no signer");
                    continue;
                }
                bool signed = reader.isSignedBy(row, escrow.domainSeparator(), terms, by);
                checkTrue(signed == (s == half), "the lower half only");
                judged++;
            }
        }
        checkTrue(judged > 10, "there were signatures to judge");
    }

    function arrange(Draw memory draw) private returns (IPaymentEscrow.Escrow memory terms, uint256 key) {
        draw.payerKey = within(draw.payerKey, 1, type(uint128).max);
        draw.signerKey = within(draw.signerKey, 1, type(uint128).max);
        // Small numbers meet at the borders; large ones fill every byte of the row.
        uint256 most = draw.flaw & 0x80 == 0 ? 4 : type(uint128).max;
        draw.deposited = uint128(within(draw.deposited, 0, most == 4 ? most : type(uint128).max - 1_000 ether));
        draw.claimedBefore = uint128(within(draw.claimedBefore, 0, draw.deposited));
        draw.cumulative = uint128(within(draw.cumulative, 0, most));

        terms = makeTermsIn(draw.inCredits ? credit : asset, drawSplit(draw.splitPpm), draw.nonce);
        (terms.payer, terms.signer) = (vm.addr(draw.payerKey), vm.addr(draw.signerKey));
        if (draw.deposited != 0) openUnder(terms, draw.deposited);
        if (draw.claimedBefore != 0) {
            bytes memory sig = signAs(draw.signerKey, voucherDigest(terms, draw.claimedBefore, RECEIPTS));
            escrow.claimOne(terms, draw.claimedBefore, RECEIPTS, sig);
        }
        connectJudge(address(this), noHolds());
        escrow.refund(terms, draw.refundedBefore);
        escrow.setFee(terms.asset, draw.feePpm % 50_001);
        credit.refuse(draw.isRefused);
        asset.setBlocked(provider, draw.isRefused);
        key = draw.flaw % 8 == 3 ? draw.payerKey : draw.signerKey;
    }

    /// @dev A third of all draws have no split.
    function drawSplit(uint32 ppm) private returns (bytes32) {
        if (ppm % 3 == 0) return bytes32(0);
        return splits.create(makeShares(uint32(within(ppm, 1, 999_999)), 1));
    }

    /// @dev What this claim paid went somewhere, to the unit.
    function checkConserved(IPaymentEscrow.Escrow memory terms, Outcome memory seen) private view {
        uint256 held = PlainAsset(terms.asset).balanceOf(address(escrow));
        checkEqual(held, seen.asset.liabilities, "what is held is what is owed");
        checkTrue(seen.claimed <= seen.deposited, "claimed <= deposited");
        uint256 inside = seen.deposited - seen.claimed + seen.owed + seen.owedToSplit + seen.asset.fees;
        uint256 free = escrow.free(terms.payer, terms.asset) + escrow.free(payer, terms.asset);
        checkEqual(inside + free, seen.asset.liabilities, "liabilities are the sum of their parts");
    }

    function observe(IPaymentEscrow.Escrow memory terms, uint256 paid) private returns (Outcome memory seen) {
        seen.paid = paid;
        seen.deposited = deposited(terms);
        seen.claimed = claimed(terms);
        seen.providerBalance = PlainAsset(terms.asset).balanceOf(provider);
        seen.burned = credit.burnedAt(provider);
        (seen.settled,, seen.owed) = escrow.accountOf(provider, terms.asset);
        seen.owedToSplit = escrow.owedToSplit(terms.split, terms.asset);
        seen.asset = escrow.assetOf(terms.asset);
        seen.logs = keccak256(abi.encode(vm.getRecordedLogs()));
    }
}
