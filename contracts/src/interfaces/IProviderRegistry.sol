// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IStakeHold} from "./IStakeHold.sol";

/// @title Who the providers are: node keys in time, payout addresses, stake in compartments and its loss
/// @notice A provider is an address, its *owner*, kept cold. It names a *node key*, the hot key its daemon signs offers,
/// quotes and receipts with, and a *payout*, the address that PaymentEscrow pays.
///
/// Promises
/// - Only the owner moves its stake, sets its payout or changes its node key. The node key can do none of these.
/// - A node key belongs to a provider only by its own signature over {XnodeHashes.NODE_KEY_TYPEHASH}, so no provider can claim
///   another's key, and no key ever serves a second provider.
/// - A key's authority has a beginning and an end ({authorOf}). What it signed proves something only if it is dated from when the key
///   was bound to when it was taken away, and no longer than {stakeThaw} after that. So a key that was stolen and replaced proves
///   nothing that is dated later, nothing at all once that time is over, and a provider that made a fault gains nothing by replacing the key.
///   A key that comes back to its provider is vouched for again: from its first beginning while its old documents still counted,
///   else from its return.
/// - Stake lies in *compartments*, one for each {Role}. No stake counts in two, a hold keeps stake in its own, and a judge takes
///   from one. What a verifier pledges is no collateral of credits, and the other way round.
/// - Stake leaves only after the stake thaw, a fixed time chosen when the contract is made. Anyone may add to a stake,
///   which never touches a thaw that runs. What thaws still lies here until it is withdrawn, and can be slashed and taken as
///   before: a provider that sees a proof coming gains nothing by unstaking.
/// - Stake that a hold needs ({IStakeHold}) does not leave: none starts to thaw below {heldIn}, and what has thawed goes back to
///   stake as far as it is needed by then. Stake above that may leave.
/// - Only judges take stake, by proof: {slash} for a fault, {announce} and {compensate} for a breach. {REWARD_PPM} of what is slashed goes
///   to the reporter, and the rest is burned. So a provider that reports itself loses nine tenths.
/// - A compensation is no shorter way out than the stake thaw: it comes out of losses that were announced, and what is announced stops
///   counting as stake at once and thaws, can be slashed and taken as before, and waits for who is to be paid until {COLLECT_TIME} after
///   its thaw. No other part of what thaws waits for it.
/// - Penalties come in *episodes*. One begins with the first proof of a kind of fault; every document of that kind that is dated up to
///   {EPISODE} after that proof belongs to it, and all of them together take the penalty once. So a fault of software that signed a
///   thousand numbers twice costs what one does, and what is signed after a day's time to stop costs again.
/// - One judge takes no more of a compartment than its {Judge-mostPpm} of what lay there, in any stretch of {PENALTY_PERIOD},
///   rounded up to a base unit: not by any number of documents, kinds of fault or stolen keys. What it announces counts when it does.
/// - What was slashed of a provider's stake and a hold still needs is not burned at once but kept as the provider's *forfeit*. It no
///   longer belongs to the provider: it counts neither as stake nor for a mint, it only pays holders of credits when stake is
///   short. Otherwise a provider that sold credits and vanished could burn their collateral, and even earn the reward. Anyone may
///   burn what is no longer needed by {burnForfeit}. A compensation takes nothing that a hold needs.
/// - Only a hold takes stake for someone else ({takeStake}), from its own compartment, which is how credits of a defaulted provider are
///   redeemed.
/// - A payout is none of the contracts of its deployment, nor its assets: they could not give it back ({isNotPayable}).
/// - This contract has no owner, no pause and no upgrade. The connector, who makes it, names the judges and the holds
///   once, because those need this contract's address first; after that it has no power at all.
/// - For OPENX the balance here is the sum of what is staked, thawing and forfeit, and tokens sent here by mistake.
///
/// What it does not promise
/// - A thief of a node key can date documents back to when it was bound, until it is taken away and for {stakeThaw} after. What that
///   takes of the stake is bounded by the judges' ceilings, not prevented.
/// - The ceiling is for each judge. What all of them take together is bounded by the product: of two with a half, three quarters.
/// - A payout that was named before {connect} is not looked at again.
/// - Losses are announced together: where some of what thaws was slashed, who is paid first loses nothing by it, and who is paid last all.
/// - What was announced waits until {COLLECT_TIME} after the thaw of the last announcement, however small that was.
///
/// Assumptions
/// - OPENX transfers exactly the amount named and calls no other contract ({IOpenxToken}). Its supply fits in 128 bits.
/// - The judges and the holds are our own contracts and do what their interfaces say.
/// - An owner that is a contract can call this contract. A node key is always an ordinary key.
///
/// EIP-712 domain: name "xnode", version "1", this chain, this contract.
interface IProviderRegistry {
    /// @notice The compartments of stake: what a provider of compute answers with, and what a verifier does.
    enum Role {
        Provider,
        Verifier
    }

