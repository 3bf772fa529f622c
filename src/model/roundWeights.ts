/**
 * @file Rounding with error feedback, GPTQ (Frantar et al. 2022, arXiv:2210.17323): weights are rounded one after the
 * other, and those still to come make up for the error as far as their inputs are correlated. Within blocks of rows.
 */
import { type ConvWeights, levelLimit } from './backbone.js';
import type { CovarianceBlock } from './inputCovariance.js';
import { weightLevel } from './quantize.js';

type Levels = Extract<ConvWeights, { kind: 'levels' }>;

/** Added to the diagonal, as a share of its mean. */
const DAMPING = 0.01;

/**
 * Other levels on the same grid, with a smaller error of the layer's output.
 * @param values the float weights, [outChannels, rows]
 * @param blocks cover all rows
 */
export function roundWithFeedback(
  values: Float32Array,
  grid: Levels,
  blocks: readonly CovarianceBlock[],
): Levels {
  const { scales, bits } = grid;
  const limit = levelLimit(bits);
  const rows = values.length / scales.length;
  const levels = new Int8Array(values.length);
  for (const { start, size, values: covariance } of blocks) {
    const { order, factor } = feedback(covariance, size);
    const rest = new Float64Array(size);
    for (let channel = 0; channel < scales.length; channel++) {
      const offset = channel * rows + start;
      for (let i = 0; i < size; i++) rest[i] = values[offset + order[i]];
      for (let i = 0; i < size; i++) {
        const level = weightLevel(rest[i], scales[channel], limit);
        levels[offset + order[i]] = level;
        const error = (rest[i] - level * scales[channel]) / factor[i * size + i];
        for (let j = i + 1; j < size; j++) rest[j] -= error * factor[i * size + j];
      }
    }
  }
  return { ...grid, levels };
}

/** Order of rounding, the most varying input first, and the upper factor U of the inverse covariance, UᵀU. */
function feedback(covariance: Float64Array, size: number): { order: number[]; factor: Float64Array } {
  const variance = (i: number) => covariance[i * size + i];
  const order = Array.from({ length: size }, (_, i) => i).sort((a, b) => variance(b) - variance(a) || a - b);
  const mean = order.reduce((sum, i) => sum + variance(i), 0) / size;
  const damped = new Float64Array(size * size);
  order.forEach((row, i) => {
    order.forEach((column, j) => {
      damped[i * size + j] = covariance[row * size + column];
    });
    damped[i * size + i] += mean > 0 ? DAMPING * mean : 1;
  });
  return { order, factor: upperFactor(invert(damped, size), size) };
}

/** Lower Cholesky factor L of a symmetric positive definite matrix, L·Lᵀ. */
function cholesky(matrix: Float64Array, size: number): Float64Array {
  const lower = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * size + j];
      for (let k = 0; k < j; k++) sum -= lower[i * size + k] * lower[j * size + k];
      lower[i * size + j] = i === j ? Math.sqrt(Math.max(sum, 1e-12)) : sum / lower[j * size + j];
    }
  }
  return lower;
}

function invert(matrix: Float64Array, size: number): Float64Array {
  const lower = cholesky(matrix, size);
  const inverse = new Float64Array(size * size);
  const column = new Float64Array(size);
  for (let c = 0; c < size; c++) {
    for (let i = 0; i < size; i++) {
      let sum = Number(i === c);
      for (let k = 0; k < i; k++) sum -= lower[i * size + k] * column[k];
      column[i] = sum / lower[i * size + i];
    }
    for (let i = size - 1; i >= 0; i--) {
      let sum = column[i];
      for (let k = i + 1; k < size; k++) sum -= lower[k * size + i] * column[k];
      column[i] = sum / lower[i * size + i];
    }
    for (let i = 0; i < size; i++) inverse[i * size + c] = column[i];
  }
  return inverse;
}

function upperFactor(matrix: Float64Array, size: number): Float64Array {
  const lower = cholesky(matrix, size);
  const upper = new Float64Array(size * size);
  for (let i = 0; i < size; i++) for (let j = i; j < size; j++) upper[i * size + j] = lower[j * size + i];
  return upper;
}
