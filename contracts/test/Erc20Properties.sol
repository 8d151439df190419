// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {Bench} from "./Bench.sol";

/// @notice What every ERC-20 is expected to keep, for any holders and amounts: the seventeen properties that auditors' suites
/// ask of a token without a fee, a pause or a block list (crytic/properties calls them ERC20-BASE-001 to 017).
abstract contract Erc20Properties is Bench {
    uint256 internal constant MOST = 100 ether;
    address internal constant ONE = address(0xE1);
    address internal constant TWO = address(0xE2);
    address internal constant THREE = address(0xE3);

    function token() internal view virtual returns (IERC20);

    /// @dev At most {MOST}.
    function give(address holder, uint256 amount) internal virtual;

    // ---- Supply and balances

    function testFuzz_erc20_01_moving_and_approving_leaves_the_supply(uint256 held, uint256 sent) external {
        (held, sent) = fill(held, sent);
        uint256 supply = token().totalSupply();
        sendAs(ONE, TWO, sent);
        approveAs(TWO, THREE, sent);
        takeAs(THREE, TWO, ONE, sent);
        checkEqual(token().totalSupply(), supply, "supply");
    }

    function testFuzz_erc20_02_no_balance_is_above_the_supply(uint256 held, uint256 sent) external {
        (held, sent) = fill(held, sent);
        sendAs(ONE, TWO, sent);
        checkTrue(token().balanceOf(ONE) <= token().totalSupply(), "the sender's");
        checkTrue(token().balanceOf(TWO) <= token().totalSupply(), "the receiver's");
    }

    function testFuzz_erc20_03_all_balances_together_are_within_the_supply(uint256 held, uint256 sent) external {
        (held, sent) = fill(held, sent);
        sendAs(ONE, TWO, sent);
        sendAs(TWO, THREE, sent / 2);
        uint256 sum = token().balanceOf(ONE) + token().balanceOf(TWO) + token().balanceOf(THREE);
        checkTrue(sum <= token().totalSupply(), "sum");
        checkEqual(sum, held, "and are what there was");
    }

    function testFuzz_erc20_04_the_zero_address_holds_nothing(uint256 held, uint256 sent) external {
        (held, sent) = fill(held, sent);
        sendAs(ONE, TWO, sent);
        checkEqual(token().balanceOf(address(0)), 0, "zero");
    }

    // ---- Refused

    function testFuzz_erc20_05_nothing_is_sent_to_the_zero_address(uint256 held, uint256 sent) external {
        (held, sent) = fill(held, sent);
        checkTrue(!tryCall(ONE, abi.encodeCall(IERC20.transfer, (address(0), sent))), "refused");
        checkEqual(token().balanceOf(ONE), held, "kept");
    }

    function testFuzz_erc20_06_nothing_is_taken_to_the_zero_address(uint256 held, uint256 sent) external {
        (held, sent) = fill(held, sent);
        approveAs(ONE, THREE, sent);
        checkTrue(!tryCall(THREE, abi.encodeCall(IERC20.transferFrom, (ONE, address(0), sent))), "refused");
        checkEqual(token().balanceOf(ONE), held, "kept");
        checkEqual(token().allowance(ONE, THREE), sent, "and not spent");
    }

    function testFuzz_erc20_09_no_more_is_sent_than_there_is(uint256 held, uint256 above) external {
        (held,) = fill(held, 0);
        above = within(above, held + 1, type(uint256).max);
        checkTrue(!tryCall(ONE, abi.encodeCall(IERC20.transfer, (TWO, above))), "refused");
        checkEqual(token().balanceOf(ONE), held, "kept");
        checkEqual(token().balanceOf(TWO), 0, "nothing came");
    }

    function testFuzz_erc20_10_no_more_is_taken_than_there_is(uint256 held, uint256 above) external {
        (held,) = fill(held, 0);
        above = within(above, held + 1, type(uint256).max);
        approveAs(ONE, THREE, type(uint256).max);
        checkTrue(!tryCall(THREE, abi.encodeCall(IERC20.transferFrom, (ONE, TWO, above))), "refused");
        checkEqual(token().balanceOf(ONE), held, "kept");
        checkEqual(token().balanceOf(TWO), 0, "nothing came");
    }

    // ---- Oneself, and nothing

    function testFuzz_erc20_07_sending_to_oneself_changes_nothing(uint256 held, uint256 sent) external {
        (held, sent) = fill(held, sent);
        sendAs(ONE, ONE, sent);
        checkEqual(token().balanceOf(ONE), held, "kept");
    }

    function testFuzz_erc20_08_taking_to_the_same_holder_changes_no_balance(uint256 held, uint256 sent) external {
        (held, sent) = fill(held, sent);
        approveAs(ONE, THREE, sent);
        takeAs(THREE, ONE, ONE, sent);
        checkEqual(token().balanceOf(ONE), held, "kept");
        checkEqual(token().allowance(ONE, THREE), 0, "but is spent");
    }

    function testFuzz_erc20_11_sending_nothing_changes_nothing(uint256 held) external {
        (held,) = fill(held, 0);
        sendAs(ONE, TWO, 0);
        checkEqual(token().balanceOf(ONE), held, "kept");
        checkEqual(token().balanceOf(TWO), 0, "nothing came");
    }

    function testFuzz_erc20_12_taking_nothing_needs_no_allowance_and_changes_nothing(uint256 held) external {
        (held,) = fill(held, 0);
        takeAs(THREE, ONE, TWO, 0);
        checkEqual(token().balanceOf(ONE), held, "kept");
        checkEqual(token().balanceOf(TWO), 0, "nothing came");
    }

    // ---- Moved

    function testFuzz_erc20_13_a_transfer_moves_exactly_what_it_names(uint256 held, uint256 sent) external {
        (held, sent) = fill(held, sent);
        sendAs(ONE, TWO, sent);
        checkEqual(token().balanceOf(ONE), held - sent, "sender");
        checkEqual(token().balanceOf(TWO), sent, "receiver");
    }

    function testFuzz_erc20_14_who_is_allowed_moves_exactly_what_it_names(uint256 held, uint256 sent) external {
        (held, sent) = fill(held, sent);
        approveAs(ONE, THREE, sent);
        takeAs(THREE, ONE, TWO, sent);
        checkEqual(token().balanceOf(ONE), held - sent, "owner");
        checkEqual(token().balanceOf(TWO), sent, "receiver");
        checkEqual(token().balanceOf(THREE), 0, "not the one who moved it");
    }

    // ---- Allowances

    function testFuzz_erc20_15_an_approval_sets_the_allowance(uint256 amount) external {
        approveAs(ONE, TWO, amount);
        checkEqual(token().allowance(ONE, TWO), amount, "set");
        checkEqual(token().allowance(TWO, ONE), 0, "one way");
    }

    function testFuzz_erc20_16_a_second_approval_replaces_the_first(uint256 first, uint256 second) external {
        approveAs(ONE, TWO, first);
        approveAs(ONE, TWO, second);
        checkEqual(token().allowance(ONE, TWO), second, "replaced");
    }

    function testFuzz_erc20_17_what_is_taken_is_spent_of_the_allowance(uint256 held, uint256 sent, uint256 allowed)
        external
    {
        (held, sent) = fill(held, sent);
        if (allowed < sent) allowed = sent;
        approveAs(ONE, THREE, allowed);
        takeAs(THREE, ONE, TWO, sent);
        // The largest number stands for no limit.
        uint256 left = allowed == type(uint256).max ? allowed : allowed - sent;
        checkEqual(token().allowance(ONE, THREE), left, "left");
        if (left == type(uint256).max || left >= held - sent) return;
        checkTrue(!tryCall(THREE, abi.encodeCall(IERC20.transferFrom, (ONE, TWO, left + 1))), "and no more");
    }

    // ---- Inside

    /// @dev ONE holds `held`, at least `sent`.
    function fill(uint256 held, uint256 sent) private returns (uint256, uint256) {
        held = within(held, 1, MOST);
        give(ONE, held);
        return (held, within(sent, 0, held));
    }

    function sendAs(address from, address to, uint256 amount) private {
        checkTrue(tryCall(from, abi.encodeCall(IERC20.transfer, (to, amount))), "sent");
    }

    function takeAs(address spender, address from, address to, uint256 amount) private {
        checkTrue(tryCall(spender, abi.encodeCall(IERC20.transferFrom, (from, to, amount))), "taken");
    }

    function approveAs(address owner, address spender, uint256 amount) private {
        checkTrue(tryCall(owner, abi.encodeCall(IERC20.approve, (spender, amount))), "approved");
    }

    /// @return done that it did not revert, and said true
    function tryCall(address sender, bytes memory message) private returns (bool done) {
        address called = address(token());
        vm.prank(sender);
        bytes memory answer;
        (done, answer) = called.call(message);
        done = done && abi.decode(answer, (bool));
    }
}
