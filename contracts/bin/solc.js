#!/usr/bin/env node
// The npm compiler behind the two calls forge makes of a native solc: --version and --standard-json.
const fs = require('fs');
const path = require('path');

const solcRoot = path.join(__dirname, '..', 'node_modules', 'solc');

function longVersion() {
  // Forge asks for the version many times; loading the compiler (9 MB of wasm) for each would cost a second.
  const kept = path.join(__dirname, '.solc-version-' + require(path.join(solcRoot, 'package.json')).version);
  if (fs.existsSync(kept)) return fs.readFileSync(kept, 'utf8');
  const version = require(solcRoot).version();
  fs.writeFileSync(kept, version);
  return version;
}

function writeAll(text) {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += fs.writeSync(1, bytes, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error; // a full pipe is not a failure
    }
  }
}

const args = process.argv.slice(2);
if (args.includes('--version')) {
  writeAll('solc, the solidity compiler commandline interface\nVersion: ' + longVersion() + '\n');
} else if (args.includes('--standard-json')) {
  writeAll(require(solcRoot).compile(fs.readFileSync(0, 'utf8')));
} else {
  console.error('solc.js answers --version and --standard-json, not: ' + args.join(' '));
  process.exit(2);
}
