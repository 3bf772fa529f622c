/** @file The `webgpu` engine: compiled plans of WGSL kernels, on any GPU that Dawn finds (Vulkan, Metal, Direct3D 12). */
import { createRequire } from 'node:module';
import { ExitCode, UserError } from '../../errors.js';
import type { Engine, EngineEntry } from '../engine.js';
import { adapterFacts, Gpu, requestAdapter } from './device.js';
import { WebGpuInferenceSession } from './inferenceSession.js';
import { WebGpuTrainingSession } from './trainingSession.js';

const noAdapter =
  process.platform === 'linux'
    ? 'Dawn finds no GPU: it needs a Vulkan driver and its loader (Debian: libvulkan1)'
    : 'Dawn finds no GPU';

export const engineEntry: EngineEntry = {
  name: 'webgpu',
  description: 'WebGPU (Dawn): fused kernels on any GPU; the default with a GPU',
  async probe() {
    let adapter: GPUAdapter | null;
    try {
      adapter = await requestAdapter();
    } catch (error) {
      const [reason] = String(error instanceof Error ? error.message : error).split('\n');
      return { available: false, reason: `the package webgpu does not load: ${reason}` };
    }
    if (!adapter) return { available: false, reason: noAdapter };
    return { available: true, device: deviceName(adapter), software: adapterFacts(adapter).software };
  },
  create: () => createWebGpuEngine(),
};

export async function createWebGpuEngine(): Promise<Engine> {
  const adapter = await requestAdapter();
  if (!adapter) throw new UserError(noAdapter, 'See `xbm engines`.', ExitCode.unavailable);
  const gpu = await Gpu.open(adapter);
  return {
    name: 'webgpu',
    device: deviceName(adapter),
    openTraining: (plan, state) => WebGpuTrainingSession.open(gpu, plan, state),
    openInference: (plan) => WebGpuInferenceSession.open(gpu, plan),
  };
}

function deviceName(adapter: GPUAdapter): string {
  const { version } = createRequire(import.meta.url)('webgpu/package.json');
  const { name, software } = adapterFacts(adapter);
  return `WebGPU (Dawn ${version}), ${name}${software ? ', a software GPU' : ''}`;
}
