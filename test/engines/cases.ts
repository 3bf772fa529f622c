/** @file The cases in which every engine must agree with the reference. */
import type { MethodSpec } from '../../src/adaption/method.js';
import type { TaskState } from '../../src/adaption/parameters.js';
import type { Batch } from '../../src/data/batch.js';
import type { TrainingPlan } from '../../src/engines/engine.js';
import { type CaseOptions, tinyBatch, tinyMethod, tinyPlan, tinyState } from './fixtures.js';
import { type OracleInput, type OracleResult, oracle } from './oracle.js';

const xbm = tinyMethod('xbm');
const mask = (changes: Parameters<typeof tinyMethod>[1]): MethodSpec => tinyMethod('xbm', changes);

/** Every layer kind, method, granularity, binariser, noise, batch norm mode and weight width. */
export const agreementCases: Readonly<Record<string, CaseOptions>> = {
  'xbm, columns of 8 rows (ragged last segment), 4 bits': { method: xbm },
  'xbm, basic blocks': { method: xbm, network: 'basic' },
  'xbm, columns of 72 rows': { method: mask({ rows: 72 }) },
  'xbm, columns longer than a filter': { method: mask({ rows: 1_000_000 }) },
  'xbm, kernels': { method: mask({ granularity: 'kernel' }) },
  'xbm, elements': { method: mask({ granularity: 'element' }) },
  'xbm, channels': { method: mask({ granularity: 'channel' }), network: 'basic' },
  'xbm, channels, batch norm frozen': {
    method: { ...mask({ granularity: 'channel' }), trainBatchNorm: false },
  },
  'xbm, columns, identity binariser': { method: mask({ binarizer: 'identity' }) },
  'xbm, columns, noise': { method: mask({ noise: true }) },
  'xbm, elements, noise, basic blocks': {
    method: mask({ granularity: 'element', noise: true }),
    network: 'basic',
  },
  'xbm, batch norm frozen': { method: { ...xbm, trainBatchNorm: false } },
  'xbm, 8 bits': { method: xbm, weightBits: 8, activationBits: 8 },
  'xbm, full precision': { method: xbm, weightBits: 32, activationBits: 32 },
  'xbm, 4-bit weights, full-precision activations': { method: xbm, activationBits: 32, network: 'basic' },
  'xbm, 2 bits': { method: xbm, weightBits: 2, activationBits: 2, network: 'basic' },
  piggyback: { method: tinyMethod('piggyback') },
  'piggyback, batch norm frozen': {
    method: tinyMethod('piggyback', {}, { trainBatchNorm: false }),
    network: 'basic',
  },
  'finetune, 4 bits': { method: tinyMethod('finetune') },
  'finetune, 8 bits, basic blocks': {
    method: tinyMethod('finetune'),
    network: 'basic',
    weightBits: 8,
    activationBits: 8,
  },
  'finetune, full precision': { method: tinyMethod('finetune'), weightBits: 32, activationBits: 32 },
  'finetune, batch norm frozen': { method: tinyMethod('finetune', {}, { trainBatchNorm: false }) },
  classifier: { method: tinyMethod('classifier') },
  'classifier, batch norm trained': { method: tinyMethod('classifier', {}, { trainBatchNorm: true }) },
};

export interface AgreementCase {
  readonly plan: TrainingPlan;
  readonly state: TaskState;
  readonly batch: Batch;
  readonly input: OracleInput;
  /** What float64 computes. */
  readonly expected: OracleResult;
}

/** No value is nearer than this to a jump or kink, so float32 errors (about 1e-6) cannot take it to the other side. */
export const minimumMargin = 3e-5;

/** The first of some random states and batches in which every value keeps clear of jumps and kinks. */
export function separatedCase(options: CaseOptions): AgreementCase {
  const plan = tinyPlan(options);
  for (let seed = 1; seed <= 200; seed++) {
    const state = tinyState(plan, seed);
    const batch = tinyBatch(plan, seed);
    const input: OracleInput = {
      ...plan,
      tensors: state.tensors,
      batch,
      training: { seed: plan.seed, step: 0 },
    };
    const expected = oracle(input);
    if (expected.margin >= minimumMargin) return { plan, state, batch, input, expected };
  }
  throw new Error('no seed keeps every value clear of rounding boundaries');
}
