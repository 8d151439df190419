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
        refused(IBreachProver.NothingToRefund.selector);
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
        vm.warp(block.timestamp + 1 days);
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
        (newer.atNs, newer.cost) = (uint64((claimedAt - 1 hours) * NANOS) - 1, 41 ether);
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

    // ---- Answers by an earlier node key

    function test_a_key_that_was_replaced_answers_for_its_leases_also_by_what_it_signed_later() external {
        rotateKey(OTHER_KEY);
        vm.warp(block.timestamp + 1 hours);
        claim();
        IEvidence.Receipt memory last = makeReceipt(known.leaseId, 361);
        (last.runningNs, last.last) = (known.runningNs, true);
        vm.expectEmit();
        emit IBreachProver.SilenceAnswered(known.leaseId, provider, 361);
        breaches.showReceipt(signReceipt(NODE_KEY, last));
        refused(IBreachProver.LeaseIsOver.selector);
    }

    function test_a_key_answers_for_its_leases_longer_than_it_proves_anything() external {
        (terms.intervalNs, terms.exposureIntervals) = (uint64(10 days * NANOS), 2);
        known.leaseId = leaseIdOf(terms);
        uint256 begun = block.timestamp;
        IEvidence.Receipt memory last = makeReceipt(known.leaseId, 361);
        (last.atNs, last.runningNs, last.last) = (uint64((begun + 6 days) * NANOS), known.runningNs, true);
        vm.warp(begun + 6 days + 12 hours);
        rotateKey(OTHER_KEY);
        vm.warp(begun + 20 days);
        claim();
        vm.warp(block.timestamp + 13 hours);
        checkEqual(registry.authorOf(node, begun), address(0), "it proves nothing any more");
        breaches.showReceipt(signReceipt(NODE_KEY, last));
        checkEqual(breaches.silenceOf(known.leaseId).provider, address(0), "answered");
    }

    function test_a_key_that_was_replaced_says_nothing_about_a_lease_that_was_not_claimed() external {
        rotateKey(OTHER_KEY);
        vm.warp(block.timestamp + 1);
        IEvidence.Receipt memory last = makeReceipt(known.leaseId, 361);
        last.last = true;
        showRefused(last, IEvidence.NotAProvidersKey.selector);
    }

    function test_an_answer_is_dated_from_when_its_key_was_bound_and_not_ahead() external {
        vm.warp(block.timestamp + 1 hours);
        claim();
        vm.warp(block.timestamp + 1 hours);
        rotateKey(OTHER_KEY);
        IEvidence.Receipt memory last = makeReceipt(known.leaseId, 361);
        (last.runningNs, last.last) = (known.runningNs, true);
        last.atNs -= 1;
        answerRefused(OTHER_KEY, last);
        last.atNs = uint64((block.timestamp + 1 hours + 1) * NANOS);
        answerRefused(OTHER_KEY, last);
        answerRefused(NODE_KEY, last);
        answerRefused(STRANGER_KEY, makeReceipt(known.leaseId, 361));
        last.atNs -= uint64(NANOS);
        breaches.showReceipt(signReceipt(NODE_KEY, last));
        checkEqual(breaches.silenceOf(known.leaseId).provider, address(0), "answered");
    }

    // ---- What an answer must be

    function test_the_last_receipt_answers_whenever_it_is_dated() external {
        vm.warp(block.timestamp + 3 hours);
        claim();
        IEvidence.Receipt memory last = makeReceipt(known.leaseId, 361);
        (last.atNs, last.runningNs, last.last) = (known.atNs, known.runningNs, true);
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
        newer.runningNs = known.runningNs;
        showRefused(newer, IBreachProver.NotAnAnswer.selector);
        newer.last = true;
        show(newer);
    }

    function test_at_its_time_limit_and_the_wait_after_it_a_newer_receipt_answers_still() external {
        (terms.durationLimitNs, known.runningNs) = (uint64(6 hours * NANOS), uint64(1 hours * NANOS));
        known.leaseId = leaseIdOf(terms);
        vm.warp(block.timestamp + 1 hours);
        claim();
        IEvidence.Receipt memory newer = makeReceipt(known.leaseId, 361);
        newer.runningNs = known.runningNs;
        show(newer);
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
        IEvidence.Receipt memory last = makeReceipt(known.leaseId, 1500);
        showRefused(last, IBreachProver.NotAnAnswer.selector);
        last.last = true;
        showRefused(last, IBreachProver.NotAnAnswer.selector);
        checkEqual(settle(), 8 ether, "refunded");
        show(last);
    }

    function test_a_provider_that_closes_down_shows_its_last_receipts_first() external {
        IEvidence.Receipt memory last = makeReceipt(known.leaseId, 361);
        (last.runningNs, last.last) = (known.runningNs, true);
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

    // ---- Claims that take another's place

    /// @dev By another account the provider claims its own silence with the first receipt there was, so that next to nothing is due.
    function test_whoever_has_a_receipt_by_which_more_is_due_claims_with_it_in_the_place_of_another() external {
        IEvidence.Receipt memory newest = known;
        known = firstReceipt();
        vm.warp(block.timestamp + 2 hours);
        claim();
        checkEqual(breaches.silenceOf(known.leaseId).due, 0.2 ether, "a fifth of next to nothing");
        IBreachProver.Silence memory before = breaches.silenceOf(known.leaseId);
        known = newest;
        vm.warp(block.timestamp + 23 hours);
        vm.expectEmit();
        emit IBreachProver.SilenceClaimed(known.leaseId, provider, 360, before.answerUntil);
        claim();
        IBreachProver.Silence memory claimed_ = breaches.silenceOf(known.leaseId);
        checkEqual(claimed_.due, 8 ether, "a fifth of all");
        checkEqual(claimed_.answerUntil, before.answerUntil, "no more time to answer");
        checkEqual(claimed_.lateNs, before.lateNs, "by the same receipts");
        checkEqual(claimed_.number, 360, "that come after this one");
        known = firstReceipt();
        refused(IBreachProver.SilenceClaimedAlready.selector);
        vm.warp(claimed_.answerUntil + 1);
        checkEqual(settle(), 8 ether, "refunded");
    }

    function test_a_claim_that_waits_for_its_settlement_still_gives_way() external {
        IEvidence.Receipt memory newest = known;
        known = firstReceipt();
        claim();
        vm.warp(block.timestamp + 4 days);
        known = newest;
        // What would have answered the claim shows no silence.
        refused(IBreachProver.SilenceClaimedAlready.selector);
        known.atNs = uint64(breaches.silenceOf(known.leaseId).lateNs) - 1;
        (known.runningNs, known.number) = (uint64(4 hours * NANOS), 300);
        claim();
        checkEqual(settle(), 8 ether, "at once");
    }

    /// @dev Whoever is silent may sign a number that nothing can come after.
    function test_what_is_due_counts_and_not_the_number() external {
        IEvidence.Receipt memory newest = known;
        known = firstReceipt();
        known.number = type(uint64).max;
        vm.warp(block.timestamp + 2 hours);
        claim();
        known = newest;
        claim();
        IEvidence.Receipt memory answer = makeReceipt(known.leaseId, 480);
        show(answer);
    }

    function test_a_silence_is_claimed_once_at_a_time() external {
        vm.warp(block.timestamp + 1 days);
        claim();
        refused(IBreachProver.SilenceClaimedAlready.selector);
        known.last = true;
        refused(IBreachProver.LeaseIsOver.selector);
    }

    function test_a_lease_that_was_settled_and_went_on_may_be_claimed_again() external {
        vm.warp(block.timestamp + 1 days);
        claim();
        vm.warp(block.timestamp + 1 days + 1);
        settle();
        known = makeReceipt(known.leaseId, 1000);
        (known.cost, known.runningNs) = (60 ether, uint64(7 hours * NANOS));
        vm.warp(block.timestamp + 1 hours);
        claim();
        vm.warp(block.timestamp + 1 days + 1);
        checkEqual(settle(), 4 ether, "a fifth of 60, less what was given back");
    }

    /// @dev Or its provider would have to answer again and again.
    function test_what_stake_is_to_make_up_for_is_not_claimed_again() external {
        inOpenx();
        escrow.claimOne(held, RESERVE, RECEIPTS, signVoucher(SIGNER_KEY, held, RESERVE));
        vm.warp(block.timestamp + 1 hours);
        claim();
        vm.warp(block.timestamp + 1 days + 1);
        settle();
        checkEqual(breaches.shortfallOf(known.leaseId).amount, 8 ether, "noted");
        refused(IBreachProver.NothingToRefund.selector);
    }

    // ---- Receipts that do not go together

    /// @dev It ran one of six hours, for 40. By its last receipt it cost nothing, or ran all the time.
    function test_a_last_receipt_takes_nothing_back() external {
        known.runningNs = uint64(1 hours * NANOS);
        vm.warp(block.timestamp + 2 hours);
        claim();
        IEvidence.Receipt memory last = makeReceipt(known.leaseId, 480);
        (last.cost, last.runningNs, last.last) = (40 ether - 1, known.runningNs, true);
        showRefused(last, IBreachProver.NotAnAnswer.selector);
        (last.cost, last.runningNs) = (40 ether, known.runningNs - 1);
        showRefused(last, IBreachProver.NotAnAnswer.selector);
        last.runningNs = uint64(3 hours * NANOS) + 1;
        showRefused(last, IBreachProver.NotAnAnswer.selector);
        (last.atNs, last.runningNs) = (known.atNs - 1, known.runningNs);
        showRefused(last, IBreachProver.NotAnAnswer.selector);
        (last.atNs, last.runningNs) = (uint64(block.timestamp * NANOS), uint64(3 hours * NANOS));
        show(last);
    }

    /// @dev The same before anybody claims.
    function test_a_last_receipt_that_was_shown_first_takes_nothing_back_either() external {
        IEvidence.Receipt memory last = makeReceipt(known.leaseId, 480);
        (last.cost, last.runningNs, last.last) = (0, 0, true);
        show(last);
        vm.warp(block.timestamp + 2 hours);
        claim();
        showRefused(last, IBreachProver.NotAnAnswer.selector);
        vm.warp(block.timestamp + 1 days + 1);
        checkEqual(settle(), 8 ether, "refunded");
        // It says the same of a receipt that it goes with.
        known = firstReceipt();
        known.cost = 0;
        refused(IBreachProver.NotTheNewest.selector);
    }

    /// @dev One signed at the beginning, kept for the day.
    function test_a_last_receipt_that_others_came_after_ends_nothing() external {
        IEvidence.Receipt memory last = firstReceipt();
        last.last = true;
        show(last);
        vm.warp(block.timestamp + 2 hours);
        claim();
    }

    function test_an_answer_that_says_more_than_what_came_after_it_stands_in_no_claims_way() external {
        IEvidence.Receipt memory newest = known;
        known = firstReceipt();
        vm.warp(block.timestamp + 2 hours);
        claim();
        IEvidence.Receipt memory high = makeReceipt(known.leaseId, 9999);
        (high.cost, high.runningNs) = (30 ether, uint64(8 hours * NANOS) - 5e9);
        show(high);
        vm.warp(block.timestamp + 1 hours);
        known = newest;
        claim();
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

    function answerRefused(uint256 key, IEvidence.Receipt memory receipt) private {
        IEvidence.SignedReceipt memory shown = signReceipt(key, receipt);
        vm.expectPartialRevert(IEvidence.NotAProvidersKey.selector);
        breaches.showReceipt(shown);
    }

    /// @dev Of five seconds, five hours ago, for one.
    function firstReceipt() private view returns (IEvidence.Receipt memory first) {
        first = makeReceipt(known.leaseId, 1);
        first.atNs = uint64(terms.openUntilNs + 5e9);
        first.runningNs = 5e9;
    }

    function inOpenx() private {
        escrow.addAsset(address(openx), false);
        giveOpenx(address(this), RESERVE);
        openx.approve(address(escrow), RESERVE);
        escrow.deposit(payer, address(openx), RESERVE);
        held.asset = address(openx);
        vm.prank(payer);
        escrow.open(held, RESERVE);
        (terms.escrowId, terms.asset) = (escrow.escrowId(held), address(openx));
        known.leaseId = leaseIdOf(terms);
    }

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
