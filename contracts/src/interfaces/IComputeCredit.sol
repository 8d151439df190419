// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

import {ICapacityRegistry} from "./ICapacityRegistry.sol";
import {IProviderRegistry} from "./IProviderRegistry.sol";
import {IStakeHold} from "./IStakeHold.sol";

/// @title A compute credit: tGPU (one reference-GPU-hour) or tCPU (one reference-vCPU-hour)
/// @notice An ERC-20 with 18 decimals and signed approvals, made by providers against capacity that verifiers have
/// confirmed, and burned when it is used. One contract for each {ICapacityRegistry-Kind}. A credit is good at any provider that
/// takes it; which provider made it matters only for what that provider may mint and must hold collateral for.
///
/// Promises
/// - {outstanding} of a provider is what it minted, less what was burned at it and less what its stake redeemed. It is signed:
///   a provider that serves more than it minted goes below zero and may mint that much more. The sum over all
///   providers is the total supply.
/// - A mint never leaves outstanding above {limitOf}, the verified capacity of this kind x {windowHours}, nor what all holds need
///   ({IProviderRegistry-heldStakeOf}) above what is staked, without what thaws. So supply never exceeds what was verified, and
///   no OPENX is collateral for two credits.
/// - Collateral is fixed at the mint. {collateralOf} a provider grows by what its new credits need, and falls in proportion as
///   they are burned and redeemed; no setting changes it. What credits need is {collateralRatio}, or what those outstanding
///   have where that is more: so the collateral of a credit never falls while it is outstanding, also where the provider
///   goes on to burn and to mint. Up to zero outstanding nothing is needed. Collateralised stake cannot leave; stake above it can. When
///   capacity falls or lapses, minting stops, and what is outstanding keeps its collateral.
/// - A provider that minted and vanished answers with its stake. What is outstanding beyond any capacity that the provider had in
///   force within the last {DEFAULT_GRACE} is {redeemableOf} it: anyone may {redeem} it for OPENX of its stake, at the
///   collateral it has or, where stake is short of all holds, at the share that backing / held gives. A redemption leaves both as they
///   were, so there is nothing to win by being first, by coming in parts, nor by holding one kind rather than the other. The time
///   counts from the end of the last verdict that could serve a credit ({ICapacityRegistry-servedUntil}); a verdict on less starts
///   nothing again. A provider in need cures this by serving, by burning credits at itself, or by being verified again.
/// - Slashing takes at most a tenth of that collateral ({IProviderRegistry-REWARD_PPM}): the rest of what is slashed stays for the holders as
///   long as it is needed.
/// - There is no other way to mint, and no one can pause, block or take credits.
///
/// Rounding is always against the caller: collateral up, redemption down.
///
/// The owner (a timelock) sets collateralRatio and windowHours, each at most doubled or halved and once in {TERMS_INTERVAL}, which is
/// as long as a stake thaws; nothing else. Both hold for the mints to come. A higher ratio asks no provider for money and keeps no
/// stake, and a smaller window makes no default sooner than a grace later: whoever likes neither leaves under the terms it minted with.
///
/// What it does not promise
/// - A price. collateralRatio is set by governance, without an oracle. While a credit is worth more than its collateral, vanishing pays;
///   while it is worth less, a default pays the holders more than they gave.
/// - Which provider's credits are burned: a holder's credit has no maker. Who buys back all that it has outstanding, and mints anew, does
///   so at the ratio of that day.
/// - Stake of a provider in default belongs to the holders first: a contract that relies on a provider's stake must ask {isDefaulted}.
/// - A date of default for a provider that has itself verified for less more than {ICapacityRegistry-MAX_LOOKED_AT} times in one grace: its
///   default waits until it stops. Its stake stays as long, and it pays for each verdict.
interface IComputeCredit is IERC20Metadata, IERC20Permit, IStakeHold {
    /// @param outstanding the provider's afterwards
    event Minted(address indexed provider, address indexed to, uint256 amount, int256 outstanding);
    /// @notice Credits were used (by a claim) or given back at a provider, which frees as much of its limit.
    event BurnedAt(address indexed provider, address indexed from, uint256 amount, int256 outstanding);
    /// @param paid OPENX base units from the provider's stake
    event Redeemed(address indexed provider, address indexed holder, uint256 amount, uint256 paid, int256 outstanding);
    event CollateralRatioSet(uint256 collateralRatio);
    event WindowSet(uint32 windowHours);

    error ZeroAddress();
    error ZeroAmount();
    error NotConnected();
    error NotMintable(address provider);
    error AboveCapacity(address provider, int256 outstanding, uint256 limit);
    error AboveCollateral(address provider, uint256 held, uint256 staked);
    error NotDefaulted(address provider);
    error AboveRedeemable(address provider, uint256 amount, uint256 redeemable);
    error PaysNothing(address provider, uint256 amount);
    error CollateralRatioOutOfBounds(uint256 collateralRatio, uint256 min, uint256 max);
    error CollateralRatioTooSoon(uint64 next, uint256 time);
    error WindowOutOfBounds(uint32 windowHours, uint256 min, uint256 max);
    error WindowTooSoon(uint64 next, uint256 time);

