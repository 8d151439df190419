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
/// - Collateralised stake cannot leave: {heldStakeOf} is outstanding x collateralRatio, rounded up. When capacity falls or lapses, minting stops,
///   and what is outstanding keeps its collateral.
/// - A provider that minted and vanished answers with its stake: what is outstanding above what its capacity can serve, for longer than
///   {DEFAULT_GRACE}, anyone may {redeem} for OPENX of its stake, at collateralRatio or, where stake is short of all holds, at the
///   share that backing / held gives. A redemption leaves that share as it was, so there is nothing to win by being first, nor by
///   holding one kind rather than the other. A provider in need cures this by serving, by burning credits at itself, or by being
///   verified again.
/// - Slashing takes at most a tenth of that collateral ({IProviderRegistry-REWARD_PPM}): the rest of what is slashed stays for the holders as
///   long as it is needed.
/// - There is no other way to mint, and no one can pause, block or take credits.
///
/// Rounding is always against the caller: collateral up, redemption down.
///
/// The owner (a timelock) sets collateralRatio and windowHours within bounds, nothing else. A higher collateralRatio asks no provider for
/// money, but stops its mints and keeps its stake until its collateral suffices again; a smaller window never makes a default.
///
/// What it does not promise
/// - A price. collateralRatio is set by governance, without an oracle. While a credit is worth more than its collateral, vanishing pays.
/// - Stake of a provider in default belongs to the holders first: a contract that relies on a provider's stake must ask {isDefaulted}.
interface IComputeCredit is IERC20Metadata, IERC20Permit, IStakeHold {
    /// @param outstanding the provider's afterwards
    event Minted(address indexed provider, address indexed to, uint256 amount, int256 outstanding);
    /// @notice Credits were used (by a claim) or given back at a provider, which frees as much of its limit.
    event BurnedAt(address indexed provider, address indexed from, uint256 amount, int256 outstanding);
    /// @param paid OPENX base units from the provider's stake
    event Redeemed(address indexed provider, address indexed holder, uint256 amount, uint256 paid, int256 outstanding);
    /// @notice The provider's capacity in force cannot serve what it has outstanding, since then; zero: it can again.
    event ShortageNoted(address indexed provider, uint64 since);
    event CollateralRatioSet(uint256 collateralRatio);
    event WindowSet(uint32 windowHours);

    error ZeroAddress();
    error ZeroAmount();
    error NotConnected();
    error NotMintable(address provider);
    error AboveCapacity(address provider, int256 outstanding, uint256 limit);
    error AboveCollateral(address provider, uint256 held, uint256 staked);
    error NotDefaulted(address provider);
    error AboveShortfall(address provider, uint256 amount, uint256 shortfall);
    error PaysNothing(address provider, uint256 amount);
    error CollateralRatioOutOfBounds(uint256 collateralRatio, uint256 min, uint256 max);
    error CollateralRatioTooSoon(uint64 next, uint256 time);
    error WindowOutOfBounds(uint32 windowHours, uint32 min, uint32 max);

    /// @notice Makes amount credits of the calling provider for `to`. Refused for a provider without capacity of this kind in force
    /// (lapsed or jailed), above its limit, or above what its stake is collateral for.
    function mint(address to, uint256 amount) external;

    /// @notice Burns amount of the caller's credits at a provider. By PaymentEscrow for each claim; by anyone else it is a gift
    /// to that provider, which is how a provider buys its own promise back.
    function burnAt(address provider, uint256 amount) external;

    /// @notice Burns amount of the caller's credits for a defaulted provider's stake: at most {shortfallOf}, for {valueOf}. Refused
    /// when that is nothing.
    /// @return paid OPENX base units
    function redeem(address provider, uint256 amount) external returns (uint256 paid);

    /// @notice Notes that a provider's capacity in force is too small for what it has outstanding, which starts its
    /// {DEFAULT_GRACE}, or that it suffices again. By anyone, and again after each verdict on the provider, looking at {MAX_NOTED} of them
    /// at most. Not needed where all capacity has lapsed: that has a date of its own.
    function noteShortage(address provider) external;

    /// @notice Sets {collateralRatio}: at most doubles or halves it, once in {COLLATERAL_RATIO_INTERVAL}, within {MIN_COLLATERAL_RATIO} and {MAX_COLLATERAL_RATIO}.
    /// Only the owner.
    function setCollateralRatio(uint256 collateralRatio_) external;

    /// @notice Sets {windowHours} within {MIN_WINDOW_HOURS} and {MAX_WINDOW_HOURS}. Only the owner.
    function setWindowHours(uint32 windowHours_) external;

    /// @notice Minted - burned at the provider - redeemed from its stake.
    function outstanding(address provider) external view returns (int256);

    /// @notice The most the provider may have outstanding: its capacity of this kind now x windowHours; zero when lapsed or jailed.
    function limitOf(address provider) external view returns (uint256);

    /// @notice What the provider could mint now: by limit and by stake.
    function mintableOf(address provider) external view returns (uint256);

    /// @notice What is outstanding above what the capacity in force can serve, in the window now or in that of the provider's
    /// last mint, whichever is longer.
    function shortfallOf(address provider) external view returns (uint256);

    /// @notice When the noted shortage began, and how many verdicts on the provider were looked at; zero when none is noted.
    function shortageOf(address provider) external view returns (uint64 since, uint64 seen);

    /// @notice True when {shortfallOf} is not zero and all capacity has lapsed for longer than {DEFAULT_GRACE}, or a shortage
    /// noted up to the last verdict is older than that.
    function isDefaulted(address provider) external view returns (bool);

    /// @notice What {redeem} pays now for amount, were the provider in default: amount x collateralRatio, and where what lies in the
    /// registry for the provider is less than what all holds need, that share of it. Rounded down.
    function valueOf(address provider, uint256 amount) external view returns (uint256);

    function kind() external view returns (ICapacityRegistry.Kind);
    function registry() external view returns (IProviderRegistry);
    function capacity() external view returns (ICapacityRegistry);
    /// @notice OPENX base units of stake that are the collateral of 1e18 base units of credit.
    function collateralRatio() external view returns (uint256);
    function collateralRatioSetAt() external view returns (uint64);
    function windowHours() external view returns (uint32);

    /// @notice Seconds a provider has to cure: the registry's stake thaw, so that no stake leaves by default and redemption
    /// sooner than it could by unstaking when its capacity ended.
    // solhint-disable-next-line func-name-mixedcase
    function DEFAULT_GRACE() external view returns (uint64);
    // solhint-disable-next-line func-name-mixedcase
    function MIN_COLLATERAL_RATIO() external view returns (uint256);
    // solhint-disable-next-line func-name-mixedcase
    function MAX_COLLATERAL_RATIO() external view returns (uint256);
    // solhint-disable-next-line func-name-mixedcase
    function COLLATERAL_RATIO_INTERVAL() external view returns (uint64);
    // solhint-disable-next-line func-name-mixedcase
    function MIN_WINDOW_HOURS() external view returns (uint32);
    // solhint-disable-next-line func-name-mixedcase
    function MAX_WINDOW_HOURS() external view returns (uint32);
    // solhint-disable-next-line func-name-mixedcase
    function MAX_NOTED() external view returns (uint256);
}
