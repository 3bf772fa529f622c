/** @file What a task's convolutions and head compute with, made anew each step, and how a step updates it. */
import { maskShape, rowsPerBit } from '../../adaption/geometry.js';
import type { ConvLayer, LinearLayer } from '../../model/graph.js';
import { hashString } from '../../random.js';
import type { FusedGraph } from '../compiled/fusion.js';
import { windowOf } from '../compiled/layers.js';
import type { TrainingPlan } from '../engine.js';
import { frozenWeights, gridOf, oncePerLayout, weightBytes } from './deviceWeights.js';
import { type DeviceWindow, inQuadsOf, quadsOf, weightCount } from './features.js';
import { linearWorkgroups } from './kernel.js';
import { gradientWeights, type ProductPath, rowsPerSumOf, type WeightLayout } from './kernels/convolution.js';
import { biasUpdateKernel } from './kernels/ends.js';
import {
  gridWeightsKernel,
  maskedWeightsKernel,
  maskUpdateKernel,
  plainWeightsKernel,
  threadsPerSum,
  updateWorkgroups,
  weightUpdateKernel,
} from './kernels/weights.js';
import type { Tensor } from './plan.js';
import type { PlanBuilder } from './planBuilder.js';
import type { Products, WeightGradient, Weights } from './products.js';
import type { TaskTensors } from './taskTensors.js';

export class TaskWeights {
  readonly #weights = new Map<string, Weights>();
  /** Of masked convolutions: the backbone's levels, every bit on. */
  readonly #frozen = new Map<string, Weights>();
  /** Of trained levels, on the device. */
  readonly #scales = new Map<string, Tensor>();

  constructor(
    readonly builder: PlanBuilder,
    readonly training: TrainingPlan,
    readonly task: TaskTensors,
    fused: FusedGraph,
    products: Products,
  ) {
    for (const node of fused.nodes) {
      if (node.kind === 'linear') this.#weights.set(node.name, this.#plain({ ...windowOf(node), copies: 1 }));
      if (node.kind !== 'conv') continue;
      const { kind } = this.training.backbone.convs[node.name];
      const onMatrixUnits = products.usesMatrixUnits(fused, node, kind);
      this.#weights.set(node.name, this.#conv(products.windowOf(node, onMatrixUnits), onMatrixUnits));
    }
  }

  get(layer: ConvLayer | LinearLayer): Weights {
    return this.#weights.get(layer.name)!;
  }

  areTrained(layer: ConvLayer | LinearLayer): boolean {
    const { mask, trainWeights } = this.training.method;
    return layer.kind === 'linear' || mask !== null || trainWeights;
  }

