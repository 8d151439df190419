// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Bench} from "../Bench.sol";
import {Dealing} from "./Dealing.sol";
import {Promising} from "./Promising.sol";

/// @notice What holds after any sequence of acts of any party on all contracts together.
/// Long runs, for what goes wrong may be many acts away from its cause.
/// forge-config: default.invariant.runs = 10
/// forge-config: default.invariant.depth = 250
/// forge-config: long.invariant.runs = 360
/// forge-config: long.invariant.depth = 250
contract WholeMarketTest is Bench {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    uint256 private constant ASSETS = 5;
    uint256 private constant KINDS = 2;

    Promising private dealing;

    function setUp() external {
        dealing = new Promising();
    }

    /// @dev Forge asks for this: whom to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(dealing);
    }

    /// @dev Forge asks for this: which functions to call.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(dealing);
        bytes4[29] memory acts = [
            Dealing.actDeposit.selector,
            Dealing.actWithdraw.selector,
            Dealing.actOpen.selector,
            Dealing.actLeave.selector,
            Dealing.actThaw.selector,
            Dealing.actRelease.selector,
            Dealing.actVouch.selector,
            Dealing.actForge.selector,
            Dealing.actCollect.selector,
            Dealing.actFee.selector,
            Dealing.actStop.selector,
            Dealing.actVerify.selector,
            Dealing.actMint.selector,
            Dealing.actMintTooMuch.selector,
            Dealing.actSend.selector,
            Dealing.actRedeem.selector,
            Dealing.actStake.selector,
            Dealing.actUnstake.selector,
            Dealing.actReport.selector,
            Dealing.actBurnForfeit.selector,
            Dealing.actVerifier.selector,
            Dealing.actWait.selector,
            Promising.actPromise.selector,
            Promising.actSilence.selector,
            Promising.actAnswer.selector,
            Promising.actSettle.selector,
            Promising.actLast.selector,
            Promising.actCompensate.selector,
            Promising.actTakeOut.selector
        ];
        targets[0].selectors = new bytes4[](acts.length);
        for (uint256 i = 0; i < acts.length; i++) {
            targets[0].selectors[i] = acts[i];
        }
    }

    /// @dev One function, so that every run asks it all after each act.
    function invariant_the_whole_market_is_solvent_and_everyone_keeps_their_promises() external view {
        for (uint256 i = 0; i < ASSETS; i++) {
            (uint256 held, uint256 owes, uint256 parts) = dealing.escrowHolds(i);
            checkTrue(held >= owes, "the escrow holds what it owes");
            checkEqual(owes, parts, "what it owes is the sum of its parts");
            checkTrue(dealing.moneyIsWhole(i), "every unit of an asset has an owner");
        }
        for (uint256 i = 0; i < KINDS; i++) {
            checkTrue(dealing.creditsAreOutstanding(i), "what is outstanding is the supply of credits");
        }
        checkTrue(dealing.openxIsWhole(), "every OPENX is somewhere, or burned");
        checkTrue(dealing.claimsAreWithinBounds(), "claimed is within deposited and vouchered");
        checkTrue(!dealing.claimedFell(), "claimed never falls");
        checkTrue(!dealing.mintedAboveLimit(), "no mint passes the verified capacity");
        checkTrue(!dealing.mintedWithoutCollateral(), "no mint passes its collateral");
        checkTrue(!dealing.heldStakeLeft(), "held stake never leaves");
        checkTrue(!dealing.slashedAboveStake(), "a slash is within the stake");
        checkTrue(dealing.faultsAddUp(), "every slash is on record");
        checkTrue(dealing.compensationsAreWithinWhatTheProviderGot(), "stake gives back what it got, and no more");
        checkTrue(!dealing.compensatedBeforeTheThaw(), "after a stake thaw");
        checkTrue(!dealing.compensatedWhatHadLapsed(), "and not for ever");
        checkTrue(dealing.refundsAreWithinWhatWasPromised(), "no refund passes what both signed");
        checkTrue(dealing.whoAnswersLosesNothing(), "who answers loses nothing");
        checkTrue(!dealing.settledWhatWasAnswered(), "what was answered is over");
        checkTrue(!dealing.settledInTimeForAnAnswer(), "an answer has its day");
        checkTrue(!dealing.compensatedOutOfCollateral(), "collateral is its holders'");
        checkTrue(!dealing.compensatedSomebodyElse(), "compensations are the payer's");
    }
}
