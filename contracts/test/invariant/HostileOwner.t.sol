// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Bench} from "../Bench.sol";
import {HostileOwner} from "./HostileOwner.sol";

/// @notice What governance cannot do, whatever it sets: take stake of a provider that serves, thin the collateral of a credit that is
/// out, or have more of anything made than was verified.
/// forge-config: default.invariant.runs = 6
/// forge-config: default.invariant.depth = 200
/// forge-config: long.invariant.runs = 420
/// forge-config: long.invariant.depth = 250
contract HostileOwnerTest is Bench {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    HostileOwner private market;

    function setUp() external {
        market = new HostileOwner();
    }

    /// @dev Forge asks for this: whom to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(market);
    }

    /// @dev Forge asks for this: which functions to call.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(market);
        bytes4[16] memory acts = [
            HostileOwner.actRatio.selector,
            HostileOwner.actWindow.selector,
            HostileOwner.actClass.selector,
            HostileOwner.actAddClass.selector,
            HostileOwner.actSettings.selector,
            HostileOwner.actVerifierSettings.selector,
            HostileOwner.actEscrow.selector,
            HostileOwner.actBridge.selector,
            HostileOwner.actMint.selector,
            HostileOwner.actUse.selector,
            HostileOwner.actStake.selector,
            HostileOwner.actStartToLeave.selector,
            HostileOwner.actLeave.selector,
            HostileOwner.actVanish.selector,
            HostileOwner.actRedeemFromTheOneThatServes.selector,
            HostileOwner.actWait.selector
        ];
        targets[0].selectors = new bytes4[](acts.length);
        for (uint256 i = 0; i < acts.length; i++) {
            targets[0].selectors[i] = acts[i];
        }
    }

    /// @dev Else the invariants would hold of nothing.
    function test_these_acts_change_terms_and_reach_redemptions() external {
        market.actMint(1, 0, 1_000 ether, 0);
        market.actWait(14 days);
        market.actRatio(0, 3);
        market.actWindow(1, 0);
        checkEqual(market.changes(), 2, "two settings were changed");
        market.actRatio(0, 3);
        checkEqual(market.changes(), 2, "once in a thaw");
        market.actVanish(0, 10 ether);
        checkEqual(market.redemptions(), 1, "and a credit was redeemed");
    }

    /// @dev One function, so that every run asks it all after each act.
    function invariant_an_owner_takes_nothing_by_what_it_sets() external view {
        checkTrue(!market.servingProviderLost(), "nobody redeems from the provider that serves");
        checkTrue(!market.servingProviderIsInDefault(), "it is never in default");
        checkTrue(market.stakeIsWhole(), "its stake is what it put there");
        checkTrue(!market.leavingStakeWasKept(), "what started to leave leaves whole");
        checkTrue(!market.holderGotLess(), "holders get the collateral of the mint");
        checkTrue(!market.holderGotMore(), "and no more of the stake");
        checkTrue(market.collateralLies(), "what is held lies there");
        checkTrue(market.supplyIsVerified(), "no credit exists that was not verified");
        checkTrue(market.openxSupply() <= market.genesis(), "no OPENX is made");
    }
}
