// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {FreeBalance} from "./FreeBalance.sol";
import {IComputeCredit} from "../interfaces/IComputeCredit.sol";
import {IProviderRegistry} from "../interfaces/IProviderRegistry.sol";
import {ISplitRegistry} from "../interfaces/ISplitRegistry.sol";
import {ClaimRows} from "./ClaimRows.sol";
import {XnodeHashes} from "../libraries/XnodeHashes.sol";

/// @notice See {IPaymentEscrow}. This is the escrows themselves; assets and free balances are in {FreeBalance}.
/// @dev Terms are taken into memory, where they are checked once and hashed from: read from the calldata, their checks would stand
/// in the code at each use, and opening twice.
// solhint-disable gas-calldata-parameters
contract PaymentEscrow is EIP712, Multicall, FreeBalance {
    using SafeERC20 for IERC20;

    /// @dev byPayer: only the payer can cancel it.
    struct Thaw {
        uint64 end;
        bool byPayer;
    }

    /// @dev Both in one word, which each claim writes once.
    struct Account {
        uint128 settled;
        uint128 owed;
    }

    /// @dev A typing error in terms must not lock a submitter's money for years.
    uint32 public constant MAX_THAW = 30 days;
    /// @dev 200 rows cost about 2.7 million gas, far below what one transaction may use anywhere.
    uint256 public constant MAX_ROWS = 200;

    uint256 private constant MILLION = 1_000_000;
    uint8 private constant NOTHING_NEW = 1;
    uint8 private constant BAD_SIGNATURE = 2;
    uint8 private constant UNFUNDED = 3;

    IProviderRegistry public immutable registry;
    ISplitRegistry public immutable splits;
    uint32 public immutable minThaw;

    /// @dev Written by a storage pointer, which slither does not follow.
    // slither-disable-next-line uninitialized-state
    mapping(address provider => mapping(address asset => Account)) private _accounts;
    mapping(address provider => mapping(address asset => uint256)) private _refunded;
    mapping(bytes32 split => mapping(address asset => uint256)) public owedToSplit;
    mapping(address payer => mapping(address opener => mapping(address asset => uint256))) public openerCap;
    mapping(bytes32 escrowId => Thaw) private _thaws;
    /// @dev 256 nonces share one word, so that a signer who counts pays for a new slot once in 256 openings.
    mapping(address signer => mapping(uint256 word => uint256 bits)) private _usedNonces;

    constructor(
        IProviderRegistry registry_,
        ISplitRegistry splits_,
        address owner_,
        address guardian_,
        uint32 minThaw_,
        AssetSetup[] memory assets_
    ) EIP712("xnode", "1") FreeBalance(owner_, guardian_, assets_) {
        if (address(registry_) == address(0) || address(splits_) == address(0)) revert ZeroAddress();
        if (minThaw_ == 0 || minThaw_ > MAX_THAW) revert MinThawOutOfBounds(minThaw_, MAX_THAW);
        registry = registry_;
        splits = splits_;
        minThaw = minThaw_;
    }

    // ---- Opening

    function approveOpener(address opener, address asset, uint256 cap) external {
        if (opener == address(0)) revert ZeroAddress();
        openerCap[msg.sender][opener][asset] = cap;
        emit OpenerApproved(msg.sender, opener, asset, cap);
    }

    function open(Escrow memory terms, uint128 amount) external nonReentrant {
        if (msg.sender != terms.payer) revert NotPayer(msg.sender, terms.payer);
        _open(escrowId(terms), terms, amount);
    }

    function openBySig(Escrow memory terms, Opening calldata opening, address opener, bytes calldata sig)
        external
        nonReentrant
    {
        bytes32 id = escrowId(terms);
        _checkOrder(opening.escrowId, id, opening.deadline);
        if (!_isSignedBy(opener, _hashTypedDataV4(XnodeHashes.hashOpening(opening)), sig)) {
            revert WrongOpeningSignature(opener);
        }
        _useNonce(opener, opening.nonce);
        if (opener != terms.payer) _useCap(terms, opener, opening.amount);
        _open(id, terms, opening.amount);
    }

    function isNonceUsed(address signer, uint256 nonce) public view returns (bool) {
        return _usedNonces[signer][nonce >> 8] & (1 << (nonce & 0xff)) != 0;
    }

    // ---- Giving back

    function startThaw(Escrow memory terms) external nonReentrant {
        bytes32 id = escrowId(terms);
        bool byPayer = _checkPayerOrSigner(terms);
        Funds memory held = _fundsOf(id);
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

    function cancelThaw(Escrow memory terms) external nonReentrant {
        bytes32 id = escrowId(terms);
        bool byPayer = _checkPayerOrSigner(terms);
        Thaw memory thaw = _thaws[id];
        if (thaw.end == 0) revert NotThawing(id);
        if (thaw.byPayer && !byPayer) revert ThawStartedByPayer(id);
        delete _thaws[id];
        emit ThawCancelled(id);
    }

    function close(Escrow memory terms) external nonReentrant {
        bytes32 id = escrowId(terms);
        uint64 end = _thaws[id].end;
        if (end == 0) revert NotThawing(id);
        if (block.timestamp < end) revert StillThawing(id, end, block.timestamp);
        Funds storage held = _fundsOf(id);
        uint128 rest = held.deposited - held.claimed;
        held.deposited = held.claimed;
        free[terms.payer][terms.asset] += rest;
        delete _thaws[id];
        emit EscrowClosed(id, rest);
    }

    function release(Escrow memory terms, uint128 newDeposited) external nonReentrant {
        _checkProvider(msg.sender, terms.provider);
        _release(escrowId(terms), terms, newDeposited);
    }

    function releaseBySig(Escrow memory terms, Release calldata order, address signer, bytes calldata sig)
        external
        nonReentrant
    {
        bytes32 id = escrowId(terms);
        _checkOrder(order.escrowId, id, order.deadline);
        _checkProvider(signer, terms.provider);
        if (!_isSignedBy(signer, _hashTypedDataV4(XnodeHashes.hashRelease(order)), sig)) {
            revert WrongReleaseSignature(signer);
        }
        _useNonce(signer, order.nonce);
        _release(id, terms, order.newDeposited);
    }

    function refund(Escrow memory terms, uint128 amount) external nonReentrant returns (uint128 refunded) {
        address refunder = registry.refunder();
        if (msg.sender != refunder) revert NotRefunder(msg.sender, refunder);
        bytes32 id = escrowId(terms);
        Funds storage held = _fundsOf(id);
        uint128 rest = held.deposited - held.claimed;
        refunded = amount < rest ? amount : rest;
        if (refunded == 0) return 0;
        held.claimed += refunded;
        free[terms.payer][terms.asset] += refunded;
        _refunded[terms.provider][terms.asset] += refunded;
        emit Refunded(id, refunded, held.claimed);
    }

    // ---- Claiming

    function claim(address provider, address asset, bytes32 split, uint32 thaw, bytes calldata rows)
        external
        returns (uint256 paid)
    {
        ClaimRows.takeFrame();
        return _claim(provider, asset, split, thaw, rows);
    }

    function claimOne(Escrow memory terms, uint128 cumulative, bytes32 receiptsHash, bytes calldata sig)
        external
        nonReentrant
        returns (uint256 paid)
    {
        bytes32 id = escrowId(terms);
        bytes32 digest = _hashTypedDataV4(XnodeHashes.hashVoucher(id, cumulative, receiptsHash));
        // A broken signature recovers zero, which no terms name as signer: the error code adds nothing.
        // slither-disable-next-line unused-return
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, sig);
        paid = _settle(id, cumulative, receiptsHash, recovered == terms.signer);
        _payOut(terms.provider, terms.asset, terms.split, paid);
    }

    function withdrawOwed(address provider, address asset) external nonReentrant returns (uint256 amount) {
        Account storage account = _accounts[provider][asset];
        amount = account.owed;
        if (amount == 0) return 0;
        address payout = _assets[asset].isCredit ? address(0) : registry.payoutOf(provider);
        account.owed = 0;
        _lower(asset, amount);
        emit OwedWithdrawn(provider, asset, payout, amount);
        if (payout == address(0)) IComputeCredit(asset).burnAt(provider, amount);
        else _send(asset, payout, amount);
    }

    function owed(address provider, address asset) external view returns (uint256) {
        return _accounts[provider][asset].owed;
    }

    function paySplit(bytes32 split, address asset) external nonReentrant returns (uint256 amount) {
        amount = owedToSplit[split][asset];
        if (amount == 0) return 0;
        owedToSplit[split][asset] = 0;
        _lower(asset, amount);
        emit SplitPaid(split, asset, amount);
        IERC20(asset).forceApprove(address(splits), amount);
        splits.accrue(split, asset, amount);
    }

    function accountOf(address provider, address asset)
        external
        view
        returns (uint256 settled_, uint256 refunded_, uint256 owed_)
    {
        Account memory account = _accounts[provider][asset];
        return (account.settled, _refunded[provider][asset], account.owed);
    }

    // ---- Views

    function escrowId(Escrow memory terms) public view returns (bytes32) {
        return _hashTypedDataV4(XnodeHashes.hashEscrow(terms));
    }

    function funds(bytes32 id) external view returns (uint128 deposited, uint128 claimed) {
        Funds storage held = _fundsOf(id);
        return (held.deposited, held.claimed);
    }

    function thawEnd(bytes32 id) external view returns (uint64) {
        return _thaws[id].end;
    }

    function escrowStates(bytes32[] calldata escrowIds) external view returns (EscrowState[] memory states) {
        states = new EscrowState[](escrowIds.length);
        for (uint256 i = 0; i < escrowIds.length; i++) {
            Funds memory held = _fundsOf(escrowIds[i]);
            states[i] = EscrowState(held.deposited, held.claimed, _thaws[escrowIds[i]].end);
        }
    }

    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    // ---- Inside

    /// @dev An id is a hash of 66 bytes, those of mappings are of 64: it serves as the place itself, and a row saves the hash
    /// of a mapping. Two escrows, or an escrow and anything else, meet there as soon as two hashes do.
    function _fundsOf(bytes32 id) private pure returns (Funds storage held) {
        assembly ("memory-safe") {
            held.slot := id
        }
    }

    function _open(bytes32 id, Escrow memory terms, uint128 amount) private {
        if (amount == 0) revert ZeroAmount();
        _checkTerms(terms);
        if (_thaws[id].end != 0) revert AlreadyThawing(id, _thaws[id].end);
        _takeFree(terms.payer, terms.asset, amount);
        Funds storage held = _fundsOf(id);
        uint128 before = held.deposited;
        uint128 deposited = before + amount;
        held.deposited = deposited;
        if (before == 0) _emitOpened(id, terms, deposited);
        else emit EscrowToppedUp(id, deposited);
    }

    function _checkTerms(Escrow memory terms) private view {
        // A signer of zero would accept every broken signature.
        if (terms.signer == address(0) || terms.provider == address(0)) revert ZeroAddress();
        if (terms.split != bytes32(0) && splits.totalPpmOf(terms.split) == 0) revert SplitNotRegistered(terms.split);
        if (terms.thaw < minThaw || terms.thaw > MAX_THAW) revert ThawOutOfBounds(terms.thaw, minThaw, MAX_THAW);
    }

    function _emitOpened(bytes32 id, Escrow memory terms, uint128 deposited) private {
        emit EscrowOpened(
            id, terms.payer, terms.provider, terms.signer, terms.asset, terms.split, terms.thaw, terms.nonce, deposited
        );
    }

    function _isSignedBy(address signer, bytes32 digest, bytes calldata sig) private view returns (bool) {
        // The key comes first: an address can have both a key and code (EIP-7702).
        // slither-disable-next-line unused-return
        (address recovered, ECDSA.RecoverError failed,) = ECDSA.tryRecoverCalldata(digest, sig);
        if (failed == ECDSA.RecoverError.NoError && recovered == signer) return true;
        return signer.code.length != 0 && SignatureChecker.isValidERC1271SignatureNowCalldata(signer, digest, sig);
    }

    function _checkOrder(bytes32 signed, bytes32 id, uint64 deadline) private view {
        if (signed != id) revert WrongEscrow(signed, id);
        if (block.timestamp > deadline) revert SignatureExpired(deadline, block.timestamp);
    }

    function _useNonce(address signer, uint256 nonce) private {
        if (isNonceUsed(signer, nonce)) revert NonceAlreadyUsed(signer, nonce);
        _usedNonces[signer][nonce >> 8] |= 1 << (nonce & 0xff);
    }

    function _useCap(Escrow memory terms, address opener, uint128 amount) private {
        if (opener != terms.signer) revert OpenerIsNotSigner(opener, terms.signer);
        uint256 cap = openerCap[terms.payer][opener][terms.asset];
        if (amount > cap) revert OpenerCapExceeded(opener, amount, cap);
        unchecked {
            openerCap[terms.payer][opener][terms.asset] = cap - amount;
        }
    }

    function _checkPayerOrSigner(Escrow memory terms) private view returns (bool byPayer) {
        byPayer = msg.sender == terms.payer;
        if (!byPayer && msg.sender != terms.signer) revert NotPayerOrSigner(msg.sender, terms.payer, terms.signer);
    }

    function _checkProvider(address signer, address provider) private view {
        if (signer != provider && signer != registry.nodeKeyOf(provider)) revert NotProvider(signer, provider);
    }

    function _release(bytes32 id, Escrow memory terms, uint128 newDeposited) private {
        Funds storage held = _fundsOf(id);
        if (newDeposited < held.claimed) revert ReleaseBelowClaimed(id, newDeposited, held.claimed);
        if (newDeposited >= held.deposited) return;
        uint128 rest = held.deposited - newDeposited;
        held.deposited = newDeposited;
        free[terms.payer][terms.asset] += rest;
        emit Released(id, rest, newDeposited);
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
        _payOut(provider, asset, split, paid);
    }

    /// @dev {_settle} for a packed row. Funds is one word, deposited in its low half; read and written as one, it costs 130
    /// gas a row less.
    function _claimRow(uint256 row) private returns (uint256 paid) {
        (bytes32 id, uint256 cumulative) = ClaimRows.readVoucher(row);
        uint256 deposited;
        uint256 claimed;
        assembly ("memory-safe") {
            claimed := sload(id)
            deposited := shr(128, shl(128, claimed))
            claimed := shr(128, claimed)
        }
        uint256 reached = cumulative < deposited ? cumulative : deposited;
        if (reached > claimed && ClaimRows.isSigned()) {
            assembly ("memory-safe") {
                sstore(id, or(shl(128, reached), deposited))
            }
            ClaimRows.emitClaimed(row, id, reached);
            unchecked {
                paid = reached - claimed;
            }
        } else {
            _skip(id, cumulative, deposited, claimed);
        }
    }

    function _settle(bytes32 id, uint128 cumulative, bytes32 receiptsHash, bool signed) private returns (uint256) {
        Funds storage held = _fundsOf(id);
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

    // Its callers hold the guard, so the asset that is paid in between enters nothing that could read or write these.
    // slither-disable-next-line reentrancy-no-eth,reentrancy-events
    function _payOut(address provider, address asset, bytes32 split, uint256 amount) private {
        if (amount == 0) return;
        (uint256 rest, bool isCredit) = _divide(provider, asset, split, amount);
        address payout = isCredit ? address(0) : registry.payoutOf(provider);
        bool done = rest == 0 || _pay(provider, asset, payout, rest);

        // What follows costs more than 1/64 of any sane transfer, so a submitter cannot make one fail by giving it too little
        // gas: what is left then does not pay for this.
        Account storage account = _accounts[provider][asset];
        uint256 settled = account.settled + amount;
        account.settled = settled > type(uint128).max ? type(uint128).max : uint128(settled);
        if (done) {
            emit ProviderPaid(provider, asset, payout, rest);
        } else {
            // A payee some asset refuses must not hold up the others' claims.
            account.owed += uint128(rest);
            _assets[asset].liabilities += uint128(rest);
            emit PayoutDeferred(provider, asset, rest);
        }
    }

    /// @dev Books what the protocol and the split take. The rest is no longer owed to anyone when this returns.
    function _divide(address provider, address asset, bytes32 split, uint256 amount)
        private
        returns (uint256 rest, bool isCredit)
    {
        Asset memory kept = _assets[asset];
        uint256 fee = amount * kept.feePpm / MILLION;
        if (fee > type(uint88).max - kept.fees) fee = 0;
        rest = amount - fee;
        uint256 share = 0;
        if (split != bytes32(0)) {
            share = rest * splits.totalPpmOf(split) / MILLION;
            rest -= share;
            owedToSplit[split][asset] += share;
        }
        kept.fees += uint88(fee);
        kept.liabilities -= uint128(rest);
        _assets[asset] = kept;
        isCredit = kept.isCredit;
        if (fee + share != 0) emit ClaimShared(provider, asset, split, fee, share);
    }

    /// @param payout zero to burn credits
    function _pay(address provider, address asset, address payout, uint256 amount) private returns (bool done) {
        if (payout != address(0)) return IERC20(asset).trySafeTransfer(payout, amount);
        try IComputeCredit(asset).burnAt(provider, amount) {
            return true;
        } catch {
            return false;
        }
    }
}
