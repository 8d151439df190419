// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {ICapacityRegistry} from "../../src/interfaces/ICapacityRegistry.sol";
import {IOpenxToken} from "../../src/interfaces/IOpenxToken.sol";
import {IPaymentEscrow} from "../../src/interfaces/IPaymentEscrow.sol";
import {IProviderRegistry} from "../../src/interfaces/IProviderRegistry.sol";
import {IVerifierRegistry} from "../../src/interfaces/IVerifierRegistry.sol";
import {PlainAsset} from "../Assets.sol";
import {WholeMarket} from "../invariant/WholeMarket.sol";

/// @notice A market in which everybody has something to lose: a payer with free money and reserves, a provider that is owed, is verified
/// and has sold credits, another that is jailed and asks again, and verifiers, one of whom has left. The test itself is the timelock.
abstract contract Scene is WholeMarket {
    uint256 internal constant LEAVING = 500 ether;
    uint128 internal constant RESERVE = 100 ether;

    IPaymentEscrow.Escrow internal plain;
    IPaymentEscrow.Escrow internal shared;
    IPaymentEscrow.Escrow internal inCredits;
    bytes32 internal asked;
    address internal jailed;
    address internal gone;

    function setUp() public virtual override {
        super.setUp();
        // Every setting may change again.
        vm.warp(block.timestamp + STAKE_THAW);
        jailed = providerAt(1);
        makeProviders();
        makeMoney();
    }

    function makeProviders() private {
        challenge(true);
        vm.prank(provider);
        tgpu.mint(payer, 200 ether);
        giveOpenx(jailed, 100 ether);
        bytes32 id = askAs(jailed);
        judge(id, drawn(id).panel, false);
        asked = askAs(jailed);
        vm.prank(jailed);
        registry.startUnstake(LEAVING);
        registerStaked(VERIFIERS, PLEDGE);
        gone = verifierAt(VERIFIERS);
        vm.prank(gone);
        verifiers.enlist();
        vm.prank(gone);
        verifiers.leave();
    }

    /// @dev Of each escrow 40 are claimed: of the first the payout is deferred, of the second the split's share waits.
    function makeMoney() private {
        plain = openEscrow(1, RESERVE);
        shared = makeTermsIn(asset, split, 2);
        openUnder(shared, RESERVE);
        inCredits = makeTermsIn(PlainAsset(address(tgpu)), bytes32(0), 3);
        vm.prank(payer);
        tgpu.approve(address(escrow), RESERVE);
        vm.prank(payer);
        escrow.deposit(payer, address(tgpu), RESERVE);
        vm.prank(payer);
        escrow.open(inCredits, RESERVE);
        asset.setBlocked(provider, true);
        vouch(plain, 40 ether);
        asset.setBlocked(provider, false);
        vouch(shared, 40 ether);
        vouch(inCredits, 40 ether);
        giveOpenx(payer, 10 ether);
    }

    function askAs(address who) internal returns (bytes32) {
        vm.prank(who);
        return capacity.requestChallenge(makeDeclared(2, 16));
    }

    function vouch(IPaymentEscrow.Escrow memory terms, uint128 cumulative) internal returns (uint256) {
        return escrow.claimOne(terms, cumulative, RECEIPTS, signVoucher(SIGNER_KEY, terms, cumulative));
    }

    // ---- What they have

    /// @notice Everything that is somebody's, in one order: in the escrow, as stake, and in hand.
    function holdings() internal view returns (uint256[] memory all) {
        all = new uint256[](27);
        uint256 n = 0;
        IPaymentEscrow.Escrow[3] memory escrows = [plain, shared, inCredits];
        for (uint256 i = 0; i < 3; i++) {
            all[n++] = deposited(escrows[i]) - claimed(escrows[i]);
        }
        address[3] memory whats = [address(asset), address(tgpu), address(openx)];
        for (uint256 i = 0; i < 3; i++) {
            PlainAsset what = PlainAsset(whats[i]);
            all[n++] = escrow.free(payer, whats[i]);
            all[n++] = escrow.owed(provider, whats[i]);
            all[n++] = escrow.owedToSplit(split, whats[i]);
            all[n++] = what.balanceOf(payer);
            all[n++] = what.balanceOf(provider);
        }
        all[n++] = registry.stakeOf(provider);
        all[n++] = registry.stakeOf(jailed);
        all[n++] = registry.stakeDetails(jailed).thawing;
        for (uint256 i = 0; i <= VERIFIERS; i++) {
            all[n++] = pledgeOf(verifierAt(i));
        }
    }

    function checkSameHoldings(uint256[] memory before, string memory what) internal view {
        uint256[] memory after_ = holdings();
        for (uint256 i = 0; i < before.length; i++) {
            checkEqual(after_[i], before[i], string.concat(what, ": holding ", vm.toString(i)));
        }
    }

    /// @notice All that is in the escrow leaves it, by every way there is, and nobody is left with anything but the fees.
    function everybodyLeaves() internal {
        checkTrue(vouch(plain, 60 ether) == 20 ether, "a voucher is claimed");
        checkTrue(claimRowsOf(shared, makeRow(SIGNER_KEY, shared, 70 ether)) == 30 ether, "packed too");
        checkTrue(vouch(inCredits, 70 ether) == 30 ether, "and burned");
        checkTrue(escrow.withdrawOwed(provider, address(asset)) == 40 ether, "what was owed");
        checkTrue(escrow.paySplit(split, address(asset)) != 0, "what was shared");
        vm.prank(provider);
        escrow.release(plain, 80 ether);
        thawOut(plain);
        thawOut(shared);
        thawOut(inCredits);
        withdrawAll(address(asset));
        withdrawAll(address(tgpu));
    }

    function thawOut(IPaymentEscrow.Escrow memory terms) private {
        vm.prank(payer);
        escrow.startThaw(terms);
        uint256 end = escrow.thawEnd(escrow.escrowId(terms));
        checkEqual(end, block.timestamp + terms.thaw, "as long as the terms say");
        vm.warp(end);
        escrow.close(terms);
    }

    function withdrawAll(address what) private {
        uint256 free = escrow.free(payer, what);
        vm.prank(payer);
        escrow.withdraw(what, free, payer);
        checkEqual(escrow.liabilities(what), escrow.assetOf(what).fees, "only fees are left");
    }

    // ---- What only some may call

    struct Call {
        address to;
        bytes data;
        bytes4 refusal;
    }

    bytes4 private constant NOT_OWNER = Ownable.OwnableUnauthorizedAccount.selector;

    /// @notice Everything in all contracts that is for the timelock, a judge, a hold, the refunder, the connector or one of our own
    /// contracts, with the error for whoever else calls it.
    function restricted() internal view returns (Call[] memory calls) {
        calls = new Call[](40);
        uint256 n = listGovernedMoney(calls);
        n = listGovernedCapacity(calls, n);
        n = listOwnership(calls, n);
        n = listConnected(calls, n);
        assembly {
            mstore(calls, n)
        }
    }

    function checkAllRefused(address caller, string memory who) internal {
        Call[] memory calls = restricted();
        checkTrue(calls.length == 38, "all of them");
        for (uint256 i = 0; i < calls.length; i++) {
            vm.prank(caller);
            (bool done, bytes memory answer) = calls[i].to.call(calls[i].data);
            string memory what = string.concat(who, ": call ", vm.toString(i));
            checkTrue(!done, what);
            checkEqual(bytes32(bytes4(answer)), bytes32(calls[i].refusal), what);
        }
    }

    function wide() internal pure returns (IOpenxToken.BridgeLimits memory) {
        return IOpenxToken.BridgeLimits(type(uint128).max, type(uint128).max, 0);
    }

    function listGovernedMoney(Call[] memory calls) private view returns (uint256 n) {
        calls[n++] = Call(address(escrow), abi.encodeCall(escrow.addAsset, (address(this), false)), NOT_OWNER);
        calls[n++] = Call(address(escrow), abi.encodeCall(escrow.setFee, (address(asset), 1)), NOT_OWNER);
        calls[n++] = Call(address(escrow), abi.encodeCall(escrow.setFeeRecipient, (OUT)), NOT_OWNER);
        calls[n++] = Call(address(escrow), abi.encodeCall(escrow.setGuardian, (OUT)), NOT_OWNER);
        calls[n++] = Call(address(openx), abi.encodeCall(openx.setBridgeLimits, (OUT, wide())), NOT_OWNER);
        bytes4 notBridge = IOpenxToken.NotBridge.selector;
        calls[n++] = Call(address(openx), abi.encodeCall(openx.crosschainMint, (OUT, 1)), notBridge);
        calls[n++] = Call(address(openx), abi.encodeCall(openx.crosschainBurn, (payer, 1)), notBridge);
        calls[n++] = Call(address(tgpu), abi.encodeCall(tgpu.setCollateralRatio, (3 ether)), NOT_OWNER);
        calls[n++] = Call(address(tcpu), abi.encodeCall(tcpu.setCollateralRatio, (3 ether)), NOT_OWNER);
        calls[n++] = Call(address(tgpu), abi.encodeCall(tgpu.setWindowHours, (120)), NOT_OWNER);
        calls[n++] = Call(address(tcpu), abi.encodeCall(tcpu.setWindowHours, (120)), NOT_OWNER);
    }

    function listGovernedCapacity(Call[] memory calls, uint256 n) private view returns (uint256) {
        calls[n++] = Call(address(rules), abi.encodeCall(rules.addClass, (rules.classOf(CPU))), NOT_OWNER);
        calls[n++] = Call(address(rules), abi.encodeCall(rules.changeClass, (CPU, 900, 256, 9_000)), NOT_OWNER);
        calls[n++] = Call(address(rules), abi.encodeCall(rules.closeClass, (CPU)), NOT_OWNER);
        calls[n++] = Call(address(rules), abi.encodeCall(rules.setSettings, (rules.settings())), NOT_OWNER);
        calls[n++] = Call(address(verifiers), abi.encodeCall(verifiers.setSettings, (verifiers.settings())), NOT_OWNER);
        return n;
    }

    function listOwnership(Call[] memory calls, uint256 n) private view returns (uint256) {
        address[6] memory owned =
            [address(escrow), address(openx), address(tgpu), address(tcpu), address(rules), address(verifiers)];
        for (uint256 i = 0; i < owned.length; i++) {
            // Each the same in all of them.
            calls[n++] = Call(owned[i], abi.encodeCall(openx.transferOwnership, (OUT)), NOT_OWNER);
            calls[n++] = Call(owned[i], abi.encodeCall(openx.renounceOwnership, ()), NOT_OWNER);
        }
        return n;
    }

    function listConnected(Call[] memory calls, uint256 n) private view returns (uint256) {
        IProviderRegistry.Role role = IProviderRegistry.Role.Provider;
        address[] memory none = new address[](0);
        bytes memory connect = abi.encodeCall(
            registry.connect, (new IProviderRegistry.Judge[](0), new IProviderRegistry.Hold[](0), none, address(this))
        );
        calls[n++] = Call(address(registry), connect, IProviderRegistry.NotConnector.selector);
        bytes memory slash = abi.encodeCall(registry.slash, (provider, makePledgePenalty(1_000_000)));
        calls[n++] = Call(address(registry), slash, IProviderRegistry.NotJudge.selector);
        bytes memory compensate = abi.encodeCall(registry.compensate, (provider, role, OUT, 1, 0));
        calls[n++] = Call(address(registry), compensate, IProviderRegistry.NotJudge.selector);
        bytes memory take = abi.encodeCall(registry.takeStake, (provider, OUT, 1));
        calls[n++] = Call(address(registry), take, IProviderRegistry.NotHold.selector);
        bytes memory refund = abi.encodeCall(escrow.refund, (plain, 1));
        calls[n++] = Call(address(escrow), refund, IPaymentEscrow.NotRefunder.selector);
        bytes memory connectVerifiers = abi.encodeCall(verifiers.connect, (OUT, OUT));
        calls[n++] = Call(address(verifiers), connectVerifiers, IVerifierRegistry.NotConnector.selector);
        bytes4 notCapacity = IVerifierRegistry.NotCapacity.selector;
        calls[n++] = Call(address(verifiers), abi.encodeCall(verifiers.noteSigned, (none, 1)), notCapacity);
        calls[n++] = Call(address(verifiers), abi.encodeCall(verifiers.noteMissed, (none, 0)), notCapacity);
        calls[n++] = Call(address(verifiers), abi.encodeCall(verifiers.endFee, (OUT, 1, 0)), notCapacity);
        bytes memory doubt = abi.encodeCall(capacity.putInDoubt, (capacity.openChallengeOf(provider)));
        calls[n++] = Call(address(capacity), doubt, ICapacityRegistry.NotReveals.selector);
        return n;
    }
}
