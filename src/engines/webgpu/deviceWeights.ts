/** @file Weights from the host to the device, as the products read them. */
import type { ConvWeights } from '../../model/backbone.js';
import type { Window } from '../compiled/layers.js';
import { padWeights, quadsOf, weightCount } from './features.js';
import type { Tensor } from './plan.js';
import type { PlanBuilder } from './planBuilder.js';
import type { Weights } from './products.js';

/** Bytes of a padded weight matrix. */
export const weightBytes = (window: Window, onMatrixUnits: boolean): number =>
  weightCount(window) * (onMatrixUnits ? 2 : 4);

/** Weights that no step changes: levels and their scales, or real values and scales of 1. */
export function frozenWeights(
  builder: PlanBuilder,
  window: Window,
  weights: ConvWeights,
  onMatrixUnits: boolean,
): Weights {
  const padded = padWeights(weights.kind === 'levels' ? weights.levels : weights.values, window);
  const values = builder.persistent(
    `weights of ${window.name}`,
    weightBytes(window, onMatrixUnits),
    onMatrixUnits ? halvesOf(padded) : padded,
  );
  return { window, values, ...channelScales(builder, window, weights), onMatrixUnits };
}

/** The scales of a layer's levels on the device; 1 where there is no grid. */
export function channelScales(
  builder: PlanBuilder,
  { name, outChannels }: Window,
  grid: ConvWeights | null,
): { scales: Tensor; largestScale: number } {
  const padded = new Float32Array(4 * quadsOf(outChannels));
  if (grid?.kind === 'levels') padded.set(grid.scales);
  else padded.fill(1, 0, outChannels);
  // All-zero filters have a scale of 0; the largest of nothing but zeros must not divide by 0.
  const largestScale = padded.reduce((a, b) => Math.max(a, b), 0) || 1;
  return { scales: builder.persistent(`scales of ${name}`, padded.byteLength, padded), largestScale };
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
