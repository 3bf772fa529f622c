/** @file The reference engine against an independent float64 forward pass and its finite differences. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gradients } from '../../src/engines/tfjs/gradients.js';
import { assertClose, largest } from './assertClose.js';
import { agreementCases, separatedCase } from './cases.js';
import { finiteDifferences } from './finiteDifferences.js';

describe('tfjs loss, logits and gradients against float64', () => {
  for (const [title, options] of Object.entries(agreementCases)) {
    test(title, async () => {
      const { plan, state, batch, input, expected } = separatedCase(options);
      const actual = await gradients(plan, state, batch, 0);
      assertClose([actual.loss], [expected.loss], 1e-5, 'loss');
      assertClose(actual.logits, expected.logits, 1e-5, 'logits');
      const sampled = finiteDifferences(input, 10);
      assert.deepEqual(
        Object.keys(actual.gradients),
        sampled.map(({ name }) => name),
      );
      // Batch norm makes the loss indifferent to a filter's scale: such gradients cancel to 0 up to rounding.
      const floor = 1e-2 * largest(sampled.flatMap(({ values }) => values));
      for (const { name, indices, values } of sampled) {
        const found = indices.map((index) => actual.gradients[name][index]);
        assertClose(found, values, 2e-5, `gradient of ${name}`, floor);
      }
    });
  }
});
