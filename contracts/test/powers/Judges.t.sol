// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IBreachProver} from "../../src/interfaces/IBreachProver.sol";
import {IEvidence} from "../../src/interfaces/IEvidence.sol";
import {IFaultProver} from "../../src/interfaces/IFaultProver.sol";
import {IAnswerReveals} from "../../src/interfaces/IAnswerReveals.sol";
import {IPaymentEscrow} from "../../src/interfaces/IPaymentEscrow.sol";
import {IProviderRegistry} from "../../src/interfaces/IProviderRegistry.sol";
import {Accusing} from "../Accusing.sol";
import {PlainAsset} from "../Assets.sol";
import {Judging} from "../Judging.sol";
import {Revealing} from "../Revealing.sol";
import {Scene} from "./Scene.sol";

/// @notice What a judge may never do, whatever documents are shown to it: here each of them has gone bad.
contract JudgesPowersTest is Scene {
    IProviderRegistry.Role private constant PROVIDER = IProviderRegistry.Role.Provider;
    IProviderRegistry.Role private constant VERIFIER = IProviderRegistry.Role.Verifier;

    function test_a_judge_may_never_take_more_of_a_compartment_than_its_ceiling_in_a_penalty_period() external {
        takesAtMost(address(prover), PROVIDER, jailed, 500_000);
        takesAtMost(address(prover), VERIFIER, judgeAt(0), 1_000_000);
        takesAtMost(address(overCapacity), PROVIDER, jailed, 500_000);
        takesAtMost(address(breaches), PROVIDER, jailed, 500_000);
        takesAtMost(REVEALS, PROVIDER, jailed, 500_000);
    }

    function test_a_judge_may_never_take_from_a_compartment_it_does_not_judge() external {
        address[3] memory judges = [address(overCapacity), address(breaches), REVEALS];
        for (uint256 i = 0; i < judges.length; i++) {
            bytes memory refused = abi.encodeWithSelector(IProviderRegistry.NotJudge.selector, judges[i], VERIFIER);
            IProviderRegistry.Penalty memory penalty = penaltyOf(VERIFIER, 0, 1_000_000);
            vm.expectRevert(refused);
            vm.prank(judges[i]);
            registry.slash(judgeAt(0), penalty);
            vm.expectRevert(refused);
            vm.prank(judges[i]);
            registry.compensate(judgeAt(0), VERIFIER, OUT, 1, 0);
        }
        // And what it takes of one lies in that one: the same account has both.
        stakeFor(judgeAt(0), 100 ether);
        vm.prank(address(prover));
        registry.slash(judgeAt(0), penaltyOf(PROVIDER, 0, 500_000));
        checkEqual(pledgeOf(judgeAt(0)), PLEDGE, "the pledge");
        vm.prank(address(prover));
        registry.slash(judgeAt(0), penaltyOf(VERIFIER, 0, 500_000));
        checkEqual(registry.stakeOf(judgeAt(0)), 50 ether, "the stake");
    }

    function test_a_judge_may_never_take_twice_for_one_episode() external {
        IProviderRegistry.Penalty memory penalty = penaltyOf(PROVIDER, 0, 200_000);
        uint256 lay = lies(jailed, PROVIDER);
        vm.prank(address(prover));
        registry.slash(jailed, penalty);
        checkEqual(lies(jailed, PROVIDER), lay * 8 / 10, "once");
        // Other documents of the same fault, dated up to a day after, shown at once or ever so late.
        penalty.datedAt += registry.EPISODE();
        penalty.faultId = keccak256("other documents");
        uint256[3] memory waits = [uint256(0), 1 days, STAKE_THAW];
        for (uint256 i = 0; i < waits.length; i++) {
            vm.warp(block.timestamp + waits[i]);
            vm.expectPartialRevert(IProviderRegistry.NothingToTake.selector);
            vm.prank(address(prover));
            registry.slash(jailed, penalty);
        }
        checkEqual(lies(jailed, PROVIDER), lay * 8 / 10, "and not again");
    }

    // ---- How

    /// @dev Every day of a period more is asked for, by parts and whole: for every kind of fault, and as a compensation.
    function takesAtMost(address judge, IProviderRegistry.Role role, address whose, uint32 mostPpm) private {
        uint256 unchanged = vm.snapshotState();
        uint256 lay = lies(whose, role);
        for (uint256 day = 0; day <= STAKE_THAW / 1 days; day++) {
            for (uint8 fault = 0; fault < 4; fault++) {
                vm.prank(judge);
                try registry.slash(whose, penaltyOf(role, fault, fault == 3 ? 1_000_000 : 300_000)) {} catch {}
            }
            vm.prank(judge);
            registry.compensate(whose, role, OUT, lay, 0);
            if (day < STAKE_THAW / 1 days) vm.warp(block.timestamp + 1 days);
        }
        checkEqual(lay - lies(whose, role), lay * mostPpm / 1_000_000, "the ceiling, and no unit more");
        vm.revertToState(unchanged);
    }

    function penaltyOf(IProviderRegistry.Role role, uint8 fault, uint32 ppm)
        private
        view
        returns (IProviderRegistry.Penalty memory penalty)
    {
        penalty = makePledgePenalty(ppm);
        (penalty.role, penalty.fault) = (role, fault);
    }

    function lies(address whose, IProviderRegistry.Role role) private view returns (uint256) {
        IProviderRegistry.Stake memory own = registry.stakeDetailsIn(whose, role);
        return uint256(own.staked) + own.thawing;
    }
}

