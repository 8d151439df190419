// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {ComputeCredit} from "../../src/money/ComputeCredit.sol";
import {IEvidence} from "../../src/interfaces/IEvidence.sol";
import {IPaymentEscrow} from "../../src/interfaces/IPaymentEscrow.sol";
import {IProviderRegistry} from "../../src/interfaces/IProviderRegistry.sol";
import {XnodeHashes} from "../../src/libraries/XnodeHashes.sol";
import {PlainAsset} from "../Assets.sol";
import {WholeMarket} from "./WholeMarket.sol";

/// @notice All parties at once: payers, signers, providers, minters, holders, verifiers and reporters, and the time between. What leases
/// promise is {Promising}'s.
/// Forge calls the functions whose names begin with act; each either does something lawful, which must then succeed, or returns.
abstract contract Dealing is WholeMarket {
    IPaymentEscrow.Escrow[] private _known;
    bytes32[] internal _knownIds;
    mapping(bytes32 escrowId => bool) private _isKnown;
    mapping(bytes32 escrowId => uint256) private _lastClaimed;
    /// @dev The highest voucher ever signed, and all that was refunded.
    mapping(bytes32 escrowId => uint256) private _vouchered;
    mapping(bytes32 escrowId => uint256) internal _refunded;
    uint256 private _nextNonce;
    uint256 internal _nextLease;

    uint256 public genesis;
    uint256 public burned;
    uint256 public lost;
    bool public claimedFell;
    bool public mintedAboveLimit;
    bool public mintedWithoutCollateral;
    bool public heldStakeLeft;
    bool public slashedAboveStake;

    constructor() {
        setUp();
        genesis = openx.totalSupply();
    }

    // ---- Money in and out

    function actDeposit(uint256 which, uint256 whose, uint256 amount) external {
        give(payerAt(whose), assetAt(which), within(amount, 1, 1_000 ether));
    }

    function actWithdraw(uint256 which, uint256 whose, uint256 amount) external {
        address what = address(assetAt(which));
        uint256 most = escrow.free(payerAt(whose), what);
        if (most == 0) return;
        vm.prank(payerAt(whose));
        escrow.withdraw(what, within(amount, 1, most), OUT);
    }

    function actOpen(uint256 which, uint256 amount, bool bySig) external {
        IPaymentEscrow.Escrow memory terms = choose(which);
        bytes32 id = escrow.escrowId(terms);
        if (escrow.thawEnd(id) != 0) return;
        if (escrow.free(terms.payer, terms.asset) == 0) give(terms.payer, PlainAsset(terms.asset), 100 ether);
        uint256 most = escrow.free(terms.payer, terms.asset);
        if (most == 0) return;
        uint128 wanted = uint128(within(amount, 1, most));
        vm.prank(terms.payer);
        if (bySig) {
            escrow.approveOpener(terms.signer, terms.asset, wanted);
            IPaymentEscrow.Opening memory opening = makeOpening(terms, wanted, _nextNonce++);
            escrow.openBySig(terms, opening, terms.signer, signOpening(signerKeyAt(which >> 8), opening));
        } else {
            escrow.open(terms, wanted);
        }
        remember(id, terms);
    }

    /// @dev A payer always gets all of it back after the thaw, independent of all else; and a provider is always paid
    /// what was vouchered before the thaw ends.
    function actLeave(uint256 which, bool claims, uint256 cumulative) external {
        IPaymentEscrow.Escrow memory terms = known(which);
        bytes32 id = escrow.escrowId(terms);
        if (deposited(terms) == claimed(terms)) return;
        if (escrow.thawEnd(id) == 0) {
            vm.prank(terms.payer);
            escrow.startThaw(terms);
        }
        if (claims && block.timestamp < escrow.thawEnd(id)) {
            vm.warp(escrow.thawEnd(id) - 1);
            uint128 promised = uint128(within(cumulative, claimed(terms), deposited(terms)));
            vouch(terms, promised, true);
            checkEqual(claimed(terms), promised, "the provider is paid before the thaw ends");
        }
        uint256 wanted = escrow.free(terms.payer, terms.asset) + deposited(terms) - claimed(terms);
        if (block.timestamp < escrow.thawEnd(id)) vm.warp(escrow.thawEnd(id));
        escrow.close(terms);
        note(id, terms);
        if (wanted == 0) return;
        vm.prank(terms.payer);
        escrow.withdraw(terms.asset, wanted, OUT);
    }

    function actThaw(uint256 which, bool bySigner) external {
        IPaymentEscrow.Escrow memory terms = known(which);
        if (escrow.thawEnd(escrow.escrowId(terms)) != 0 || deposited(terms) == claimed(terms)) return;
        vm.prank(bySigner ? terms.signer : terms.payer);
        escrow.startThaw(terms);
    }

    function actRelease(uint256 which, uint256 amount) external {
        IPaymentEscrow.Escrow memory terms = known(which);
        uint128 kept = uint128(within(amount, claimed(terms), deposited(terms) + 1));
        vm.prank(registry.nodeKeyOf(terms.provider));
        escrow.release(terms, kept);
        note(escrow.escrowId(terms), terms);
    }

    // ---- Claims

    /// @dev Vouchers may promise more than is reserved, or less than was promised before.
    function actVouch(uint256 which, uint256 cumulative, bool packed) external {
        IPaymentEscrow.Escrow memory terms = known(which);
        vouch(terms, uint128(within(cumulative, 0, 2 * deposited(terms) + 1)), packed);
    }

    function actForge(uint256 which, uint128 cumulative) external {
        IPaymentEscrow.Escrow memory terms = known(which);
        claimRowsOf(terms, makeRow(STRANGER_KEY, terms, cumulative));
        note(escrow.escrowId(terms), terms);
    }

    function actCollect(uint256 which, uint256 whose) external {
        address what = address(assetAt(which));
        escrow.withdrawOwed(providerAt(whose), what);
        escrow.withdrawFees(what);
        escrow.paySplit(split, what);
        splits.distribute(shares(), what);
        splits.withdraw(shares()[whose % 2].recipient, what);
    }

    function actFee(uint256 which, uint256 ppm) external {
        escrow.setFee(address(assetAt(which)), uint16(within(ppm, 0, 50_000)));
    }

    /// @dev Deposits are stopped, and something else must still be done; then they are allowed again.
    function actStop(uint256 which, uint256 cumulative) external {
        vm.prank(guardian);
        escrow.stopDeposits(address(0));
        IPaymentEscrow.Escrow memory terms = known(which);
        vouch(terms, uint128(within(cumulative, 0, deposited(terms))), false);
        escrow.resumeDeposits(address(0));
    }

    // ---- Providers

    function actVerify(uint256 whose, uint256 gpus, uint256 vcpus, uint256 luck) external {
        verify(providerAt(whose), uint16(within(gpus, 1, 8)), uint16(within(vcpus, 1, 64)), luck % 5 != 0);
    }

    /// @dev Who has nothing in force is verified first, and who is short gets stake, so that mints are many.
    function actMint(uint256 whose, uint256 to, uint256 which, uint256 amount) external {
        mintFor(providerAt(whose), to % 3 == 0 ? providerAt(whose) : payerAt(to), creditAt(which), amount);
    }

    function actMintTooMuch(uint256 whose, uint256 which, uint256 more) external {
        (address minter, ComputeCredit credit) = (providerAt(whose), creditAt(which));
        uint256 amount = credit.mintableOf(minter) + within(more, 1, 1_000 ether);
        vm.prank(minter);
        try credit.mint(minter, amount) {
            mintedAboveLimit = true;
        } catch {}
    }

    function actSend(uint256 whose, uint256 to, uint256 which, uint256 amount) external {
        ComputeCredit credit = creditAt(which);
        address from = firstThatHolds(credit, whose);
        uint256 most = credit.balanceOf(from);
        if (most == 0) return;
        vm.prank(from);
        credit.transfer(payerAt(to), within(amount, 1, most));
    }

    /// @dev A provider that minted vanishes, and a holder is paid from its stake.
    function actRedeem(uint256 whose, uint256 holder, uint256 which, uint256 amount) external {
        ComputeCredit credit = creditAt(which);
        address minter = providerAt(whose % PARTIES + (credit.outstanding(providerAt(whose)) > 0 ? 0 : 1));
        address from = firstThatHolds(credit, holder);
        uint256 most = credit.balanceOf(from);
        if (credit.outstanding(minter) <= 0 || most == 0) return;
        uint256 overdue = capacity.historyOf(minter, capacity.historyLength(minter) - 1).until + STAKE_THAW + 1;
        if (block.timestamp < overdue) vm.warp(overdue);
        if (most > credit.redeemableOf(minter)) most = credit.redeemableOf(minter);
        amount = within(amount, 1, most);
        uint256 value = credit.valueOf(minter, amount);
        if (value == 0) return;
        vm.prank(from);
        checkEqual(credit.redeem(minter, amount), value, "redeemed");
    }

    function actStake(uint256 whose, uint256 amount) external {
        stakeFor(providerAt(whose), within(amount, 1, 1_000 ether));
    }

    function actUnstake(uint256 whose, uint256 amount, bool withdraws) external {
        address staker = providerAt(whose);
        (uint256 staked, uint256 held) = (registry.stakeOf(staker), registry.heldStakeOf(staker));
        if (staked > held) {
            vm.prank(staker);
            registry.startUnstake(within(amount, 1, staked - held));
        }
        uint256 end = registry.stakeDetails(staker).thawEnd;
        // Rarely, for no capacity lasts as long as a thaw.
        if (!withdraws || end == 0 || amount % 4 != 0) return;
        if (block.timestamp < end) vm.warp(end);
        held = registry.heldStakeOf(staker);
        vm.prank(staker);
        if (registry.withdrawStake() != 0 && registry.stakeOf(staker) < held) heldStakeLeft = true;
    }

    /// @dev Two different receipts of one number, committed to and reported in time.
    function actReport(uint256 whose, uint128 cost) external {
        address faulty = providerAt(whose);
        if (!leaveEpisode(faulty)) return;
        IEvidence.SignedLease memory lease = makeLease(whose, faulty);
        IEvidence.Receipt memory first;
        (first.leaseId, first.number, first.cost) = (leaseIdOf(lease.terms), 7, cost / 2);
        first.atNs = uint64(block.timestamp * 1e9);
        IEvidence.Receipt memory second = abi.decode(abi.encode(first), (IEvidence.Receipt));
        second.cost++;
        IEvidence.SignedReceipt memory a = signReceipt(nodeKeyAt(whose), first);
        IEvidence.SignedReceipt memory b = signReceipt(nodeKeyAt(whose), second);
        vm.prank(REPORTER);
        prover.commit(keccak256(abi.encode(REPORTER, evidenceIdOf(faulty, first, second), bytes32("salt"))));
        vm.warp(block.timestamp + prover.COMMIT_DELAY());
        proveReceipts(faulty, lease, a, b);
    }

    function actBurnForfeit(uint256 whose) external {
        burned += registry.burnForfeit(providerAt(whose));
    }

    function actVerifier(uint256 which) external {
        verifiers.withdrawFees(judgeAt(which));
    }

    function actWait(uint256 time) external {
        vm.warp(block.timestamp + within(time, 1, 1 days));
    }

    // ---- What the invariants ask

    function escrowHolds(uint256 which) external view returns (uint256 held, uint256 owes, uint256 parts) {
        address what = address(assetAt(which));
        uint256 reserved = 0;
        for (uint256 i = 0; i < _knownIds.length; i++) {
            if (_known[i].asset != what) continue;
            (uint128 deposited_, uint128 claimed_) = escrow.funds(_knownIds[i]);
            reserved += deposited_ - claimed_;
        }
        return (assetAt(which).balanceOf(address(escrow)), escrow.liabilities(what), partsOf(what, reserved));
    }

    /// @dev OPENX is in more hands than the other assets: {openxIsWhole} counts them.
    function moneyIsWhole(uint256 which) external view returns (bool) {
        if (which % ASSETS == OF_OPENX) return true;
        return balancesOf(assetAt(which)) == assetAt(which).totalSupply();
    }

    function creditsAreOutstanding(uint256 which) external view returns (bool) {
        ComputeCredit credit = creditAt(which);
        return credit.outstanding(providerAt(0)) + credit.outstanding(providerAt(1)) == int256(credit.totalSupply());
    }

    function openxIsWhole() external view returns (bool) {
        uint256 supply = openx.totalSupply();
        return
            stakes() == openx.balanceOf(address(registry)) && stakes() + loose() == supply && supply + burned == genesis;
    }

    function faultsAddUp() external view returns (bool) {
        (, uint128 first) = registry.faultsOf(providerAt(0));
        (, uint128 second) = registry.faultsOf(providerAt(1));
        return uint256(first) + second == lost;
    }

    function claimsAreWithinBounds() external view returns (bool) {
        for (uint256 i = 0; i < _knownIds.length; i++) {
            bytes32 id = _knownIds[i];
            (uint128 reserved, uint128 taken) = escrow.funds(id);
            if (taken > reserved || taken > _vouchered[id] + _refunded[id]) return false;
        }
        return true;
    }

    // ---- Inside

    /// @dev One of those that were opened, if any holds money one that does; before the first, the one that would be.
    function known(uint256 which) internal view returns (IPaymentEscrow.Escrow memory terms) {
        uint256 count = _known.length;
        if (count == 0) return choose(which);
        for (uint256 i = 0; i < count; i++) {
            uint256 at_ = (which % count + i) % count;
            (uint128 deposited_, uint128 claimed_) = escrow.funds(_knownIds[at_]);
            if (deposited_ != claimed_ || i == count - 1) return _known[at_];
        }
    }

    function firstThatHolds(ComputeCredit credit, uint256 from) private view returns (address found) {
        for (uint256 i = 0; i < 2 * PARTIES; i++) {
            found = i < PARTIES ? payerAt(from % PARTIES + i) : providerAt(from % PARTIES + i);
            if (credit.balanceOf(found) != 0) return found;
        }
    }

    function remember(bytes32 id, IPaymentEscrow.Escrow memory terms) internal {
        if (_isKnown[id]) return;
        _isKnown[id] = true;
        _known.push(terms);
        _knownIds.push(id);
    }

    /// @dev Gives a payer a free balance, of credits by having them made.
    function give(address to, PlainAsset what, uint256 amount) internal {
        if (what == asset) asset.mint(to, amount);
        else if (address(what) == address(openx)) giveOpenx(to, amount);
        else mintFor(providerAt(amount), to, ComputeCredit(address(what)), amount);
        uint256 most = what.balanceOf(to);
        if (most == 0) return;
        amount = within(amount, 1, most);
        vm.prank(to);
        what.approve(address(escrow), amount);
        vm.prank(to);
        escrow.deposit(to, address(what), amount);
    }

    /// @dev A whole challenge, from the request to the verdict of a quorum.
    function verify(address tried, uint16 gpus, uint16 vcpus, bool passes) private {
        giveOpenx(tried, rules.requestPrice(uint256(gpus) + vcpus));
        vm.prank(tried);
        bytes32 id = capacity.requestChallenge(makeDeclared(gpus, vcpus));
        judge(id, drawn(id).panel, passes);
    }

    function mintFor(address minter, address to, ComputeCredit credit, uint256 amount) internal {
        if (credit.limitOf(minter) == 0) verify(minter, 4, 16, true);
        (uint256 held, uint256 staked) = (registry.heldStakeOf(minter), registry.stakeOf(minter));
        if (held >= staked) stakeFor(minter, held - staked + 1_000 ether);
        uint256 most = credit.mintableOf(minter);
        if (most == 0) return;
        vm.prank(minter);
        credit.mint(to, within(amount, 1, most));
        if (credit.outstanding(minter) > int256(credit.limitOf(minter))) mintedAboveLimit = true;
        if (registry.heldStakeOf(minter) > registry.stakeOf(minter)) mintedWithoutCollateral = true;
    }

    function vouch(IPaymentEscrow.Escrow memory terms, uint128 promised, bool packed) internal {
        bytes32 id = escrow.escrowId(terms);
        if (promised > _vouchered[id]) _vouchered[id] = promised;
        uint256 key = terms.signer == signerAt(0) ? signerKeyAt(0) : signerKeyAt(1);
        if (packed) {
            bytes memory row = makeRow(key, terms, promised);
            claimRowsOf(terms, bytes.concat(row, row));
        } else {
            escrow.claimOne(terms, promised, RECEIPTS, signVoucher(key, terms, promised));
        }
        note(id, terms);
    }

    function note(bytes32 id, IPaymentEscrow.Escrow memory terms) internal {
        uint256 current = claimed(terms);
        if (current < _lastClaimed[id]) claimedFell = true;
        _lastClaimed[id] = current;
    }

    /// @dev Until an episode is over its documents take nothing more, and nothing is taken above the ceiling.
    function leaveEpisode(address faulty) private returns (bool mayLose) {
        IProviderRegistry.Role role = IProviderRegistry.Role.Provider;
        (uint64 since,) = registry.episodeOf(faulty, role, uint8(IEvidence.Fault.Equivocation));
        uint256 over = since + registry.EPISODE() + 1;
        if (block.timestamp < over) vm.warp(over);
        return registry.roomOf(address(prover), faulty, role) != 0;
    }

    function proveReceipts(
        address faulty,
        IEvidence.SignedLease memory lease,
        IEvidence.SignedReceipt memory a,
        IEvidence.SignedReceipt memory b
    ) private {
        IProviderRegistry.Stake memory own = registry.stakeDetails(faulty);
        (uint256 supply, uint256 forfeit) = (openx.totalSupply(), registry.forfeitOf(faulty));
        uint256 paid = openx.balanceOf(REPORTER);
        vm.prank(REPORTER);
        prover.proveReceipts(lease, a, b, bytes32("salt"));
        burned += supply - openx.totalSupply();
        uint256 slashed =
            supply - openx.totalSupply() + openx.balanceOf(REPORTER) - paid + registry.forfeitOf(faulty) - forfeit;
        lost += slashed;
        if (slashed > uint256(own.staked) + own.thawing) slashedAboveStake = true;
    }

    function makeLease(uint256 whose, address faulty) private returns (IEvidence.SignedLease memory lease) {
        lease.terms.leaseNumber = uint64(++_nextLease);
        (lease.terms.submitter, lease.terms.provider) = (vm.addr(signerKeyAt(0)), faulty);
        lease.terms.node = vm.addr(nodeKeyAt(whose));
        bytes32 id = leaseIdOf(lease.terms);
        (lease.submitterSig, lease.nodeSig) = (signAs(signerKeyAt(0), id), signAs(nodeKeyAt(whose), id));
    }

    function leaseIdOf(IEvidence.LeaseTerms memory terms) internal view returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), XnodeHashes.hashLeaseTerms(terms));
    }

    function evidenceIdOf(address faulty, IEvidence.Receipt memory a, IEvidence.Receipt memory b)
        private
        view
        returns (bytes32)
    {
        (bytes32 x, bytes32 y) = (receiptDigest(a), receiptDigest(b));
        (x, y) = x < y ? (x, y) : (y, x);
        return keccak256(abi.encode(IEvidence.Fault.Equivocation, faulty, x, y));
    }

    function receiptDigest(IEvidence.Receipt memory receipt) internal view returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), XnodeHashes.hashReceipt(receipt));
    }

    function signReceipt(uint256 key, IEvidence.Receipt memory receipt)
        internal
        view
        returns (IEvidence.SignedReceipt memory)
    {
        return IEvidence.SignedReceipt(receipt, signAs(key, receiptDigest(receipt)));
    }
}