    /// @notice Makes amount credits of the calling provider for `to`. Refused for a provider without capacity of this kind in force
    /// (lapsed or jailed), above its limit, or above what its stake is collateral for.
    function mint(address to, uint256 amount) external;

    /// @notice Burns amount of the caller's credits at a provider. By PaymentEscrow for each claim; by anyone else it is a gift
    /// to that provider, which is how a provider buys its own promise back.
    function burnAt(address provider, uint256 amount) external;

    /// @notice Burns amount of the caller's credits for a defaulted provider's stake: at most {redeemableOf}, for {valueOf}. Refused
    /// when that is nothing.
    /// @return paid OPENX base units
    function redeem(address provider, uint256 amount) external returns (uint256 paid);

    /// @notice Sets {collateralRatio} for mints to come: at most doubles or halves it, once in {TERMS_INTERVAL}, within
    /// {MIN_COLLATERAL_RATIO} and {MAX_COLLATERAL_RATIO}. Only the owner.
    function setCollateralRatio(uint256 collateralRatio_) external;

    /// @notice Sets {windowHours}: at most doubles or halves it, once in {TERMS_INTERVAL}, within {MIN_WINDOW_HOURS} and
    /// {MAX_WINDOW_HOURS}. Only the owner.
    function setWindowHours(uint32 windowHours_) external;

    /// @notice Minted - burned at the provider - redeemed from its stake.
    function outstanding(address provider) external view returns (int256);

    /// @notice The most the provider may have outstanding: its capacity of this kind now x windowHours; zero when lapsed or jailed.
    function limitOf(address provider) external view returns (uint256);

    /// @notice What the provider could mint now: by limit and by stake.
    function mintableOf(address provider) external view returns (uint256);

    /// @notice The OPENX of the provider's stake that its outstanding credits of this kind need: what their mints took, in proportion to what
    /// is left of them, rounded up. Also {IStakeHold-heldStakeOf}.
    function collateralOf(address provider) external view returns (uint256);

    /// @notice What is outstanding above what the capacity in force can serve, in the window now or in that of the provider's
    /// last mint, whichever is longer.
    function shortfallOf(address provider) external view returns (uint256);

    /// @notice What is outstanding above what any capacity of the last {DEFAULT_GRACE} could serve, in the same window or in the one that was
    /// lowered within that time: what {redeem} takes now. Asks for some twenty verdicts; to be read off chain.
    function redeemableOf(address provider) external view returns (uint256);

    /// @notice The end of the last verdict that could serve all that is outstanding, in the same window: where its grace begins. The
    /// highest number while one does, or nothing is outstanding.
    function servedUntil(address provider) external view returns (uint64);

    /// @notice True when {redeemableOf} is not zero: {servedUntil} is longer ago than {DEFAULT_GRACE}.
    function isDefaulted(address provider) external view returns (bool);

    /// @notice What {redeem} pays now for amount, were the provider in default: amount of what is outstanding takes as much of its
    /// collateral, and where what lies in the registry for the provider is less than what all holds need, that share of it. Rounded down.
    function valueOf(address provider, uint256 amount) external view returns (uint256);

    function kind() external view returns (ICapacityRegistry.Kind);
    function registry() external view returns (IProviderRegistry);
    function capacity() external view returns (ICapacityRegistry);
    /// @notice OPENX base units of stake that 1e18 base units of credit need when they are minted now.
    function collateralRatio() external view returns (uint256);
    function collateralRatioSetAt() external view returns (uint64);
    function windowHours() external view returns (uint32);
    function windowSetAt() external view returns (uint64);

    /// @notice Seconds a provider has to cure: the registry's stake thaw, so that no stake leaves by default and redemption
    /// sooner than it could by unstaking when its capacity ended.
    // solhint-disable-next-line func-name-mixedcase
    function DEFAULT_GRACE() external view returns (uint64);
    // solhint-disable-next-line func-name-mixedcase
    function MIN_COLLATERAL_RATIO() external view returns (uint256);
    // solhint-disable-next-line func-name-mixedcase
    function MAX_COLLATERAL_RATIO() external view returns (uint256);
    /// @notice Seconds between two changes of the same setting: the registry's stake thaw, so that what was announced can be left.
    // solhint-disable-next-line func-name-mixedcase
    function TERMS_INTERVAL() external view returns (uint64);
    // solhint-disable-next-line func-name-mixedcase
    function MIN_WINDOW_HOURS() external view returns (uint32);
    // solhint-disable-next-line func-name-mixedcase
    function MAX_WINDOW_HOURS() external view returns (uint32);
}
