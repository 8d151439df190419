// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Bench} from "../Bench.sol";
import {CreditTrading} from "./CreditTrading.sol";

/// @notice What holds after any sequence of mints, sales, uses, redemptions, stakes and slashes.
/// Long runs, for a default is many acts away from a mint.
/// forge-config: default.invariant.runs = 16
/// forge-config: default.invariant.depth = 250
/// forge-config: long.invariant.runs = 150
/// forge-config: long.invariant.depth = 250
contract CreditsTest is Bench {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    CreditTrading private trading;

    function setUp() external {
        trading = new CreditTrading();
    }

    /// @dev Forge asks for this: whom to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(trading);
    }

    /// @dev Forge asks for this: which functions to call.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(trading);
        bytes4[16] memory acts = [
            CreditTrading.actMint.selector,
            CreditTrading.actMintTooMuch.selector,
            CreditTrading.actSend.selector,
            CreditTrading.actBurnAt.selector,
            CreditTrading.actRedeem.selector,
            CreditTrading.actStake.selector,
            CreditTrading.actUnstake.selector,
            CreditTrading.actUnstakeTooMuch.selector,
            CreditTrading.actWithdraw.selector,
            CreditTrading.actSlash.selector,
            CreditTrading.actBurnForfeit.selector,
            CreditTrading.actVerify.selector,
            CreditTrading.actJail.selector,
            CreditTrading.actHold.selector,
            CreditTrading.actGovern.selector,
            CreditTrading.actWait.selector
        ];
        targets[0].selectors = new bytes4[](acts.length);
        for (uint256 i = 0; i < acts.length; i++) {
            targets[0].selectors[i] = acts[i];
        }
    }

    function invariant_outstanding_sums_to_the_supply() external view {
        for (uint256 i = 0; i < 2; i++) {
            bool gpu = i == 0;
            checkTrue(trading.outstandingOf(gpu) == int256(trading.supplyOf(gpu)), "outstanding");
            checkEqual(trading.balancesOf(gpu), trading.supplyOf(gpu), "balances");
        }
    }

    function invariant_no_mint_passes_the_limit_or_the_collateral() external view {
        checkTrue(!trading.mintedAboveLimit(), "limit");
        checkTrue(!trading.mintedWithoutCollateral(), "collateral");
        checkTrue(!trading.mintedTooMuch(), "what mintableOf says is the most");
    }

    function invariant_held_stake_never_leaves() external view {
        checkTrue(!trading.heldStakeLeft(), "held");
    }

    function invariant_openx_is_conserved_to_the_unit() external view {
        checkEqual(trading.lies(), trading.parts(), "staked, thawing and forfeit");
        checkEqual(trading.openxSupply(), trading.genesis() - trading.burned(), "only slashing burns");
        checkEqual(trading.allOpenx(), trading.openxSupply(), "of all accounts");
    }

    function invariant_a_slash_is_within_the_stake_and_on_record() external view {
        checkTrue(!trading.slashedAboveStake(), "stake");
        checkTrue(trading.faultsAddUp(), "record");
    }

    function invariant_redemption_is_fair_and_only_from_those_in_default() external view {
        checkTrue(!trading.redeemedUnfairly(), "fair");
        checkTrue(!trading.redeemedFromAServer(), "default");
    }

    function invariant_holders_keep_nine_tenths_of_their_collateral() external view {
        checkTrue(trading.collateralIsThere(), "collateral");
    }

    function invariant_the_collateral_of_a_credit_never_falls_while_it_is_out() external view {
        checkTrue(!trading.collateralFell(), "collateral");
    }
}
