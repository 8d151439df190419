// Writes tests/vectors/eip712.json: digests and signatures made by ethers, a third implementation beside the daemon's and the
// contracts' own. Numbers are decimal strings, bytes are 0x hex.
import {writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {AbiCoder, TypedDataEncoder, Wallet, id, keccak256} from 'ethers';
import {FIELDS, typesFor} from './types.mjs';

const FILE = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'tests', 'vectors', 'eip712.json');
const DOMAIN = {name: 'xnode', version: '1', chainId: 31337, verifyingContract: '0x5FbDB2315678afecb367f032d93F642f64180aa3'};

const key = name => new Wallet(id(`xnode test key: ${name}`));
const keys = {payer: key('payer'), signer: key('signer'), provider: key('provider'), node: key('node')};
const {payer, signer, provider, node} = Object.fromEntries(Object.entries(keys).map(([name, wallet]) => [name, wallet.address]));

const max = bits => (2n ** BigInt(bits) - 1n).toString();
const ZERO32 = '0x' + '00'.repeat(32);
const ONES32 = '0x' + 'ff'.repeat(32);
const ZERO20 = '0x' + '00'.repeat(20);
const ASSET = '0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512';
const digestOf = (name, value) => TypedDataEncoder.hash(DOMAIN, typesFor(name), value);

const escrow = {payer, signer, provider, asset: ASSET, split: ZERO32, thaw: '86400', nonce: '0'};
const escrowId = digestOf('Escrow', escrow);
const resources = {vcpuMilli: '16000', memoryBytes: '68719476736', diskBytes: '214748364800', gpus: '1', gpuModel: 'NVIDIA H100 80GB'};
const noResources = {vcpuMilli: '0', memoryBytes: '0', diskBytes: '0', gpus: '0', gpuModel: ''};
const tariff = {vcpuHour: '20000000000000000', memoryGibHour: '3000000000000000', diskGibHour: '100000000000000', gpuHour: '2100000000000000000', ingressGb: '0', egressGb: '10000000000000000'};
const hugeTariff = Object.fromEntries(FIELDS.Tariff.map(({name}) => [name, max(128)]));
const usage = {vcpuNs: '57600000000000', memoryByteNs: '247390116249600000000000', diskByteNs: '773094113280000000000000', gpuNs: '3600000000000', ingressBytes: '1048576', egressBytes: '4294967296'};
const hugeUsage = Object.fromEntries(FIELDS.Usage.map(({name}) => [name, max(128)]));
const noUsage = Object.fromEntries(FIELDS.Usage.map(({name}) => [name, '0']));
const lease = {jobHash: id('job'), quoteHash: id('quote'), submitter: payer, provider, node, escrowId, leaseNumber: '7', asset: ASSET, resources, tariff, costLimit: '50000000000000000000', exposureLimit: '100000000000000000', intervalNs: '60000000000', durationLimitNs: '86400000000000', openUntilNs: '1800000000000000000', availabilityPpm: '0', refundPpm: '0', exposureIntervals: '2'};
const announced = {provider, node, number: '42', expiresAtNs: '1800000000000000000', bodyHash: id('body')};

