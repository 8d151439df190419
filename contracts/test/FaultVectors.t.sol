// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IEvidence} from "../src/interfaces/IEvidence.sol";
import {IFaultProver} from "../src/interfaces/IFaultProver.sol";
import {XnodeHashes} from "../src/libraries/XnodeHashes.sol";
import {Bench} from "./Bench.sol";
import {dot} from "./Vectors.t.sol";

/// @dev One more of forge's cheat codes.
interface VmBool {
    function parseJsonBool(string calldata json, string calldata path) external pure returns (bool);
}

/// @notice The hashes of what providers and verifiers sign agree with tests/vectors/eip712.json, which ethers made.
contract FaultVectorsTest is Bench {
    using {dot} for string;

    VmBool private constant vmBool = VmBool(address(uint160(uint256(keccak256("hevm cheat code")))));
    string private json;
    mapping(bytes32 kind => uint256) private checked;

    function setUp() external {
        json = vm.readFile("../tests/vectors/eip712.json");
    }

    function test_every_struct_hash_of_evidence_is_the_one_in_the_vectors() external {
        for (uint256 i = 0; vm.keyExistsJson(json, caseAt(i)); i++) {
            string memory here = caseAt(i);
            bytes32 kind = keccak256(bytes(vm.parseJsonString(json, here.dot(".type"))));
            (bytes32 typehash, bytes32 structHash) = hashOf(kind, here.dot(".value"));
            if (typehash == 0) continue; // the escrow's, or checked off chain only
            checkEqual(typehash, vm.parseJsonBytes32(json, here.dot(".typeHash")), "typehash");
            checkEqual(structHash, vm.parseJsonBytes32(json, here.dot(".structHash")), "struct hash");
            checked[kind]++;
        }
        string[8] memory kinds =
            ["Verdict", "CapacityAnswer", "Offer", "Quote", "Receipt", "Resources", "LeaseTerms", "Usage"];
        for (uint256 i = 0; i < kinds.length; i++) {
            checkTrue(checked[keccak256(bytes(kinds[i]))] >= 2, kinds[i]);
        }
    }

    function hashOf(bytes32 kind, string memory value) private view returns (bytes32 typehash, bytes32 structHash) {
        if (kind == keccak256("Verdict")) {
            return (XnodeHashes.VERDICT_TYPEHASH, XnodeHashes.hashVerdict(readVerdict(value)));
        }
        if (kind == keccak256("CapacityAnswer")) {
            return (XnodeHashes.CAPACITY_ANSWER_TYPEHASH, XnodeHashes.hashCapacityAnswer(readAnswer(value)));
        }
        return hashOfDocument(kind, value);
    }

    function hashOfDocument(bytes32 kind, string memory value)
        private
        view
        returns (bytes32 typehash, bytes32 structHash)
    {
        if (kind == keccak256("Offer")) {
            return (XnodeHashes.OFFER_TYPEHASH, XnodeHashes.hashOffer(readNumbered(value)));
        }
        if (kind == keccak256("Quote")) {
            return (XnodeHashes.QUOTE_TYPEHASH, XnodeHashes.hashQuote(readNumbered(value)));
        }
        if (kind == keccak256("Receipt")) {
            return (XnodeHashes.RECEIPT_TYPEHASH, XnodeHashes.hashReceipt(readReceipt(value)));
        }
        if (kind == keccak256("Usage")) {
            return (XnodeHashes.USAGE_TYPEHASH, XnodeHashes.hashUsage(readUsage(value)));
        }
        if (kind == keccak256("Resources")) {
            return (XnodeHashes.RESOURCES_TYPEHASH, XnodeHashes.hashResources(readResources(value)));
        }
        if (kind == keccak256("LeaseTerms")) {
            return (XnodeHashes.LEASE_TERMS_TYPEHASH, XnodeHashes.hashLeaseTerms(readTerms(value)));
        }
    }

    function readVerdict(string memory value) private view returns (ICapacityRegistry.Verdict memory) {
        return ICapacityRegistry.Verdict({
            challengeId: word(value, ".challengeId"),
            answersHash: word(value, ".answersHash"),
            passed: vmBool.parseJsonBool(json, value.dot(".passed")),
            openingSeed: word(value, ".openingSeed")
        });
    }

    function readAnswer(string memory value) private view returns (IFaultProver.CapacityAnswer memory) {
        return IFaultProver.CapacityAnswer({
            challengeId: word(value, ".challengeId"),
            device: uint32(number(value, ".device")),
            n: uint32(number(value, ".n")),
            seed: word(value, ".seed"),
            root: word(value, ".root")
        });
    }

    function readNumbered(string memory value) private view returns (IFaultProver.Numbered memory) {
        return IFaultProver.Numbered({
            provider: person(value, ".provider"),
            node: person(value, ".node"),
            number: uint64(number(value, ".number")),
            expiresAtNs: uint64(number(value, ".expiresAtNs")),
            bodyHash: word(value, ".bodyHash")
        });
    }

    function readReceipt(string memory value) private view returns (IEvidence.Receipt memory) {
        return IEvidence.Receipt({
            leaseId: word(value, ".leaseId"),
            number: uint64(number(value, ".number")),
            atNs: uint64(number(value, ".atNs")),
            runningNs: uint64(number(value, ".runningNs")),
            usage: readUsage(value.dot(".usage")),
            cost: uint128(number(value, ".cost")),
            last: vmBool.parseJsonBool(json, value.dot(".final"))
        });
    }

    function readUsage(string memory value) private view returns (IEvidence.Usage memory) {
        return IEvidence.Usage({
            vcpuNs: uint128(number(value, ".vcpuNs")),
            memoryByteNs: uint128(number(value, ".memoryByteNs")),
            diskByteNs: uint128(number(value, ".diskByteNs")),
            gpuNs: uint128(number(value, ".gpuNs")),
            ingressBytes: uint128(number(value, ".ingressBytes")),
            egressBytes: uint128(number(value, ".egressBytes"))
        });
    }

    function readResources(string memory value) private view returns (IEvidence.Resources memory) {
        return IEvidence.Resources({
            vcpuMilli: uint64(number(value, ".vcpuMilli")),
            memoryBytes: uint64(number(value, ".memoryBytes")),
            diskBytes: uint64(number(value, ".diskBytes")),
            gpus: uint64(number(value, ".gpus")),
            gpuModel: vm.parseJsonString(json, value.dot(".gpuModel"))
        });
    }

    function readTariff(string memory value) private view returns (IEvidence.Tariff memory) {
        return IEvidence.Tariff({
            vcpuHour: uint128(number(value, ".vcpuHour")),
            memoryGibHour: uint128(number(value, ".memoryGibHour")),
            diskGibHour: uint128(number(value, ".diskGibHour")),
            gpuHour: uint128(number(value, ".gpuHour")),
            ingressGb: uint128(number(value, ".ingressGb")),
            egressGb: uint128(number(value, ".egressGb"))
        });
    }

    function readTerms(string memory value) private view returns (IEvidence.LeaseTerms memory terms) {
        terms.jobHash = word(value, ".jobHash");
        terms.quoteHash = word(value, ".quoteHash");
        terms.submitter = person(value, ".submitter");
        terms.provider = person(value, ".provider");
        terms.node = person(value, ".node");
        terms.escrowId = word(value, ".escrowId");
        terms.leaseNumber = uint64(number(value, ".leaseNumber"));
        terms.asset = person(value, ".asset");
        terms.resources = readResources(value.dot(".resources"));
        terms.tariff = readTariff(value.dot(".tariff"));
        terms.costLimit = uint128(number(value, ".costLimit"));
        terms.exposureLimit = uint128(number(value, ".exposureLimit"));
        terms.intervalNs = uint64(number(value, ".intervalNs"));
        terms.durationLimitNs = uint64(number(value, ".durationLimitNs"));
        terms.openUntilNs = uint64(number(value, ".openUntilNs"));
        terms.availabilityPpm = uint32(number(value, ".availabilityPpm"));
        terms.refundPpm = uint32(number(value, ".refundPpm"));
        terms.exposureIntervals = uint32(number(value, ".exposureIntervals"));
    }

    function word(string memory value, string memory field) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, value.dot(field));
    }

    function number(string memory value, string memory field) private view returns (uint256) {
        return vm.parseJsonUint(json, value.dot(field));
    }

    function person(string memory value, string memory field) private view returns (address) {
        return vm.parseJsonAddress(json, value.dot(field));
    }

    function caseAt(uint256 i) private pure returns (string memory) {
        return string.concat(".cases[", vm.toString(i), "]");
    }
}
