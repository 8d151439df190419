// Prints, or with a file name writes, what real transactions on a fresh anvil cost: a page of markdown tables, with the figures
// published for other designs beside ours. It says of which build it is, and a test fails on another.
import {writeFileSync} from 'node:fs';
import {AbiCoder, concat, id, keccak256, toBeHex, zeroPadValue} from 'ethers';
import {FAR, NO_SPLIT, ONE, THAW, gasOf, openScene, readBuild} from './scene.mjs';

const CODE_LIMIT_BYTES = 24_576;
const STEP = ONE / 50n + 123_456_789_012_345n; // an amount as they come, not a round one
const COUNTS = [1, 10, 50, 100, 200];
const FEE_PPM = 10_000;
const [PROVIDER, VERIFIER] = [0, 1]; // IProviderRegistry.Role

const deployed = []; // [contract, gas, bytes]
const sent = []; // [transaction, gas, gas a row]
const record = (what, gas, perRow = '') => sent.push([what, gas, perRow]);
const encode = (types, values) => AbiCoder.defaultAbiCoder().encode(types, values);

// ---- What is measured

async function registerAll(scene) {
  const {openx, registry, list, owner, provider, providerKey, verifiers, node, sign} = scene;
  const register = async (sender, address, key) => {
    const proof = {provider: address, nodeKey: key.address, nonce: 0, deadline: FAR};
    return gasOf(registry.connect(sender).register(key.address, address, FAR, sign(key, registry, 'NodeKey', proof)));
  };
  const stake = async (sender, address, amount, role = PROVIDER) => {
    await gasOf(openx.connect(owner).transfer(address, amount + ONE));
    await gasOf(openx.connect(sender).approve(registry.target, amount));
    return gasOf(registry.connect(sender).stakeInto(address, role, amount));
  };
  record('register a provider', await register(provider, providerKey.address, node));
  record('stake', await stake(provider, providerKey.address, 10_000n * ONE));
  for (const {address, sender, node: key} of verifiers) {
    await register(sender, address, key);
    await stake(sender, address, 10n * ONE, VERIFIER);
    const gas = await gasOf(list.connect(sender).enlist());
    if (address === verifiers[0].address) record('enlist as a verifier', gas);
  }
}

/** One GPU, seen by three verifiers. */
async function verifyCapacity({chain, openx, capacity, provider, verifiers, providerKey, sign}) {
  await gasOf(openx.connect(provider).approve(capacity.target, ONE));
  record('request a challenge', await gasOf(capacity.connect(provider).requestChallenge([{classId: 0, count: 1}])));
  const challengeId = await capacity.openChallengeOf(providerKey.address);
  await chain.send('anvil_mine', ['0x2']);
  record('draw seed and panel', await gasOf(capacity.draw(challengeId, {gasLimit: 5_000_000})));
  const judges = [...verifiers].sort((a, b) => (a.address.toLowerCase() < b.address.toLowerCase() ? -1 : 1));
  const roots = [id('the one device')];
  const verdicts = judges.map((_, i) => ({challengeId, answersHash: keccak256(roots[0]), passed: true, openingSeed: id(`seed ${i}`)}));
  const signatures = judges.map(({node}, i) => sign(node, capacity, 'Verdict', verdicts[i]));
  record('record three verdicts', await gasOf(capacity.record(challengeId, roots, judges.map(({address}) => address), verdicts, signatures)));
}

async function mintCredits({credit, provider, providerKey, ownerKey}) {
  const by = credit.connect(provider);
  record('mint credits, first', await gasOf(by.mint(ownerKey.address, 300n * ONE)));
  record('mint credits, again', await gasOf(by.mint(ownerKey.address, 400n * ONE)));
  record('transfer credits, to a new holder', await gasOf(credit.transfer(providerKey.address, ONE)));
  record('burn credits at their provider', await gasOf(by.burnAt(providerKey.address, ONE / 2n)));
}