const CASES = [
  ['Escrow', 'payer', 'ordinary', escrow],
  ['Escrow', 'payer', 'the payer signs vouchers itself', {...escrow, signer: payer, nonce: '1', thaw: '3600'}],
  ['Escrow', 'payer', 'every number at its largest', {...escrow, split: ONES32, thaw: max(32), nonce: max(96)}],
  ['Escrow', 'payer', 'all zero', {payer: ZERO20, signer: ZERO20, provider: ZERO20, asset: ZERO20, split: ZERO32, thaw: '0', nonce: '0'}],
  ['Opening', 'payer', 'by the payer', {escrowId, amount: '100000000000000000000', nonce: '0', deadline: '4102444800'}],
  ['Opening', 'signer', 'by the hot signer', {escrowId, amount: '5000000000000000000', nonce: '257', deadline: '4102444800'}],
  ['Opening', 'payer', 'every number at its largest', {escrowId: ONES32, amount: max(128), nonce: max(256), deadline: max(64)}],
  ['Release', 'provider', 'by the provider', {escrowId, newDeposited: '20000000000000000000', nonce: '0', deadline: '4102444800'}],
  ['Release', 'node', 'by its node, all of the rest', {escrowId, newDeposited: '0', nonce: '1', deadline: '4102444800'}],
  ['Release', 'provider', 'every number at its largest', {escrowId: ONES32, newDeposited: max(128), nonce: max(256), deadline: max(64)}],
  ['Voucher', 'signer', 'the first', {escrowId, cumulative: '1000000000000000000', receiptsHash: id('receipts 1')}],
  ['Voucher', 'signer', 'a later one', {escrowId, cumulative: '18446744073709551616', receiptsHash: id('receipts 2')}],
  ['Voucher', 'signer', 'every number at its largest', {escrowId: ONES32, cumulative: max(128), receiptsHash: ONES32}],
  ['Voucher', 'signer', 'all zero', {escrowId: ZERO32, cumulative: '0', receiptsHash: ZERO32}],
  ['NodeKey', 'node', 'the first', {provider, nodeKey: node, nonce: '0', deadline: '4102444800'}],
  ['NodeKey', 'node', 'after a rotation', {provider, nodeKey: node, nonce: '2', deadline: '4102444800'}],
  ['NodeKey', 'node', 'every number at its largest', {provider, nodeKey: node, nonce: max(256), deadline: max(64)}],
  // A token checks permits in its own domain; the struct hash is the same, the digest here is in this file's.
  ['Permit', 'payer', 'for the escrow', {owner: payer, spender: DOMAIN.verifyingContract, value: '5000000000000000000', nonce: '0', deadline: '4102444800'}],
  ['Permit', 'payer', 'every number at its largest', {owner: payer, spender: DOMAIN.verifyingContract, value: max(256), nonce: max(256), deadline: max(256)}],
  // A verifier's node and a provider's node sign these in CapacityRegistry's domain; the struct hash is the same.
  ['Verdict', 'node', 'passed', {challengeId: id('challenge'), answersHash: id('answers'), passed: true, openingSeed: id('entropy')}],
  ['Verdict', 'node', 'not passed, without answers', {challengeId: id('challenge'), answersHash: ZERO32, passed: false, openingSeed: ZERO32}],
  ['CapacityAnswer', 'node', 'the first device', {challengeId: id('challenge'), device: '0', n: '4096', seed: id('seed'), root: id('root')}],
  ['CapacityAnswer', 'node', 'every number at its largest', {challengeId: ONES32, device: max(32), n: max(32), seed: ONES32, root: ONES32}],
  ['Resources', 'payer', 'a GPU host', resources],
  ['Resources', 'payer', 'nothing', noResources],
  ['Resources', 'payer', 'a name outside ASCII', {...resources, gpuModel: 'Größe 一'}],
  ['Tariff', 'provider', 'ordinary', tariff],
  ['Tariff', 'provider', 'every number at its largest', hugeTariff],
  ['Usage', 'node', 'one hour', usage],
  ['Usage', 'node', 'nothing', noUsage],
  ['Usage', 'node', 'every number at its largest', hugeUsage],
  ['Offer', 'node', 'ordinary', announced],
  ['Offer', 'node', 'every number at its largest', {...announced, number: max(64), expiresAtNs: max(64), bodyHash: ONES32}],
  ['Quote', 'node', 'the same fields as an offer, another digest', announced],
  ['Quote', 'node', 'every number at its largest', {...announced, number: max(64), expiresAtNs: max(64), bodyHash: ONES32}],
  ['LeaseTerms', 'signer', 'ordinary', lease],
  ['LeaseTerms', 'node', 'the same, countersigned', lease],
  ['LeaseTerms', 'signer', 'with a promise of 99 % or a tenth back', {...lease, availabilityPpm: '990000', refundPpm: '100000'}],
  ['LeaseTerms', 'signer', 'no resources, the largest tariff', {...lease, resources: noResources, tariff: hugeTariff, costLimit: max(128), exposureLimit: '0', leaseNumber: max(64), availabilityPpm: max(32), refundPpm: max(32), exposureIntervals: max(32)}],
  ['Receipt', 'node', 'ordinary', {leaseId: digestOf('LeaseTerms', lease), number: '1', atNs: '1800000000000000000', runningNs: '3600000000000', usage, cost: '2300000000000000000', final: false}],
  ['Receipt', 'node', 'the last', {leaseId: digestOf('LeaseTerms', lease), number: '2', atNs: '1800000060000000000', runningNs: '3660000000000', usage, cost: '2338333333333333333', final: true}],
  ['Receipt', 'node', 'nothing used', {leaseId: ZERO32, number: '0', atNs: '0', runningNs: '0', usage: noUsage, cost: '0', final: false}],
  ['Receipt', 'node', 'every number at its largest', {leaseId: ONES32, number: max(64), atNs: max(64), runningNs: max(64), usage: hugeUsage, cost: max(128), final: true}],
  ['NodeRecord', 'node', 'ordinary', {node, number: '3', expiresAtNs: '1800000000000000000', bodyHash: id('record')}],
];

