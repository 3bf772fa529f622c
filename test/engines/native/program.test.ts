import assert from 'node:assert/strict';
import { totalmem } from 'node:os';
import { describe, test } from 'node:test';
import type { Addon } from '../../../src/engines/native/addon.js';
import { ProgramBuilder } from '../../../src/engines/native/program.js';
import { installedAddon } from './variants.js';

/** An addon that keeps what it is asked to run. */
function fakeAddon() {
  const programs: number[][] = [];
  const addon: Addon = {
    lanes: 16,
    maxKernel: 16,
    maxValues: 24,
    gradientChannels: 128,
    coefficients: ['mean', 'scale'],
    hasInt8: 0,
    int8Name: '',
    int8LevelLimit: 0,
    int8SumLimit: 1,
    int8ProductLimit: 0,
    hasBfloat16: 0,
    hasFixed16: 0,
    fixed16Channels: 512,
    kernels: ['copy', 'join'],
    arguments: { copy: ['from', 'to', 'size'], join: ['to', 'kind', 'parts'] },
    records: { part: ['tensor', 'weight'] },
    stepValues: ['rate', 'index'],
    enums: { kind: ['whole', 'half'] },
    allocate: (bytes) => new ArrayBuffer(bytes),
    createPool: () => ({}) as ReturnType<Addon['createPool']>,
    closePool: () => {},
    run: async (_pool, _arena, program, step) => {
      programs.push([...program], [...step]);
    },
  };
  return { addon, programs };
}

describe('a program', () => {
  test('arguments follow the names that the kernel gives, records the arguments', async () => {
    const { addon, programs } = fakeAddon();
    const builder = new ProgramBuilder(addon);
    const a = builder.persistent('a', 100, Uint8Array.from([1, 2, 3]));
    const b = builder.persistent('b', 64);
    builder.call('copy', { size: 3, to: b, from: { tensor: a, offset: 8 } });
    builder.call(
      'join',
      { to: null, kind: 'half', parts: 2 },
      {
        records: [
          ['part', { weight: 0.5, tensor: b }],
          ['part', { weight: 2, tensor: a }],
        ],
      },
    );
    const program = builder.finish(1);
    await program.run({ index: 7, rate: 0.25 });
    // a takes 128 bytes: tensors start on multiples of 64.
    assert.deepEqual(programs, [
      [0, 3, 8, 128, 3, 1, 7, -1, 1, 2, 128, 0.5, 0, 2],
      [0.25, 7],
    ]);
    assert.deepEqual([...program.bytesOf(a).subarray(0, 4)], [1, 2, 3, 0]);
    assert.equal(program.bytes, 192);
  });

  test('transient tensors share memory when their lives do not overlap', () => {
    const { addon } = fakeAddon();
    const builder = new ProgramBuilder(addon);
    const tensors = Array.from({ length: 6 }, (_, i) => builder.transient(`${i}`, 1000));
    for (let i = 0; i + 1 < tensors.length; i++)
      builder.call('copy', { from: tensors[i], to: tensors[i + 1], size: 1 });
    assert.equal(builder.finish(1).bytes, 2 * 1024);
  });

  test('a call with a wrong, missing or unknown name is a mistake of ours and says which', async () => {
    const mistake = (build: (builder: ProgramBuilder) => void, message: RegExp) => {
      const builder = new ProgramBuilder(fakeAddon().addon);
      build(builder);
      assert.throws(() => builder.finish(1), message);
    };
    mistake((b) => b.call('multiply', {}), /no kernel named multiply/);
    mistake((b) => b.call('copy', { from: 0, to: 0 }), /copy needs its argument size/);
    mistake((b) => b.call('copy', { from: 0, to: 0, size: 1, length: 1 }), /copy has no argument length/);
    mistake((b) => b.call('join', { to: 0, kind: 'third', parts: 0 }), /join: no kind is named third/);
    mistake((b) => b.call('copy', { from: 0, to: 0, size: 'half' }), /copy: no size is named half/);
    const foreign = new ProgramBuilder(fakeAddon().addon).persistent('theirs', 4);
    mistake((b) => b.call('copy', { from: foreign, to: 0, size: 1 }), /theirs is another program's/);
    const builder = new ProgramBuilder(fakeAddon().addon);
    assert.throws(() => builder.finish(1).run({ rate: 1 }), /the step has no index/);
  });
});

const GIBIBYTE = 2 ** 30;
const installed = installedAddon();
const skip = !installed
  ? 'the native kernels are not built: npm run setup:native'
  : totalmem() < 6 * GIBIBYTE && 'it takes a machine with 6 GiB of memory';

test('an arena may be larger than the largest buffer of Node 20, 4 GiB', { skip }, async () => {
  const builder = new ProgramBuilder(installed!.addon);
  const length = 16;
  const [a, b, result] = [3, 4, 0].map((value) =>
    builder.persistent(`${value}`, 4 * length, new Float32Array(length).fill(value)),
  );
  const large = builder.transient('large', 5 * GIBIBYTE);
  const end = { tensor: large, offset: large.bytes - 4 * length };
  builder.call('addGradients', { a, b, sum: end, size: length });
  builder.call('addGradients', { a: end, b, sum: result, size: length });
  const program = builder.finish(2);
  assert.ok(program.bytes > 5 * GIBIBYTE);
  await program.run(Object.fromEntries(installed!.addon.stepValues.map((name) => [name, 0])));
  assert.deepEqual(program.floatsOf(result, length), new Float32Array(length).fill(3 + 4 + 4));
  program.close();
});
