// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {GovernedForGood} from "../governance/GovernedForGood.sol";
import {IPaymentEscrow} from "../interfaces/IPaymentEscrow.sol";

/// @notice The half of {IPaymentEscrow} before an escrow is opened: assets, their fees and stops, and payers' free balances.
abstract contract FreeBalance is IPaymentEscrow, GovernedForGood, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev 5 %: what an owner gone bad could take at most.
    uint16 public constant MAX_FEE_PPM = 50_000;

    /// @dev In place of an asset: all of them.
    address private constant ALL = address(0);

    address public guardian;
    address public feeRecipient;
    mapping(address payer => mapping(address asset => uint256)) public free;
    mapping(address asset => Asset) internal _assets;

    constructor(address owner_, address guardian_, AssetSetup[] memory assets_) Ownable(owner_) {
        _setGuardian(guardian_);
        for (uint256 i = 0; i < assets_.length; i++) {
            _addAsset(assets_[i].asset, assets_[i].isCredit);
        }
    }

    // ---- Assets

    function addAsset(address asset, bool isCredit) external onlyOwner {
        _addAsset(asset, isCredit);
    }

    function isAccepted(address asset) external view returns (bool) {
        return _assets[asset].isAccepted;
    }

    function assetOf(address asset) external view returns (Asset memory) {
        return _assets[asset];
    }

    function liabilities(address asset) external view returns (uint256) {
        return _assets[asset].liabilities;
    }

    // ---- The fee

    function setFee(address asset, uint16 feePpm) external onlyOwner {
        if (feePpm > MAX_FEE_PPM) revert FeeOutOfBounds(feePpm, MAX_FEE_PPM);
        if (!_assets[asset].isAccepted) revert AssetNotAccepted(asset);
        _assets[asset].feePpm = feePpm;
        emit FeeSet(asset, feePpm);
    }

    function setFeeRecipient(address recipient) external onlyOwner {
        if (recipient == address(this)) revert BadRecipient(recipient);
        feeRecipient = recipient;
        emit FeeRecipientSet(recipient);
    }

    function withdrawFees(address asset) external nonReentrant returns (uint256 amount) {
        Asset storage kept = _assets[asset];
        amount = kept.fees;
        if (amount == 0) return 0;
        address recipient = feeRecipient;
        if (recipient == address(0)) revert BadRecipient(recipient);
        kept.fees = 0;
        _lower(asset, amount);
        emit FeesWithdrawn(asset, recipient, amount);
        _send(asset, recipient, amount);
    }

    // ---- The emergency stop

    function stopDeposits(address asset) external {
        _setStopped(asset, true);
        emit DepositsStopped(asset, msg.sender);
    }

    function resumeDeposits(address asset) external {
        _setStopped(asset, false);
        emit DepositsResumed(asset, msg.sender);
    }

    function setGuardian(address guardian_) external onlyOwner {
        _setGuardian(guardian_);
    }

    // ---- The free balance

    function deposit(address payer, address asset, uint256 amount) external nonReentrant {
        _depositFromCaller(payer, asset, amount);
    }

    // The guard holds while the asset is called; slither does not see it, for it lies in transient storage.
    // slither-disable-next-line reentrancy-benign
    function depositWithPermit(
        address payer,
        address asset,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        // Anyone who sees this in the mempool can use the permit first; the approval is there all the same.
        // solhint-disable-next-line no-empty-blocks
        try IERC20Permit(asset).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        _depositFromCaller(payer, asset, amount);
    }

    function depositWithAuthorization(
        address from,
        address asset,
        uint256 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        uint256 before = _bookDeposit(from, asset, amount);
        IERC3009(asset).receiveWithAuthorization(from, address(this), amount, validAfter, validBefore, nonce, v, r, s);
        _checkReceived(asset, amount, before);
    }

    function withdraw(address asset, uint256 amount, address to) external nonReentrant {
        if (amount == 0) revert ZeroAmount();
        // Paid to this contract, the money would have no owner.
        if (to == address(0) || to == address(this)) revert BadRecipient(to);
        _takeFree(msg.sender, asset, amount);
        _lower(asset, amount);
        emit Withdrawn(msg.sender, asset, to, amount);
        _send(asset, to, amount);
    }

    // ---- Inside

    /// @dev The guard is all that lies in transient storage here, so it may lie at zero: its own place is a number of 32 bytes,
    /// which stands in the code at each of its uses. (slither does not see who calls it: it cannot follow OpenZeppelin's TransientSlot.)
    // slither-disable-next-line dead-code
    function _reentrancyGuardStorageSlot() internal pure override returns (bytes32) {
        return bytes32(0);
    }

    function _takeFree(address payer, address asset, uint256 amount) internal {
        uint256 balance = free[payer][asset];
        if (amount > balance) revert NotEnoughFree(payer, asset, amount, balance);
        unchecked {
            free[payer][asset] = balance - amount;
        }
    }

    /// @dev What leaves is owed no more.
    function _lower(address asset, uint256 amount) internal {
        _assets[asset].liabilities -= uint128(amount);
    }

    function _send(address asset, address to, uint256 amount) internal {
        IERC20(asset).safeTransfer(to, amount);
    }

    function _addAsset(address asset, bool isCredit) private {
        if (_assets[asset].isAccepted) revert AssetAlreadyAdded(asset);
        if (asset.code.length == 0) revert AssetWithoutCode(asset);
        _assets[asset].isAccepted = true;
        _assets[asset].isCredit = isCredit;
        emit AssetAdded(asset, isCredit);
    }

    function _setGuardian(address guardian_) private {
        guardian = guardian_;
        emit GuardianSet(guardian_);
    }

    function _setStopped(address asset, bool stopped) private {
        if (msg.sender != guardian && msg.sender != owner()) revert NotGuardian(msg.sender);
        if (asset != ALL && !_assets[asset].isAccepted) revert AssetNotAccepted(asset);
        _assets[asset].isStopped = stopped;
    }

    function _depositFromCaller(address payer, address asset, uint256 amount) private {
        uint256 before = _bookDeposit(payer, asset, amount);
        IERC20(asset).safeTransferFrom(msg.sender, address(this), amount);
        _checkReceived(asset, amount, before);
    }

    /// @return before what is here of the asset, which the caller now transfers in
    function _bookDeposit(address payer, address asset, uint256 amount) private returns (uint256 before) {
        Asset memory kept = _assets[asset];
        if (!kept.isAccepted) revert AssetNotAccepted(asset);
        if (kept.isStopped || _assets[ALL].isStopped) revert DepositsAreStopped(asset);
        if (payer == address(0)) revert ZeroAddress();
        if (amount == 0) revert ZeroAmount();
        uint256 room = type(uint128).max - kept.liabilities;
        if (amount > room) revert AmountTooLarge(asset, amount, room);
        free[payer][asset] += amount;
        _assets[asset].liabilities = kept.liabilities + uint128(amount);
        emit Deposited(payer, asset, amount);
        return IERC20(asset).balanceOf(address(this));
    }

    function _checkReceived(address asset, uint256 amount, uint256 before) private view {
        uint256 received = IERC20(asset).balanceOf(address(this)) - before;
        if (received != amount) revert WrongAmountReceived(asset, amount, received);
    }
}
