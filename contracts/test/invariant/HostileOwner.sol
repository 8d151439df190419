// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ComputeCredit} from "../../src/money/ComputeCredit.sol";
import {IChallengeRules} from "../../src/interfaces/IChallengeRules.sol";
import {IOpenxToken} from "../../src/interfaces/IOpenxToken.sol";
import {IVerifierRegistry} from "../../src/interfaces/IVerifierRegistry.sol";
import {PlainAsset} from "../Assets.sol";
import {WholeMarket} from "./WholeMarket.sol";

/// @notice An owner of all contracts that sets whatever they let it, in any order and at any time; a provider that keeps serving, one
/// that sells and vanishes, those who hold their credits; and a memory of what must never happen.
///
/// To keep serving is to have the same hardware verified again and again, no verdict further than {STEP} from the next, and to serve
/// or buy back within {PATIENCE} what lower weights leave no capacity for.
contract HostileOwner is WholeMarket {
    uint256 private constant ONE = 1 ether;
    uint256 private constant STEP = 5 days;
    uint256 private constant PATIENCE = 7 days;
    uint16 private constant GPUS = 8;
    uint16 private constant VCPUS = 64;

    /// @dev The ratios at which a provider minted since it had nothing outstanding, and its limit at the last mint.
    struct Minted {
        uint256 lowest;
        uint256 highest;
        uint256 limit;
    }

    mapping(address provider => mapping(ComputeCredit credit => Minted)) private _minted;
    mapping(ComputeCredit credit => uint256) private _shortSince;
    /// @dev What lies for the provider that serves, by its own acts alone.
    uint256 private _own;
    uint256 public genesis;
    uint256 public changes;
    uint256 public redemptions;
    bool public servingProviderLost;
    bool public leavingStakeWasKept;
    bool public holderGotLess;
    bool public holderGotMore;

    constructor() {
        setUp();
        genesis = openx.totalSupply();
        _own = registry.backingOf(serving());
        keepUp();
    }

    // ---- The owner

    function actRatio(uint256 which, uint256 choice) external {
        ComputeCredit credit = creditAt(which);
        uint256 next = pick(choice, credit.collateralRatio());
        try credit.setCollateralRatio(next) {
            changes++;
        } catch {}
    }

    function actWindow(uint256 which, uint256 choice) external {
        ComputeCredit credit = creditAt(which);
        uint256 next = pick(choice, credit.windowHours());
        try credit.setWindowHours(uint32(next > 8760 ? 8760 : next)) {
            changes++;
        } catch {}
    }

    function actClass(uint256 which, uint256 choice, uint256 limit) external {
        uint16 id = uint16(which % 2);
        IChallengeRules.Class memory class = rules.classOf(id);
        uint32 weight = uint32(pick(choice, class.weightMilli));
        uint32 time = uint32(pick(limit, class.timeLimitMs));
        try rules.changeClass(id, weight, class.n, time) {
            changes++;
        } catch {}
    }

    function actAddClass(uint256 which, uint256 choice) external {
        if (rules.classCount() > 10) return;
        IChallengeRules.Class memory class = rules.classOf(uint16(which % 2));
        class.weightMilli = uint32(pick(choice, class.weightMilli));
        try rules.addClass(class) {
            changes++;
        } catch {}
    }

    /// @dev But for two: closing a class, after which its hardware cannot be verified any more, ninety days later; and wanting more
    /// verifiers than there are, after which nobody can be.
    // A list: one setting a line.
    // solhint-disable-next-line code-complexity
    function actSettings(uint256 which, uint256 choice) external {
        IChallengeRules.Settings memory next = rules.settings();
        which = which % 9;
        if (which == 0) next.validity = uint32(pick(choice, next.validity));
        if (which == 1) next.fee = uint96(pick(choice, next.fee));
        if (which == 2) next.deviceFee = uint96(pick(choice, next.deviceFee));
        if (which == 3) next.answerTime = uint32(pick(choice, next.answerTime));
        if (which == 4) next.drawDelay = uint16(pick(choice, next.drawDelay));
        if (which == 5) next.recheckTime = uint32(pick(choice, next.recheckTime));
        if (which == 6) next.spotCheckPause = uint32(pick(choice, next.spotCheckPause));
        if (which == 7) next.minList = uint16(within(choice, next.minPanel, VERIFIERS));
        if (which == 8) {
            next.panelSize = uint8(pick(choice, next.panelSize));
            next.quorum = uint8(uint256(next.panelSize) * 2 / 3 + 1);
        }
        try rules.setSettings(next) {
            changes++;
        } catch {}
    }

    function actVerifierSettings(uint256 choice, uint256 other) external {
        IVerifierRegistry.Settings memory next = verifiers.settings();
        next.verifierStake = uint96(pick(choice, next.verifierStake));
        next.leaveDelay = uint32(pick(other, next.leaveDelay));
        try verifiers.setSettings(next) {
            changes++;
        } catch {}
        try verifiers.strikeOff(judgeAt(choice)) {
            changes++;
        } catch {}
    }

    function actEscrow(uint256 which, uint256 choice) external {
        PlainAsset what = assetAt(which);
        try escrow.setFee(address(what), uint16(within(choice, 0, 60_000))) {
            changes++;
        } catch {}
        escrow.setFeeRecipient(choice % 2 == 0 ? FEE_RECIPIENT : address(this));
    }

    /// @dev A bridge of the owner's own, that takes from nobody and would make OPENX.
    function actBridge(uint96 most, uint96 ceiling, uint256 amount) external {
        try openx.setBridgeLimits(OUT, IOpenxToken.BridgeLimits(most, most, ceiling)) {
            changes++;
        } catch {}
        vm.prank(OUT);
        try openx.crosschainMint(OUT, within(amount, 1, 1_000 ether)) {
            changes++;
        } catch {}
    }

    // ---- Those who depend on it

    function actMint(uint256 whose, uint256 which, uint256 amount, uint256 to) external {
        (address minter, ComputeCredit credit) = (providerAt(whose), creditAt(which));
        if (credit.limitOf(minter) == 0) verify(minter);
        uint256 most = credit.mintableOf(minter);
        if (most == 0) return;
        Minted storage minted = _minted[minter][credit];
        if (credit.outstanding(minter) <= 0) (minted.lowest, minted.highest) = (type(uint256).max, 0);
        uint256 ratio = credit.collateralRatio();
        if (ratio < minted.lowest) minted.lowest = ratio;
        if (ratio > minted.highest) minted.highest = ratio;
        vm.prank(minter);
        credit.mint(payerAt(to), within(amount, 1, most));
        minted.limit = credit.limitOf(minter);
    }

    function actUse(uint256 whose, uint256 which, uint256 amount) external {
        (address server, ComputeCredit credit) = (providerAt(whose), creditAt(which));
        uint256 owed = outOf(server, credit);
        if (owed != 0) burnUpTo(server, credit, within(amount, 1, owed));
    }

    function actStake(uint256 amount) external {
        amount = within(amount, 1, 1_000 ether);
        stakeFor(serving(), amount);
        _own += amount;
    }

    function actStartToLeave(uint256 amount) external {
        (uint256 staked, uint256 held) = (registry.stakeOf(serving()), registry.heldStakeOf(serving()));
        if (staked <= held) return;
        vm.prank(serving());
        registry.startUnstake(within(amount, 1, staked - held));
    }

    function actLeave() external {
        uint256 end = registry.stakeDetails(serving()).thawEnd;
        if (end == 0) return;
        if (block.timestamp < end) pass(end - block.timestamp);
        uint256 thawed = registry.stakeDetails(serving()).thawing;
        vm.prank(serving());
        uint256 paid = registry.withdrawStake();
        if (paid != thawed) leavingStakeWasKept = true;
        _own -= paid;
        vm.prank(serving());
        openx.transfer(treasury, paid);
    }

    /// @dev The seller's capacity ends, and its credits are redeemed, also by parts.
    function actVanish(uint256 which, uint256 amount) external {
        ComputeCredit credit = creditAt(which);
        if (outOf(selling(), credit) == 0) return;
        uint64 until = capacity.historyOf(selling(), capacity.historyLength(selling()) - 1).until;
        if (block.timestamp <= until + STAKE_THAW) pass(until + STAKE_THAW + 1 - block.timestamp);
        redeem(credit, within(amount, 1, outOf(selling(), credit)));
    }

    function actRedeemFromTheOneThatServes(uint256 which, uint256 holder, uint256 amount) external {
        ComputeCredit credit = creditAt(which);
        uint256 most = credit.balanceOf(payerAt(holder));
        if (most == 0) return;
        vm.prank(payerAt(holder));
        try credit.redeem(serving(), within(amount, 1, most)) {
            servingProviderLost = true;
        } catch {}
    }

    function actWait(uint256 time) external {
        pass(within(time, 1, 20 days));
    }

    // ---- What the invariants ask

    function stakeIsWhole() external view returns (bool) {
        return registry.backingOf(serving()) == _own;
    }

    function supplyIsVerified() external view returns (bool) {
        for (uint256 i = 0; i < 2; i++) {
            ComputeCredit credit = creditAt(i);
            if (credit.totalSupply() > _minted[serving()][credit].limit + _minted[selling()][credit].limit) {
                return false;
            }
        }
        return true;
    }

    function collateralLies() external view returns (bool) {
        for (uint256 i = 0; i < PARTIES; i++) {
            if (registry.backingOf(providerAt(i)) < registry.heldStakeOf(providerAt(i))) return false;
        }
        return true;
    }

    function servingProviderIsInDefault() external view returns (bool) {
        return tgpu.isDefaulted(serving()) || tcpu.isDefaulted(serving());
    }

    function openxSupply() external view returns (uint256) {
        return openx.totalSupply();
    }

    // ---- How

    function serving() private view returns (address) {
        return providerAt(0);
    }

    function selling() private view returns (address) {
        return providerAt(1);
    }

    /// @dev Half of the time one of the bounds of a setting that may double or halve; else something beyond, at the end of all
    /// that there is, or close by.
    function pick(uint256 choice, uint256 current) private pure returns (uint256) {
        uint256 kind = choice % 8;
        if (kind < 3) return (current + 1) / 2;
        if (kind < 5) return current * 2;
        if (kind == 5) return 0;
        if (kind == 6) return current * 1_000;
        return within(choice >> 8, (current + 1) / 2, current * 2);
    }

    function pass(uint256 time) private {
        while (time > STEP) {
            keepUp();
            vm.warp(block.timestamp + STEP);
            time -= STEP;
        }
        keepUp();
        vm.warp(block.timestamp + time);
        keepUp();
    }

    function keepUp() private {
        if (capacity.capacityOf(serving()).until < block.timestamp + STEP) verify(serving());
        for (uint256 i = 0; i < 2; i++) {
            ComputeCredit credit = creditAt(i);
            uint256 short = credit.shortfallOf(serving());
            if (short == 0) _shortSince[credit] = 0;
            else if (_shortSince[credit] == 0) _shortSince[credit] = block.timestamp;
            else if (block.timestamp - _shortSince[credit] > PATIENCE) burnUpTo(serving(), credit, short);
        }
    }

    function verify(address tried) private {
        if (openx.balanceOf(treasury) < 100_000 ether) collectFees();
        giveOpenx(tried, rules.requestPrice(GPUS + VCPUS));
        vm.prank(tried);
        bytes32 id = capacity.requestChallenge(makeDeclared(GPUS, VCPUS));
        // All of the panel sign: none has a miss, for which it could be struck off.
        address[] memory panel = drawn(id).panel;
        record(id, makeBallot(id, panel, panel.length, true));
    }

    function collectFees() private {
        for (uint256 i = 0; i < VERIFIERS; i++) {
            verifiers.withdrawFees(judgeAt(i));
            uint256 fees = openx.balanceOf(judgeAt(i));
            vm.prank(judgeAt(i));
            openx.transfer(treasury, fees);
        }
    }

    /// @dev Of those who hold them, the first first.
    function burnUpTo(address server, ComputeCredit credit, uint256 amount) private {
        for (uint256 i = 0; i < PARTIES; i++) {
            uint256 has = credit.balanceOf(payerAt(i));
            uint256 part = has < amount ? has : amount;
            if (part == 0) continue;
            amount -= part;
            vm.prank(payerAt(i));
            credit.burnAt(server, part);
        }
    }

    function redeem(ComputeCredit credit, uint256 amount) private {
        Minted memory minted = _minted[selling()][credit];
        for (uint256 i = 0; i < PARTIES; i++) {
            uint256 has = credit.balanceOf(payerAt(i));
            uint256 part = has < amount ? has : amount;
            if (part == 0 || credit.valueOf(selling(), part) == 0) continue;
            amount -= part;
            vm.prank(payerAt(i));
            uint256 paid = credit.redeem(selling(), part);
            redemptions++;
            // Rounded down, once.
            if (paid + 1 < part * minted.lowest / ONE) holderGotLess = true;
            if (paid > part * minted.highest / ONE + 1) holderGotMore = true;
        }
    }

    function outOf(address who, ComputeCredit credit) private view returns (uint256) {
        int256 current = credit.outstanding(who);
        return current > 0 ? uint256(current) : 0;
    }
}