    /// @param staked OPENX that counts as stake now
    /// @param thawing OPENX on its way out, no longer counted
    /// @param thawEnd when `thawing` may be withdrawn, in seconds since 1970; zero when nothing thaws
    struct Stake {
        uint128 staked;
        uint128 thawing;
        uint64 thawEnd;
    }

    /// @notice A proven fault.
    /// @param role the compartment that answers for it
    /// @param fault its kind, in the judge's numbers ({IFaultProver-Fault})
    /// @param ppm millionths of what is staked and thawing; above a million counts as a million
    /// @param datedAt when the evidence was signed, by its own dates, in seconds: the later of its documents. A date ahead counts as now
    /// @param reporter gets the reward; zero for none
    struct Penalty {
        Role role;
        uint8 fault;
        uint32 ppm;
        uint64 datedAt;
        bytes32 faultId;
        address reporter;
    }

    /// @param mostPpm the most that this judge may take of what lies in a compartment, in one {PENALTY_PERIOD}
    struct Judge {
        address judge;
        Role role;
        uint32 mostPpm;
    }

    struct Hold {
        IStakeHold hold;
        Role role;
    }

    event ProviderRegistered(address indexed provider, address indexed nodeKey, address payout);
    event NodeKeyRotated(address indexed provider, address indexed oldNodeKey, address indexed newNodeKey);
    event PayoutSet(address indexed provider, address payout);
    event ProviderDeactivated(address indexed provider, address indexed nodeKey);
    /// @param from who paid
    /// @param staked the whole stake of this compartment afterwards
    event Staked(address indexed provider, address indexed from, Role indexed role, uint256 amount, uint256 staked);
    /// @param staked the stake of this compartment afterwards
    /// @param thawing everything that thaws there now, earlier amounts included
    event UnstakeStarted(
        address indexed provider, Role indexed role, uint256 amount, uint256 staked, uint256 thawing, uint64 thawEnd
    );
    event StakeWithdrawn(address indexed provider, Role indexed role, uint256 amount);
    /// @notice Of what had thawed, amount went back to stake because a hold needs it.
    event StakeKept(address indexed provider, Role indexed role, uint256 amount, uint256 staked);
    /// @param to who got it
    event StakeTaken(address indexed provider, address indexed hold, address indexed to, uint256 amount);
    /// @param fault what was proven, in the judge's numbers ({IFaultProver-Fault})
    /// @param slashed what the provider lost, the reward included
    event Slashed(
        address indexed provider,
        bytes32 indexed faultId,
        Role indexed role,
        uint8 fault,
        address reporter,
        uint256 slashed,
        uint256 reward
    );
    /// @param amount what was announced this time
    /// @param staked the stake of this compartment afterwards
    /// @param thawing everything that thaws there now
    /// @param until from then on all that was announced there, now and before, is an ordinary part of what has thawed
    event LossAnnounced(
        address indexed provider,
        address indexed judge,
        Role indexed role,
        uint256 amount,
        uint256 staked,
        uint256 thawing,
        uint64 until
    );
    /// @param cause what the judge names it by
    event Compensated(
        address indexed provider, address indexed judge, Role indexed role, address to, uint256 paid, bytes32 cause
    );
    /// @notice Of what was slashed, amount was kept for the holds.
    /// @param forfeit the provider's whole forfeit afterwards
    event ForfeitKept(address indexed provider, uint256 amount, uint256 forfeit);
    event ForfeitBurned(address indexed provider, uint256 amount, uint256 forfeit);
    event ProfileSet(address indexed provider, bytes32 profileHash);
    event Connected(address indexed refunder, Judge[] judges, Hold[] holds, address[] notPayable);

