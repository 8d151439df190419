// What solhint holds src/ to (test/solhint.config.cjs: test/): its recommended rules, and these. A rule is off only where its reason stands here; a single
// place that breaks a rule says why beside the code (solhint-disable-next-line).
module.exports = {
  extends: 'solhint:recommended',
  rules: {
    'code-complexity': ['error', 8],
    'function-max-lines': ['error', 60],
    'func-visibility': ['error', { ignoreConstructors: true }],
    'compiler-version': ['error', '0.8.37'],
    'no-unused-private-funcs': 'error',
    'immutable-vars-naming': ['error', { immutablesAsConstants: false }],
    'max-states-count': ['error', 20],

    // The interfaces document every promise and assumption; what implements them repeats nothing. "@author" is git's.
    'use-natspec': 'off',
    // Packed rows are why a claim is cheap, and each block says what it saves; a test holds each to readable code.
    'no-inline-assembly': 'off',
    // Bounds are said as they are meant. Under the optimizer these save nothing that a batch of 100 claims shows.
    'gas-strict-inequalities': 'off',
    'gas-increment-by-one': 'off',
    'gas-small-strings': 'off',
    // Events' fields are what the daemon reads; amounts are never searched for.
    'gas-indexed-events': 'off',
    // What is signed keeps the order of its type string; what is stored is laid out by hand.
    'gas-struct-packing': 'off',
  },
};
