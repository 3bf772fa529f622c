import type { BatchNormLayer } from '../../model/graph.js';
import type { TrainingPlan } from '../engine.js';
import { type ChunkStatistics, type FeatureMap, normalizedUnits, quadsOf } from './features.js';
import {
  affineUpdateKernel,
  normWorkgroups,
  statisticsKernel,
  statisticsSumsKernel,
} from './kernels/batchNorm.js';
import { sumBytes, sumGrid } from './kernels/channelSums.js';
import { coefficientLayout, FrozenNorms } from './normalization.js';
import type { Tensor } from './plan.js';
import type { PlanBuilder } from './planBuilder.js';
import type { TaskTensors } from './taskTensors.js';

/** A task's batch norms: coefficients from the batch's statistics, or frozen; updates of weight and bias. */
export class TaskNorms {
  readonly coefficients: Tensor;
  /** Of each batch norm's coefficients, in quads. */
  readonly offsets: ReadonlyMap<string, number>;
  /** Where the running statistics do not change. */
  readonly #frozen: FrozenNorms | null;

  /** @param initial the task's tensors */
  constructor(
    readonly builder: PlanBuilder,
    readonly training: TrainingPlan,
    readonly task: TaskTensors,
    initial: Readonly<Record<string, Float32Array>>,
  ) {
    const { graph, method } = training;
    this.#frozen = method.trainBatchNorm ? null : new FrozenNorms(builder, graph, initial);
    const { offsets, bytes } = coefficientLayout(graph);
    this.offsets = offsets;
    this.coefficients =
      this.#frozen?.coefficients ??
      builder.persistent('batch norm coefficients', bytes, null, { inParts: true });
  }

  emitStatistics(layer: BatchNormLayer, input: FeatureMap): void {
    if (this.#frozen) {
      this.#frozen.add(layer, input);
      return;
    }
    const { shape } = input;
    const { sums, chunks, pixelsPerChunk } = input.statistics ?? this.#chunkStatistics(layer, input);
    const { layout, tensors } = this.task;
    const units = normalizedUnits(input);
    this.builder.dispatch(statisticsKernel, {
      params: {
        ...this.#params(layer, chunks, shape.pixels),
        pixelsPerChunk,
        meanOffset: layout.offset(`${layer.name}.running_mean`),
        varianceOffset: layout.offset(`${layer.name}.running_var`),
      },
      tensors: {
        sums,
        units: this.builder.persistent(`units of ${layer.name}'s input`, units.byteLength, units),
        coefficients: this.coefficients,
        tensors,
      },
      workgroups: normWorkgroups(shape.quads),
    });
  }

  #chunkStatistics({ name }: BatchNormLayer, { tensor: x, shape, format }: FeatureMap): ChunkStatistics {
    const { pixels, quads } = shape;
    const { lanes, chunks, pixelsPerChunk, workgroups } = sumGrid(pixels, quads);
    const sums = this.builder.transient(`sums of ${name}`, sumBytes(quads, chunks));
    this.builder.dispatch(statisticsSumsKernel(lanes, format), {
      params: { quads, pixels, pixelsPerChunk },
      tensors: { x, sums },
      workgroups,
    });
    return { sums, chunks, pixelsPerChunk };
  }

  update(layer: BatchNormLayer, sums: Tensor, chunks: number, pixels: number): void {
    this.builder.dispatch(affineUpdateKernel(this.training.optimizer), {
      params: this.#params(layer, chunks, pixels),
      tensors: { sums, coefficients: this.coefficients, ...this.task.optimized },
      workgroups: normWorkgroups(quadsOf(layer.channels)),
    });
  }

  #params({ name, channels }: BatchNormLayer, chunks: number, pixels: number) {
    return {
      channels,
      quads: quadsOf(channels),
      chunks,
      norm: this.offsets.get(name)!,
      count: pixels,
      weightOffset: this.task.layout.offset(`${name}.weight`),
      biasOffset: this.task.layout.offset(`${name}.bias`),
    };
  }
}
