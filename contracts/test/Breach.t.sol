// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IBreachProver} from "../src/interfaces/IBreachProver.sol";
import {IEvidence} from "../src/interfaces/IEvidence.sol";
import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {Accusing} from "./Accusing.sol";

/// @notice Refunds of broken promises: 99 % of availability, or a fifth of the cost back.
contract BreachTest is Accusing {
    uint128 private constant RESERVE = 100 ether;
    uint128 private constant COST = 40 ether;
    uint64 private constant OPEN_UNTIL = 1_800_000_100;
    uint64 private constant PASSED = 1000;

    IPaymentEscrow.Escrow private held;
    IEvidence.LeaseTerms private terms;
    IEvidence.Receipt private last;
    uint256 private submitterKey = SIGNER_KEY;
    uint256 private nodeKey = NODE_KEY;
    uint256 private receiptKey = NODE_KEY;

    function setUp() public override {
        super.setUp();
        held = openEscrow(1, RESERVE);
        terms.submitter = signer;
        terms.provider = provider;
        terms.node = node;
        terms.escrowId = escrow.escrowId(held);
        terms.asset = address(asset);
        terms.resources.gpuModel = "any";
        terms.costLimit = RESERVE;
        terms.openUntilNs = OPEN_UNTIL * 1e9;
        terms.availabilityPpm = 990_000;
        terms.refundPpm = 200_000;
        last.number = 9;
        last.atNs = (OPEN_UNTIL + PASSED) * 1e9;
        last.runningNs = 990 * 1e9 - 1;
        last.cost = COST;
        last.last = true;
    }

    function test_a_promise_broken_by_the_providers_own_receipt_is_refunded_to_the_payer() external {
        uint256 before = escrow.free(payer, address(asset));
        vm.expectEmit();
        emit IBreachProver.BreachProven(leaseId(), provider, terms.escrowId, 8 ether, 0);
        checkEqual(prove(), 8 ether, "a fifth");
        checkEqual(escrow.free(payer, address(asset)) - before, 8 ether, "the payer's");
        checkEqual(breaches.refundedOf(leaseId()), 8 ether, "noted");
        checkEqual(claimed(held), 8 ether, "vouchers pay that much less");
        checkEqual(registry.stakeOf(provider), STAKED, "never a slash");
    }

    function test_a_breach_is_refunded_once() external {
        prove();
        refused(IBreachProver.NothingToRefund.selector);
        last.runningNs = 0;
        refused(IBreachProver.NothingToRefund.selector);
    }

    function test_a_promise_just_kept_refunds_nothing() external {
        last.runningNs++;
        refused(IBreachProver.PromiseKept.selector);
    }

    function test_a_lease_that_ended_before_it_had_to_be_open_breaks_nothing() external {
        (last.atNs, last.runningNs) = (OPEN_UNTIL * 1e9, 0);
        refused(IBreachProver.PromiseKept.selector);
        last.atNs = (OPEN_UNTIL - 50) * 1e9;
        refused(IBreachProver.PromiseKept.selector);
    }

    function test_a_lease_without_a_promise_refunds_nothing() external {
        terms.availabilityPpm = 0;
        refused(IBreachProver.NothingPromised.selector);
        (terms.availabilityPpm, terms.refundPpm) = (990_000, 0);
        refused(IBreachProver.NothingPromised.selector);
    }

    function test_only_the_last_receipt_judges() external {
        last.last = false;
        refused(IBreachProver.NotTheLast.selector);
    }

    function test_a_receipt_of_another_lease_refunds_nothing() external {
        last.leaseId = keccak256("another");
        IEvidence.SignedReceipt memory other = signReceipt(NODE_KEY, last);
        IEvidence.SignedLease memory lease = signLease(terms);
        vm.expectRevert(abi.encodeWithSelector(IEvidence.NotTheLease.selector, last.leaseId, leaseId()));
        breaches.proveBreach(held, lease, other);
    }

    function test_terms_that_one_side_did_not_sign_refund_nothing() external {
        submitterKey = STRANGER_KEY;
        refused(abi.encodeWithSelector(IEvidence.NotSignedBy.selector, stranger, signer));
        (submitterKey, nodeKey) = (SIGNER_KEY, STRANGER_KEY);
        refused(IEvidence.NotSignedBy.selector);
        (nodeKey, receiptKey) = (NODE_KEY, STRANGER_KEY);
        refused(IEvidence.NotAProvidersKey.selector);
        receiptKey = nodeKeyOf(0);
        refused(IEvidence.SignersDiffer.selector);
    }

    function test_a_broken_signature_is_nobodys() external {
        last.leaseId = leaseId();
        IEvidence.SignedReceipt memory shown = signReceipt(NODE_KEY, last);
        IEvidence.SignedLease memory lease = signLease(terms);
        lease.nodeSig = flip(lease.nodeSig);
        vm.expectPartialRevert(IEvidence.NotSignedBy.selector);
        breaches.proveBreach(held, lease, shown);
        terms.submitter = address(0);
        lease = signLease(terms);
        lease.submitterSig = "";
        vm.expectPartialRevert(IEvidence.NotSignedBy.selector);
        breaches.proveBreach(held, lease, shown);
    }

    function test_two_who_are_not_the_escrows_cannot_give_its_reserve_back() external {
        // Another submitter and the provider's node.
        (terms.submitter, submitterKey) = (stranger, STRANGER_KEY);
        differ(stranger, signer);
        // The submitter and another provider, about this escrow.
        (terms.submitter, submitterKey) = (signer, SIGNER_KEY);
        (terms.provider, terms.node) = (verifierAt(0), vm.addr(nodeKeyOf(0)));
        (nodeKey, receiptKey) = (nodeKeyOf(0), nodeKeyOf(0));
        differ(verifierAt(0), provider);
        // The same, calling themselves the provider.
        terms.provider = provider;
        differ(verifierAt(0), provider);
        // A node that has no provider.
        (terms.node, nodeKey) = (stranger, STRANGER_KEY);
        differ(address(0), provider);
    }

    function test_another_escrow_than_the_terms_name_refunds_nothing() external {
        held = openEscrow(2, RESERVE);
        bytes32 other = escrow.escrowId(held);
        refused(abi.encodeWithSelector(IBreachProver.NotTheEscrow.selector, other, terms.escrowId));
    }

    function test_a_key_that_came_after_the_terms_may_sign_the_last_receipt() external {
        rotateKey(OTHER_KEY);
        receiptKey = OTHER_KEY;
        checkEqual(prove(), 8 ether, "refunded");
    }

    function test_what_a_replaced_key_signs_afterwards_takes_nothing_back() external {
        // The key leaked and was replaced. Its thief and the submitter make up a lease that ended with nothing.
        rotateKey(OTHER_KEY);
        vm.warp(block.timestamp + 1 days);
        terms.leaseNumber = 7;
        (last.atNs, last.runningNs, last.cost) = (uint64(block.timestamp * NANOS), 0, type(uint128).max);
        refused(IEvidence.NotAProvidersKey.selector);
        checkEqual(claimed(held), 0, "the provider keeps what it earned");
    }

    function test_what_a_replaced_key_signed_before_counts_until_the_thaw_is_over() external {
        vm.warp(OPEN_UNTIL + PASSED + 1);
        rotateKey(OTHER_KEY);
        vm.warp(block.timestamp + STAKE_THAW);
        uint256 id = vm.snapshotState();
        checkEqual(prove(), 8 ether, "in time");
        checkTrue(vm.revertToState(id), "back");
        vm.warp(block.timestamp + 1);
        refused(IEvidence.NotAProvidersKey.selector);
    }

    function test_a_short_reserve_gives_what_it_has_and_the_rest_after_a_top_up() external {
        // The provider claims all but a little before the breach is proved.
        escrow.claimOne(held, RESERVE - 1, RECEIPTS, signVoucher(SIGNER_KEY, held, RESERVE - 1));
        checkEqual(prove(), 1, "all there is");
        refused(IBreachProver.NothingToRefund.selector);
        vm.prank(payer);
        escrow.open(held, 20 ether);
        checkEqual(prove(), 8 ether - 1, "the rest");
        refused(IBreachProver.NothingToRefund.selector);
        checkEqual(breaches.refundedOf(leaseId()), 8 ether, "never more than a fifth");
    }

    function test_a_refund_of_more_than_everything_is_everything() external {
        terms.refundPpm = type(uint32).max;
        checkEqual(prove(), COST, "the cost");
    }

    function test_numbers_at_their_largest_do_not_overflow() external {
        (terms.availabilityPpm, terms.openUntilNs) = (type(uint32).max, 0);
        (last.runningNs, last.cost) = (uint64(last.atNs / 5000), type(uint128).max);
        checkEqual(prove(), RESERVE, "all there is");
        (terms.openUntilNs, last.runningNs) = (type(uint64).max, type(uint64).max);
        refused(IBreachProver.PromiseKept.selector);
    }

    function test_refunds_are_rounded_down(uint128 cost, uint32 ppm) external {
        cost = uint128(within(cost, 1, 400 ether));
        ppm = uint32(within(ppm, 1, 1_000_000));
        (last.cost, terms.refundPpm) = (cost, ppm);
        uint256 due = uint256(cost) * ppm / 1_000_000;
        if (due == 0) return refused(IBreachProver.NothingToRefund.selector);
        checkEqual(prove(), due < RESERVE ? due : RESERVE, "due");
    }

    // ---- How

    function leaseId() private view returns (bytes32) {
        return leaseIdOf(terms);
    }

    function prove() private returns (uint256) {
        (IEvidence.SignedLease memory lease, IEvidence.SignedReceipt memory shown) = signed();
        return breaches.proveBreach(held, lease, shown);
    }

    function refused(bytes4 reason) private {
        (IEvidence.SignedLease memory lease, IEvidence.SignedReceipt memory shown) = signed();
        vm.expectPartialRevert(reason);
        breaches.proveBreach(held, lease, shown);
    }

    function refused(bytes memory reason) private {
        (IEvidence.SignedLease memory lease, IEvidence.SignedReceipt memory shown) = signed();
        vm.expectRevert(reason);
        breaches.proveBreach(held, lease, shown);
    }

    function differ(address a, address b) private {
        refused(abi.encodeWithSelector(IEvidence.SignersDiffer.selector, a, b));
    }

    function signed() private returns (IEvidence.SignedLease memory lease, IEvidence.SignedReceipt memory shown) {
        last.leaseId = leaseId();
        return (signLease(terms, submitterKey, nodeKey), signReceipt(receiptKey, last));
    }
}
