// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {AnswerReveals} from "../src/capacity/AnswerReveals.sol";
import {IAnswerReveals} from "../src/interfaces/IAnswerReveals.sol";
import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IFaultProver} from "../src/interfaces/IFaultProver.sol";
import {IProviderRegistry} from "../src/interfaces/IProviderRegistry.sol";
import {MatrixProduct} from "../src/faults/MatrixProduct.sol";
import {Market} from "./Market.sol";

/// @notice Verdicts as a test gives them: the views that reveals read, without challenges and verifiers.
contract GivenVerdicts {
    uint256 public constant DEVICES = 12;
    uint32 public constant N = 256;

    address public provider;
    uint64 public deadline;
    ICapacityRegistry.Stage public stage;
    mapping(bytes32 challengeId => uint256) public doubts;
    bool public isStanding = true;
    uint96 public fee = 5 ether;
    bytes32 private _answersHash;

    function give(address provider_, ICapacityRegistry.Stage stage_, bytes32 answersHash) external {
        (provider, stage, _answersHash) = (provider_, stage_, answersHash);
        deadline = uint64(block.timestamp + 600);
    }

    function setFee(uint96 fee_) external {
        fee = fee_;
    }

    function answersHashOf(bytes32) external view returns (bytes32) {
        return _answersHash;
    }

    function challengeOf(bytes32) external view returns (ICapacityRegistry.Challenge memory challenge) {
        (challenge.provider, challenge.stage, challenge.deadline) = (provider, stage, deadline);
    }

    function deviceOf(bytes32 id, uint32 device) external view returns (address, bytes32, uint32) {
        if (device >= DEVICES) return (address(0), 0, 0);
        return (provider, keccak256(abi.encode(id, device)), N);
    }

    /// @dev It is its own rules, as far as reveals ask for them.
    function rules() external view returns (GivenVerdicts) {
        return this;
    }

    function requestPrice(uint256 devices) external view returns (uint256) {
        return fee + devices;
    }

    function setStanding(bool isStanding_) external {
        isStanding = isStanding_;
    }

    function putInDoubt(bytes32 challengeId) external returns (bool) {
        if (isStanding) doubts[challengeId]++;
        return isStanding;
    }
}

/// @notice A provider with stake, a recorded answer of 12 devices, and demands for its leaves.
abstract contract Revealing is Market {
    uint256 internal constant STAKED = 10_000 ether;
    uint32 internal constant N = 256;
    bytes32 internal constant CHALLENGE = keccak256("challenge");

    GivenVerdicts internal verdicts = new GivenVerdicts();
    AnswerReveals internal reveals;
    address internal asker = address(0xA5);
    bytes32[] internal roots;
    IAnswerReveals.Place[] internal places;
    IAnswerReveals.Leaf[] internal leaves;
    IFaultProver.ElementProof[] internal proofs;

    function setUp() public virtual override {
        super.setUp();
        registerProvider(address(0));
        reveals = AnswerReveals(deploy(creationCode("AnswerReveals", abi.encode(registry, verdicts))));
        IProviderRegistry.Judge[] memory judges = new IProviderRegistry.Judge[](1);
        judges[0] = IProviderRegistry.Judge(address(reveals), IProviderRegistry.Role.Provider, 500_000);
        registry.connect(judges, new IProviderRegistry.Hold[](0), new address[](0), address(reveals));
        giveOpenx(address(this), STAKED);
        openx.approve(address(registry), STAKED);
        registry.stakeFor(provider, STAKED);
        giveOpenx(asker, 100 ether);
        vm.prank(asker);
        openx.approve(address(reveals), type(uint256).max);
        for (uint256 i = 0; i < verdicts.DEVICES(); i++) {
            roots.push(keccak256(abi.encode("root", i)));
        }
        verdicts.give(provider, ICapacityRegistry.Stage.Passed, bytes32(0));
    }

    function giveOpenx(address to, uint256 amount) internal {
        vm.prank(treasury);
        checkTrue(openx.transfer(to, amount), "treasury pays");
    }

    /// @notice Puts a leaf into a device's answer, whose element at `column` is off by this, and asks for it.
    function setLeaf(uint32 device, uint64 index, uint8 column, int256 off) internal {
        (, bytes32 seed,) = verdicts.deviceOf(CHALLENGE, device);
        bytes memory values = new bytes(1024);
        int256 value = MatrixProduct.element(seed, N, index, column) + off;
        for (uint256 k = 0; k < 4; k++) {
            values[4 * uint256(column) + k] = bytes4(uint32(int32(value)))[k];
        }
        IFaultProver.ElementProof storage proof = proofs.push();
        (proof.index, proof.column, proof.values) = (index, column, values);
        bytes32 hash = keccak256(bytes.concat(hex"00", bytes8(index), values));
        for (uint256 k = 0; k < 8; k++) {
            bytes32 beside = keccak256(abi.encode("sibling", device, k));
            proof.path.push(beside);
            bool isRight = index >> k & 1 == 1;
            hash = keccak256(isRight ? bytes.concat(hex"01", beside, hash) : bytes.concat(hex"01", hash, beside));
        }
        roots[device] = hash;
        places.push(IAnswerReveals.Place(device, index));
        leaves.push(IAnswerReveals.Leaf(device, index, N, seed, hash));
        verdicts.give(provider, ICapacityRegistry.Stage.Passed, keccak256(abi.encodePacked(roots)));
    }

    function demand() internal returns (uint256) {
        vm.prank(asker);
        return reveals.demand(CHALLENGE, roots, places);
    }

    function reveal(uint256 demandId) internal {
        vm.prank(node);
        reveals.reveal(demandId, leaves, proofs);
    }

    function demandRefused(bytes memory reason) internal {
        vm.expectRevert(reason);
        vm.prank(asker);
        reveals.demand(CHALLENGE, roots, places);
    }

    function revealRefused(address who, uint256 demandId, bytes memory reason) internal {
        vm.expectRevert(reason);
        vm.prank(who);
        reveals.reveal(demandId, leaves, proofs);
    }

    function proofRefused(uint256 demandId, bytes memory reason) internal {
        vm.expectRevert(reason);
        reveals.proveRevealed(demandId, leaves, 0, proofs[0]);
    }

    function stageOf(uint256 demandId) internal view returns (uint256) {
        return uint256(reveals.demandOf(demandId).stage);
    }
}
