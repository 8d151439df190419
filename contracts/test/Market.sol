// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {OpenxToken} from "../src/money/OpenxToken.sol";
import {PaymentEscrow} from "../src/money/PaymentEscrow.sol";
import {ProviderRegistry} from "../src/money/ProviderRegistry.sol";
import {SplitRegistry} from "../src/money/SplitRegistry.sol";
import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {IProviderRegistry} from "../src/interfaces/IProviderRegistry.sol";
import {XnodeHashes} from "../src/libraries/XnodeHashes.sol";
import {ISplitRegistry} from "../src/interfaces/ISplitRegistry.sol";
import {IStakeHold} from "../src/interfaces/IStakeHold.sol";
import {PlainAsset, PlainCredit} from "./Assets.sol";
import {Bench} from "./Bench.sol";

/// @notice The deployed contracts, one payer with money, one signer, one provider, and how they sign.
abstract contract Market is Bench {
    uint32 internal constant MIN_THAW = 1 hours;
    uint32 internal constant STAKE_THAW = 14 days;
    uint64 internal constant FAR = type(uint64).max;
    bytes32 internal constant RECEIPTS = keccak256("receipts");

    uint256 internal constant PAYER_KEY = 0xA11CE;
    uint256 internal constant SIGNER_KEY = 0x51611E5;
    uint256 internal constant PROVIDER_KEY = 0x9401;
    uint256 internal constant NODE_KEY = 0x40DE;
    uint256 internal constant STRANGER_KEY = 0x57;

    address internal payer = vm.addr(PAYER_KEY);
    address internal signer = vm.addr(SIGNER_KEY);
    address internal provider = vm.addr(PROVIDER_KEY);
    address internal node = vm.addr(NODE_KEY);
    address internal stranger = vm.addr(STRANGER_KEY);
    address internal treasury = address(0x7EA);
    address internal guardian = address(0x64A);

    OpenxToken internal openx;
    ProviderRegistry internal registry;
    SplitRegistry internal splits;
    PaymentEscrow internal escrow;
    PlainAsset internal asset;
    PlainCredit internal credit;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        openx = OpenxToken(deploy(creationCode("OpenxToken", abi.encode(treasury, 1_000_000 ether, address(this)))));
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        splits = SplitRegistry(deploy(creationCode("SplitRegistry", "")));
        asset = new PlainAsset();
        credit = new PlainCredit();
        escrow = PaymentEscrow(deploy(escrowCode(MIN_THAW)));
        fund(payer, 1_000 ether);
    }

    function registryCode(uint32 stakeThaw) internal view returns (bytes memory) {
        return creationCode("ProviderRegistry", abi.encode(openx, stakeThaw, address(this)));
    }

    function escrowCode(uint32 minThaw) internal view returns (bytes memory) {
        IPaymentEscrow.AssetSetup[] memory assets = new IPaymentEscrow.AssetSetup[](2);
        assets[0] = IPaymentEscrow.AssetSetup(address(asset), false);
        assets[1] = IPaymentEscrow.AssetSetup(address(credit), true);
        return creationCode("PaymentEscrow", abi.encode(registry, splits, address(this), guardian, minThaw, assets));
    }

    function fund(address who, uint256 amount) internal {
        fundIn(asset, who, amount);
    }

    function fundIn(PlainAsset what, address who, uint256 amount) internal {
        what.mint(address(this), amount);
        what.approve(address(escrow), amount);
        escrow.deposit(who, address(what), amount);
    }

    function makeTerms(uint96 nonce) internal view returns (IPaymentEscrow.Escrow memory) {
        return IPaymentEscrow.Escrow(payer, signer, provider, address(asset), bytes32(0), MIN_THAW, nonce);
    }

    function openEscrow(uint96 nonce, uint128 amount) internal returns (IPaymentEscrow.Escrow memory terms) {
        terms = makeTerms(nonce);
        vm.prank(payer);
        escrow.open(terms, amount);
    }

    /// @dev Opens an escrow under any terms, for a payer that this funds.
    function openUnder(IPaymentEscrow.Escrow memory terms, uint128 amount) internal {
        fundIn(PlainAsset(terms.asset), terms.payer, amount);
        vm.prank(terms.payer);
        escrow.open(terms, amount);
    }

    function makeTermsIn(PlainAsset what, bytes32 split, uint96 nonce)
        internal
        view
        returns (IPaymentEscrow.Escrow memory terms)
    {
        terms = makeTerms(nonce);
        (terms.asset, terms.split) = (address(what), split);
    }

    /// @dev Two recipients: sevenths are what never comes out even.
    function makeShares(uint32 first, uint32 second) internal pure returns (ISplitRegistry.Share[] memory shares) {
        shares = new ISplitRegistry.Share[](2);
        shares[0] = ISplitRegistry.Share(address(0xA17), first);
        shares[1] = ISplitRegistry.Share(address(0xB17), second);
    }

    /// @dev Connects one judge, which is the refunder too, under the ceilings that xnode deploys: half of a provider's stake, all of
    /// a verifier's pledge. Once.
    function connectJudge(address judge, IProviderRegistry.Hold[] memory holds) internal {
        registry.connect(makeJudges(judge, 500_000), holds, new address[](0), judge);
    }

    function makeJudges(address judge, uint32 mostPpm) internal pure returns (IProviderRegistry.Judge[] memory judges) {
        judges = new IProviderRegistry.Judge[](2);
        judges[0] = IProviderRegistry.Judge(judge, IProviderRegistry.Role.Provider, mostPpm);
        judges[1] = IProviderRegistry.Judge(judge, IProviderRegistry.Role.Verifier, 1_000_000);
    }

    /// @dev The judges of a deployment, under its ceilings.
    function makeJudges(address faults, address overCapacity, address breaches, address reveals)
        internal
        pure
        returns (IProviderRegistry.Judge[] memory judges)
    {
        judges = new IProviderRegistry.Judge[](5);
        judges[0] = IProviderRegistry.Judge(faults, IProviderRegistry.Role.Provider, 500_000);
        judges[1] = IProviderRegistry.Judge(faults, IProviderRegistry.Role.Verifier, 1_000_000);
        judges[2] = IProviderRegistry.Judge(overCapacity, IProviderRegistry.Role.Provider, 500_000);
        judges[3] = IProviderRegistry.Judge(breaches, IProviderRegistry.Role.Provider, 500_000);
        judges[4] = IProviderRegistry.Judge(reveals, IProviderRegistry.Role.Provider, 500_000);
    }

    function noHolds() internal pure returns (IProviderRegistry.Hold[] memory) {
        return new IProviderRegistry.Hold[](0);
    }

    /// @dev What keeps verifiers' pledges, alone.
    function pledgeHold(IStakeHold hold) internal pure returns (IProviderRegistry.Hold[] memory holds) {
        holds = new IProviderRegistry.Hold[](1);
        holds[0] = IProviderRegistry.Hold(hold, IProviderRegistry.Role.Verifier);
    }

    // ---- Signing

    function signAs(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function voucherDigest(IPaymentEscrow.Escrow memory terms, uint128 cumulative, bytes32 receiptsHash)
        internal
        view
        returns (bytes32)
    {
        bytes32 hash = XnodeHashes.hashVoucher(escrow.escrowId(terms), cumulative, receiptsHash);
        return MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), hash);
    }

    /// @dev The second form of the same signature: s mirrored at the order, v flipped.
    function flip(bytes memory sig) internal pure returns (bytes memory) {
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        bytes32 r;
        uint256 s;
        uint8 v;
        assembly {
            r := mload(add(sig, 0x20))
            s := mload(add(sig, 0x40))
            v := byte(0, mload(add(sig, 0x60)))
        }
        return abi.encodePacked(r, order - s, v == 27 ? uint8(28) : uint8(27));
    }

    function signVoucher(uint256 key, IPaymentEscrow.Escrow memory terms, uint128 cumulative)
        internal
        view
        returns (bytes memory)
    {
        return signAs(key, voucherDigest(terms, cumulative, RECEIPTS));
    }

    function makeOpening(IPaymentEscrow.Escrow memory terms, uint128 amount, uint256 nonce)
        internal
        view
        returns (IPaymentEscrow.Opening memory)
    {
        return IPaymentEscrow.Opening(escrow.escrowId(terms), amount, nonce, FAR);
    }

    function signOpening(uint256 key, IPaymentEscrow.Opening memory opening) internal view returns (bytes memory) {
        bytes32 hash = XnodeHashes.hashOpening(opening);
        return signAs(key, MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), hash));
    }

    function makeRelease(IPaymentEscrow.Escrow memory terms, uint128 newDeposited, uint256 nonce)
        internal
        view
        returns (IPaymentEscrow.Release memory)
    {
        return IPaymentEscrow.Release(escrow.escrowId(terms), newDeposited, nonce, FAR);
    }

    function signRelease(uint256 key, IPaymentEscrow.Release memory order) internal view returns (bytes memory) {
        bytes32 hash = XnodeHashes.hashRelease(order);
        return signAs(key, MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), hash));
    }

    function signNodeKey(uint256 key, address owner, address nodeKey, uint256 nonce, uint64 deadline)
        internal
        view
        returns (bytes memory)
    {
        bytes32 hash = XnodeHashes.hashNodeKey(owner, nodeKey, nonce, deadline);
        return signAs(key, MessageHashUtils.toTypedDataHash(registry.domainSeparator(), hash));
    }

    function registerProvider(address payout) internal {
        bytes memory proof = signNodeKey(NODE_KEY, provider, node, registry.nonces(provider), FAR);
        vm.prank(provider);
        registry.register(node, payout, FAR, proof);
    }

    // ---- Rows

    function packRow(IPaymentEscrow.Escrow memory terms, uint128 cumulative, bytes32 receiptsHash, bytes memory sig)
        internal
        pure
        returns (bytes memory)
    {
        (bytes32 r, bytes32 vs) = compact(sig);
        return abi.encodePacked(terms.payer, terms.signer, terms.nonce, cumulative, receiptsHash, r, vs);
    }

    function makeRow(uint256 key, IPaymentEscrow.Escrow memory terms, uint128 cumulative)
        internal
        view
        returns (bytes memory)
    {
        return packRow(terms, cumulative, RECEIPTS, signVoucher(key, terms, cumulative));
    }

    /// @dev ERC-2098: the parity goes into the top bit of s.
    function compact(bytes memory sig) internal pure returns (bytes32 r, bytes32 vs) {
        uint8 v;
        assembly {
            r := mload(add(sig, 0x20))
            vs := mload(add(sig, 0x40))
            v := byte(0, mload(add(sig, 0x60)))
        }
        vs = bytes32(uint256(vs) | (uint256(v - 27) << 255));
    }

    function claimRows(bytes memory rows) internal returns (uint256) {
        return escrow.claim(provider, address(asset), bytes32(0), MIN_THAW, rows);
    }

    function claimRowsOf(IPaymentEscrow.Escrow memory terms, bytes memory rows) internal returns (uint256) {
        return escrow.claim(terms.provider, terms.asset, terms.split, terms.thaw, rows);
    }

    function claimed(IPaymentEscrow.Escrow memory terms) internal view returns (uint256 amount) {
        (, amount) = escrow.funds(escrow.escrowId(terms));
    }

    function deposited(IPaymentEscrow.Escrow memory terms) internal view returns (uint256 amount) {
        (amount,) = escrow.funds(escrow.escrowId(terms));
    }
}
