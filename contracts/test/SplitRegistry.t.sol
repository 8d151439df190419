// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {SplitRegistry} from "../src/money/SplitRegistry.sol";
import {ISplitRegistry} from "../src/interfaces/ISplitRegistry.sol";
import {CallingAsset, FeeAsset, LyingAsset, PlainAsset, SwitchAsset} from "./Assets.sol";
import {Bench} from "./Bench.sol";

contract SplitRegistryTest is Bench {
    address private constant FIRST = address(0xA1);
    address private constant SECOND = address(0xB2);
    address private constant THIRD = address(0xC3);

    SplitRegistry private splits;
    PlainAsset private asset;

    function setUp() external {
        splits = SplitRegistry(deploy(creationCode("SplitRegistry", "")));
        asset = new PlainAsset();
    }

    // ---- Lists

    function test_the_same_list_has_the_same_id_everywhere() external {
        ISplitRegistry.Share[] memory shares = makeShares(1, 2, 3);
        SplitRegistry other = SplitRegistry(deploy(creationCode("SplitRegistry", "")));
        vm.expectEmit();
        emit ISplitRegistry.SplitCreated(keccak256(abi.encode(shares)), shares);
        bytes32 split = splits.create(shares);
        checkEqual(split, keccak256(abi.encode(shares)), "the hash of the list");
        checkEqual(splits.splitId(shares), split, "known before");
        vm.chainId(4242);
        checkEqual(other.create(shares), split, "another contract on another chain");
        checkEqual(splits.totalPpmOf(split), 6, "the sum");
    }

    function test_other_shares_or_recipients_make_another_split() external view {
        bytes32 split = splits.splitId(makeShares(1, 2, 3));
        checkTrue(split != splits.splitId(makeShares(1, 3, 2)), "shares");
        ISplitRegistry.Share[] memory others = makeShares(1, 2, 3);
        others[2].recipient = address(0xC4);
        checkTrue(split != splits.splitId(others), "recipients");
    }

    function test_creating_again_changes_nothing() external {
        bytes32 split = splits.create(makeShares(1, 2, 3));
        vm.recordLogs();
        checkEqual(splits.create(makeShares(1, 2, 3)), split, "same");
        checkEqual(vm.getRecordedLogs().length, 0, "nothing is said");
    }

    function test_a_list_has_one_to_thirty_two_recipients() external {
        vm.expectRevert(ISplitRegistry.NoShares.selector);
        splits.create(new ISplitRegistry.Share[](0));
        checkTrue(splits.create(makeMany(32)) != bytes32(0), "the most");
        vm.expectRevert(abi.encodeWithSelector(ISplitRegistry.TooManyShares.selector, 33, 32));
        splits.create(makeMany(33));
    }

    function test_recipients_ascend_so_that_none_is_zero_or_named_twice() external {
        ISplitRegistry.Share[] memory shares = makeShares(1, 2, 3);
        shares[0].recipient = address(0);
        vm.expectRevert(abi.encodeWithSelector(ISplitRegistry.SharesNotAscending.selector, address(0), address(0)));
        splits.create(shares);
        shares = makeShares(1, 2, 3);
        shares[2].recipient = SECOND;
        vm.expectRevert(abi.encodeWithSelector(ISplitRegistry.SharesNotAscending.selector, SECOND, SECOND));
        splits.create(shares);
        shares[2].recipient = FIRST;
        vm.expectRevert(abi.encodeWithSelector(ISplitRegistry.SharesNotAscending.selector, SECOND, FIRST));
        splits.create(shares);
    }

    function test_shares_are_above_zero_and_sum_to_a_whole_at_most() external {
        vm.expectRevert(abi.encodeWithSelector(ISplitRegistry.ZeroShare.selector, SECOND));
        splits.create(makeShares(1, 0, 3));
        vm.expectRevert(abi.encodeWithSelector(ISplitRegistry.SharesAboveWhole.selector, 1_000_001));
        splits.create(makeShares(999_999, 1, 1));
        uint32 most = type(uint32).max;
        vm.expectRevert(abi.encodeWithSelector(ISplitRegistry.SharesAboveWhole.selector, 3 * uint256(most)));
        splits.create(makeShares(most, most, most));
        checkEqual(splits.totalPpmOf(splits.create(makeShares(999_998, 1, 1))), 1_000_000, "a whole");
    }

    // ---- Coming in

    function test_only_a_registered_split_takes_money_and_never_nothing() external {
        bytes32 unknown = splits.splitId(makeShares(1, 2, 3));
        vm.expectRevert(abi.encodeWithSelector(ISplitRegistry.SplitNotRegistered.selector, unknown));
        splits.accrue(unknown, address(asset), 1);
        vm.expectRevert(abi.encodeWithSelector(ISplitRegistry.SplitNotRegistered.selector, unknown));
        splits.distribute(makeShares(1, 2, 3), address(asset));
        splits.create(makeShares(1, 2, 3));
        vm.expectRevert(ISplitRegistry.ZeroAmount.selector);
        splits.accrue(unknown, address(asset), 0);
        checkEqual(splits.distribute(makeShares(1, 2, 3), address(asset)), 0, "nothing came in");
    }

    function test_a_split_is_credited_what_arrived_not_what_was_named() external {
        bytes32 split = splits.create(makeShares(1, 1, 1));
        FeeAsset fee = new FeeAsset();
        fee.mint(address(this), 600);
        fee.approve(address(splits), 600);
        vm.expectEmit();
        emit ISplitRegistry.Accrued(split, address(fee), 297);
        splits.accrue(split, address(fee), 300);
        checkEqual(splits.accruedOf(split, address(fee)), 297, "less the asset's fee");
        splits.distribute(makeShares(1, 1, 1), address(fee));
        checkEqual(splits.withdraw(FIRST, address(fee)), 99, "a third");
        splits.accrue(split, address(fee), 300);
        checkEqual(splits.accruedOf(split, address(fee)), 297, "and again, whatever lay here before");
    }

    function test_an_asset_that_brings_nothing_is_refused() external {
        bytes32 split = splits.create(makeShares(1, 2, 3));
        LyingAsset lying = new LyingAsset();
        lying.feel(LyingAsset.Mood.PretendsTrue);
        vm.expectRevert(abi.encodeWithSelector(ISplitRegistry.NothingReceived.selector, address(lying), 100));
        splits.accrue(split, address(lying), 100);
        lying.feel(LyingAsset.Mood.ReturnsFalse);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(lying)));
        splits.accrue(split, address(lying), 100);
        checkEqual(splits.accruedOf(split, address(lying)), 0, "and nothing is accrued");
    }

    function test_one_unit_that_arrives_is_credited() external {
        bytes32 split = splits.create(makeShares(1, 1, 1));
        SwitchAsset dust = new SwitchAsset();
        dust.setFee(99);
        dust.mint(address(this), 100);
        dust.approve(address(splits), 100);
        splits.accrue(split, address(dust), 100);
        checkEqual(splits.accruedOf(split, address(dust)), 1, "one of a hundred");
    }

    /// @dev Whenever the fee is turned, no split is owed more than is here.
    function testFuzz_the_balance_covers_what_is_owed_under_a_changing_fee(
        uint64[8] calldata amounts,
        uint8[8] calldata fees,
        uint8 when
    ) external {
        ISplitRegistry.Share[] memory shares = makeShares(500_000, 300_000, 1);
        bytes32 split = splits.create(shares);
        SwitchAsset changing = new SwitchAsset();
        for (uint256 i = 0; i < 8; i++) {
            changing.setFee(within(fees[i], 0, 99));
            uint256 amount = uint256(amounts[i]) + 100;
            changing.mint(address(this), amount);
            changing.approve(address(splits), amount);
            splits.accrue(split, address(changing), amount);
            if (when & (1 << i) != 0) splits.distribute(shares, address(changing));
            if (when & (1 << (7 - i)) != 0) splits.withdraw(shares[i % 3].recipient, address(changing));
            uint256 owed = splits.accruedOf(split, address(changing));
            for (uint256 k = 0; k < 3; k++) {
                owed += splits.owedTo(shares[k].recipient, address(changing));
            }
            checkTrue(changing.balanceOf(address(splits)) >= owed, "covered");
        }
    }

    function test_all_that_ever_came_in_fits_128_bits() external {
        bytes32 split = splits.create(makeShares(999_998, 1, 1));
        accrue(split, type(uint128).max - 1);
        checkEqual(splits.distribute(makeShares(999_998, 1, 1), address(asset)), type(uint128).max - 1, "distributed");
        asset.mint(address(this), 2);
        asset.approve(address(splits), 2);
        vm.expectRevert(abi.encodeWithSelector(ISplitRegistry.AmountTooLarge.selector, split, address(asset), 2, 1));
        splits.accrue(split, address(asset), 2);
        accrue(split, 1);
        splits.distribute(makeShares(999_998, 1, 1), address(asset));
        uint256 share = uint256(type(uint128).max) * 999_998 / 1_000_000;
        checkEqual(splits.owedTo(FIRST, address(asset)), share, "no product overflows");
    }

    function test_an_asset_that_calls_back_meets_the_guard() external {
        ISplitRegistry.Share[] memory shares = makeShares(1, 2, 3);
        bytes32 split = splits.create(shares);
        CallingAsset calling = new CallingAsset();
        calling.mint(address(this), 600);
        calling.approve(address(splits), 600);
        bytes[3] memory attempts = [
            abi.encodeCall(splits.accrue, (split, address(calling), 1)),
            abi.encodeCall(splits.distribute, (shares, address(calling))),
            abi.encodeCall(splits.withdraw, (FIRST, address(calling)))
        ];
        for (uint256 i = 0; i < attempts.length; i++) {
            calling.aim(address(splits), attempts[i]);
            splits.accrue(split, address(calling), 60);
            checkRefused(calling);
            splits.distribute(shares, address(calling));
            splits.withdraw(FIRST, address(calling));
            checkRefused(calling);
        }
        checkEqual(calling.balanceOf(FIRST), 30, "paid once each time");
    }

    // ---- Going out

    function test_recipients_get_their_proportions_and_take_them_themselves() external {
        ISplitRegistry.Share[] memory shares = makeShares(10, 20, 30);
        bytes32 split = splits.create(shares);
        asset.mint(address(this), 600);
        asset.approve(address(splits), 600);
        vm.expectEmit();
        emit ISplitRegistry.Accrued(split, address(asset), 600);
        splits.accrue(split, address(asset), 600);
        checkEqual(splits.accruedOf(split, address(asset)), 600, "accrued");
        vm.expectEmit();
        emit ISplitRegistry.Distributed(split, address(asset), 600);
        checkEqual(splits.distribute(shares, address(asset)), 600, "distributed");
        checkEqual(splits.accruedOf(split, address(asset)), 0, "nothing accrued");
        checkEqual(splits.distribute(shares, address(asset)), 0, "and again nothing");
        vm.expectEmit();
        emit ISplitRegistry.SharePaid(SECOND, address(asset), 200);
        vm.prank(THIRD);
        checkEqual(splits.withdraw(SECOND, address(asset)), 200, "anyone may ask");
        checkEqual(asset.balanceOf(SECOND), 200, "the recipient is paid");
        checkEqual(splits.withdraw(SECOND, address(asset)), 0, "and again nothing");
        checkEqual(splits.owedTo(FIRST, address(asset)) + splits.owedTo(THIRD, address(asset)), 400, "the others");
    }

    function test_one_unit_is_paid_and_where_there_is_nothing_nothing_is_said() external {
        ISplitRegistry.Share[] memory shares = makeShares(1, 1, 1);
        accrue(splits.create(shares), 3);
        splits.distribute(shares, address(asset));
        checkEqual(splits.withdraw(FIRST, address(asset)), 1, "one unit");
        checkEqual(asset.balanceOf(FIRST), 1, "paid");
        vm.recordLogs();
        splits.withdraw(FIRST, address(asset));
        splits.distribute(shares, address(asset));
        checkEqual(vm.getRecordedLogs().length, 0, "nothing is said");
    }

    function test_one_recipient_of_two_splits_is_owed_the_sum() external {
        bytes32 one = splits.create(makeShares(1, 1, 1));
        bytes32 two = splits.create(makeShares(2, 1, 1));
        accrue(one, 3);
        accrue(two, 4);
        splits.distribute(makeShares(1, 1, 1), address(asset));
        splits.distribute(makeShares(2, 1, 1), address(asset));
        checkEqual(splits.withdraw(FIRST, address(asset)), 3, "one and two");
    }

    function test_a_wrong_list_distributes_nothing() external {
        bytes32 split = splits.create(makeShares(1, 1, 1));
        accrue(split, 300);
        ISplitRegistry.Share[] memory wrong = makeShares(1, 1, 1);
        wrong[2].recipient = address(0xBAD);
        bytes32 other = splits.splitId(wrong);
        vm.expectRevert(abi.encodeWithSelector(ISplitRegistry.SplitNotRegistered.selector, other));
        splits.distribute(wrong, address(asset));
        splits.create(wrong);
        checkEqual(splits.distribute(wrong, address(asset)), 0, "another split has its own money");
    }

    function test_distributing_in_dust_takes_nothing_from_anyone() external {
        ISplitRegistry.Share[] memory shares = makeShares(999_998, 1, 1);
        bytes32 split = splits.create(shares);
        for (uint256 i = 0; i < 10; i++) {
            accrue(split, 1);
            splits.distribute(shares, address(asset));
        }
        // Each time alone would round to nothing.
        checkEqual(splits.owedTo(FIRST, address(asset)), 9, "9.99998 in all");
    }

    function testFuzz_a_recipients_part_is_its_share_of_all_however_often_it_is_distributed(
        uint64[6] calldata amounts,
        uint32[3] calldata ppm,
        uint8 when
    ) external {
        ISplitRegistry.Share[] memory shares = makeShares(
            uint32(within(ppm[0], 1, 300_000)), uint32(within(ppm[1], 1, 300_000)), uint32(within(ppm[2], 1, 400_000))
        );
        bytes32 split = splits.create(shares);
        uint256 all;
        for (uint256 i = 0; i < amounts.length; i++) {
            if (amounts[i] != 0) accrue(split, amounts[i]);
            all += amounts[i];
            if (when & (1 << i) != 0) splits.distribute(shares, address(asset));
            if (when & 0x40 != 0) splits.withdraw(shares[i % 3].recipient, address(asset));
        }
        splits.distribute(shares, address(asset));
        uint256 given;
        for (uint256 i = 0; i < 3; i++) {
            address who = shares[i].recipient;
            uint256 part = splits.owedTo(who, address(asset)) + asset.balanceOf(who);
            checkEqual(part, all * shares[i].sharePpm / splits.totalPpmOf(split), "part");
            given += part;
        }
        checkTrue(all - given < 3, "less than a unit each is left");
        uint256 left = asset.balanceOf(address(splits));
        uint256 owed;
        for (uint256 i = 0; i < 3; i++) {
            owed += splits.owedTo(shares[i].recipient, address(asset));
        }
        checkTrue(left >= owed + splits.accruedOf(split, address(asset)), "the balance covers all");
    }

    function checkRefused(CallingAsset calling) private view {
        checkTrue(calling.calls() != 0 && !calling.succeeded(), "called back, and refused");
        bytes4 guard = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
        checkEqual(bytes32(calling.answer()), bytes32(guard), "by the guard");
    }

    function accrue(bytes32 split, uint256 amount) private {
        asset.mint(address(this), amount);
        asset.approve(address(splits), amount);
        splits.accrue(split, address(asset), amount);
    }

    function makeShares(uint32 first, uint32 second, uint32 third)
        private
        pure
        returns (ISplitRegistry.Share[] memory shares)
    {
        shares = new ISplitRegistry.Share[](3);
        shares[0] = ISplitRegistry.Share(FIRST, first);
        shares[1] = ISplitRegistry.Share(SECOND, second);
        shares[2] = ISplitRegistry.Share(THIRD, third);
    }

    function makeMany(uint256 count) private pure returns (ISplitRegistry.Share[] memory shares) {
        shares = new ISplitRegistry.Share[](count);
        for (uint256 i = 0; i < count; i++) {
            shares[i] = ISplitRegistry.Share(address(uint160(i + 1)), 1);
        }
    }
}
