// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {IOpenxToken} from "../interfaces/IOpenxToken.sol";
import {IProviderRegistry} from "../interfaces/IProviderRegistry.sol";
import {XnodeHashes} from "../libraries/XnodeHashes.sol";

/// @notice See {IProviderRegistry}.
/// @dev Public mappings answer for episodeOf and mostPpmOf.
// slither-disable-next-line unimplemented-functions
contract ProviderRegistry is IProviderRegistry, EIP712 {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;

    struct Faults {
        uint64 count;
        uint128 slashed;
    }

    /// @dev One word. until: when the key was taken away; zero while it is bound.
    struct NodeKey {
        address provider;
        uint48 since;
        uint48 until;
    }

    /// @param since its first proof, in seconds
    struct Episode {
        uint64 since;
        uint128 taken;
    }

    /// @dev What one judge took of one compartment, as long as no {PENALTY_PERIOD} passed without its taking something: so no
    /// stretch of that length holds more than the ceiling, wherever it begins.
    struct Takings {
        uint64 lastAt;
        uint128 amount;
    }

    /// @dev Losses that a judge announced, within what thaws, and until when they may be paid.
    struct Announced {
        uint128 amount;
        uint64 until;
        address judge;
    }

    /// @dev A typing error in a deployment must not lock stake for years.
    uint32 public constant MAX_STAKE_THAW = 90 days;
    /// @dev Every unstake asks them all.
    uint256 public constant MAX_HOLDS = 8;
    uint256 public constant MAX_JUDGES = 8;
    uint256 public constant MAX_NOT_PAYABLE = 32;
    /// @dev Enough to pay for watching, little enough that reporting oneself is a loss.
    uint256 public constant REWARD_PPM = 100_000;
    /// @dev Time to see that a proof was shown and to stop what signs.
    uint64 public constant EPISODE = 1 days;
    /// @dev Somebody who looks once a week does not miss it.
    uint64 public constant COLLECT_TIME = 7 days;
    /// @dev More than any clock that is set is ahead.
    uint64 public constant MAX_AHEAD = 1 hours;
    uint256 private constant MILLION = 1_000_000;

    IERC20 public immutable openx;
    uint32 public immutable stakeThaw;
    // Readers see it as a constant.
    // solhint-disable-next-line immutable-vars-naming
    uint64 public immutable PENALTY_PERIOD;
    address public immutable connector;

    address public refunder;
    Judge[] private _judges;
    Hold[] private _holds;
    mapping(address judge => mapping(Role => uint32)) public mostPpmOf;
    mapping(address hold => bool) public isHold;
    mapping(address hold => Role) private _roleOf;
    mapping(address account => bool) public isNotPayable;

    mapping(address nodeKey => NodeKey) private _keys;
    mapping(address provider => address) public nodeKeyOf;
    mapping(address provider => uint256) public nonces;
    mapping(address provider => address) private _payout;
    mapping(address provider => mapping(Role => Stake)) private _stakes;
    mapping(address provider => mapping(Role => Announced)) private _announced;
    mapping(address provider => uint256) public forfeitOf;
    mapping(address provider => Faults) public faultsOf;
    mapping(address provider => mapping(Role => mapping(uint8 fault => Episode))) public episodeOf;
    mapping(address provider => mapping(Role => mapping(address judge => Takings))) private _takings;
    mapping(address provider => bytes32) public profileOf;

    constructor(IERC20 openx_, uint32 stakeThaw_, address connector_) EIP712("xnode", "1") {
        if (address(openx_) == address(0) || connector_ == address(0)) revert ZeroAddress();
        if (stakeThaw_ == 0 || stakeThaw_ > MAX_STAKE_THAW) revert StakeThawOutOfBounds(stakeThaw_, MAX_STAKE_THAW);
        openx = openx_;
        stakeThaw = stakeThaw_;
        PENALTY_PERIOD = stakeThaw_;
        connector = connector_;
        isNotPayable[address(this)] = true;
        isNotPayable[address(openx_)] = true;
    }

    function connect(Judge[] calldata judges, Hold[] calldata holds, address[] calldata notPayable, address refunder_)
        external
    {
        if (msg.sender != connector) revert NotConnector(msg.sender);
        if (refunder != address(0)) revert AlreadyConnected(refunder);
        if (refunder_ == address(0)) revert ZeroAddress();
        if (notPayable.length > MAX_NOT_PAYABLE) revert TooManyNotPayable(notPayable.length, MAX_NOT_PAYABLE);
        refunder = refunder_;
        _connectJudges(judges);
        _connectHolds(holds);
        for (uint256 i = 0; i < notPayable.length; i++) {
            // Zero means the provider itself, which nobody could choose any more.
            if (notPayable[i] == address(0)) revert ZeroAddress();
            isNotPayable[notPayable[i]] = true;
        }
        emit Connected(refunder_, judges, holds, notPayable);
    }

    // ---- Who they are

    function register(address nodeKey, address payout, uint64 deadline, bytes calldata nodeSig) external {
        address current = nodeKeyOf[msg.sender];
        if (current != address(0)) revert AlreadyRegistered(msg.sender, current);
        _bindNodeKey(nodeKey, deadline, nodeSig);
        _setPayout(payout);
        emit ProviderRegistered(msg.sender, nodeKey, payoutOf(msg.sender));
    }

    function rotateNodeKey(address newNodeKey, uint64 deadline, bytes calldata nodeSig) external {
        address oldNodeKey = _currentNodeKey();
        _keys[oldNodeKey].until = uint48(block.timestamp);
        _bindNodeKey(newNodeKey, deadline, nodeSig);
        emit NodeKeyRotated(msg.sender, oldNodeKey, newNodeKey);
    }

    function setPayout(address payout) external {
        _setPayout(payout);
        emit PayoutSet(msg.sender, payoutOf(msg.sender));
    }

    function deactivate() external {
        address nodeKey = _currentNodeKey();
        _keys[nodeKey].until = uint48(block.timestamp);
        delete nodeKeyOf[msg.sender];
        emit ProviderDeactivated(msg.sender, nodeKey);
    }

    function setProfile(bytes32 profileHash) external {
        _currentNodeKey();
        profileOf[msg.sender] = profileHash;
        emit ProfileSet(msg.sender, profileHash);
    }

    // ---- Stake

    function stake(uint256 amount) external {
        _addStake(msg.sender, Role.Provider, amount);
    }

    function stakeFor(address provider, uint256 amount) external {
        _addStake(provider, Role.Provider, amount);
    }

    function stakeInto(address provider, Role role, uint256 amount) external {
        _addStake(provider, role, amount);
    }

    function startUnstake(uint256 amount) external {
        startUnstakeFrom(Role.Provider, amount);
    }

    function startUnstakeFrom(Role role, uint256 amount) public {
        if (amount == 0) revert ZeroAmount();
        Stake storage own = _stakes[msg.sender][role];
        if (amount > own.staked) revert NotEnoughStake(amount, own.staked);
        uint256 held = heldIn(msg.sender, role);
        if (own.staked - amount < held) revert StakeHeld(msg.sender, role, held, own.staked);
        own.staked -= uint128(amount);
        own.thawing += uint128(amount);
        own.thawEnd = uint64(block.timestamp) + stakeThaw;
        emit UnstakeStarted(msg.sender, role, amount, own.staked, own.thawing, own.thawEnd);
    }

    function withdrawStake() external returns (uint256 amount) {
        return withdrawStakeFrom(Role.Provider);
    }

    function withdrawStakeFrom(Role role) public returns (uint256 amount) {
        Stake storage own = _stakes[msg.sender][role];
        if (own.thawEnd == 0) revert NothingThaws(msg.sender, role);
        if (block.timestamp < own.thawEnd) revert StakeStillThaws(own.thawEnd, block.timestamp);
        (uint256 announced, uint64 until) = announcedIn(msg.sender, role);
        // It was above what was held when it began to thaw; a slash or a governed rate may have changed that.
        uint256 thawed = own.thawing - announced;
        uint256 kept = Math.min(thawed, Math.saturatingSub(heldIn(msg.sender, role), own.staked));
        amount = thawed - kept;
        own.staked += uint128(kept);
        own.thawing = uint128(announced);
        own.thawEnd = until;
        if (kept != 0) emit StakeKept(msg.sender, role, kept, own.staked);
        emit StakeWithdrawn(msg.sender, role, amount);
        openx.safeTransfer(msg.sender, amount);
    }

    // ---- Loss

    function slash(address provider, Penalty calldata penalty) external returns (uint256 slashed, uint256 reward) {
        (uint256 room, uint256 taken) = _roomOf(msg.sender, provider, penalty.role);
        slashed = _takeForEpisode(provider, penalty, room);
        _takeAs(provider, penalty.role, taken, slashed);
        faultsOf[provider].slashed += uint128(slashed);
        address reporter = penalty.reporter;
        if (reporter != address(0)) reward = slashed * REWARD_PPM / MILLION;
        emit Slashed(provider, penalty.faultId, penalty.role, penalty.fault, reporter, slashed, reward);
        uint256 burned = slashed - reward;
        if (penalty.role == Role.Provider) burned -= _keepForfeit(provider, burned);
        if (burned != 0) IOpenxToken(address(openx)).burn(burned);
        if (reward != 0) openx.safeTransfer(reporter, reward);
    }

    function announce(address provider, Role role, uint256 amount, uint256 least) external returns (uint256 announced) {
        // What it took is in the room already.
        // slither-disable-next-line unused-return
        (uint256 room,) = _roomOf(msg.sender, provider, role);
        Stake storage own = _stakes[provider][role];
        // Until when it was is no matter: it is announced anew.
        // slither-disable-next-line unused-return
        (uint256 before,) = announcedIn(provider, role);
        if (before != 0 && _announced[provider][role].judge != msg.sender) return 0;
        uint256 held = heldIn(provider, role);
        uint256 free = Math.saturatingSub(_ownOf(provider, role), held + before);
        announced = Math.min(amount, Math.min(room, free));
        // As in {compensate}.
        // slither-disable-next-line incorrect-equality
        if (announced == 0 || announced < least) return 0;
        uint128 fromStaked = uint128(Math.min(announced, Math.saturatingSub(own.staked, held)));
        own.staked -= fromStaked;
        own.thawing += fromStaked;
        uint64 until = uint64(block.timestamp) + stakeThaw + COLLECT_TIME;
        // Zero is that nothing thaws, not a time.
        // slither-disable-next-line incorrect-equality
        if (own.thawEnd == 0) own.thawEnd = until;
        _announced[provider][role] = Announced(uint128(before + announced), until, msg.sender);
        emit LossAnnounced(provider, msg.sender, role, announced, own.staked, own.thawing, until);
    }

    function compensate(address provider, Role role, address to, uint256 amount, bytes32 cause)
        external
        returns (uint256 paid)
    {
        // The room was asked for when it was announced; if what lies here has become less, its owner took it out.
        // slither-disable-next-line unused-return
        (, uint256 taken) = _roomOf(msg.sender, provider, role);
        if (to == address(0)) revert ZeroAddress();
        uint256 announced = _announcedBy(msg.sender, provider, role);
        // What a hold needs belongs to its holders first: else a made-up breach would be a way out for their collateral.
        uint256 unheld = Math.saturatingSub(_ownOf(provider, role), heldIn(provider, role));
        paid = Math.min(amount, Math.min(announced, unheld));
        // What is compared is a difference of our own ledgers; no transfer can change it.
        // slither-disable-next-line incorrect-equality
        if (paid == 0) return 0;
        _takings[provider][role][msg.sender] = Takings(uint64(block.timestamp), uint128(taken + paid));
        _announced[provider][role].amount = uint128(announced - paid);
        _stakes[provider][role].thawing -= uint128(paid);
        emit Compensated(provider, msg.sender, role, to, paid, cause);
        openx.safeTransfer(to, paid);
    }

    function takeStake(address provider, address to, uint256 amount) external returns (uint256 taken) {
        if (!isHold[msg.sender]) revert NotHold(msg.sender);
        Role role = _roleOf[msg.sender];
        uint256 own = _ownOf(provider, role);
        taken = Math.min(amount, role == Role.Provider ? own + forfeitOf[provider] : own);
        uint256 fromOwn = Math.min(taken, own);
        _takeOwn(provider, role, fromOwn);
        forfeitOf[provider] -= taken - fromOwn;
        emit StakeTaken(provider, msg.sender, to, taken);
        openx.safeTransfer(to, taken);
    }

    function burnForfeit(address provider) external returns (uint256 burned) {
        uint256 needed = Math.saturatingSub(heldStakeOf(provider), _ownOf(provider, Role.Provider));
        burned = Math.saturatingSub(forfeitOf[provider], needed);
        // As in {compensate}.
        // slither-disable-next-line incorrect-equality
        if (burned == 0) return 0;
        forfeitOf[provider] -= burned;
        emit ForfeitBurned(provider, burned, forfeitOf[provider]);
        IOpenxToken(address(openx)).burn(burned);
    }

    // ---- Views

    function providerOf(address nodeKey) external view returns (address) {
        address provider = _keys[nodeKey].provider;
        return nodeKeyOf[provider] == nodeKey ? provider : address(0);
    }

    function boundProviderOf(address nodeKey) external view returns (address) {
        return _keys[nodeKey].provider;
    }

    function keyTimeOf(address nodeKey) external view returns (uint64 since, uint64 until) {
        return (_keys[nodeKey].since, _keys[nodeKey].until);
    }

    function authorOf(address nodeKey, uint256 at) external view returns (address) {
        NodeKey memory key = _keys[nodeKey];
        if (at < key.since || at > block.timestamp + MAX_AHEAD) return address(0);
        if (key.until != 0 && (at > key.until || _hasLapsed(key.until))) return address(0);
        return key.provider;
    }

    function payoutOf(address provider) public view returns (address) {
        address payout = _payout[provider];
        return payout == address(0) ? provider : payout;
    }

    function stakeOf(address provider) external view returns (uint256) {
        return _stakes[provider][Role.Provider].staked;
    }

    function stakeIn(address provider, Role role) external view returns (uint256) {
        return _stakes[provider][role].staked;
    }

    function stakeDetails(address provider) external view returns (Stake memory) {
        return _stakes[provider][Role.Provider];
    }

    function stakeDetailsIn(address provider, Role role) external view returns (Stake memory) {
        return _stakes[provider][role];
    }

    function announcedIn(address provider, Role role) public view returns (uint256 amount, uint64 until) {
        Announced memory announced = _announced[provider][role];
        if (block.timestamp >= announced.until) return (0, 0);
        // What thaws may have been slashed since.
        amount = Math.min(announced.amount, _stakes[provider][role].thawing);
        if (amount != 0) until = announced.until;
    }

    function heldStakeOf(address provider) public view returns (uint256) {
        return heldIn(provider, Role.Provider);
    }

    function heldIn(address provider, Role role) public view returns (uint256 held) {
        // At most {MAX_HOLDS}, all our own contracts; a constant length would be one more number to keep.
        // slither-disable-next-line cache-array-length
        for (uint256 i = 0; i < _holds.length; i++) {
            Hold memory each = _holds[i];
            // slither-disable-next-line calls-loop
            if (each.role == role) held += each.hold.heldStakeOf(provider);
        }
    }

    function backingOf(address provider) public view returns (uint256) {
        return _ownOf(provider, Role.Provider) + forfeitOf[provider];
    }

    function roomOf(address judge, address provider, Role role) external view returns (uint256 room) {
        (room,) = _roomOf(judge, provider, role);
    }

    function judgesOf() external view returns (Judge[] memory) {
        return _judges;
    }

    function holdsOf() external view returns (Hold[] memory) {
        return _holds;
    }

    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    // ---- Inside: connecting

    function _connectJudges(Judge[] calldata judges) private {
        if (judges.length > MAX_JUDGES) revert TooManyJudges(judges.length, MAX_JUDGES);
        for (uint256 i = 0; i < judges.length; i++) {
            Judge calldata each = judges[i];
            if (each.judge == address(0)) revert ZeroAddress();
            if (each.mostPpm == 0 || each.mostPpm > MILLION) revert MostPpmOutOfBounds(each.mostPpm, MILLION);
            if (mostPpmOf[each.judge][each.role] != 0) revert JudgeTwice(each.judge, each.role);
            mostPpmOf[each.judge][each.role] = each.mostPpm;
            _judges.push(each);
        }
    }

    function _connectHolds(Hold[] calldata holds) private {
        if (holds.length > MAX_HOLDS) revert TooManyHolds(holds.length, MAX_HOLDS);
        for (uint256 i = 0; i < holds.length; i++) {
            address hold = address(holds[i].hold);
            if (hold == address(0)) revert ZeroAddress();
            if (isHold[hold]) revert HoldTwice(holds[i].hold);
            isHold[hold] = true;
            _roleOf[hold] = holds[i].role;
            _holds.push(holds[i]);
        }
    }

    // ---- Inside: who they are

    function _currentNodeKey() private view returns (address nodeKey) {
        nodeKey = nodeKeyOf[msg.sender];
        if (nodeKey == address(0)) revert NotRegistered(msg.sender);
    }

    function _bindNodeKey(address nodeKey, uint64 deadline, bytes calldata nodeSig) private {
        if (nodeKey == address(0)) revert ZeroAddress();
        if (block.timestamp > deadline) revert SignatureExpired(deadline, block.timestamp);
        NodeKey memory key = _keys[nodeKey];
        if (key.provider != address(0) && key.provider != msg.sender) revert NodeKeyTaken(nodeKey, key.provider);

        uint256 nonce = nonces[msg.sender]++;
        bytes32 digest = _hashTypedDataV4(XnodeHashes.hashNodeKey(msg.sender, nodeKey, nonce, deadline));
        // Why it failed does not matter: zero is not a node key.
        // slither-disable-next-line unused-return
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, nodeSig);
        if (recovered != nodeKey) revert WrongNodeKeySignature(recovered, nodeKey);

        // A key that comes back keeps its beginning while what it signed still counts: leaving and returning sheds no evidence.
        bool isFresh = key.provider == address(0) || _hasLapsed(key.until);
        _keys[nodeKey] = NodeKey(msg.sender, isFresh ? uint48(block.timestamp) : key.since, 0);
        nodeKeyOf[msg.sender] = nodeKey;
    }

    /// @dev Whether what was signed before until counts no longer.
    function _hasLapsed(uint256 until) private view returns (bool) {
        return block.timestamp > until + stakeThaw;
    }

    function _setPayout(address payout) private {
        if (isNotPayable[payout]) revert NotPayable(payout);
        _payout[msg.sender] = payout;
    }

    // ---- Inside: stake

    function _addStake(address provider, Role role, uint256 amount) private {
        if (provider == address(0)) revert ZeroAddress();
        if (amount == 0) revert ZeroAmount();
        Stake storage own = _stakes[provider][role];
        own.staked += amount.toUint128();
        emit Staked(provider, msg.sender, role, amount, own.staked);
        openx.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @dev What is still the provider's.
    function _ownOf(address provider, Role role) private view returns (uint256) {
        Stake storage own = _stakes[provider][role];
        return uint256(own.staked) + own.thawing;
    }

    /// @dev From staked and thawing in proportion, so that neither is a shelter. amount is at most both.
    function _takeOwn(address provider, Role role, uint256 amount) private {
        // As in {compensate}.
        // slither-disable-next-line incorrect-equality
        if (amount == 0) return;
        Stake storage own = _stakes[provider][role];
        uint256 fromThawing = amount * own.thawing / _ownOf(provider, role);
        own.thawing -= uint128(fromThawing);
        own.staked -= uint128(amount - fromThawing);
    }

    // ---- Inside: loss

    /// @return room what the judge may still take of the compartment
    /// @return taken what it took in the period that runs
    function _roomOf(address judge, address provider, Role role) private view returns (uint256 room, uint256 taken) {
        uint256 mostPpm = mostPpmOf[judge][role];
        // Zero is what no judge was connected with.
        // slither-disable-next-line incorrect-equality
        if (mostPpm == 0) revert NotJudge(judge, role);
        Takings memory takings = _takings[provider][role][judge];
        if (block.timestamp <= takings.lastAt + PENALTY_PERIOD) taken = takings.amount;
        uint256 most = Math.ceilDiv((_ownOf(provider, role) + taken) * mostPpm, MILLION);
        // What it announced is as good as taken.
        room = Math.saturatingSub(most, taken + _announcedBy(judge, provider, role));
    }

    function _announcedBy(address judge, address provider, Role role) private view returns (uint256 amount) {
        if (_announced[provider][role].judge != judge) return 0;
        // Only how much counts here.
        // slither-disable-next-line unused-return
        (amount,) = announcedIn(provider, role);
    }

    /// @dev The next penalty of an episode: what it takes as a whole, less what it took.
    function _takeForEpisode(address provider, Penalty calldata penalty, uint256 room)
        private
        returns (uint256 amount)
    {
        Episode storage episode = episodeOf[provider][penalty.role][penalty.fault];
        uint256 datedAt = Math.min(penalty.datedAt, block.timestamp);
        bool isNew = episode.since == 0 || datedAt > episode.since + EPISODE;
        if (isNew) {
            (episode.since, episode.taken) = (uint64(block.timestamp), 0);
            faultsOf[provider].count++;
        }
        (uint256 own, uint256 taken) = (_ownOf(provider, penalty.role), episode.taken);
        uint256 whole = Math.ceilDiv((own + taken) * Math.min(penalty.ppm, MILLION), MILLION);
        amount = Math.min(room, Math.saturatingSub(whole, taken));
        // Where there is stake and no room, the evidence waits for the next period. Without stake an episode only begins.
        // And what was staked long after is not what it was committed with: an episode ends.
        if (!isNew && block.timestamp > episode.since + EPISODE + PENALTY_PERIOD) amount = 0;
        // As in {compensate}.
        // slither-disable-next-line incorrect-equality
        if (amount == 0 && (!isNew || own != 0)) revert NothingToTake(provider, penalty.role, penalty.fault);
        episode.taken += uint128(amount);
    }

    /// @dev Takes amount in the name of the calling judge, which took `taken` in its period before.
    function _takeAs(address provider, Role role, uint256 taken, uint256 amount) private {
        // As in {compensate}.
        // slither-disable-next-line incorrect-equality
        if (amount == 0) return;
        _takings[provider][role][msg.sender] = Takings(uint64(block.timestamp), uint128(taken + amount));
        _takeOwn(provider, role, amount);
    }

    /// @dev Keeps so much of what was slashed as the holds lack now.
    function _keepForfeit(address provider, uint256 amount) private returns (uint256 kept) {
        kept = Math.min(amount, Math.saturatingSub(heldStakeOf(provider), backingOf(provider)));
        // As in {compensate}.
        // slither-disable-next-line incorrect-equality
        if (kept == 0) return 0;
        forfeitOf[provider] += kept;
        emit ForfeitKept(provider, kept, forfeitOf[provider]);
    }
}
