// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

import {ICapacityRegistry} from "./ICapacityRegistry.sol";
import {IProviderRegistry} from "./IProviderRegistry.sol";
import {IStakeHold} from "./IStakeHold.sol";

/// @title A compute credit: tGPU (one reference-GPU-hour) or tCPU (one reference-vCPU-hour)
/// @notice An ERC-20 with 18 decimals and signed approvals, made by providers against capacity that verifiers have
/// confirmed, and burned when it is used. One contract for each {ICapacityRegistry-Kind}.
///
/// Promises
/// - {outstanding} of a provider is what it minted, less what was burned at it and less what its stake redeemed. It is signed:
///   a provider that serves more than it minted goes below zero and may mint that much more. The sum over all
///   providers is the total supply.
/// - A mint never leaves outstanding above {limitOf}, the verified capacity of this kind x {windowHours}, nor above what the
///   provider's stake covers at {coverRate}. So supply never exceeds what was verified.
/// - Covered stake cannot leave: {heldStakeOf} is outstanding x coverRate. When capacity falls or lapses, minting stops, and what
///   is outstanding stays covered.
/// - Whoever minted and vanished is covered by its stake: once a provider {isDefaulted}, anyone may {redeem} credits for
///   OPENX of its stake, at coverRate or, where stake is short, in proportion, so there is nothing to win by being first.
///   A provider in need cures this by serving, by burning credits at itself, or by being verified again.
/// - Nobody can mint otherwise, pause, block or take credits.
///
/// The owner (a timelock) sets coverRate and windowHours within bounds, nothing else.
interface IComputeCredit is IERC20Metadata, IERC20Permit, IStakeHold {
    /// @param outstanding the provider's afterwards
    event Minted(address indexed provider, address indexed to, uint256 amount, int256 outstanding);
    /// @notice Credits were used (by a claim) or given back at a provider, which frees as much of its limit.
    event BurnedAt(address indexed provider, address indexed from, uint256 amount, int256 outstanding);
    /// @param paid OPENX base units from the provider's stake
    event Redeemed(address indexed provider, address indexed holder, uint256 amount, uint256 paid, int256 outstanding);
    event CoverRateSet(uint256 coverRate);
    event WindowSet(uint32 windowHours);

    error ZeroAddress();
    error ZeroAmount();
    error NotMintable(address provider);
    error AboveCapacity(address provider, int256 outstanding, uint256 limit);
    error AboveCover(address provider, uint256 held, uint256 staked);
    error NotDefaulted(address provider);
    error AboveOutstanding(uint256 amount, int256 outstanding);
    error CoverRateOutOfBounds(uint256 coverRate, uint256 min, uint256 max);
    error WindowOutOfBounds(uint32 windowHours, uint32 min, uint32 max);

    /// @notice Makes amount credits of the calling provider for `to`. Refused for a provider without capacity in force
    /// (lapsed or jailed), above its limit, or above what its stake covers.
    function mint(address to, uint256 amount) external;

    /// @notice Burns amount of the caller's credits at a provider. By PaymentEscrow for each claim; by anyone else it is a gift
    /// to that provider, which is how a provider buys its own promise back.
    function burnAt(address provider, uint256 amount) external;

    /// @notice Burns amount of the caller's credits for a defaulted provider's stake.
    /// @return paid OPENX base units: amount x coverRate / 1e18, at most the stake's share amount / outstanding
    function redeem(address provider, uint256 amount) external returns (uint256 paid);

    /// @notice Minted - burned at the provider - redeemed from its stake.
    function outstanding(address provider) external view returns (int256);

    /// @notice The most the provider may have outstanding: its capacity of this kind now x windowHours; zero when lapsed or jailed.
    function limitOf(address provider) external view returns (uint256);

    /// @notice What the provider could mint now: by limit and by stake.
    function mintableOf(address provider) external view returns (uint256);

    /// @notice True when credits are outstanding and the capacity has lapsed for longer than {DEFAULT_GRACE}.
    function isDefaulted(address provider) external view returns (bool);

    function kind() external view returns (ICapacityRegistry.Kind);
    function registry() external view returns (IProviderRegistry);
    function capacity() external view returns (ICapacityRegistry);
    /// @notice OPENX base units of stake that cover 1e18 base units of credit.
    function coverRate() external view returns (uint256);
    function windowHours() external view returns (uint32);
}
