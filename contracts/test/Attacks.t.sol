// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {PaymentEscrow} from "../src/money/PaymentEscrow.sol";
import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {CallingAsset, RebasingAsset} from "./Assets.sol";
import {Market} from "./Market.sol";
import {Wallet} from "./Opening.t.sol";

/// @notice What an auditor tries first. Others of the kind stand with what they attack.
contract AttacksTest is Market {
    uint128 private constant MOST = type(uint128).max;

    // ---- Replay

    function test_replay_of_openings_and_releases_on_another_chain_or_contract() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        IPaymentEscrow.Opening memory opening = makeOpening(terms, 10 ether, 0);
        bytes memory opened = signOpening(PAYER_KEY, opening);
        IPaymentEscrow.Release memory order = makeRelease(terms, 1 ether, 0);
        bytes memory released = signRelease(PROVIDER_KEY, order);
        PaymentEscrow first = escrow;

        escrow = PaymentEscrow(deploy(escrowCode(MIN_THAW)));
        fund(payer, 100 ether);
        checkSignaturesRefused(terms, opening, opened, order, released);
        escrow = first;
        vm.chainId(4242);
        checkSignaturesRefused(terms, opening, opened, order, released);

        vm.chainId(31337);
        escrow.openBySig(terms, opening, payer, opened);
        escrow.releaseBySig(terms, order, provider, released);
        checkEqual(deposited(terms), 1 ether, "at home");
    }

    function test_replay_of_a_voucher_between_payers_providers_assets_and_splits_of_one_signer() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 10 ether);
        bytes memory sig = signVoucher(SIGNER_KEY, terms, 1 ether);
        IPaymentEscrow.Escrow[4] memory others = [makeTerms(0), makeTerms(0), makeTerms(0), makeTerms(0)];
        others[0].payer = stranger;
        others[1].provider = stranger;
        others[2].asset = address(credit);
        others[3].split = splits.create(makeShares(1, 1));
        for (uint256 i = 0; i < others.length; i++) {
            openUnder(others[i], 10 ether);
            checkEqual(claimRowsOf(others[i], packRow(others[i], 1 ether, RECEIPTS, sig)), 0, "packed");
            checkEqual(escrow.claimOne(others[i], 1 ether, RECEIPTS, sig), 0, "readable");
            checkEqual(claimed(others[i]), 0, "claimed");
        }
        checkEqual(escrow.claimOne(terms, 1 ether, RECEIPTS, sig), 1 ether, "its own");
    }

    function test_replay_between_leases_of_one_escrow_pays_the_highest_voucher_and_never_the_sum() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        bytes32[3] memory leases = [keccak256("lease 1"), keccak256("lease 2"), keccak256("lease 1 again")];
        bytes memory rows;
        for (uint256 i = 0; i < 3; i++) {
            uint128 cumulative = uint128(i + 1) * 10 ether;
            bytes memory sig = signAs(SIGNER_KEY, voucherDigest(terms, cumulative, leases[i]));
            rows = bytes.concat(rows, packRow(terms, cumulative, leases[i], sig));
        }
        uint256 before = vm.snapshotState();
        checkEqual(claimRows(bytes.concat(rows, rows)), 30 ether, "rising, and all again");
        vm.revertToState(before);
        bytes memory falling = bytes.concat(slice(rows, 328), slice(rows, 164), slice(rows, 0));
        checkEqual(claimRows(falling), 30 ether, "falling");
        checkEqual(asset.balanceOf(provider), 30 ether, "provider");
    }

    function test_two_claims_in_one_batch_for_one_lease_pay_once() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 10 ether);
        bytes memory low = makeRow(SIGNER_KEY, terms, 4 ether);
        bytes memory high = makeRow(SIGNER_KEY, terms, 25 ether);
        checkEqual(claimRows(bytes.concat(low, high, low, high)), 10 ether, "no more than the reserve");
        checkEqual(claimed(terms), 10 ether, "claimed");
    }

    // ---- Signature forms

    function test_every_form_but_65_bytes_low_s_and_v_27_or_28_is_refused() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 10 ether);
        bytes memory sig = signVoucher(SIGNER_KEY, terms, 1 ether);
        (bytes32 r, bytes32 vs) = compact(sig);
        bytes32 s = vs & bytes32(uint256(type(int256).max));
        uint8 v = uint8(sig[64]);
        bytes[8] memory forms = [
            flip(sig), // the other s
            abi.encodePacked(r, vs), // ERC-2098
            abi.encodePacked(r, s, v - 27), // parity for v
            abi.encodePacked(r, s, v + 35), // chain id in v
            abi.encodePacked(sig, uint8(0)), // something behind it
            abi.encodePacked(uint256(0), s, v), // no r
            abi.encodePacked(r, uint256(0), v), // no s
            new bytes(65)
        ];
        for (uint256 i = 0; i < forms.length; i++) {
            checkEqual(escrow.claimOne(terms, 1 ether, RECEIPTS, forms[i]), 0, "refused");
        }
        checkEqual(escrow.claimOne(terms, 1 ether, RECEIPTS, sig), 1 ether, "the one form");
    }

    function test_a_contract_signs_no_vouchers() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        terms.signer = address(new Wallet(signer));
        vm.prank(payer);
        escrow.open(terms, 10 ether);
        bytes memory sig = signVoucher(SIGNER_KEY, terms, 1 ether);
        checkEqual(escrow.claimOne(terms, 1 ether, RECEIPTS, sig), 0, "readable");
        checkEqual(claimRows(packRow(terms, 1 ether, RECEIPTS, sig)), 0, "packed");
    }

    function test_a_provider_that_is_a_contract_signs_releases_by_erc1271() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        terms.provider = address(new Wallet(stranger));
        vm.prank(payer);
        escrow.open(terms, 10 ether);
        IPaymentEscrow.Release memory order = makeRelease(terms, 0, 0);
        bytes memory wrong = signRelease(PROVIDER_KEY, order);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongReleaseSignature.selector, terms.provider));
        escrow.releaseBySig(terms, order, terms.provider, wrong);
        escrow.releaseBySig(terms, order, terms.provider, signRelease(STRANGER_KEY, order));
        checkEqual(deposited(terms), 0, "released");
    }

    // ---- Assets that misbehave

    function test_no_function_that_moves_money_is_entered_again() external {
        CallingAsset calling = new CallingAsset();
        bytes32 split = prepareCalling(calling);
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        (terms.asset, terms.split) = (address(calling), split);
        vm.prank(payer);
        escrow.open(terms, 9_000);
        bytes[] memory attempts = makeAttempts(terms);
        for (uint256 i = 0; i < attempts.length; i++) {
            calling.aim(address(escrow), attempts[i]);
            uint128 cumulative = uint128(i + 1) * 100;
            escrow.claimOne(terms, cumulative, RECEIPTS, signVoucher(SIGNER_KEY, terms, cumulative));
            checkGuarded(calling, 1);
            escrow.paySplit(split, address(calling));
            checkGuarded(calling, 2);
            escrow.withdrawFees(address(calling));
            checkGuarded(calling, 3);
        }
        checkEqual(claimed(terms), 100 * attempts.length, "claimed");
        checkEqual(calling.balanceOf(address(escrow)), escrow.liabilities(address(calling)), "to the unit");
    }

    function test_an_asset_that_rebases_harms_only_its_own_and_fails_no_claim() external {
        RebasingAsset rebasing = new RebasingAsset();
        escrow.addAsset(address(rebasing), false);
        rebasing.mint(address(this), 100);
        rebasing.approve(address(escrow), 100);
        escrow.deposit(payer, address(rebasing), 100);
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        terms.asset = address(rebasing);
        vm.prank(payer);
        escrow.open(terms, 60);
        rebasing.rebase(address(escrow), 30);

        checkEqual(claimRowsOf(terms, makeRow(SIGNER_KEY, terms, 50)), 50, "the claim goes through");
        checkEqual(escrow.owed(provider, address(rebasing)), 50, "and waits for what is missing");
        vm.prank(payer);
        escrow.withdraw(address(rebasing), 30, payer);
        vm.expectRevert();
        vm.prank(payer);
        escrow.withdraw(address(rebasing), 10, payer);
        vm.prank(payer);
        escrow.withdraw(address(asset), 1_000 ether, payer);
        checkEqual(asset.balanceOf(payer), 1_000 ether, "another asset is whole");

        rebasing.rebase(address(escrow), 1_000);
        checkEqual(escrow.withdrawOwed(provider, address(rebasing)), 50, "what came unasked has no owner");
        checkEqual(escrow.liabilities(address(rebasing)), 20, "liabilities");
    }

    // ---- Griefing

    function test_thaw_griefing_moves_no_end_and_stops_no_close() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        bytes32 id = escrow.escrowId(terms);
        IPaymentEscrow.Opening memory opening = makeOpening(terms, 1, 0);
        vm.prank(payer);
        escrow.approveOpener(signer, address(asset), 10 ether);
        vm.prank(payer);
        escrow.startThaw(terms);
        uint64 end = escrow.thawEnd(id);

        // Dust to the payer, claims, releases, a stolen signer's openings, thaws and cancels: none touches the thaw.
        fund(payer, 1);
        bytes memory sig = signOpening(SIGNER_KEY, opening);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AlreadyThawing.selector, id, end));
        escrow.openBySig(terms, opening, signer, sig);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AlreadyThawing.selector, id, end));
        vm.prank(signer);
        escrow.startThaw(terms);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.ThawStartedByPayer.selector, id));
        vm.prank(signer);
        escrow.cancelThaw(terms);
        claimRows(makeRow(SIGNER_KEY, terms, 1));
        vm.prank(provider);
        escrow.release(terms, 99 ether);
        escrow.stopDeposits(address(0));
        asset.setBlocked(payer, true);
        checkEqual(escrow.thawEnd(id), end, "end");

        vm.warp(end);
        vm.prank(stranger);
        escrow.close(terms);
        checkEqual(escrow.free(payer, address(asset)), 1_000 ether, "all but what was claimed, and the dust");
    }

    function test_a_warmed_up_contract_is_no_way_to_defer_a_payout_by_little_gas() external {
        bytes memory warming = makeRow(SIGNER_KEY, openEscrow(0, 10 ether), 1 ether);
        bytes memory row = makeRow(SIGNER_KEY, openEscrow(1, 10 ether), 1 ether);
        claimRows(warming); // in this transaction: what a deferral writes costs 100 gas now
        uint256 paid;
        for (uint256 gas_ = 10_000; gas_ < 200_000; gas_ += 500) {
            uint256 before = vm.snapshotState();
            try escrow.claim{gas: gas_}(provider, address(asset), bytes32(0), MIN_THAW, row) {
                paid++;
                checkEqual(asset.balanceOf(provider), 2 ether, "paid or reverted, never deferred");
            } catch {}
            vm.revertToState(before);
        }
        checkTrue(paid != 0, "some had gas enough");
    }

    function testFuzz_claim_splitting_pays_the_same_as_one_claim(uint128[5] calldata steps) external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        uint256 paid;
        uint256 highest;
        for (uint256 i = 0; i < steps.length; i++) {
            uint128 cumulative = uint128(within(steps[i], 0, 120 ether));
            paid += claimRows(makeRow(SIGNER_KEY, terms, cumulative));
            if (cumulative > highest) highest = cumulative;
        }
        checkEqual(paid, highest < 100 ether ? highest : 100 ether, "paid");
        checkEqual(asset.balanceOf(provider), paid, "provider");
    }

    // ---- The edges of the integers

    function test_an_asset_fills_to_128_bits_and_not_one_more() external {
        uint128 room = MOST - 1_000 ether;
        fund(payer, room);
        checkEqual(escrow.liabilities(address(asset)), MOST, "full");
        asset.mint(address(this), 1);
        asset.approve(address(escrow), 1);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AmountTooLarge.selector, address(asset), 1, 0));
        escrow.deposit(payer, address(asset), 1);
        vm.expectRevert(
            abi.encodeWithSelector(IPaymentEscrow.AmountTooLarge.selector, address(credit), uint256(MOST) + 1, MOST)
        );
        escrow.deposit(payer, address(credit), uint256(MOST) + 1);
        vm.prank(payer);
        escrow.withdraw(address(asset), MOST, payer);
        checkEqual(escrow.liabilities(address(asset)), 0, "and empties");
    }

    function test_the_largest_reserve_voucher_fee_and_share_are_paid_to_the_unit() external {
        escrow.setFee(address(asset), 50_000);
        fund(payer, MOST - 1_000 ether);
        IPaymentEscrow.Escrow memory terms = makeTermsIn(asset, splits.create(makeShares(499_999, 1)), type(uint96).max);
        vm.prank(payer);
        escrow.open(terms, MOST);
        checkEqual(claimRowsOf(terms, makeRow(SIGNER_KEY, terms, MOST)), MOST, "claimed");
        checkEqual(escrow.assetOf(address(asset)).fees, 0, "such a fee does not fit");
        uint256 share = escrow.owedToSplit(terms.split, address(asset));
        checkEqual(share, MOST / 2, "half");
        checkEqual(asset.balanceOf(provider), MOST - share, "the other half");
        checkEqual(escrow.liabilities(address(asset)), share, "liabilities");
    }

    function test_a_voucher_of_all_ones_pays_the_reserve_and_no_more() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 10 ether);
        bytes memory row = makeRow(SIGNER_KEY, terms, MOST);
        checkEqual(claimRows(row), 10 ether, "the reserve");
        vm.prank(payer);
        escrow.open(terms, 990 ether);
        checkEqual(claimRows(row), 990 ether, "and each top-up: such a voucher is a blank cheque on the reserve");
    }

    function test_settled_work_stops_at_the_largest_number_and_stops_no_claim() external {
        fund(payer, MOST - 1_000 ether);
        for (uint96 i = 0; i < 3; i++) {
            vm.prank(payer);
            escrow.open(makeTerms(i), MOST);
            claimRows(makeRow(SIGNER_KEY, makeTerms(i), MOST));
            (uint256 settled,,) = escrow.accountOf(provider, address(asset));
            checkEqual(settled, MOST, "settled");
            vm.prank(provider);
            asset.approve(address(escrow), MOST);
            vm.prank(provider);
            escrow.deposit(payer, address(asset), MOST);
        }
    }

    function test_a_unit_is_opened_claimed_and_refunded_to_the_unit() external {
        connectJudge(address(this), noHolds());
        escrow.setFee(address(asset), 50_000);
        IPaymentEscrow.Escrow memory terms = makeTermsIn(asset, splits.create(makeShares(1, 1)), 0);
        vm.prank(payer);
        escrow.open(terms, 2);
        checkEqual(claimRowsOf(terms, makeRow(SIGNER_KEY, terms, 1)), 1, "one");
        checkEqual(asset.balanceOf(provider), 1, "fee and share round to nothing");
        checkEqual(escrow.refund(terms, 2), 1, "the other");
        checkEqual(escrow.free(payer, address(asset)), 1_000 ether - 1, "free");
    }

    // ---- Inside

    function checkSignaturesRefused(
        IPaymentEscrow.Escrow memory terms,
        IPaymentEscrow.Opening memory opening,
        bytes memory opened,
        IPaymentEscrow.Release memory order,
        bytes memory released
    ) private {
        bytes32 home = opening.escrowId;
        bytes32 id = escrow.escrowId(terms);
        checkTrue(id != home, "not even the escrow's id is the same");
        for (uint256 i = 0; i < 2; i++) {
            bytes4 opens = i == 0 ? IPaymentEscrow.WrongEscrow.selector : IPaymentEscrow.WrongOpeningSignature.selector;
            bytes4 frees = i == 0 ? IPaymentEscrow.WrongEscrow.selector : IPaymentEscrow.WrongReleaseSignature.selector;
            vm.expectPartialRevert(opens);
            escrow.openBySig(terms, opening, payer, opened);
            vm.expectPartialRevert(frees);
            escrow.releaseBySig(terms, order, provider, released);
            (opening.escrowId, order.escrowId) = (id, id);
        }
        (opening.escrowId, order.escrowId) = (home, home);
    }

    /// @dev A fee, a split and money in it, so that a claim calls the asset from every side.
    function prepareCalling(CallingAsset calling) private returns (bytes32) {
        escrow.addAsset(address(calling), false);
        escrow.setFee(address(calling), 50_000);
        escrow.setFeeRecipient(address(0xFEE5));
        calling.mint(address(this), 10_000);
        calling.approve(address(escrow), 10_000);
        escrow.deposit(payer, address(calling), 10_000);
        return splits.create(makeShares(300_000, 200_000));
    }

    function makeAttempts(IPaymentEscrow.Escrow memory terms) private view returns (bytes[] memory attempts) {
        IPaymentEscrow.Opening memory opening;
        IPaymentEscrow.Release memory order;
        attempts = new bytes[](17);
        attempts[0] = abi.encodeCall(escrow.deposit, (payer, terms.asset, 1));
        attempts[1] = abi.encodeCall(escrow.depositWithPermit, (payer, terms.asset, 1, FAR, 27, 0, 0));
        attempts[2] = abi.encodeCall(escrow.depositWithAuthorization, (payer, terms.asset, 1, 0, FAR, 0, 27, 0, 0));
        attempts[3] = abi.encodeCall(escrow.withdraw, (terms.asset, 1, stranger));
        attempts[4] = abi.encodeCall(escrow.open, (terms, 1));
        attempts[5] = abi.encodeCall(escrow.openBySig, (terms, opening, payer, ""));
        attempts[6] = abi.encodeCall(escrow.startThaw, (terms));
        attempts[7] = abi.encodeCall(escrow.cancelThaw, (terms));
        attempts[8] = abi.encodeCall(escrow.close, (terms));
        attempts[9] = abi.encodeCall(escrow.release, (terms, 0));
        attempts[10] = abi.encodeCall(escrow.releaseBySig, (terms, order, provider, ""));
        attempts[11] = abi.encodeCall(escrow.refund, (terms, 1));
        attempts[12] = abi.encodeCall(escrow.withdrawOwed, (provider, terms.asset));
        attempts[13] = abi.encodeCall(escrow.paySplit, (terms.split, terms.asset));
        attempts[14] = abi.encodeCall(escrow.withdrawFees, (terms.asset));
        attempts[15] = abi.encodeCall(escrow.claim, (provider, terms.asset, terms.split, terms.thaw, ""));
        attempts[16] = abi.encodeCall(escrow.claimOne, (terms, 9_000, RECEIPTS, ""));
    }

    function checkGuarded(CallingAsset calling, uint256 calls) private view {
        checkTrue(calling.calls() == calls && !calling.succeeded(), "called back, and refused");
        bytes4 guard = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
        checkEqual(bytes32(calling.answer()), bytes32(guard), "by the guard");
    }

    /// @dev The row of 164 bytes that begins at `from`.
    function slice(bytes memory rows, uint256 from) private pure returns (bytes memory row) {
        row = new bytes(164);
        for (uint256 i = 0; i < 164; i++) {
            row[i] = rows[from + i];
        }
    }
}
