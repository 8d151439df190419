// What solhint holds test/ to: what it holds src/ to, less these.
const ofSources = require('../solhint.config.cjs');

module.exports = {
  ...ofSources,
  rules: {
    ...ofSources.rules,
    // A test's name is a sentence.
    'func-name-mixedcase': 'off',
    // Forge's own names: vm and its interface Vm.
    'interface-starts-with-i': 'off',
    'const-name-snakecase': 'off',
    // What attacks calls as it likes.
    'avoid-low-level-calls': 'off',
    // A file holds the small contracts that its tests are about; a test's state is its scene.
    'one-contract-per-file': 'off',
    'max-states-count': 'off',
    'no-empty-blocks': 'off',
    // Nothing here is paid for.
    'gas-calldata-parameters': 'off',
    'gas-custom-errors': 'off',
  },
};
