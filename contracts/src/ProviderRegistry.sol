// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {IProviderRegistry} from "./interfaces/IProviderRegistry.sol";
import {XnodeHashes} from "./libraries/XnodeHashes.sol";

/// @notice See {IProviderRegistry}.
contract ProviderRegistry is IProviderRegistry, EIP712 {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;

    /// @dev A typing error in a deployment must not lock stake for years.
    uint32 public constant MAX_STAKE_THAW = 90 days;

    IERC20 public immutable openx;
    uint32 public immutable stakeThaw;
    address public slasher;

    mapping(address nodeKey => address) public boundProviderOf;
    mapping(address provider => address) public nodeKeyOf;
    mapping(address provider => uint256) public nonces;
    mapping(address provider => address) private _payout;
    mapping(address provider => Stake) private _stakes;

    constructor(IERC20 openx_, uint32 stakeThaw_) EIP712("xnode", "1") {
        if (address(openx_) == address(0)) revert ZeroAddress();
        if (stakeThaw_ == 0 || stakeThaw_ > MAX_STAKE_THAW) revert StakeThawOutOfBounds(stakeThaw_, MAX_STAKE_THAW);
        openx = openx_;
        stakeThaw = stakeThaw_;
    }

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

    function stake(uint256 amount) external {
        _addStake(msg.sender, amount);
    }

    function stakeFor(address provider, uint256 amount) external {
        if (provider == address(0)) revert ZeroAddress();
        _addStake(provider, amount);
    }

    function startUnstake(uint256 amount) external {
        if (amount == 0) revert ZeroAmount();
        Stake storage held = _stakes[msg.sender];
        if (amount > held.staked) revert NotEnoughStake(amount, held.staked);
        held.staked -= uint128(amount);
        held.thawing += uint128(amount);
        held.thawEnd = uint64(block.timestamp) + stakeThaw;
        emit UnstakeStarted(msg.sender, amount, held.staked, held.thawing, held.thawEnd);
    }

    function withdrawStake() external returns (uint256 amount) {
        Stake storage held = _stakes[msg.sender];
        if (held.thawEnd == 0) revert NothingThaws(msg.sender);
        if (block.timestamp < held.thawEnd) revert StakeStillThaws(held.thawEnd, block.timestamp);
        amount = held.thawing;
        held.thawing = 0;
        held.thawEnd = 0;
        emit StakeWithdrawn(msg.sender, amount);
        openx.safeTransfer(msg.sender, amount);
    }

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

    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

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
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, nodeSig);
        if (recovered != nodeKey) revert WrongNodeKeySignature(recovered, nodeKey);

        boundProviderOf[nodeKey] = msg.sender;
        nodeKeyOf[msg.sender] = nodeKey;
    }

    function _addStake(address provider, uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        Stake storage held = _stakes[provider];
        held.staked += amount.toUint128();
        emit Staked(provider, msg.sender, amount, held.staked);
        openx.safeTransferFrom(msg.sender, address(this), amount);
    }
}
