import type { BatchNormLayer } from '../../model/graph.js';
import type { TrainingPlan } from '../engine.js';
import { type FeatureMap, quadsOf } from './features.js';
import {
  affineUpdateKernel,
  channelWorkgroups,
  statisticsKernel,
  statisticsSumsKernel,
} from './kernels/batchNorm.js';
import { sumBytes, sumGrid } from './kernels/channelSums.js';
import { coefficientLayout, frozenCoefficients } from './normalization.js';
import type { Tensor } from './plan.js';
import type { PlanBuilder } from './planBuilder.js';
import type { TaskTensors } from './taskTensors.js';

/** A task's batch norms: coefficients from the batch's statistics, or frozen; updates of weight and bias. */
export class TaskNorms {
  readonly coefficients: Tensor;
  /** Of each batch norm's coefficients, in quads. */
  readonly offsets: ReadonlyMap<string, number>;

  /** @param initial the task's tensors: its running statistics, where frozen, do not change */
  constructor(
    readonly builder: PlanBuilder,
    readonly training: TrainingPlan,
    readonly task: TaskTensors,
    initial: Readonly<Record<string, Float32Array>>,
  ) {
    const { graph, method } = training;
    const layout = coefficientLayout(graph);
    const frozen = method.trainBatchNorm ? null : frozenCoefficients(graph, layout, initial);
    this.coefficients = builder.persistent('batch norm coefficients', layout.bytes, frozen);
    this.offsets = layout.offsets;
  }

  emitStatistics(layer: BatchNormLayer, { tensor: x, shape }: FeatureMap): void {
    if (!this.training.method.trainBatchNorm) return;
    const { lanes, chunks, pixelsPerChunk, workgroups } = sumGrid(shape.pixels, shape.quads);
    const sums = this.builder.transient(`sums of ${layer.name}`, sumBytes(shape.quads, chunks));
    this.builder.dispatch(statisticsSumsKernel(lanes), {
      params: { quads: shape.quads, pixels: shape.pixels, pixelsPerChunk },
      tensors: { x, sums },
      workgroups,
    });
    const { layout, tensors } = this.task;
    this.builder.dispatch(statisticsKernel, {
      params: {
        ...this.#params(layer, chunks, shape.pixels),
        meanOffset: layout.offset(`${layer.name}.running_mean`),
        varianceOffset: layout.offset(`${layer.name}.running_var`),
      },
      tensors: { x, sums, coefficients: this.coefficients, tensors },
      workgroups: channelWorkgroups(shape.quads),
    });
  }

  update(layer: BatchNormLayer, sums: Tensor, chunks: number, pixels: number): void {
    this.builder.dispatch(affineUpdateKernel(this.training.optimizer), {
      params: this.#params(layer, chunks, pixels),
      tensors: { sums, coefficients: this.coefficients, ...this.task.optimized },
      workgroups: channelWorkgroups(quadsOf(layer.channels)),
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
