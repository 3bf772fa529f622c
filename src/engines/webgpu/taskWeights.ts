/** @file What a task's convolutions and head compute with, made anew each step, and how a step updates it. */
import { maskShape, rowsPerBit } from '../../adaption/geometry.js';
import { levelLimit } from '../../model/backbone.js';
import type { ConvLayer, LinearLayer } from '../../model/graph.js';
import { hashString } from '../../random.js';
import { type FusedGraph, feedsBatchNormOnly, readsLevels } from '../compiled/fusion.js';
import { type Window, windowOf } from '../compiled/layers.js';
import type { TrainingPlan } from '../engine.js';
import { channelScales, frozenWeights, weightBytes } from './deviceWeights.js';
import { quadsOf } from './features.js';
import { linearWorkgroups } from './kernel.js';
import { biasUpdateKernel } from './kernels/ends.js';
import {
  gridWeightsKernel,
  maskedWeightsKernel,
  maskUpdateKernel,
  plainWeightsKernel,
  type WeightType,
  weightUpdateKernel,
} from './kernels/weights.js';
import type { Tensor } from './plan.js';
import type { PlanBuilder } from './planBuilder.js';
import type { Products, Weights } from './products.js';
import type { TaskTensors } from './taskTensors.js';

export class TaskWeights {
  readonly #weights = new Map<string, Weights>();
  /** Of masked convolutions: the backbone's levels, every bit on. */
  readonly #frozen = new Map<string, Weights>();

  /** Emits what makes all weights. */
  constructor(
    readonly builder: PlanBuilder,
    readonly training: TrainingPlan,
    readonly task: TaskTensors,
    fused: FusedGraph,
    products: Products,
  ) {
    for (const node of fused.nodes) {
      if (node.kind === 'linear') this.#weights.set(node.name, this.#plain(windowOf(node)));
      if (node.kind !== 'conv') continue;
      const format = readsLevels(fused, node) ? 'levels' : 'float';
      const grid = this.training.backbone.convs[node.name].kind;
      const onMatrixUnits = products.canUseMatrixUnits(format, grid) && feedsBatchNormOnly(fused, node);
      this.#weights.set(node.name, this.#conv(node, onMatrixUnits));
    }
  }

  get(layer: ConvLayer | LinearLayer): Weights {
    return this.#weights.get(layer.name)!;
  }

  areTrained(layer: ConvLayer | LinearLayer): boolean {
    const { mask, trainWeights } = this.training.method;
    return layer.kind === 'linear' || mask !== null || trainWeights;
  }

