// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {IPaymentEscrow} from "./interfaces/IPaymentEscrow.sol";
import {IProviderRegistry} from "./interfaces/IProviderRegistry.sol";
import {ClaimRows} from "./libraries/ClaimRows.sol";
import {XnodeHashes} from "./libraries/XnodeHashes.sol";

/// @notice See {IPaymentEscrow}.
contract PaymentEscrow is IPaymentEscrow, EIP712, Ownable2Step, Multicall, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev byPayer: only the payer can cancel it.
    struct Thaw {
        uint64 end;
        bool byPayer;
    }

    /// @dev A typing error in terms must not lock a submitter's money for years.
    uint32 public constant MAX_THAW = 30 days;
    /// @dev 200 rows cost about 2.7 million gas, far below what one transaction may use anywhere.
    uint256 public constant MAX_ROWS = 200;

    uint8 private constant NOTHING_NEW = 1;
    uint8 private constant BAD_SIGNATURE = 2;
    uint8 private constant UNFUNDED = 3;

    IProviderRegistry public immutable registry;
    uint32 public immutable minThaw;

    mapping(address asset => bool) public isAccepted;
    mapping(address asset => uint256) public liabilities;
    mapping(address payer => mapping(address asset => uint256)) public free;
    mapping(address provider => mapping(address asset => uint256)) public owed;
    mapping(address payer => mapping(address opener => mapping(address asset => uint256))) public openerCap;
    mapping(bytes32 escrowId => Funds) public funds;
    mapping(bytes32 escrowId => Thaw) private _thaws;
    /// @dev 256 nonces share one word, so that a signer who counts pays for a new slot once in 256 openings.
    mapping(address opener => mapping(uint256 word => uint256 bits)) private _usedNonces;

    constructor(IProviderRegistry registry_, address owner_, uint32 minThaw_) EIP712("xnode", "1") Ownable(owner_) {
        if (address(registry_) == address(0)) revert ZeroAddress();
        if (minThaw_ == 0 || minThaw_ > MAX_THAW) revert MinThawOutOfBounds(minThaw_, MAX_THAW);
        registry = registry_;
        minThaw = minThaw_;
    }

    // ---- Assets

    function addAsset(address asset) external onlyOwner {
        if (isAccepted[asset]) revert AssetAlreadyAdded(asset);
        if (asset.code.length == 0) revert AssetWithoutCode(asset);
        isAccepted[asset] = true;
        emit AssetAdded(asset);
    }

    // ---- The free balance

    function deposit(address payer, address asset, uint256 amount) external nonReentrant {
        _deposit(payer, asset, amount);
    }

    function depositWithPermit(
        address payer,
        address asset,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        // Whoever sees this in the mempool can use the permit first; the approval is there all the same.
        try IERC20Permit(asset).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        _deposit(payer, asset, amount);
    }

    function withdraw(address asset, uint256 amount, address to) external nonReentrant {
        if (amount == 0) revert ZeroAmount();
        // Paid to itself the money would belong to nobody.
        if (to == address(0) || to == address(this)) revert BadRecipient(to);
        _takeFree(msg.sender, asset, amount);
        liabilities[asset] -= amount;
        emit Withdrawn(msg.sender, asset, to, amount);
        IERC20(asset).safeTransfer(to, amount);
    }

    // ---- Opening

    function approveOpener(address opener, address asset, uint256 cap) external {
        if (opener == address(0)) revert ZeroAddress();
        openerCap[msg.sender][opener][asset] = cap;
        emit OpenerApproved(msg.sender, opener, asset, cap);
    }

    function open(Escrow calldata terms, uint128 amount) external nonReentrant {
        if (msg.sender != terms.payer) revert NotPayer(msg.sender, terms.payer);
        _open(escrowId(terms), terms, amount);
    }

    function openBySig(Escrow calldata terms, Opening calldata opening, address opener, bytes calldata sig)
        external
        nonReentrant
    {
        bytes32 id = escrowId(terms);
        if (opening.escrowId != id) revert WrongEscrow(opening.escrowId, id);
        if (block.timestamp > opening.deadline) revert SignatureExpired(opening.deadline, block.timestamp);
        if (!_isSignedBy(opener, _hashTypedDataV4(XnodeHashes.hashOpening(opening)), sig)) {
            revert WrongOpeningSignature(opener);
        }
        _useNonce(opener, opening.nonce);
        if (opener != terms.payer) _useCap(terms, opener, opening.amount);
        _open(id, terms, opening.amount);
    }

    function isNonceUsed(address opener, uint256 nonce) public view returns (bool) {
        return _usedNonces[opener][nonce >> 8] & (1 << (nonce & 0xff)) != 0;
    }

    // ---- Giving back

    function startThaw(Escrow calldata terms) external nonReentrant {
        bytes32 id = escrowId(terms);
        bool byPayer = _checkPayerOrSigner(terms);
        Funds memory held = funds[id];
        Thaw memory thaw = _thaws[id];
        if (held.deposited == held.claimed) revert EscrowEmpty(id);
        if (thaw.end == 0) {
            thaw.end = uint64(block.timestamp) + terms.thaw;
        } else if (thaw.byPayer || !byPayer) {
            revert AlreadyThawing(id, thaw.end);
        }
        thaw.byPayer = byPayer;
        _thaws[id] = thaw;
        emit ThawStarted(id, thaw.end);
    }

    function cancelThaw(Escrow calldata terms) external nonReentrant {
        bytes32 id = escrowId(terms);
        bool byPayer = _checkPayerOrSigner(terms);
        Thaw memory thaw = _thaws[id];
        if (thaw.end == 0) revert NotThawing(id);
        if (thaw.byPayer && !byPayer) revert ThawStartedByPayer(id);
        delete _thaws[id];
        emit ThawCancelled(id);
    }

    function close(Escrow calldata terms) external nonReentrant {
        bytes32 id = escrowId(terms);
        uint64 end = _thaws[id].end;
        if (end == 0) revert NotThawing(id);
        if (block.timestamp < end) revert StillThawing(id, end, block.timestamp);
        Funds storage held = funds[id];
        uint128 refund = held.deposited - held.claimed;
        held.deposited = held.claimed;
        free[terms.payer][terms.asset] += refund;
        delete _thaws[id];
        emit EscrowClosed(id, refund);
    }

    function release(Escrow calldata terms, uint128 newDeposited) external nonReentrant {
        if (msg.sender != terms.provider && msg.sender != registry.nodeKeyOf(terms.provider)) {
            revert NotProvider(msg.sender, terms.provider);
        }
        bytes32 id = escrowId(terms);
        Funds storage held = funds[id];
        if (newDeposited < held.claimed) revert ReleaseBelowClaimed(id, newDeposited, held.claimed);
        if (newDeposited >= held.deposited) return;
        uint128 refund = held.deposited - newDeposited;
        held.deposited = newDeposited;
        free[terms.payer][terms.asset] += refund;
        emit Released(id, refund, newDeposited);
    }

    // ---- Claiming

    function claim(address provider, address asset, bytes32 split, uint32 thaw, bytes calldata rows)
        external
        returns (uint256 paid)
    {
        ClaimRows.takeFrame();
        return _claim(provider, asset, split, thaw, rows);
    }

    function claimOne(Escrow calldata terms, uint128 cumulative, bytes32 receiptsHash, bytes calldata sig)
        external
        nonReentrant
        returns (uint256 paid)
    {
        bytes32 id = escrowId(terms);
        bytes32 digest = _hashTypedDataV4(XnodeHashes.hashVoucher(id, cumulative, receiptsHash));
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, sig);
        paid = _settle(id, cumulative, receiptsHash, recovered == terms.signer);
        _payOut(terms.provider, terms.asset, paid);
    }

    function withdrawOwed(address provider, address asset) external nonReentrant returns (uint256 amount) {
        amount = owed[provider][asset];
        if (amount == 0) return 0;
        address payout = registry.payoutOf(provider);
        owed[provider][asset] = 0;
        liabilities[asset] -= amount;
        emit OwedWithdrawn(provider, asset, payout, amount);
        IERC20(asset).safeTransfer(payout, amount);
    }

    // ---- Views

    function escrowId(Escrow calldata terms) public view returns (bytes32) {
        return _hashTypedDataV4(XnodeHashes.hashEscrow(terms));
    }

    function thawEnd(bytes32 id) external view returns (uint64) {
        return _thaws[id].end;
    }

    function escrowStates(bytes32[] calldata escrowIds) external view returns (EscrowState[] memory states) {
        states = new EscrowState[](escrowIds.length);
        for (uint256 i = 0; i < escrowIds.length; i++) {
            Funds memory held = funds[escrowIds[i]];
            states[i] = EscrowState(held.deposited, held.claimed, _thaws[escrowIds[i]].end);
        }
    }

    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    // ---- Inside

    function _deposit(address payer, address asset, uint256 amount) private {
        if (!isAccepted[asset]) revert AssetNotAccepted(asset);
        if (payer == address(0)) revert ZeroAddress();
        if (amount == 0) revert ZeroAmount();
        free[payer][asset] += amount;
        liabilities[asset] += amount;
        emit Deposited(payer, asset, amount);

        uint256 before = IERC20(asset).balanceOf(address(this));
        IERC20(asset).safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = IERC20(asset).balanceOf(address(this)) - before;
        if (received != amount) revert WrongAmountReceived(asset, amount, received);
    }

    function _takeFree(address payer, address asset, uint256 amount) private {
        uint256 balance = free[payer][asset];
        if (amount > balance) revert NotEnoughFree(payer, asset, amount, balance);
        unchecked {
            free[payer][asset] = balance - amount;
        }
    }

    function _open(bytes32 id, Escrow calldata terms, uint128 amount) private {
        if (amount == 0) revert ZeroAmount();
        _checkTerms(terms);
        if (_thaws[id].end != 0) revert AlreadyThawing(id, _thaws[id].end);
        _takeFree(terms.payer, terms.asset, amount);
        uint128 before = funds[id].deposited;
        uint128 deposited = before + amount;
        funds[id].deposited = deposited;
        if (before == 0) _emitOpened(id, terms, deposited);
        else emit EscrowToppedUp(id, deposited);
    }

    function _checkTerms(Escrow calldata terms) private view {
        // A signer of zero would accept every broken signature.
        if (terms.signer == address(0) || terms.provider == address(0)) revert ZeroAddress();
        if (terms.split != bytes32(0)) revert SplitNotSupported(terms.split);
        if (terms.thaw < minThaw || terms.thaw > MAX_THAW) revert ThawOutOfBounds(terms.thaw, minThaw, MAX_THAW);
    }

    function _emitOpened(bytes32 id, Escrow calldata terms, uint128 deposited) private {
        emit EscrowOpened(
            id, terms.payer, terms.provider, terms.signer, terms.asset, terms.split, terms.thaw, terms.nonce, deposited
        );
    }

    function _isSignedBy(address opener, bytes32 digest, bytes calldata sig) private view returns (bool) {
        // The key comes first: an address can have both a key and code (EIP-7702).
        (address recovered, ECDSA.RecoverError failed,) = ECDSA.tryRecoverCalldata(digest, sig);
        if (failed == ECDSA.RecoverError.NoError && recovered == opener) return true;
        return opener.code.length != 0 && SignatureChecker.isValidERC1271SignatureNowCalldata(opener, digest, sig);
    }

    function _useNonce(address opener, uint256 nonce) private {
        if (isNonceUsed(opener, nonce)) revert NonceAlreadyUsed(opener, nonce);
        _usedNonces[opener][nonce >> 8] |= 1 << (nonce & 0xff);
    }

    function _useCap(Escrow calldata terms, address opener, uint128 amount) private {
        if (opener != terms.signer) revert OpenerIsNotSigner(opener, terms.signer);
        uint256 cap = openerCap[terms.payer][opener][terms.asset];
        if (amount > cap) revert OpenerCapExceeded(opener, amount, cap);
        unchecked {
            openerCap[terms.payer][opener][terms.asset] = cap - amount;
        }
    }

    function _checkPayerOrSigner(Escrow calldata terms) private view returns (bool byPayer) {
        byPayer = msg.sender == terms.payer;
        if (!byPayer && msg.sender != terms.signer) revert NotPayerOrSigner(msg.sender, terms.payer, terms.signer);
    }

    function _claim(address provider, address asset, bytes32 split, uint32 thaw, bytes calldata rows)
        private
        nonReentrant
        returns (uint256 paid)
    {
        if (rows.length % ClaimRows.ROW_LENGTH != 0) {
            revert RowsLengthNotWhole(rows.length, ClaimRows.ROW_LENGTH);
        }
        if (rows.length > MAX_ROWS * ClaimRows.ROW_LENGTH) {
            revert TooManyRows(rows.length / ClaimRows.ROW_LENGTH, MAX_ROWS);
        }
        ClaimRows.fillFrame(_domainSeparatorV4(), provider, asset, split, thaw);
        (uint256 row, uint256 end) = ClaimRows.bounds(rows);
        // Nothing below can overflow: at most 200 amounts of 128 bits, and rows that end with the calldata.
        unchecked {
            for (; row < end; row += ClaimRows.ROW_LENGTH) {
                paid += _claimRow(row);
            }
        }
        _payOut(provider, asset, paid);
    }

    /// @dev {_settle} for a packed row. Funds is one word, deposited in its low half; read and written as one, it costs 130
    /// gas a row less.
    function _claimRow(uint256 row) private returns (uint256 paid) {
        (bytes32 id, uint256 cumulative) = ClaimRows.readVoucher(row);
        Funds storage held = funds[id];
        uint256 slot;
        uint256 deposited;
        uint256 claimed;
        assembly ("memory-safe") {
            slot := held.slot
            claimed := sload(slot)
            deposited := shr(128, shl(128, claimed))
            claimed := shr(128, claimed)
        }
        uint256 reached = cumulative < deposited ? cumulative : deposited;
        if (reached > claimed && ClaimRows.isSigned(row)) {
            assembly ("memory-safe") {
                sstore(slot, or(shl(128, reached), deposited))
            }
            ClaimRows.emitClaimed(id, reached);
            unchecked {
                paid = reached - claimed;
            }
        } else {
            _skip(id, cumulative, deposited, claimed);
        }
    }

    function _settle(bytes32 id, uint128 cumulative, bytes32 receiptsHash, bool signed) private returns (uint256) {
        Funds storage held = funds[id];
        (uint128 deposited, uint128 claimed) = (held.deposited, held.claimed);
        uint128 reached = cumulative < deposited ? cumulative : deposited;
        if (reached <= claimed || !signed) {
            _skip(id, cumulative, deposited, claimed);
            return 0;
        }
        held.claimed = reached;
        emit Claimed(id, reached, receiptsHash);
        return reached - claimed;
    }

    function _skip(bytes32 id, uint256 cumulative, uint256 deposited, uint256 claimed) private {
        if (cumulative <= claimed) emit ClaimSkipped(id, NOTHING_NEW);
        else if (deposited <= claimed) emit ClaimSkipped(id, UNFUNDED);
        else emit ClaimSkipped(id, BAD_SIGNATURE);
    }

    function _payOut(address provider, address asset, uint256 amount) private {
        if (amount == 0) return;
        address payout = registry.payoutOf(provider);
        liabilities[asset] -= amount;
        if (IERC20(asset).trySafeTransfer(payout, amount)) {
            emit ProviderPaid(provider, asset, payout, amount);
            return;
        }
        // A payee some asset refuses must not hold up the others' claims. A submitter cannot force this by giving too little
        // gas: what is left after a transfer ran out of gas, 1/64, does not pay for the writes below.
        liabilities[asset] += amount;
        owed[provider][asset] += amount;
        emit PayoutDeferred(provider, asset, amount);
    }
}
