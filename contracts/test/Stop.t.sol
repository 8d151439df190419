// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {PlainAsset} from "./Assets.sol";
import {Market} from "./Market.sol";

contract StopTest is Market {
    address private constant ALL = address(0);

    function test_guardian_and_owner_stop_one_asset_or_all_and_either_ends_it() external {
        address[2] memory powers = [guardian, address(this)];
        address[2] memory whats = [address(asset), ALL];
        for (uint256 i = 0; i < 4; i++) {
            (address by, address what) = (powers[i / 2], whats[i % 2]);
            vm.expectEmit();
            emit IPaymentEscrow.DepositsStopped(what, by);
            vm.prank(by);
            escrow.stopDeposits(what);
            checkStopped();
            vm.expectEmit();
            emit IPaymentEscrow.DepositsResumed(what, powers[1 - i / 2]);
            vm.prank(powers[1 - i / 2]);
            escrow.resumeDeposits(what);
            fund(payer, 1 ether);
        }
    }

    function test_nobody_else_stops_or_resumes() external {
        address[3] memory others = [payer, provider, stranger];
        for (uint256 i = 0; i < others.length; i++) {
            bytes memory refused = abi.encodeWithSelector(IPaymentEscrow.NotGuardian.selector, others[i]);
            vm.expectRevert(refused);
            vm.prank(others[i]);
            escrow.stopDeposits(ALL);
            vm.expectRevert(refused);
            vm.prank(others[i]);
            escrow.resumeDeposits(ALL);
        }
    }

    function test_a_stop_of_one_asset_leaves_the_others() external {
        vm.prank(guardian);
        escrow.stopDeposits(address(asset));
        fundIn(credit, payer, 1 ether);
        checkEqual(escrow.free(payer, address(credit)), 1 ether, "credits come in");
        checkStopped();
    }

    function test_ending_the_stop_of_all_leaves_the_stop_of_one() external {
        escrow.stopDeposits(address(asset));
        escrow.stopDeposits(ALL);
        escrow.resumeDeposits(ALL);
        checkStopped();
        fundIn(credit, payer, 1 ether);
    }

    function test_a_stop_of_all_holds_for_an_asset_added_later() external {
        escrow.stopDeposits(ALL);
        PlainAsset later = new PlainAsset();
        escrow.addAsset(address(later), false);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.DepositsAreStopped.selector, address(later)));
        escrow.deposit(payer, address(later), 1);
        checkTrue(!escrow.isAccepted(ALL), "all is not an asset");
    }

    function test_only_an_accepted_asset_is_stopped() external {
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AssetNotAccepted.selector, address(openx)));
        escrow.stopDeposits(address(openx));
    }

    function test_every_way_to_deposit_is_stopped() external {
        escrow.stopDeposits(ALL);
        bytes memory stopped = abi.encodeWithSelector(IPaymentEscrow.DepositsAreStopped.selector, address(asset));
        vm.expectRevert(stopped);
        escrow.deposit(payer, address(asset), 1);
        vm.expectRevert(stopped);
        escrow.depositWithPermit(payer, address(asset), 1, FAR, 27, bytes32(0), bytes32(0));
        vm.expectRevert(stopped);
        escrow.depositWithAuthorization(payer, address(asset), 1, 0, FAR, bytes32(0), 27, bytes32(0), bytes32(0));
    }

    function test_nothing_but_deposits_is_ever_stopped() external {
        connectJudge(address(this), noHolds());
        escrow.setFee(address(asset), 10_000);
        escrow.setFeeRecipient(address(0xFEE5));
        bytes32 split = splits.create(makeShares(100_000, 1));
        fund(payer, 1_000 ether);
        vm.prank(payer);
        escrow.approveOpener(signer, address(asset), 10 ether);
        escrow.stopDeposits(address(asset));
        escrow.stopDeposits(ALL);

        IPaymentEscrow.Escrow memory terms = makeTermsIn(asset, split, 0);
        vm.prank(payer);
        escrow.open(terms, 100 ether);
        IPaymentEscrow.Opening memory opening = makeOpening(terms, 10 ether, 0);
        escrow.openBySig(terms, opening, signer, signOpening(SIGNER_KEY, opening));
        checkEqual(claimRowsOf(terms, makeRow(SIGNER_KEY, terms, 10 ether)), 10 ether, "claim");
        asset.setBlocked(provider, true);
        escrow.claimOne(terms, 20 ether, RECEIPTS, signVoucher(SIGNER_KEY, terms, 20 ether));
        asset.setBlocked(provider, false);
        checkTrue(escrow.withdrawOwed(provider, address(asset)) != 0, "owed");
        checkTrue(escrow.paySplit(split, address(asset)) != 0, "split");
        checkTrue(escrow.withdrawFees(address(asset)) != 0, "fees");
        checkEqual(escrow.refund(terms, 10 ether), 10 ether, "refund");
        vm.prank(provider);
        escrow.release(terms, 80 ether);
        vm.prank(payer);
        escrow.startThaw(terms);
        vm.prank(payer);
        escrow.cancelThaw(terms);
        vm.prank(payer);
        escrow.startThaw(terms);
        vm.warp(block.timestamp + MIN_THAW);
        escrow.close(terms);
        uint256 free = escrow.free(payer, address(asset));
        checkEqual(free, 1_980 ether, "all but what was paid");
        vm.prank(payer);
        escrow.withdraw(address(asset), free, payer);
        checkEqual(escrow.liabilities(address(asset)), 0, "nobody is left with anything");
    }

    function test_the_guardian_has_no_other_power_and_is_replaced_by_the_owner() external {
        bytes memory refused = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, guardian);
        vm.expectRevert(refused);
        vm.prank(guardian);
        escrow.setGuardian(stranger);
        vm.expectRevert(refused);
        vm.prank(guardian);
        escrow.addAsset(address(openx), false);
        vm.expectRevert(refused);
        vm.prank(guardian);
        escrow.setFeeRecipient(guardian);

        vm.expectEmit();
        emit IPaymentEscrow.GuardianSet(stranger);
        escrow.setGuardian(stranger);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotGuardian.selector, guardian));
        vm.prank(guardian);
        escrow.stopDeposits(ALL);
        vm.prank(stranger);
        escrow.stopDeposits(ALL);
        checkStopped();
    }

    function checkStopped() private {
        asset.mint(address(this), 1);
        asset.approve(address(escrow), 1);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.DepositsAreStopped.selector, address(asset)));
        escrow.deposit(payer, address(asset), 1);
    }
}
