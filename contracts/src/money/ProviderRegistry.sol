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
import {IStakeHold} from "../interfaces/IStakeHold.sol";
import {XnodeHashes} from "../libraries/XnodeHashes.sol";

/// @notice See {IProviderRegistry}.
contract ProviderRegistry is IProviderRegistry, EIP712 {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;

    struct Faults {
        uint64 count;
        uint128 slashed;
    }

    /// @dev A typing error in a deployment must not lock stake for years.
    uint32 public constant MAX_STAKE_THAW = 90 days;
    /// @dev Every unstake asks them all.
    uint256 public constant MAX_HOLDS = 8;
    /// @dev Enough to pay for watching, little enough that reporting oneself is a loss.
    uint256 public constant REWARD_PPM = 100_000;
    uint256 private constant MILLION = 1_000_000;

    IERC20 public immutable openx;
    uint32 public immutable stakeThaw;
    address public immutable connector;

    address public slasher;
    IStakeHold[] private _holds;
    mapping(address hold => bool) public isHold;

    mapping(address nodeKey => address) public boundProviderOf;
    mapping(address provider => address) public nodeKeyOf;
    mapping(address provider => uint256) public nonces;
    mapping(address provider => address) private _payout;
    mapping(address provider => Stake) private _stakes;
    mapping(address provider => uint256) public forfeitOf;
    mapping(address provider => Faults) public faultsOf;
    mapping(address provider => bytes32) public profileOf;

    constructor(IERC20 openx_, uint32 stakeThaw_, address connector_) EIP712("xnode", "1") {
        if (address(openx_) == address(0) || connector_ == address(0)) revert ZeroAddress();
        if (stakeThaw_ == 0 || stakeThaw_ > MAX_STAKE_THAW) revert StakeThawOutOfBounds(stakeThaw_, MAX_STAKE_THAW);
        openx = openx_;
        stakeThaw = stakeThaw_;
        connector = connector_;
    }

    function connect(address slasher_, IStakeHold[] calldata holds) external {
        if (msg.sender != connector) revert NotConnector(msg.sender);
        if (slasher != address(0)) revert AlreadyConnected(slasher);
        if (slasher_ == address(0)) revert ZeroAddress();
        if (holds.length > MAX_HOLDS) revert TooManyHolds(holds.length, MAX_HOLDS);
        slasher = slasher_;
        for (uint256 i = 0; i < holds.length; i++) {
            if (address(holds[i]) == address(0)) revert ZeroAddress();
            if (isHold[address(holds[i])]) revert HoldTwice(holds[i]);
            isHold[address(holds[i])] = true;
            _holds.push(holds[i]);
        }
        emit Connected(slasher_, holds);
    }

    // ---- Who they are

    function register(address nodeKey, address payout, uint64 deadline, bytes calldata nodeSig) external {
        address current = nodeKeyOf[msg.sender];
        if (current != address(0)) revert AlreadyRegistered(msg.sender, current);
        _bindNodeKey(nodeKey, deadline, nodeSig);
        _payout[msg.sender] = payout;
        emit ProviderRegistered(msg.sender, nodeKey, payoutOf(msg.sender));
    }

    function rotateNodeKey(address newNodeKey, uint64 deadline, bytes calldata nodeSig) external {
        address oldNodeKey = _currentNodeKey();
        _bindNodeKey(newNodeKey, deadline, nodeSig);
        emit NodeKeyRotated(msg.sender, oldNodeKey, newNodeKey);
    }

    function setPayout(address payout) external {
        _payout[msg.sender] = payout;
        emit PayoutSet(msg.sender, payoutOf(msg.sender));
    }

    function deactivate() external {
        address nodeKey = _currentNodeKey();
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
        _addStake(msg.sender, amount);
    }

    function stakeFor(address provider, uint256 amount) external {
        if (provider == address(0)) revert ZeroAddress();
        _addStake(provider, amount);
    }

    function startUnstake(uint256 amount) external {
        if (amount == 0) revert ZeroAmount();
        Stake storage own = _stakes[msg.sender];
        if (amount > own.staked) revert NotEnoughStake(amount, own.staked);
        uint256 held = heldStakeOf(msg.sender);
        if (own.staked - amount < held) revert StakeHeld(msg.sender, held, own.staked);
        own.staked -= uint128(amount);
        own.thawing += uint128(amount);
        own.thawEnd = uint64(block.timestamp) + stakeThaw;
        emit UnstakeStarted(msg.sender, amount, own.staked, own.thawing, own.thawEnd);
    }

    function withdrawStake() external returns (uint256 amount) {
        Stake storage own = _stakes[msg.sender];
        if (own.thawEnd == 0) revert NothingThaws(msg.sender);
        if (block.timestamp < own.thawEnd) revert StakeStillThaws(own.thawEnd, block.timestamp);
        // It was above what was held when it began to thaw; a slash or a governed rate may have changed that.
        uint256 kept = Math.min(own.thawing, Math.saturatingSub(heldStakeOf(msg.sender), own.staked));
        amount = own.thawing - kept;
        own.staked += uint128(kept);
        own.thawing = 0;
        own.thawEnd = 0;
        if (kept != 0) emit StakeKept(msg.sender, kept, own.staked);
        emit StakeWithdrawn(msg.sender, amount);
        openx.safeTransfer(msg.sender, amount);
    }

    // ---- Loss

    function slash(address provider, uint32 ppm, uint8 fault, bytes32 faultId, address reporter)
        external
        returns (uint256 slashed, uint256 reward)
    {
        if (msg.sender != slasher) revert NotSlasher(msg.sender);
        slashed = Math.ceilDiv(_ownOf(provider) * Math.min(ppm, MILLION), MILLION);
        if (reporter != address(0)) reward = slashed * REWARD_PPM / MILLION;
        _takeOwn(provider, slashed);
        faultsOf[provider].count++;
        faultsOf[provider].slashed += uint128(slashed);
        emit Slashed(provider, faultId, fault, reporter, slashed, reward);
        uint256 burned = slashed - reward - _keepForfeit(provider, slashed - reward);
        if (burned != 0) IOpenxToken(address(openx)).burn(burned);
        if (reward != 0) openx.safeTransfer(reporter, reward);
    }

    function takeStake(address provider, address to, uint256 amount) external returns (uint256 taken) {
        if (!isHold[msg.sender]) revert NotHold(msg.sender);
        taken = Math.min(amount, backingOf(provider));
        uint256 fromOwn = Math.min(taken, _ownOf(provider));
        _takeOwn(provider, fromOwn);
        forfeitOf[provider] -= taken - fromOwn;
        emit StakeTaken(provider, msg.sender, to, taken);
        openx.safeTransfer(to, taken);
    }

    function burnForfeit(address provider) external returns (uint256 burned) {
        uint256 needed = Math.saturatingSub(heldStakeOf(provider), _ownOf(provider));
        burned = Math.saturatingSub(forfeitOf[provider], needed);
        // What is compared is a difference of our own ledgers; no transfer can change it.
        // slither-disable-next-line incorrect-equality
        if (burned == 0) return 0;
        forfeitOf[provider] -= burned;
        emit ForfeitBurned(provider, burned, forfeitOf[provider]);
        IOpenxToken(address(openx)).burn(burned);
    }

    // ---- Views

    function providerOf(address nodeKey) external view returns (address) {
        address provider = boundProviderOf[nodeKey];
        return nodeKeyOf[provider] == nodeKey ? provider : address(0);
    }

    function payoutOf(address provider) public view returns (address) {
        address payout = _payout[provider];
        return payout == address(0) ? provider : payout;
    }

    function stakeOf(address provider) external view returns (uint256) {
        return _stakes[provider].staked;
    }

    function stakeDetails(address provider) external view returns (Stake memory) {
        return _stakes[provider];
    }

    function heldStakeOf(address provider) public view returns (uint256 held) {
        // At most {MAX_HOLDS}, all our own contracts; a constant length would be one more number to keep.
        // slither-disable-next-line cache-array-length
        for (uint256 i = 0; i < _holds.length; i++) {
            // slither-disable-next-line calls-loop
            held += _holds[i].heldStakeOf(provider);
        }
    }

    function backingOf(address provider) public view returns (uint256) {
        return _ownOf(provider) + forfeitOf[provider];
    }

    function holdsOf() external view returns (IStakeHold[] memory) {
        return _holds;
    }

    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    // ---- Inside

    function _currentNodeKey() private view returns (address nodeKey) {
        nodeKey = nodeKeyOf[msg.sender];
        if (nodeKey == address(0)) revert NotRegistered(msg.sender);
    }

    function _bindNodeKey(address nodeKey, uint64 deadline, bytes calldata nodeSig) private {
        if (nodeKey == address(0)) revert ZeroAddress();
        if (block.timestamp > deadline) revert SignatureExpired(deadline, block.timestamp);
        address bound = boundProviderOf[nodeKey];
        if (bound != address(0) && bound != msg.sender) revert NodeKeyTaken(nodeKey, bound);

        uint256 nonce = nonces[msg.sender]++;
        bytes32 digest = _hashTypedDataV4(XnodeHashes.hashNodeKey(msg.sender, nodeKey, nonce, deadline));
        // Why it failed does not matter: zero is not a node key.
        // slither-disable-next-line unused-return
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, nodeSig);
        if (recovered != nodeKey) revert WrongNodeKeySignature(recovered, nodeKey);

        boundProviderOf[nodeKey] = msg.sender;
        nodeKeyOf[msg.sender] = nodeKey;
    }

    function _addStake(address provider, uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        Stake storage own = _stakes[provider];
        own.staked += amount.toUint128();
        emit Staked(provider, msg.sender, amount, own.staked);
        openx.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @dev What is still the provider's.
    function _ownOf(address provider) private view returns (uint256) {
        return uint256(_stakes[provider].staked) + _stakes[provider].thawing;
    }

    /// @dev From staked and thawing in proportion, so that neither is a shelter. amount is at most both.
    function _takeOwn(address provider, uint256 amount) private {
        // As in {burnForfeit}.
        // slither-disable-next-line incorrect-equality
        if (amount == 0) return;
        Stake storage own = _stakes[provider];
        uint256 fromThawing = amount * own.thawing / _ownOf(provider);
        own.thawing -= uint128(fromThawing);
        own.staked -= uint128(amount - fromThawing);
    }

    /// @dev Keeps so much of what was slashed as the holds lack now.
    function _keepForfeit(address provider, uint256 amount) private returns (uint256 kept) {
        kept = Math.min(amount, Math.saturatingSub(heldStakeOf(provider), backingOf(provider)));
        // As in {burnForfeit}.
        // slither-disable-next-line incorrect-equality
        if (kept == 0) return 0;
        forfeitOf[provider] += kept;
        emit ForfeitKept(provider, kept, forfeitOf[provider]);
    }
}
