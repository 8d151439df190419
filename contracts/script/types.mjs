// Everything that is signed, as EIP-712 spells it; ethers makes digests of it.
const DECLARED = [
  'Escrow(address payer,address signer,address provider,address asset,bytes32 split,uint32 thaw,uint96 nonce)',
  'Opening(bytes32 escrowId,uint128 amount,uint256 nonce,uint64 deadline)',
  'Release(bytes32 escrowId,uint128 newDeposited,uint256 nonce,uint64 deadline)',
  'Voucher(bytes32 escrowId,uint128 cumulative,bytes32 receiptsHash)',
  'NodeKey(address provider,address nodeKey,uint256 nonce,uint64 deadline)',
  'Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)',
  'Verdict(bytes32 challengeId,bytes32 answersHash,bool passed,bytes32 openingSeed)',
  'CapacityAnswer(bytes32 challengeId,uint32 device,uint32 n,bytes32 seed,bytes32 root)',
  'Resources(uint64 vcpuMilli,uint64 memoryBytes,uint64 diskBytes,uint64 gpus,string gpuModel)',
  'Tariff(uint128 vcpuHour,uint128 memoryGibHour,uint128 diskGibHour,uint128 gpuHour,uint128 ingressGb,uint128 egressGb)',
  'Usage(uint128 vcpuNs,uint128 memoryByteNs,uint128 diskByteNs,uint128 gpuNs,uint128 ingressBytes,uint128 egressBytes)',
  'Offer(address provider,address node,uint64 number,uint64 expiresAtNs,bytes32 bodyHash)',
  'Quote(address provider,address node,uint64 number,uint64 expiresAtNs,bytes32 bodyHash)',
  'LeaseTerms(bytes32 jobHash,bytes32 quoteHash,address submitter,address provider,address node,bytes32 escrowId,uint64 leaseNumber,address asset,Resources resources,Tariff tariff,uint128 costLimit,uint128 exposureLimit,uint64 intervalNs,uint64 durationLimitNs,uint64 openUntilNs,uint32 availabilityPpm,uint32 refundPpm,uint32 exposureIntervals)',
  'Receipt(bytes32 leaseId,uint64 number,uint64 atNs,uint64 runningNs,Usage usage,uint128 cost,bool final)',
  'NodeRecord(address node,uint64 number,uint64 expiresAtNs,bytes32 bodyHash)',
];

export const FIELDS = Object.fromEntries(DECLARED.map(parse));

function parse(declared) {
  const [, name, list] = declared.match(/^(\w+)\((.*)\)$/);
  return [name, list.split(',').map(field => ({type: field.split(' ')[0], name: field.split(' ')[1]}))];
}

export function typesFor(name, into = {}) {
  into[name] = FIELDS[name];
  for (const {type} of FIELDS[name]) if (FIELDS[type] && !into[type]) typesFor(type, into);
  return into;
}
