// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IBreachProver} from "../../src/interfaces/IBreachProver.sol";
import {IEvidence} from "../../src/interfaces/IEvidence.sol";
import {IFaultProver} from "../../src/interfaces/IFaultProver.sol";
import {IPaymentEscrow} from "../../src/interfaces/IPaymentEscrow.sol";
import {IProviderRegistry} from "../../src/interfaces/IProviderRegistry.sol";
import {ISplitRegistry} from "../../src/interfaces/ISplitRegistry.sol";
import {Accusing} from "../Accusing.sol";

/// @notice What whoever has a node key may never do with it: while it serves, and after it was replaced.
contract NodeKeysPowersTest is Accusing {
    address private constant THIEF = address(0x741EF);

    function test_a_node_key_may_never_move_stake_or_payout() external {
        bytes4 none = IProviderRegistry.NotEnoughStake.selector;
        bytes4 unknown = IProviderRegistry.NotRegistered.selector;
        bytes4 nothing = IProviderRegistry.NothingThaws.selector;
        vm.prank(provider);
        registry.startUnstake(1 ether);
        vm.warp(block.timestamp + STAKE_THAW);
        refused(address(registry), abi.encodeCall(registry.startUnstake, (1)), none);
        refused(
            address(registry), abi.encodeCall(registry.startUnstakeFrom, (IProviderRegistry.Role.Provider, 1)), none
        );
        refused(address(registry), abi.encodeCall(registry.withdrawStake, ()), nothing);
        refused(
            address(registry), abi.encodeCall(registry.withdrawStakeFrom, (IProviderRegistry.Role.Provider)), nothing
        );
        bytes memory proof = signNodeKey(OTHER_KEY, provider, vm.addr(OTHER_KEY), registry.nonces(provider), FAR);
        refused(address(registry), abi.encodeCall(registry.rotateNodeKey, (vm.addr(OTHER_KEY), FAR, proof)), unknown);
        refused(address(registry), abi.encodeCall(registry.deactivate, ()), unknown);
        refused(address(registry), abi.encodeCall(registry.setProfile, ("lies")), unknown);
        proof = signNodeKey(NODE_KEY, node, node, registry.nonces(node), FAR);
        bytes memory register = abi.encodeCall(registry.register, (node, THIEF, FAR, proof));
        refused(address(registry), register, IProviderRegistry.NodeKeyTaken.selector);
        // A payout that it names is its own, and nobody's.
        vm.prank(node);
        registry.setPayout(THIEF);
        checkEqual(registry.payoutOf(provider), provider, "payout");

        IPaymentEscrow.Escrow memory terms = openEscrow(1, 10 ether);
        escrow.claimOne(terms, 4 ether, RECEIPTS, signVoucher(SIGNER_KEY, terms, 4 ether));
        checkEqual(asset.balanceOf(provider), 4 ether, "and what is earned goes where it went");
        checkEqual(registry.stakeOf(provider), STAKED - 1 ether, "stake");
        checkEqual(registry.stakeDetails(provider).thawing, 1 ether, "what has thawed waits for its owner");
    }

    /// @dev Every day for two weeks everything twice: each is a new fault, until the ceiling is met.
    function test_a_node_key_may_never_cost_more_of_the_stake_than_the_judges_ceilings_whatever_it_signs() external {
        uint256 end = block.timestamp + STAKE_THAW;
        uint64 number = 1;
        while (block.timestamp + 2 hours < end) {
            for (uint256 i = 0; i < 3; i++) {
                signTwice(number++, i);
            }
            if (block.timestamp + 1 days < end) vm.warp(block.timestamp + 1 days);
        }
        checkEqual(registry.stakeOf(provider), STAKED / 2, "half of it, and no unit more");
        checkTrue(registry.roomOf(address(prover), provider, IProviderRegistry.Role.Provider) == 0, "no room");
        (uint64 faults,) = registry.faultsOf(provider);
        checkTrue(faults >= 4, "by several faults");
    }

    /// @dev The thief is payer and signer, and signs what he likes as the provider: by an escrow with a split, and by one without.
    function test_a_node_key_may_never_pay_anybody_more_out_of_stake_than_that_one_paid_the_provider() external {
        (IPaymentEscrow.Escrow memory held, IEvidence.LeaseTerms memory terms) = makeUp(splitForThief());
        showRefused(held, terms);
        (held, terms) = makeUp(bytes32(0));
        uint256 got = openx.balanceOf(provider);
        showLast(held, terms);
        vm.warp(block.timestamp + STAKE_THAW);
        bytes32 leaseId = leaseIdOf(terms);
        uint256 paid = breaches.collect(leaseId);
        checkTrue(paid <= got && paid != 0, "no more than it got");
        checkEqual(openx.balanceOf(payer), paid, "and he has no other");
        vm.expectPartialRevert(IBreachProver.NothingToRefund.selector);
        breaches.collect(leaseId);
    }

    function test_a_node_key_may_never_have_stake_paid_out_sooner_than_its_thaw() external {
        (IPaymentEscrow.Escrow memory held, IEvidence.LeaseTerms memory terms) = makeUp(bytes32(0));
        showLast(held, terms);
        bytes32 leaseId = leaseIdOf(terms);
        vm.warp(block.timestamp + STAKE_THAW - 1);
        vm.expectPartialRevert(IBreachProver.NotPayableYet.selector);
        breaches.collect(leaseId);
        // And it does not count meanwhile, so that it is a loss of the day that it was said.
        checkEqual(registry.stakeOf(provider), STAKED - 950 ether, "stake");
    }

    function test_a_node_key_may_never_have_more_announced_as_lost_by_all_leases_of_an_escrow_than_that_escrow_paid()
        external
    {
        (IPaymentEscrow.Escrow memory held, IEvidence.LeaseTerms memory terms) = makeUp(bytes32(0));
        uint256 got = openx.balanceOf(provider);
        showLast(held, terms);
        for (uint64 number = 1; number < 6; number++) {
            terms.leaseNumber = number;
            showRefused(held, terms);
        }
        (uint256 announced,) = registry.announcedIn(provider, IProviderRegistry.Role.Provider);
        checkTrue(announced <= got && announced != 0, "no more than it got");
        checkTrue(registry.roomOf(address(breaches), provider, IProviderRegistry.Role.Provider) != 0, "room for others");
    }

    function test_a_node_key_that_was_replaced_may_never_prove_anything_that_is_dated_later() external {
        rotateKey(OTHER_KEY);
        vm.warp(block.timestamp + 1);
        provesNothing(block.timestamp);
    }

    function test_a_node_key_that_was_replaced_may_never_prove_anything_at_all_after_that_thaw() external {
        uint256 before = block.timestamp;
        vm.warp(block.timestamp + 1 hours);
        rotateKey(OTHER_KEY);
        uint256 count = vm.snapshotState();
        vm.warp(block.timestamp + STAKE_THAW - 1 hours);
        proveReceipts(1, before, 0);
        checkTrue(registry.stakeOf(provider) < STAKED, "until then it does");
        vm.revertToState(count);
        vm.warp(block.timestamp + STAKE_THAW + 1);
        provesNothing(before);
    }

    // ---- How

    function splitForThief() private returns (bytes32) {
        ISplitRegistry.Share[] memory shares = new ISplitRegistry.Share[](1);
        shares[0] = ISplitRegistry.Share(THIEF, 1_000_000);
        return splits.create(shares);
    }

    /// @dev 1,000 that went through an escrow, and a lease for as much that ran for nothing and gives everything back.
    function makeUp(bytes32 split)
        private
        returns (IPaymentEscrow.Escrow memory held, IEvidence.LeaseTerms memory terms)
    {
        if (!escrow.assetOf(address(openx)).isAccepted) {
            escrow.addAsset(address(openx), false);
            escrow.setFee(address(openx), escrow.MAX_FEE_PPM());
            uint256 own = openx.balanceOf(provider);
            vm.prank(provider);
            openx.transfer(treasury, own);
        }
        giveOpenx(address(this), 1_000 ether);
        openx.approve(address(escrow), 1_000 ether);
        escrow.deposit(payer, address(openx), 1_000 ether);
        held = makeTerms(7);
        (held.asset, held.split) = (address(openx), split);
        vm.prank(payer);
        escrow.open(held, 1_000 ether);
        escrow.claimOne(held, 1_000 ether, RECEIPTS, signVoucher(SIGNER_KEY, held, 1_000 ether));
        terms = makeLeaseTerms(uint64(uint256(split)));
        (terms.escrowId, terms.asset, terms.refundPpm) = (escrow.escrowId(held), address(openx), 1_000_000);
        vm.warp(block.timestamp + 1 hours);
    }

    function makeLast(IEvidence.LeaseTerms memory terms) private view returns (IEvidence.SignedReceipt memory) {
        IEvidence.Receipt memory last = makeReceipt(leaseIdOf(terms), 1);
        (last.cost, last.runningNs, last.last) = (type(uint128).max, 0, true);
        return signReceipt(NODE_KEY, last);
    }

    function showLast(IPaymentEscrow.Escrow memory held, IEvidence.LeaseTerms memory terms) private {
        breaches.proveBreach(held, signLease(terms), makeLast(terms));
    }

    function showRefused(IPaymentEscrow.Escrow memory held, IEvidence.LeaseTerms memory terms) private {
        IEvidence.SignedLease memory lease = signLease(terms);
        IEvidence.SignedReceipt memory last = makeLast(terms);
        vm.expectPartialRevert(IBreachProver.NothingToRefund.selector);
        breaches.proveBreach(held, lease, last);
    }

    function refused(address to, bytes memory data, bytes4 reason) private {
        vm.prank(node);
        (bool done, bytes memory answer) = to.call(data);
        checkTrue(!done, "refused");
        checkEqual(bytes32(bytes4(answer)), bytes32(reason), "for this reason");
    }

    /// @dev Two receipts, two offers or two quotes of one number, dated now.
    function signTwice(uint64 number, uint256 kind) private {
        if (kind == 0) return proveReceipts(number, block.timestamp, IProviderRegistry.NothingToTake.selector);
        proveNumbered(number, kind == 1, block.timestamp, IProviderRegistry.NothingToTake.selector);
    }

    function provesNothing(uint256 datedAt) private {
        bytes4 reason = IEvidence.NotAProvidersKey.selector;
        proveReceipts(1, datedAt, reason);
        checkEqual(registry.stakeOf(provider), STAKED, "receipts");
        proveNumbered(2, true, datedAt, reason);
        proveNumbered(3, false, datedAt, reason);
        checkEqual(registry.stakeOf(provider), STAKED, "offers and quotes");
        (uint64 faults,) = registry.faultsOf(provider);
        checkEqual(faults, 0, "no fault");
        IEvidence.Receipt memory last = makeReceipt(keccak256("lease"), 1);
        (last.atNs, last.last) = (uint64(datedAt * NANOS), true);
        IEvidence.SignedReceipt memory shown = signReceipt(NODE_KEY, last);
        vm.expectPartialRevert(reason);
        breaches.showReceipt(shown);
    }

    /// @dev It may be refused for this reason; zero: it must not.
    function proveReceipts(uint64 number, uint256 datedAt, bytes4 mayBe) private {
        IEvidence.SignedLease memory lease = signLease(makeLeaseTerms(number));
        IEvidence.Receipt memory a = makeReceipt(leaseIdOf(lease.terms), number);
        a.atNs = uint64(datedAt * NANOS);
        IEvidence.Receipt memory b = abi.decode(abi.encode(a), (IEvidence.Receipt));
        b.cost++;
        ready(prover, evidenceOfTwo(provider, receiptDigest(a), receiptDigest(b)));
        IEvidence.SignedReceipt memory one = signReceipt(NODE_KEY, a);
        IEvidence.SignedReceipt memory two = signReceipt(NODE_KEY, b);
        vm.prank(reporter);
        try prover.proveReceipts(lease, one, two, SALT) {}
        catch (bytes memory reason) {
            checkEqual(bytes32(bytes4(reason)), bytes32(mayBe), "receipts");
        }
    }

    function proveNumbered(uint64 number, bool offers, uint256 datedAt, bytes4 mayBe) private {
        IFaultProver.Numbered memory a = makeNumbered(number, "a");
        a.expiresAtNs = uint64(datedAt * NANOS);
        IFaultProver.Numbered memory b = abi.decode(abi.encode(a), (IFaultProver.Numbered));
        b.bodyHash = "b";
        if (offers) {
            ready(prover, evidenceOfTwo(provider, offerDigest(a), offerDigest(b)));
            (bytes memory one, bytes memory two) = (signOffer(NODE_KEY, a), signOffer(NODE_KEY, b));
            vm.prank(reporter);
            try prover.proveOffers(a, one, b, two, SALT) {}
            catch (bytes memory reason) {
                checkEqual(bytes32(bytes4(reason)), bytes32(mayBe), "offers");
            }
        } else {
            ready(prover, evidenceOfTwo(provider, quoteDigest(a), quoteDigest(b)));
            (bytes memory one, bytes memory two) = (signQuote(NODE_KEY, a), signQuote(NODE_KEY, b));
            vm.prank(reporter);
            try prover.proveQuotes(a, one, b, two, SALT) {}
            catch (bytes memory reason) {
                checkEqual(bytes32(bytes4(reason)), bytes32(mayBe), "quotes");
            }
        }
    }
}
