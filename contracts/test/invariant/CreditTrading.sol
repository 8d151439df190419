// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ComputeCredit} from "../../src/money/ComputeCredit.sol";
import {IProviderRegistry} from "../../src/interfaces/IProviderRegistry.sol";
import {Providing} from "../Providing.sol";

/// @notice Random providers and holders of credits, and a memory of what must never happen.
/// Forge calls the functions whose names begin with act; each either does something lawful or returns.
contract CreditTrading is Providing {
    uint256 private constant PROVIDERS = 3;
    /// @dev Providers first, then two who only hold.
    uint256 private constant PARTIES = 5;
    address private constant REPORTER = address(0x4E9);
    address private constant TREASURY = address(0x7EA);

    uint256 public genesis;
    uint256 public burned;
    uint256 public slashes;
    bool public mintedAboveLimit;
    bool public mintedWithoutCollateral;
    bool public mintedTooMuch;
    bool public heldStakeLeft;
    bool public slashedAboveStake;
    bool public redeemedUnfairly;
    bool public redeemedFromAServer;
    bool public collateralFell;
    mapping(address provider => mapping(ComputeCredit credit => uint256)) private _wasOut;
    mapping(address provider => mapping(ComputeCredit credit => uint256)) private _wasHeld;

    /// @dev What is held for a credit that is out never falls, whatever anybody does. Rounding up may lift it before, and not after.
    modifier watched() {
        _;
        for (uint256 i = 0; i < 2 * PROVIDERS; i++) {
            (address who, ComputeCredit credit) = (party(i / 2), kindOf(i % 2 == 0));
            (uint256 out, uint256 held) = (outOf(credit, who), credit.heldStakeOf(who));
            (uint256 wasOut, uint256 wasHeld) = (_wasOut[who][credit], _wasHeld[who][credit]);
            if (wasOut != 0 && held * wasOut + out < wasHeld * out) collateralFell = true;
            (_wasOut[who][credit], _wasHeld[who][credit]) = (out, held);
        }
    }

    constructor() {
        setUp();
        genesis = openx.totalSupply();
    }

    // ---- Credits

    /// @dev Who has no capacity in force is verified first, and who is short gets stake, so that mints are many.
    function actMint(uint256 who, bool gpu, uint256 amount, uint256 milli) external watched {
        (address minter, ComputeCredit credit) = (party(who % PROVIDERS), kindOf(gpu));
        if (credit.limitOf(minter) == 0) giveCapacity(minter, uint64(within(milli, 1, 5_000)), 1_000);
        (uint256 held, uint256 staked) = (registry.heldStakeOf(minter), registry.stakeOf(minter));
        if (held >= staked) giveStake(minter, held - staked + 10 ether);
        uint256 most = credit.mintableOf(minter);
        if (most == 0) return;
        mintAs(minter, credit, within(amount, 1, most));
        if (credit.outstanding(minter) > int256(credit.limitOf(minter))) mintedAboveLimit = true;
        if (registry.heldStakeOf(minter) > registry.stakeOf(minter)) mintedWithoutCollateral = true;
    }

    function actMintTooMuch(uint256 who, bool gpu, uint256 more) external {
        (address minter, ComputeCredit credit) = (party(who % PROVIDERS), kindOf(gpu));
        uint256 amount = credit.mintableOf(minter) + within(more, 1, 1_000 ether);
        vm.prank(minter);
        try credit.mint(minter, amount) {
            mintedTooMuch = true;
        } catch {}
    }

    function actSend(uint256 from, uint256 to, bool gpu, uint256 amount) external {
        ComputeCredit credit = kindOf(gpu);
        address sender = firstThatHolds(credit, from);
        uint256 most = credit.balanceOf(sender);
        if (most == 0) return;
        send(credit, sender, party(to), within(amount, 1, most));
    }

    function actBurnAt(uint256 who, uint256 server, bool gpu, uint256 amount) external watched {
        ComputeCredit credit = kindOf(gpu);
        address holder = firstThatHolds(credit, who);
        uint256 most = credit.balanceOf(holder);
        if (most == 0) return;
        burnAs(holder, credit, party(server), within(amount, 1, most));
    }

    /// @dev From the first of those that have something outstanding; of three times, once it vanishes before, and once it keeps
    /// next to nothing in force.
    function actRedeem(uint256 who, uint256 whose, bool gpu, uint256 amount, uint256 before) external watched {
        ComputeCredit credit = kindOf(gpu);
        address minter = firstThatOwes(credit, whose);
        address holder = firstThatHolds(credit, who);
        if (before % 3 == 1) vanish(minter);
        if (before % 3 == 2) shrink(credit, minter);
        uint256 most = credit.redeemableOf(minter);
        if (most > credit.balanceOf(holder)) most = credit.balanceOf(holder);
        if (most == 0) return;
        amount = within(amount, 1, most);
        uint256 value = credit.valueOf(minter, amount);
        if (value == 0) return;
        redeemFrom(minter, holder, credit, amount, value);
    }

    function redeemFrom(address minter, address holder, ComputeCredit credit, uint256 amount, uint256 value) private {
        (uint256 held, uint256 backing) = (registry.heldStakeOf(minter), registry.backingOf(minter));
        if (credit.limitOf(minter) >= uint256(credit.outstanding(minter))) redeemedFromAServer = true;
        vm.prank(holder);
        uint256 paid = credit.redeem(minter, amount);
        (uint256 heldLeft, uint256 backingLeft) = (registry.heldStakeOf(minter), registry.backingOf(minter));
        if (paid != value || backing - backingLeft != paid) redeemedUnfairly = true;
        // The share that is left for the others is as it was, or better by rounding.
        if (backing >= held ? backingLeft < heldLeft : backingLeft * held < backing * heldLeft) {
            // Rounding the hold up can lift it by one unit, which the share then lacks.
            if (backing >= held || backingLeft * held + held < backing * heldLeft) redeemedUnfairly = true;
        }
    }

    // ---- Stake

    function actStake(uint256 who, uint256 amount) external {
        amount = within(amount, 1, 1_000 ether);
        giveStake(party(who % PROVIDERS), amount);
    }

    function actUnstake(uint256 who, uint256 amount) external {
        address staker = party(who % PROVIDERS);
        (uint256 staked, uint256 held) = (registry.stakeOf(staker), registry.heldStakeOf(staker));
        if (staked <= held) return;
        unstakeAs(staker, within(amount, 1, staked - held));
        if (registry.stakeOf(staker) < held) heldStakeLeft = true;
    }

    function actUnstakeTooMuch(uint256 who, uint256 more) external {
        address staker = party(who % PROVIDERS);
        (uint256 staked, uint256 held) = (registry.stakeOf(staker), registry.heldStakeOf(staker));
        uint256 surplus = staked > held ? staked - held : 0;
        vm.prank(staker);
        try registry.startUnstake(surplus + within(more, 1, 1_000 ether)) {
            heldStakeLeft = true;
        } catch {}
    }

    function actWithdraw(uint256 who) external {
        address staker = party(who % PROVIDERS);
        IProviderRegistry.Stake memory own = registry.stakeDetails(staker);
        if (own.thawEnd == 0) return;
        if (own.thawEnd > block.timestamp) vm.warp(own.thawEnd);
        uint256 held = registry.heldStakeOf(staker);
        vm.prank(staker);
        uint256 left = registry.withdrawStake();
        if (left != 0 && registry.stakeOf(staker) < held) heldStakeLeft = true;
        vm.prank(staker);
        openx.transfer(treasury, left);
    }

    function actSlash(uint256 who, uint32 ppm, bool self) external {
        address faulty = party(who % PROVIDERS);
        IProviderRegistry.Stake memory own = registry.stakeDetails(faulty);
        uint256 kept = registry.forfeitOf(faulty);
        if (uint256(own.staked) + own.thawing == 0) return;
        (uint256 slashed, uint256 reward) =
            slashFor(faulty, uint32(within(ppm, 1, 1_100_000)), self ? faulty : REPORTER);
        if (slashed > uint256(own.staked) + own.thawing) slashedAboveStake = true;
        burned += slashed - reward - (registry.forfeitOf(faulty) - kept);
        slashes += slashed;
    }

    function actBurnForfeit(uint256 who) external {
        burned += registry.burnForfeit(party(who % PROVIDERS));
    }

    // ---- The world

    function actVerify(uint256 who, uint256 gpuMilli, uint256 cpuMilli, uint256 time) external {
        uint64 until = uint64(block.timestamp + within(time, 1 hours, 60 days));
        address verified = party(who % PROVIDERS);
        capacity.give(verified, uint64(within(gpuMilli, 0, 5_000)), uint64(within(cpuMilli, 0, 5_000)), until);
    }

    function actJail(uint256 who) external {
        capacity.end(party(who % PROVIDERS));
    }

    /// @dev A verifier enlists with stake that is free, and leaves.
    function actHold(uint256 who, uint256 amount) external {
        address verifier = party(who % PROVIDERS);
        (uint256 staked, uint256 held) = (registry.stakeOf(verifier), registry.heldStakeOf(verifier));
        uint256 own = capacity.heldStakeOf(verifier);
        uint256 most = staked > held ? staked - held + own : own;
        capacity.hold(verifier, within(amount, 0, most));
    }

    function actGovern(bool gpu, uint256 rate, uint256 window) external watched {
        ComputeCredit credit = kindOf(gpu);
        // Set each time, so the later of the two.
        uint256 next = credit.windowSetAt() + credit.TERMS_INTERVAL();
        if (block.timestamp < next) vm.warp(next);
        uint256 current = credit.windowHours();
        credit.setWindowHours(uint32(within(window, (current + 1) / 2, current > 100 ? current : current * 2)));
        current = credit.collateralRatio();
        rate = within(rate, (current + 1) / 2, current * 2);
        if (rate < credit.MIN_COLLATERAL_RATIO() || rate > credit.MAX_COLLATERAL_RATIO()) return;
        credit.setCollateralRatio(rate);
    }

    function actWait(uint256 time) external {
        vm.warp(block.timestamp + within(time, 1, 5 days));
    }

    // ---- What the invariants ask

    function outstandingOf(bool gpu) external view returns (int256 sum) {
        for (uint256 i = 0; i < PARTIES; i++) {
            sum += kindOf(gpu).outstanding(party(i));
        }
    }

    function supplyOf(bool gpu) external view returns (uint256) {
        return kindOf(gpu).totalSupply();
    }

    function balancesOf(bool gpu) external view returns (uint256 sum) {
        for (uint256 i = 0; i < PARTIES; i++) {
            sum += kindOf(gpu).balanceOf(party(i));
        }
    }

    function lies() external view returns (uint256) {
        return openx.balanceOf(address(registry));
    }

    /// @notice What lies in the registry, counted from its parts.
    function parts() public view returns (uint256 sum) {
        for (uint256 i = 0; i < PROVIDERS; i++) {
            IProviderRegistry.Stake memory own = registry.stakeDetails(party(i));
            sum += uint256(own.staked) + own.thawing + registry.forfeitOf(party(i));
        }
    }

    /// @notice Every OPENX there is, counted where it may be.
    function allOpenx() external view returns (uint256 sum) {
        sum = parts() + openx.balanceOf(TREASURY) + openx.balanceOf(REPORTER);
        for (uint256 i = 0; i < PARTIES; i++) {
            sum += openx.balanceOf(party(i));
        }
    }

    function openxSupply() external view returns (uint256) {
        return openx.totalSupply();
    }

    /// @notice What lies there is nine tenths of what is held, or more; less the units that rounding lost.
    function collateralIsThere() external view returns (bool) {
        for (uint256 i = 0; i < PROVIDERS; i++) {
            uint256 held = registry.heldStakeOf(party(i));
            if (registry.backingOf(party(i)) * 10 + 10_000 < held * 9) return false;
        }
        return true;
    }

    /// @notice What counts as a provider's fault record is what it lost.
    function faultsAddUp() external view returns (bool) {
        uint256 sum;
        for (uint256 i = 0; i < PROVIDERS; i++) {
            (, uint128 slashed) = registry.faultsOf(party(i));
            sum += slashed;
        }
        return sum == slashes;
    }

    // ---- Inside

    function shrink(ComputeCredit credit, address who) private {
        giveCapacity(who, 1, 1);
        vm.warp(block.timestamp + credit.DEFAULT_GRACE() + 1);
    }

    function firstThatOwes(ComputeCredit credit, uint256 from) private view returns (address found) {
        for (uint256 i = 0; i < PROVIDERS; i++) {
            found = party((from % PROVIDERS + i) % PROVIDERS);
            if (credit.outstanding(found) > 0) return found;
        }
    }

    function firstThatHolds(ComputeCredit credit, uint256 from) private view returns (address found) {
        for (uint256 i = 0; i < PARTIES; i++) {
            found = party(from % PARTIES + i);
            if (credit.balanceOf(found) > 0) return found;
        }
    }

    function outOf(ComputeCredit credit, address who) private view returns (uint256) {
        int256 current = credit.outstanding(who);
        return current > 0 ? uint256(current) : 0;
    }

    function party(uint256 which) private view returns (address) {
        which = which % PARTIES;
        return which == 0 ? provider : address(uint160(0xC0DE00 + which));
    }

    function kindOf(bool gpu) private view returns (ComputeCredit) {
        return gpu ? tgpu : tcpu;
    }
}
