// Prints what real transactions cost on a fresh anvil, as a markdown table.
import {spawn} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {Contract, ContractFactory, HDNodeWallet, JsonRpcProvider, NonceManager, TypedDataEncoder, Wallet, concat, id, toBeHex, zeroPadValue} from 'ethers';

const contracts = join(dirname(fileURLToPath(import.meta.url)), '..');
const THAW = 3600;
const ONE = 10n ** 18n;

const rows = []; // of the printed table
const record = (what, gas, perRow = '') => rows.push([what, gas, perRow]);

async function startAnvil() {
  const anvil = spawn(join(contracts, 'bin', 'foundry'), ['anvil', '--port', '0', '--accounts', '3'], {stdio: ['ignore', 'pipe', 'inherit']});
  const port = await new Promise((resolve, reject) => {
    let seen = '';
    anvil.on('exit', code => reject(new Error(`anvil ended with ${code}`)));
    anvil.stdout.on('data', bytes => {
      seen += bytes;
      const found = seen.match(/Listening on \S+:(\d+)/);
      if (found) resolve(found[1]);
    });
  });
  const chain = new JsonRpcProvider(`http://127.0.0.1:${port}`, undefined, {cacheTimeout: -1});
  chain.pollingInterval = 5;
  return {anvil, chain};
}

async function deploy(name, from, ...args) {
  const {abi, bytecode} = JSON.parse(readFileSync(join(contracts, 'artifacts', `${name}.json`)));
  const made = await new ContractFactory(abi, bytecode, from).deploy(...args);
  record(`deploy ${name}`, (await made.deploymentTransaction().wait()).gasUsed);
  return new Contract(await made.getAddress(), abi, from);
}

async function gasOf(sent) {
  return (await (await sent).wait()).gasUsed;
}

const ESCROW = {Escrow: [['address', 'payer'], ['address', 'signer'], ['address', 'provider'], ['address', 'asset'], ['bytes32', 'split'], ['uint32', 'thaw'], ['uint96', 'nonce']]};
const OPENING = {Opening: [['bytes32', 'escrowId'], ['uint128', 'amount'], ['uint256', 'nonce'], ['uint64', 'deadline']]};
const VOUCHER = {Voucher: [['bytes32', 'escrowId'], ['uint128', 'cumulative'], ['bytes32', 'receiptsHash']]};
const NODE_KEY = {NodeKey: [['address', 'provider'], ['address', 'nodeKey'], ['uint256', 'nonce'], ['uint64', 'deadline']]};
const fields = types => Object.fromEntries(Object.entries(types).map(([name, list]) => [name, list.map(([type, field]) => ({type, name: field}))]));

