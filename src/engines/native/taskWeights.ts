/** @file The weights that a task's convolutions and head compute with, and how a step updates what they are made from. */
import { maskShape, rowsPerBit } from '../../adaption/geometry.js';
import { type Backbone, type ConvWeights, levelLimit } from '../../model/backbone.js';
import type { ConvLayer, LinearLayer } from '../../model/graph.js';
import { hashString } from '../../random.js';
import { type FusedGraph, readsLevels } from '../compiled/fusion.js';
import { topLevel, windowOf } from '../compiled/layers.js';
import type { TrainingPlan } from '../engine.js';
import type { Addon } from './addon.js';
import { levelStep, pad } from './features.js';
import type { Arguments, ProgramBuilder, Tensor } from './program.js';
import type { TaskTensors } from './taskTensors.js';

/** In which formats products compute: exact on 8-bit levels, where inputs and weights are levels. */
export interface Precision {
  readonly forward: 'levels8' | 'float32';
  readonly backward: 'bfloat16' | 'fixed16' | 'float32';
}

/** What a backbone's products compute in: float32 where levels are beyond what the processor's int8 products have exact. */
export function exactPrecision(
  { int8LevelLimit, int8ProductLimit }: Addon,
  wanted: Precision,
  { weightBits, activationBits }: Pick<Backbone, 'weightBits' | 'activationBits'>,
): Precision {
  const level = topLevel(activationBits);
  const isExact = level <= int8LevelLimit && level * levelLimit(weightBits) <= int8ProductLimit;
  return isExact ? wanted : { forward: 'float32', backward: 'float32' };
}

export interface Weights {
  /** Panels, as products read them; transposed: for the input gradient, null where there is none. */
  readonly values: Tensor;
  readonly transposed: Tensor | null;
  /** Times the sums of a product: weight of a level · value of an input's level, per output channel. */
  readonly scales: Tensor;
  /** Times the output's gradient: weight of a level, 1 for filters of zeros; null without levels. */
  readonly gradientScales: Tensor | null;
  readonly precision: Precision;
  /** Of a level of the input and one of a weight, in magnitude; 0 where products are not int8. */
  readonly largestProduct: number;
  /** Values of an image column; null where the layer reads a feature map. */
  readonly columns: number | null;
  /** Value of one level of the input. */
  readonly inputStep: number;
  /** Where mask bits get their gradient without one of the weights; null where they do not. */
  readonly segments: MaskSegments | null;
}

/** Bits that each switch all taps of the same input channels: what maskGradient of native/gather.c wants. */
export interface MaskSegments {
  /** Input channels of a bit; a filter's last one may have fewer. */
  readonly channels: number;
  /** Of a filter. */
  readonly bits: number;
  /** Panels of the backbone's levels, every bit on. */
  readonly frozen: Tensor;
}

/** A layer's weights as kernels of native/weights.c see them. */
interface Layout {
  readonly taps: number;
  readonly rowStride: number;
  readonly inPadded: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly outPadded: number;
}

export class TaskWeights {
  readonly #weights = new Map<string, Weights>();
  /** Of convolutions whose weights are frozen: levels or values, every bit on. */
  readonly #frozen = new Map<string, Tensor>();

  /** Emits what makes all weights. */
  constructor(
    readonly builder: ProgramBuilder,
    readonly training: TrainingPlan,
    readonly task: TaskTensors,
    readonly fused: FusedGraph,
    readonly precision: Precision,
    /** Set where trained weights are not finite. */
    readonly problem: Tensor,
  ) {
    for (const node of fused.nodes) {
      if (node.kind === 'linear') this.#weights.set(node.name, this.#head(node));
      if (node.kind === 'conv') this.#weights.set(node.name, this.#conv(node));
    }
  }

  get(layer: ConvLayer | LinearLayer): Weights {
    return this.#weights.get(layer.name)!;
  }

  areTrained(layer: ConvLayer | LinearLayer): boolean {
    const { mask, trainWeights } = this.training.method;
    return layer.kind === 'linear' || mask !== null || trainWeights;
  }