  /** A mask bit's gradient is a weighted sum over its rows: what of them lies together, a product can add up itself. */
  summedRows(layer: ConvLayer | LinearLayer, path: ProductPath) {
    const { mask } = this.training.method;
    const plain = { rowsPerSum: 1, tensors: {} };
    if (!mask || layer.kind === 'linear') return plain;
    const rows = rowsPerBit(layer, mask);
    const taps = layer.kernel ** 2;
    if (rows % taps !== 0) return plain;
    const rowsPerSum = rowsPerSumOf(path, [rows / taps, 4 * quadsOf(layer.inChannels)]);
    return rowsPerSum === 1 ? plain : { rowsPerSum, tensors: { frozen: this.#frozenRows(layer) } };
  }

  update(layer: ConvLayer | LinearLayer, gradient: WeightGradient, dy: Tensor): void {
    const { method, optimizer } = this.training;
    const { window, limit } = this.get(layer);
    const { tensor: dw, splits, rowsPerSum } = gradient;
    if (layer.kind === 'conv' && method.mask) {
      const params = { ...this.#params(window, 'scores'), ...this.#maskParams(layer), splits };
      const threads = threadsPerSum((splits * params.rowsPerBit) / rowsPerSum);
      const kernel = maskUpdateKernel(method.mask, optimizer, { rowsPerSum, threads }, this.#rowType(layer));
      this.builder.dispatch(kernel, {
        params,
        tensors: { frozen: this.#frozenRows(layer), dw, ...this.task.optimized },
        workgroups: updateWorkgroups(params.bitsPerFilter * params.outQuads, threads),
      });
      return;
    }
    const group = layer.kind === 'linear' ? 'Head' : 'Weights';
    const params = { ...this.#params(window, 'weight'), limit: limit ?? 0, splits };
    const threads = threadsPerSum(splits);
    this.builder.dispatch(weightUpdateKernel(optimizer, group, limit !== null, threads), {
      params,
      tensors: { dw, ...this.#scaleTensor(layer.name), ...this.task.optimized },
      workgroups: updateWorkgroups(params.inChannels * params.taps * params.outQuads, threads),
    });
    if (layer.kind === 'linear') this.#updateBias(layer, dy);
  }

  #rowType(layer: ConvLayer) {
    return gradientWeights(this.get(layer).onMatrixUnits).type;
  }

  /** The backbone's levels as the weight gradient has its rows. */
  #frozenRows(layer: ConvLayer): Tensor {
    return this.#frozen.get(layer.name)!.in(gradientWeights(this.get(layer).onMatrixUnits));
  }

  #conv(layer: ConvLayer & DeviceWindow, onMatrixUnits: boolean): Weights {
    const { backbone, method } = this.training;
    const grid = backbone.convs[layer.name];
    if (method.trainWeights) return this.#trained(layer, onMatrixUnits);
    const frozen = frozenWeights(this.builder, layer, grid, onMatrixUnits);
    if (!method.mask) return frozen;
    this.#frozen.set(layer.name, frozen);
    const { mask } = method;
    const inLayout = oncePerLayout((layout) => {
      const values = this.#transient(layer, layout);
      this.builder.dispatch(maskedWeightsKernel(mask, layout), {
        params: { ...this.#params(layer, 'scores'), ...this.#maskParams(layer) },
        tensors: { frozen: frozen.in(layout), tensors: this.task.tensors, w: values },
        workgroups: threadPerQuad(layer),
      });
      return values;
    });
    return { ...frozen, in: inLayout };
  }

  #trained(layer: ConvLayer & DeviceWindow, onMatrixUnits: boolean): Weights {
    const grid = gridOf(layer, this.training.backbone.convs[layer.name]);
    if (grid.limit === null) return this.#plain(layer);
    const scales = this.#uploadScales(layer);
    const { limit } = grid;
    const inLayout = oncePerLayout((layout) => {
      const values = this.#transient(layer, layout);
      this.builder.dispatch(gridWeightsKernel(layout), {
        params: { ...this.#params(layer, 'weight'), limit },
        tensors: { tensors: this.task.tensors, scales, w: values },
        workgroups: threadPerQuad(layer),
      });
      return values;
    });
    return { window: layer, in: inLayout, ...grid, onMatrixUnits };
  }

  /** Trained weights as they are. */
  #plain(window: DeviceWindow): Weights {
    const layout = { order: 'rows', type: 'f32' } as const;
    const inLayout = oncePerLayout(() => {
      const values = this.#transient(window, layout);
      this.builder.dispatch(plainWeightsKernel, {
        params: this.#params(window, 'weight'),
        tensors: { tensors: this.task.tensors, w: values },
        workgroups: threadPerQuad(window),
      });
      return values;
    });
    return { window, in: inLayout, ...gridOf(window, null), onMatrixUnits: false };
  }

  #transient(window: DeviceWindow, layout: WeightLayout): Tensor {
    return this.builder.transient(`weights of ${window.name}`, weightBytes(window, layout));
  }

  #params(window: DeviceWindow, suffix: 'scores' | 'weight') {
    const { name, inChannels, outChannels, kernel } = window;
    const [inQuads, outQuads] = [inQuadsOf(window), quadsOf(outChannels)];
    const copyChannels = 4 * quadsOf(inChannels);
    const offset = this.task.layout.offset(`${name}.${suffix}`);
    return { inChannels, copyChannels, outChannels, inQuads, outQuads, taps: kernel ** 2, offset };
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

  /** Of the backbone's levels, as they are: those of all-zero filters are 0. */
  #uploadScales({ name }: ConvLayer): Tensor {
    const weights = this.training.backbone.convs[name];
    if (weights.kind !== 'levels') throw new Error(`the weights of ${name} have no levels`);
    const values = new Float32Array(weights.scales);
    const scales = this.builder.persistent(`scales of ${name}`, values.byteLength, values);
    this.#scales.set(name, scales);
    return scales;
  }

  #scaleTensor(name: string): { scales?: Tensor } {
    const scales = this.#scales.get(name);
    return scales ? { scales } : {};
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

const threadPerQuad = (window: DeviceWindow) => linearWorkgroups(weightCount(window) / 4);
