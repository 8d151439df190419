// A compiler that stays loaded: one request a line on stdin, one answer a line on stdout. A fresh one takes a second to start.
// {root, source, content, contracts, optimized} gives {bytecode} by contract, with that content in place of the source;
// {root, source, content} gives {tree}, the source's AST. {error} when it does not compile.
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

// The source that declares a contract has its name, in one of the folders of src/.
function findSource(root, contract) {
  const folders = fs.readdirSync(path.join(root, 'src'));
  return folders.map((folder) => `src/${folder}/${contract}.sol`).find((file) => fs.existsSync(path.join(root, file)));
}

function run(root, sources, optimized, outputSelection) {
  const settings = {
    evmVersion: 'cancun',
    optimizer: { enabled: optimized, runs: 200 },
    metadata: { bytecodeHash: 'none', appendCBOR: false },
    outputSelection,
  };
  const input = JSON.stringify({ language: 'Solidity', sources, settings });
  return JSON.parse(solc.compile(input, { import: find(root) }));
}

function answer({ root, source, content, contracts, optimized }) {
  const sources = { [source]: { content } };
  const wanted = contracts ? {} : { [source]: { '': ['ast'] } };
  for (const contract of contracts ?? []) {
    const deployed = findSource(root, contract);
    sources[deployed] ??= { content: fs.readFileSync(path.join(root, deployed), 'utf8') };
    wanted[deployed] = { [contract]: ['evm.bytecode.object'] };
  }
  const output = run(root, sources, optimized ?? false, wanted);
  const errors = (output.errors ?? []).filter((error) => error.severity === 'error');
  if (errors.length > 0) return { error: errors[0].formattedMessage };
  if (!contracts) return { tree: output.sources[source].ast };
  const made = contracts.map((contract) => [contract, output.contracts[findSource(root, contract)][contract]]);
  return { bytecode: Object.fromEntries(made.map(([name, { evm }]) => [name, '0x' + evm.bytecode.object])) };
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + '\n');
}
