/** @file The `webgpu` engine: compiled plans of WGSL kernels, on any GPU that Dawn finds (Vulkan, Metal, Direct3D 12). */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { ExitCode, UserError } from '../../errors.js';
import type { Engine, EngineEntry } from '../engine.js';
import {
  adapterFacts,
  describeMatrix,
  type MatrixSupport,
  matrixSupport,
  type Precision,
  requestAdapter,
} from './device.js';
import { WebGpuInferenceSession } from './inferenceSession.js';
import { openCheckedGpu } from './selfCheck.js';
import { WebGpuTrainingSession } from './trainingSession.js';

/** A machine set up for CUDA alone has NVIDIA's kernel module, but not all that its Vulkan driver needs. */
const nvidiaHint = existsSync('/dev/nvidiactl')
  ? "NVIDIA's Vulkan driver is not complete here: containers need NVIDIA_DRIVER_CAPABILITIES=all, Debian and Ubuntu libvulkan1, libxext6, libegl1 and the driver's libnvidia-gl package (docs/webgpu.md)"
  : null;

const noAdapter =
  process.platform === 'linux'
    ? `Dawn finds no GPU: ${nvidiaHint ?? 'it needs a Vulkan driver and its loader (Debian: libvulkan1)'}`
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
      device: deviceName(adapter, matrixSupport(adapter)),
      ...(adapterFacts(adapter).software
        ? { passedOver: ['only a software GPU', nvidiaHint].filter(Boolean).join('; ') }
        : {}),
    };
  },
  create: () => createWebGpuEngine(),
};

export async function createWebGpuEngine(precision: Precision = 'mixed'): Promise<Engine> {
  const adapter = await requestAdapter();
  if (!adapter) throw new UserError(noAdapter, 'See `xbm engines`.', ExitCode.unavailable);
  const gpu = await openCheckedGpu(adapter, precision);
  return {
    name: 'webgpu',
    inference: 'webgpu',
    device: deviceName(adapter, gpu.matrix),
    gradientPrecision: gpu.units === null ? 'float32' : precision === 'mixed' ? 'bfloat16' : 'float16',
    openTraining: (plan, state) => WebGpuTrainingSession.open(gpu, plan, state),
    openInference: (plan) => WebGpuInferenceSession.open(gpu, plan),
  };
}

function deviceName(adapter: GPUAdapter, matrix: MatrixSupport): string {
  const { version } = createRequire(import.meta.url)('webgpu/package.json');
  const { name, software } = adapterFacts(adapter);
  const parts = [`WebGPU (Dawn ${version})`, name, describeMatrix(matrix)];
  if (software) parts.push('a software GPU');
  return parts.join(', ');
}