    error ZeroAddress();
    error ZeroAmount();
    error StakeThawOutOfBounds(uint32 stakeThaw, uint32 maxStakeThaw);
    error AlreadyRegistered(address provider, address nodeKey);
    error NotRegistered(address provider);
    error NodeKeyTaken(address nodeKey, address provider);
    error WrongNodeKeySignature(address recovered, address nodeKey);
    error SignatureExpired(uint64 deadline, uint256 time);
    error NotPayable(address payout);
    error NotEnoughStake(uint256 asked, uint256 staked);
    error NothingThaws(address provider, Role role);
    error StakeStillThaws(uint64 thawEnd, uint256 time);
    error StakeHeld(address provider, Role role, uint256 held, uint256 staked);
    error NotConnector(address caller);
    error AlreadyConnected(address refunder);
    error TooManyJudges(uint256 judges, uint256 maxJudges);
    error MostPpmOutOfBounds(uint256 mostPpm, uint256 max);
    error JudgeTwice(address judge, Role role);
    error TooManyHolds(uint256 holds, uint256 maxHolds);
    error HoldTwice(IStakeHold hold);
    error TooManyNotPayable(uint256 accounts, uint256 maxAccounts);
    error NotJudge(address caller, Role role);
    error NothingToTake(address provider, Role role, uint8 fault);
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

    /// @notice Sets the hash of the hardware profile that the calling, registered provider advertises.
    function setProfile(bytes32 profileHash) external;

    // ---- Stake. Where no role is named, it is {Role-Provider}.

    /// @notice Moves OPENX from the caller into its own stake. The caller approves this contract first.
    function stake(uint256 amount) external;

    /// @notice Moves OPENX from the caller into another provider's stake. It is that provider's from then on.
    function stakeFor(address provider, uint256 amount) external;

    /// @notice The same into any compartment of any provider, the caller's own included.
    function stakeInto(address provider, Role role, uint256 amount) external;

    /// @notice Takes amount out of the caller's stake and starts its thaw. With a thaw of that compartment running already, both
    /// amounts thaw together from now on: only the owner can do this to itself. Refused if less than {heldIn} stayed staked.
    function startUnstake(uint256 amount) external;
    function startUnstakeFrom(Role role, uint256 amount) external;

    /// @notice Pays what has thawed to the caller, less what a hold has come to need since, which goes back to its stake, and less losses
    /// that were announced, which wait ({announcedIn}).
    function withdrawStake() external returns (uint256 amount);
    function withdrawStakeFrom(Role role) external returns (uint256 amount);

    // ---- Loss

    /// @notice Takes a penalty's part of what is staked and thawing in its compartment, in proportion, rounded up: as a whole for the
    /// episode it belongs to, less what that took already, and within the caller's ceiling. Only a judge.
    ///
    /// An episode ends {PENALTY_PERIOD} after its day: what is shown of it later takes nothing, so that stake added long after does not pay for
    /// it again. The documents of an episode are those of one kind of fault dated up to {EPISODE} after its first proof, however old. Where there is
    /// stake and nothing may be taken, it is refused, so that evidence is not used up while the ceiling covers it. Where there is no
    /// stake, an episode begins and costs nothing yet: what is staked before its end is taken from by its further documents.
    /// @return slashed what the provider lost
    /// @return reward the reporter's part of it, rounded down
    function slash(address provider, Penalty calldata penalty) external returns (uint256 slashed, uint256 reward);

    /// @notice Announces a loss of amount, or of as much as the ceiling, the holds and what was announced before leave, that a provider is to
    /// pay by {compensate}. First out of what is staked, which begins to thaw by it, then out of what thaws already. Only a judge.
    /// Nothing while losses wait that another judge announced.
    /// @param least announces nothing at all where it would be less than this
    function announce(address provider, Role role, uint256 amount, uint256 least) external returns (uint256 announced);

    /// @notice Pays amount, or as much as the caller announced and the holds leave. For what a provider owes a submitter in OPENX by a breach.
    /// Only a judge. That a stake thaw has passed since is for the judge to see to.
    /// @param cause what the judge names it by, for the event
    function compensate(address provider, Role role, address to, uint256 amount, bytes32 cause)
        external
        returns (uint256 paid);

    /// @notice Pays amount, or all there is, of what lies here for the provider in the hold's compartment: from staked and thawing in
    /// proportion, then from its forfeit. Only a hold.
    function takeStake(address provider, address to, uint256 amount) external returns (uint256 taken);

    /// @notice Burns the part of a provider's forfeit that no hold needs any longer. By anyone.
    function burnForfeit(address provider) external returns (uint256 burned);

    /// @notice Names who may take stake, at most {MAX_JUDGES} and {MAX_HOLDS}. Once, by the connector.
    /// @param judges a judge stands once for each compartment it takes from
    /// @param notPayable our own contracts and assets, at most {MAX_NOT_PAYABLE}: money paid there would belong to nobody
    /// @param refunder_ whom PaymentEscrow obeys when it is to refund
    function connect(Judge[] calldata judges, Hold[] calldata holds, address[] calldata notPayable, address refunder_)
        external;

