// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {CapacityRegistry} from "../src/capacity/CapacityRegistry.sol";
import {ChallengeRules} from "../src/capacity/ChallengeRules.sol";
import {RandaoRandomness} from "../src/capacity/RandaoRandomness.sol";
import {VerifierRegistry} from "../src/capacity/VerifierRegistry.sol";
import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IChallengeRules} from "../src/interfaces/IChallengeRules.sol";
import {IProviderRegistry} from "../src/interfaces/IProviderRegistry.sol";
import {IVerifierRegistry} from "../src/interfaces/IVerifierRegistry.sol";
import {XnodeHashes} from "../src/libraries/XnodeHashes.sol";
import {Market} from "./Market.sol";

/// @dev More of forge's cheat codes: those about blocks.
interface VmBlocks {
    function roll(uint256 number) external;
    function prevrandao(bytes32 value) external;
}

/// @notice The market with a CapacityRegistry and its verifiers, a registered provider, verifiers, and how a challenge is asked for and judged.
abstract contract Judging is Market {
    VmBlocks internal constant vmBlocks = VmBlocks(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint16 internal constant GPU = 0;
    uint16 internal constant CPU = 1;
    uint32 internal constant GPU_N = 1024;
    uint32 internal constant CPU_N = 256;
    uint32 internal constant GPU_WEIGHT = 2500;
    uint32 internal constant CPU_WEIGHT = 1000;
    uint16 internal constant DRAW_DELAY = 2;
    uint32 internal constant ANSWER_TIME = 10 minutes;
    uint32 internal constant VALIDITY = 7 days;
    uint32 internal constant PAUSE = 1 days;
    uint32 internal constant LEAVE_DELAY = 21 days;
    uint32 internal constant RECHECK = 2 days;
    uint96 internal constant FEE = 10 ether;
    uint96 internal constant DEVICE_FEE = 0.1 ether;
    /// @dev Of the 18 devices that {request} declares.
    uint256 internal constant PRICE = 11.8 ether;
    uint96 internal constant PLEDGE = 1_000 ether;
    address internal constant REVEALS = address(0x4EA1);

    RandaoRandomness internal randomness;
    VerifierRegistry internal verifiers;
    ChallengeRules internal rules;
    CapacityRegistry internal capacity;
    mapping(address verifier => uint256) private _nodeKeys;

    function setUp() public virtual override {
        super.setUp();
        vmBlocks.roll(1_000_000);
        randomness = RandaoRandomness(deploy(creationCode("RandaoRandomness", "")));
        deployCapacity(makeSettings());
        registerProvider(address(0));
        giveOpenx(provider, 1_000 ether);
        approveFees(provider);
    }

    /// @notice All three contracts anew, with nobody enlisted.
    function deployCapacity(IChallengeRules.Settings memory settings) internal {
        verifiers = VerifierRegistry(deploy(verifiersCode(makeVerifierSettings())));
        rules = ChallengeRules(deploy(rulesCode(settings)));
        capacity = CapacityRegistry(deploy(capacityCode()));
        verifiers.connect(address(capacity), REVEALS);
    }

    function verifiersCode(IVerifierRegistry.Settings memory settings) internal view returns (bytes memory) {
        return creationCode("VerifierRegistry", abi.encode(registry, address(this), settings, address(this)));
    }

    function makeVerifierSettings() internal pure returns (IVerifierRegistry.Settings memory) {
        return IVerifierRegistry.Settings({leaveDelay: LEAVE_DELAY, verifierStake: PLEDGE});
    }

    function rulesCode(IChallengeRules.Settings memory settings) internal view returns (bytes memory) {
        IChallengeRules.Class[] memory classes = new IChallengeRules.Class[](2);
        classes[0] = IChallengeRules.Class("test-gpu", ICapacityRegistry.Kind.Gpu, GPU_WEIGHT, GPU_N, 5_000);
        classes[1] = IChallengeRules.Class("cpu", ICapacityRegistry.Kind.Cpu, CPU_WEIGHT, CPU_N, 10_000);
        return creationCode("ChallengeRules", abi.encode(registry, address(this), settings, classes));
    }

    function capacityCode() internal view returns (bytes memory) {
        return creationCode("CapacityRegistry", abi.encode(registry, verifiers, rules, randomness));
    }

    function makeSettings() internal pure returns (IChallengeRules.Settings memory) {
        return IChallengeRules.Settings({
            drawDelay: DRAW_DELAY,
            panelSize: 5,
            quorum: 4,
            minPanel: 1,
            minList: 1,
            answerTime: ANSWER_TIME,
            validity: VALIDITY,
            spotCheckPause: PAUSE,
            recheckTime: RECHECK,
            fee: FEE,
            deviceFee: DEVICE_FEE
        });
    }

    // ---- Verifiers: number i has the owner key 0x10000 + i and the node key 0x20000 + i

    function ownerKeyOf(uint256 i) internal pure returns (uint256) {
        return 0x10000 + i;
    }

    function nodeKeyOf(uint256 i) internal pure returns (uint256) {
        return 0x20000 + i;
    }

    function verifierAt(uint256 i) internal pure returns (address) {
        return vm.addr(ownerKeyOf(i));
    }

    function enlistVerifiers(uint256 count) internal {
        for (uint256 i = 0; i < count; i++) {
            registerStaked(i, PLEDGE);
            vm.prank(verifierAt(i));
            verifiers.enlist();
        }
    }

    function registerStaked(uint256 i, uint256 stake) internal {
        registerAs(ownerKeyOf(i), nodeKeyOf(i));
        _nodeKeys[verifierAt(i)] = nodeKeyOf(i);
        pledgeFor(verifierAt(i), stake);
    }

    function registerAs(uint256 ownerKey, uint256 nodeKey) internal {
        address owner = vm.addr(ownerKey);
        bytes memory proof = signNodeKey(nodeKey, owner, vm.addr(nodeKey), registry.nonces(owner), FAR);
        vm.prank(owner);
        registry.register(vm.addr(nodeKey), address(0), FAR, proof);
    }

    function stakeFor(address owner, uint256 amount) internal {
        stakeInto(owner, IProviderRegistry.Role.Provider, amount);
    }

    /// @notice Into the compartment of verifiers.
    function pledgeFor(address owner, uint256 amount) internal {
        stakeInto(owner, IProviderRegistry.Role.Verifier, amount);
    }

    function stakeInto(address owner, IProviderRegistry.Role role, uint256 amount) internal {
        giveOpenx(address(this), amount);
        openx.approve(address(registry), amount);
        registry.stakeInto(owner, role, amount);
    }

    function pledgeOf(address verifier) internal view returns (uint256) {
        return registry.stakeIn(verifier, IProviderRegistry.Role.Verifier);
    }

    function makePledgePenalty(uint32 ppm) internal view returns (IProviderRegistry.Penalty memory) {
        return IProviderRegistry.Penalty({
            role: IProviderRegistry.Role.Verifier,
            fault: 1,
            ppm: ppm,
            datedAt: uint64(block.timestamp),
            faultId: keccak256("fault"),
            reporter: address(0)
        });
    }

    function giveOpenx(address to, uint256 amount) internal {
        vm.prank(treasury);
        checkTrue(openx.transfer(to, amount), "treasury pays");
    }

    function approveFees(address who) internal {
        vm.prank(who);
        openx.approve(address(capacity), type(uint256).max);
    }

    // ---- Challenges

    function makeDeclared(uint16 gpus, uint16 vcpus)
        internal
        pure
        returns (ICapacityRegistry.DeclaredClass[] memory declared)
    {
        declared = new ICapacityRegistry.DeclaredClass[](2);
        declared[0] = ICapacityRegistry.DeclaredClass(GPU, gpus);
        declared[1] = ICapacityRegistry.DeclaredClass(CPU, vcpus);
    }

    function request() internal returns (bytes32) {
        vm.prank(provider);
        return capacity.requestChallenge(makeDeclared(2, 16));
    }

    function rollToDraw(bytes32 id, bytes32 random) internal {
        vmBlocks.roll(capacity.challengeOf(id).drawBlock + 1);
        vmBlocks.prevrandao(random);
    }

    function drawn(bytes32 id) internal returns (ICapacityRegistry.Challenge memory) {
        rollToDraw(id, keccak256("random"));
        capacity.draw(id);
        return capacity.challengeOf(id);
    }

    function requestAndDraw() internal returns (bytes32 id, address[] memory panel) {
        id = request();
        panel = drawn(id).panel;
    }

    // ---- Verdicts

    /// @param roots of a ballot that passes
    struct Ballot {
        bytes32[] roots;
        address[] verifiers;
        ICapacityRegistry.Verdict[] verdicts;
        bytes[] signatures;
    }

    function makeVerdict(bytes32 id, bool passed) internal view returns (ICapacityRegistry.Verdict memory) {
        bytes32 answers = passed ? keccak256(abi.encodePacked(makeRoots(id))) : bytes32(0);
        return ICapacityRegistry.Verdict(id, answers, passed, keccak256("entropy"));
    }

    /// @notice As many as the challenge has devices.
    function makeRoots(bytes32 id) internal view returns (bytes32[] memory roots) {
        ICapacityRegistry.DeclaredClass[] memory declared = capacity.challengeOf(id).declared;
        uint256 devices = 0;
        for (uint256 i = 0; i < declared.length; i++) {
            devices += declared[i].count;
        }
        roots = new bytes32[](devices);
        for (uint256 i = 0; i < devices; i++) {
            roots[i] = keccak256(abi.encode(id, i));
        }
    }

    function verdictDigest(ICapacityRegistry.Verdict memory verdict) internal view returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(capacity.domainSeparator(), XnodeHashes.hashVerdict(verdict));
    }

    function signVerdict(uint256 key, ICapacityRegistry.Verdict memory verdict) internal view returns (bytes memory) {
        return signAs(key, verdictDigest(verdict));
    }

    function keyOf(address verifier) internal view returns (uint256 nodeKey) {
        nodeKey = _nodeKeys[verifier];
        checkTrue(nodeKey != 0, "a verifier of these tests");
    }

    /// @notice The verdicts of the first `count` members of a panel.
    function makeBallot(bytes32 id, address[] memory panel, uint256 count, bool passed)
        internal
        view
        returns (Ballot memory ballot)
    {
        if (passed) ballot.roots = makeRoots(id);
        ballot.verifiers = new address[](count);
        ballot.verdicts = new ICapacityRegistry.Verdict[](count);
        ballot.signatures = new bytes[](count);
        for (uint256 i = 0; i < count; i++) {
            ballot.verifiers[i] = panel[i];
            ballot.verdicts[i] = makeVerdict(id, passed);
            ballot.signatures[i] = signVerdict(keyOf(panel[i]), ballot.verdicts[i]);
        }
    }

    function record(bytes32 id, Ballot memory ballot) internal {
        capacity.record(id, ballot.roots, ballot.verifiers, ballot.verdicts, ballot.signatures);
    }

    function judge(bytes32 id, address[] memory panel, bool passed) internal {
        record(id, makeBallot(id, panel, capacity.quorumOf(id), passed));
    }

    /// @notice A whole challenge of 2 GPUs and 16 vCPUs.
    function challenge(bool passed) internal returns (bytes32 id) {
        address[] memory panel;
        (id, panel) = requestAndDraw();
        judge(id, panel, passed);
    }
}
