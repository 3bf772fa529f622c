import { type BatchNormLayer, layersOfKind } from '../../model/graph.js';
import { frozenNorm } from '../compiled/layers.js';
import type { TrainingPlan } from '../engine.js';
import { chunksOf } from './backward.js';
import { type FeatureMap, pad } from './features.js';
import type { ProgramBuilder, Tensor } from './program.js';
import type { TaskTensors } from './taskTensors.js';

/** A task's batch norms: coefficients from the batch's statistics, or frozen; updates of weight and bias. */
export class TaskNorms {
  readonly #coefficients = new Map<string, Tensor>();

  /** @param initial the task's tensors: frozen statistics do not change */
  constructor(
    readonly builder: ProgramBuilder,
    readonly training: TrainingPlan,
    readonly task: TaskTensors,
    initial: Readonly<Record<string, Float32Array>>,
    /** Set where statistics are not finite. */
    readonly problem: Tensor,
  ) {
    for (const layer of layersOfKind(training.graph, 'batchNorm')) {
      const padded = pad(layer.channels, builder.addon.lanes);
      const size = builder.addon.coefficients.length * padded;
      const values = training.method.trainBatchNorm ? null : this.#frozen(layer, padded, initial);
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
      weight: this.task.get(`${layer.name}.weight`),
      bias: this.task.get(`${layer.name}.bias`),
      runningMean: this.task.get(`${layer.name}.running_mean`),
      runningVariance: this.task.get(`${layer.name}.running_var`),
    });
  }

  update(layer: BatchNormLayer, partial: Tensor, chunks: number, pixels: number): void {
    const { name, channels } = layer;
    const [ofWeight, ofBias] = [this.task.moments(`${name}.weight`), this.task.moments(`${name}.bias`)];
    this.builder.call('updateAffine', {
      partial,
      chunks,
      pixels,
      channels,
      padded: pad(channels, this.builder.addon.lanes),
      coefficients: this.coefficients(layer),
      weight: this.task.get(`${name}.weight`),
      bias: this.task.get(`${name}.bias`),
      weightMoment1: ofWeight.moment1,
      weightMoment2: ofWeight.moment2,
      biasMoment1: ofBias.moment1,
      biasMoment2: ofBias.moment2,
    });
  }

  /** Coefficients that normalise by the running statistics; padded channels come out as 0. */
  #frozen(
    layer: BatchNormLayer,
    padded: number,
    tensors: Readonly<Record<string, Float32Array>>,
  ): Float32Array {
    const names = this.builder.addon.coefficients;
    const vectors = frozenNorm(layer, tensors);
    const values = new Float32Array(names.length * padded); // the others are for the backward pass of trained norms
    for (const name of ['mean', 'scale', 'shift'] as const)
      values.set(vectors[name], names.indexOf(name) * padded);
    return values;
  }
}
