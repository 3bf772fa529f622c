/** @file Which products run on matrix units, and in tiles of which size. */

import type { ConvLayer } from '../../model/graph.js';
import { type FusedGraph, readsLevels } from '../compiled/fusion.js';
import type { DeviceWindow } from './features.js';
import type { ProductPath, WeightLayout } from './kernels/convolution.js';
import type { FeatureFormat } from './kernels/formats.js';
import { floatTiles } from './kernels/gemm.js';
import { type MatrixNumbers, type MatrixTile, type MatrixUnits, matrixTiles } from './kernels/matrixGemm.js';
import { chooseTile, type Extent } from './kernels/product.js';
import type { Tensor } from './plan.js';
import type { GpuFacts } from './planBuilder.js';

/** A layer's weights as the products read them. */
export interface Weights {
  readonly window: DeviceWindow;
  /** The weights in a layout, made when they are first asked for: of a step, as they are before its update. */
  in(layout: WeightLayout): Tensor;
  /** What a 1 stands for, per output channel: the value of one level; 1 where the values are real ones. */
  readonly scales: Float32Array;
  /** Largest level; null where the values are real ones. */
  readonly limit: number | null;
  /** Levels times levels, or times the network's input: see {@link Products.usesMatrixUnits}. */
  readonly onMatrixUnits: boolean;
}

/** Of a layer's weights: [splits of the pixels, weight rows / `rowsPerSum`, padded output channels]. */
export interface WeightGradient {
  readonly tensor: Tensor;
  readonly splits: number;
  /** 1: the gradient itself; beyond it is times the frozen weights, and so many rows are added up. */
  readonly rowsPerSum: number;
}

export class Products {
  readonly #units: MatrixUnits | null;
  readonly #matrixTiles: readonly MatrixTile[];

  /** Whether sums and gradients lie in memory in 16 bits: memory, not computing, is what bounds a step then. */
  readonly halfMaps: boolean;

  constructor({ units, precision, limits }: GpuFacts) {
    this.#units = units;
    this.#matrixTiles = units ? matrixTiles(units, limits) : [];
    this.halfMaps = units !== null && precision === 'mixed';
  }

  /** Of all gradients of feature maps but the logits'. */
  get gradientFormat(): FeatureFormat {
    return this.halfMaps ? 'bfloat16' : 'float32';
  }

  /**
   * Whether a convolution's products run on matrix units: those of levels with levels, which are exact there, and those of
   * the network's input with levels, which are as good as float32 with two float16 values in the place of one.
   */
  usesMatrixUnits(fused: FusedGraph, layer: ConvLayer, weights: 'levels' | 'float'): boolean {
    return this.#units !== null && weights === 'levels' && (readsLevels(fused, layer) || readsPixels(layer));
  }

  windowOf(layer: ConvLayer, onMatrixUnits: boolean): ConvLayer & DeviceWindow {
    return { ...layer, copies: onMatrixUnits && readsPixels(layer) ? 2 : 1 };
  }

  /** Of the forward product with an input: int8 holds levels of up to 7 bits, and is twice as fast. */
  numbers(input: FeatureFormat, activationBits: number): MatrixNumbers {
    return this.#units?.integers && input === 'levels' && activationBits <= 7 ? 'int8' : 'float16';
  }

  path(
    onMatrixUnits: boolean,
    extent: Extent,
    enoughWorkgroups: number,
    numbers: MatrixNumbers = 'float16',
  ): ProductPath {
    if (onMatrixUnits && this.#units) {
      const tile = chooseTile(this.#matrixTiles, extent, enoughWorkgroups);
      return { kind: 'matrix', tile, units: this.#units, numbers };
    }
    return { kind: 'float', tile: chooseTile(floatTiles, extent, enoughWorkgroups) };
  }
}

/** Whether a convolution reads the network's input. */
const readsPixels = ({ inputs }: ConvLayer): boolean => inputs[0] === 'input';

/** Workgroups that keep a large GPU's processors busy. */
export const ENOUGH_WORKGROUPS = 256;
