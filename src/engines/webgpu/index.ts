/** @file The `webgpu` engine: compiled plans of WGSL kernels, on any GPU that Dawn finds (Vulkan, Metal, Direct3D 12). */
import { createRequire } from 'node:module';
import { ExitCode, UserError } from '../../errors.js';
import type { Engine, EngineEntry } from '../engine.js';
import { adapterFacts, Gpu, matrixUnits, requestAdapter } from './device.js';
import { WebGpuInferenceSession } from './inferenceSession.js';
import type { MatrixUnits } from './kernels/matrixGemm.js';
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
    return {
      available: true,
      device: deviceName(adapter, matrixUnits(adapter)),
      ...(adapterFacts(adapter).software ? { passedOver: 'only a software GPU' } : {}),
    };
  },
  create: () => createWebGpuEngine(),
};

/** @param precision `float32`: without matrix units, as on a GPU that has none */
export async function createWebGpuEngine(precision: 'mixed' | 'float32' = 'mixed'): Promise<Engine> {
  const adapter = await requestAdapter();
  if (!adapter) throw new UserError(noAdapter, 'See `xbm engines`.', ExitCode.unavailable);
  const gpu = await Gpu.open(adapter, precision);
  return {
    name: 'webgpu',
    inference: 'webgpu',
    device: deviceName(adapter, gpu.units),
    gradientPrecision: gpu.units ? 'float16' : 'float32',
    openTraining: (plan, state) => WebGpuTrainingSession.open(gpu, plan, state),
    openInference: (plan) => WebGpuInferenceSession.open(gpu, plan),
  };
}

function deviceName(adapter: GPUAdapter, units: MatrixUnits | null): string {
  const { version } = createRequire(import.meta.url)('webgpu/package.json');
  const { name, software } = adapterFacts(adapter);
  const parts = [`WebGPU (Dawn ${version})`, name];
  if (units) parts.push(`matrix units ${units.rows}×${units.columns}×${units.depth} in float16`);
  if (software) parts.push('a software GPU');
  return parts.join(', ');
}
