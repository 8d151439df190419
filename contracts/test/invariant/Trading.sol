// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentEscrow} from "../../src/interfaces/IPaymentEscrow.sol";
import {ISplitRegistry} from "../../src/interfaces/ISplitRegistry.sol";
import {PlainAsset} from "../Assets.sol";
import {Market} from "../Market.sol";

/// @notice Random payers and providers trading with each other in an asset and in credits, and a memory of what must never
/// happen. Forge calls the functions whose names begin with act; each either does something lawful, which must then succeed, or
/// returns.
contract Trading is Market {
    /// @dev Few, so that the acts meet: 16 escrows, of two payers, providers, assets and splits, and of one signer.
    uint256 private constant PARTIES = 2;
    address private constant OUT = address(0xC01D);
    address private constant FEE_RECIPIENT = address(0xFEE5);
    uint16 private constant MOST_FEE_PPM = 50_000;

    IPaymentEscrow.Escrow[] private _known;
    mapping(bytes32 escrowId => bool) private _isKnown;
    mapping(bytes32 escrowId => uint256) private _lastClaimed;
    /// @dev The highest voucher ever signed, and all that was refunded.
    mapping(bytes32 escrowId => uint256) private _vouchered;
    mapping(bytes32 escrowId => uint256) private _refunded;
    uint256 private _nextNonce;
    bytes32 private _split;

    mapping(address what => uint256) public deposits;
    mapping(address what => uint256) public gifts;
    mapping(address what => uint256) public claims;
    bool public claimedFell;

    constructor() {
        setUp();
        connectJudge(address(this), noHolds());
        escrow.setFeeRecipient(FEE_RECIPIENT);
        _split = splits.create(shares());
        deposits[address(asset)] = escrow.liabilities(address(asset));
    }

    // ---- Money in and out

    function actDeposit(uint256 which, uint256 amount) external {
        PlainAsset what = assetAt(which);
        if (escrow.assetOf(address(what)).isStopped) return;
        amount = within(amount, 1, 1_000 ether);
        fundIn(what, vm.addr(payerKey(which)), amount);
        deposits[address(what)] += amount;
    }

    function actWithdraw(uint256 which, uint256 amount) external {
        PlainAsset what = assetAt(which);
        address from = vm.addr(payerKey(which));
        uint256 most = escrow.free(from, address(what));
        if (most != 0) withdraw(from, what, within(amount, 1, most));
    }

    /// @dev A payer can always get everything back after the thaw, independent of all else.
    function actLeave(uint256 which) external {
        IPaymentEscrow.Escrow memory terms = choose(which);
        bytes32 id = escrow.escrowId(terms);
        uint256 reserve = deposited(terms) - claimed(terms);
        if (escrow.thawEnd(id) == 0) {
            if (reserve == 0) return;
            vm.prank(terms.payer);
            escrow.startThaw(terms);
        }
        warpTo(escrow.thawEnd(id));
        uint256 before = escrow.free(terms.payer, terms.asset);
        escrow.close(terms);
        checkEqual(escrow.free(terms.payer, terms.asset), before + reserve, "the whole reserve is free");
        noteClaimed(id, terms);
        if (before + reserve != 0) withdraw(terms.payer, PlainAsset(terms.asset), before + reserve);
    }

    // ---- Escrows

    function actOpen(uint256 which, uint256 amount, bool bySig) external {
        IPaymentEscrow.Escrow memory terms = choose(which);
        bytes32 id = escrow.escrowId(terms);
        uint256 most = escrow.free(terms.payer, terms.asset);
        if (most == 0 || escrow.thawEnd(id) != 0) return;
        uint128 wanted = uint128(within(amount, 1, most));
        if (bySig) {
            vm.prank(terms.payer);
            escrow.approveOpener(signer, terms.asset, wanted);
            IPaymentEscrow.Opening memory opening = makeOpening(terms, wanted, _nextNonce++);
            escrow.openBySig(terms, opening, signer, signOpening(SIGNER_KEY, opening));
        } else {
            vm.prank(terms.payer);
            escrow.open(terms, wanted);
        }
        remember(id, terms);
    }

    function actRelease(uint256 which, uint256 amount, bool bySig) external {
        IPaymentEscrow.Escrow memory terms = choose(which);
        uint128 kept = uint128(within(amount, claimed(terms), deposited(terms) + 1));
        if (bySig) {
            IPaymentEscrow.Release memory order = makeRelease(terms, kept, _nextNonce++);
            escrow.releaseBySig(terms, order, terms.provider, signRelease(providerKey(which), order));
        } else {
            vm.prank(terms.provider);
            escrow.release(terms, kept);
        }
        noteClaimed(escrow.escrowId(terms), terms);
    }

    function actRefund(uint256 which, uint128 amount) external {
        IPaymentEscrow.Escrow memory terms = choose(which);
        bytes32 id = escrow.escrowId(terms);
        uint256 reserve = deposited(terms) - claimed(terms);
        uint256 refunded = escrow.refund(terms, amount);
        checkEqual(refunded, amount < reserve ? amount : reserve, "refunded");
        _refunded[id] += refunded;
        noteClaimed(id, terms);
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
        bytes32 id = escrow.escrowId(terms);
        if (escrow.thawEnd(id) == 0) return;
        warpTo(escrow.thawEnd(id));
        escrow.close(terms);
        noteClaimed(id, terms);
    }

    // ---- Claims

    /// @dev Vouchers may promise more than is reserved, or less than was promised before.
    function actVouch(uint256 which, uint256 cumulative) external {
        IPaymentEscrow.Escrow memory terms = choose(which);
        bytes32 id = escrow.escrowId(terms);
        uint256 promised = within(cumulative, 0, 2 * deposited(terms) + 1);
        if (promised > _vouchered[id]) _vouchered[id] = promised;
    }

    /// @dev A provider can always claim what was vouchered while the escrow is open, up to the thaw's last second.
    function actClaim(uint256 which, bool packed, bool atTheEnd) external {
        IPaymentEscrow.Escrow memory terms = choose(which);
        bytes32 id = escrow.escrowId(terms);
        uint128 promised = uint128(_vouchered[id]);
        if (atTheEnd && escrow.thawEnd(id) > block.timestamp) vm.warp(escrow.thawEnd(id) - 1);
        uint256 reached = promised < deposited(terms) ? promised : deposited(terms);
        uint256 due = reached > claimed(terms) ? reached - claimed(terms) : 0;
        bytes memory sig = signVoucher(SIGNER_KEY, terms, promised);
        bytes memory row = packRow(terms, promised, RECEIPTS, sig);
        uint256 paid =
            packed ? claimRowsOf(terms, bytes.concat(row, row)) : escrow.claimOne(terms, promised, RECEIPTS, sig);
        checkEqual(paid, due, "all that was vouchered and is there");
        claims[terms.asset] += paid;
        noteClaimed(id, terms);
    }

    function actClaimBatch(uint256 which, uint128[4] calldata cumulatives) external {
        IPaymentEscrow.Escrow memory terms = choose(which);
        bytes memory rows;
        for (uint256 i = 0; i < cumulatives.length; i++) {
            // Every other row is of the other payer.
            terms.payer = vm.addr(payerKey(which ^ (i % 2)));
            uint128 promised = uint128(within(cumulatives[i], 0, 2 * deposited(terms) + 1));
            bytes32 id = escrow.escrowId(terms);
            if (promised > _vouchered[id]) _vouchered[id] = promised;
            rows = bytes.concat(rows, makeRow(SIGNER_KEY, terms, promised));
        }
        claims[terms.asset] += claimRowsOf(terms, rows);
        noteClaimed(escrow.escrowId(terms), terms);
    }

    function actClaimWithoutSignature(uint256 which, uint256 cumulative, bytes32 r, bytes32 vs) external {
        IPaymentEscrow.Escrow memory terms = choose(which);
        bytes memory row =
            abi.encodePacked(terms.payer, terms.signer, terms.nonce, uint128(cumulative), RECEIPTS, r, vs);
        claims[terms.asset] += claimRowsOf(terms, row);
    }

    // ---- What waits

    function actWithdrawOwed(uint256 which) external {
        PlainAsset what = assetAt(which);
        address to = vm.addr(providerKey(which));
        if (!what.isBlocked(to) && !credit.refuses()) escrow.withdrawOwed(to, address(what));
    }

    function actPaySplit(uint256 which, bool distribute) external {
        PlainAsset what = assetAt(which);
        escrow.paySplit(_split, address(what));
        if (distribute) splits.distribute(shares(), address(what));
        splits.withdraw(shares()[which % 2].recipient, address(what));
    }

    function actWithdrawFees(uint256 which) external {
        escrow.withdrawFees(address(assetAt(which)));
    }

    // ---- Powers and mishaps

    function actSetFee(uint256 which, uint16 feePpm) external {
        escrow.setFee(address(assetAt(which)), feePpm % (MOST_FEE_PPM + 1));
    }

    function actStop(uint256 which, bool stop) external {
        vm.prank(guardian);
        if (stop) escrow.stopDeposits(address(assetAt(which)));
        else escrow.resumeDeposits(address(assetAt(which)));
    }

    function actRefuse(uint256 which, bool refuses) external {
        asset.setBlocked(vm.addr(providerKey(which)), refuses);
        credit.refuse(refuses);
    }

    /// @dev Unaccounted tokens must do no harm.
    function actGift(uint256 which, uint256 amount) external {
        amount = within(amount, 1, 1 ether);
        assetAt(which).mint(address(escrow), amount);
        gifts[address(assetAt(which))] += amount;
    }

    // ---- What the invariants ask

    function assets() external view returns (PlainAsset[2] memory) {
        return [asset, PlainAsset(credit)];
    }

    function held(PlainAsset what) external view returns (uint256) {
        return what.balanceOf(address(escrow));
    }

    function liabilities(PlainAsset what) external view returns (uint256) {
        return escrow.liabilities(address(what));
    }

    /// @notice The liabilities counted from their parts.
    function parts(PlainAsset what) external view returns (uint256 sum) {
        sum = escrow.free(payer, address(what)) + escrow.owedToSplit(_split, address(what))
            + escrow.assetOf(address(what)).fees;
        for (uint256 i = 0; i < PARTIES; i++) {
            sum += escrow.free(vm.addr(payerKey(i)), address(what));
            sum += escrow.owed(vm.addr(providerKey(i << 16)), address(what));
        }
        for (uint256 i = 0; i < _known.length; i++) {
            if (_known[i].asset == address(what)) sum += deposited(_known[i]) - claimed(_known[i]);
        }
    }

    /// @notice What payers took out.
    function withdrawals(PlainAsset what) external view returns (uint256) {
        return what.balanceOf(OUT);
    }

    /// @notice What claims brought to their ends: providers' balances, credits burned, fees and shares, also what still waits.
    function earned(PlainAsset what) external view returns (uint256 sum) {
        sum = earnedOutside(what) + escrow.owedToSplit(_split, address(what)) + escrow.assetOf(address(what)).fees;
        for (uint256 i = 0; i < PARTIES; i++) {
            sum += escrow.owed(vm.addr(providerKey(i << 16)), address(what));
        }
    }

    /// @notice The part of it that has left the escrow.
    function earnedOutside(PlainAsset what) public view returns (uint256 sum) {
        sum = what.balanceOf(FEE_RECIPIENT) + what.balanceOf(address(splits));
        for (uint256 i = 0; i < 2; i++) {
            address to = vm.addr(providerKey(i << 16));
            sum += what.balanceOf(to) + what.balanceOf(shares()[i].recipient);
            if (address(what) == address(credit)) sum += credit.burnedAt(to);
        }
    }

    /// @notice Each escrow's numbers, and each provider's account against the sum of its escrows.
    function booksAgree() external view returns (bool) {
        for (uint256 i = 0; i < _known.length; i++) {
            bytes32 id = escrow.escrowId(_known[i]);
            uint256 taken = claimed(_known[i]);
            if (taken > deposited(_known[i]) || taken < _refunded[id]) return false;
            if (taken - _refunded[id] > _vouchered[id]) return false;
        }
        for (uint256 i = 0; i < 2 * PARTIES; i++) {
            if (!accountAgrees(vm.addr(providerKey(i << 16)), address(assetAt(i << 17)))) return false;
        }
        return true;
    }

    function splitsAreCovered(PlainAsset what) external view returns (bool) {
        uint256 due = splits.accruedOf(_split, address(what));
        for (uint256 i = 0; i < 2; i++) {
            due += splits.owedTo(shares()[i].recipient, address(what));
        }
        uint256 balance = what.balanceOf(address(splits));
        // Less than one unit for each recipient waits for more to come in.
        return balance >= due && balance - due < 2 && what.allowance(address(escrow), address(splits)) == 0;
    }

    // ---- Inside

    function accountAgrees(address provider_, address what) private view returns (bool) {
        uint256 taken;
        uint256 refunds;
        for (uint256 i = 0; i < _known.length; i++) {
            if (_known[i].provider != provider_ || _known[i].asset != what) continue;
            taken += claimed(_known[i]);
            refunds += _refunded[escrow.escrowId(_known[i])];
        }
        (uint256 settled, uint256 refunded,) = escrow.accountOf(provider_, what);
        return settled + refunded == taken && refunded == refunds;
    }

    function withdraw(address from, PlainAsset what, uint256 amount) private {
        vm.prank(from);
        escrow.withdraw(address(what), amount, OUT);
    }

    function warpTo(uint64 time) private {
        if (time > block.timestamp) vm.warp(time);
    }

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
        terms = makeTermsIn(assetAt(which), which & (1 << 24) == 0 ? bytes32(0) : _split, 0);
        terms.payer = vm.addr(payerKey(which));
        terms.provider = vm.addr(providerKey(which));
    }

    function shares() private pure returns (ISplitRegistry.Share[] memory) {
        return makeShares(333_333, 142_857);
    }

    function payerKey(uint256 which) private pure returns (uint256) {
        return 0xA000 + which % PARTIES;
    }

    function providerKey(uint256 which) private pure returns (uint256) {
        return 0xC000 + (which >> 16) % PARTIES;
    }

    function assetAt(uint256 which) private view returns (PlainAsset) {
        return which & (1 << 18) == 0 ? asset : PlainAsset(credit);
    }
}
