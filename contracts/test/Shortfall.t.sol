// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IBreachProver} from "../src/interfaces/IBreachProver.sol";
import {IEvidence} from "../src/interfaces/IEvidence.sol";
import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {IProviderRegistry} from "../src/interfaces/IProviderRegistry.sol";
import {ISplitRegistry} from "../src/interfaces/ISplitRegistry.sol";
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
        uint64 payableAt = uint64(block.timestamp) + STAKE_THAW;
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
        vm.warp(block.timestamp + STAKE_THAW);
        checkEqual(breaches.collect(last.leaseId), DUE - 5 ether, "out of stake");
    }

    function test_a_reserve_that_holds_enough_leaves_the_stake_alone() external {
        checkEqual(prove(), DUE, "all of it");
        checkEqual(breaches.shortfallOf(last.leaseId).amount, 0, "nothing");
        vm.expectPartialRevert(IBreachProver.NothingToRefund.selector);
        breaches.collect(last.leaseId);
    }

    /// @dev As long as holders of credits need all the stake there is, see {IProviderRegistry-compensate}.
    function test_where_the_registry_pays_nothing_the_claim_stays_and_is_paid_when_it_can_be() external {
        claimAll();
        prove();
        vm.warp(block.timestamp + STAKE_THAW);
        vm.mockCall(address(registry), abi.encodeWithSelector(IProviderRegistry.compensate.selector), abi.encode(0));
        vm.expectRevert(abi.encodeWithSelector(IBreachProver.NothingToRefund.selector, last.leaseId));
        breaches.collect(last.leaseId);
        checkEqual(breaches.shortfallOf(last.leaseId).amount, DUE, "as it was");
        vm.clearMockedCalls();
        checkEqual(breaches.collect(last.leaseId), DUE, "all of it");
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

    function test_no_more_comes_back_than_the_provider_was_paid_at_least() external {
        // A provider and a submitter who are one make up a cost that was never paid.
        last.cost = type(uint128).max;
        claim(10 ether);
        vm.prank(provider);
        escrow.release(held, 10 ether);
        terms.refundPpm = 1_000_000;
        last.leaseId = leaseIdOf(terms);
        prove();
        vm.warp(block.timestamp + STAKE_THAW);
        checkEqual(breaches.collect(last.leaseId), 9.5 ether, "what was paid, less the largest fee");
        // Another lease of the same escrow finds nothing left.
        terms.leaseNumber = 1;
        last.leaseId = leaseIdOf(terms);
        refused();
    }

    // ---- Several leases of one escrow

    function test_all_leases_of_an_escrow_together_announce_no_more_than_it_paid() external {
        claimOnly(10 ether);
        prove();
        bytes32 first = last.leaseId;
        for (uint64 number = 1; number < 6; number++) {
            another(number);
            refused();
        }
        (uint256 announced,) = registry.announcedIn(provider, IProviderRegistry.Role.Provider);
        checkEqual(announced, 9.5 ether, "what was paid, less the largest fee");
        vm.warp(block.timestamp + STAKE_THAW);
        checkEqual(breaches.collect(first), 9.5 ether, "all");
        vm.expectPartialRevert(IBreachProver.NothingToRefund.selector);
        breaches.collect(last.leaseId);
        refused();
    }

    /// @dev Who paid itself a little shuts out nobody that is owed more.
    function test_what_one_escrow_announces_leaves_room_for_the_leases_of_another() external {
        claimOnly(100 ether);
        terms.refundPpm = 1_000_000;
        for (uint64 number = 0; number < 6; number++) {
            another(number);
            if (number == 0) prove();
            else refused();
        }
        openxEscrow(2, 5_000 ether);
        terms.refundPpm = 1_000_000;
        last.cost = 5_000 ether;
        last.leaseId = leaseIdOf(terms);
        claimAll();
        prove();
        checkEqual(breaches.shortfallOf(last.leaseId).amount, 4_750 ether, "all that it paid, less the largest fee");
    }

    function test_what_was_collected_counts_once() external {
        claimAll();
        prove();
        vm.warp(block.timestamp + STAKE_THAW);
        breaches.collect(last.leaseId);
        everything(1);
        prove();
        checkEqual(breaches.shortfallOf(last.leaseId).amount, 75 ether, "95 less 20");
    }

    function test_what_a_top_up_gave_back_leaves_its_room_to_other_leases() external {
        claimAll();
        prove();
        topUp(8 ether);
        prove();
        everything(1);
        prove();
        checkEqual(breaches.shortfallOf(last.leaseId).amount, 83 ether, "95 less 12");
    }

    function test_what_has_all_lapsed_leaves_its_room_to_other_leases() external {
        claimAll();
        everything(1);
        prove();
        bytes32 first = last.leaseId;
        vm.warp(breaches.shortfallOf(first).payableUntil - 1);
        another(2);
        refused();
        vm.warp(block.timestamp + 1);
        prove();
        checkEqual(breaches.shortfallOf(last.leaseId).amount, 95 ether, "all of it");
        // And the first is none of it.
        another(1);
        refused();
    }

    /// @dev What lapsed before is not subtracted from what others noted since.
    function test_what_lapsed_long_ago_is_noted_anew_beside_what_waits_now() external {
        claimAll();
        everything(1);
        prove();
        vm.warp(breaches.shortfallOf(last.leaseId).payableUntil);
        (terms.leaseNumber, terms.refundPpm) = (2, 450_000);
        last.leaseId = leaseIdOf(terms);
        prove();
        checkEqual(breaches.shortfallOf(last.leaseId).amount, 45 ether, "of another");
        everything(1);
        prove();
        checkEqual(breaches.shortfallOf(last.leaseId).amount, 50 ether, "what is left");
    }

    function test_what_lapsed_keeps_its_room_while_others_wait_until_it_is_noted_anew() external {
        claimAll();
        (terms.leaseNumber, terms.refundPpm) = (1, 500_000);
        last.leaseId = leaseIdOf(terms);
        prove();
        bytes32 first = last.leaseId;
        vm.warp(block.timestamp + 1 days);
        (terms.leaseNumber, terms.refundPpm) = (2, 450_000);
        last.leaseId = leaseIdOf(terms);
        prove();
        vm.warp(breaches.shortfallOf(first).payableUntil);
        another(3);
        refused();
        (terms.leaseNumber, terms.refundPpm) = (1, 500_000);
        last.leaseId = leaseIdOf(terms);
        prove();
        vm.warp(block.timestamp + STAKE_THAW);
        checkEqual(breaches.collect(first), 50 ether, "of the first");
    }

    // ---- Who pays itself

    /// @dev A thief of the key puts money through an escrow whose split gives all of it back to him, and makes up a broken promise.
    function test_what_a_split_took_is_nobodys_to_give_back() external {
        splitAll();
        claimAll();
        terms.refundPpm = 1_000_000;
        last.leaseId = leaseIdOf(terms);
        refused();
        checkEqual(registry.stakeOf(provider), STAKED, "the stake");
    }

    function test_a_reserve_with_a_split_is_given_back_all_the_same() external {
        splitAll();
        checkEqual(prove(), DUE, "it is the payer's");
    }

    /// @dev The same without a split: the thief pays its victim, at the largest fee there can be.
    function test_a_made_up_breach_gives_a_thief_no_more_than_its_victim_got() external {
        escrow.setFee(address(openx), escrow.MAX_FEE_PPM());
        terms.refundPpm = 1_000_000;
        last.leaseId = leaseIdOf(terms);
        uint256 before = openx.balanceOf(provider);
        claimAll();
        uint256 got = openx.balanceOf(provider) - before;
        prove();
        vm.warp(block.timestamp + STAKE_THAW);
        checkEqual(breaches.collect(last.leaseId), got, "that, and no unit more");
    }

    // ---- When

    function test_what_is_to_be_paid_stops_counting_as_stake_at_once_and_can_still_be_slashed() external {
        claimAll();
        prove();
        checkEqual(registry.stakeOf(provider), STAKED - DUE, "stake");
        (uint256 announced, uint64 until) = registry.announcedIn(provider, IProviderRegistry.Role.Provider);
        checkEqual(announced, DUE, "announced");
        checkEqual(until, block.timestamp + STAKE_THAW + 7 days, "until");
        IProviderRegistry.Penalty memory half = makePledgePenalty(500_000);
        half.role = IProviderRegistry.Role.Provider;
        vm.prank(address(prover));
        registry.slash(provider, half);
        vm.warp(block.timestamp + STAKE_THAW);
        checkEqual(breaches.collect(last.leaseId), DUE / 2, "half of it was slashed");
    }

    /// @dev As if it had unstaked: a proof that is shown meanwhile takes from all of it.
    function test_a_provider_gets_nothing_out_by_its_own_breach_sooner_than_by_unstaking() external {
        claimAll();
        prove();
        vm.warp(block.timestamp + STAKE_THAW - 1);
        vm.expectPartialRevert(IBreachProver.NotPayableYet.selector);
        breaches.collect(last.leaseId);
        vm.warp(block.timestamp + 7 days);
        // And nobody else waits so long that it could be gone.
        vm.expectPartialRevert(IProviderRegistry.StakeStillThaws.selector);
        vm.prank(provider);
        registry.withdrawStake();
        checkEqual(breaches.collect(last.leaseId), DUE, "in the last second");
    }

    function test_what_is_not_collected_in_time_has_lapsed_and_can_be_proved_anew() external {
        claimAll();
        prove();
        uint64 until = breaches.shortfallOf(last.leaseId).payableUntil;
        checkEqual(until, block.timestamp + STAKE_THAW + 7 days, "a week");
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IBreachProver.NotPayableAnyMore.selector, until, until));
        breaches.collect(last.leaseId);
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), DUE, "the provider's again");
        prove();
        vm.warp(block.timestamp + STAKE_THAW);
        checkEqual(breaches.collect(last.leaseId), DUE, "in its own time");
    }

    /// @dev What a thief had noted with a key is nothing once the key counts no longer.
    function test_what_has_lapsed_cannot_be_proved_with_a_key_that_was_taken_away_a_thaw_ago() external {
        claimAll();
        prove();
        rotateKey(OTHER_KEY);
        vm.warp(breaches.shortfallOf(last.leaseId).payableUntil);
        IEvidence.SignedLease memory lease = signLease(terms);
        IEvidence.SignedReceipt memory shown = signReceipt(NODE_KEY, last);
        vm.expectPartialRevert(IEvidence.NotAProvidersKey.selector);
        breaches.proveBreach(held, lease, shown);
        vm.prank(provider);
        registry.withdrawStake();
        giveOpenx(address(this), STAKED);
        stakeFor(provider, STAKED);
        vm.expectPartialRevert(IBreachProver.NotPayableAnyMore.selector);
        breaches.collect(last.leaseId);
    }

    function test_a_small_shortfall_does_not_let_a_large_one_out_without_its_thaw() external {
        claim(10 ether);
        vm.prank(provider);
        escrow.release(held, 10 ether);
        prove();
        vm.warp(block.timestamp + STAKE_THAW);
        payMore(RESERVE - 10 ether);
        prove();
        checkEqual(breaches.shortfallOf(last.leaseId).amount, DUE, "all of it");
        vm.expectPartialRevert(IBreachProver.NotPayableYet.selector);
        breaches.collect(last.leaseId);
        vm.warp(block.timestamp + STAKE_THAW);
        checkEqual(breaches.collect(last.leaseId), DUE, "after another thaw");
    }

    /// @dev Or a provider that signs a little more each week would never pay.
    function test_what_was_noted_is_not_put_off_for_little_more() external {
        claim(20 ether);
        vm.prank(provider);
        escrow.release(held, 20 ether);
        terms.refundPpm = 190_000;
        last.leaseId = leaseIdOf(terms);
        prove();
        checkEqual(breaches.shortfallOf(last.leaseId).amount, 19 ether, "19 of 19");
        vm.warp(block.timestamp + STAKE_THAW);
        payMore(RESERVE - 20 ether);
        (last.number, last.cost) = (10, 2 * RESERVE - 1);
        refused();
        checkEqual(breaches.collect(last.leaseId), 19 ether, "what was noted then");
        prove();
        checkTrue(breaches.shortfallOf(last.leaseId).amount > 18 ether, "and then the rest");
    }

    /// @dev Nor where hardly anything is left that could be announced beside it.
    function test_what_was_noted_is_not_put_off_where_there_is_little_more_to_take() external {
        claim(10 ether);
        vm.prank(provider);
        escrow.release(held, 10 ether);
        prove();
        vm.prank(provider);
        registry.startUnstake(STAKED - 9.5 ether);
        vm.warp(block.timestamp + STAKE_THAW);
        vm.prank(provider);
        registry.withdrawStake();
        giveOpenx(address(this), 10 ether);
        stakeFor(provider, 10 ether);
        payMore(RESERVE - 10 ether);
        refused();
        checkEqual(breaches.collect(last.leaseId), 9.5 ether, "noted then");
    }

    function test_stake_that_is_already_leaving_makes_up_for_it_too() external {
        vm.prank(provider);
        registry.startUnstake(STAKED);
        vm.warp(block.timestamp + STAKE_THAW - 1);
        claimAll();
        prove();
        vm.warp(block.timestamp + 1);
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), STAKED - DUE, "the rest");
        vm.warp(block.timestamp + STAKE_THAW);
        checkEqual(breaches.collect(last.leaseId), DUE, "the payer's");
    }

    function test_where_nothing_can_be_announced_nothing_is_noted() external {
        vm.prank(provider);
        registry.startUnstake(STAKED);
        vm.warp(block.timestamp + STAKE_THAW);
        vm.prank(provider);
        registry.withdrawStake();
        claimAll();
        refused();
        giveOpenx(address(this), 4 ether);
        stakeFor(provider, 4 ether);
        prove();
        checkEqual(breaches.shortfallOf(last.leaseId).amount, 2 ether, "half of what lies there by then");
    }

    function test_what_may_not_be_taken_now_is_left_for_later() external {
        openxEscrow(2, 40_000 ether);
        terms.refundPpm = 1_000_000;
        last.cost = 40_000 ether;
        last.leaseId = leaseIdOf(terms);
        claimAll();
        prove();
        checkEqual(breaches.shortfallOf(last.leaseId).amount, STAKED / 2, "half of the stake in a period");
        vm.warp(block.timestamp + STAKE_THAW);
        checkEqual(breaches.collect(last.leaseId), STAKED / 2, "paid");
        refused();
        vm.warp(block.timestamp + STAKE_THAW + 1);
        prove();
        vm.warp(block.timestamp + STAKE_THAW);
        checkEqual(breaches.collect(last.leaseId), STAKED / 4, "and half of the rest in the next");
    }

    function test_what_a_judge_may_claim_and_when() external view {
        checkEqual(breaches.ANSWER_TIME(), 1 days, "answer");
        checkEqual(breaches.CLAIM_TIME(), 3 days, "claim");
        checkEqual(registry.COLLECT_TIME(), 7 days, "collection");
        checkEqual(breaches.LEAST_SILENCE_NS(), 3600e9, "silence");
        checkEqual(address(breaches.registry()), address(registry), "registry");
        checkEqual(address(breaches.escrow()), address(escrow), "escrow");
    }

    // ---- How

    /// @dev And what is left of the reserve goes back.
    function claimOnly(uint128 amount) private {
        claim(amount);
        vm.prank(provider);
        escrow.release(held, amount);
    }

    /// @dev The same lease once more, by another number.
    function another(uint64 number) private {
        terms.leaseNumber = number;
        last.leaseId = leaseIdOf(terms);
    }

    /// @dev Another lease that gives back all that it cost.
    function everything(uint64 number) private {
        terms.refundPpm = 1_000_000;
        another(number);
    }

    /// @dev The same, with a split that takes everything.
    function splitAll() private {
        ISplitRegistry.Share[] memory shares = new ISplitRegistry.Share[](1);
        shares[0] = ISplitRegistry.Share(payer, 1_000_000);
        openxEscrow(3, RESERVE, splits.create(shares));
    }

    function payMore(uint128 amount) private {
        topUp(amount);
        claimAll();
    }

    function topUp(uint128 amount) private {
        giveOpenx(address(this), amount);
        openx.approve(address(escrow), amount);
        escrow.deposit(payer, address(openx), amount);
        vm.prank(payer);
        escrow.open(held, amount);
    }

    function openxEscrow(uint96 nonce, uint128 amount) private {
        openxEscrow(nonce, amount, bytes32(0));
    }

    function openxEscrow(uint96 nonce, uint128 amount, bytes32 split) private {
        held = makeTerms(nonce);
        (held.asset, held.split) = (address(openx), split);
        topUp(amount);
        setLease();
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
