// Writes tests/vectors/capacity.json: matrices, products, trees and element proofs of capacity challenges, computed with BigInt and ethers'
// keccak: a third implementation beside the daemon's (numpy, CUDA) and the contracts' own. Bytes are 0x hex; elements are numbers.
import {writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {AbiCoder, concat, dataSlice, id, keccak256, toBeHex} from 'ethers';

const FILE = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'tests', 'vectors', 'capacity.json');

const MASK = (1n << 64n) - 1n;
const STEP = 0x9E3779B97F4A7C15n;
const ZERO32 = '0x' + '00'.repeat(32);
const COLUMNS = 256;
const OPENED_ROWS = 4;
const abi = AbiCoder.defaultAbiCoder();

const deviceSeed = (challengeSeed, device) => keccak256(abi.encode(['bytes32', 'uint32'], [challengeSeed, device]));
const openedRow = (openingSeed, device, k, n) =>
  Number(BigInt(keccak256(abi.encode(['bytes32', 'uint32', 'uint32'], [openingSeed, device, k]))) % BigInt(n));

function mix(z) {
  z = ((z ^ (z >> 30n)) * 0xBF58476D1CE4E5B9n) & MASK;
  z = ((z ^ (z >> 27n)) * 0x94D049BB133111EBn) & MASK;
  return z ^ (z >> 31n);
}

// Line `line` of a matrix: a row of A from seedA, a column of B from seedB.
function expandLine(word, n, line) {
  const values = new Int8Array(n);
  const words = BigInt(n / 8);
  for (let w = 0; w < n / 8; w++) {
    let bits = mix((word + (BigInt(line) * words + BigInt(w)) * STEP) & MASK);
    for (let t = 0; t < 8; t++, bits >>= 8n) values[8 * w + t] = Number(bits & 255n);
  }
  return values;
}

function multiply(seed, n) {
  const [wordA, wordB] = [dataSlice(seed, 0, 8), dataSlice(seed, 8, 16)].map(BigInt);
  const lines = [...Array(n).keys()];
  const [rows, columns] = [lines.map(i => expandLine(wordA, n, i)), lines.map(j => expandLine(wordB, n, j))];
  const product = lines.map(i => lines.map(j => {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += rows[i][k] * columns[j][k];
    return sum;
  }));
  return {wordA, wordB, rows, columns, product};
}

function leafValues(product, n, index) {
  const row = Math.floor(index / (n / COLUMNS)), from = COLUMNS * (index % (n / COLUMNS));
  return concat(product[row].slice(from, from + COLUMNS).map(element => toBeHex(BigInt.asUintN(32, BigInt(element)), 4)));
}

function makeTree(product, n) {
  const leaves = n * n / COLUMNS;
  let level = [];
  for (let k = 0; k < leaves; k++) level.push(keccak256(concat(['0x00', toBeHex(k, 8), leafValues(product, n, k)])));
  let full = 1;
  while (full < leaves) full *= 2;
  while (level.length < full) level.push(ZERO32);
  const levels = [level];
  while (level.length > 1) {
    const above = [];
    for (let k = 0; k < level.length; k += 2) above.push(keccak256(concat(['0x01', level[k], level[k + 1]])));
    levels.push(level = above);
  }
  return levels;
}

const rootOf = levels => levels.at(-1)[0];

function makeElementProof(levels, product, n, row, column) {
  const index = row * (n / COLUMNS) + Math.floor(column / COLUMNS);
  const path = levels.slice(0, -1).map((level, k) => level[(index >> k) ^ 1]);
  return {row, index, column: column % COLUMNS, element: product[row][column], values: leafValues(product, n, index), path};
}

function makeCase(n, device) {
  const challengeSeed = id(`xnode capacity challenge ${n}`), openingSeed = id(`xnode opening entropy ${n}`);
  const seed = deviceSeed(challengeSeed, device);
  const {wordA, wordB, rows, columns, product} = multiply(seed, n);
  const levels = makeTree(product, n);
  const places = [[0, 0], [0, n - 1], [n - 1, 0], [n - 1, n - 1], [3, 7], [n / 2, n / 2 + 1], [17, 255]];
  const wrong = {row: n / 2, column: n - 5, right: product[n / 2][n - 5]};
  const broken = product.map(line => [...line]);
  broken[wrong.row][wrong.column] = wrong.right + 1;
  const brokenLevels = makeTree(broken, n);
  return {
    n, device, challengeSeed, seed, seedA: toBeHex(wordA, 8), seedB: toBeHex(wordB, 8),
    rowOfA: {row: 3, values: [...rows[3].slice(0, 32)]},
    columnOfB: {column: 7, values: [...columns[7].slice(0, 32)]},
    elements: places.map(([row, column]) => ({row, column, element: product[row][column]})),
    leaves: n * n / COLUMNS, root: rootOf(levels),
    elementProofs: [places[0], places[3], places[4]].map(([row, column]) => makeElementProof(levels, product, n, row, column)),
    openingSeed, openedRows: [...Array(OPENED_ROWS).keys()].map(k => openedRow(openingSeed, device, k, n)),
    wrongElement: {root: rootOf(brokenLevels), right: wrong.right, ...makeElementProof(brokenLevels, broken, n, wrong.row, wrong.column)},
  };
}

// 768 has a number of leaves that is not a power of two.
const cases = [[256, 0], [512, 3], [768, 70000]].map(([n, device]) => makeCase(n, device));
const roots = cases.map(({root}) => root);
const answers = {roots, answersHash: keccak256(concat(roots)), none: ZERO32};
writeFileSync(FILE, JSON.stringify({cases, answers}, null, 1) + '\n');
