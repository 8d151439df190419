// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {ISplitRegistry} from "../src/interfaces/ISplitRegistry.sol";
import {SwitchAsset} from "./Assets.sol";
import {Market} from "./Market.sol";

/// @notice What an escrow does with the splits its terms name.
contract SplitsTest is Market {
    address private constant FIRST = address(0xA17);
    address private constant SECOND = address(0xB17);

    bytes32 private split;

    function setUp() public override {
        super.setUp();
        split = splits.create(quarter());
    }

    function test_an_escrow_opens_only_under_a_registered_split() external {
        bytes32 unknown = splits.splitId(makeShares(1, 2));
        IPaymentEscrow.Escrow memory terms = makeTermsIn(asset, unknown, 0);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.SplitNotRegistered.selector, unknown));
        vm.prank(payer);
        escrow.open(terms, 1);
        splits.create(makeShares(1, 2));
        vm.prank(payer);
        escrow.open(terms, 1);
        checkEqual(deposited(terms), 1, "deposited");
    }

    function test_a_claim_pays_the_fee_then_the_split_then_the_provider() external {
        escrow.setFee(address(asset), 10_000);
        IPaymentEscrow.Escrow memory terms = openSplit(0, 10_000);
        vm.expectEmit();
        emit IPaymentEscrow.ClaimShared(provider, address(asset), split, 20, 495);
        vm.expectEmit();
        emit IPaymentEscrow.ProviderPaid(provider, address(asset), provider, 1_485);
        checkEqual(claimRowsOf(terms, makeRow(SIGNER_KEY, terms, 2_000)), 2_000, "paid by the reserve");
        checkEqual(asset.balanceOf(provider), 1_485, "provider");
        checkEqual(escrow.owedToSplit(split, address(asset)), 495, "a quarter of what the fee left");
        checkEqual(escrow.assetOf(address(asset)).fees, 20, "fee");
        checkEqual(escrow.liabilities(address(asset)), 1_000 ether - 1_485, "all but the provider's is still owed");
    }

    function test_shares_reach_their_recipients_when_anyone_moves_them() external {
        claimSplit(0, 4_000);
        vm.expectEmit();
        emit IPaymentEscrow.SplitPaid(split, address(asset), 1_000);
        vm.prank(stranger);
        checkEqual(escrow.paySplit(split, address(asset)), 1_000, "to the registry");
        checkEqual(splits.accruedOf(split, address(asset)), 1_000, "accrued there");
        checkEqual(asset.allowance(address(escrow), address(splits)), 0, "no approval is left");
        checkEqual(escrow.liabilities(address(asset)), 1_000 ether - 4_000, "liabilities");
        vm.recordLogs();
        checkEqual(escrow.paySplit(split, address(asset)), 0, "and again nothing");
        checkEqual(vm.getRecordedLogs().length, 0, "which emits nothing");

        splits.distribute(quarter(), address(asset));
        checkEqual(splits.withdraw(FIRST, address(asset)), 800, "four fifths");
        checkEqual(splits.withdraw(SECOND, address(asset)), 200, "one fifth");
    }

    function test_one_unit_of_shares_is_moved() external {
        claimSplit(0, 4);
        checkEqual(escrow.paySplit(split, address(asset)), 1, "one unit");
        checkEqual(splits.accruedOf(split, address(asset)), 1, "accrued");
    }

    function test_shares_of_many_claims_are_moved_at_once() external {
        for (uint96 i = 0; i < 3; i++) {
            claimSplit(i, 4_000);
        }
        checkEqual(escrow.paySplit(split, address(asset)), 3_000, "three claims'");
    }

    function test_a_blacklisted_recipient_holds_up_nobody() external {
        asset.setBlocked(FIRST, true);
        claimSplit(0, 4_000);
        escrow.paySplit(split, address(asset));
        splits.distribute(quarter(), address(asset));
        checkEqual(splits.withdraw(SECOND, address(asset)), 200, "the other is paid");
        vm.expectRevert(bytes("blocked"));
        splits.withdraw(FIRST, address(asset));
        checkEqual(splits.owedTo(FIRST, address(asset)), 800, "its own waits");
    }

    function test_an_asset_that_blocks_the_split_registry_stops_no_claim() external {
        asset.setBlocked(address(splits), true);
        claimSplit(0, 4_000);
        checkEqual(asset.balanceOf(provider), 3_000, "the provider is paid");
        vm.expectRevert(bytes("blocked"));
        escrow.paySplit(split, address(asset));
        checkEqual(escrow.owedToSplit(split, address(asset)), 1_000, "the share waits here");
        asset.setBlocked(address(splits), false);
        checkEqual(escrow.paySplit(split, address(asset)), 1_000, "and is paid later");
    }

    function test_a_fee_that_the_asset_turns_on_later_locks_no_share() external {
        SwitchAsset turning = new SwitchAsset();
        escrow.addAsset(address(turning), false);
        IPaymentEscrow.Escrow memory terms = makeTermsIn(turning, split, 0);
        openUnder(terms, 4_000);
        claimRowsOf(terms, makeRow(SIGNER_KEY, terms, 4_000));
        turning.setFee(1);
        checkEqual(escrow.paySplit(split, address(turning)), 1_000, "moved");
        checkEqual(splits.accruedOf(split, address(turning)), 990, "less the asset's own fee");
        checkEqual(escrow.owedToSplit(split, address(turning)), 0, "nothing waits");
        checkEqual(escrow.liabilities(address(turning)), 0, "nothing is owed");
        splits.distribute(quarter(), address(turning));
        checkEqual(splits.withdraw(FIRST, address(turning)), 792, "four fifths");
        checkEqual(splits.withdraw(SECOND, address(turning)), 198, "one fifth");
        checkEqual(turning.balanceOf(address(splits)), 0, "all of it went out");
        checkEqual(turning.balanceOf(address(escrow)), 0, "of the escrow too");
    }

    function test_no_gas_limit_sends_a_share_elsewhere() external {
        IPaymentEscrow.Escrow memory terms = openSplit(0, 4_000);
        bytes memory row = makeRow(SIGNER_KEY, terms, 4_000);
        uint256 claims;
        for (uint256 gas_ = 60_000; gas_ < 220_000; gas_ += 1_000) {
            uint256 before = vm.snapshotState();
            try escrow.claim{gas: gas_}(provider, address(asset), split, MIN_THAW, row) {
                claims++;
                checkEqual(escrow.owedToSplit(split, address(asset)), 1_000, "share");
                checkEqual(asset.balanceOf(provider), 3_000, "provider");
            } catch {}
            vm.revertToState(before);
        }
        checkTrue(claims != 0, "some had gas enough");
    }

    function test_rounding_dust_is_the_providers() external {
        claimSplit(0, 7); // a quarter is 1.75
        checkEqual(escrow.owedToSplit(split, address(asset)), 1, "rounded down");
        checkEqual(asset.balanceOf(provider), 6, "provider");
    }

    function test_a_share_that_rounds_to_nothing_is_not_emitted() external {
        IPaymentEscrow.Escrow memory terms = openSplit(0, 3);
        bytes memory row = makeRow(SIGNER_KEY, terms, 3);
        vm.recordLogs();
        claimRowsOf(terms, row);
        checkEqual(vm.getRecordedLogs().length, 3, "Claimed, Transfer, ProviderPaid");
        checkEqual(escrow.owedToSplit(split, address(asset)), 0, "share");
    }

    function test_a_split_may_take_all_and_the_claim_is_still_emitted() external {
        bytes32 all = splits.create(makeShares(999_999, 1));
        IPaymentEscrow.Escrow memory terms = makeTermsIn(asset, all, 0);
        vm.prank(payer);
        escrow.open(terms, 100);
        vm.expectEmit();
        emit IPaymentEscrow.ProviderPaid(provider, address(asset), provider, 0);
        claimRowsOf(terms, makeRow(SIGNER_KEY, terms, 100));
        checkEqual(escrow.owedToSplit(all, address(asset)), 100, "all");
        (uint256 settled,,) = escrow.accountOf(provider, address(asset));
        checkEqual(settled, 100, "settled work counts whole");

        terms = makeTermsIn(credit, all, 0);
        openUnder(terms, 100);
        bytes memory row = makeRow(SIGNER_KEY, terms, 100);
        credit.refuse(true); // it is not asked to burn nothing
        vm.expectEmit();
        emit IPaymentEscrow.ProviderPaid(provider, address(credit), address(0), 0);
        claimRowsOf(terms, row);
        checkEqual(escrow.owedToSplit(all, address(credit)), 100, "all of the credits");
    }

    function test_a_split_shares_in_credits_that_are_then_not_burned() external {
        IPaymentEscrow.Escrow memory terms = makeTermsIn(credit, split, 0);
        openUnder(terms, 4_000);
        claimRowsOf(terms, makeRow(SIGNER_KEY, terms, 4_000));
        checkEqual(credit.burnedAt(provider), 3_000, "burned");
        escrow.paySplit(split, address(credit));
        splits.distribute(quarter(), address(credit));
        splits.withdraw(FIRST, address(credit));
        checkEqual(credit.balanceOf(FIRST), 800, "credits");
        checkEqual(credit.totalSupply(), 1_000, "supply");
    }

    function test_an_escrow_of_one_split_is_not_paid_as_another() external {
        IPaymentEscrow.Escrow memory terms = openSplit(0, 4_000);
        bytes memory row = makeRow(SIGNER_KEY, terms, 4_000);
        checkEqual(escrow.claim(provider, address(asset), bytes32(0), MIN_THAW, row), 0, "without the split");
        bytes32 other = splits.create(makeShares(1, 1));
        checkEqual(escrow.claim(provider, address(asset), other, MIN_THAW, row), 0, "under another");
        checkEqual(escrow.claim(provider, address(asset), keccak256("?"), MIN_THAW, row), 0, "under none known");
        checkEqual(claimRowsOf(terms, row), 4_000, "under its own");
    }

    function quarter() private pure returns (ISplitRegistry.Share[] memory) {
        return makeShares(200_000, 50_000);
    }

    function openSplit(uint96 nonce, uint128 amount) private returns (IPaymentEscrow.Escrow memory terms) {
        terms = makeTermsIn(asset, split, nonce);
        vm.prank(payer);
        escrow.open(terms, amount);
    }

    function claimSplit(uint96 nonce, uint128 amount) private {
        IPaymentEscrow.Escrow memory terms = openSplit(nonce, amount);
        checkEqual(claimRowsOf(terms, makeRow(SIGNER_KEY, terms, amount)), amount, "claimed");
    }
}