async function measure(chain) {
  const mnemonic = 'test test test test test test test test test test test junk';
  const key = index => HDNodeWallet.fromPhrase(mnemonic, undefined, `m/44'/60'/0'/0/${index}`).connect(chain);
  const [payerKey, providerKey] = [key(0), key(1)];
  const [payer, provider] = [new NonceManager(payerKey), new NonceManager(providerKey)];
  const signer = new Wallet(id('hot signer'));
  const node = new Wallet(id('node key'));

  const openx = await deploy('OpenxToken', payer, payerKey.address, 10n ** 27n, payerKey.address);
  const registry = await deploy('ProviderRegistry', payer, openx.target, 86400, payerKey.address);
  const splits = await deploy('SplitRegistry', payer);
  const escrow = await deploy('PaymentEscrow', payer, registry.target, splits.target, payerKey.address, payerKey.address, THAW, []);
  const {chainId} = await chain.getNetwork();
  const domain = target => ({name: 'xnode', version: '1', chainId, verifyingContract: target});
  const terms = nonce => ({payer: payerKey.address, signer: signer.address, provider: providerKey.address, asset: openx.target, split: '0x' + '00'.repeat(32), thaw: THAW, nonce});
  const far = 2n ** 63n;

  const proof = {provider: providerKey.address, nodeKey: node.address, nonce: 0, deadline: far};
  const nodeSig = await node.signTypedData(domain(registry.target), fields(NODE_KEY), proof);
  record('register a provider', await gasOf(registry.connect(provider).register(node.address, providerKey.address, far, nodeSig)));
  await gasOf(openx.transfer(providerKey.address, ONE));
  await gasOf(openx.connect(provider).approve(registry.target, ONE));
  record('stake', await gasOf(registry.connect(provider).stake(ONE)));

  record('accept an asset', await gasOf(escrow.addAsset(openx.target, false)));
  await gasOf(openx.approve(escrow.target, 10n ** 27n));
  record('deposit, first', await gasOf(escrow.deposit(payerKey.address, openx.target, 100_000n * ONE)));
  record('deposit, again', await gasOf(escrow.deposit(payerKey.address, openx.target, ONE)));
  record('approve an opener', await gasOf(escrow.approveOpener(signer.address, openx.target, 100_000n * ONE)));
  record('open an escrow', await gasOf(escrow.open(terms(0), 100n * ONE)));
  record('top it up', await gasOf(escrow.open(terms(0), ONE)));

  const openBySig = async (escrowNonce, nonce) => {
    const opening = {escrowId: await escrow.escrowId(terms(escrowNonce)), amount: 100n * ONE, nonce, deadline: far};
    const sig = await signer.signTypedData(domain(escrow.target), fields(OPENING), opening);
    return gasOf(escrow.connect(provider).openBySig(terms(escrowNonce), opening, signer.address, sig));
  };
  record('open by an opener\'s signature, first nonce of a word', await openBySig(100_000, 0));
  record('open by an opener\'s signature', await openBySig(100_001, 1));

  const row = (nonce, cumulative) => {
    const escrowId = TypedDataEncoder.hash(domain(escrow.target), fields(ESCROW), terms(nonce));
    const receiptsHash = id(`receipts ${nonce} ${cumulative}`);
    const voucher = {escrowId, cumulative, receiptsHash};
    const sig = signer.signingKey.sign(TypedDataEncoder.hash(domain(escrow.target), fields(VOUCHER), voucher));
    return concat([payerKey.address, signer.address, zeroPadValue(toBeHex(nonce), 12), zeroPadValue(toBeHex(cumulative), 16), receiptsHash, sig.r, sig.yParityAndS]);
  };
  const claimRows = packed => escrow.connect(provider).claim(providerKey.address, openx.target, '0x' + '00'.repeat(32), THAW, concat(packed));
  await gasOf(claimRows([row(0, ONE)])); // the payee's balance and the ledgers exist from here on
  record('claim 1', await gasOf(claimRows([row(0, 2n * ONE)])));
  for (const count of [10, 50, 100, 200]) {
    const opens = Array.from({length: count}, (_, i) => escrow.interface.encodeFunctionData('open', [terms(count * 1000 + i), 100n * ONE]));
    await gasOf(escrow.multicall(opens));
    for (const when of ['first', 'again']) {
      const packed = [];
      for (let i = 0; i < count; i++) packed.push(row(count * 1000 + i, when === 'first' ? 3n * ONE : 7n * ONE));
      const gas = await gasOf(claimRows(packed));
      record(`claim ${count}, ${when}`, gas, gas / BigInt(count));
    }
  }
  const one = await escrow.escrowId(terms(0));
  const voucher = {escrowId: one, cumulative: 4n * ONE, receiptsHash: id('one')};
  const oneSig = await signer.signTypedData(domain(escrow.target), fields(VOUCHER), voucher);
  record('claimOne', await gasOf(escrow.claimOne(terms(0), voucher.cumulative, voucher.receiptsHash, oneSig)));
  record('release', await gasOf(escrow.connect(provider).release(terms(0), 50n * ONE)));
  record('start a thaw', await gasOf(escrow.startThaw(terms(0))));
  await chain.send('evm_increaseTime', [THAW]);
  record('close', await gasOf(escrow.close(terms(0))));
  record('withdraw', await gasOf(escrow.withdraw(openx.target, ONE, payerKey.address)));
}

function print() {
  console.log('| transaction | gas | gas a row |\n|---|---:|---:|');
  for (const [what, gas, perRow] of rows) console.log(`| ${what} | ${gas.toLocaleString('en')} | ${perRow.toLocaleString('en')} |`);
}

const {anvil, chain} = await startAnvil();
try {
  await measure(chain);
  print();
} finally {
  chain.destroy();
  anvil.removeAllListeners('exit');
  anvil.kill();
}
