// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {IEvidence} from "../interfaces/IEvidence.sol";
import {IPaymentEscrow} from "../interfaces/IPaymentEscrow.sol";
import {IProviderRegistry} from "../interfaces/IProviderRegistry.sol";
import {XnodeHashes} from "../libraries/XnodeHashes.sol";

/// @notice See {IEvidence}: who signed a document, and when it is dated.
abstract contract Evidence is IEvidence {
    uint256 internal constant NANOS = 1e9;

    IProviderRegistry public immutable registry;
    IPaymentEscrow public immutable escrow;

    constructor(IProviderRegistry registry_, IPaymentEscrow escrow_) {
        if (address(registry_) == address(0) || address(escrow_) == address(0)) revert ZeroAddress();
        registry = registry_;
        escrow = escrow_;
    }

    function _digest(bytes32 domain, bytes32 structHash) internal pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(domain, structHash);
    }

    function _signerOf(bytes32 digest, bytes calldata sig) internal pure returns (address signer) {
        // Why a signature recovers to no one does not matter: zero is no provider's key.
        // slither-disable-next-line unused-return
        (signer,,) = ECDSA.tryRecoverCalldata(digest, sig);
    }

    /// @param datedAt in seconds
    function _authorOf(address signer, uint256 datedAt) internal view returns (address provider) {
        // A few calls for each of so many documents, to our own contract.
        // slither-disable-next-line calls-loop
        provider = registry.authorOf(signer, datedAt);
        if (provider == address(0)) revert NotAProvidersKey(signer, datedAt);
    }

    function _authorOfReceipt(bytes32 domain, SignedReceipt calldata signed)
        internal
        view
        returns (address provider, bytes32 digest)
    {
        digest = _digest(domain, XnodeHashes.hashReceipt(signed.receipt));
        provider = _authorOf(_signerOf(digest, signed.sig), signed.receipt.atNs / NANOS);
    }

    /// @notice The id of a lease that both sides signed.
    function _leaseIdOf(bytes32 domain, SignedLease calldata lease) internal view returns (bytes32 leaseId) {
        LeaseTerms calldata terms = lease.terms;
        leaseId = _digest(domain, XnodeHashes.hashLeaseTerms(terms));
        _checkSignedBy(leaseId, lease.submitterSig, terms.submitter);
        _checkSignedBy(leaseId, lease.nodeSig, terms.node);
        // As in {_authorOf}.
        // slither-disable-next-line calls-loop
        address bound = registry.boundProviderOf(terms.node);
        if (bound != terms.provider || bound == address(0)) revert SignersDiffer(bound, terms.provider);
    }

    /// @dev The receipt is of this lease, and its provider's.
    function _checkOfLease(bytes32 domain, bytes32 leaseId, address provider, SignedReceipt calldata signed)
        internal
        view
        returns (bytes32 digest)
    {
        if (signed.receipt.leaseId != leaseId) revert NotTheLease(signed.receipt.leaseId, leaseId);
        address author;
        (author, digest) = _authorOfReceipt(domain, signed);
        if (author != provider) revert SignersDiffer(author, provider);
    }

    function _checkSignedBy(bytes32 digest, bytes calldata sig, address expected) private pure {
        address signer = _signerOf(digest, sig);
        if (signer == address(0) || signer != expected) revert NotSignedBy(signer, expected);
    }
}
