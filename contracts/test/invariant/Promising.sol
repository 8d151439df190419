// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IBreachProver} from "../../src/interfaces/IBreachProver.sol";
import {IEvidence} from "../../src/interfaces/IEvidence.sol";
import {IPaymentEscrow} from "../../src/interfaces/IPaymentEscrow.sol";
import {IProviderRegistry} from "../../src/interfaces/IProviderRegistry.sol";
import {PlainAsset} from "../Assets.sol";
import {Dealing} from "./Dealing.sol";

/// @notice The market with leases that promise availability: submitters who claim silences whenever they may, providers that are well and
/// answer each claim, others that answer late, wrongly or never, or say that a promise was broken, and whoever settles and collects.
contract Promising is Dealing {
    uint256 private constant NANOS = 1e9;
    uint256 private constant MILLION = 1_000_000;

    /// @param newest the last receipt that its provider signed
    /// @param isWell its provider runs what it promised and answers in time
    struct Promise {
        IPaymentEscrow.Escrow held;
        IEvidence.LeaseTerms terms;
        IEvidence.Receipt newest;
        bool isWell;
    }

    Promise[] private _promises;
    mapping(bytes32 escrowId => uint256) private _compensated;
    mapping(bytes32 leaseId => uint256) private _givenBack;
    mapping(bytes32 leaseId => uint256) private _notedAt;
    uint256 public claims;
    uint256 public answers;
    uint256 public settlements;
    uint256 public compensations;
    bool public settledInTimeForAnAnswer;
    bool public settledWhatWasAnswered;
    bool public compensatedOutOfCollateral;
    bool public compensatedSomebodyElse;
    bool public compensatedBeforeTheThaw;
    bool public compensatedWhatHadLapsed;

    // ---- Leases

    /// @dev Half of them under escrows in OPENX, where stake answers too. Some are paid at once, so that the reserve lacks it.
    function actPromise(uint256 which, uint256 cost, uint256 promised, uint256 days_, bool isWell) external {
        IPaymentEscrow.Escrow memory held = which % 2 == 0 ? openxEscrow(which >> 8) : known(which >> 8);
        Promise storage made = _promises.push();
        (made.held, made.isWell) = (held, isWell);
        made.terms.leaseNumber = uint64(++_nextLease);
        (made.terms.submitter, made.terms.provider) = (held.signer, held.provider);
        (made.terms.node, made.terms.asset) = (registry.nodeKeyOf(held.provider), held.asset);
        made.terms.escrowId = escrow.escrowId(held);
        (made.terms.intervalNs, made.terms.exposureIntervals) = (uint64(60 * NANOS), 2);
        made.terms.durationLimitNs = uint64(within(days_, 1, 10) * 1 days * NANOS);
        made.terms.openUntilNs = uint64(block.timestamp * NANOS);
        made.terms.availabilityPpm = uint32(within(promised, 990_000, MILLION));
        made.terms.refundPpm = uint32(within(promised >> 32, 1, MILLION));
        made.newest.leaseId = leaseIdOf(made.terms);
        vm.warp(block.timestamp + 4 hours);
        sign(made, within(cost, 1, 200 ether), false);
        if (cost % 3 != 0) vouch(held, made.newest.cost, true);
    }

    /// @dev Of the first lease that is not over. A well provider answers each claim some time later, in the last second at the latest, and
    /// then nothing can be settled.
    function actSilence(uint256 which, uint256 wait, uint256 later) external {
        (bool found, uint256 number) = find(which, false);
        if (!found) return;
        Promise storage made = _promises[number];
        // Who is served has a newer receipt than one of days ago.
        bool isOld = block.timestamp * NANOS > made.newest.atNs + 2 days * NANOS;
        if (!made.newest.last && (made.isWell || isOld)) sign(made, 1 ether, made.isWell && isEnding(made));
        vm.warp(block.timestamp + within(wait, 30 minutes, 6 hours));
        IEvidence.SignedLease memory lease = signLease(made);
        IEvidence.SignedReceipt memory shown = signNewest(made);
        try breaches.claimSilence(made.held, lease, shown) {
            claims++;
        } catch (bytes memory reason) {
            checkTrue(isLawful(bytes4(reason)), "a claim is refused for a reason");
            return;
        }
        if (!made.isWell) return;
        vm.warp(block.timestamp + within(later, 0, breaches.ANSWER_TIME()));
        sign(made, 1 ether, isEnding(made));
        breaches.showReceipt(signNewest(made));
        answers++;
        vm.warp(block.timestamp + breaches.ANSWER_TIME() + 1);
        try breaches.settleSilence(made.held, made.newest.leaseId) {
            settledWhatWasAnswered = true;
        } catch {}
    }

    /// @dev By a provider that answers as it likes: what is newer, of about the time of the claim and in time counts, and nothing else.
    function actAnswer(uint256 which, uint256 cost, bool last) external {
        (bool found, uint256 number) = find(which, which % 2 == 0);
        if (!found) return;
        Promise storage made = _promises[number];
        (,, bool isOver,) = breaches.shownOf(made.newest.leaseId, made.terms.provider);
        if (made.isWell || made.newest.last || isOver) return;
        IBreachProver.Silence memory claimed_ = breaches.silenceOf(made.newest.leaseId);
        sign(made, within(cost, 0, 50 ether), last);
        bool counts = claimed_.provider != address(0) && block.timestamp <= claimed_.answerUntil
            && (last || made.newest.atNs >= claimed_.lateNs);
        IEvidence.SignedReceipt memory shown = signNewest(made);
        // Whoever did not answer in time has nothing to say until the claim is settled.
        bool isLate = claimed_.provider != address(0) && !counts;
        if (isLate || (!counts && !last)) vm.expectPartialRevert(IBreachProver.NotAnAnswer.selector);
        breaches.showReceipt(shown);
        bool isClaimed = breaches.silenceOf(made.newest.leaseId).provider != address(0);
        checkTrue(isClaimed == (claimed_.provider != address(0) && !counts), "what counts ends a claim");
        if (counts) answers++;
    }

    function actSettle(uint256 which, bool waits) external {
        (bool found, uint256 number) = find(which, true);
        if (!found) return;
        Promise storage made = _promises[number];
        bytes32 leaseId = made.newest.leaseId;
        IBreachProver.Silence memory claimed_ = breaches.silenceOf(leaseId);
        if (waits && block.timestamp <= claimed_.answerUntil) vm.warp(claimed_.answerUntil + 1);
        uint256 payableBefore = beforeNoting(made, which);
        try breaches.settleSilence(made.held, leaseId) returns (uint128 refunded) {
            settlements++;
            if (block.timestamp <= claimed_.answerUntil) settledInTimeForAnAnswer = true;
            noteRefund(made, refunded, payableBefore);
        } catch (bytes memory reason) {
            checkTrue(isLawful(bytes4(reason)), "a settlement is refused for a reason");
        }
    }

    /// @dev Some provider signs the end of its lease; somebody shows it, again and again. One in two is of the last four.
    function actLast(uint256 which) external {
        uint256 count = _promises.length;
        if (count == 0) return;
        which = which % 2 == 0 && count > 4 ? count - 1 - (which >> 8) % 4 : which % count;
        Promise storage made = _promises[which];
        // What is well has kept its promise: there it is tried all the same.
        if (!made.newest.last && !made.isWell) sign(made, 1 ether, true);
        IEvidence.SignedLease memory lease = signLease(made);
        IEvidence.SignedReceipt memory shown = signNewest(made);
        uint256 payableBefore = beforeNoting(made, which >> 16);
        try breaches.proveBreach(made.held, lease, shown) returns (uint128 refunded) {
            noteRefund(made, refunded, payableBefore);
        } catch (bytes memory reason) {
            checkTrue(isLawful(bytes4(reason)), "a breach is refused for a reason");
        }
    }

    /// @dev The first that stake still owes for, if there is one.
    function actCompensate(uint256 which, bool waits) external {
        for (uint256 i = 0; i < _promises.length; i++) {
            Promise storage made = _promises[(which % _promises.length + i) % _promises.length];
            IBreachProver.Shortfall memory short = breaches.shortfallOf(made.newest.leaseId);
            if (short.amount == 0 || block.timestamp >= short.payableUntil) continue;
            return collect(made, short, waits);
        }
    }

    /// @dev A provider that owes takes out all that nothing holds, and leaves the collateral of what it has sold.
    function actTakeOut(uint256 whose, uint256 which) external {
        address leaving = providerAt(whose);
        mintFor(leaving, payerAt(whose), creditAt(which), 100 ether);
        uint256 held = registry.heldStakeOf(leaving);
        uint256 staked = registry.stakeOf(leaving);
        if (staked <= held) return;
        vm.prank(leaving);
        registry.startUnstake(staked - held);
        vm.warp(registry.stakeDetails(leaving).thawEnd);
        vm.prank(leaving);
        registry.withdrawStake();
        if (registry.stakeOf(leaving) < held) heldStakeLeft = true;
    }

    // ---- What the invariants ask

    /// @notice Out of stake comes no more than the provider got by vouchers of the escrow, whatever fee and split took.
    function compensationsAreWithinWhatTheProviderGot() external view returns (bool) {
        for (uint256 i = 0; i < _promises.length; i++) {
            IPaymentEscrow.Escrow storage held = _promises[i].held;
            bytes32 id = _promises[i].terms.escrowId;
            (, uint128 taken) = escrow.funds(id);
            uint256 got = held.split == bytes32(0) ? (taken - _refunded[id]) * 95 / 100 : 0;
            if (_compensated[id] > got) return false;
        }
        return true;
    }

    function refundsAreWithinWhatWasPromised() external view returns (bool) {
        for (uint256 i = 0; i < _promises.length; i++) {
            uint256 most = uint256(_promises[i].newest.cost) * _promises[i].terms.refundPpm / MILLION;
            if (_givenBack[_promises[i].newest.leaseId] > most) return false;
        }
        return true;
    }

    function whoAnswersLosesNothing() external view returns (bool) {
        for (uint256 i = 0; i < _promises.length; i++) {
            bytes32 leaseId = _promises[i].newest.leaseId;
            if (!_promises[i].isWell) continue;
            if (_givenBack[leaseId] + breaches.shortfallOf(leaseId).amount != 0) return false;
        }
        return true;
    }

    // ---- How

    /// @dev One of five, so that several leases share each.
    function openxEscrow(uint256 which) private returns (IPaymentEscrow.Escrow memory terms) {
        terms = choose(which % 2 + ((which / 2) % 2 << 16));
        terms.asset = address(openx);
        if (which % 8 == 7) terms.split = split;
        bytes32 id = escrow.escrowId(terms);
        if (deposited(terms) != claimed(terms) || escrow.thawEnd(id) != 0) return terms;
        give(terms.payer, PlainAsset(address(openx)), 300 ether);
        uint256 free = escrow.free(terms.payer, address(openx));
        vm.prank(terms.payer);
        escrow.open(terms, uint128(free));
        remember(id, terms);
    }

    /// @dev The first from there on whose silence is claimed, or the first that may be.
    function find(uint256 which, bool isClaimed) private view returns (bool found, uint256 number) {
        for (uint256 i = 0; i < _promises.length && !found; i++) {
            number = (which % _promises.length + i) % _promises.length;
            Promise storage made = _promises[number];
            (,, bool isOver,) = breaches.shownOf(made.newest.leaseId, made.terms.provider);
            bool isOpen = breaches.silenceOf(made.newest.leaseId).provider != address(0);
            found = isClaimed ? isOpen : !isOpen && !isOver && !made.newest.last;
        }
    }

    /// @dev The next receipt of a lease: what is well ran all the time, anything else four fifths of it.
    function sign(Promise storage made, uint256 more, bool last) private {
        IEvidence.Receipt storage next = made.newest;
        next.number++;
        next.atNs = uint64(block.timestamp * NANOS);
        next.runningNs = next.atNs - made.terms.openUntilNs;
        if (!made.isWell) next.runningNs = next.runningNs / 5 * 4;
        next.cost += uint128(more);
        next.last = last;
    }

    /// @dev After its time limit a lease has a last receipt.
    function isEnding(Promise storage made) private view returns (bool) {
        return block.timestamp * NANOS > uint256(made.terms.openUntilNs) + made.terms.durationLimitNs;
    }

    function signLease(Promise storage made) private view returns (IEvidence.SignedLease memory) {
        (uint256 submitter, uint256 node_) = keysOf(made);
        bytes32 id = made.newest.leaseId;
        return IEvidence.SignedLease(made.terms, signAs(submitter, id), signAs(node_, id));
    }

    function signNewest(Promise storage made) private view returns (IEvidence.SignedReceipt memory) {
        (, uint256 node_) = keysOf(made);
        return signReceipt(node_, made.newest);
    }

    function keysOf(Promise storage made) private view returns (uint256 submitter, uint256 node_) {
        submitter = signerKeyAt(made.terms.submitter == signerAt(0) ? 0 : 1);
        node_ = nodeKeyAt(made.terms.provider == providerAt(0) ? 0 : 1);
    }

    /// @dev Most of the time its provider has something that can be announced as lost.
    /// @return payableAt of what was noted before
    function beforeNoting(Promise storage made, uint256 which) private returns (uint256 payableAt) {
        if (which % 4 != 0) stakeFor(made.held.provider, 300 ether);
        return breaches.shortfallOf(made.newest.leaseId).payableAt;
    }

    function noteRefund(Promise storage made, uint128 refunded, uint256 payableBefore) private {
        bool isNoted = breaches.shortfallOf(made.newest.leaseId).payableAt != payableBefore;
        if (isNoted) _notedAt[made.newest.leaseId] = block.timestamp;
        _refunded[made.terms.escrowId] += refunded;
        _givenBack[made.newest.leaseId] += refunded;
        note(made.terms.escrowId, made.held);
    }

    function collect(Promise storage made, IBreachProver.Shortfall memory short, bool waits) private {
        if (waits && block.timestamp < short.payableAt) vm.warp(short.payableAt);
        uint256 notedAt = _notedAt[made.newest.leaseId];
        uint256 before = openx.balanceOf(made.held.payer);
        try breaches.collect(made.newest.leaseId) returns (uint256 paid) {
            compensations++;
            if (block.timestamp < notedAt + STAKE_THAW) compensatedBeforeTheThaw = true;
            if (block.timestamp >= notedAt + STAKE_THAW + registry.COLLECT_TIME()) compensatedWhatHadLapsed = true;
            _compensated[short.escrowId] += paid;
            _givenBack[made.newest.leaseId] += paid;
            if (openx.balanceOf(made.held.payer) - before != paid) compensatedSomebodyElse = true;
            IProviderRegistry.Stake memory own = registry.stakeDetails(made.held.provider);
            uint256 held = registry.heldStakeOf(made.held.provider);
            if (uint256(own.staked) + own.thawing < held) compensatedOutOfCollateral = true;
        } catch (bytes memory reason) {
            checkTrue(isLawful(bytes4(reason)), "a compensation is refused for a reason");
        }
    }

    /// @dev Why what was tried here may be refused. None of them is a number that overflows.
    function isLawful(bytes4 reason) private pure returns (bool) {
        bytes4[10] memory lawful = [
            IBreachProver.PromiseKept.selector,
            IBreachProver.NotTheLast.selector,
            IBreachProver.NothingToRefund.selector,
            IBreachProver.LeaseIsOver.selector,
            IBreachProver.NotTheNewest.selector,
            IBreachProver.NotSilentYet.selector,
            IBreachProver.SilenceTooOld.selector,
            IBreachProver.SilenceClaimedAlready.selector,
            IBreachProver.AnswerStillDue.selector,
            IBreachProver.NotPayableYet.selector
        ];
        for (uint256 i = 0; i < lawful.length; i++) {
            if (reason == lawful[i]) return true;
        }
        return false;
    }
}
