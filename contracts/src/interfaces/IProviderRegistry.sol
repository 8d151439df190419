// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IStakeHold} from "./IStakeHold.sol";

/// @title Who the providers are: node keys, payout addresses, stake and its loss
/// @notice A provider is an address, its *owner*, kept cold. It names a *node key*, the hot key its daemon signs offers,
/// quotes and receipts with, and a *payout*, the address that PaymentEscrow pays.
///
/// Promises
/// - Only the owner moves its stake, sets its payout or changes its node key. The node key can do none of these.
/// - A node key belongs to a provider only by its own signature over {XnodeHashes.NODE_KEY_TYPEHASH}, so no provider can claim
///   another's key. It is bound to that provider forever, also after it was replaced: what it signed always has one
///   author, which is what a proof against a provider needs.
/// - Stake leaves only after the stake thaw, a fixed time chosen when the contract is made. Anyone may add to a stake,
///   which never touches a thaw that runs. What thaws still lies here until it is withdrawn, and can be slashed and taken as
///   before: a provider that sees a proof coming gains nothing by unstaking.
/// - Stake that a hold needs ({IStakeHold}) does not leave: none starts to thaw below {heldStakeOf}, and what has thawed goes back to
///   stake as far as it is needed by then. Stake above that may leave.
/// - Only the slasher slashes, by proof. It takes a part of what is staked and thawing, never more than there is; {REWARD_PPM} of
///   that goes to the reporter, and the rest is burned. So a provider that reports itself loses nine tenths.
/// - What was slashed and a hold still needs is not burned at once but kept as the provider's *forfeit*. It no longer belongs to the
///   provider: it counts neither as stake nor for a mint, it only pays holders of credits when stake is short. Otherwise a provider
///   that sold credits and vanished could burn their collateral, and even earn the reward. Anyone may burn what is no
///   longer needed by {burnForfeit}.
/// - Only a hold takes stake for someone else ({takeStake}), which is how credits of a defaulted provider are redeemed.
/// - This contract has no owner, no pause and no upgrade. The connector, who makes it, names the slasher and the holds
///   once, because those need this contract's address first; after that it has no power at all.
/// - For OPENX the balance here is the sum of what is staked, thawing and forfeit, and tokens sent here by mistake.
///
/// Assumptions
/// - OPENX transfers exactly the amount named and calls no other contract ({IOpenxToken}). Its supply fits in 128 bits.
/// - The slasher and the holds are our own contracts and do what their interfaces say.
/// - An owner that is a contract can call this contract. A node key is always an ordinary key.
///
/// EIP-712 domain: name "xnode", version "1", this chain, this contract.
interface IProviderRegistry {
    /// @param staked OPENX that counts as stake now
    /// @param thawing OPENX on its way out, no longer counted
    /// @param thawEnd when `thawing` may be withdrawn, in seconds since 1970; zero when nothing thaws
    struct Stake {
        uint128 staked;
        uint128 thawing;
        uint64 thawEnd;
    }

    event ProviderRegistered(address indexed provider, address indexed nodeKey, address payout);
    event NodeKeyRotated(address indexed provider, address indexed oldNodeKey, address indexed newNodeKey);
    event PayoutSet(address indexed provider, address payout);
    event ProviderDeactivated(address indexed provider, address indexed nodeKey);
    /// @param from who paid
    /// @param staked the provider's whole stake afterwards
    event Staked(address indexed provider, address indexed from, uint256 amount, uint256 staked);
    /// @param staked the provider's stake afterwards
    /// @param thawing everything that thaws now, earlier amounts included
    event UnstakeStarted(address indexed provider, uint256 amount, uint256 staked, uint256 thawing, uint64 thawEnd);
    event StakeWithdrawn(address indexed provider, uint256 amount);
    /// @notice Of what had thawed, amount went back to stake because a hold needs it.
    event StakeKept(address indexed provider, uint256 amount, uint256 staked);
    /// @param to who got it
    event StakeTaken(address indexed provider, address indexed hold, address indexed to, uint256 amount);
    /// @param fault what was proven, in the slasher's numbers ({IFaultProver-Fault})
    /// @param slashed what the provider lost, the reward included
    event Slashed(
        address indexed provider,
        bytes32 indexed faultId,
        uint8 fault,
        address reporter,
        uint256 slashed,
        uint256 reward
    );
    /// @notice Of what was slashed, amount was kept for the holds.
    /// @param forfeit the provider's whole forfeit afterwards
    event ForfeitKept(address indexed provider, uint256 amount, uint256 forfeit);
    event ForfeitBurned(address indexed provider, uint256 amount, uint256 forfeit);
    event ProfileSet(address indexed provider, bytes32 profileHash);
    event Connected(address indexed slasher, IStakeHold[] holds);

    error ZeroAddress();
    error ZeroAmount();
    error StakeThawOutOfBounds(uint32 stakeThaw, uint32 maxStakeThaw);
    error AlreadyRegistered(address provider, address nodeKey);
    error NotRegistered(address provider);
    error NodeKeyTaken(address nodeKey, address provider);
    error WrongNodeKeySignature(address recovered, address nodeKey);
    error SignatureExpired(uint64 deadline, uint256 time);
    error NotEnoughStake(uint256 asked, uint256 staked);
    error NothingThaws(address provider);
    error StakeStillThaws(uint64 thawEnd, uint256 time);
    error StakeHeld(address provider, uint256 held, uint256 staked);
    error NotConnector(address caller);
    error AlreadyConnected(address slasher);
    error TooManyHolds(uint256 holds, uint256 maxHolds);
    error HoldTwice(IStakeHold hold);
    error NotSlasher(address caller);
    error NotHold(address caller);

