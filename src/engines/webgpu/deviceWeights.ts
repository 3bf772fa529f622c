/** @file Weights from the host to the device, as the products read them. */
import { type ConvWeights, levelLimit } from '../../model/backbone.js';
import type { Window } from '../compiled/layers.js';
import { type DeviceWindow, padWeights, weightCount } from './features.js';
import type { WeightLayout } from './kernels/convolution.js';
import type { Tensor } from './plan.js';
import type { PlanBuilder } from './planBuilder.js';
import type { Weights } from './products.js';

const bytesOfType = { f32: 4, f16: 2, i8: 1 } as const satisfies Record<WeightLayout['type'], number>;

/** Bytes of a padded weight matrix. */
export const weightBytes = (window: DeviceWindow, { type }: WeightLayout): number =>
  weightCount(window) * bytesOfType[type];

/** Weights that no step changes: levels and their scales, or real values and scales of 1. */
export function frozenWeights(
  builder: PlanBuilder,
  window: DeviceWindow,
  weights: ConvWeights,
  onMatrixUnits: boolean,
): Weights {
  const upload = (layout: WeightLayout) => {
    const { order, type } = layout;
    const padded = padWeights(weights.kind === 'levels' ? weights.levels : weights.values, window, order);
    const data = { f32: () => padded, f16: () => halvesOf(padded), i8: () => Int8Array.from(padded) }[type]();
    return builder.persistent(`weights of ${window.name}`, weightBytes(window, layout), data);
  };
  return { window, in: oncePerLayout(upload), ...gridOf(window, weights), onMatrixUnits };
}

/** Makes a tensor when its layout is first asked for. */
export function oncePerLayout(make: (layout: WeightLayout) => Tensor): Weights['in'] {
  const made = new Map<string, Tensor>();
  return (layout) => {
    const key = `${layout.order} ${layout.type}`;
    const tensor = made.get(key) ?? make(layout);
    made.set(key, tensor);
    return tensor;
  };
}

/** Scales and limit of a layer's levels. A filter of nothing but zeros has a scale of 0: what 1 stands for is free then. */
export function gridOf(
  { outChannels }: Window,
  weights: ConvWeights | null,
): Pick<Weights, 'scales' | 'limit'> {
  return weights?.kind === 'levels'
    ? { scales: weights.scales.map((scale) => scale || 1), limit: levelLimit(weights.bits) }
    : { scales: new Float32Array(outChannels).fill(1), limit: null };
}

/** Levels of up to 8 bits in float16. A table and a plain loop: `Uint16Array.from` takes seconds for a ResNet-50. */
function halvesOf(levels: Float32Array): Uint16Array<ArrayBuffer> {
  const table = Uint16Array.from({ length: 256 }, (_, i) => halfOfLevel(i - 128));
  const halves = new Uint16Array(levels.length);
  for (let i = 0; i < levels.length; i++) halves[i] = table[levels[i] + 128];
  return halves;
}

/** The bits of a small integer in float16, which has all of them up to 2,048. */
function halfOfLevel(level: number): number {
  const magnitude = Math.abs(level);
  if (magnitude === 0) return 0;
  const exponent = Math.floor(Math.log2(magnitude));
  const fraction = (magnitude / 2 ** exponent - 1) * 1024;
  return (level < 0 ? 0x8000 : 0) + ((exponent + 15) << 10) + fraction;
}
