// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {AnsweringAsset, AuthorizedAsset} from "./Assets.sol";
import {Market} from "./Market.sol";

/// @notice Deposits by ERC-3009 authorization: the payer signs, anyone submits.
contract AuthorizationTest is Market {
    bytes32 private constant NONCE = keccak256("any");

    AuthorizedAsset private usd;
    bytes32 private domain;

    function setUp() public override {
        super.setUp();
        usd = new AuthorizedAsset();
        usd.mint(payer, 100 ether);
        domain = usd.DOMAIN_SEPARATOR();
        escrow.addAsset(address(usd), false);
    }

    function test_a_relayed_authorization_credits_the_signer() external {
        vm.expectEmit();
        emit IPaymentEscrow.Deposited(payer, address(usd), 40 ether);
        submit(stranger, address(escrow), 40 ether, NONCE);
        checkEqual(escrow.free(payer, address(usd)), 40 ether, "payer");
        checkEqual(escrow.free(stranger, address(usd)), 0, "not who submitted");
        checkEqual(escrow.liabilities(address(usd)), 40 ether, "liabilities");
        checkEqual(usd.balanceOf(address(escrow)), 40 ether, "held");
    }

    function test_an_authorization_counts_once() external {
        submit(stranger, address(escrow), 40 ether, NONCE);
        vm.expectRevert(abi.encodeWithSelector(ERC3009.ERC3009UsedAuthorization.selector, payer, NONCE));
        submit(stranger, address(escrow), 40 ether, NONCE);
        checkEqual(escrow.free(payer, address(usd)), 40 ether, "once");
    }

    function test_amount_signer_and_time_are_what_was_signed() external {
        (uint8 v, bytes32 r, bytes32 s) = authorize(address(escrow), 40 ether, NONCE);
        uint256 end = block.timestamp + 60;
        bytes4 refused = ERC3009.ERC3009InvalidSignature.selector;
        vm.expectRevert(refused);
        escrow.depositWithAuthorization(payer, address(usd), 41 ether, 0, end, NONCE, v, r, s);
        vm.expectRevert(refused);
        escrow.depositWithAuthorization(stranger, address(usd), 40 ether, 0, end, NONCE, v, r, s);
        vm.expectRevert(refused);
        escrow.depositWithAuthorization(payer, address(usd), 40 ether, 1, end, NONCE, v, r, s);
        vm.expectRevert(refused);
        escrow.depositWithAuthorization(payer, address(usd), 40 ether, 0, end + 1, NONCE, v, r, s);
        vm.warp(end + 1);
        vm.expectRevert(abi.encodeWithSelector(ERC3009.ERC3009InvalidAuthorizationTime.selector, 0, end));
        escrow.depositWithAuthorization(payer, address(usd), 40 ether, 0, end, NONCE, v, r, s);
        checkEqual(escrow.free(payer, address(usd)), 0, "nothing came in");
    }

    function test_an_authorization_for_another_receiver_is_no_deposit() external {
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        submit(stranger, address(0xE15E), 40 ether, NONCE);
    }

    function test_an_authorization_is_used_by_the_escrow_alone() external {
        (uint8 v, bytes32 r, bytes32 s) = authorize(address(escrow), 40 ether, NONCE);
        vm.expectRevert();
        vm.prank(stranger);
        usd.receiveWithAuthorization(payer, address(escrow), 40 ether, 0, block.timestamp + 60, NONCE, v, r, s);
        submit(stranger, address(escrow), 40 ether, NONCE);
        checkEqual(escrow.free(payer, address(usd)), 40 ether, "so no money comes in that is credited to no one");
    }

    function test_an_asset_off_the_list_is_refused() external {
        AuthorizedAsset other = new AuthorizedAsset();
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AssetNotAccepted.selector, address(other)));
        escrow.depositWithAuthorization(payer, address(other), 1, 0, FAR, NONCE, 27, 0, 0);
    }

    function test_an_asset_that_only_seems_to_know_authorizations_credits_nobody() external {
        AnsweringAsset answering = new AnsweringAsset();
        escrow.addAsset(address(answering), false);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongAmountReceived.selector, address(answering), 1, 0));
        escrow.depositWithAuthorization(payer, address(answering), 1, 0, FAR, NONCE, 27, 0, 0);
        vm.expectRevert();
        escrow.depositWithAuthorization(payer, address(asset), 1, 0, FAR, NONCE, 27, 0, 0);
    }

    function authorize(address to, uint256 amount, bytes32 nonce) private view returns (uint8, bytes32, bytes32) {
        bytes32 typehash = keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
        bytes32 hash = keccak256(abi.encode(typehash, payer, to, amount, 0, block.timestamp + 60, nonce));
        return vm.sign(PAYER_KEY, MessageHashUtils.toTypedDataHash(domain, hash));
    }

    /// @dev Signs for a receiver, submits to the escrow.
    function submit(address by, address to, uint256 amount, bytes32 nonce) private {
        (uint8 v, bytes32 r, bytes32 s) = authorize(to, amount, nonce);
        vm.prank(by);
        escrow.depositWithAuthorization(payer, address(usd), amount, 0, block.timestamp + 60, nonce, v, r, s);
    }
}
