// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IBreachProver} from "../src/interfaces/IBreachProver.sol";
import {IEvidence} from "../src/interfaces/IEvidence.sol";
import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {Accusing} from "./Accusing.sol";

/// @notice What a provider owes for a broken promise and has claimed already: out of its stake, where the money is OPENX.
contract ShortfallTest is Accusing {
    uint128 private constant RESERVE = 100 ether;
    uint128 private constant DUE = 20 ether;

    IPaymentEscrow.Escrow private held;
    IEvidence.LeaseTerms private terms;
    IEvidence.Receipt private last;

    function setUp() public override {
        super.setUp();
        escrow.addAsset(address(openx), false);
        openxEscrow(1, RESERVE);
    }

    function test_who_claims_first_and_says_afterwards_that_it_is_over_pays_out_of_its_stake() external {
        claimAll();
        vm.expectEmit();
        emit IBreachProver.BreachProven(last.leaseId, provider, terms.escrowId, 0, DUE);
        checkEqual(prove(), 0, "the reserve is empty");
        uint64 payableAt = uint64(block.timestamp + 2 days);
        vm.warp(payableAt - 1);
        vm.expectRevert(abi.encodeWithSelector(IBreachProver.NotPayableYet.selector, payableAt, payableAt - 1));
        breaches.collect(last.leaseId);
        vm.warp(payableAt);
        vm.expectEmit();
        emit IBreachProver.BreachCompensated(last.leaseId, provider, payer, DUE);
        checkEqual(breaches.collect(last.leaseId), DUE, "a fifth of 100");
        checkEqual(openx.balanceOf(payer), DUE, "the payer's");
        checkEqual(registry.stakeOf(provider), STAKED - DUE, "the provider's loss");
        checkEqual(breaches.refundedOf(last.leaseId), DUE, "noted");
        vm.expectPartialRevert(IBreachProver.NothingToRefund.selector);
        breaches.collect(last.leaseId);
        refused();
    }

    function test_a_reserve_that_holds_a_part_gives_it_first() external {
        claim(RESERVE - 5 ether);
        checkEqual(prove(), 5 ether, "what there is");
        checkEqual(breaches.shortfallOf(last.leaseId).amount, DUE - 5 ether, "the rest");
        vm.warp(block.timestamp + 2 days);
        checkEqual(breaches.collect(last.leaseId), DUE - 5 ether, "out of stake");
    }

    function test_a_reserve_that_holds_enough_leaves_the_stake_alone() external {
        checkEqual(prove(), DUE, "all of it");
        checkEqual(breaches.shortfallOf(last.leaseId).amount, 0, "nothing");
        vm.expectPartialRevert(IBreachProver.NothingToRefund.selector);
        breaches.collect(last.leaseId);
    }

    function test_a_top_up_that_gives_it_back_ends_the_claim_on_stake() external {
        claimAll();
        prove();
        topUp(8 ether);
        checkEqual(prove(), 8 ether, "out of the reserve");
        checkEqual(breaches.shortfallOf(last.leaseId).amount, DUE - 8 ether, "so much less");
    }

    function test_in_another_asset_nothing_is_taken_from_stake() external {
        held = openEscrow(9, RESERVE);
        setLease();
        claimAll();
        refused();
    }

    function test_no_more_comes_back_than_vouchers_took_out_of_the_escrow() external {
        // A provider and a submitter who are one make up a cost that was never paid.
        last.cost = type(uint128).max;
        claim(10 ether);
        vm.prank(provider);
        escrow.release(held, 10 ether);
        terms.refundPpm = 1_000_000;
        last.leaseId = leaseIdOf(terms);
        prove();
        vm.warp(block.timestamp + 2 days);
        checkEqual(breaches.collect(last.leaseId), 10 ether, "what was paid");
        // Another lease of the same escrow finds nothing left.
        terms.leaseNumber = 1;
        last.leaseId = leaseIdOf(terms);
        refused();
    }

    function test_two_leases_of_an_escrow_together_take_no_more_than_was_paid() external {
        claim(10 ether);
        vm.prank(provider);
        escrow.release(held, 10 ether);
        prove();
        bytes32 first = last.leaseId;
        terms.leaseNumber = 1;
        last.leaseId = leaseIdOf(terms);
        prove();
        vm.warp(block.timestamp + 2 days);
        checkEqual(breaches.collect(first), 10 ether, "all");
        vm.expectPartialRevert(IBreachProver.NothingToRefund.selector);
        breaches.collect(last.leaseId);
    }

    function test_all_that_came_back_of_an_escrow_counts_whichever_way_it_came() external {
        claim(RESERVE - 5 ether);
        prove();
        vm.warp(block.timestamp + 2 days);
        breaches.collect(last.leaseId);
        checkEqual(breaches.refundedOf(last.leaseId), DUE, "out of the reserve and out of stake");
        (terms.leaseNumber, terms.refundPpm) = (1, 1_000_000);
        last.leaseId = leaseIdOf(terms);
        topUp(10 ether);
        checkEqual(prove(), 10 ether, "out of the reserve");
        checkEqual(breaches.shortfallOf(last.leaseId).amount, RESERVE - DUE, "what was paid and did not come back");
    }

    function test_a_small_shortfall_does_not_let_a_large_one_out_without_its_delay() external {
        claim(1);
        vm.prank(provider);
        escrow.release(held, 1);
        prove();
        vm.warp(block.timestamp + 2 days);
        // Meanwhile it is paid much more.
        topUp(RESERVE - 1);
        claimAll();
        refused();
        checkEqual(breaches.collect(last.leaseId), 1, "what was noted then");
        prove();
        vm.expectPartialRevert(IBreachProver.NotPayableYet.selector);
        breaches.collect(last.leaseId);
    }

    function test_what_may_not_be_taken_now_is_left_for_later() external {
        openxEscrow(2, 40_000 ether);
        terms.refundPpm = 1_000_000;
        last.cost = 40_000 ether;
        last.leaseId = leaseIdOf(terms);
        claimAll();
        prove();
        vm.warp(block.timestamp + 2 days);
        checkEqual(breaches.collect(last.leaseId), STAKED / 2, "half of the stake in a period");
        vm.expectPartialRevert(IBreachProver.NothingToRefund.selector);
        breaches.collect(last.leaseId);
        vm.warp(block.timestamp + STAKE_THAW + 1);
        checkEqual(breaches.collect(last.leaseId), STAKED / 4, "and half of the rest in the next");
    }

    function test_what_a_judge_may_claim_and_when() external view {
        checkEqual(breaches.ANSWER_TIME(), 1 days, "answer");
        checkEqual(breaches.CLAIM_TIME(), 3 days, "claim");
        checkEqual(breaches.COMPENSATION_DELAY(), 2 days, "compensation");
        checkEqual(breaches.LEAST_SILENCE_NS(), 3600e9, "silence");
        checkTrue(breaches.COMPENSATION_DELAY() > prover.COMMIT_LIFE(), "a proof that was committed to comes first");
        checkEqual(address(breaches.registry()), address(registry), "registry");
        checkEqual(address(breaches.escrow()), address(escrow), "escrow");
    }

    // ---- How

    function openxEscrow(uint96 nonce, uint128 amount) private {
        held = makeTerms(nonce);
        held.asset = address(openx);
        topUp(amount);
        setLease();
    }

    function topUp(uint128 amount) private {
        giveOpenx(address(this), amount);
        openx.approve(address(escrow), amount);
        escrow.deposit(payer, address(openx), amount);
        vm.prank(payer);
        escrow.open(held, amount);
    }

    /// @dev One that ran for a day of ten and cost all of the reserve.
    function setLease() private {
        terms = makeLeaseTerms(0);
        terms.escrowId = escrow.escrowId(held);
        terms.asset = held.asset;
        terms.openUntilNs = uint64((block.timestamp) * NANOS);
        vm.warp(block.timestamp + 10 days);
        last = makeReceipt(leaseIdOf(terms), 9);
        (last.cost, last.runningNs, last.last) = (RESERVE, uint64(1 days * NANOS), true);
    }

    function claimAll() private {
        claim(uint128(deposited(held)));
    }

    function claim(uint128 amount) private {
        bytes memory voucher = signVoucher(SIGNER_KEY, held, amount);
        escrow.claimOne(held, amount, RECEIPTS, voucher);
    }

    function prove() private returns (uint256) {
        IEvidence.SignedLease memory lease = signLease(terms);
        return breaches.proveBreach(held, lease, signReceipt(NODE_KEY, last));
    }

    function refused() private {
        IEvidence.SignedLease memory lease = signLease(terms);
        IEvidence.SignedReceipt memory shown = signReceipt(NODE_KEY, last);
        vm.expectRevert(abi.encodeWithSelector(IBreachProver.NothingToRefund.selector, last.leaseId));
        breaches.proveBreach(held, lease, shown);
    }
}