async function makeCase([type, signedBy, note, value]) {
  const types = typesFor(type);
  const encoder = TypedDataEncoder.from(types);
  const typeString = encoder.encodeType(type);
  return {
    type,
    note,
    typeString,
    typeHash: id(typeString),
    value,
    structHash: encoder.hashStruct(type, value),
    digest: digestOf(type, value),
    signedBy,
    signature: await keys[signedBy].signTypedData(DOMAIN, types, value),
  };
}

// The ids of evidence, as ICommitments has them: of two papers, their digests in order; of an element, the paper's digest and the element's;
// of a case, the verdict's place in the history and the chain over its pairs.
const abi = AbiCoder.defaultAbiCoder();
const hash = (types, values) => keccak256(abi.encode(types, values));
const two = (type, one, another) => [digestOf(type, one), digestOf(type, another)].sort();
const receipt = {leaseId: digestOf('LeaseTerms', lease), number: '1', atNs: '1800000000000000000', runningNs: '3600000000000', usage, cost: '2300000000000000000', final: false};
const verdict = {challengeId: id('challenge'), answersHash: id('answers'), passed: true, openingSeed: id('entropy')};
const answer = {challengeId: id('challenge'), device: '0', n: '4096', seed: id('seed'), root: id('root')};
const element = {index: '7', column: '201', values: '0x' + '01'.repeat(1024)};
const elementDigest = ({index, column, values}) => hash(['uint64', 'uint8', 'bytes32'], [index, column, keccak256(values)]);
const pairs = [[receipt, {...receipt, number: '2'}], [{...receipt, leaseId: ONES32}, {...receipt, leaseId: ONES32, number: '9'}]];
const chain = pairs.reduce((before, [older, newer]) => hash(['bytes32', 'bytes32', 'bytes32', 'bytes32'], [before, older.leaseId, digestOf('Receipt', older), digestOf('Receipt', newer)]), ZERO32);
const FAULTS = [
  ['receipts', 1, {a: receipt, b: {...receipt, cost: '1'}}, ({a, b}) => two('Receipt', a, b)],
  ['offers', 1, {a: announced, b: {...announced, bodyHash: id('another')}}, ({a, b}) => two('Offer', a, b)],
  ['quotes', 1, {a: announced, b: {...announced, bodyHash: id('another')}}, ({a, b}) => two('Quote', a, b)],
  ['verdicts', 1, {a: verdict, b: {...verdict, passed: false}}, ({a, b}) => two('Verdict', a, b)],
  ['overCapacity', 2, {historyIndex: '3', pairs}, ({historyIndex}) => [abi.encode(['uint256'], [historyIndex]), chain]],
  ['wrongElement', 3, {answer, element}, () => [digestOf('CapacityAnswer', answer), elementDigest(element)]],
  ['falseVerdict', 4, {verdict, element}, () => [digestOf('Verdict', verdict), elementDigest(element)]],
];

function makeFault([what, fault, evidence, makeWords]) {
  const [first, second] = makeWords(evidence);
  return {what, fault, provider, evidence, first, second, evidenceId: hash(['uint8', 'address', 'bytes32', 'bytes32'], [fault, provider, first, second])};
}

const vectors = {
  domain: {...DOMAIN, separator: TypedDataEncoder.hashDomain(DOMAIN)},
  keys: Object.fromEntries(Object.entries(keys).map(([name, wallet]) => [name, {privateKey: wallet.privateKey, address: wallet.address}])),
  cases: await Promise.all(CASES.map(makeCase)),
  faults: FAULTS.map(makeFault),
};
writeFileSync(FILE, JSON.stringify(vectors, null, 1) + '\n');
console.log(`${vectors.cases.length} cases`);
