import type { Batch } from '../../src/data/batch.js';
import type { Engine } from '../../src/engines/engine.js';
import { assertClose } from './assertClose.js';
import { type AgreementCase, minimumMargin } from './cases.js';
import { folded, tinyBatch } from './fixtures.js';
import { type OracleResult, oracle } from './oracle.js';

const tolerance = 2e-5;

/**
 * The folded network's logits, with taps also the output of every layer, against float64 on the task that is not
 * folded.
 */
export async function inferenceAgrees(
  engine: Engine,
  agreementCase: AgreementCase,
  options: { readonly taps: boolean },
): Promise<void> {
  const { plan, state } = agreementCase;
  const { graph, batchSize, imageSize } = plan;
  const network = folded(plan, state);
  const taps = options.taps ? graph.layers.map(({ name }) => name) : [];
  const session = await engine.openInference({ network, batchSize, imageSize, taps });
  try {
    const { batch, expected } = separatedBatch(agreementCase);
    batch.labels[batch.labels.length - 1] = -1; // padding of the last evaluation batch
    const prediction = await session.predict(batch);
    assertClose(prediction.logits, expected.logits, tolerance, 'logits');
    for (const name of taps) {
      assertClose(prediction.taps[name], expected.outputs.get(name)!.values, tolerance, `output of ${name}`);
    }
  } finally {
    await session.close();
  }
}

function separatedBatch({ plan, state }: AgreementCase): { batch: Batch; expected: OracleResult } {
  for (let seed = 1; seed <= 100; seed++) {
    const batch = tinyBatch(plan, seed);
    const expected = oracle({ ...plan, tensors: state.tensors, batch, training: null });
    if (expected.margin >= minimumMargin) return { batch, expected };
  }
  throw new Error('no seed keeps every value clear of rounding boundaries');
}
