// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {PaymentEscrow} from "../src/money/PaymentEscrow.sol";
import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {CallingAsset, LyingAsset} from "./Assets.sol";
import {Market} from "./Market.sol";

contract ClaimTest is Market {
    uint8 private constant NOTHING_NEW = 1;
    uint8 private constant BAD_SIGNATURE = 2;
    uint8 private constant UNFUNDED = 3;

    // ---- What is paid, and to whom

    function test_anyone_submits_and_the_payout_address_is_paid() external {
        registerProvider(address(0xFA11));
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        bytes memory row = makeRow(SIGNER_KEY, terms, 30 ether);
        vm.expectEmit();
        emit IPaymentEscrow.Claimed(escrow.escrowId(terms), 30 ether, RECEIPTS);
        vm.expectEmit();
        emit IPaymentEscrow.ProviderPaid(provider, address(asset), address(0xFA11), 30 ether);
        vm.prank(stranger);
        checkEqual(claimRows(row), 30 ether, "paid");
        checkEqual(asset.balanceOf(address(0xFA11)), 30 ether, "payout");
        checkEqual(asset.balanceOf(stranger), 0, "submitter");
        checkEqual(escrow.liabilities(address(asset)), 970 ether, "liabilities");
    }

    function test_an_unregistered_provider_is_paid_itself() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        claimRows(makeRow(SIGNER_KEY, terms, 30 ether));
        checkEqual(asset.balanceOf(provider), 30 ether, "provider");
    }

    function test_vouchers_are_cumulative() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        checkEqual(claimRows(makeRow(SIGNER_KEY, terms, 30 ether)), 30 ether, "first");
        checkEqual(claimRows(makeRow(SIGNER_KEY, terms, 50 ether)), 20 ether, "only the difference");
        checkEqual(claimed(terms), 50 ether, "claimed");
    }

    function test_one_batch_pays_many_escrows_in_one_transfer() external {
        bytes memory rows;
        for (uint96 i = 0; i < 5; i++) {
            rows = bytes.concat(rows, makeRow(SIGNER_KEY, openEscrow(i, 10 ether), uint128(i + 1) * 1 ether));
        }
        checkEqual(claimRows(rows), 15 ether, "paid");
        checkEqual(asset.balanceOf(provider), 15 ether, "provider");
    }

    function test_a_voucher_above_the_reserve_pays_what_is_there_and_the_rest_after_a_top_up() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 10 ether);
        bytes memory row = makeRow(SIGNER_KEY, terms, 25 ether);
        checkEqual(claimRows(row), 10 ether, "what is there");
        checkEqual(skipped(row), UNFUNDED, "nothing left");
        vm.prank(payer);
        escrow.open(terms, 40 ether);
        checkEqual(claimRows(row), 15 ether, "the rest");
        checkEqual(skipped(row), NOTHING_NEW, "paid in full");
    }

    function test_an_empty_batch_pays_nothing() external {
        vm.recordLogs();
        checkEqual(claimRows(""), 0, "paid");
        checkEqual(vm.getRecordedLogs().length, 0, "and tells nothing");
    }

    // ---- Rows that are skipped

    function test_a_bad_row_never_stops_the_others() external {
        bytes memory rows;
        for (uint96 i = 0; i < 4; i++) {
            uint256 key = i == 2 ? STRANGER_KEY : SIGNER_KEY;
            rows = bytes.concat(rows, makeRow(key, openEscrow(i, 10 ether), 1 ether));
        }
        vm.expectEmit();
        emit IPaymentEscrow.ClaimSkipped(escrow.escrowId(makeTerms(2)), BAD_SIGNATURE);
        checkEqual(claimRows(rows), 3 ether, "the other three");
    }

    function test_a_row_nobody_can_have_signed_leaves_the_next_one_whole() external {
        bytes memory good = makeRow(SIGNER_KEY, openEscrow(0, 10 ether), 4 ether);
        IPaymentEscrow.Escrow memory other = openEscrow(1, 10 ether);
        bytes memory nobodys = packRow(other, 1 ether, RECEIPTS, abi.encodePacked(uint256(0), uint256(1), uint8(27)));
        checkEqual(claimRows(bytes.concat(nobodys, good)), 4 ether, "paid");
        checkEqual(claimed(other), 0, "not that one");
    }

    function test_the_same_row_twice_pays_once() external {
        bytes memory row = makeRow(SIGNER_KEY, openEscrow(0, 10 ether), 4 ether);
        checkEqual(claimRows(bytes.concat(row, row, row)), 4 ether, "paid");
        checkEqual(skipped(row), NOTHING_NEW, "and again");
    }

    function test_an_older_voucher_pays_nothing_after_a_newer_one() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 10 ether);
        bytes memory older = makeRow(SIGNER_KEY, terms, 3 ether);
        claimRows(makeRow(SIGNER_KEY, terms, 4 ether));
        checkEqual(skipped(older), NOTHING_NEW, "older");
        checkEqual(claimed(terms), 4 ether, "claimed never falls");
    }

    function test_only_the_signer_in_the_terms_signs_vouchers() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 10 ether);
        uint256[3] memory keys = [PAYER_KEY, PROVIDER_KEY, STRANGER_KEY];
        for (uint256 i = 0; i < keys.length; i++) {
            checkEqual(skipped(makeRow(keys[i], terms, 1 ether)), BAD_SIGNATURE, "another key");
        }
    }

    function test_a_stranger_naming_itself_as_signer_names_an_escrow_that_is_empty() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 10 ether);
        terms.signer = stranger;
        checkEqual(skipped(makeRow(STRANGER_KEY, terms, 1 ether)), UNFUNDED, "not that escrow");
    }

    function test_a_signer_of_zero_is_no_way_in() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        terms.signer = address(0);
        bytes memory broken = packRow(terms, 1 ether, RECEIPTS, abi.encodePacked(uint256(0), uint256(0), uint8(27)));
        checkEqual(skipped(broken), UNFUNDED, "no such escrow can be opened");
    }

    function test_a_voucher_is_for_one_escrow() external {
        IPaymentEscrow.Escrow memory one = openEscrow(0, 10 ether);
        IPaymentEscrow.Escrow memory other = openEscrow(1, 10 ether);
        bytes memory sig = signVoucher(SIGNER_KEY, one, 1 ether);
        checkEqual(skipped(packRow(other, 1 ether, RECEIPTS, sig)), BAD_SIGNATURE, "another escrow");
    }

    function test_amount_and_receipts_are_what_was_signed() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 10 ether);
        bytes memory sig = signVoucher(SIGNER_KEY, terms, 1 ether);
        checkEqual(skipped(packRow(terms, 2 ether, RECEIPTS, sig)), BAD_SIGNATURE, "another amount");
        checkEqual(skipped(packRow(terms, 1 ether, bytes32(0), sig)), BAD_SIGNATURE, "other receipts");
    }

    function test_a_voucher_is_for_one_contract_and_one_chain() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 10 ether);
        bytes memory row = makeRow(SIGNER_KEY, terms, 1 ether);
        PaymentEscrow first = escrow;

        escrow = PaymentEscrow(deploy(escrowCode(MIN_THAW)));
        fund(payer, 10 ether);
        openEscrow(0, 10 ether);
        checkEqual(claimRows(row), 0, "another contract");

        escrow = first;
        vm.chainId(4242);
        checkEqual(claimRows(row), 0, "another chain: not even the escrow id is the same");
        vm.chainId(31337);
        checkEqual(claimRows(row), 1 ether, "at home");
    }

    function test_the_second_form_of_a_signature_is_refused() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 10 ether);
        bytes memory sig = flip(signVoucher(SIGNER_KEY, terms, 1 ether));
        vm.recordLogs();
        escrow.claimOne(terms, 1 ether, RECEIPTS, sig);
        checkEqual(reasonIn(vm.getRecordedLogs()[0].data), BAD_SIGNATURE, "claimOne");
        checkEqual(claimed(terms), 0, "claimed");
    }

    function test_claim_one_accepts_only_65_bytes() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 10 ether);
        (bytes32 r, bytes32 vs) = compact(signVoucher(SIGNER_KEY, terms, 1 ether));
        checkEqual(escrow.claimOne(terms, 1 ether, RECEIPTS, abi.encodePacked(r, vs)), 0, "64 bytes");
        checkEqual(escrow.claimOne(terms, 1 ether, RECEIPTS, ""), 0, "none");
    }

    function test_other_terms_name_another_escrow() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 10 ether);
        bytes memory row = makeRow(SIGNER_KEY, terms, 1 ether);
        checkEqual(escrow.claim(stranger, address(asset), bytes32(0), MIN_THAW, row), 0, "another provider");
        checkEqual(escrow.claim(provider, address(openx), bytes32(0), MIN_THAW, row), 0, "another asset");
        checkEqual(escrow.claim(provider, address(asset), bytes32(uint256(1)), MIN_THAW, row), 0, "another split");
        checkEqual(escrow.claim(provider, address(asset), bytes32(0), MIN_THAW + 1, row), 0, "another thaw");
        checkEqual(claimRows(row), 1 ether, "the right one");
    }

    // ---- The shape of a batch

    function test_broken_rows_are_refused_whole() external {
        bytes memory row = makeRow(SIGNER_KEY, openEscrow(0, 10 ether), 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.RowsLengthNotWhole.selector, 165, 164));
        claimRows(bytes.concat(row, hex"00"));
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.RowsLengthNotWhole.selector, 1, 164));
        claimRows(hex"00");
    }

    function test_two_hundred_rows_are_the_most() external {
        bytes memory rows;
        for (uint96 i = 0; i < 200; i++) {
            rows = bytes.concat(rows, makeRow(SIGNER_KEY, openEscrow(i, 1 ether), 1 ether));
        }
        checkEqual(claimRows(rows), 200 ether, "paid");
        bytes memory more = bytes.concat(rows, new bytes(164));
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.TooManyRows.selector, 201, 200));
        claimRows(more);
    }

    // ---- Payouts that fail

    function test_a_payout_that_is_refused_waits_for_another_address() external {
        asset.setBlocked(provider, true);
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        bytes memory row = makeRow(SIGNER_KEY, terms, 30 ether);
        vm.expectEmit();
        emit IPaymentEscrow.PayoutDeferred(provider, address(asset), 30 ether);
        checkEqual(claimRows(row), 30 ether, "claimed all the same");
        checkEqual(escrow.owed(provider, address(asset)), 30 ether, "owed");
        checkEqual(escrow.liabilities(address(asset)), 1_000 ether, "liabilities");

        vm.expectRevert();
        escrow.withdrawOwed(provider, address(asset));
        vm.prank(provider);
        registry.setPayout(address(0xFA11));
        vm.prank(stranger);
        checkEqual(escrow.withdrawOwed(provider, address(asset)), 30 ether, "withdrawn");
        checkEqual(asset.balanceOf(address(0xFA11)), 30 ether, "paid");
        checkEqual(escrow.liabilities(address(asset)), 970 ether, "liabilities after");
        vm.recordLogs();
        checkEqual(escrow.withdrawOwed(provider, address(asset)), 0, "and again nothing");
        checkEqual(vm.getRecordedLogs().length, 0, "which emits nothing");
    }

    function test_payouts_that_were_refused_add_up() external {
        asset.setBlocked(provider, true);
        claimRows(makeRow(SIGNER_KEY, openEscrow(0, 10 ether), 3 ether));
        claimRows(makeRow(SIGNER_KEY, openEscrow(1, 10 ether), 4 ether));
        checkEqual(escrow.owed(provider, address(asset)), 7 ether, "owed");
        asset.setBlocked(provider, false);
        claimRows(makeRow(SIGNER_KEY, makeTerms(0), 5 ether));
        checkEqual(escrow.owed(provider, address(asset)), 7 ether, "a later payout leaves what waits");
        checkEqual(asset.balanceOf(provider), 2 ether, "and is paid itself");
    }

    function test_one_unit_that_is_owed_is_paid() external {
        asset.setBlocked(provider, true);
        claimRows(makeRow(SIGNER_KEY, openEscrow(0, 1), 1));
        asset.setBlocked(provider, false);
        checkEqual(escrow.withdrawOwed(provider, address(asset)), 1, "withdrawn");
        checkEqual(asset.balanceOf(provider), 1, "paid");
    }

    function test_an_asset_that_returns_false_at_payout_leaves_the_amount_owed() external {
        LyingAsset lying = new LyingAsset();
        escrow.addAsset(address(lying), false);
        lying.mint(address(this), 10);
        lying.approve(address(escrow), 10);
        escrow.deposit(payer, address(lying), 10);
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        terms.asset = address(lying);
        vm.prank(payer);
        escrow.open(terms, 10);
        lying.feel(LyingAsset.Mood.ReturnsFalse);
        escrow.claimOne(terms, 4, RECEIPTS, signVoucher(SIGNER_KEY, terms, 4));
        checkEqual(escrow.owed(provider, address(lying)), 4, "owed");
        lying.feel(LyingAsset.Mood.Honest);
        escrow.withdrawOwed(provider, address(lying));
        checkEqual(lying.balanceOf(provider), 4, "paid");
    }

    function test_an_asset_that_calls_back_at_payout_meets_the_guard() external {
        CallingAsset calling = new CallingAsset();
        escrow.addAsset(address(calling), false);
        calling.mint(address(this), 10);
        calling.approve(address(escrow), 10);
        escrow.deposit(payer, address(calling), 10);
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        terms.asset = address(calling);
        vm.prank(payer);
        escrow.open(terms, 10);
        bytes memory again = makeRow(SIGNER_KEY, terms, 8);
        calling.aim(
            address(escrow), abi.encodeCall(escrow.claim, (provider, address(calling), bytes32(0), MIN_THAW, again))
        );
        bytes memory row = makeRow(SIGNER_KEY, terms, 4);
        escrow.claim(provider, address(calling), bytes32(0), MIN_THAW, row);
        checkTrue(calling.calls() == 1 && !calling.succeeded(), "called back, and refused");
        checkEqual(
            bytes32(calling.answer()),
            bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
            "by the guard"
        );
        checkEqual(claimed(terms), 4, "claimed once");
    }

    function test_a_submitter_cannot_defer_a_payout_by_giving_little_gas() external {
        bytes memory row = makeRow(SIGNER_KEY, openEscrow(0, 10 ether), 1 ether);
        for (uint256 gas_ = 40_000; gas_ < 160_000; gas_ += 1_000) {
            uint256 before = vm.snapshotState();
            try escrow.claim{gas: gas_}(provider, address(asset), bytes32(0), MIN_THAW, row) {
                checkEqual(asset.balanceOf(provider), 1 ether, "paid or reverted, never deferred");
            } catch {}
            checkEqual(escrow.owed(provider, address(asset)), 0, "owed");
            vm.revertToState(before);
        }
    }

    // ---- States

    function test_states_come_in_one_call() external {
        IPaymentEscrow.Escrow memory one = openEscrow(0, 10 ether);
        IPaymentEscrow.Escrow memory two = openEscrow(1, 20 ether);
        claimRows(makeRow(SIGNER_KEY, two, 5 ether));
        vm.prank(payer);
        escrow.startThaw(two);
        bytes32[] memory ids = new bytes32[](4);
        (ids[0], ids[1], ids[2]) = (escrow.escrowId(one), escrow.escrowId(two), escrow.escrowId(makeTerms(2)));
        IPaymentEscrow.EscrowState[] memory states = escrow.escrowStates(ids);
        checkEqual(states[0].deposited, 10 ether, "one");
        checkEqual(states[1].claimed, 5 ether, "two");
        checkEqual(states[1].thawEnd, block.timestamp + MIN_THAW, "thaw");
        checkEqual(states[2].deposited, 0, "never opened");
        checkEqual(states[3].deposited, 0, "no id");
    }

    /// @dev Claims a row that pays nothing and returns the reason.
    function skipped(bytes memory row) private returns (uint8) {
        vm.recordLogs();
        address rowAsset = address(asset);
        checkEqual(escrow.claim(provider, rowAsset, bytes32(0), MIN_THAW, row), 0, "a skipped row pays nothing");
        return reasonIn(vm.getRecordedLogs()[0].data);
    }

    function reasonIn(bytes memory data) private pure returns (uint8) {
        return abi.decode(data, (uint8));
    }
}
