// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IGovernedSteps} from "./IGovernedSteps.sol";
import {IProviderRegistry} from "./IProviderRegistry.sol";
import {IStakeHold} from "./IStakeHold.sol";

/// @title Who judges challenges: the verifiers, their pledges, the draw of panels, and what they earn
/// @notice A verifier is a registered provider with a pledge: stake of its own in {IProviderRegistry-Role}.Verifier, which this contract
/// holds. {ICapacityRegistry} draws panels from the list and says who signed.
///
/// Promises
/// - A verifier's pledge is what {Settings-verifierStake} was when it enlisted. A later change is for later verifiers: nobody is struck off,
///   nor asked for more, because a setting rose.
/// - A pledge is held while its verifier is enlisted and for {Settings-leaveDelay} after, on top of which comes the registry's
///   stake thaw: what it signed falls back on it for that long.
/// - A draw depends on its seed and on who was enlisted at the request, and on nothing else: enlisting, leaving and being struck off
///   between the request and the draw moves no seat. (A seat that has been empty for {DRAW_BLOCKS} blocks may be given to another,
///   who is not drawn for a request before its time; so a draw that waits that long may find fewer.)
/// - A verifier loses its place only by leaving, by no longer being a provider, by a pledge that was slashed, or by missing {MISSES_MAX}
///   challenges in a row over at least {MISSES_TIME} without one signed verdict between them.
/// - The OPENX here is all that {feesOf} says, and the fees of challenges that are still open.
/// - No loop is longer than {MAX_VERIFIERS}, or a panel.
///
/// What it does not promise
/// - That verifiers under different addresses belong to different people. What that costs them: a pledge each.
/// - That an enlisted verifier answers. Silence costs it its place, not its pledge.
///
/// The owner, a timelock, sets the {Settings} by {IGovernedSteps}. The connector names the CapacityRegistry once, because that needs
/// this contract's address first; after that it has no power. No proxy and no pause.
///
/// Assumptions
/// - OPENX moves exactly the amount named and calls no other contract. The registry and the CapacityRegistry are our own.
interface IVerifierRegistry is IStakeHold, IGovernedSteps {
    /// @param leaveDelay seconds that a verifier's pledge stays held after it left
    /// @param verifierStake OPENX base units that a verifier pledges when it enlists
    struct Settings {
        uint32 leaveDelay;
        uint96 verifierStake;
    }

    event VerifierEnlisted(address indexed verifier, uint96 pledge);
    event VerifierLeft(address indexed verifier, uint64 heldUntil);
    event FeesWithdrawn(address indexed account, address payout, uint256 amount);
    event FeesBurned(uint256 amount);
    event VerifierSettingsSet(Settings settings);
    /// @dev Once in the contract's life: nobody filters it.
    // slither-disable-next-line unindexed-event-address
    event VerifiersConnected(address capacity, address reveals);

    error ZeroAddress();
    error NotConnector(address caller);
    error CapacityConnected(address capacity);
    error NotCapacity(address caller);
    error NotRegistered(address provider);
    error VerifierStakeShort(address verifier, uint256 staked, uint256 needed);
    error AlreadyVerifier(address provider);
    error NotVerifier(address provider);
    error LeftRecently(address provider, uint256 heldUntil);
    error TooManyVerifiers(uint256 max);
    error VerifierInOrder(address verifier);

    /// @notice Makes the calling, registered provider a verifier; {Settings-verifierStake} of its stake as a verifier, which nothing
    /// else may hold, is held from now on. It is drawn for challenges that are requested from now on.
    function enlist() external;

    /// @notice Takes the caller off the list. Refused for {Settings-leaveDelay} after: to enlist again.
    function leave() external;

    /// @notice Takes a verifier off the list that is no longer a provider, whose stake as a verifier is below its pledge, or that has missed
    /// too many challenges. By anyone.
    function strikeOff(address verifier) external;

    /// @notice Pays what an account earned by verdicts, or got back from a lapsed check, to its payout address. By anyone.
    function withdrawFees(address account) external returns (uint256);

    function feesOf(address account) external view returns (uint256);
    function isVerifier(address provider) external view returns (bool);
    function verifierCount() external view returns (uint256);

    /// @notice The verifiers but for this one: those that may be drawn for it.
    function countWithout(address provider) external view returns (uint256);

    /// @notice The verifiers, in no order.
    function verifiers() external view returns (address[] memory);

    /// @notice What the verifier pledged when it enlisted.
    function pledgeOf(address verifier) external view returns (uint256);

    /// @notice How many challenges in a row the verifier was on the panel of and did not sign for, and since when; zeros after a
    /// signed verdict.
    function missesOf(address verifier) external view returns (uint8 count, uint64 since);

    // ---- For CapacityRegistry

    /// @notice How many seats a draw reads that is requested now.
    function slotCount() external view returns (uint16);

    /// @notice Up to `seats` verifiers in ascending order, out of the first slotCount_ seats, who were enlisted at requestBlock.
    /// @param except never drawn: the provider itself
    function drawPanel(bytes32 seed, uint256 requestBlock, uint256 slotCount_, uint256 seats, address except)
        external
        view
        returns (address[] memory);

    /// @notice The node key of each, which signs its verdicts: zero for one that is no longer a provider. Refused where a
    /// pledge is no longer staked.
    function keysOf(address[] calldata judges) external view returns (address[] memory);

    /// @notice These signed a verdict, and share a fee: the first has what does not divide. Only CapacityRegistry, which has moved
    /// the fee here.
    function noteSigned(address[] calldata judges, uint256 fee) external;

    /// @notice A challenge is over, for which the members of its panel that `signed` lacks (bit i: member i) signed nothing. Only
    /// CapacityRegistry.
    function noteMissed(address[] calldata panel, uint256 signed) external;

    /// @notice Of the fee of a challenge that lapsed, `back` goes to the account and `burned` is burned. Only CapacityRegistry.
    function endFee(address account, uint256 back, uint256 burned) external;

    /// @notice Names the CapacityRegistry, and the contract that may put capacity in doubt there (zero: none). Once, by the connector.
    function connect(address capacity_, address reveals_) external;

    // ---- Governed

    /// @notice leaveDelay 10 seconds to 180 days; verifierStake 1 to 100,000,000 OPENX; each change by {IGovernedSteps}. Only the owner.
    function setSettings(Settings calldata settings_) external;
    function settings() external view returns (Settings memory);

    function registry() external view returns (IProviderRegistry);
    function openx() external view returns (IERC20);
    function connector() external view returns (address);
    function capacity() external view returns (address);
    function reveals() external view returns (address);
    // solhint-disable func-name-mixedcase
    function MAX_VERIFIERS() external view returns (uint256);
    function DRAW_BLOCKS() external view returns (uint256);
    function MISSES_MAX() external view returns (uint8);
    function MISSES_TIME() external view returns (uint64);
    // solhint-enable func-name-mixedcase
}
