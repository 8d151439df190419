// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {Market} from "./Market.sol";

contract RefundTest is Market {
    address private constant JUDGE = address(0x1D6E);

    function setUp() public override {
        super.setUp();
        connectJudge(JUDGE, noHolds());
    }

    function test_a_refund_frees_the_payers_money_at_once_and_vouchers_pay_that_much_less() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        claimRows(makeRow(SIGNER_KEY, terms, 30 ether));
        vm.expectEmit();
        emit IPaymentEscrow.Refunded(escrow.escrowId(terms), 20 ether, 50 ether);
        checkEqual(refund(terms, 20 ether), 20 ether, "refunded");
        checkEqual(escrow.free(payer, address(asset)), 920 ether, "free");
        checkEqual(deposited(terms), 100 ether, "deposited stays");
        checkEqual(claimRows(makeRow(SIGNER_KEY, terms, 45 ether)), 0, "covered by the refund");
        checkEqual(claimRows(makeRow(SIGNER_KEY, terms, 60 ether)), 10 ether, "less by the refund");
        checkEqual(asset.balanceOf(provider), 40 ether, "provider");
        checkEqual(escrow.liabilities(address(asset)), 960 ether, "liabilities fell by what was paid");
    }

    function test_a_refund_is_never_more_than_the_reserve_and_takes_back_nothing_paid() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        claimRows(makeRow(SIGNER_KEY, terms, 30 ether));
        checkEqual(refund(terms, type(uint128).max), 70 ether, "what is there");
        checkEqual(escrow.free(payer, address(asset)), 970 ether, "free");
        checkEqual(asset.balanceOf(provider), 30 ether, "what was paid is paid");
        vm.recordLogs();
        checkEqual(refund(terms, 1), 0, "nothing more");
        checkEqual(vm.getRecordedLogs().length, 0, "and nothing is said");
    }

    function test_an_escrow_never_opened_and_one_closed_have_nothing_to_refund() external {
        checkEqual(refund(makeTerms(1), 1 ether), 0, "never opened");
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        vm.prank(payer);
        escrow.startThaw(terms);
        vm.warp(block.timestamp + MIN_THAW);
        escrow.close(terms);
        checkEqual(refund(terms, 1 ether), 0, "closed");
        checkEqual(escrow.free(payer, address(asset)), 1_000 ether, "given back once");
    }

    function test_a_refund_while_an_escrow_thaws_is_not_given_back_again() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        vm.prank(payer);
        escrow.startThaw(terms);
        refund(terms, 40 ether);
        vm.warp(block.timestamp + MIN_THAW);
        escrow.close(terms);
        checkEqual(escrow.free(payer, address(asset)), 1_000 ether, "free");
        checkEqual(deposited(terms), 40 ether, "deposited is what was refunded");
    }

    function test_a_refunded_escrow_opened_again_pays_above_the_refund() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 10 ether);
        refund(terms, 10 ether);
        vm.expectEmit();
        emit IPaymentEscrow.EscrowToppedUp(escrow.escrowId(terms), 30 ether);
        vm.prank(payer);
        escrow.open(terms, 20 ether);
        checkEqual(claimRows(makeRow(SIGNER_KEY, terms, 10 ether)), 0, "refunded");
        checkEqual(claimRows(makeRow(SIGNER_KEY, terms, 30 ether)), 20 ether, "the rest");
    }

    function test_a_provider_cannot_release_below_a_refund() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        refund(terms, 40 ether);
        bytes32 id = escrow.escrowId(terms);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.ReleaseBelowClaimed.selector, id, 39 ether, 40 ether));
        vm.prank(provider);
        escrow.release(terms, 39 ether);
        vm.prank(provider);
        escrow.release(terms, 40 ether);
        checkEqual(escrow.free(payer, address(asset)), 1_000 ether, "all given back, once");
    }

    function test_nobody_but_the_refunder_refunds() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        address[5] memory others = [payer, signer, provider, guardian, address(this)];
        for (uint256 i = 0; i < others.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotRefunder.selector, others[i], JUDGE));
            vm.prank(others[i]);
            escrow.refund(terms, 1);
        }
    }

    function test_a_refund_is_no_way_to_money_of_another_escrow() external {
        openEscrow(0, 100 ether);
        IPaymentEscrow.Escrow memory other = makeTerms(0);
        other.payer = stranger;
        checkEqual(refund(other, 1 ether), 0, "another payer's escrow is another escrow");
        checkEqual(escrow.free(stranger, address(asset)), 0, "free");
    }

    function test_refunds_and_settled_work_are_counted_for_each_provider_and_asset() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        claimRows(makeRow(SIGNER_KEY, terms, 30 ether));
        refund(terms, 5 ether);
        refund(terms, 6 ether);
        checkAccount(provider, address(asset), 30 ether, 11 ether);
        checkAccount(provider, address(credit), 0, 0);
        checkAccount(stranger, address(asset), 0, 0);
    }

    function checkAccount(address who, address what, uint256 settled, uint256 refunded) private view {
        (uint256 settled_, uint256 refunded_, uint256 owed_) = escrow.accountOf(who, what);
        checkEqual(settled_, settled, "settled");
        checkEqual(refunded_, refunded, "refunded");
        checkEqual(owed_, 0, "owed");
    }

    function refund(IPaymentEscrow.Escrow memory terms, uint128 amount) private returns (uint128) {
        vm.prank(JUDGE);
        return escrow.refund(terms, amount);
    }
}

contract UnconnectedRefundTest is Market {
    function test_before_a_refunder_is_connected_nobody_refunds() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotRefunder.selector, stranger, address(0)));
        vm.prank(stranger);
        escrow.refund(terms, 1);
    }
}
