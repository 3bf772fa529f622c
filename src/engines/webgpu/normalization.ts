/** @file Where each batch norm's coefficient vectors lie in the coefficient buffer, and their values when frozen. */
import { BATCH_NORM_EPSILON, type LayerGraph, layersOfKind } from '../../model/graph.js';
import { quadsOf } from './features.js';
import { COEFFICIENTS } from './kernels/pointwise.js';

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

/** Coefficients that normalise by the running statistics; padded channels come out as 0. */
export function frozenCoefficients(
  graph: LayerGraph,
  layout: CoefficientLayout,
  tensors: Readonly<Record<string, Float32Array>>,
): Float32Array<ArrayBuffer> {
  const values = new Float32Array(layout.bytes / 4);
  for (const { name, channels } of layersOfKind(graph, 'batchNorm')) {
    const [weight, bias, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map(
      (suffix) => tensors[`${name}.${suffix}`],
    );
    const vector = (coefficient: (typeof COEFFICIENTS)[number]) =>
      4 * (layout.offsets.get(name)! + COEFFICIENTS.indexOf(coefficient) * quadsOf(channels));
    for (let channel = 0; channel < channels; channel++) {
      const inverse = 1 / Math.sqrt(variance[channel] + BATCH_NORM_EPSILON);
      values[vector('mean') + channel] = mean[channel];
      values[vector('scale') + channel] = weight[channel] * inverse;
      values[vector('shift') + channel] = bias[channel];
      values[vector('inverse') + channel] = inverse;
    }
  }
  return values;
}
