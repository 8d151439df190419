// A compiler that stays loaded: one request a line on stdin, one answer a line on stdout. A fresh one takes a second to start.
// Request: {root, source, content, contract, optimized, tree}. Answer: {bytecode, tree} or {error}.
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import solc from 'solc';

function find(root) {
  return (name) => {
    const file = name.startsWith('@openzeppelin/') ? path.join('node_modules', name) : name;
    return { contents: fs.readFileSync(path.join(root, file), 'utf8') };
  };
}

function compile({ root, source, content, contract, optimized, tree }) {
  const wanted = { [contract]: ['evm.bytecode.object'] };
  if (tree) wanted[''] = ['ast'];
  const changed = path.basename(source, '.sol') === contract ? source : `src/${contract}.sol`;
  const sources = { [source]: { content } };
  if (changed !== source) sources[changed] = { content: fs.readFileSync(path.join(root, changed), 'utf8') };
  const settings = {
    evmVersion: 'cancun',
    optimizer: { enabled: optimized, runs: 200 },
    metadata: { bytecodeHash: 'none', appendCBOR: false },
    outputSelection: { [changed]: wanted, ...(tree ? { [source]: { ...wanted, '': ['ast'] } } : {}) },
  };
  const output = JSON.parse(
    solc.compile(JSON.stringify({ language: 'Solidity', sources, settings }), { import: find(root) })
  );
  const errors = (output.errors ?? []).filter((error) => error.severity === 'error');
  if (errors.length > 0) return { error: errors[0].formattedMessage };
  const bytecode = '0x' + output.contracts[changed][contract].evm.bytecode.object;
  return tree ? { bytecode, tree: output.sources[source].ast } : { bytecode };
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(compile(JSON.parse(line))) + '\n');
}
