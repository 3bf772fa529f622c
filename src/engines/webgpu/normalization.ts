/** @file Where each batch norm's coefficient vectors lie in the coefficient buffer, and their values when frozen. */
import { type BatchNormLayer, type LayerGraph, layersOfKind } from '../../model/graph.js';
import { frozenNorm } from '../compiled/layers.js';
import { type FeatureMap, normalizedUnits, quadsOf } from './features.js';
import { COEFFICIENTS } from './kernels/pointwise.js';
import type { Tensor } from './plan.js';
import type { PlanBuilder } from './planBuilder.js';

export interface CoefficientLayout {
  /** In quads, by batch norm layer. */
  readonly offsets: ReadonlyMap<string, number>;
  readonly bytes: number;
}

export function coefficientLayout(graph: LayerGraph): CoefficientLayout {
  const offsets = new Map<string, number>();
  let quads = 0;
  for (const { name, channels } of layersOfKind(graph, 'batchNorm')) {
    offsets.set(name, quads);
    quads += COEFFICIENTS.length * quadsOf(channels);
  }
  return { offsets, bytes: 16 * quads };
}

/** Coefficients of batch norms that normalise by the running statistics; those of padded channels are 0. */
export class FrozenNorms {
  readonly coefficients: Tensor;
  readonly offsets: ReadonlyMap<string, number>;
  readonly #values: Float32Array<ArrayBuffer>;

  constructor(
    builder: PlanBuilder,
    graph: LayerGraph,
    readonly tensors: Readonly<Record<string, Float32Array>>,
  ) {
    const { offsets, bytes } = coefficientLayout(graph);
    this.offsets = offsets;
    this.#values = new Float32Array(bytes / 4);
    // Filled in until the plan is compiled: what an input's values stand for is known when it is emitted.
    this.coefficients = builder.persistent('batch norm coefficients', bytes, this.#values, { inParts: true });
  }

  add(layer: BatchNormLayer, input: FeatureMap): void {
    const units = normalizedUnits(input);
    const { mean, scale, shift } = frozenNorm(layer, this.tensors);
    const stored = {
      mean: mean.map((value, c) => value / units[c]),
      scale: scale.map((value, c) => value * units[c]),
      shift,
    };
    for (const name of ['mean', 'scale', 'shift'] as const) {
      const quads = COEFFICIENTS.indexOf(name) * quadsOf(layer.channels);
      this.#values.set(stored[name], 4 * (this.offsets.get(layer.name)! + quads));
    }
  }
}
