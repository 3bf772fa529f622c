import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gradients } from '../../../src/engines/compiled/gradients.js';

test('a gradient is the sum of what readers handed back; without readers there is none', () => {
  let made = 0;
  const gradients = new Gradients<string>(
    (layer) => `${layer}${made++}`,
    (layer, a, b) => `${layer}(${a}+${b})`,
  );
  assert.deepEqual([gradients.owe('a'), gradients.owe('b'), gradients.owe('a')], ['a0', 'b1', 'a2']);
  gradients.owe('a');
  assert.deepEqual(gradients.parts('a'), ['a0', 'a2', 'a3']);
  assert.equal(gradients.sum('b'), 'b1');
  assert.equal(gradients.sum('a'), 'a(a(a0+a2)+a3)');
  assert.deepEqual(gradients.parts('c'), []);
  assert.throws(() => gradients.sum('c'), /nothing hands back a gradient of c/);
});
