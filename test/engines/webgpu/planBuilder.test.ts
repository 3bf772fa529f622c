/** @file Limits of a device, which a plan keeps or names: checked before anything is compiled or allocated. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Gpu } from '../../../src/engines/webgpu/device.js';
import { defineKernel, type Workgroups } from '../../../src/engines/webgpu/kernel.js';
import { sliceByFlop } from '../../../src/engines/webgpu/plan.js';
import { PlanBuilder } from '../../../src/engines/webgpu/planBuilder.js';
import { ExitCode, UserError } from '../../../src/errors.js';

const gpu = {
  limits: {
    maxBufferSize: 2 ** 28,
    maxStorageBufferBindingSize: 2 ** 20,
    maxStorageBuffersPerShaderStage: 2,
  },
} as unknown as Gpu;

function builderOf(count: number, bytes: number, workgroups: Workgroups): PlanBuilder {
  const builder = new PlanBuilder(gpu);
  const names = Array.from({ length: count }, (_, i) => `b${i}`);
  const kernel = defineKernel({
    label: 'test',
    params: {},
    buffers: Object.fromEntries(names.map((name) => [name, 'read f32' as const])),
    body: '',
  });
  const tensors = Object.fromEntries(names.map((name) => [name, builder.transient(name, bytes)]));
  builder.dispatch(kernel, { params: {}, tensors, workgroups });
  return builder;
}

const refused = (builder: PlanBuilder, message: RegExp, hint: RegExp) =>
  assert.rejects(builder.finish(gpu), (error) => {
    assert.ok(error instanceof UserError, String(error));
    assert.match(error.message, message);
    assert.match(error.hint ?? '', hint);
    assert.equal(error.exitCode, ExitCode.unavailable);
    return true;
  });

test('a tensor larger than the GPU binds', () =>
  refused(
    builderOf(1, 2 ** 21, [1, 1, 1]),
    /"b0" takes 2 MiB, and the GPU allows 1 MiB/,
    /training\.batchSize/,
  ));

test('more workgroups in one dimension than there may be', () =>
  refused(builderOf(1, 4, [65_536, 1, 1]), /65536 workgroups/, /training\.batchSize/));

test('more buffers in a kernel than the GPU has', () =>
  refused(builderOf(3, 4, [1, 1, 1]), /binds 3 buffers, and the GPU allows 2/, /--engine/));

test('a submission is short: products are cut into slices of 0.2 TFLOP, in order', () => {
  const dispatches = [0, 1.5e11, 0, 1e11, 0.5e11, 9e11, 0].map((flop, i) => ({ i, flop }));
  const slices = sliceByFlop(dispatches).map((slice) => slice.map(({ i }) => i));
  assert.deepEqual(slices, [[0, 1, 2], [3, 4], [5], [6]]);
  assert.deepEqual(sliceByFlop([]), []);
});
