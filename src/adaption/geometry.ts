/**
 * @file Mask geometry. A conv weight [outC, inC, k, k] is unrolled to outC logical columns of K = inC·k·k rows,
 * row index c·k² + kh·k + kw, cut into ceil(K / rows) segments; the last one may be shorter.
 * Source: XBM slides (ASP-DAC 2022): crossbar 72×72, mask 1×72.
 */
import { type ConvLayer, type LayerGraph, layersOfKind } from '../model/graph.js';
import type { Granularity, MaskSpec } from './method.js';

type ConvShape = Pick<ConvLayer, 'inChannels' | 'outChannels' | 'kernel'>;

/** Rows of one filter: inC·k·k. */
export function filterRows(conv: ConvShape): number {
  return conv.inChannels * conv.kernel * conv.kernel;
}

/** Weights of one convolution: outC·inC·k·k. */
export function weightCount(conv: ConvShape): number {
  return conv.outChannels * filterRows(conv);
}

/** Consecutive rows of a filter that one mask bit switches: at most the whole filter. */
export function rowsPerBit(conv: ConvShape, mask: { granularity: Granularity; rows: number }): number {
  switch (mask.granularity) {
    case 'element':
      return 1;
    case 'kernel':
      return conv.kernel * conv.kernel;
    case 'column':
      return Math.min(mask.rows, filterRows(conv));
    case 'channel':
      return filterRows(conv);
  }
}

/** Shape of a convolution's mask: [outC, bits per filter]. Bit (o, s) covers rows s·r … min((s+1)·r, K) − 1. */
export function maskShape(
  conv: ConvShape,
  mask: { granularity: Granularity; rows: number },
): [outChannels: number, bitsPerFilter: number] {
  return [conv.outChannels, Math.ceil(filterRows(conv) / rowsPerBit(conv, mask))];
}

/** Mask bits of all convolutions of a network. */
export function maskBits(graph: LayerGraph, mask: Pick<MaskSpec, 'granularity' | 'rows'>): number {
  return layersOfKind(graph, 'conv').reduce((sum, conv) => {
    const [outChannels, bitsPerFilter] = maskShape(conv, mask);
    return sum + outChannels * bitsPerFilter;
  }, 0);
}
