import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  defineKernel,
  encodeScalars,
  LINEAR_THREADS,
  linearWorkgroups,
  MAX_WORKGROUPS,
} from '../../../src/engines/webgpu/kernel.js';

test('a linear grid has a thread for every element and no dimension beyond the limit', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 32 }), (threads) => {
      const [x, y, z] = linearWorkgroups(threads);
      assert.ok(x * y * z * LINEAR_THREADS >= threads);
      assert.ok(Math.max(x, y, z) <= MAX_WORKGROUPS);
    }),
  );
});

test('scalars are encoded in the order of the struct, each in its type', () => {
  const fields = { count: 'u32', factor: 'f32', last: 'u32' } as const;
  const bytes = new ArrayBuffer(16);
  encodeScalars(fields, { last: 7, factor: 0.5, count: 4_000_000_000 }, bytes, 4);
  assert.deepEqual([...new Uint32Array(bytes)], [0, 4_000_000_000, 0x3f000000, 7]);
});

test('a missing parameter is an error that names it', () => {
  assert.throws(() => encodeScalars({ count: 'u32' }, {}, new ArrayBuffer(4)), /count/);
});

test('the source declares what the kernel says it binds', () => {
  const { code } = defineKernel({
    label: 'test',
    params: { size: 'u32' },
    buffers: { a: 'read vec4<f16>', b: 'read_write f32' },
    usesStep: true,
    body: '',
  });
  assert.match(code, /^enable f16;/);
  assert.match(code, /@binding\(2\) var<storage, read> a: array<vec4<f16>>;/);
  assert.match(code, /@binding\(3\) var<storage, read_write> b: array<f32>;/);
  assert.match(code, /var<uniform> step: Step;/);
});
