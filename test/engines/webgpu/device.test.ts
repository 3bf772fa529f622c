/** @file How failures of a GPU reach the caller, on a device that only fails. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canLoadLibrary, Gpu } from '../../../src/engines/webgpu/device.js';
import { defineKernel } from '../../../src/engines/webgpu/kernel.js';
import { ExitCode, UserError } from '../../../src/errors.js';

const adapterOf = (requestDevice: () => Promise<unknown>) =>
  ({
    features: new Set(),
    limits: {},
    info: { description: 'Test GPU' },
    requestDevice,
  }) as unknown as GPUAdapter;

async function openFailing() {
  let lose: (info: { reason: string; message: string }) => void = () => {};
  const device = {
    lost: new Promise((resolve) => {
      lose = resolve;
    }),
    onuncapturederror: (_: { error: { message: string } }) => {},
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createShaderModule: () => ({}),
    createComputePipelineAsync: () =>
      Promise.reject(new DOMException('too many threads\n - While calling this\n', 'OperationError')),
  };
  return { gpu: await Gpu.open(adapterOf(async () => device)), device, lose };
}

const userError = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof UserError, String(error));
  assert.match(error.message, message);
  assert.doesNotMatch(error.message, /\n/);
  assert.equal(error.exitCode, ExitCode.unavailable);
  return true;
};
/** What mapping rejects with when its buffer or device is gone: its name must not pass for the user's interruption. */
const aborted = () => Promise.reject(new DOMException('', 'AbortError'));

test('a lost device is named as such, by work in flight and from then on', async () => {
  const { gpu, lose } = await openFailing();
  gpu.check();
  lose({ reason: 'unknown', message: 'VK_ERROR_DEVICE_LOST' });
  await assert.rejects(gpu.settle(aborted()), userError(/lost: VK_ERROR_DEVICE_LOST/));
  assert.throws(() => gpu.check(), userError(/VK_ERROR_DEVICE_LOST/));
});

test('work that ends before the loss is heard of is a failure of the GPU, not an interruption', async () => {
  const { gpu } = await openFailing();
  await assert.rejects(gpu.settle(aborted()), userError(/the GPU failed: AbortError/));
});

test('an error that nobody caught fails the work that was thought done', async () => {
  const { gpu, device } = await openFailing();
  device.onuncapturederror({ error: { message: 'bad binding\n - While validating\n' } });
  await assert.rejects(gpu.settle(Promise.resolve(1)), userError(/bad binding; While validating$/));
});

test('a bug in what reads the results stays a bug', async () => {
  const { gpu } = await openFailing();
  await assert.rejects(gpu.settle(Promise.reject(new TypeError('no such thing'))), TypeError);
});

test('a kernel that the driver does not compile', async () => {
  const { gpu } = await openFailing();
  const { GPUShaderStage } = globalThis;
  globalThis.GPUShaderStage ??= { COMPUTE: 4, VERTEX: 1, FRAGMENT: 2 } as typeof GPUShaderStage;
  const kernel = defineKernel({ label: 'test', params: {}, buffers: {}, body: '' });
  await assert.rejects(gpu.pipeline(kernel), userError(/too many threads; While calling this$/));
});

test('a device that does not open names the GPU', async () => {
  const adapter = adapterOf(() => Promise.reject(new DOMException('no memory', 'OperationError')));
  await assert.rejects(Gpu.open(adapter), userError(/Test GPU does not open: no memory/));
});

test('a library that the dynamic linker finds can be loaded though it is no addon, another cannot', {
  skip: process.platform !== 'linux' && 'Dawn is asked without looking for Vulkan elsewhere',
}, () => {
  assert.equal(canLoadLibrary('libstdc++.so.6'), true); // Node itself needs it
  assert.equal(canLoadLibrary('libxbm-none.so.1'), false);
});
