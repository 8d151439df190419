// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {PaymentEscrow} from "../src/money/PaymentEscrow.sol";
import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {CallingAsset, FeeAsset, LyingAsset, SilentAsset} from "./Assets.sol";
import {Market} from "./Market.sol";

contract FreeBalanceTest is Market {
    // ---- Assets

    function test_only_the_owner_adds_assets_and_each_once() external {
        FeeAsset other = new FeeAsset();
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        vm.prank(stranger);
        escrow.addAsset(address(other), false);
        vm.expectEmit();
        emit IPaymentEscrow.AssetAdded(address(other), true);
        escrow.addAsset(address(other), true);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AssetAlreadyAdded.selector, address(other)));
        escrow.addAsset(address(other), false);
    }

    function test_an_address_without_code_is_no_asset() external {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AssetWithoutCode.selector, stranger));
        escrow.addAsset(stranger, false);
    }

    function test_the_shortest_thaw_is_bounded() external {
        uint32[2] memory wrong = [uint32(0), 30 days + 1];
        for (uint256 i = 0; i < wrong.length; i++) {
            bytes memory code = escrowCode(wrong[i]);
            vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.MinThawOutOfBounds.selector, wrong[i], 30 days));
            deploy(code);
        }
        checkEqual(PaymentEscrow(deploy(escrowCode(30 days))).minThaw(), 30 days, "the most");
        checkEqual(PaymentEscrow(deploy(escrowCode(1))).minThaw(), 1, "the least");
    }

    function test_an_escrow_is_born_with_both_registries_its_assets_and_its_guardian() external {
        checkEqual(address(escrow.registry()), address(registry), "registry");
        checkEqual(address(escrow.splits()), address(splits), "splits");
        checkEqual(escrow.guardian(), guardian, "guardian");
        checkTrue(escrow.isAccepted(address(asset)) && !escrow.assetOf(address(asset)).isCredit, "asset");
        checkTrue(escrow.isAccepted(address(credit)) && escrow.assetOf(address(credit)).isCredit, "credit");
        IPaymentEscrow.AssetSetup[] memory none = new IPaymentEscrow.AssetSetup[](0);
        bytes[2] memory codes = [
            creationCode("PaymentEscrow", abi.encode(address(0), splits, this, guardian, MIN_THAW, none)),
            creationCode("PaymentEscrow", abi.encode(registry, address(0), this, guardian, MIN_THAW, none))
        ];
        for (uint256 i = 0; i < codes.length; i++) {
            vm.expectRevert(IPaymentEscrow.ZeroAddress.selector);
            deploy(codes[i]);
        }
        none = new IPaymentEscrow.AssetSetup[](2);
        (none[0].asset, none[1].asset) = (address(asset), address(asset));
        bytes memory twice = creationCode("PaymentEscrow", abi.encode(registry, splits, this, guardian, MIN_THAW, none));
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AssetAlreadyAdded.selector, address(asset)));
        deploy(twice);
    }

    // ---- Deposits

    function test_anyone_deposits_for_a_payer() external {
        uint256 before = escrow.free(payer, address(asset));
        fund(payer, 5 ether);
        checkEqual(escrow.free(payer, address(asset)), before + 5 ether, "free");
        checkEqual(escrow.liabilities(address(asset)), before + 5 ether, "liabilities");
        checkEqual(asset.balanceOf(address(escrow)), before + 5 ether, "held");
    }

    function test_an_asset_off_the_list_is_refused() external {
        FeeAsset other = new FeeAsset();
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AssetNotAccepted.selector, address(other)));
        escrow.deposit(payer, address(other), 1);
    }

    function test_nothing_and_nobody_are_refused() external {
        vm.expectRevert(IPaymentEscrow.ZeroAmount.selector);
        escrow.deposit(payer, address(asset), 0);
        vm.expectRevert(IPaymentEscrow.ZeroAddress.selector);
        escrow.deposit(address(0), address(asset), 1);
    }

    function test_an_asset_that_keeps_a_fee_is_refused() external {
        FeeAsset fee = new FeeAsset();
        escrow.addAsset(address(fee), false);
        fee.mint(address(this), 100 ether);
        fee.approve(address(escrow), 100 ether);
        vm.expectRevert(
            abi.encodeWithSelector(IPaymentEscrow.WrongAmountReceived.selector, address(fee), 100 ether, 99 ether)
        );
        escrow.deposit(payer, address(fee), 100 ether);
    }

    function test_an_asset_that_lies_at_deposit_is_refused() external {
        LyingAsset lying = new LyingAsset();
        escrow.addAsset(address(lying), false);
        lying.mint(address(this), 10);
        lying.approve(address(escrow), 10);
        lying.feel(LyingAsset.Mood.PretendsTrue);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongAmountReceived.selector, address(lying), 10, 0));
        escrow.deposit(payer, address(lying), 10);
        lying.feel(LyingAsset.Mood.ReturnsFalse);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(lying)));
        escrow.deposit(payer, address(lying), 10);
    }

    function test_an_asset_that_returns_nothing_is_handled() external {
        SilentAsset silent = new SilentAsset();
        escrow.addAsset(address(silent), false);
        silent.mint(address(this), 10);
        silent.approve(address(escrow), 10);
        escrow.deposit(payer, address(silent), 10);
        vm.prank(payer);
        escrow.withdraw(address(silent), 10, payer);
        checkEqual(silent.balanceOf(payer), 10, "paid");
    }

    function test_an_asset_that_calls_back_meets_the_guard() external {
        CallingAsset calling = new CallingAsset();
        escrow.addAsset(address(calling), false);
        calling.mint(address(this), 10);
        calling.approve(address(escrow), 10);
        bytes[] memory inner = new bytes[](1);
        inner[0] = abi.encodeCall(escrow.deposit, (payer, address(calling), 1));
        bytes[3] memory attempts = [
            inner[0],
            abi.encodeCall(escrow.multicall, (inner)),
            abi.encodeCall(escrow.withdraw, (address(calling), 1, stranger))
        ];
        for (uint256 i = 0; i < attempts.length; i++) {
            calling.aim(address(escrow), attempts[i]);
            escrow.deposit(payer, address(calling), 1);
            checkTrue(calling.calls() == 1 && !calling.succeeded(), "called back, and refused");
            checkEqual(
                bytes32(calling.answer()),
                bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector),
                "by the guard"
            );
        }
    }

    // ---- Permit

    function test_permit_and_deposit_in_one_transaction() external {
        (uint8 v, bytes32 r, bytes32 s) = preparePermit();
        vm.prank(payer);
        escrow.depositWithPermit(payer, address(openx), 5 ether, block.timestamp, v, r, s);
        checkEqual(escrow.free(payer, address(openx)), 5 ether, "free");
    }

    function test_a_permit_used_first_by_someone_else_does_not_stop_the_deposit() external {
        (uint8 v, bytes32 r, bytes32 s) = preparePermit();
        vm.prank(stranger);
        openx.permit(payer, address(escrow), 5 ether, block.timestamp, v, r, s);
        vm.prank(payer);
        escrow.depositWithPermit(payer, address(openx), 5 ether, block.timestamp, v, r, s);
        checkEqual(escrow.free(payer, address(openx)), 5 ether, "free");
    }

    function test_a_bad_permit_moves_nothing() external {
        (uint8 v, bytes32 r,) = preparePermit();
        vm.expectRevert();
        vm.prank(payer);
        escrow.depositWithPermit(payer, address(openx), 5 ether, block.timestamp, v, r, bytes32(uint256(1)));
    }

    function test_a_stranger_cannot_use_a_payers_permit_to_take_its_tokens() external {
        (uint8 v, bytes32 r, bytes32 s) = preparePermit();
        vm.expectRevert();
        vm.prank(stranger);
        escrow.depositWithPermit(stranger, address(openx), 5 ether, block.timestamp, v, r, s);
    }

    // ---- Withdrawals

    function test_only_free_money_is_withdrawn_and_only_ones_own() external {
        openEscrow(0, 400 ether);
        vm.expectRevert(
            abi.encodeWithSelector(IPaymentEscrow.NotEnoughFree.selector, payer, address(asset), 601 ether, 600 ether)
        );
        vm.prank(payer);
        escrow.withdraw(address(asset), 601 ether, payer);

        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotEnoughFree.selector, stranger, address(asset), 1, 0));
        vm.prank(stranger);
        escrow.withdraw(address(asset), 1, stranger);

        vm.expectEmit();
        emit IPaymentEscrow.Withdrawn(payer, address(asset), address(0xC01D), 600 ether);
        vm.prank(payer);
        escrow.withdraw(address(asset), 600 ether, address(0xC01D));
        checkEqual(asset.balanceOf(address(0xC01D)), 600 ether, "paid");
        checkEqual(escrow.liabilities(address(asset)), 400 ether, "liabilities");
    }

    function test_nothing_is_never_withdrawn_and_nobody_is_no_opener() external {
        vm.expectRevert(IPaymentEscrow.ZeroAmount.selector);
        vm.prank(payer);
        escrow.withdraw(address(asset), 0, payer);
        vm.expectRevert(IPaymentEscrow.ZeroAddress.selector);
        vm.prank(payer);
        escrow.approveOpener(address(0), address(asset), 1);
    }

    function test_money_is_never_withdrawn_to_nobody() external {
        address[2] memory nobodies = [address(0), address(escrow)];
        for (uint256 i = 0; i < nobodies.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.BadRecipient.selector, nobodies[i]));
            vm.prank(payer);
            escrow.withdraw(address(asset), 1, nobodies[i]);
        }
    }

    function test_a_withdrawal_that_the_asset_denies_reverts() external {
        LyingAsset lying = new LyingAsset();
        escrow.addAsset(address(lying), false);
        lying.mint(address(this), 10);
        lying.approve(address(escrow), 10);
        escrow.deposit(payer, address(lying), 10);
        lying.feel(LyingAsset.Mood.ReturnsFalse);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(lying)));
        vm.prank(payer);
        escrow.withdraw(address(lying), 10, payer);
        checkEqual(escrow.free(payer, address(lying)), 10, "still free");
    }

    function preparePermit() private returns (uint8 v, bytes32 r, bytes32 s) {
        escrow.addAsset(address(openx), false);
        vm.prank(treasury);
        openx.transfer(payer, 5 ether);
        bytes32 typehash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 hash = keccak256(abi.encode(typehash, payer, address(escrow), 5 ether, 0, block.timestamp));
        return vm.sign(PAYER_KEY, MessageHashUtils.toTypedDataHash(openx.DOMAIN_SEPARATOR(), hash));
    }
}
