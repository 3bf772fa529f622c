/** @file Which products run on matrix units, and in tiles of which size. */

import type { Window } from '../compiled/layers.js';
import type { Gpu } from './device.js';
import type { FeatureFormat, ProductPath } from './kernels/convolution.js';
import { floatTiles } from './kernels/gemm.js';
import { type MatrixTile, type MatrixUnits, matrixTiles } from './kernels/matrixGemm.js';
import { chooseTile } from './kernels/product.js';
import type { Tensor } from './plan.js';

/** A layer's weights as the products read them. */
export interface Weights {
  readonly window: Window;
  /** [taps · inChannels, outChannels], padded. */
  readonly values: Tensor;
  /** Value of one level per output channel, padded with zeros; 1 where the values are real ones. */
  readonly scales: Tensor;
  readonly largestScale: number;
  /** Levels in float16: their products run on matrix units. */
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

  constructor({ units, limits }: Gpu) {
    this.#units = units;
    this.#matrixTiles = units ? matrixTiles(units, limits) : [];
  }

  /** Whether products of levels with levels run on matrix units: there they are exact. */
  canUseMatrixUnits(input: FeatureFormat, weights: 'levels' | 'float'): boolean {
    return this.#units !== null && input === 'levels' && weights === 'levels';
  }

  path(onMatrixUnits: boolean, { rows, columns }: Extent, enoughWorkgroups: number): ProductPath {
    if (onMatrixUnits && this.#units) {
      const tile = chooseTile(this.#matrixTiles, rows, columns, enoughWorkgroups);
      return { kind: 'matrix', tile, units: this.#units };
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
