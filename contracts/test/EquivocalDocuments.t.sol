// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IEvidence} from "../src/interfaces/IEvidence.sol";
import {IFaultProver} from "../src/interfaces/IFaultProver.sol";
import {Accusing} from "./Accusing.sol";

/// @notice Two different offers, quotes or verdicts for one number.
contract EquivocalDocumentsTest is Accusing {
    IFaultProver.Numbered private x;
    IFaultProver.Numbered private y;

    function setUp() public override {
        super.setUp();
        (x, y) = (makeNumbered(3, "x"), makeNumbered(3, "y"));
    }

    function test_a_judge_without_one_of_its_contracts_cannot_be_deployed() external {
        for (uint256 i = 0; i < 3; i++) {
            bytes memory args = abi.encode(
                i == 0 ? address(0) : address(registry),
                i == 1 ? address(0) : address(capacity),
                i == 2 ? address(0) : address(escrow)
            );
            vm.expectRevert(IEvidence.ZeroAddress.selector);
            this.deployCode(creationCode("FaultProver", args));
            vm.expectRevert(IEvidence.ZeroAddress.selector);
            this.deployCode(creationCode("OverCapacity", args));
        }
        vm.expectRevert(IEvidence.ZeroAddress.selector);
        this.deployCode(creationCode("BreachProver", abi.encode(registry, address(0))));
    }

    function deployCode(bytes calldata code) external returns (address) {
        return deploy(code);
    }

    function test_two_offers_for_one_number_are_slashed() external {
        ready(prover, evidenceOfTwo(provider, offerDigest(x), offerDigest(y)));
        proveOffers(NODE_KEY, NODE_KEY);
        checkEqual(registry.stakeOf(provider), STAKED * 4 / 5, "slashed");
    }

    function test_two_quotes_for_one_number_are_slashed() external {
        ready(prover, evidenceOfTwo(provider, quoteDigest(x), quoteDigest(y)));
        proveQuotes();
        checkEqual(registry.stakeOf(provider), STAKED * 4 / 5, "slashed");
    }

    function test_an_offer_and_a_quote_of_one_number_prove_nothing() external {
        (bytes memory offer, bytes memory quote) = (signOffer(NODE_KEY, x), signQuote(NODE_KEY, y));
        vm.prank(reporter);
        vm.expectPartialRevert(IEvidence.NotAProvidersKey.selector);
        prover.proveOffers(x, offer, y, quote, SALT);
        vm.prank(reporter);
        vm.expectPartialRevert(IEvidence.NotAProvidersKey.selector);
        prover.proveQuotes(x, offer, y, quote, SALT);
    }

    function test_offers_of_two_nodes_or_numbers_prove_nothing() external {
        y.number = 4;
        refused(IFaultProver.NumbersDiffer.selector);
        y.number = 3;
        y.node = vm.addr(OTHER_KEY);
        refused(IFaultProver.NumbersDiffer.selector);
        // Both name the node of nobody.
        x.node = y.node;
        refused(abi.encodeWithSelector(IEvidence.SignersDiffer.selector, provider, address(0)));
        (x, y) = (makeNumbered(3, "x"), makeNumbered(3, "x"));
        refused(IFaultProver.SameDocument.selector);
    }

    function test_offers_of_two_providers_prove_nothing() external {
        (bytes memory xSig, bytes memory ySig) = (signOffer(NODE_KEY, x), signOffer(nodeKeyOf(0), y));
        vm.expectRevert(abi.encodeWithSelector(IEvidence.SignersDiffer.selector, provider, verifierAt(0)));
        prover.proveOffers(x, xSig, y, ySig, SALT);
    }

    function test_an_offer_counts_under_the_key_that_is_bound_when_it_expires() external {
        uint256 rotatedAt = block.timestamp + 1 hours;
        (x.expiresAtNs, y.expiresAtNs) = (uint64(rotatedAt * NANOS), uint64(rotatedAt * NANOS));
        bytes32 id = evidenceOfTwo(provider, offerDigest(x), offerDigest(y));
        vm.warp(rotatedAt);
        rotateKey(OTHER_KEY);
        ready(prover, id);
        proveOffers(NODE_KEY, NODE_KEY);
        checkEqual(registry.stakeOf(provider), STAKED * 4 / 5, "expired before the key was replaced");
        // What a thief of the old key writes now expires later.
        (x.expiresAtNs, y.expiresAtNs) = (uint64(block.timestamp * NANOS), uint64(block.timestamp * NANOS));
        refused(IEvidence.NotAProvidersKey.selector);
    }

    function test_an_offer_that_has_not_expired_was_signed_by_now() external {
        (x.expiresAtNs, y.expiresAtNs) = (type(uint64).max, type(uint64).max - 1);
        ready(prover, evidenceOfTwo(provider, offerDigest(x), offerDigest(y)));
        proveOffers(NODE_KEY, NODE_KEY);
        checkEqual(registry.stakeOf(provider), STAKED * 4 / 5, "slashed");
    }

    // ---- Verdicts

    function test_a_verifier_that_signs_two_verdicts_of_one_challenge_loses_of_its_pledge() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        (ICapacityRegistry.Verdict memory yes, ICapacityRegistry.Verdict memory no) =
            (makeVerdict(id, true), makeVerdict(id, false));
        ready(prover, evidenceOfTwo(panel[2], verdictDigest(yes), verdictDigest(no)));
        proveVerdicts(yes, keyOf(panel[2]), no, keyOf(panel[2]));
        checkEqual(pledgeOf(panel[2]), PLEDGE * 4 / 5, "slashed");
        checkEqual(openx.balanceOf(reporter), PLEDGE / 50, "reward");
    }

    function test_verdicts_of_two_challenges_or_two_verifiers_prove_nothing() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        ICapacityRegistry.Verdict memory yes = makeVerdict(id, true);
        ICapacityRegistry.Verdict memory no = makeVerdict(keccak256("another"), false);
        verdictsRefused(yes, keyOf(panel[0]), no, keyOf(panel[0]), IFaultProver.NumbersDiffer.selector);
        no.challengeId = id;
        verdictsRefused(yes, keyOf(panel[0]), no, keyOf(panel[1]), IEvidence.SignersDiffer.selector);
        verdictsRefused(yes, keyOf(panel[0]), yes, keyOf(panel[0]), IFaultProver.SameDocument.selector);
    }

    function test_verdicts_about_a_challenge_that_never_was_prove_nothing() external {
        bytes32 none = keccak256("no such challenge");
        verdictsRefused(
            makeVerdict(none, true),
            nodeKeyOf(0),
            makeVerdict(none, false),
            nodeKeyOf(0),
            IFaultProver.NotDrawn.selector
        );
        bytes32 undrawn = request();
        verdictsRefused(
            makeVerdict(undrawn, true),
            nodeKeyOf(0),
            makeVerdict(undrawn, false),
            nodeKeyOf(0),
            IFaultProver.NotDrawn.selector
        );
    }

    function test_verdicts_of_one_who_did_not_sit_on_the_panel_prove_nothing() external {
        (bytes32 id,) = requestAndDraw();
        // The challenged provider itself: a provider's key, and no seat.
        verdictsRefused(
            makeVerdict(id, true), NODE_KEY, makeVerdict(id, false), NODE_KEY, IFaultProver.NotOnPanel.selector
        );
    }

    function test_a_key_bound_between_draw_and_deadline_is_no_way_out() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        vm.warp(block.timestamp + 1);
        address verifier = panel[0];
        bytes memory proof = signNodeKey(OTHER_KEY, verifier, vm.addr(OTHER_KEY), registry.nonces(verifier), FAR);
        vm.prank(verifier);
        registry.rotateNodeKey(vm.addr(OTHER_KEY), FAR, proof);
        (ICapacityRegistry.Verdict memory yes, ICapacityRegistry.Verdict memory no) =
            (makeVerdict(id, true), makeVerdict(id, false));
        ready(prover, evidenceOfTwo(verifier, verdictDigest(yes), verdictDigest(no)));
        proveVerdicts(yes, OTHER_KEY, no, keyOf(verifier));
        checkEqual(pledgeOf(verifier), PLEDGE * 4 / 5, "slashed");
    }

    function test_a_key_bound_only_for_a_while_between_draw_and_deadline_is_no_way_out() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        address verifier = panel[0];
        for (uint256 i = 0; i < 2; i++) {
            vm.warp(block.timestamp + 1 minutes);
            uint256 key = i == 0 ? OTHER_KEY : keyOf(verifier);
            bytes memory proof = signNodeKey(key, verifier, vm.addr(key), registry.nonces(verifier), FAR);
            vm.prank(verifier);
            registry.rotateNodeKey(vm.addr(key), FAR, proof);
        }
        (ICapacityRegistry.Verdict memory yes, ICapacityRegistry.Verdict memory no) =
            (makeVerdict(id, true), makeVerdict(id, false));
        ready(prover, evidenceOfTwo(verifier, verdictDigest(yes), verdictDigest(no)));
        proveVerdicts(yes, OTHER_KEY, no, OTHER_KEY);
        checkEqual(pledgeOf(verifier), PLEDGE * 4 / 5, "slashed");
    }

    function test_a_key_bound_at_the_deadline_may_have_signed_the_verdict() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        vm.warp(block.timestamp + ANSWER_TIME);
        address verifier = panel[0];
        bytes memory proof = signNodeKey(OTHER_KEY, verifier, vm.addr(OTHER_KEY), registry.nonces(verifier), FAR);
        vm.prank(verifier);
        registry.rotateNodeKey(vm.addr(OTHER_KEY), FAR, proof);
        (ICapacityRegistry.Verdict memory yes, ICapacityRegistry.Verdict memory no) =
            (makeVerdict(id, true), makeVerdict(id, false));
        ready(prover, evidenceOfTwo(verifier, verdictDigest(yes), verdictDigest(no)));
        proveVerdicts(yes, OTHER_KEY, no, OTHER_KEY);
        checkEqual(pledgeOf(verifier), PLEDGE * 4 / 5, "slashed");
    }

    function test_a_key_bound_after_the_deadline_did_not_sign_the_verdict() external {
        (bytes32 id, address[] memory panel) = requestAndDraw();
        vm.warp(block.timestamp + ANSWER_TIME + 1);
        bytes memory proof = signNodeKey(OTHER_KEY, panel[0], vm.addr(OTHER_KEY), registry.nonces(panel[0]), FAR);
        vm.prank(panel[0]);
        registry.rotateNodeKey(vm.addr(OTHER_KEY), FAR, proof);
        verdictsRefused(
            makeVerdict(id, true), OTHER_KEY, makeVerdict(id, false), OTHER_KEY, IEvidence.NotAProvidersKey.selector
        );
    }

    // ---- How

    function proveOffers(uint256 xKey, uint256 yKey) private {
        (bytes memory xSig, bytes memory ySig) = (signOffer(xKey, x), signOffer(yKey, y));
        vm.prank(reporter);
        prover.proveOffers(x, xSig, y, ySig, SALT);
    }

    function proveQuotes() private {
        (bytes memory xSig, bytes memory ySig) = (signQuote(NODE_KEY, x), signQuote(NODE_KEY, y));
        vm.prank(reporter);
        prover.proveQuotes(x, xSig, y, ySig, SALT);
    }

    /// @dev Offers and quotes alike.
    function refused(bytes4 reason) private {
        (bytes memory xSig, bytes memory ySig) = (signOffer(NODE_KEY, x), signOffer(NODE_KEY, y));
        vm.expectPartialRevert(reason);
        prover.proveOffers(x, xSig, y, ySig, SALT);
        (xSig, ySig) = (signQuote(NODE_KEY, x), signQuote(NODE_KEY, y));
        vm.expectPartialRevert(reason);
        prover.proveQuotes(x, xSig, y, ySig, SALT);
    }

    function refused(bytes memory reason) private {
        (bytes memory xSig, bytes memory ySig) = (signOffer(NODE_KEY, x), signOffer(NODE_KEY, y));
        vm.expectRevert(reason);
        prover.proveOffers(x, xSig, y, ySig, SALT);
        (xSig, ySig) = (signQuote(NODE_KEY, x), signQuote(NODE_KEY, y));
        vm.expectRevert(reason);
        prover.proveQuotes(x, xSig, y, ySig, SALT);
    }

    function proveVerdicts(
        ICapacityRegistry.Verdict memory one,
        uint256 oneKey,
        ICapacityRegistry.Verdict memory two,
        uint256 twoKey
    ) private {
        (bytes memory oneSig, bytes memory twoSig) = (signVerdict(oneKey, one), signVerdict(twoKey, two));
        vm.prank(reporter);
        prover.proveVerdicts(one, oneSig, two, twoSig, SALT);
    }

    function verdictsRefused(
        ICapacityRegistry.Verdict memory one,
        uint256 oneKey,
        ICapacityRegistry.Verdict memory two,
        uint256 twoKey,
        bytes4 reason
    ) private {
        (bytes memory oneSig, bytes memory twoSig) = (signVerdict(oneKey, one), signVerdict(twoKey, two));
        vm.prank(reporter);
        vm.expectPartialRevert(reason);
        prover.proveVerdicts(one, oneSig, two, twoSig, SALT);
    }
}