  update(layer: ConvLayer | LinearLayer, dw: Tensor, splits: number, dy: Tensor): void {
    const { method, backbone } = this.training;
    const { gradientScales, inputStep: factor } = this.get(layer);
    const layout = this.#layout(layer);
    if (layer.kind === 'conv' && method.mask) {
      this.builder.call('updateMasks', {
        ...layout,
        ...this.#maskArguments(layer),
        ...this.task.moments(`${layer.name}.scores`),
        dw,
        splits,
        factor,
        frozen: this.#frozen.get(layer.name)!,
        frozenFormat: backbone.convs[layer.name].kind === 'levels' ? 'levels8' : 'float32',
      });
      return;
    }
    this.builder.call('updateWeights', {
      ...layout,
      values: this.task.get(`${layer.name}.weight`),
      ...this.task.moments(`${layer.name}.weight`),
      dw,
      splits,
      factor,
      scales: gradientScales,
      limit: layer.kind === 'conv' ? (this.#limit(layer) ?? 0) : 0,
      group: layer.kind,
    });
    if (layer.kind === 'linear') this.#updateBias(layer, dy);
  }

  /** @param sums of maskGradient, one for each of so many blocks */
  updateBits(layer: ConvLayer, sums: Tensor, blocks: number): void {
    const { segments, inputStep: factor } = this.get(layer);
    // Bits in the place of rows, each with a row of its own.
    const { bits } = segments!;
    this.builder.call('updateMasks', {
      ...this.#layout(layer),
      ...{ taps: 1, rowStride: bits, inPadded: bits, inChannels: bits },
      ...this.#maskArguments(layer),
      rowsPerBit: 1,
      ...this.task.moments(`${layer.name}.scores`),
      dw: sums,
      splits: blocks,
      factor,
      frozen: null,
      frozenFormat: 'levels8',
    });
  }

  #conv(layer: ConvLayer): Weights {
    const { method, backbone } = this.training;
    const weights = backbone.convs[layer.name];
    const isLevels = weights.kind === 'levels';
    const onLevels = readsLevels(this.fused, layer);
    const inputStep = onLevels ? levelStep(backbone.clips, layer.inputs[0], backbone.activationBits) : 1;
    const exact = isLevels && onLevels;
    const precision: Precision = {
      forward: exact ? this.precision.forward : 'float32',
      backward: exact && this.precision.forward === 'levels8' ? this.precision.backward : 'float32',
    };
    const panels = this.#panels(layer, precision, isLevels ? weights.scales : null, inputStep);
    const layout = this.#layout(layer);
    const { values: w, transposed: wTransposed } = panels;
    const target = {
      w,
      wTransposed,
      format: precision.forward,
      gradientFormat: precision.backward,
    };
    if (method.trainWeights && isLevels) {
      const size = layer.outChannels * layer.inChannels * layer.kernel ** 2;
      this.builder.call('gridWeights', {
        problem: this.problem,
        ...layout,
        ...target,
        values: this.task.get(`${layer.name}.weight`),
        levels: this.builder.persistent(`levels of ${layer.name}`, size, new Int8Array(size).fill(-128)),
        scales: this.#vector(`grid of ${layer.name}`, layout.outPadded, weights.scales),
        limit: levelLimit(weights.bits),
      });
    } else if (method.trainWeights) {
      this.builder.call('plainWeights', {
        ...layout,
        w,
        wTransposed,
        values: this.task.get(`${layer.name}.weight`),
      });
    } else {
      const frozen = this.#freeze(layer, weights);
      this.#frozen.set(layer.name, frozen);
      const mask = method.mask ? this.#maskArguments(layer) : this.#alwaysOn(layer);
      const bits = layer.outChannels * (mask.bitsPerFilter as number);
      this.builder.call('maskWeights', {
        ...layout,
        ...target,
        ...mask,
        bits: this.#noBits(`bits of ${layer.name}`, bits),
        frozen,
        frozenFormat: isLevels ? 'levels8' : 'float32',
      });
    }
    return { ...panels, segments: this.#segments(layer, panels) };
  }

  /** Bits of no step before the first one: all are written then. */
  #noBits(label: string, count: number): Tensor {
    return this.builder.persistent(label, count, new Uint8Array(count).fill(255));
  }