async function fillEscrow({escrow, openx, plain, credit, ownerKey, provider, signer, terms, sign}) {
  for (const asset of [openx, plain, credit]) await gasOf(asset.approve(escrow.target, 10n ** 27n));
  record('deposit, first', await gasOf(escrow.deposit(ownerKey.address, openx.target, 100_000n * ONE)));
  record('deposit, again', await gasOf(escrow.deposit(ownerKey.address, openx.target, ONE)));
  await gasOf(escrow.deposit(ownerKey.address, plain.target, 100_000n * ONE));
  await gasOf(escrow.deposit(ownerKey.address, credit.target, 600n * ONE));
  record('approve an opener', await gasOf(escrow.approveOpener(signer.address, openx.target, 100_000n * ONE)));
  record('open an escrow', await gasOf(escrow.open(terms(openx, NO_SPLIT, 10_000), ONE)));
  record('top it up', await gasOf(escrow.open(terms(openx, NO_SPLIT, 10_000), ONE)));
  const openBySig = async nonce => {
    const opened = terms(openx, NO_SPLIT, 10_001 + nonce);
    const opening = {escrowId: await escrow.escrowId(opened), amount: ONE, nonce, deadline: FAR};
    return gasOf(escrow.connect(provider).openBySig(opened, opening, signer.address, sign(signer, escrow, 'Opening', opening)));
  };
  record("open by an opener's signature, first nonce of a word", await openBySig(0));
  record("open by an opener's signature", await openBySig(1));
}

/** What claims of each size cost, by kind; the first of all is the payee's first ever in that asset. */
async function measureClaims(scene) {
  const {escrow, openx, plain, credit, splits, provider, providerKey, ownerKey, splitShares} = scene;
  await gasOf(splits.create(splitShares));
  const split = await splits.splitId(splitShares);
  const kinds = [
    ['ERC-20', plain, NO_SPLIT, 0],
    ['OPENX', openx, NO_SPLIT, 0],
    ['credits', credit, NO_SPLIT, 0],
    ['ERC-20, fee', plain, NO_SPLIT, FEE_PPM],
    ['ERC-20, split', plain, split, 0],
    ['ERC-20, fee and split', plain, split, FEE_PPM],
    ['credits, fee and split', credit, split, FEE_PPM],
  ];
  const reached = new Map(); // what the next voucher of each asset and split promises
  const table = [];
  for (const [kind, asset, splitId, feePpm] of kinds) {
    const set = `${asset.target} ${splitId}`;
    const isNew = !reached.has(set);
    if (isNew) await openMany(scene, asset, splitId);
    await gasOf(escrow.setFee(asset.target, feePpm));
    const claim = count => {
      const cumulative = (reached.get(set) ?? 0n) + STEP;
      reached.set(set, cumulative);
      const rows = Array.from({length: count}, (_, i) => makeRow(scene, asset, splitId, i, cumulative));
      return gasOf(escrow.connect(provider).claim(providerKey.address, asset.target, splitId, THAW, concat(rows)));
    };
    const first = await claim(1); // the ledgers exist from here on
    if (kind === 'OPENX') record("claim 1, the provider's first", first);
    const gas = [];
    for (const count of COUNTS) {
      const used = await claim(count);
      gas.push(used);
      if (kind === 'OPENX') record(count === 1 ? 'claim 1' : `claim ${count}, again`, used, count === 1 ? '' : used / BigInt(count));
    }
    table.push([kind, gas]);
  }
  await gasOf(escrow.setFeeRecipient(ownerKey.address));
  record('move a split\'s shares to the registry', await gasOf(escrow.paySplit(split, plain.target)));
  record('distribute to two recipients, first', await gasOf(splits.distribute(splitShares, plain.target)));
  record('withdraw a share', await gasOf(splits.withdraw(splitShares[0].recipient, plain.target)));
  record('withdraw fees', await gasOf(escrow.withdrawFees(plain.target)));
  return table;
}

async function openMany({escrow, terms}, asset, split) {
  const most = COUNTS.at(-1);
  const opens = Array.from({length: most}, (_, i) => escrow.interface.encodeFunctionData('open', [terms(asset, split, i), ONE]));
  await gasOf(escrow.multicall(opens));
}

function makeRow({escrow, signer, terms, digest}, asset, split, nonce, cumulative) {
  const {payer} = terms(asset, split, nonce);
  const escrowId = digest(escrow, 'Escrow', terms(asset, split, nonce));
  const receiptsHash = id(`receipts ${nonce} ${cumulative}`);
  const sig = signer.signingKey.sign(digest(escrow, 'Voucher', {escrowId, cumulative, receiptsHash}));
  return concat([payer, signer.address, zeroPadValue(toBeHex(nonce), 12), zeroPadValue(toBeHex(cumulative), 16), receiptsHash, sig.r, sig.yParityAndS]);
}