    /// @notice Makes the caller a provider with this node key and payout.
    /// @param payout where PaymentEscrow pays; zero means the provider itself
    /// @param deadline last second at which nodeSig is good
    /// @param nodeSig by the node key over `NodeKey(address provider,address nodeKey,uint256 nonce,uint64 deadline)` with
    /// the caller as provider and {nonces} as nonce: 65 bytes r, s, v with s in the lower half and v 27 or 28
    function register(address nodeKey, address payout, uint64 deadline, bytes calldata nodeSig) external;

    /// @notice Replaces the caller's node key. The old one is refused from this block on. nodeSig as in {register}, by the
    /// new key. An earlier key of the same provider may come back.
    function rotateNodeKey(address newNodeKey, uint64 deadline, bytes calldata nodeSig) external;

    /// @notice Sets where PaymentEscrow pays the caller; zero means the caller itself. Needs no registration, so that a
    /// provider who left can still move a payout that no longer works.
    function setPayout(address payout) external;

    /// @notice Takes the caller's node key away, so it is no longer a provider. Stake and payout stay as they are;
    /// {register} brings it back.
    function deactivate() external;

    /// @notice Moves OPENX from the caller into its own stake. The caller approves this contract first.
    function stake(uint256 amount) external;

    /// @notice Moves OPENX from the caller into another provider's stake. It is that provider's from then on.
    function stakeFor(address provider, uint256 amount) external;

    /// @notice Takes amount out of the caller's stake and starts its thaw. With a thaw running already, both amounts
    /// thaw together from now on: only the owner can do this to itself. Refused if less than {heldStakeOf} stayed staked.
    function startUnstake(uint256 amount) external;

    /// @notice Pays what has thawed to the caller, less what a hold has come to need since: that goes back to its stake.
    function withdrawStake() external returns (uint256 amount);

    /// @notice Sets the hash of the hardware profile that the calling, registered provider advertises.
    function setProfile(bytes32 profileHash) external;

    // ---- Loss

    /// @notice Takes ppm of what is staked and thawing, in proportion, rounded up. Only the slasher.
    /// @param ppm millionths; above a million counts as a million
    /// @param reporter gets the reward; zero for none
    /// @return slashed what the provider lost
    /// @return reward the reporter's part of it, rounded down
    function slash(address provider, uint32 ppm, uint8 fault, bytes32 faultId, address reporter)
        external
        returns (uint256 slashed, uint256 reward);

    /// @notice Pays amount, or all there is, of what lies here for the provider: from staked and thawing in proportion, then from
    /// its forfeit. Only a hold.
    function takeStake(address provider, address to, uint256 amount) external returns (uint256 taken);

    /// @notice Burns the part of a provider's forfeit that no hold needs any longer. By anyone.
    function burnForfeit(address provider) external returns (uint256 burned);

    /// @notice Names the slasher and the holds, at most {MAX_HOLDS}. Once, by the connector.
    function connect(address slasher_, IStakeHold[] calldata holds) external;

    /// @notice The provider this node key serves now; zero when it serves none, also after it was replaced.
    function providerOf(address nodeKey) external view returns (address);

    /// @notice The provider this node key is bound to forever; zero when it was never used. For judging what it signed.
    function boundProviderOf(address nodeKey) external view returns (address);

    /// @notice The provider's node key; zero when not registered.
    function nodeKeyOf(address provider) external view returns (address);

    /// @notice Where to pay the provider: its payout, else the provider itself. Never zero for a provider that is not.
    function payoutOf(address provider) external view returns (address);

    /// @notice The stake that counts, without what thaws.
    function stakeOf(address provider) external view returns (uint256);

    function stakeDetails(address provider) external view returns (Stake memory);

    /// @notice What all holds together need to stay.
    function heldStakeOf(address provider) external view returns (uint256);

    /// @notice What was slashed and is kept for the holds.
    function forfeitOf(address provider) external view returns (uint256);

    /// @notice All that lies here for a provider's promises: staked, thawing and forfeit.
    function backingOf(address provider) external view returns (uint256);

    /// @return count faults proven against the provider
    /// @return slashed all it lost by them
    function faultsOf(address provider) external view returns (uint64 count, uint128 slashed);

    function profileOf(address provider) external view returns (bytes32);

    /// @notice Who may slash; zero before {connect}.
    function slasher() external view returns (address);

    function holdsOf() external view returns (IStakeHold[] memory);

    function isHold(address hold) external view returns (bool);

    function connector() external view returns (address);

    /// @notice The nonce the provider's next node key proof must carry.
    function nonces(address provider) external view returns (uint256);

    function openx() external view returns (IERC20);

    /// @notice Seconds from {startUnstake} to {withdrawStake}; between 1 and {MAX_STAKE_THAW}.
    function stakeThaw() external view returns (uint32);

    // solhint-disable-next-line func-name-mixedcase
    function MAX_STAKE_THAW() external view returns (uint32);

    // solhint-disable-next-line func-name-mixedcase
    function MAX_HOLDS() external view returns (uint256);

    // solhint-disable-next-line func-name-mixedcase
    function REWARD_PPM() external view returns (uint256);

    function domainSeparator() external view returns (bytes32);
}
