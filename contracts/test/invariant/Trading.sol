// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentEscrow} from "../../src/interfaces/IPaymentEscrow.sol";
import {Market} from "../Market.sol";

/// @notice Random payers, signers and providers trading with each other, and a memory of what must never happen.
/// Forge calls the functions whose names begin with act; each either does something lawful or returns.
contract Trading is Market {
    /// @dev Few, so that the acts meet: 8 escrows.
    uint256 private constant PARTIES = 2;

    IPaymentEscrow.Escrow[] private _known;
    mapping(bytes32 escrowId => bool) private _isKnown;
    mapping(bytes32 escrowId => uint256) private _lastClaimed;
    mapping(bytes32 escrowId => uint256) private _vouchered;
    uint256 private _nextNonce;

    uint256 public deposits;
    uint256 public withdrawals;
    uint256 public claims;
    bool public claimedFell;

    constructor() {
        setUp();
        deposits = escrow.liabilities(address(asset));
    }

    function actDeposit(uint256 who, uint256 amount) external {
        amount = within(amount, 1, 1_000 ether);
        fund(vm.addr(payerKey(who)), amount);
        deposits += amount;
    }

    function actWithdraw(uint256 who, uint256 amount) external {
        address from = vm.addr(payerKey(who));
        uint256 most = escrow.free(from, address(asset));
        if (most == 0) return;
        amount = within(amount, 1, most);
        vm.prank(from);
        escrow.withdraw(address(asset), amount, address(0xC01D));
        withdrawals += amount;
    }

    function actOpen(uint256 which, uint256 amount, bool bySig) external {
        IPaymentEscrow.Escrow memory terms = choose(which);
        bytes32 id = escrow.escrowId(terms);
        uint256 most = escrow.free(terms.payer, address(asset));
        if (most == 0 || escrow.thawEnd(id) != 0) return;
        uint128 wanted = uint128(within(amount, 1, most));
        if (bySig) {
            vm.prank(terms.payer);
            escrow.approveOpener(terms.signer, address(asset), wanted);
            IPaymentEscrow.Opening memory opening = makeOpening(terms, wanted, _nextNonce++);
            bytes memory sig = signOpening(signerKey(which), opening);
            escrow.openBySig(terms, opening, terms.signer, sig);
        } else {
            vm.prank(terms.payer);
            escrow.open(terms, wanted);
        }
        remember(id, terms);
    }

    /// @dev Vouchers may promise more than is reserved, or less than was promised before.
    function actClaim(uint256 which, uint256 cumulative, bool packed) external {
        IPaymentEscrow.Escrow memory terms = choose(which);
        bytes32 id = escrow.escrowId(terms);
        uint128 promised = uint128(within(cumulative, 0, 2 * deposited(terms) + 1));
        if (promised > _vouchered[id]) _vouchered[id] = promised;
        bytes memory sig = signVoucher(signerKey(which), terms, promised);
        if (packed) {
            bytes memory row = packRow(terms, promised, RECEIPTS, sig);
            claims += escrow.claim(terms.provider, address(asset), bytes32(0), MIN_THAW, bytes.concat(row, row));
        } else {
            claims += escrow.claimOne(terms, promised, RECEIPTS, sig);
        }
        noteClaimed(id, terms);
    }

    function actClaimWithoutSignature(uint256 which, uint256 cumulative, bytes32 r, bytes32 vs) external {
        IPaymentEscrow.Escrow memory terms = choose(which);
        bytes memory row =
            abi.encodePacked(terms.payer, terms.signer, terms.nonce, uint128(cumulative), RECEIPTS, r, vs);
        claims += escrow.claim(terms.provider, address(asset), bytes32(0), MIN_THAW, row);
    }

    function actRelease(uint256 which, uint256 amount) external {
        IPaymentEscrow.Escrow memory terms = choose(which);
        uint128 kept = uint128(within(amount, claimed(terms), deposited(terms) + 1));
        vm.prank(terms.provider);
        escrow.release(terms, kept);
        noteClaimed(escrow.escrowId(terms), terms);
    }

    function actThaw(uint256 which, bool cancel) external {
        IPaymentEscrow.Escrow memory terms = choose(which);
        bool runs = escrow.thawEnd(escrow.escrowId(terms)) != 0;
        if (cancel != runs || (!runs && deposited(terms) == claimed(terms))) return;
        vm.prank(terms.payer);
        if (cancel) escrow.cancelThaw(terms);
        else escrow.startThaw(terms);
    }

    function actClose(uint256 which) external {
        IPaymentEscrow.Escrow memory terms = choose(which);
        uint64 end = escrow.thawEnd(escrow.escrowId(terms));
        if (end == 0) return;
        if (end > block.timestamp) vm.warp(end);
        escrow.close(terms);
        noteClaimed(escrow.escrowId(terms), terms);
    }

    function actWithdrawOwed(uint256 who) external {
        address to = vm.addr(providerKey(who));
        if (!asset.isBlocked(to)) escrow.withdrawOwed(to, address(asset));
    }

    function actBlock(uint256 who, bool blocked) external {
        asset.setBlocked(vm.addr(providerKey(who)), blocked);
    }

    /// @dev Tokens nobody accounts for must not harm.
    function actGift(uint256 amount) external {
        asset.mint(address(escrow), within(amount, 1, 1 ether));
    }

    // ---- What the invariants ask

    function held() external view returns (uint256) {
        return asset.balanceOf(address(escrow));
    }

    function liabilities() external view returns (uint256) {
        return escrow.liabilities(address(asset));
    }

    /// @notice The liabilities counted from their parts.
    function parts() external view returns (uint256 sum) {
        sum = escrow.free(payer, address(asset)) + providersAreOwed();
        for (uint256 i = 0; i < PARTIES; i++) {
            sum += escrow.free(vm.addr(payerKey(i)), address(asset));
        }
        for (uint256 i = 0; i < _known.length; i++) {
            sum += deposited(_known[i]) - claimed(_known[i]);
        }
    }

    function claimsAreWithinBounds() external view returns (bool) {
        for (uint256 i = 0; i < _known.length; i++) {
            uint256 paid = claimed(_known[i]);
            if (paid > deposited(_known[i]) || paid > _vouchered[escrow.escrowId(_known[i])]) return false;
        }
        return true;
    }

    function providersHold() external view returns (uint256 sum) {
        for (uint256 i = 0; i < PARTIES; i++) {
            sum += asset.balanceOf(vm.addr(providerKey(i)));
        }
    }

    function providersAreOwed() public view returns (uint256 sum) {
        for (uint256 i = 0; i < PARTIES; i++) {
            sum += escrow.owed(vm.addr(providerKey(i)), address(asset));
        }
    }

    // ---- Inside

    function noteClaimed(bytes32 id, IPaymentEscrow.Escrow memory terms) private {
        uint256 current = claimed(terms);
        if (current < _lastClaimed[id]) claimedFell = true;
        _lastClaimed[id] = current;
    }

    function remember(bytes32 id, IPaymentEscrow.Escrow memory terms) private {
        if (_isKnown[id]) return;
        _isKnown[id] = true;
        _known.push(terms);
    }

    function choose(uint256 which) private view returns (IPaymentEscrow.Escrow memory terms) {
        terms = makeTerms(0);
        terms.payer = vm.addr(payerKey(which));
        terms.signer = vm.addr(signerKey(which));
        terms.provider = vm.addr(providerKey(which >> 16));
    }

    function payerKey(uint256 which) private pure returns (uint256) {
        return 0xA000 + which % PARTIES;
    }

    /// @dev Signers are shared between payers, as one daemon may serve several.
    function signerKey(uint256 which) private pure returns (uint256) {
        return 0xB000 + (which >> 8) % PARTIES;
    }

    function providerKey(uint256 which) private pure returns (uint256) {
        return 0xC000 + which % PARTIES;
    }
}
