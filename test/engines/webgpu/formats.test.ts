/** @file Formats of feature maps on the GPU: what is stored is the nearest value, and what is read back is what was stored. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { defineKernel, linearEntry, linearWorkgroups } from '../../../src/engines/webgpu/kernel.js';
import { type FeatureFormat, formats, readValues } from '../../../src/engines/webgpu/kernels/formats.js';
import { PlanBuilder } from '../../../src/engines/webgpu/planBuilder.js';
import { hash32 } from '../../../src/random.js';
import { testGpu } from './gpu.js';

const { skip, open } = await testGpu();
const gpu = skip ? null : await open();
after(() => gpu?.device.destroy());

/** Stores values in a format and reads them from it again, on the GPU. */
async function throughFormat(format: FeatureFormat, values: Float32Array<ArrayBuffer>) {
  const builder = new PlanBuilder(gpu!);
  const { element, bytes, load, store } = formats[format];
  const quads = values.length / 4;
  const original = builder.persistent('original', values.byteLength, values);
  const stored = builder.persistent('stored', quads * bytes);
  const loaded = builder.persistent('loaded', values.byteLength);
  const kernel = (from: string, to: string, convert: string) =>
    defineKernel({
      label: 'test',
      params: { size: 'u32' },
      buffers: { x: `read ${from}` as 'read u32', y: `read_write ${to}` as 'read_write u32' },
      body: linearEntry(`  if (i < params.size) { y[i] = ${convert}; }`),
    });
  const call = { params: { size: quads }, workgroups: linearWorkgroups(quads) };
  builder.dispatch(kernel('vec4f', element, store('x[i]')), {
    ...call,
    tensors: { x: original, y: stored },
  });
  builder.dispatch(kernel(element, 'vec4f', load('x[i]')), {
    ...call,
    tensors: { x: stored, y: loaded },
  });
  const plan = await builder.finish(gpu!);
  const [storedBytes, loadedBytes] = await plan.run([stored, loaded]);
  plan.close();
  return { stored: readValues(storedBytes, format), loaded: new Float32Array(loadedBytes) };
}

/** Float32 of every sign and magnitude, from random bits; no infinities, no NaN. */
const anyFloats = (count: number): Float32Array<ArrayBuffer> =>
  new Float32Array(Uint32Array.from({ length: count }, (_, i) => hash32(1, i)).buffer).map((value) =>
    Number.isFinite(value) ? value : 1,
  );

/** Nearest value with an 8-bit significand, ties to even, by the definition. */
function nearestBfloat16(value: number): number {
  if (value === 0) return value;
  const exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(value))));
  const unit = 2 ** (exponent - 7);
  const steps = value / unit;
  const below = Math.floor(steps);
  const rest = steps - below;
  const rounded = rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
  return Math.fround(rounded * unit);
}

describe('formats of feature maps', { skip }, () => {
  test('bfloat16 is the nearest value of 8 bits, ties to even', async () => {
    const ties = [1 + 2 ** -8, 1 + 3 * 2 ** -8, -(1 + 2 ** -8), 2 - 2 ** -8];
    const values = Float32Array.from([...ties, 0, -0, 3e38, -1e-30, ...anyFloats(4096)]);
    const { stored, loaded } = await throughFormat('bfloat16', values);
    assert.deepEqual(loaded, stored);
    values.forEach((value, i) => {
      if (Math.abs(value) > 2 ** -126) assert.equal(stored[i], nearestBfloat16(value), `of ${value}`);
      else assert.ok(Math.abs(stored[i] - value) < 2 ** -126, `of ${value}`); // subnormal: may be flushed
    });
  });

  test('bfloat16 keeps infinities and every NaN, which rounding could make a zero', async () => {
    const patterns = Uint32Array.of(
      0x7f800000,
      0xff800000,
      0x7fc00000,
      0x7fffffff,
      0xffffffff,
      0x7f800001,
      0,
      0,
    );
    const { stored } = await throughFormat('bfloat16', new Float32Array(patterns.buffer));
    assert.deepEqual([...stored.subarray(0, 2)], [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
    for (let i = 2; i < 6; i++) assert.ok(Number.isNaN(stored[i]), patterns[i].toString(16));
  });

  test('float16 holds integers up to 2,048 and halves of them', async (t) => {
    if (!gpu!.units) return t.skip('no float16 here');
    const values = Float32Array.from({ length: 4096 }, (_, i) => (i - 2048) / (i % 2 === 0 ? 1 : 2));
    const { stored, loaded } = await throughFormat('float16', values);
    assert.deepEqual(stored, values);
    assert.deepEqual(loaded, values);
  });

  test('levels are bytes', async () => {
    const values = Float32Array.from({ length: 256 }, (_, i) => i);
    const { stored, loaded } = await throughFormat('levels', values);
    assert.deepEqual(stored, values);
    assert.deepEqual(loaded, values);
  });
});
