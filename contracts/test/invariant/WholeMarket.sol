// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ComputeCredit} from "../../src/money/ComputeCredit.sol";
import {BreachProver} from "../../src/faults/BreachProver.sol";
import {FaultProver} from "../../src/faults/FaultProver.sol";
import {OverCapacity} from "../../src/faults/OverCapacity.sol";
import {ICapacityRegistry} from "../../src/interfaces/ICapacityRegistry.sol";
import {IPaymentEscrow} from "../../src/interfaces/IPaymentEscrow.sol";
import {IProviderRegistry} from "../../src/interfaces/IProviderRegistry.sol";
import {ISplitRegistry} from "../../src/interfaces/ISplitRegistry.sol";
import {PlainAsset} from "../Assets.sol";
import {Judging} from "../Judging.sol";

/// @notice All contracts as they are deployed, connected with each other and nothing in place of any; two payers, two signers, two
/// providers, five verifiers, and an ordinary asset.
abstract contract WholeMarket is Judging {
    uint256 internal constant PARTIES = 2;
    uint256 internal constant ASSETS = 5;
    uint256 internal constant OF_OPENX = 4;
    uint256 internal constant VERIFIERS = 5;
    uint256 internal constant COLLATERAL_RATIO = 2 ether;
    uint32 internal constant WINDOW = 100;
    address internal constant REPORTER = address(0x4E9);
    address internal constant OUT = address(0xC01D);
    address internal constant FEE_RECIPIENT = address(0xFEE5);

    ComputeCredit internal tgpu;
    ComputeCredit internal tcpu;
    FaultProver internal prover;
    OverCapacity internal overCapacity;
    BreachProver internal breaches;
    bytes32 internal split;
    /// @dev Kept, since each takes longer to derive from its key than an act takes.
    address[] private _payers;
    address[] private _signers;
    address[] private _providers;
    address[] private _judges;

    function setUp() public virtual override {
        super.setUp();
        keepAddresses();
        tgpu = ComputeCredit(deploy(creditCode("tGPU", ICapacityRegistry.Kind.Gpu)));
        tcpu = ComputeCredit(deploy(creditCode("tCPU", ICapacityRegistry.Kind.Cpu)));
        escrow.addAsset(address(tgpu), true);
        escrow.addAsset(address(tcpu), true);
        escrow.addAsset(address(openx), false);
        escrow.setFeeRecipient(FEE_RECIPIENT);
        prover = FaultProver(deploy(creationCode("FaultProver", abi.encode(registry, capacity, escrow))));
        overCapacity = OverCapacity(deploy(creationCode("OverCapacity", abi.encode(registry, capacity, escrow))));
        breaches = BreachProver(deploy(creationCode("BreachProver", abi.encode(registry, escrow))));
        IProviderRegistry.Hold[] memory holds = new IProviderRegistry.Hold[](3);
        holds[0] = IProviderRegistry.Hold(tgpu, IProviderRegistry.Role.Provider);
        holds[1] = IProviderRegistry.Hold(tcpu, IProviderRegistry.Role.Provider);
        holds[2] = pledgeHold(verifiers)[0];
        registry.connect(
            makeJudges(address(prover), address(overCapacity), address(breaches), REVEALS),
            holds,
            new address[](0),
            address(breaches)
        );
        split = splits.create(shares());
        enlistVerifiers(VERIFIERS);
        registerAs(providerKeyAt(1), nodeKeyAt(1));
        approveFees(providerAt(1));
        for (uint256 i = 0; i < PARTIES; i++) {
            stakeFor(providerAt(i), 5_000 ether);
        }
    }

    function keepAddresses() private {
        for (uint256 i = 0; i < PARTIES; i++) {
            _payers.push(vm.addr(0xA000 + i));
            _signers.push(vm.addr(signerKeyAt(i)));
            _providers.push(vm.addr(providerKeyAt(i)));
        }
        for (uint256 i = 0; i < VERIFIERS; i++) {
            _judges.push(verifierAt(i));
        }
    }

    function creditCode(string memory symbol, ICapacityRegistry.Kind kind) private view returns (bytes memory) {
        bytes memory args =
            abi.encode(symbol, symbol, kind, registry, capacity, address(this), COLLATERAL_RATIO, WINDOW);
        return creationCode("ComputeCredit", args);
    }

    function shares() internal pure returns (ISplitRegistry.Share[] memory made) {
        made = new ISplitRegistry.Share[](2);
        made[0] = ISplitRegistry.Share(address(0xA17), 100_001);
        made[1] = ISplitRegistry.Share(address(0xB17), 33_333);
    }

    // ---- Who is who

    function payerAt(uint256 which) internal view returns (address) {
        return _payers[which % PARTIES];
    }

    function signerKeyAt(uint256 which) internal pure returns (uint256) {
        return 0xB000 + which % PARTIES;
    }

    function signerAt(uint256 which) internal view returns (address) {
        return _signers[which % PARTIES];
    }

    function providerAt(uint256 which) internal view returns (address) {
        return _providers[which % PARTIES];
    }

    function judgeAt(uint256 which) internal view returns (address) {
        return _judges[which % VERIFIERS];
    }

    function providerKeyAt(uint256 which) internal pure returns (uint256) {
        return which % PARTIES == 0 ? PROVIDER_KEY : 0xC001;
    }

    function nodeKeyAt(uint256 which) internal pure returns (uint256) {
        return which % PARTIES == 0 ? NODE_KEY : 0xD001;
    }

    function creditAt(uint256 which) internal view returns (ComputeCredit) {
        return which % 2 == 0 ? tgpu : tcpu;
    }

    /// @dev Two fifths of all money are the ordinary asset, one is OPENX.
    function assetAt(uint256 which) internal view returns (PlainAsset) {
        which = which % ASSETS;
        if (which == OF_OPENX) return PlainAsset(address(openx));
        return which < 2 ? asset : PlainAsset(address(creditAt(which)));
    }

    /// @dev 64 escrows: two payers, signers and providers, four assets, with and without the split.
    function choose(uint256 which) internal view returns (IPaymentEscrow.Escrow memory terms) {
        terms = makeTerms(0);
        terms.payer = payerAt(which);
        terms.signer = signerAt(which >> 8);
        terms.provider = providerAt(which >> 16);
        terms.asset = address(assetAt(which >> 24));
        if ((which >> 32) % 2 == 1) terms.split = split;
    }

    // ---- Sums over everyone

    /// @notice What the escrow owes of an asset, counted from its parts.
    /// @param reserved in escrows
    function partsOf(address what, uint256 reserved) internal view returns (uint256 sum) {
        sum = reserved + escrow.free(payer, what) + escrow.owedToSplit(split, what) + escrow.assetOf(what).fees;
        for (uint256 i = 0; i < PARTIES; i++) {
            sum += escrow.free(payerAt(i), what) + escrow.owed(providerAt(i), what);
        }
    }

    /// @notice An asset's balances of all who can have any.
    function balancesOf(PlainAsset what) internal view returns (uint256 sum) {
        address[6] memory others =
            [address(escrow), address(splits), OUT, FEE_RECIPIENT, address(0xA17), address(0xB17)];
        for (uint256 i = 0; i < others.length; i++) {
            sum += what.balanceOf(others[i]);
        }
        for (uint256 i = 0; i < PARTIES; i++) {
            sum += what.balanceOf(payerAt(i)) + what.balanceOf(providerAt(i));
        }
    }

    /// @notice What lies in the registry, counted from its parts. No verifier's pledge thaws here.
    function stakes() internal view returns (uint256 sum) {
        for (uint256 i = 0; i < PARTIES; i++) {
            sum += registry.backingOf(providerAt(i));
        }
        for (uint256 i = 0; i < VERIFIERS; i++) {
            sum += pledgeOf(judgeAt(i));
        }
    }

    /// @notice OPENX outside of the registry.
    function loose() internal view returns (uint256 sum) {
        sum = openx.balanceOf(treasury) + openx.balanceOf(REPORTER) + openx.balanceOf(address(verifiers))
            + openx.balanceOf(address(this)) + balancesOf(PlainAsset(address(openx)));
        for (uint256 i = 0; i < VERIFIERS; i++) {
            sum += openx.balanceOf(judgeAt(i));
        }
    }
}
