// A whole deployment on a fresh anvil: contracts, assets, and people who sign. For measuring; a chain that is used is deployed by
// the daemon (xnode chain deploy).
import {spawn} from 'node:child_process';
import {createHash} from 'node:crypto';
import {readFileSync, readdirSync} from 'node:fs';
import {createRequire} from 'node:module';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {Contract, ContractFactory, HDNodeWallet, JsonRpcProvider, NonceManager, TypedDataEncoder, Wallet, id} from 'ethers';
import {typesFor} from './types.mjs';

export const ONE = 10n ** 18n;
export const THAW = 3600;
export const FAR = 2n ** 63n;
export const NO_SPLIT = '0x' + '00'.repeat(32);
const DAY = 86_400;
const VERIFIERS = 3;
const MNEMONIC = 'test test test test test test test test test test test junk';
const HERE = join(dirname(fileURLToPath(import.meta.url)), '..');

export const gasOf = async sent => (await (await sent).wait()).gasUsed;

async function startAnvil() {
  const anvil = spawn(join(HERE, 'bin', 'foundry'), ['anvil', '--port', '0', '--accounts', String(2 + VERIFIERS)], {stdio: ['ignore', 'pipe', 'inherit']});
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

const readArtifact = name => JSON.parse(readFileSync(join(HERE, 'artifacts', `${name}.json`)));

/** Which build the artifacts are: tests/contracts/test_gas_page.py says the same of the page. */
export function readBuild() {
  const hash = createHash('sha256');
  const names = readdirSync(join(HERE, 'artifacts')).filter(name => name.endsWith('.json')).map(name => name.slice(0, -'.json'.length));
  for (const name of names.sort()) hash.update(`${name} ${readArtifact(name).bytecode}\n`);
  return hash.digest('hex');
}

/** An ERC-20 with nothing added, as most stable assets are; OPENX also counts votes. */
function compilePlain() {
  const content = `pragma solidity 0.8.37; import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
    contract Plain is ERC20("Plain", "PLN") { constructor(address to, uint256 supply) { _mint(to, supply); } }`;
  const settings = {...readArtifact('OpenxToken').settings, outputSelection: {'Plain.sol': {Plain: ['abi', 'evm.bytecode.object']}}};
  delete settings.compilationTarget;
  const find = name => ({contents: readFileSync(join(HERE, 'node_modules', name), 'utf8')});
  const solc = createRequire(import.meta.url)('solc');
  const output = JSON.parse(solc.compile(JSON.stringify({language: 'Solidity', sources: {'Plain.sol': {content}}, settings: {...settings, remappings: []}}), {import: find}));
  const {abi, evm} = output.contracts['Plain.sol'].Plain;
  return {abi, bytecode: '0x' + evm.bytecode.object};
}

/** Deploys all contracts and two assets; `record(what, gas, bytes)` hears of each step, with bytes where a contract is new. */
export async function openScene(record) {
  const {anvil, chain} = await startAnvil();
  const close = () => {
    chain.destroy();
    anvil.removeAllListeners('exit');
    anvil.kill();
  };
  try {
    return {...await deployAll(chain, record), chain, close};
  } catch (error) {
    close();
    throw error;
  }
}

async function deployAll(chain, record) {
  const key = index => HDNodeWallet.fromPhrase(MNEMONIC, undefined, `m/44'/60'/0'/0/${index}`).connect(chain);
  const [ownerKey, providerKey] = [key(0), key(1)];
  const [owner, provider] = [new NonceManager(ownerKey), new NonceManager(providerKey)];
  const verifiers = Array.from({length: VERIFIERS}, (_, i) => ({address: key(2 + i).address, sender: new NonceManager(key(2 + i)), node: new Wallet(id(`verifier ${i}`))}));
  const signer = new Wallet(id('hot signer'));
  const node = new Wallet(id('node key'));

  // What has no label is not recorded: it is no part of a deployment.
  const make = async ({abi, bytecode, deployedBytecode}, label, ...args) => {
    const made = await new ContractFactory(abi, bytecode, owner).deploy(...args);
    const {gasUsed} = await made.deploymentTransaction().wait();
    if (label) record(label, gasUsed, deployedBytecode ? deployedBytecode.length / 2 - 1 : 0);
    return new Contract(await made.getAddress(), abi, owner);
  };
  const deploy = (name, ...args) => make(readArtifact(name), name, ...args);

  await deploy('Timelock', 2 * DAY, [ownerKey.address], [ownerKey.address], '0x' + '00'.repeat(20));
  const openx = await deploy('OpenxToken', ownerKey.address, 10n ** 27n, ownerKey.address);
  const plain = await make(compilePlain(), '', ownerKey.address, 10n ** 27n);
  const registry = await deploy('ProviderRegistry', openx.target, DAY, ownerKey.address);
  const splits = await deploy('SplitRegistry');
  const settings = {
    drawDelay: 1, panelSize: VERIFIERS, quorum: VERIFIERS, minPanel: VERIFIERS, minList: VERIFIERS, answerTime: 3600, validity: 30 * DAY, spotCheckPause: 1,
    recheckTime: DAY, fee: ONE / 1000n, deviceFee: ONE / 1000n,
  };
  const classes = [{name: 'gpu', kind: 0, weightMilli: 1000, n: 256, timeLimitMs: 1000}, {name: 'cpu', kind: 1, weightMilli: 1000, n: 256, timeLimitMs: 1000}];
  const randomness = await deploy('RandaoRandomness');
  const list = await deploy('VerifierRegistry', registry.target, ownerKey.address, {leaveDelay: 3600, verifierStake: ONE}, ownerKey.address);
  const rules = await deploy('ChallengeRules', registry.target, ownerKey.address, settings, classes);
  const capacity = await deploy('CapacityRegistry', registry.target, list.target, rules.target, randomness.target);
  const credit = await deploy('ComputeCredit', 'xnode GPU credit', 'tGPU', 0, registry.target, capacity.target, ownerKey.address, ONE, 720);
  const {abi, bytecode} = readArtifact('ComputeCredit'); // of the same size as the first
  const cpuCredit = await make({abi, bytecode}, 'second ComputeCredit', 'xnode CPU credit', 'tCPU', 1, registry.target, capacity.target, ownerKey.address, ONE, 720);
  const assets = [{asset: openx.target, isCredit: false}, {asset: plain.target, isCredit: false}, {asset: credit.target, isCredit: true}];
  const escrow = await deploy('PaymentEscrow', registry.target, splits.target, ownerKey.address, ownerKey.address, THAW, assets);
  const prover = await deploy('FaultProver', registry.target, capacity.target, escrow.target);
  const over = await deploy('OverCapacity', registry.target, capacity.target, escrow.target);
  const breaches = await deploy('BreachProver', registry.target, escrow.target);
  // By name: a contract of ethers has a connect of its own.
  const [provides, verifies] = [0, 1]; // IProviderRegistry.Role
  const reveals = await deploy('AnswerReveals', registry.target, capacity.target);
  const judges = [
    [prover.target, provides, 500_000], [prover.target, verifies, 1_000_000], [over.target, provides, 500_000], [breaches.target, provides, 500_000],
    [reveals.target, provides, 500_000],
  ];
  const holds = [[credit.target, provides], [cpuCredit.target, provides], [list.target, verifies]];
  const connected = await gasOf(registry.getFunction('connect')(judges, holds, [escrow.target], breaches.target));
  record('connect', connected, 0);
  record('connect the verifiers', await gasOf(list.getFunction('connect')(capacity.target, reveals.target)), 0);

  const {chainId} = await chain.getNetwork();
  const domainOf = contract => ({name: 'xnode', version: '1', chainId, verifyingContract: contract.target});
  const digest = (contract, type, value) => TypedDataEncoder.hash(domainOf(contract), typesFor(type), value);
  const sign = (wallet, contract, type, value) => wallet.signingKey.sign(digest(contract, type, value)).serialized;
  return {chain, openx, plain, registry, splits, list, capacity, credit, escrow, prover, breaches, owner, ownerKey, provider, providerKey, verifiers, signer, node, digest, sign};
}
