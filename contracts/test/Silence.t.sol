// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IBreachProver} from "../src/interfaces/IBreachProver.sol";
import {IEvidence} from "../src/interfaces/IEvidence.sol";
import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {Accusing} from "./Accusing.sol";

/// @notice A promise that is broken by a provider that says nothing more: 99 % of availability, or a fifth of the cost back.
contract SilenceTest is Accusing {
    uint128 private constant RESERVE = 100 ether;

    IPaymentEscrow.Escrow private held;
    IEvidence.LeaseTerms private terms;
    IEvidence.Receipt private known;

    function setUp() public override {
        super.setUp();
        held = openEscrow(1, RESERVE);
        terms = makeLeaseTerms(0);
        terms.escrowId = escrow.escrowId(held);
        terms.durationLimitNs = uint64(10 days * NANOS);
        // Six hours in, of which it ran all, for 40.
        vm.warp(block.timestamp + 6 hours);
        known = makeReceipt(leaseIdOf(terms), 360);
        known.cost = 40 ether;
    }

    function test_a_provider_that_goes_silent_gives_back_what_it_promised() external {
        vm.warp(block.timestamp + 1 days);
        uint64 answerUntil = uint64(block.timestamp + 1 days);
        vm.expectEmit();
        emit IBreachProver.SilenceClaimed(known.leaseId, provider, 360, answerUntil);
        claim();
        checkEqual(breaches.silenceOf(known.leaseId).due, 8 ether, "a fifth");
        for (uint64 time = answerUntil - 1; time <= answerUntil; time++) {
            vm.warp(time);
            vm.expectRevert(abi.encodeWithSelector(IBreachProver.AnswerStillDue.selector, answerUntil, time));
            settle();
        }
        vm.warp(answerUntil + 1);
        uint256 before = escrow.free(payer, address(asset));
        checkEqual(settle(), 8 ether, "refunded");
        checkEqual(escrow.free(payer, address(asset)) - before, 8 ether, "the payer's");
        checkEqual(breaches.refundedOf(known.leaseId), 8 ether, "noted");
        checkEqual(registry.stakeOf(provider), STAKED, "never a slash");
        vm.expectPartialRevert(IBreachProver.NoSilence.selector);
        settle();
        refused(IBreachProver.LeaseIsOver.selector);
    }

    function test_the_time_since_the_receipt_counts_as_not_running() external {
        // 6 hours of 6 hours and 3 minutes are 99.17 %: no breach yet, though the wait is over after an hour.
        terms.openUntilNs -= uint64(3 minutes * NANOS);
        known.leaseId = leaseIdOf(terms);
        vm.warp(block.timestamp + 1 hours);
        claim(); // 6 of 7.05 hours
        checkEqual(breaches.silenceOf(known.leaseId).due, 8 ether, "a fifth");
    }

    function test_a_promise_that_is_kept_even_so_is_no_breach() external {
        terms.availabilityPpm = 800_000;
        known.leaseId = leaseIdOf(terms);
        vm.warp(block.timestamp + 1 hours);
        refused(IBreachProver.PromiseKept.selector);
        vm.warp(block.timestamp + 1 hours);
        claim(); // 6 of 8 hours
    }

    function test_nobody_is_silent_before_the_intervals_that_may_go_unpaid_have_passed() external {
        uint256 due = block.timestamp;
        // Two intervals of a minute, and an hour at least.
        vm.warp(due + 1 hours - 1);
        refused(abi.encodeWithSelector(IBreachProver.NotSilentYet.selector, due + 1 hours, due + 1 hours - 1));
        (terms.intervalNs, terms.exposureIntervals) = (uint64(1 hours * NANOS), 5);
        known.leaseId = leaseIdOf(terms);
        vm.warp(due + 5 hours - 1);
        refused(abi.encodeWithSelector(IBreachProver.NotSilentYet.selector, due + 5 hours, due + 5 hours - 1));
        vm.warp(due + 5 hours);
        claim();
    }

    function test_a_silence_is_claimed_within_three_days() external {
        uint256 until = block.timestamp + breaches.CLAIM_TIME();
        vm.warp(until + 1);
        refused(abi.encodeWithSelector(IBreachProver.SilenceTooOld.selector, until, until + 1));
        vm.warp(until);
        claim();
    }

    function test_a_lease_whose_intervals_are_longer_than_that_has_a_second_to_be_claimed_in() external {
        (terms.intervalNs, terms.exposureIntervals) = (uint64(2 days * NANOS), 2);
        known.leaseId = leaseIdOf(terms);
        uint256 due = block.timestamp + 4 days;
        vm.warp(due + 1);
        refused(IBreachProver.SilenceTooOld.selector);
        vm.warp(due);
        claim();
    }

    function test_a_lease_ends_at_its_time_limit_at_the_latest() external {
        // The limit of six hours was reached; what is claimed two days later is judged up to the limit alone.
        terms.durationLimitNs = uint64(6 hours * NANOS);
        known.leaseId = leaseIdOf(terms);
        vm.warp(block.timestamp + 2 days);
        refused(IBreachProver.PromiseKept.selector);
        known.runningNs = uint64(5 hours * NANOS);
        claim();
    }

    function test_only_a_lease_with_a_promise_and_a_cost_can_be_claimed() external {
        vm.warp(block.timestamp + 1 days);
        known.cost = 0;
        refused(IBreachProver.NothingToRefund.selector);
        known.cost = 40 ether;
        terms.refundPpm = 0;
        known.leaseId = leaseIdOf(terms);
        refused(IBreachProver.NothingPromised.selector);
    }

    function test_documents_are_checked_as_for_a_last_receipt() external {
        vm.warp(block.timestamp + 1 days);
        IEvidence.SignedLease memory lease = signLease(terms, STRANGER_KEY, NODE_KEY);
        IEvidence.SignedReceipt memory shown = signReceipt(NODE_KEY, known);
        vm.expectPartialRevert(IEvidence.NotSignedBy.selector);
        breaches.claimSilence(held, lease, shown);
        lease = signLease(terms);
        shown = signReceipt(STRANGER_KEY, known);
        vm.expectPartialRevert(IEvidence.NotAProvidersKey.selector);
        breaches.claimSilence(held, lease, shown);
        shown = signReceipt(NODE_KEY, known);
        IPaymentEscrow.Escrow memory other = openEscrow(2, 1 ether);
        vm.expectPartialRevert(IBreachProver.NotTheEscrow.selector);
        breaches.claimSilence(other, lease, shown);
        breaches.claimSilence(held, lease, shown);
        vm.warp(block.timestamp + 2 days);
        bytes32 otherId = escrow.escrowId(other);
        vm.expectRevert(abi.encodeWithSelector(IBreachProver.NotTheEscrow.selector, otherId, terms.escrowId));
        breaches.settleSilence(other, known.leaseId);
    }

    // ---- Answers

    function test_a_provider_that_is_well_answers_and_loses_nothing() external {
        vm.warp(block.timestamp + 1 hours);
        claim();
        vm.warp(block.timestamp + 20 hours);
        IEvidence.Receipt memory newer = makeReceipt(known.leaseId, 1500);
        vm.expectEmit();
        emit IBreachProver.SilenceAnswered(known.leaseId, provider, 1500);
        show(newer);
        vm.warp(block.timestamp + 1 days);
        vm.expectPartialRevert(IBreachProver.NoSilence.selector);
        settle();
        // Who was answered has seen the answer: an older receipt claims nothing more.
        bytes4 notTheNewest = IBreachProver.NotTheNewest.selector;
        refused(abi.encodeWithSelector(notTheNewest, known.leaseId, known.atNs, newer.atNs));
        known = newer;
        (known.cost, known.runningNs) = (40 ether, 1);
        claim();
    }

    function test_an_answer_is_newer_and_of_about_the_time_of_the_claim() external {
        vm.warp(block.timestamp + 3 hours);
        claim();
        uint256 claimedAt = block.timestamp;
        vm.warp(claimedAt + 1 hours);
        // The same number; a higher one that is as old as what is known; one of another lease.
        showRefused(makeReceipt(known.leaseId, 360), IBreachProver.NotAnAnswer.selector);
        IEvidence.Receipt memory newer = makeReceipt(known.leaseId, 361);
        newer.atNs = uint64((claimedAt - 1 hours) * NANOS) - 1;
        showRefused(newer, IBreachProver.NotAnAnswer.selector);
        showRefused(makeReceipt(keccak256("another"), 361), IBreachProver.NotAnAnswer.selector);
        // Of another provider.
        IEvidence.SignedReceipt memory foreign = signReceipt(nodeKeyOf(0), makeReceipt(known.leaseId, 361));
        vm.expectPartialRevert(IBreachProver.NotAnAnswer.selector);
        breaches.showReceipt(foreign);
        newer.atNs++;
        show(newer);
        vm.expectPartialRevert(IBreachProver.NoSilence.selector);
        settle();
    }

    function test_the_last_receipt_answers_whenever_it_is_dated() external {
        vm.warp(block.timestamp + 3 hours);
        claim();
        IEvidence.Receipt memory last = makeReceipt(known.leaseId, 361);
        (last.atNs, last.last) = (known.atNs, true);
        show(last);
        refused(IBreachProver.LeaseIsOver.selector);
        showRefused(last, IBreachProver.LeaseIsOver.selector);
    }

    function test_after_its_time_limit_only_the_last_receipt_answers() external {
        (terms.durationLimitNs, known.runningNs) = (uint64(6 hours * NANOS), uint64(1 hours * NANOS));
        known.leaseId = leaseIdOf(terms);
        vm.warp(block.timestamp + 1 hours + 1);
        claim();
        IEvidence.Receipt memory newer = makeReceipt(known.leaseId, 500);
        showRefused(newer, IBreachProver.NotAnAnswer.selector);
        newer.last = true;
        show(newer);
    }

    function test_at_its_time_limit_and_the_wait_after_it_a_newer_receipt_answers_still() external {
        (terms.durationLimitNs, known.runningNs) = (uint64(6 hours * NANOS), uint64(1 hours * NANOS));
        known.leaseId = leaseIdOf(terms);
        vm.warp(block.timestamp + 1 hours);
        claim();
        show(makeReceipt(known.leaseId, 361));
        checkEqual(breaches.silenceOf(known.leaseId).provider, address(0), "answered");
    }

    function test_an_answer_counts_to_its_last_second() external {
        vm.warp(block.timestamp + 1 hours);
        claim();
        vm.warp(block.timestamp + 1 days);
        show(makeReceipt(known.leaseId, 1500));
        checkEqual(breaches.silenceOf(known.leaseId).provider, address(0), "answered");
    }

    function test_an_answer_that_is_late_changes_nothing() external {
        vm.warp(block.timestamp + 1 hours);
        claim();
        vm.warp(block.timestamp + 1 days + 1);
        showRefused(makeReceipt(known.leaseId, 1500), IBreachProver.NotAnAnswer.selector);
        IEvidence.Receipt memory last = makeReceipt(known.leaseId, 1501);
        last.last = true;
        show(last);
        checkEqual(settle(), 8 ether, "refunded");
    }

    function test_a_provider_that_closes_down_shows_its_last_receipts_first() external {
        IEvidence.Receipt memory last = makeReceipt(known.leaseId, 361);
        last.last = true;
        vm.expectEmit();
        emit IBreachProver.ReceiptShown(known.leaseId, provider, 361, true);
        show(last);
        vm.warp(block.timestamp + 1 days);
        refused(IBreachProver.LeaseIsOver.selector);
        // By another provider it says nothing about this one's lease.
        terms.leaseNumber = 1;
        known.leaseId = leaseIdOf(terms);
        last.leaseId = known.leaseId;
        IEvidence.SignedReceipt memory foreign = signReceipt(nodeKeyOf(0), last);
        breaches.showReceipt(foreign);
        claim();
    }

    function test_a_receipt_that_is_the_last_is_no_silence() external {
        known.last = true;
        vm.warp(block.timestamp + 1 days);
        refused(IBreachProver.LeaseIsOver.selector);
    }

    function test_a_silence_is_claimed_once_at_a_time() external {
        vm.warp(block.timestamp + 1 days);
        claim();
        refused(IBreachProver.SilenceClaimedAlready.selector);
    }

    // ---- Together with a last receipt

    function test_silence_and_last_receipt_refund_no_more_than_the_larger() external {
        vm.warp(block.timestamp + 1 days);
        claim();
        vm.warp(block.timestamp + 1 days + 1);
        settle();
        IEvidence.Receipt memory last = makeReceipt(known.leaseId, 361);
        (last.cost, last.runningNs, last.last) = (40 ether, 1, true);
        IEvidence.SignedLease memory lease = signLease(terms);
        IEvidence.SignedReceipt memory shown = signReceipt(NODE_KEY, last);
        vm.expectPartialRevert(IBreachProver.NothingToRefund.selector);
        breaches.proveBreach(held, lease, shown);
        last.cost = 50 ether;
        shown = signReceipt(NODE_KEY, last);
        checkEqual(breaches.proveBreach(held, lease, shown), 2 ether, "the difference");
    }

    // ---- How

    function claim() private {
        IEvidence.SignedLease memory lease = signLease(terms);
        breaches.claimSilence(held, lease, signReceipt(NODE_KEY, known));
    }

    function refused(bytes4 reason) private {
        (IEvidence.SignedLease memory lease, IEvidence.SignedReceipt memory shown) = signed();
        vm.expectPartialRevert(reason);
        breaches.claimSilence(held, lease, shown);
    }

    function refused(bytes memory reason) private {
        (IEvidence.SignedLease memory lease, IEvidence.SignedReceipt memory shown) = signed();
        vm.expectRevert(reason);
        breaches.claimSilence(held, lease, shown);
    }

    function signed() private view returns (IEvidence.SignedLease memory, IEvidence.SignedReceipt memory) {
        return (signLease(terms), signReceipt(NODE_KEY, known));
    }

    function settle() private returns (uint256) {
        return breaches.settleSilence(held, known.leaseId);
    }

    function show(IEvidence.Receipt memory receipt) private {
        IEvidence.SignedReceipt memory shown = signReceipt(NODE_KEY, receipt);
        breaches.showReceipt(shown);
    }

    function showRefused(IEvidence.Receipt memory receipt, bytes4 reason) private {
        IEvidence.SignedReceipt memory shown = signReceipt(NODE_KEY, receipt);
        vm.expectPartialRevert(reason);
        breaches.showReceipt(shown);
    }
}