/// @notice What the refunder may never do: by whatever way a breach is proved, the money goes to who paid.
contract RefunderPowersTest is Accusing {
    address private constant THIEF = address(0x741EF);

    IPaymentEscrow.Escrow private held;
    IEvidence.LeaseTerms private terms;
    IEvidence.Receipt private shown;

    function setUp() public override {
        super.setUp();
        escrow.addAsset(address(openx), false);
        giveOpenx(address(this), 100 ether);
        openx.approve(address(escrow), 100 ether);
        escrow.deposit(payer, address(openx), 100 ether);
        held = makeTermsIn(PlainAsset(address(openx)), bytes32(0), 1);
        vm.prank(payer);
        escrow.open(held, 100 ether);
        terms = makeLeaseTerms(0);
        (terms.escrowId, terms.asset) = (escrow.escrowId(held), address(openx));
        vm.warp(block.timestamp + 10 days);
        shown = makeReceipt(leaseIdOf(terms), 9);
        (shown.cost, shown.runningNs, shown.last) = (100 ether, 1, true);
    }

    /// @dev The caller is a stranger who has the documents. Of 20 that are due, 15 have been claimed already.
    function test_the_refunder_may_never_pay_anything_but_refunds_to_the_payer() external {
        escrow.claimOne(held, 95 ether, RECEIPTS, signVoucher(SIGNER_KEY, held, 95 ether));
        IEvidence.SignedLease memory lease = signLease(terms);
        IEvidence.SignedReceipt memory receipt = signReceipt(NODE_KEY, shown);
        uint256 here = openx.balanceOf(address(escrow));
        vm.prank(THIEF);
        checkEqual(breaches.proveBreach(held, lease, receipt), 5 ether, "what there is");
        checkEqual(escrow.free(payer, address(openx)), 5 ether, "is the payer's");
        checkEqual(openx.balanceOf(address(escrow)), here, "and is still there");
        vm.warp(block.timestamp + 2 days);
        vm.prank(THIEF);
        checkEqual(breaches.collect(shown.leaseId), 15 ether, "the rest");
        checkEqual(openx.balanceOf(payer), 15 ether, "is the payer's too");
        nobodyElseHasAny();
        vm.expectPartialRevert(IBreachProver.NothingToRefund.selector);
        breaches.collect(shown.leaseId);
    }

    /// @dev Also if it went bad: what the escrow lets it do is to free the payer's own.
    function test_a_refunder_that_went_bad_frees_a_reserve_for_its_payer_and_does_no_more() external {
        openEscrow(2, 50 ether);
        uint256 free = escrow.free(payer, address(asset));
        vm.prank(address(breaches));
        checkEqual(escrow.refund(held, type(uint128).max), 100 ether, "all of this one");
        checkEqual(escrow.free(payer, address(openx)), 100 ether, "the payer's");
        checkEqual(escrow.free(payer, address(asset)), free, "nothing of another");
        vm.expectPartialRevert(IPaymentEscrow.NotEnoughFree.selector);
        vm.prank(address(breaches));
        escrow.withdraw(address(openx), 1, THIEF);
        nobodyElseHasAny();
    }

    function nobodyElseHasAny() private view {
        address[4] memory others = [THIEF, address(breaches), signer, address(this)];
        for (uint256 i = 0; i < others.length; i++) {
            checkEqual(openx.balanceOf(others[i]) + escrow.free(others[i], address(openx)), 0, "nothing");
        }
    }
}

