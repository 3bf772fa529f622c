/**
 * @file Both activation layouts and every mixture of them give the reference's gradients. The agreement suite's tiny
 * networks are merged almost throughout, real networks begin in nchw: here the border moves through the network.
 */
import { describe, test } from 'node:test';
import { createOnnxEngine } from '../../../src/engines/onnx/index.js';
import { gradients } from '../../../src/engines/tfjs/gradients.js';
import { assertClose, largest } from '../assertClose.js';
import { agreementCases, separatedCase } from '../cases.js';
import { plainSgd } from '../fixtures.js';

const titles = [
  'xbm, columns of 8 rows (ragged last segment), 4 bits',
  'xbm, basic blocks',
  'finetune, 4 bits',
  'finetune, 8 bits, basic blocks',
];
/**
 * nchw throughout, borders before the last and before the middle stage of the tiny networks, and Winograd's filtering in
 * every layer that can have it.
 */
const variants = [
  { mergedPixels: 0 },
  { mergedPixels: 4 },
  { mergedPixels: 16 },
  { mergedPixels: 64, winogradChannels: 1 },
];
const ones = { masks: 1, weights: 1, batchNorm: 1, head: 1 };

describe('layouts of the onnx engine', () => {
  for (const title of titles) {
    const { plan, state, batch } = separatedCase(agreementCases[title]);
    for (const variant of variants) {
      const { mergedPixels, winogradChannels } = variant;
      const how = winogradChannels ? ', by Winograd' : '';
      test(`${title}: merged up to ${mergedPixels} pixels${how}`, async () => {
        const reference = await gradients(plan, state, batch, 0);
        const engine = createOnnxEngine({ threads: 1, ...variant });
        const session = await engine.openTraining(
          { ...plan, optimizer: plainSgd },
          { ...state, moments: zeroMoments() },
        );
        const { metrics } = await session.trainStep(batch, { step: 0, learningRates: ones });
        const { loss } = await metrics;
        const after = await session.readState();
        await session.close();
        assertClose([loss], [reference.loss], 1e-5, 'loss');
        // As in the agreement suite: parameters near 1 keep differences of 1e-7 at best.
        const floor = Math.max(1e-2 * Math.max(...Object.values(reference.gradients).map(largest)), 5e-3);
        for (const [name, gradient] of Object.entries(reference.gradients)) {
          const moved = state.tensors[name].map((value, i) => value - after.tensors[name][i]);
          assertClose(moved, gradient, 5e-5, name, floor);
        }
      });
    }

    function zeroMoments(): Record<string, Float32Array> {
      const names = Object.keys(state.moments).filter((name) => name.endsWith('.m'));
      return Object.fromEntries(
        names.map((name) => [
          name.replace(/\.m$/, '.momentum'),
          new Float32Array(state.moments[name].length),
        ]),
      );
    }
  }
});
