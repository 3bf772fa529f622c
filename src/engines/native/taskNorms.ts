import { BATCH_NORM_EPSILON, type BatchNormLayer, layersOfKind } from '../../model/graph.js';
import type { StateVector } from '../compiled/stateVector.js';
import type { TrainingPlan } from '../engine.js';
import { chunksOf } from './backward.js';
import { type FeatureMap, pad } from './features.js';
import type { ProgramBuilder, Slice, Tensor } from './program.js';

/** A task's batch norms: coefficients from the batch's statistics, or frozen; updates of weight and bias. */
export class TaskNorms {
  readonly #coefficients = new Map<string, Tensor>();

  /** @param state the task's tensors and moments @param initial the tensors' values: frozen statistics do not change */
  constructor(
    readonly builder: ProgramBuilder,
    readonly training: TrainingPlan,
    readonly layout: StateVector,
    readonly state: readonly Tensor[],
    initial: Readonly<Record<string, Float32Array>>,
    /** Set where statistics are not finite. */
    readonly problem: Tensor,
  ) {
    for (const layer of layersOfKind(training.graph, 'batchNorm')) {
      const padded = pad(layer.channels, builder.addon.lanes);
      const size = builder.addon.coefficients * padded;
      const values = training.method.trainBatchNorm ? null : frozenCoefficients(layer, padded, initial);
      this.#coefficients.set(
        layer.name,
        builder.persistent(`coefficients of ${layer.name}`, 4 * size, values),
      );
    }
  }

  coefficients({ name }: BatchNormLayer): Tensor {
    return this.#coefficients.get(name)!;
  }

  emitStatistics(layer: BatchNormLayer, { tensor: x, shape }: FeatureMap): void {
    if (!this.training.method.trainBatchNorm) return;
    const { pixels, channels, padded } = shape;
    const chunks = chunksOf(pixels);
    const partial = this.builder.transient(`sums of ${layer.name}`, 12 * chunks * padded);
    this.builder.call('statistics', { x, partial, pixels, channels: padded, chunks });
    this.builder.call('normalization', {
      problem: this.problem,
      partial,
      chunks,
      pixels,
      channels,
      padded,
      coefficients: this.coefficients(layer),
      weight: this.#slice(0, `${layer.name}.weight`),
      bias: this.#slice(0, `${layer.name}.bias`),
      runningMean: this.#slice(0, `${layer.name}.running_mean`),
      runningVariance: this.#slice(0, `${layer.name}.running_var`),
    });
  }

  update(layer: BatchNormLayer, partial: Tensor, chunks: number, pixels: number): void {
    const { name, channels } = layer;
    this.builder.call('updateAffine', {
      partial,
      chunks,
      pixels,
      channels,
      padded: pad(channels, this.builder.addon.lanes),
      coefficients: this.coefficients(layer),
      weight: this.#slice(0, `${name}.weight`),
      bias: this.#slice(0, `${name}.bias`),
      weightMoment1: this.#slice(1, `${name}.weight`),
      weightMoment2: this.#slice(2, `${name}.weight`),
      biasMoment1: this.#slice(1, `${name}.bias`),
      biasMoment2: this.#slice(2, `${name}.bias`),
    });
  }

  #slice(vector: number, name: string): Slice | null {
    return this.state[vector] ? { tensor: this.state[vector], offset: 4 * this.layout.offset(name) } : null;
  }
}

/** Coefficients that normalise by the running statistics; padded channels come out as 0. */
function frozenCoefficients(
  { name, channels }: BatchNormLayer,
  padded: number,
  tensors: Readonly<Record<string, Float32Array>>,
): Float32Array {
  const [weight, bias, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map(
    (suffix) => tensors[`${name}.${suffix}`],
  );
  const values = new Float32Array(4 * padded); // the rest is for the backward pass of trained norms
  for (let c = 0; c < channels; c++) {
    const inverse = Math.fround(1 / Math.sqrt(variance[c] + BATCH_NORM_EPSILON));
    values[c] = mean[c];
    values[padded + c] = weight[c] * inverse;
    values[2 * padded + c] = bias[c];
    values[3 * padded + c] = inverse;
  }
  return values;
}
