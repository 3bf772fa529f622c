/** @file What products compute in by processor and backbone, and where `auto` takes the engine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Addon } from '../../../src/engines/native/addon.js';
import { bestPrecision, whyPassedOver } from '../../../src/engines/native/index.js';
import { exactPrecision, type Precision } from '../../../src/engines/native/taskWeights.js';
import { compileTraining } from '../../../src/engines/native/trainingProgram.js';
import { tinyPlan, tinyState } from '../fixtures.js';
import { installedAddon } from './variants.js';

const best: Precision = { forward: 'levels8', backward: 'bfloat16' };
const float32: Precision = { forward: 'float32', backward: 'float32' };

const kernels = {
  'AVX-512 VNNI': { int8LevelLimit: 255, int8ProductLimit: 255 * 128 },
  AVX2: { int8LevelLimit: 255, int8ProductLimit: 16383 },
  dotprod: { int8LevelLimit: 127, int8ProductLimit: 255 * 128 },
};

for (const [name, weightBits, activationBits, expected] of [
  ['AVX-512 VNNI', 4, 4, best],
  ['AVX-512 VNNI', 8, 8, best],
  ['AVX-512 VNNI', 32, 4, float32],
  ['AVX-512 VNNI', 4, 32, float32],
  // Two products of 255 · 127 do not fit in int16, of 255 · 63 and 127 · 127 they do.
  ['AVX2', 4, 4, best],
  ['AVX2', 7, 8, best],
  ['AVX2', 8, 7, best],
  ['AVX2', 8, 8, float32],
  ['dotprod', 8, 7, best],
  ['dotprod', 2, 8, float32],
] as const)
  test(`${name}, ${weightBits}-bit weights, ${activationBits}-bit activations: ${expected.forward}`, () => {
    const found = exactPrecision(kernels[name] as Addon, best, { weightBits, activationBits });
    assert.deepEqual(found, expected);
  });

test('gradients are bfloat16 where there is such, else in fixed point where the processor has that', () => {
  const backwardOf = (hasInt8: number, hasBfloat16: number, hasFixed16: number) =>
    bestPrecision({ hasInt8, hasBfloat16, hasFixed16 } as Addon).backward;
  assert.equal(backwardOf(1, 1, 0), 'bfloat16');
  assert.equal(backwardOf(1, 0, 1), 'fixed16');
  assert.equal(backwardOf(1, 0, 0), 'float32');
  assert.equal(backwardOf(0, 1, 1), 'float32');
});

const installed = installedAddon();
const skip = installed ? false : 'the native kernels are not built: npm run setup:native';

/** Of a step's calls of `gather`: the formats, and the largest products that the kernel is told. */
async function gathersOf(weightBits: number, activationBits: number) {
  const calls: { format: string; largestProduct: number }[] = [];
  const { enums, arguments: names, kernels: order } = installed!.addon;
  const addon: Addon = {
    ...installed!.addon,
    ...kernels.AVX2,
    run: async (_pool, _arena, program) => {
      for (let at = 0; at < program.length; at += 2 + program[at + 1]) {
        if (order[program[at]] !== 'gather') continue;
        const value = (name: string) => program[at + 2 + names.gather.indexOf(name)];
        calls.push({ format: enums.format[value('format')], largestProduct: value('largestProduct') });
      }
    },
  };
  const plan = tinyPlan({ network: 'basic', weightBits, activationBits });
  const precision: Precision = { forward: 'levels8', backward: 'float32' };
  const { program } = compileTraining(addon, plan, tinyState(plan).tensors, { threads: 1, precision });
  await program.run(Object.fromEntries(addon.stepValues.map((name) => [name, 0])));
  program.close();
  return calls;
}

for (const [weightBits, activationBits, largest] of [
  [4, 4, 15 * 7],
  [3, 8, 255 * 3],
] as const)
  test(`${weightBits} by ${activationBits} bits: int8 products are told the largest`, { skip }, async () => {
    const int8 = (await gathersOf(weightBits, activationBits)).filter(({ format }) => format === 'levels8');
    assert.ok(int8.length > 1);
    for (const { largestProduct } of int8) assert.equal(largestProduct, largest);
  });

test('8 by 8 bits: no int8 products where pairs of them do not fit', { skip }, async () => {
  const formats = (await gathersOf(8, 8)).map(({ format }) => format);
  assert.deepEqual([...new Set(formats)], ['float32']);
});

test('auto takes the engine where it was measured to be faster', () => {
  for (const int8Name of ['AVX-512 VNNI', 'AVX-512', 'AVX-VNNI', 'AVX2'])
    assert.equal(whyPassedOver({ hasInt8: 1, int8Name }), null);
  for (const int8Name of ['i8mm', 'dotprod'])
    assert.equal(
      whyPassedOver({ hasInt8: 1, int8Name }),
      `by ${int8Name} it is not known to be much faster than onnx`,
    );
  assert.equal(whyPassedOver({ hasInt8: 0, int8Name: '' }), 'this processor has no int8 products');
});
