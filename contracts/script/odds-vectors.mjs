// Writes tests/vectors/draw-odds.json: with which odds a panel drawn from a list without putting back has a quorum of one party's verifiers, in
// whole 10^-18 rounded down. Counted with BigInt by Pascal's rule: a third implementation beside the daemon's (fractions) and the
// contract's own draws. isDrawn: often enough that a thousand draws show it.
import {writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const FILE = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'tests', 'vectors', 'draw-odds.json');

const DRAWN = [[12, 4, 5, 4], [20, 10, 7, 5], [30, 10, 9, 4], [40, 20, 15, 9], [60, 20, 31, 12]];
const RARE = [[100, 33, 31, 21], [300, 99, 31, 22], [1000, 330, 31, 24], [1000, 50, 7, 5], [10, 3, 9, 7]];

const rows = [[1n]];
function choose(n, k) {
  if (k < 0 || k > n) return 0n;
  for (let m = rows.length; m <= n; m++) {
    const above = rows[m - 1];
    rows.push([1n, ...above.slice(1).map((value, i) => value + above[i]), 1n]);
  }
  return rows[n][k];
}

function oddsE18(list, sybils, seats, quorum) {
  let ways = 0n;
  for (let theirs = quorum; theirs <= seats; theirs++) ways += choose(sybils, theirs) * choose(list - sybils, seats - theirs);
  return (ways * 10n ** 18n) / choose(list, seats);
}

const make = (isDrawn) => ([list, sybils, seats, quorum]) => ({
  list, sybils, seats, quorum, ...(isDrawn && {isDrawn}), oddsE18: String(oddsE18(list, sybils, seats, quorum)),
});
const cases = [...DRAWN.map(make(true)), ...RARE.map(make(false))];
writeFileSync(FILE, JSON.stringify({cases}, null, 1) + '\n');
