/**
 * @file The `native` engine: a training step as a program of C kernels, compiled on the machine that runs them, which take
 * the processor's int8 products, and 16-bit ones for gradients, where it has them. Inference is ONNX Runtime's: nothing is
 * trained there, and its integers are as fast.
 */
import { availableParallelism } from 'node:os';
import type { Engine, EngineEntry } from '../engine.js';
import { createOnnxEngine } from '../onnx/index.js';
import { type Addon, addonStatus, type BuildFacts, loadAddon } from './addon.js';
import type { Precision } from './taskWeights.js';
import { NativeTrainingSession } from './trainingSession.js';

export const engineEntry: EngineEntry = {
  name: 'native',
  description:
    'C kernels built for this processor: int8 products, 16-bit gradients; once built the default where they were measured to be faster',
  async probe() {
    const opened = open();
    if ('reason' in opened) return { available: false, reason: opened.reason };
    const { addon, facts } = opened;
    const passedOver = whyPassedOver(addon);
    const device = deviceName(addon, facts, bestPrecision(addon), 0);
    return { available: true, device, ...(passedOver === null ? {} : { passedOver }) };
  },
  async create({ threads }) {
    const opened = open();
    if ('reason' in opened) throw new Error(opened.reason);
    return createNativeEngine(opened.addon, opened.facts, { threads });
  },
};

function open(): { addon: Addon; facts: BuildFacts } | { reason: string } {
  const status = addonStatus();
  if (!status.available) return { reason: status.reason };
  try {
    return { addon: loadAddon(status.path), facts: status.facts };
  } catch (error) {
    const [reason] = String(error instanceof Error ? error.message : error).split('\n');
    return { reason: `its kernels do not load: ${reason}` };
  }
}

/** Int8 products with which the engine was measured to be faster than `onnx` by a tenth and more (docs/performance.md). */
const fasterThanOnnx = ['AVX-512 VNNI', 'AVX-512', 'AVX-VNNI', 'AVX2'];

/** Why `auto` prefers the onnx engine to these kernels; null: it does not. */
export function whyPassedOver({ hasInt8, int8Name }: Pick<Addon, 'hasInt8' | 'int8Name'>): string | null {
  // In float32 alone its plain convolutions are no match for the onnx engine's, which take half the multiplications.
  if (!hasInt8) return 'this processor has no int8 products';
  return fasterThanOnnx.includes(int8Name)
    ? null
    : `by ${int8Name} it is not known to be much faster than onnx`;
}

/** What this build of the kernels can do. */
export function bestPrecision({ hasInt8, hasBfloat16, hasFixed16 }: Addon): Precision {
  if (!hasInt8) return { forward: 'float32', backward: 'float32' };
  return { forward: 'levels8', backward: hasBfloat16 ? 'bfloat16' : hasFixed16 ? 'fixed16' : 'float32' };
}

/**
 * @param options `precision` is set by tests and benches
 * @throws Error when it asks for products that the kernels have not
 */
export function createNativeEngine(
  addon: Addon,
  facts: BuildFacts,
  options: { readonly threads: number; readonly precision?: Precision },
): Engine {
  const threads = options.threads || availableParallelism();
  const precision = options.precision ?? bestPrecision(addon);
  checkPrecision(addon, precision);
  const inference = createOnnxEngine({ threads });
  return {
    name: 'native',
    inference: inference.name,
    device: deviceName(addon, facts, precision, threads),
    gradientPrecision: precision.backward,
    openTraining: async (plan, state) =>
      NativeTrainingSession.open(addon, plan, state, { threads, precision }),
    openInference: (plan) => inference.openInference(plan),
  };
}

/** Kernels compute an unknown product in float32, whatever its operands hold. */
function checkPrecision(addon: Addon, { forward, backward }: Precision): void {
  if (forward === 'levels8' && !addon.hasInt8) throw new Error('this build has no int8 products');
  if (backward === 'bfloat16' && !addon.hasBfloat16) throw new Error('this build has no bfloat16 products');
  if (backward === 'fixed16' && !addon.hasFixed16) throw new Error('this build has no fixed-point products');
}

function deviceName(addon: Addon, { compiler }: BuildFacts, precision: Precision, threads: number): string {
  const count = threads || availableParallelism();
  const forward = precision.forward === 'levels8' ? `int8 (${addon.int8Name})` : 'float32';
  const backward = precision.backward === 'fixed16' ? '16-bit fixed-point' : precision.backward;
  const products = `${forward} and ${backward} products`;
  return `C kernels (${compiler}), ${products}, ${count} thread${count === 1 ? '' : 's'}`;
}
