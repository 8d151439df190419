// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {FaultProver} from "../src/faults/FaultProver.sol";
import {IFaultProver} from "../src/interfaces/IFaultProver.sol";
import {XnodeHashes} from "../src/libraries/XnodeHashes.sol";
import {Judging} from "./Judging.sol";

/// @notice All contracts connected, a provider with stake, a reporter, and how evidence is made.
abstract contract Accusing is Judging {
    uint256 internal constant STAKED = 10_000 ether;
    uint256 internal constant OTHER_KEY = 0x07E4;
    bytes32 internal constant LEASE = keccak256("lease");
    bytes32 internal constant SALT = keccak256("salt");
    uint256 internal constant NANOS = 1e9;

    address internal reporter = address(0x4E9);
    FaultProver internal prover;

    function setUp() public virtual override {
        super.setUp();
        bytes memory args = abi.encode(registry, capacity, escrow);
        prover = FaultProver(deploy(creationCode("FaultProver", args)));
        connectJudge(address(prover), pledgeHold(verifiers));
        stakeFor(provider, STAKED);
        enlistVerifiers(5);
    }

    // ---- Reporting

    function faultId(IFaultProver.Fault fault, address who, bytes32 subject) internal pure returns (bytes32) {
        return keccak256(abi.encode(fault, who, subject));
    }

    function commitAs(address who, bytes32 id) internal {
        bytes32 commitment = keccak256(abi.encode(who, id, SALT));
        vm.prank(who);
        prover.commit(commitment);
    }

    /// @notice The reporter has committed to this fault, long enough ago.
    function ready(IFaultProver.Fault fault, address who, bytes32 subject) internal returns (bytes32 id) {
        id = faultId(fault, who, subject);
        commitAs(reporter, id);
        vm.warp(block.timestamp + prover.COMMIT_DELAY());
    }

    /// @notice The stake fell by ppm of what it was, of which the reporter got a tenth and the rest was burned.
    function checkSlashed(address who, uint256 before, uint32 ppm, uint256 supplyBefore) internal view {
        uint256 slashed = before * ppm / 1_000_000;
        checkEqual(registry.stakeOf(who), before - slashed, "stake left");
        checkEqual(openx.balanceOf(reporter), slashed / 10, "reward");
        checkEqual(supplyBefore - openx.totalSupply(), slashed - slashed / 10, "burned");
    }

    // ---- Evidence

    function makeReceipt(bytes32 leaseId, uint64 number) internal view returns (IFaultProver.Receipt memory receipt) {
        receipt.leaseId = leaseId;
        receipt.number = number;
        receipt.atNs = uint64(block.timestamp * NANOS);
        receipt.runningNs = uint64(number * 60 * NANOS);
        receipt.cost = uint128(number * 1 ether);
    }

    function receiptDigest(IFaultProver.Receipt memory receipt) internal view returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), XnodeHashes.hashReceipt(receipt));
    }

    function signReceipt(uint256 key, IFaultProver.Receipt memory receipt) internal view returns (bytes memory) {
        return signAs(key, receiptDigest(receipt));
    }

    function receiptSubject(bytes32 leaseId, uint64 number) internal pure returns (bytes32) {
        return keccak256(abi.encode(leaseId, number));
    }

    function makeNumbered(uint64 number, bytes32 bodyHash) internal view returns (IFaultProver.Numbered memory) {
        return IFaultProver.Numbered(provider, node, number, uint64(block.timestamp * NANOS), bodyHash);
    }

    function signOffer(uint256 key, IFaultProver.Numbered memory offer) internal view returns (bytes memory) {
        return signAs(key, MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), XnodeHashes.hashOffer(offer)));
    }

    function signQuote(uint256 key, IFaultProver.Numbered memory quote) internal view returns (bytes memory) {
        return signAs(key, MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), XnodeHashes.hashQuote(quote)));
    }
}