    // ---- Views

    /// @notice The provider this node key serves now; zero when it serves none, also after it was replaced.
    function providerOf(address nodeKey) external view returns (address);

    /// @notice The only provider that may ever bind this node key; zero when it was never used. Says nothing about what it
    /// signed: {authorOf} does.
    function boundProviderOf(address nodeKey) external view returns (address);

    /// @notice The provider that answers for what this key signed at time `at`, in seconds: the key was bound then, and is still, or
    /// was taken away at or after `at` and no longer than {stakeThaw} ago. Zero otherwise, and for what is dated more than
    /// {MAX_AHEAD} ahead of this block.
    function authorOf(address nodeKey, uint256 at) external view returns (address provider);

    /// @notice From when to when this node key was bound, in seconds. Zero since: never. Zero until: it is bound.
    function keyTimeOf(address nodeKey) external view returns (uint64 since, uint64 until);

    /// @notice The provider's node key; zero when not registered.
    function nodeKeyOf(address provider) external view returns (address);

    /// @notice Where to pay the provider: its payout, else the provider itself. Never zero for a provider that is not.
    function payoutOf(address provider) external view returns (address);

    /// @notice Whether this account is refused as a payout.
    function isNotPayable(address account) external view returns (bool);

    /// @notice The stake that counts, without what thaws.
    function stakeOf(address provider) external view returns (uint256);
    function stakeIn(address provider, Role role) external view returns (uint256);

    function stakeDetails(address provider) external view returns (Stake memory);
    function stakeDetailsIn(address provider, Role role) external view returns (Stake memory);

    /// @notice The part of what thaws that is announced as lost and not paid yet, and until when it waits. Zero when there is none.
    function announcedIn(address provider, Role role) external view returns (uint256 amount, uint64 until);

    /// @notice What all holds of the compartment together need to stay.
    function heldStakeOf(address provider) external view returns (uint256);
    function heldIn(address provider, Role role) external view returns (uint256);

    /// @notice What was slashed and is kept for the holds.
    function forfeitOf(address provider) external view returns (uint256);

    /// @notice All that lies here for a provider's promises, without its pledge as a verifier: staked, thawing and forfeit.
    function backingOf(address provider) external view returns (uint256);

    /// @return count episodes of faults proven against the provider
    /// @return slashed all it lost by them
    function faultsOf(address provider) external view returns (uint64 count, uint128 slashed);

    /// @notice The last episode of a kind of fault.
    /// @return since its first proof, in seconds; zero when there was none
    function episodeOf(address provider, Role role, uint8 fault) external view returns (uint64 since, uint128 taken);

    /// @notice What a judge may still take of a compartment, or announce. Refused for who is no judge of it.
    function roomOf(address judge, address provider, Role role) external view returns (uint256);

    function profileOf(address provider) external view returns (bytes32);

    /// @notice The ceiling of a judge; zero for who is none in that compartment.
    function mostPpmOf(address judge, Role role) external view returns (uint32);

    function judgesOf() external view returns (Judge[] memory);

    function holdsOf() external view returns (Hold[] memory);

    function isHold(address hold) external view returns (bool);

    /// @notice Whom PaymentEscrow obeys when it is to refund; zero before {connect}.
    function refunder() external view returns (address);

    function connector() external view returns (address);

    /// @notice The nonce the provider's next node key proof must carry.
    function nonces(address provider) external view returns (uint256);

    function openx() external view returns (IERC20);

    /// @notice Seconds from {startUnstake} to {withdrawStake}; between 1 and {MAX_STAKE_THAW}.
    function stakeThaw() external view returns (uint32);

    // solhint-disable func-name-mixedcase
    /// @notice Seconds in which one judge's ceiling holds: the stake thaw.
    function PENALTY_PERIOD() external view returns (uint64);
    function EPISODE() external view returns (uint64);
    /// @notice Seconds, from the end of its thaw, for which an announced loss waits to be paid.
    function COLLECT_TIME() external view returns (uint64);
    function MAX_AHEAD() external view returns (uint64);
    function MAX_STAKE_THAW() external view returns (uint32);
    function MAX_JUDGES() external view returns (uint256);
    function MAX_HOLDS() external view returns (uint256);
    function MAX_NOT_PAYABLE() external view returns (uint256);
    function REWARD_PPM() external view returns (uint256);
    // solhint-enable func-name-mixedcase

    function domainSeparator() external view returns (bytes32);
}
