// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";
import {IERC7802} from "@openzeppelin/contracts/interfaces/draft-IERC7802.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

/// @title OPENX, the network's token
/// @notice An ERC-20 with 18 decimals, signed approvals (ERC-2612), delegated votes (ERC-5805) and the minting and burning
/// interface of cross-chain bridges (ERC-7802).
///
/// Promises
/// - On its *home* chain the whole supply is made once, in the constructor, for one named holder. On every other chain it begins with
///   none. After that only bridges make tokens, within their limits.
/// - OPENX is one token over all bridges: what left by one may come back by another. A bridge makes nothing that would take
///   what all bridges together minted here, less what they burned, above its ceiling. On the home chain every ceiling is
///   zero: bridges only bring back what bridges took away, so the supply there never passes what it began with. Elsewhere
///   the highest ceiling is the most that bridges ever bring. Traffic that goes out by one bridge and back by another uses
///   up nothing, and a bridge that was removed stays counted.
/// - How fast a bridge mints and burns is bounded by daily limits of its own.
/// - A bridge burns a holder's tokens only with that holder's allowance. ERC-7802 leaves this open; without it a bad bridge could burn
///   what lies in ProviderRegistry and PaymentEscrow, which approve no one.
/// - A holder may burn its own tokens.
/// - A transfer moves exactly the amount it names, returns true or reverts, and calls no other contract. PaymentEscrow and
///   ProviderRegistry rely on this. There is no pause, no block list, no fee and no upgrade.
/// - Votes are counted by time, not by block number, because block times differ between the chains it may live on.
///   Tokens staked in ProviderRegistry or held by PaymentEscrow do not vote unless those delegate, which they do not.
///
/// Not promised
/// - What is away is as safe as the weakest bridge that is named: a broken one can mint, within its daily limit, at home all
///   that is away at the time, elsewhere up to its ceiling. Holders elsewhere share that loss.
/// - {mintableBy} here says nothing about the other side. A bridge must be named on both chains, with room on the other
///   side, before it burns; what it burned and cannot deliver may be minted here again.
///
/// The owner (a timelock) names bridges and sets their limits, nothing else. It cannot take any tokens, and on the home chain it
/// cannot raise the supply above what it began with even with bridges of its own; such a bridge is a broken one, as above.
///
/// Permit domain: name "OPENX", version "1", this chain, this contract.
interface IOpenxToken is IERC20Metadata, IERC20Permit, IVotes, IERC7802 {
    /// @notice All zero: no bridge.
    /// @param mintPerDay the most it mints at once; what was used comes back evenly over a day
    /// @param burnPerDay the same for burning
    /// @param ceiling the most that this bridge may bring {netMinted} to; zero on the home chain
    struct BridgeLimits {
        uint128 mintPerDay;
        uint128 burnPerDay;
        uint128 ceiling;
    }

    event BridgeLimitsSet(address indexed bridge, BridgeLimits limits);

    error ZeroAddress();
    error NotBridge(address caller);
    error CeilingOnHomeChain(address bridge, uint128 ceiling);
    error AboveMintLimit(address bridge, uint256 asked, uint256 available);
    error AboveBurnLimit(address bridge, uint256 asked, uint256 available);
    /// @param net what {netMinted} would have become
    error AboveCeiling(address bridge, int256 net, uint128 ceiling);

    /// @notice Burns amount of the caller's tokens.
    function burn(uint256 amount) external;

    /// @notice Names a bridge, changes its limits, or takes them away with zeros. Only the owner. What was used of the daily limits and
    /// what was minted and burned stay counted, so taking a bridge off and on again forgives it nothing.
    function setBridgeLimits(address bridge, BridgeLimits calldata limits) external;

    function bridgeLimitsOf(address bridge) external view returns (BridgeLimits memory);

    /// @notice What all bridges minted less what they burned, since deployment.
    function netMinted() external view returns (int256);

    /// @notice The bridge's own part of {netMinted}: how far its traffic here is out of balance. Bounds nothing.
    function netMintedBy(address bridge) external view returns (int256);

    /// @notice What the bridge could mint now: by its daily limit and its ceiling.
    function mintableBy(address bridge) external view returns (uint256);

    /// @notice What the bridge could burn now, of holders that allow it, whichever bridge brought the tokens.
    function burnableBy(address bridge) external view returns (uint256);

    /// @notice True on the chain where the supply was made.
    function isHome() external view returns (bool);
}