  update(layer: ConvLayer | LinearLayer, dw: Tensor, dy: Tensor): void {
    const { method, optimizer } = this.training;
    const { window, scales, onMatrixUnits } = this.get(layer);
    if (layer.kind === 'conv' && method.mask) {
      const [outChannels, bitsPerFilter] = maskShape(layer, method.mask);
      const frozen = this.#frozen.get(layer.name)!.values;
      this.builder.dispatch(maskUpdateKernel(method.mask, optimizer, typeOf(onMatrixUnits)), {
        params: { ...this.#params(window, 'scores'), ...this.#maskParams(layer) },
        tensors: { frozen, scales, dw, ...this.task.optimized },
        workgroups: linearWorkgroups(outChannels * bitsPerFilter),
      });
      return;
    }
    const limit = layer.kind === 'conv' ? this.#limit(layer) : null;
    const group = layer.kind === 'linear' ? 'Head' : 'Weights';
    this.builder.dispatch(weightUpdateKernel(optimizer, group, limit !== null), {
      params: { ...this.#params(window, 'weight'), limit: limit ?? 0 },
      tensors: { dw, scales, ...this.task.optimized },
      workgroups: linearWorkgroups(window.outChannels * window.inChannels * window.kernel ** 2),
    });
    if (layer.kind === 'linear') this.#updateBias(layer, dy);
  }

  #conv(layer: ConvLayer, onMatrixUnits: boolean): Weights {
    const { backbone, method } = this.training;
    const grid = backbone.convs[layer.name];
    if (method.trainWeights) return this.#trained(layer, onMatrixUnits);
    const frozen = frozenWeights(this.builder, layer, grid, onMatrixUnits);
    if (!method.mask) return frozen;
    this.#frozen.set(layer.name, frozen);
    const values = this.#transient(layer, onMatrixUnits);
    this.builder.dispatch(maskedWeightsKernel(method.mask, typeOf(onMatrixUnits)), {
      params: { ...this.#params(layer, 'scores'), ...this.#maskParams(layer) },
      tensors: { frozen: frozen.values, tensors: this.task.tensors, w: values },
      workgroups: elements(values, onMatrixUnits),
    });
    return { ...frozen, values };
  }

  #trained(layer: ConvLayer, onMatrixUnits: boolean): Weights {
    const limit = this.#limit(layer);
    if (limit === null) return this.#plain(layer);
    const scales = channelScales(this.builder, layer, this.training.backbone.convs[layer.name]);
    const values = this.#transient(layer, onMatrixUnits);
    this.builder.dispatch(gridWeightsKernel(typeOf(onMatrixUnits)), {
      params: { ...this.#params(layer, 'weight'), limit },
      tensors: { tensors: this.task.tensors, scales: scales.scales, w: values },
      workgroups: elements(values, onMatrixUnits),
    });
    return { window: layer, values, ...scales, onMatrixUnits };
  }

  /** Trained weights as they are. */
  #plain(window: Window): Weights {
    const values = this.#transient(window, false);
    this.builder.dispatch(plainWeightsKernel, {
      params: this.#params(window, 'weight'),
      tensors: { tensors: this.task.tensors, w: values },
      workgroups: elements(values, false),
    });
    return { window, values, ...channelScales(this.builder, window, null), onMatrixUnits: false };
  }

  #transient(window: Window, onMatrixUnits: boolean): Tensor {
    return this.builder.transient(`weights of ${window.name}`, weightBytes(window, onMatrixUnits));
  }

  #params({ name, inChannels, outChannels, kernel }: Window, suffix: 'scores' | 'weight') {
    const [inQuads, outQuads] = [quadsOf(inChannels), quadsOf(outChannels)];
    const offset = this.task.layout.offset(`${name}.${suffix}`);
    return { inChannels, outChannels, inQuads, outQuads, taps: kernel ** 2, offset };
  }

  #maskParams(layer: ConvLayer) {
    const { method, seed } = this.training;
    const [, bitsPerFilter] = maskShape(layer, method.mask!);
    return {
      rowsPerBit: rowsPerBit(layer, method.mask!),
      bitsPerFilter,
      seed,
      layerKey: hashString(layer.name),
    };
  }

  /** Largest level of a convolution's grid; null without one. */
  #limit({ name }: ConvLayer): number | null {
    const grid = this.training.backbone.convs[name];
    return grid.kind === 'levels' ? levelLimit(grid.bits) : null;
  }

  #updateBias({ name, outFeatures }: LinearLayer, dlogits: Tensor): void {
    this.builder.dispatch(biasUpdateKernel(this.training.optimizer), {
      params: {
        batch: this.training.batchSize,
        classes: outFeatures,
        padded: 4 * quadsOf(outFeatures),
        offset: this.task.layout.offset(`${name}.bias`),
      },
      tensors: { dlogits, ...this.task.optimized },
      workgroups: linearWorkgroups(outFeatures),
    });
  }
}

const typeOf = (onMatrixUnits: boolean): WeightType => (onMatrixUnits ? 'f16' : 'f32');

const elements = ({ bytes }: Tensor, onMatrixUnits: boolean) =>
  linearWorkgroups(bytes / (onMatrixUnits ? 2 : 4));