  /** Null where a bit's rows are not whole dwords of all taps, or the processor's sums would not be exact. */
  #segments(layer: ConvLayer, { precision, largestProduct, columns }: Weights): MaskSegments | null {
    const { mask } = this.training.method;
    if (!mask || precision.forward !== 'levels8' || columns !== null) return null;
    const layout = this.#layout(layer);
    const { taps, inPadded } = layout;
    const rows = rowsPerBit(layer, mask);
    if (rows % taps !== 0) return null;
    const [, bits] = maskShape(layer, mask);
    const channels = bits === 1 ? inPadded : rows / taps;
    const dwords = (taps * channels) / 4;
    if (channels % 4 !== 0 || dwords * largestProduct > this.builder.addon.int8SumLimit) return null;
    const frozen = this.builder.persistent(
      `frozen panels of ${layer.name}`,
      taps * inPadded * layout.outPadded,
    );
    this.builder.call('maskWeights', {
      ...layout,
      ...this.#alwaysOn(layer),
      w: frozen,
      wTransposed: null,
      format: 'levels8',
      gradientFormat: 'float32',
      bits: this.#noBits(`bits of the frozen panels of ${layer.name}`, layer.outChannels),
      frozen: this.#frozen.get(layer.name)!,
      frozenFormat: 'levels8',
    });
    return { channels, bits, frozen };
  }

  #head(layer: LinearLayer): Weights {
    const weights = this.#panels(layer, { forward: 'float32', backward: 'float32' }, null, 1);
    this.builder.call('plainWeights', {
      ...this.#layout(layer),
      w: weights.values,
      wTransposed: weights.transposed,
      values: this.task.get(`${layer.name}.weight`),
    });
    return weights;
  }

  /** @param grid weight of a level per output channel; null without levels */
  #panels(
    layer: ConvLayer | LinearLayer,
    precision: Precision,
    grid: Float32Array | null,
    inputStep: number,
  ): Weights {
    const { weightBits, activationBits } = this.training.backbone;
    const { taps, inPadded, outPadded } = this.#layout(layer);
    const columns = this.#readsImage(layer) ? inPadded : null;
    const size = (columns === null ? taps : 1) * inPadded * outPadded;
    const ones = new Float32Array(outPadded).fill(1);
    return {
      values: this.builder.persistent(
        `weights of ${layer.name}`,
        size * (precision.forward === 'levels8' ? 1 : 4),
      ),
      transposed:
        columns === null
          ? this.builder.persistent(
              `transposed weights of ${layer.name}`,
              size * (precision.backward === 'float32' ? 4 : 2),
            )
          : null,
      scales: this.#vector(
        `scales of ${layer.name}`,
        outPadded,
        (grid ?? ones).map((scale) => scale * inputStep),
      ),
      gradientScales:
        grid &&
        this.#vector(
          `gradient scales of ${layer.name}`,
          outPadded,
          grid.map((scale) => scale || 1),
        ),
      precision,
      largestProduct: precision.forward === 'levels8' ? topLevel(activationBits) * levelLimit(weightBits) : 0,
      columns,
      inputStep,
      segments: null,
    };
  }

  #vector(label: string, length: number, values: Float32Array): Tensor {
    const padded = new Float32Array(length);
    padded.set(values.subarray(0, length));
    return this.builder.persistent(label, padded.byteLength, padded);
  }

  /** [row', outPadded], as native/weights.c numbers rows. */
  #freeze(layer: ConvLayer, weights: ConvWeights): Tensor {
    const { taps, rowStride, inPadded, inChannels, outChannels, outPadded } = this.#layout(layer);
    const rows = this.#readsImage(layer) ? inPadded : taps * inPadded;
    const source = weights.kind === 'levels' ? weights.levels : weights.values;
    const frozen =
      weights.kind === 'levels' ? new Int8Array(rows * outPadded) : new Float32Array(rows * outPadded);
    let i = 0;
    for (let out = 0; out < outChannels; out++) {
      for (let channel = 0; channel < inChannels; channel++) {
        for (let tap = 0; tap < taps; tap++) {
          frozen[(tap * rowStride + channel) * outPadded + out] = source[i++];
        }
      }
    }
    return this.builder.persistent(`frozen weights of ${layer.name}`, frozen.byteLength, frozen);
  }

  #readsImage({ inputs }: ConvLayer | LinearLayer): boolean {
    return inputs[0] === 'input';
  }

  #layout(layer: ConvLayer | LinearLayer): Layout {
    const { lanes } = this.builder.addon;
    const { inChannels, outChannels, kernel } = windowOf(layer);
    const taps = kernel ** 2;
    const readsImage = this.#readsImage(layer);
    const inPadded = pad(readsImage ? taps * inChannels : inChannels, lanes);
    const rowStride = readsImage ? inChannels : inPadded;
    return { taps, rowStride, inPadded, inChannels, outChannels, outPadded: pad(outChannels, lanes) };
  }

  #maskArguments(layer: ConvLayer): Arguments {
    const mask = this.training.method.mask!;
    return {
      scores: this.task.get(`${layer.name}.scores`),
      rowsPerBit: rowsPerBit(layer, mask),
      bitsPerFilter: maskShape(layer, mask)[1],
      binarizer: mask.binarizer,
      threshold: mask.threshold,
      slope: mask.slope,
      noise: mask.noise ? 1 : 0,
      seed: this.training.seed,
      layerKey: hashString(layer.name),
    };
  }

  /** Frozen weights are masked, too: by one bit per filter that is always on. */
  #alwaysOn(layer: ConvLayer): Arguments {
    const scores = new Float32Array(layer.outChannels).fill(1);
    return {
      scores: this.builder.persistent(`scores of ${layer.name}`, scores.byteLength, scores),
      rowsPerBit: layer.inChannels * layer.kernel ** 2,
      bitsPerFilter: 1,
      binarizer: 'identity',
      threshold: 0,
      slope: 0,
      noise: 0,
      seed: 0,
      layerKey: 0,
    };
  }

  /** Largest level of a convolution's grid; null without one. */
  #limit({ name }: ConvLayer): number | null {
    const weights = this.training.backbone.convs[name];
    return weights.kind === 'levels' ? levelLimit(weights.bits) : null;
  }

  #updateBias({ name, outFeatures }: LinearLayer, dlogits: Tensor): void {
    this.builder.call('updateBias', {
      values: this.task.get(`${name}.bias`),
      ...this.task.moments(`${name}.bias`),
      dlogits,
      batch: this.training.batchSize,
      classes: outFeatures,
      padded: pad(outFeatures, this.builder.addon.lanes),
    });
  }
}
