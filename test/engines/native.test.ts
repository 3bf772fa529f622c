/** @file Native TensorFlow against the pure JavaScript backend: two implementations of every kernel of the reference step. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { type BackendChoice, findBackend } from '../../src/engines/tfjs/backend.js';
import { gradients } from '../../src/engines/tfjs/gradients.js';
import { assertClose, largest } from './assertClose.js';
import { type AgreementCase, agreementCases, separatedCase } from './cases.js';

const asked = process.env.XBM_TFJS_BACKEND;
after(() => {
  if (asked === undefined) delete process.env.XBM_TFJS_BACKEND;
  else process.env.XBM_TFJS_BACKEND = asked;
});

describe('native TensorFlow against pure JavaScript', { skip: whyNot() }, () => {
  for (const title of ['xbm, columns of 8 rows (ragged last segment), 4 bits', 'finetune, 4 bits']) {
    test(`${title}: loss, logits, gradients`, async () => {
      const agreementCase = separatedCase(agreementCases[title]);
      const expected = await gradientsOn('cpu', agreementCase);
      const actual = await gradientsOn('tensorflow', agreementCase);
      assertClose([actual.loss], [expected.loss], 1e-5, 'loss');
      assertClose(actual.logits, Float64Array.from(expected.logits), 1e-5, 'logits');
      assert.deepEqual(Object.keys(actual.gradients), Object.keys(expected.gradients));
      const floor = 1e-2 * Math.max(...Object.values(expected.gradients).map(largest));
      for (const [name, gradient] of Object.entries(expected.gradients))
        assertClose(actual.gradients[name], gradient, 5e-5, `gradient of ${name}`, floor);
    });
  }
});

function gradientsOn(choice: BackendChoice, { plan, state, batch }: AgreementCase) {
  process.env.XBM_TFJS_BACKEND = choice;
  return gradients(plan, state, batch, 0);
}

function whyNot(): string | false {
  try {
    findBackend('tensorflow');
    return false;
  } catch (error) {
    return `${(error as Error).message}: npm run setup:tensorflow`;
  }
}
