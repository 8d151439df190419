// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {GovernedSteps} from "./GovernedSteps.sol";
import {GovernedForGood} from "../governance/GovernedForGood.sol";
import {IOpenxToken} from "../interfaces/IOpenxToken.sol";
import {IProviderRegistry} from "../interfaces/IProviderRegistry.sol";
import {IVerifierRegistry} from "../interfaces/IVerifierRegistry.sol";
import {VerifierList} from "./VerifierList.sol";

/// @notice See {IVerifierRegistry}.
contract VerifierRegistry is IVerifierRegistry, GovernedForGood {
    using SafeERC20 for IERC20;
    using VerifierList for VerifierList.List;

    uint256 public constant MAX_VERIFIERS = VerifierList.MAX_SLOTS;
    uint256 public constant DRAW_BLOCKS = VerifierList.DRAW_BLOCKS;
    uint8 public constant MISSES_MAX = 8;
    /// @dev So that challenges which are judged at the same time are not a row of misses for a verifier that is slower than the others.
    uint64 public constant MISSES_TIME = 2 days;
    IProviderRegistry.Role private constant ROLE = IProviderRegistry.Role.Verifier;

    IProviderRegistry public immutable registry;
    IERC20 public immutable openx;
    address public immutable connector;

    address public capacity;
    address public reveals;
    mapping(address account => uint256) public feesOf;
    Settings private _settings;
    uint64 private _settingsChangedAt;
    VerifierList.List private _verifiers;

    modifier onlyCapacity() {
        if (msg.sender != capacity) revert NotCapacity(msg.sender);
        _;
    }

    constructor(IProviderRegistry registry_, address owner_, Settings memory settings_, address connector_)
        Ownable(owner_)
    {
        if (address(registry_) == address(0) || connector_ == address(0)) revert ZeroAddress();
        registry = registry_;
        openx = registry_.openx();
        connector = connector_;
        _setSettings(settings_);
    }

    function connect(address capacity_, address reveals_) external {
        if (msg.sender != connector) revert NotConnector(msg.sender);
        if (capacity != address(0)) revert CapacityConnected(capacity);
        if (capacity_ == address(0)) revert ZeroAddress();
        // Zero where nobody reveals.
        // slither-disable-next-line missing-zero-check
        (capacity, reveals) = (capacity_, reveals_);
        emit VerifiersConnected(capacity_, reveals_);
    }

    // ---- The list

    function enlist() external {
        if (registry.nodeKeyOf(msg.sender) == address(0)) revert NotRegistered(msg.sender);
        uint96 pledge = _settings.verifierStake;
        uint256 unheld = Math.saturatingSub(registry.stakeIn(msg.sender, ROLE), registry.heldIn(msg.sender, ROLE));
        if (unheld < pledge) revert VerifierStakeShort(msg.sender, unheld, pledge);
        _verifiers.add(msg.sender, pledge);
        emit VerifierEnlisted(msg.sender, pledge);
    }

    function leave() external {
        _strikeOff(msg.sender);
    }

    function strikeOff(address verifier) external {
        VerifierList.Pledge storage pledge = _verifiers.pledges[verifier];
        bool isAbsent = pledge.misses >= MISSES_MAX && block.timestamp >= pledge.missedSince + MISSES_TIME;
        bool isInOrder = registry.nodeKeyOf(verifier) != address(0) && registry.stakeIn(verifier, ROLE) >= pledge.amount;
        if (isInOrder && !isAbsent) revert VerifierInOrder(verifier);
        _strikeOff(verifier);
    }

    // ---- For CapacityRegistry

    function noteSigned(address[] calldata judges, uint256 fee) external onlyCapacity {
        for (uint256 i = 0; i < judges.length; i++) {
            _verifiers.clearMisses(judges[i]);
        }
        if (fee != 0) _shareFee(judges, fee);
    }

    function noteMissed(address[] calldata panel, uint256 signed) external onlyCapacity {
        for (uint256 i = 0; i < panel.length; i++) {
            if (signed >> i & 1 == 0) _verifiers.addMiss(panel[i]);
        }
    }

    function endFee(address account, uint256 back, uint256 burned) external onlyCapacity {
        feesOf[account] += back;
        emit FeesBurned(burned);
        IOpenxToken(address(openx)).burn(burned);
    }

    // ---- Fees

    function withdrawFees(address account) external returns (uint256 amount) {
        amount = feesOf[account];
        if (amount == 0) return 0;
        address payout = registry.payoutOf(account);
        feesOf[account] = 0;
        emit FeesWithdrawn(account, payout, amount);
        openx.safeTransfer(payout, amount);
    }

    // ---- Governed

    function setSettings(Settings calldata settings_) external onlyOwner {
        GovernedSteps.checkPause(_settingsChangedAt, registry.stakeThaw());
        _settingsChangedAt = uint64(block.timestamp);
        _setSettings(settings_);
    }

    // ---- Views

    function settings() external view returns (Settings memory) {
        return _settings;
    }

    function slotCount() external view returns (uint16) {
        return uint16(_verifiers.slots.length);
    }

    function drawPanel(bytes32 seed, uint256 requestBlock, uint256 slotCount_, uint256 seats, address except)
        external
        view
        returns (address[] memory)
    {
        return _verifiers.draw(seed, requestBlock, slotCount_, seats, except);
    }

    function keysOf(address[] calldata judges) external view returns (address[] memory keys) {
        keys = new address[](judges.length);
        for (uint256 i = 0; i < judges.length; i++) {
            uint256 pledge = _verifiers.pledges[judges[i]].amount;
            // At most a panel of these calls, to our own contract.
            // slither-disable-next-line calls-loop
            uint256 staked = registry.stakeIn(judges[i], ROLE);
            if (staked < pledge) revert VerifierStakeShort(judges[i], staked, pledge);
            // slither-disable-next-line calls-loop
            keys[i] = registry.nodeKeyOf(judges[i]);
        }
    }

    function isVerifier(address provider) public view returns (bool) {
        return _verifiers.pledges[provider].isEnlisted;
    }

    function verifierCount() external view returns (uint256) {
        return _verifiers.count;
    }

    function countWithout(address provider) external view returns (uint256) {
        return _verifiers.count - (isVerifier(provider) ? 1 : 0);
    }

    function verifiers() external view returns (address[] memory) {
        return _verifiers.allOf();
    }

    function pledgeOf(address verifier) external view returns (uint256) {
        return _verifiers.pledges[verifier].amount;
    }

    function missesOf(address verifier) external view returns (uint8 count, uint64 since) {
        VerifierList.Pledge storage pledge = _verifiers.pledges[verifier];
        return (pledge.misses, pledge.missedSince);
    }

    function heldStakeOf(address provider) external view returns (uint256) {
        return _verifiers.heldOf(provider);
    }

    // ---- Inside

    function _strikeOff(address verifier) private {
        uint64 heldUntil = uint64(block.timestamp) + _settings.leaveDelay;
        _verifiers.remove(verifier, heldUntil);
        emit VerifierLeft(verifier, heldUntil);
    }

    function _shareFee(address[] calldata judges, uint256 fee) private {
        uint256 shareDown = fee / judges.length;
        for (uint256 i = 0; i < judges.length; i++) {
            feesOf[judges[i]] += shareDown;
        }
        feesOf[judges[0]] += fee % judges.length;
    }

    function _setSettings(Settings memory next) private {
        GovernedSteps.check("leaveDelay", next.leaveDelay, _settings.leaveDelay, 10 seconds, 180 days);
        GovernedSteps.check("verifierStake", next.verifierStake, _settings.verifierStake, 1 ether, 100_000_000 ether);
        _settings = next;
        emit VerifierSettingsSet(next);
    }
}
