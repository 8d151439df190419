// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {Market} from "./Market.sol";

/// @notice A wallet that accepts what its owner's key signed.
contract Wallet is IERC1271 {
    address private immutable _owner;

    constructor(address owner) {
        _owner = owner;
    }

    function isValidSignature(bytes32 digest, bytes calldata sig) external view returns (bytes4) {
        (bytes32 r, bytes32 s) = abi.decode(sig[:64], (bytes32, bytes32));
        return ecrecover(digest, uint8(sig[64]), r, s) == _owner ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

contract OpeningTest is Market {
    uint256 private constant OPENER_CAP = 100 ether;

    // ---- By the payer

    function test_opening_moves_free_money_into_the_reserve() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 400 ether);
        checkEqual(deposited(terms), 400 ether, "deposited");
        checkEqual(escrow.free(payer, address(asset)), 600 ether, "free");
        checkEqual(escrow.liabilities(address(asset)), 1_000 ether, "liabilities stay");
    }

    function test_opening_tells_all_terms_and_topping_up_the_sum() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(7);
        bytes32 id = escrow.escrowId(terms);
        vm.expectEmit();
        emit IPaymentEscrow.EscrowOpened(id, payer, provider, signer, address(asset), bytes32(0), MIN_THAW, 7, 40 ether);
        vm.prank(payer);
        escrow.open(terms, 40 ether);
        vm.expectEmit();
        emit IPaymentEscrow.EscrowToppedUp(id, 50 ether);
        vm.prank(payer);
        escrow.open(terms, 10 ether);
        checkEqual(deposited(terms), 50 ether, "deposited");
    }

    function test_only_the_payer_opens_without_a_signature() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        address[3] memory others = [signer, provider, stranger];
        for (uint256 i = 0; i < others.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotPayer.selector, others[i], payer));
            vm.prank(others[i]);
            escrow.open(terms, 1);
        }
    }

    function test_nobody_reserves_more_than_is_free() external {
        vm.expectRevert(
            abi.encodeWithSelector(
                IPaymentEscrow.NotEnoughFree.selector, payer, address(asset), 1_001 ether, 1_000 ether
            )
        );
        openExpectingRevert(makeTerms(0), 1_001 ether);
    }

    function test_terms_out_of_bounds_are_refused() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        terms.thaw = MIN_THAW - 1;
        vm.expectRevert(
            abi.encodeWithSelector(IPaymentEscrow.ThawOutOfBounds.selector, MIN_THAW - 1, MIN_THAW, 30 days)
        );
        openExpectingRevert(terms, 1);
        terms.thaw = 30 days + 1;
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.ThawOutOfBounds.selector, 30 days + 1, MIN_THAW, 30 days));
        openExpectingRevert(terms, 1);
        terms.thaw = 30 days;
        vm.prank(payer);
        escrow.open(terms, 1);
        checkEqual(deposited(terms), 1, "the longest thaw");

        terms = makeTerms(0);
        terms.split = bytes32(uint256(1));
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.SplitNotRegistered.selector, terms.split));
        openExpectingRevert(terms, 1);

        terms = makeTerms(0);
        terms.signer = address(0);
        vm.expectRevert(IPaymentEscrow.ZeroAddress.selector);
        openExpectingRevert(terms, 1);

        terms = makeTerms(0);
        terms.provider = address(0);
        vm.expectRevert(IPaymentEscrow.ZeroAddress.selector);
        openExpectingRevert(terms, 1);

        vm.expectRevert(IPaymentEscrow.ZeroAmount.selector);
        openExpectingRevert(makeTerms(0), 0);
    }

    // ---- By signature

    function test_anyone_submits_what_the_payer_signed() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        submit(PAYER_KEY, payer, terms, 40 ether, 3);
        checkEqual(deposited(terms), 40 ether, "deposited");
        checkTrue(escrow.isNonceUsed(payer, 3), "nonce used");
    }

    function test_an_approved_opener_reserves_up_to_its_cap() external {
        vm.expectEmit();
        emit IPaymentEscrow.OpenerApproved(payer, signer, address(asset), OPENER_CAP);
        approveSigner(OPENER_CAP);
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        submit(SIGNER_KEY, signer, terms, 60 ether, 0);
        checkEqual(escrow.openerCap(payer, signer, address(asset)), 40 ether, "what is left of the cap");

        IPaymentEscrow.Opening memory opening = makeOpening(terms, 41 ether, 1);
        bytes memory sig = signOpening(SIGNER_KEY, opening);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.OpenerCapExceeded.selector, signer, 41 ether, 40 ether));
        escrow.openBySig(terms, opening, signer, sig);

        submit(SIGNER_KEY, signer, terms, 40 ether, 1);
        checkEqual(deposited(terms), 100 ether, "all of the cap");
    }

    function test_an_opener_nobody_approved_opens_nothing() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        IPaymentEscrow.Opening memory opening = makeOpening(terms, 1, 0);
        bytes memory sig = signOpening(SIGNER_KEY, opening);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.OpenerCapExceeded.selector, signer, 1, 0));
        escrow.openBySig(terms, opening, signer, sig);
    }

    function test_a_cap_in_one_asset_or_of_one_payer_is_none_in_another() external {
        vm.prank(stranger);
        escrow.approveOpener(signer, address(asset), OPENER_CAP);
        vm.prank(payer);
        escrow.approveOpener(signer, address(openx), OPENER_CAP);
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        IPaymentEscrow.Opening memory opening = makeOpening(terms, 1, 0);
        bytes memory sig = signOpening(SIGNER_KEY, opening);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.OpenerCapExceeded.selector, signer, 1, 0));
        escrow.openBySig(terms, opening, signer, sig);
    }

    function test_an_opener_cannot_open_for_another_signer() external {
        approveSigner(OPENER_CAP);
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        terms.signer = stranger;
        IPaymentEscrow.Opening memory opening = makeOpening(terms, 1, 0);
        bytes memory sig = signOpening(SIGNER_KEY, opening);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.OpenerIsNotSigner.selector, signer, stranger));
        escrow.openBySig(terms, opening, signer, sig);
    }

    function test_the_payers_signature_cannot_be_passed_off_as_the_openers_nor_the_reverse() external {
        approveSigner(OPENER_CAP);
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        IPaymentEscrow.Opening memory opening = makeOpening(terms, 1, 0);
        bytes memory byPayer = signOpening(PAYER_KEY, opening);
        bytes memory bySigner = signOpening(SIGNER_KEY, opening);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongOpeningSignature.selector, signer));
        escrow.openBySig(terms, opening, signer, byPayer);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongOpeningSignature.selector, payer));
        escrow.openBySig(terms, opening, payer, bySigner);
    }

    function test_an_opening_counts_once() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        IPaymentEscrow.Opening memory opening = makeOpening(terms, 1 ether, 9);
        bytes memory sig = signOpening(PAYER_KEY, opening);
        escrow.openBySig(terms, opening, payer, sig);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NonceAlreadyUsed.selector, payer, 9));
        escrow.openBySig(terms, opening, payer, sig);
    }

    function test_nonces_come_in_any_order() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        uint256[5] memory nonces = [uint256(256), 0, type(uint256).max, 255, 1];
        for (uint256 i = 0; i < nonces.length; i++) {
            checkTrue(!escrow.isNonceUsed(payer, nonces[i]), "unused before");
            submit(PAYER_KEY, payer, terms, 1 ether, nonces[i]);
            checkTrue(escrow.isNonceUsed(payer, nonces[i]), "used after");
        }
        for (uint256 i = 0; i < nonces.length; i++) {
            checkTrue(escrow.isNonceUsed(payer, nonces[i]), "used forever");
        }
        checkEqual(deposited(terms), 5 ether, "all counted");
    }

    function test_an_opening_ends_at_its_deadline() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        IPaymentEscrow.Opening memory opening = makeOpening(terms, 1, 0);
        opening.deadline = uint64(block.timestamp);
        bytes memory sig = signOpening(PAYER_KEY, opening);
        vm.warp(block.timestamp + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IPaymentEscrow.SignatureExpired.selector, opening.deadline, uint256(opening.deadline) + 1
            )
        );
        escrow.openBySig(terms, opening, payer, sig);
        vm.warp(opening.deadline);
        escrow.openBySig(terms, opening, payer, sig);
        checkEqual(deposited(terms), 1, "in its last second");
    }

    function test_an_opening_is_for_one_escrow() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        IPaymentEscrow.Escrow memory other = makeTerms(1);
        IPaymentEscrow.Opening memory opening = makeOpening(terms, 1, 0);
        bytes memory sig = signOpening(PAYER_KEY, opening);
        bytes32 id = escrow.escrowId(other);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongEscrow.selector, opening.escrowId, id));
        escrow.openBySig(other, opening, payer, sig);
        opening.escrowId = id;
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongOpeningSignature.selector, payer));
        escrow.openBySig(other, opening, payer, sig);
    }

    function test_a_high_s_opening_is_refused() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        IPaymentEscrow.Opening memory opening = makeOpening(terms, 1, 0);
        bytes memory sig = flip(signOpening(PAYER_KEY, opening));
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongOpeningSignature.selector, payer));
        escrow.openBySig(terms, opening, payer, sig);
    }

    function test_an_opener_of_zero_cannot_be_named_with_a_broken_signature() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        (terms.payer, terms.signer) = (address(0), address(0));
        IPaymentEscrow.Opening memory opening = makeOpening(terms, 1, 0);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongOpeningSignature.selector, address(0)));
        escrow.openBySig(terms, opening, address(0), new bytes(65));
    }

    function test_a_payer_that_is_a_contract_signs_by_erc1271() external {
        Wallet wallet = new Wallet(payer);
        fund(address(wallet), 10 ether);
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        terms.payer = address(wallet);
        submit(PAYER_KEY, address(wallet), terms, 10 ether, 0);
        checkEqual(deposited(terms), 10 ether, "deposited");

        IPaymentEscrow.Opening memory opening = makeOpening(terms, 1, 1);
        bytes memory sig = signOpening(STRANGER_KEY, opening);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongOpeningSignature.selector, address(wallet)));
        escrow.openBySig(terms, opening, address(wallet), sig);
    }

    function test_a_payer_with_code_at_its_own_address_still_signs_by_key() external {
        vm.etch(payer, hex"ef0100000000000000000000000000000000000000abcd"); // an EIP-7702 delegation
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        submit(PAYER_KEY, payer, terms, 1 ether, 0);
        checkEqual(deposited(terms), 1 ether, "deposited");
    }

    function test_a_revoked_opener_opens_nothing() external {
        approveSigner(OPENER_CAP);
        approveSigner(0);
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        IPaymentEscrow.Opening memory opening = makeOpening(terms, 1, 0);
        bytes memory sig = signOpening(SIGNER_KEY, opening);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.OpenerCapExceeded.selector, signer, 1, 0));
        escrow.openBySig(terms, opening, signer, sig);
    }

    function testFuzz_an_opener_never_reserves_more_than_its_cap(uint128[5] calldata amounts, uint256 cap) external {
        cap = within(cap, 0, 1_000 ether);
        approveSigner(cap);
        for (uint256 i = 0; i < amounts.length; i++) {
            IPaymentEscrow.Escrow memory terms = makeTerms(uint96(i % 2));
            IPaymentEscrow.Opening memory opening = makeOpening(terms, uint128(within(amounts[i], 1, 400 ether)), i);
            bytes memory sig = signOpening(SIGNER_KEY, opening);
            try escrow.openBySig(terms, opening, signer, sig) {} catch {}
        }
        uint256 reserved = deposited(makeTerms(0)) + deposited(makeTerms(1));
        checkEqual(reserved + escrow.openerCap(payer, signer, address(asset)), cap, "reserved and left make the cap");
    }

    function approveSigner(uint256 cap) private {
        vm.prank(payer);
        escrow.approveOpener(signer, address(asset), cap);
    }

    function submit(uint256 key, address opener, IPaymentEscrow.Escrow memory terms, uint128 amount, uint256 nonce)
        private
    {
        IPaymentEscrow.Opening memory opening = makeOpening(terms, amount, nonce);
        bytes memory sig = signOpening(key, opening);
        vm.prank(stranger);
        escrow.openBySig(terms, opening, opener, sig);
    }

    function openExpectingRevert(IPaymentEscrow.Escrow memory terms, uint128 amount) private {
        vm.prank(payer);
        escrow.open(terms, amount);
    }
}