async function giveBack(scene) {
  const {chain, escrow, openx, provider, providerKey, ownerKey, signer, terms, digest, sign} = scene;
  const held = terms(openx, NO_SPLIT, 10_000);
  const escrowId = digest(escrow, 'Escrow', held);
  const voucher = {escrowId, cumulative: STEP, receiptsHash: id('one')};
  const sig = sign(signer, escrow, 'Voucher', voucher);
  record('claimOne', await gasOf(escrow.claimOne(held, voucher.cumulative, voucher.receiptsHash, sig)));
  record('release', await gasOf(escrow.connect(provider).release(held, ONE)));
  const order = {escrowId, newDeposited: ONE / 2n, nonce: 0, deadline: FAR};
  record('release by signature, relayed', await gasOf(escrow.releaseBySig(held, order, providerKey.address, sign(providerKey, escrow, 'Release', order))));
  record('start a thaw', await gasOf(escrow.startThaw(held)));
  await chain.send('evm_increaseTime', [THAW]);
  record('close', await gasOf(escrow.close(held)));
  record('withdraw', await gasOf(escrow.withdraw(openx.target, ONE, ownerKey.address)));
}

/** A lease that ran for a hundredth of what was promised. */
async function refundBreach(scene) {
  const {chain, escrow, breaches, openx, providerKey, signer, node, terms, digest, sign} = scene;
  await chain.send('evm_increaseTime', [7200]);
  await chain.send('anvil_mine', ['0x1']);
  const nowNs = BigInt((await chain.getBlock('latest')).timestamp) * 10n ** 9n;
  const held = terms(openx, NO_SPLIT, 10_001);
  const lease = {
    jobHash: id('job'), quoteHash: id('quote'), submitter: signer.address, provider: providerKey.address, node: node.address,
    escrowId: digest(escrow, 'Escrow', held), leaseNumber: 1, asset: openx.target,
    resources: {vcpuMilli: 1000, memoryBytes: 1n << 30n, diskBytes: 1n << 30n, gpus: 1, gpuModel: 'NVIDIA H100 80GB'},
    tariff: {vcpuHour: ONE, memoryGibHour: ONE, diskGibHour: ONE, gpuHour: ONE, ingressGb: 0, egressGb: 0},
    costLimit: ONE, exposureLimit: ONE, intervalNs: 60n * 10n ** 9n, durationLimitNs: 3600n * 10n ** 9n, openUntilNs: nowNs - 3600n * 10n ** 9n,
    availabilityPpm: 990_000, refundPpm: 500_000, exposureIntervals: 2,
  };
  const usage = {vcpuNs: 0, memoryByteNs: 0, diskByteNs: 0, gpuNs: 0, ingressBytes: 0, egressBytes: 0};
  const last = {leaseId: digest(escrow, 'LeaseTerms', lease), number: 3, atNs: nowNs, runningNs: 36n * 10n ** 9n, usage, cost: ONE / 10n, last: true, final: true};
  const signed = {terms: lease, submitterSig: sign(signer, escrow, 'LeaseTerms', lease), nodeSig: sign(node, escrow, 'LeaseTerms', lease)};
  const proof = [held, signed, {receipt: last, sig: sign(node, escrow, 'Receipt', last)}];
  record('refund a proved breach', await gasOf(breaches.proveBreach(...proof)));
}

/** Two offers of one number. */
async function slashEquivocation({chain, escrow, prover, ownerKey, providerKey, node, digest, sign}) {
  const offer = body => ({provider: providerKey.address, node: node.address, number: 7, expiresAtNs: FAR, bodyHash: id(body)});
  const [a, b] = [offer('one'), offer('another')];
  const [low, high] = [digest(escrow, 'Offer', a), digest(escrow, 'Offer', b)].sort();
  const faultId = keccak256(encode(['uint8', 'address', 'bytes32', 'bytes32'], [1, providerKey.address, low, high]));
  const salt = id('salt');
  record('commit to a fault', await gasOf(prover.commit(keccak256(encode(['address', 'bytes32', 'bytes32'], [ownerKey.address, faultId, salt])))));
  await chain.send('evm_increaseTime', [600]);
  record('slash for two offers of one number', await gasOf(prover.proveOffers(a, sign(node, escrow, 'Offer', a), b, sign(node, escrow, 'Offer', b), salt)));
}

