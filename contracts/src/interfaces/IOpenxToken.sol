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
/// - A bridge never makes more than it burned by more than its ceiling. On the home chain every ceiling is zero: a bridge
///   only brings back what it took away, so the supply there never passes what it began with. Elsewhere the ceiling bounds
///   what a broken bridge can forge, and the daily limits how fast.
/// - A bridge burns a holder's tokens only with that holder's allowance. ERC-7802 leaves this open; without it a bad bridge could burn
///   what lies in ProviderRegistry and PaymentEscrow, which approve no one.
/// - A holder may burn its own tokens.
/// - A transfer moves exactly the amount it names, returns true or reverts, and calls no other contract. PaymentEscrow and
///   ProviderRegistry rely on this. There is no pause, no block list, no fee and no upgrade.
/// - Votes are counted by time, not by block number, because block times differ between the chains it may live on.
///   Tokens staked in ProviderRegistry or held by PaymentEscrow do not vote unless those delegate, which they do not.
///
/// The owner (a timelock) names bridges and sets their limits, nothing else. It cannot take any tokens, and on the home chain it
/// cannot raise the supply even with bridges of its own.
///
/// Permit domain: name "OPENX", version "1", this chain, this contract.
interface IOpenxToken is IERC20Metadata, IERC20Permit, IVotes, IERC7802 {
    /// @notice All zero: no bridge.
    /// @param mintPerDay the most it mints at once; what was used comes back evenly over a day
    /// @param burnPerDay the same for burning
    /// @param ceiling the most by which minted may be above burned, since deployment; zero on the home chain
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
    error AboveCeiling(address bridge, int256 net, uint128 ceiling);

    /// @notice Burns amount of the caller's tokens.
    function burn(uint256 amount) external;

    /// @notice Names a bridge, changes its limits, or takes them away with zeros. Only the owner. What was used of the daily limits and
    /// the bridge's net stay as they are, so taking a bridge off and on again forgives it nothing.
    function setBridgeLimits(address bridge, BridgeLimits calldata limits) external;

    function bridgeLimitsOf(address bridge) external view returns (BridgeLimits memory);

    /// @notice What the bridge minted less what it burned, since deployment.
    function netMintedBy(address bridge) external view returns (int256);

    /// @notice What the bridge could mint now: by its daily limit and its ceiling.
    function mintableBy(address bridge) external view returns (uint256);

    /// @notice What the bridge could burn now.
    function burnableBy(address bridge) external view returns (uint256);

    /// @notice True on the chain where the supply was made.
    function isHome() external view returns (bool);
}
