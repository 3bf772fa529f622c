/** @file Covariances of what each convolution reads, in blocks of rows: what weighs the rounding errors of its weights. */
import { hashString, uniform } from '../random.js';
import type { Backbone } from './backbone.js';
import { type ConvLayer, layersOfKind } from './graph.js';
import { type CalibrationSource, visitTaps } from './probe.js';

/** Rows of a filter whose correlations are known to each other: a column segment of the crossbar. */
export const BLOCK_ROWS = 72;
/** Window positions looked at in each image. */
const POSITIONS = 32;

/** Covariance of rows start … start + size − 1 of a convolution's unrolled input, [size, size]. */
export interface CovarianceBlock {
  readonly start: number;
  readonly size: number;
  readonly values: Float64Array;
}

/** Sums of one convolution's input windows. */
class WindowMoments {
  readonly #sums: Float64Array;
  readonly #blocks: CovarianceBlock[] = [];
  #count = 0;

  constructor(readonly conv: ConvLayer) {
    const rows = conv.inChannels * conv.kernel ** 2;
    this.#sums = new Float64Array(rows);
    for (let start = 0; start < rows; start += BLOCK_ROWS) {
      const size = Math.min(BLOCK_ROWS, rows - start);
      this.#blocks.push({ start, size, values: new Float64Array(size * size) });
    }
  }

  /** @param input [images, inChannels, side, side] */
  add(input: Float32Array, images: number): void {
    const { inChannels, kernel, stride, padding, name } = this.conv;
    const side = Math.round(Math.sqrt(input.length / images / inChannels));
    const outSide = Math.floor((side + 2 * padding - kernel) / stride) + 1;
    const window = new Float32Array(this.#sums.length);
    const key = hashString(name);
    for (let image = 0; image < images; image++) {
      for (let draw = 0; draw < Math.min(POSITIONS, outSide ** 2); draw++) {
        const position = Math.floor(uniform(key, this.#count) * outSide ** 2);
        const top = Math.floor(position / outSide) * stride - padding;
        const left = (position % outSide) * stride - padding;
        let row = 0;
        for (let channel = 0; channel < inChannels; channel++) {
          const plane = (image * inChannels + channel) * side * side;
          for (let y = top; y < top + kernel; y++) {
            for (let x = left; x < left + kernel; x++)
              window[row++] = y >= 0 && y < side && x >= 0 && x < side ? input[plane + y * side + x] : 0;
          }
        }
        this.#addWindow(window);
      }
    }
  }

  #addWindow(window: Float32Array): void {
    this.#count++;
    for (let row = 0; row < window.length; row++) this.#sums[row] += window[row];
    for (const { start, size, values } of this.#blocks) {
      for (let i = 0; i < size; i++) {
        const a = window[start + i];
        if (a === 0) continue;
        for (let j = i; j < size; j++) values[i * size + j] += a * window[start + j];
      }
    }
  }

  /** Means are taken out: batch norm makes up for a constant error. */
  covariances(): CovarianceBlock[] {
    const n = Math.max(1, this.#count);
    for (const { start, size, values } of this.#blocks) {
      for (let i = 0; i < size; i++) {
        for (let j = i; j < size; j++) {
          const mean = (this.#sums[start + i] / n) * (this.#sums[start + j] / n);
          values[i * size + j] = values[i * size + j] / n - mean;
          values[j * size + i] = values[i * size + j];
        }
      }
    }
    return this.#blocks;
  }
}

/** Of every convolution that reads a quantised activation, by name, in the float network; the first one is left out. */
export async function inputCovariances(
  float: Backbone,
  source: CalibrationSource,
): Promise<Map<string, CovarianceBlock[]>> {
  const inputs = new Map(layersOfKind(float.graph, 'quantize').map((layer) => [layer.name, layer.inputs[0]]));
  const moments = layersOfKind(float.graph, 'conv')
    .filter((conv) => inputs.has(conv.inputs[0]))
    .map((conv) => new WindowMoments(conv));
  await visitTaps(source, [float], [...new Set(inputs.values())], ([taps], images) => {
    for (const sums of moments) sums.add(taps[inputs.get(sums.conv.inputs[0])!], images);
  });
  return new Map(moments.map((sums) => [sums.conv.name, sums.covariances()]));
}