/// @notice What AnswerReveals may never do to a verdict, beside the real CapacityRegistry.
contract DoubtPowersTest is Judging {
    function setUp() public override {
        super.setUp();
        approveFees(provider);
        enlistVerifiers(5);
    }

    function test_answer_reveals_may_never_doubt_a_verdict_whose_answer_nobody_asked_for() external {
        bytes32 asked = challenge(true);
        challenge(true);
        vm.prank(REVEALS);
        checkTrue(!capacity.putInDoubt(asked), "of a verdict that stands no more");
        vm.prank(REVEALS);
        checkTrue(!capacity.putInDoubt(bytes32(0)), "of none");
        checkEqual(capacity.inDoubtUntil(provider), 0, "the later one is not in doubt");
        checkEqual(capacity.capacityOf(provider).gpus, 2, "and in force");
    }
}

/// @notice What AnswerReveals may never do. The leaf that is asked for is wrong here: all that keeps its provider from a loss is that it did
/// not show it.
contract AnswerRevealsPowersTest is Revealing {
    function setUp() public override {
        super.setUp();
        setLeaf(3, 200, 17, 1);
    }

    function test_answer_reveals_may_never_slash_for_silence() external {
        uint256 demandId = demand();
        vm.warp(block.timestamp + reveals.REVEAL_TIME() + 1);
        reveals.doubt(demandId);
        bytes4 wrong = IAnswerReveals.WrongStage.selector;
        vm.expectPartialRevert(wrong);
        reveals.proveRevealed(demandId, leaves, 0, proofs[0]);
        vm.expectPartialRevert(wrong);
        reveals.doubt(demandId);
        checkUnharmed();
        checkEqual(verdicts.doubts(CHALLENGE), 1, "a doubt is all");
    }

    function test_answer_reveals_may_never_slash_for_a_leaf_that_the_provider_did_not_show() external {
        // Asked for and not shown; shown by somebody else; another than was shown.
        uint256 demandId = demand();
        proofRefused(demandId, abi.encodeWithSelector(IAnswerReveals.WrongStage.selector, demandId, 1));
        revealRefused(asker, demandId, abi.encodeWithSelector(IAnswerReveals.NotTheProvider.selector, asker, provider));
        (IAnswerReveals.Leaf[] memory wrong, IFaultProver.ElementProof memory proof) = (leaves, proofs[0]);
        delete leaves;
        delete proofs;
        delete places;
        setLeaf(4, 100, 9, 0);
        uint256 other = demand();
        reveal(other);
        vm.expectPartialRevert(IAnswerReveals.LeavesDiffer.selector);
        reveals.proveRevealed(other, wrong, 0, proof);
        checkUnharmed();
    }

    function checkUnharmed() private view {
        checkEqual(registry.stakeOf(provider), STAKED, "no stake is lost");
        (uint64 faults,) = registry.faultsOf(provider);
        checkEqual(faults, 0, "nor a fault counted");
    }
}
