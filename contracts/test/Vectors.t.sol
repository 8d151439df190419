// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {PaymentEscrow} from "../src/money/PaymentEscrow.sol";
import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {XnodeHashes} from "../src/libraries/XnodeHashes.sol";
import {Market} from "./Market.sol";

/// @notice The contracts agree with tests/vectors/eip712.json, which ethers made.
contract VectorsTest is Market {
    using {dot} for string;

    string private json;

    function setUp() public override {
        super.setUp();
        json = vm.readFile("../tests/vectors/eip712.json");
        vm.chainId(vm.parseJsonUint(json, ".domain.chainId"));
        // The code at the address the vectors were made for; it makes its domain from where it is.
        address there = vm.parseJsonAddress(json, ".domain.verifyingContract");
        vm.etch(there, address(escrow).code);
        escrow = PaymentEscrow(there);
    }

    function test_domain_separator_is_the_one_in_the_vectors() external view {
        checkEqual(escrow.domainSeparator(), vm.parseJsonBytes32(json, ".domain.separator"), "separator");
    }

    function test_every_struct_hash_and_digest_is_the_one_in_the_vectors() external view {
        uint256 checked;
        for (uint256 i = 0; vm.keyExistsJson(json, caseAt(i)); i++) {
            string memory here = caseAt(i);
            (bool known, bytes32 typehash, bytes32 structHash) = hashOf(here);
            if (!known) continue; // checked off chain only
            checkEqual(typehash, vm.parseJsonBytes32(json, here.dot(".typeHash")), "typehash");
            checkEqual(structHash, vm.parseJsonBytes32(json, here.dot(".structHash")), "struct hash");
            bytes32 digest = MessageHashUtils.toTypedDataHash(escrow.domainSeparator(), structHash);
            checkEqual(digest, vm.parseJsonBytes32(json, here.dot(".digest")), "digest");
            checkEqual(recovered(here, digest), signerOf(here), "signer");
            checked++;
        }
        checkTrue(checked >= 12, "at least a dozen cases are about the contracts' types");
    }

    function test_escrow_id_is_the_escrow_digest_in_the_vectors() external view {
        for (uint256 i = 0; isType(caseAt(i), "Escrow"); i++) {
            bytes32 id = escrow.escrowId(readEscrow(caseAt(i).dot(".value")));
            checkEqual(id, vm.parseJsonBytes32(json, caseAt(i).dot(".digest")), "escrow id");
        }
    }

    function hashOf(string memory here) private view returns (bool known, bytes32 typehash, bytes32 structHash) {
        string memory value = here.dot(".value");
        if (isType(here, "Escrow")) {
            return (true, XnodeHashes.ESCROW_TYPEHASH, XnodeHashes.hashEscrow(readEscrow(value)));
        }
        if (isType(here, "Opening")) {
            return (true, XnodeHashes.OPENING_TYPEHASH, XnodeHashes.hashOpening(readOpening(value)));
        }
        if (isType(here, "Release")) {
            return (true, XnodeHashes.RELEASE_TYPEHASH, XnodeHashes.hashRelease(readRelease(value)));
        }
        if (isType(here, "Voucher")) return (true, XnodeHashes.VOUCHER_TYPEHASH, hashVoucherAt(value));
        if (isType(here, "NodeKey")) return (true, XnodeHashes.NODE_KEY_TYPEHASH, hashNodeKeyAt(value));
    }

    function readEscrow(string memory value) private view returns (IPaymentEscrow.Escrow memory) {
        return IPaymentEscrow.Escrow({
            payer: vm.parseJsonAddress(json, value.dot(".payer")),
            signer: vm.parseJsonAddress(json, value.dot(".signer")),
            provider: vm.parseJsonAddress(json, value.dot(".provider")),
            asset: vm.parseJsonAddress(json, value.dot(".asset")),
            split: vm.parseJsonBytes32(json, value.dot(".split")),
            thaw: uint32(vm.parseJsonUint(json, value.dot(".thaw"))),
            nonce: uint96(vm.parseJsonUint(json, value.dot(".nonce")))
        });
    }

    function readRelease(string memory value) private view returns (IPaymentEscrow.Release memory) {
        return IPaymentEscrow.Release({
            escrowId: vm.parseJsonBytes32(json, value.dot(".escrowId")),
            newDeposited: uint128(vm.parseJsonUint(json, value.dot(".newDeposited"))),
            nonce: vm.parseJsonUint(json, value.dot(".nonce")),
            deadline: uint64(vm.parseJsonUint(json, value.dot(".deadline")))
        });
    }

    function readOpening(string memory value) private view returns (IPaymentEscrow.Opening memory) {
        return IPaymentEscrow.Opening({
            escrowId: vm.parseJsonBytes32(json, value.dot(".escrowId")),
            amount: uint128(vm.parseJsonUint(json, value.dot(".amount"))),
            nonce: vm.parseJsonUint(json, value.dot(".nonce")),
            deadline: uint64(vm.parseJsonUint(json, value.dot(".deadline")))
        });
    }

    function hashVoucherAt(string memory value) private view returns (bytes32) {
        return XnodeHashes.hashVoucher(
            vm.parseJsonBytes32(json, value.dot(".escrowId")),
            uint128(vm.parseJsonUint(json, value.dot(".cumulative"))),
            vm.parseJsonBytes32(json, value.dot(".receiptsHash"))
        );
    }

    function hashNodeKeyAt(string memory value) private view returns (bytes32) {
        return XnodeHashes.hashNodeKey(
            vm.parseJsonAddress(json, value.dot(".provider")),
            vm.parseJsonAddress(json, value.dot(".nodeKey")),
            vm.parseJsonUint(json, value.dot(".nonce")),
            uint64(vm.parseJsonUint(json, value.dot(".deadline")))
        );
    }

    function recovered(string memory here, bytes32 digest) private view returns (address) {
        return ECDSA.recover(digest, vm.parseJsonBytes(json, here.dot(".signature")));
    }

    function signerOf(string memory here) private view returns (address) {
        string memory name = vm.parseJsonString(json, here.dot(".signedBy"));
        return vm.parseJsonAddress(json, string.concat(".keys.", name, ".address"));
    }

    function isType(string memory here, string memory name) private view returns (bool) {
        return keccak256(bytes(vm.parseJsonString(json, here.dot(".type")))) == keccak256(bytes(name));
    }

    function caseAt(uint256 i) private pure returns (string memory) {
        return string.concat(".cases[", vm.toString(i), "]");
    }
}

function dot(string memory path, string memory field) pure returns (string memory) {
    return string.concat(path, field);
}
