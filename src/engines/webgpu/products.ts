/** @file Which products run on matrix units, and in tiles of which size. */

import type { Window } from '../compiled/layers.js';
import type { Gpu } from './device.js';
import type { ProductPath, WeightLayout } from './kernels/convolution.js';
import type { FeatureFormat } from './kernels/formats.js';
import { floatTiles } from './kernels/gemm.js';
import { type MatrixNumbers, type MatrixTile, type MatrixUnits, matrixTiles } from './kernels/matrixGemm.js';
import { chooseTile } from './kernels/product.js';
import type { Tensor } from './plan.js';

/** A layer's weights as the products read them. */
export interface Weights {
  readonly window: Window;
  /** The weights in a layout, made when they are first asked for: of a step, as they are before its update. */
  in(layout: WeightLayout): Tensor;
  /** What a 1 stands for, per output channel: the value of one level; 1 where the values are real ones. */
  readonly scales: Float32Array;
  /** Largest level; null where the values are real ones. */
  readonly limit: number | null;
  /** Products of levels with levels. */
  readonly onMatrixUnits: boolean;
}

/** Of a product, rows × columns. */
interface Extent {
  readonly rows: number;
  readonly columns: number;
}

export class Products {
  readonly #units: MatrixUnits | null;
  readonly #matrixTiles: readonly MatrixTile[];

  /** Whether sums and gradients lie in memory in 16 bits: memory, not computing, is what bounds a step then. */
  readonly halfMaps: boolean;

  constructor({ units, precision, limits }: Gpu) {
    this.#units = units;
    this.#matrixTiles = units ? matrixTiles(units, limits) : [];
    this.halfMaps = units !== null && precision === 'mixed';
  }

  /** Of all gradients of feature maps but the logits'. */
  get gradientFormat(): FeatureFormat {
    return this.halfMaps ? 'bfloat16' : 'float32';
  }

  /** Whether products of levels with levels run on matrix units: there they are exact. */
  canUseMatrixUnits(input: FeatureFormat, weights: 'levels' | 'float'): boolean {
    return this.#units !== null && input === 'levels' && weights === 'levels';
  }

  /** Of the forward product of levels with levels: int8 holds those of up to 7 bits, and is twice as fast. */
  numbers(activationBits: number): MatrixNumbers {
    return this.#units?.integers && activationBits <= 7 ? 'int8' : 'float16';
  }

  path(
    onMatrixUnits: boolean,
    { rows, columns }: Extent,
    enoughWorkgroups: number,
    numbers: MatrixNumbers = 'float16',
  ): ProductPath {
    if (onMatrixUnits && this.#units) {
      const tile = chooseTile(this.#matrixTiles, rows, columns, enoughWorkgroups);
      return { kind: 'matrix', tile, units: this.#units, numbers };
    }
    return { kind: 'float', tile: chooseTile(floatTiles, rows, columns, enoughWorkgroups) };
  }
}

/** Workgroups that keep a large GPU's processors busy. */
export const ENOUGH_WORKGROUPS = 256;

/** Grid of a product's tiles. */
export const tilesOf = ({ tile }: ProductPath, { rows, columns }: Extent): [number, number] => [
  Math.ceil(rows / tile.rows),
  Math.ceil(columns / tile.columns),
];
