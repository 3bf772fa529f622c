/** @file Where each batch norm's coefficient vectors lie in the coefficient buffer, and their values when frozen. */
import { type LayerGraph, layersOfKind } from '../../model/graph.js';
import { frozenNorm } from '../compiled/layers.js';
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
  for (const layer of layersOfKind(graph, 'batchNorm')) {
    const vectors = frozenNorm(layer, tensors);
    for (const name of ['mean', 'scale', 'shift'] as const) {
      const quads = COEFFICIENTS.indexOf(name) * quadsOf(layer.channels);
      values.set(vectors[name], 4 * (layout.offsets.get(layer.name)! + quads));
    }
  }
  return values;
}