async function measure() {
  const scene = await openScene((...row) => deployed.push(row));
  const {ownerKey, providerKey, signer} = scene;
  const terms = (asset, split, nonce) => ({payer: ownerKey.address, signer: signer.address, provider: providerKey.address, asset: asset.target, split, thaw: THAW, nonce});
  const splitShares = ['0x' + 'a1'.repeat(20), '0x' + 'b2'.repeat(20)].map(recipient => ({recipient, sharePpm: 50_000}));
  Object.assign(scene, {terms, splitShares});
  try {
    await registerAll(scene);
    await verifyCapacity(scene);
    await mintCredits(scene);
    await fillEscrow(scene);
    const claims = await measureClaims(scene);
    await giveBack(scene);
    await refundBreach(scene);
    await slashEquivocation(scene);
    return claims;
  } finally {
    scene.close();
  }
}

// ---- What is printed

// Gas a settled voucher of others, whole transactions. The first three are their designs built and measured by us, settled into a
// plain ERC-20; the rest was read from their chains or documents.
const OTHERS = [
  ['x402 batch settlement, 480 bytes a row', [94_014, 28_400, 22_583, 21_875]],
  ['one channel contract for each pair, no batch ledger', [55_235, 25_743, 23_040, 22_708]],
  ['each receipt settled by itself', [55_415, 13_647, 9_848, 9_376]],
  ['Swarm chequebook', [73_778]],
  ['Graph Tally, median', [163_000]],
  ['Livepeer ticket, limit', [350_000]],
];

const number = value => (value === '' ? '' : value.toLocaleString('en'));
const table = (head, rows) => [
  `| ${head.join(' | ')} |`,
  `|---|${'---:|'.repeat(head.length - 1)}`,
  ...rows.map(row => `| ${row.map(cell => (typeof cell === 'string' ? cell : number(cell))).join(' | ')} |`),
].join('\n');

function page(claims) {
  const perRow = claims.map(([kind, gas]) => [`**${kind}**`, ...gas.map((used, i) => used / BigInt(COUNTS[i]))]);
  const others = OTHERS.map(([what, gas]) => [what, ...COUNTS.map((_, i) => gas[i] ?? '')]);
  const sizes = deployed.filter(([, , bytes]) => bytes);
  const total = deployed.reduce((sum, [, gas]) => sum + gas, 0n);
  return `# What transactions cost

\`make -C contracts gas\` prints this page and \`make -C contracts gas ARGS=../docs/gas.md\` writes it,
from real transactions on a fresh anvil (Cancun) with the committed bytecode. Gas is a whole
transaction's: its base fee, its calldata and the payout are in it. Amounts are as they come, not
round; all but the first claim draw on ledgers and escrows that exist.

Build \`${readBuild()}\`:
the SHA-256 of all creation code in \`contracts/artifacts\`, by the contracts' names. A test compares
it, so no row here is of another build.

## A settled voucher

Gas for each voucher in a claim of so many, 164 bytes a row. Fee ${FEE_PPM / 10_000} %; the split has two recipients.
A claim of any kind also counts the provider's settled work. In bold ours.

${table(['vouchers in the claim', ...COUNTS.map(String)], [...perRow, ...others])}

From ten a claim on, every kind of ours is below every design here that settles vouchers. Settling
each receipt by itself costs less for each receipt in a batch, and far more for each lease: one
voucher stands for all receipts so far, 1,440 of them where a receipt comes each minute and a claim
each day. A claim of one costs more than a bare channel's, for it books a ledger, a fee and a payout
that may fail.

## Transactions

${table(['transaction', 'gas', 'gas a row'], sent)}

Claims and deposits here are in OPENX, whose transfers also count votes. Raiden: open and deposit
147,000 gas.

## Deployment

${table(['contract', 'gas', 'bytes', 'of the limit'], sizes.map(([what, gas, bytes]) => [what, gas, bytes, `${Math.round((100 * bytes) / CODE_LIMIT_BYTES)} %`]))}

A whole deployment, with a second credit and the transaction that connects all of them, costs
${number(total)} gas.
`;
}

const text = page(await measure());
if (process.argv[2]) writeFileSync(process.argv[2], text);
else process.stdout.write(text);
