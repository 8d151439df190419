// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {Market} from "./Market.sol";

contract FeeTest is Market {
    uint16 private constant MOST = 50_000;
    address private constant RECIPIENT = address(0xFEE5);

    // ---- Set

    function test_only_the_owner_sets_fees_within_five_percent_of_accepted_assets() external {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, guardian));
        vm.prank(guardian);
        escrow.setFee(address(asset), 1);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.FeeOutOfBounds.selector, MOST + 1, MOST));
        escrow.setFee(address(asset), MOST + 1);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AssetNotAccepted.selector, address(openx)));
        escrow.setFee(address(openx), 1);
        vm.expectEmit();
        emit IPaymentEscrow.FeeSet(address(asset), MOST);
        escrow.setFee(address(asset), MOST);
        checkEqual(escrow.assetOf(address(asset)).feePpm, MOST, "set");
        checkEqual(escrow.assetOf(address(credit)).feePpm, 0, "of that asset alone");
    }

    function test_only_the_owner_names_the_recipient_and_never_the_escrow() external {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        vm.prank(stranger);
        escrow.setFeeRecipient(stranger);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.BadRecipient.selector, address(escrow)));
        escrow.setFeeRecipient(address(escrow));
        vm.expectEmit();
        emit IPaymentEscrow.FeeRecipientSet(RECIPIENT);
        escrow.setFeeRecipient(RECIPIENT);
        checkEqual(escrow.feeRecipient(), RECIPIENT, "recipient");
    }

    // ---- Taken

    function test_a_fee_is_taken_from_the_sum_of_a_claim_and_rounded_down() external {
        escrow.setFee(address(asset), 30_000);
        bytes memory rows;
        for (uint96 i = 0; i < 3; i++) {
            rows = bytes.concat(rows, makeRow(SIGNER_KEY, openEscrow(i, 100), 33));
        }
        vm.expectEmit();
        emit IPaymentEscrow.ClaimShared(provider, address(asset), bytes32(0), 2, 0); // 2.97 of 99
        vm.expectEmit();
        emit IPaymentEscrow.ProviderPaid(provider, address(asset), provider, 97);
        checkEqual(claimRows(rows), 99, "all that the reserves paid");
        checkEqual(asset.balanceOf(provider), 97, "provider");
        checkEqual(escrow.assetOf(address(asset)).fees, 2, "fees");
        checkEqual(escrow.liabilities(address(asset)), 1_000 ether - 97, "fees are owed until they are withdrawn");
        (uint256 settled,,) = escrow.accountOf(provider, address(asset));
        checkEqual(settled, 99, "settled");
    }

    function test_without_a_fee_nothing_is_said_of_one() external {
        bytes memory row = makeRow(SIGNER_KEY, openEscrow(0, 100), 33);
        vm.recordLogs();
        claimRows(row);
        checkEqual(vm.getRecordedLogs().length, 3, "Claimed, Transfer, ProviderPaid");
    }

    function test_anyone_withdraws_the_fees_and_only_the_recipient_is_paid() external {
        takeFees(50);
        escrow.setFeeRecipient(RECIPIENT);
        vm.expectEmit();
        emit IPaymentEscrow.FeesWithdrawn(address(asset), RECIPIENT, 50);
        vm.prank(stranger);
        checkEqual(escrow.withdrawFees(address(asset)), 50, "withdrawn");
        checkEqual(asset.balanceOf(RECIPIENT), 50, "paid");
        checkEqual(escrow.assetOf(address(asset)).fees, 0, "none left");
        checkEqual(escrow.liabilities(address(asset)), 999 ether + 1 ether - 1_000, "liabilities");
        vm.recordLogs();
        checkEqual(escrow.withdrawFees(address(asset)), 0, "and again nothing");
        checkEqual(vm.getRecordedLogs().length, 0, "which emits nothing");
    }

    function test_one_unit_of_fees_is_withdrawn() external {
        takeFees(1);
        escrow.setFeeRecipient(RECIPIENT);
        checkEqual(escrow.withdrawFees(address(asset)), 1, "withdrawn");
        checkEqual(asset.balanceOf(RECIPIENT), 1, "paid");
    }

    function test_fees_stay_while_nobody_can_be_paid() external {
        takeFees(50);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.BadRecipient.selector, address(0)));
        escrow.withdrawFees(address(asset));
        escrow.setFeeRecipient(RECIPIENT);
        asset.setBlocked(RECIPIENT, true);
        vm.expectRevert(bytes("blocked"));
        escrow.withdrawFees(address(asset));
        asset.setBlocked(RECIPIENT, false);
        checkEqual(escrow.withdrawFees(address(asset)), 50, "later");
    }

    function test_a_fee_that_does_not_fit_is_not_taken() external {
        escrow.setFee(address(asset), MOST);
        uint128 most = uint128(type(uint88).max) * 20; // of which 5 % just fit
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        openUnder(terms, most + 60);
        checkEqual(claimRows(makeRow(SIGNER_KEY, terms, 20)), 20, "a first claim");
        checkEqual(escrow.assetOf(address(asset)).fees, 1, "its fee");
        claimRows(makeRow(SIGNER_KEY, terms, 20 + most));
        checkEqual(escrow.assetOf(address(asset)).fees, 1, "one unit too many: none of it is taken");
        checkEqual(asset.balanceOf(provider), 19 + uint256(most), "the provider has it");
        claimRows(makeRow(SIGNER_KEY, terms, 40 + most));
        checkEqual(escrow.assetOf(address(asset)).fees, 2, "and what fits is taken again");
    }

    function test_the_largest_fee_that_fits_is_taken() external {
        escrow.setFee(address(asset), MOST);
        uint128 most = uint128(type(uint88).max) * 20;
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        openUnder(terms, most);
        claimRows(makeRow(SIGNER_KEY, terms, most));
        checkEqual(escrow.assetOf(address(asset)).fees, type(uint88).max, "fees");
    }

    function test_claim_splitting_saves_less_than_one_unit_a_claim() external {
        escrow.setFee(address(asset), 10_000);
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 10_000);
        for (uint128 i = 1; i <= 10; i++) {
            claimRows(makeRow(SIGNER_KEY, terms, i * 199)); // 1.99 each time
        }
        uint256 whole = uint256(1990) * 10_000 / 1_000_000;
        uint256 taken = escrow.assetOf(address(asset)).fees;
        checkTrue(taken + 10 > whole, "less than one unit each");
        checkEqual(taken, 10, "taken");
    }

    function test_a_fee_in_credits_is_not_burned() external {
        escrow.setFee(address(credit), MOST);
        escrow.setFeeRecipient(RECIPIENT);
        IPaymentEscrow.Escrow memory terms = makeTermsIn(credit, 0, 0);
        openUnder(terms, 1_000);
        claimRowsOf(terms, makeRow(SIGNER_KEY, terms, 1_000));
        checkEqual(credit.burnedAt(provider), 950, "burned");
        escrow.withdrawFees(address(credit));
        checkEqual(credit.balanceOf(RECIPIENT), 50, "fee");
        checkEqual(credit.totalSupply(), 50, "supply");
    }

    function test_a_fee_of_a_deferred_payout_is_taken_once() external {
        escrow.setFee(address(asset), MOST);
        asset.setBlocked(provider, true);
        claimRows(makeRow(SIGNER_KEY, openEscrow(0, 1_000), 1_000));
        checkEqual(escrow.owed(provider, address(asset)), 950, "owed");
        asset.setBlocked(provider, false);
        escrow.withdrawOwed(provider, address(asset));
        checkEqual(asset.balanceOf(provider), 950, "paid");
        checkEqual(escrow.assetOf(address(asset)).fees, 50, "fees");
    }

    /// @dev Claims so much that this fee is taken.
    function takeFees(uint128 amount) private {
        escrow.setFee(address(asset), MOST);
        claimRows(makeRow(SIGNER_KEY, openEscrow(0, 20 * amount), 20 * amount));
        checkEqual(escrow.assetOf(address(asset)).fees, amount, "fees taken");
    }
}
