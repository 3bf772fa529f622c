/**
 * @file Activation tensors and their two layouts in the graph.
 *
 * `nchw`: [batch, channels, height, width], for ONNX's own Conv and pooling; one matrix product per image.
 * `merged`: [1, channels, height·width·batch], pixels outer, images inner. A convolution becomes a single matrix
 * product over the whole batch, which small feature maps need: per image they are only a few columns wide.
 */
import { type LayerGraph, layerShapes } from '../../model/graph.js';
import type { GraphBuilder } from './graphBuilder.js';

export type Layout = 'nchw' | 'merged';

export interface TensorShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** Reshapes and transposes between layouts. */
export class Layouts {
  readonly #shapes: ReadonlyMap<string, TensorShape>;
  readonly #beforePooling: ReadonlySet<string>;

  /**
   * @param mergedPixels feature maps of at most this many pixels are merged; 0: never
   * @param winogradChannels merged 3×3 convolutions of at least this many channels are Winograd's
   */
  constructor(
    readonly builder: GraphBuilder,
    graph: LayerGraph,
    readonly batchSize: number,
    imageSize: number,
    readonly mergedPixels: number,
    readonly winogradChannels = Number.POSITIVE_INFINITY,
  ) {
    this.#shapes = layerShapes(graph, imageSize);
    this.#beforePooling = beforePooling(graph);
  }

  shapeOf(layer: string): TensorShape {
    const shape = this.#shapes.get(layer);
    if (!shape) throw new Error(`no layer ${layer}`);
    return shape;
  }

  /**
   * The layout in which a layer's output is computed on, by the size of its feature map; in front of a max pool, which
   * needs nchw, nothing is merged.
   */
  layoutOf(layer: string): Layout {
    const { height, width } = this.shapeOf(layer);
    return height * width <= this.mergedPixels && !this.#beforePooling.has(layer) ? 'merged' : 'nchw';
  }

  /** The dimensions of a tensor of `shape`. */
  dims({ channels, height, width }: TensorShape, layout: Layout): number[] {
    return layout === 'nchw'
      ? [this.batchSize, channels, height, width]
      : [1, channels, height * width * this.batchSize];
  }

  convert(value: string, shape: TensorShape, from: Layout, to: Layout): string {
    if (from === to) return value;
    const { channels, height, width } = shape;
    if (to === 'merged') {
      const turned = this.builder.op('Transpose', [value], { perm: [1, 2, 3, 0] });
      return this.builder.op('Reshape', [turned, this.builder.ints(...this.dims(shape, 'merged'))]);
    }
    const apart = this.builder.op('Reshape', [
      value,
      this.builder.ints(channels, height, width, this.batchSize),
    ]);
    return this.builder.op('Transpose', [apart], { perm: [3, 0, 1, 2] });
  }

  /** A vector [channels] in a shape that broadcasts over activations. */
  perChannel(vector: string, channels: number, layout: Layout): string {
    const dims = layout === 'nchw' ? [1, channels, 1, 1] : [1, channels, 1];
    return this.builder.op('Reshape', [vector, this.builder.ints(...dims)]);
  }

  /**
   * Sum over everything but channels: [channels]. Along contiguous rows first, then over images: ONNX Runtime splits
   * sums over several axes at once by the number of threads, and results would depend on it.
   */
  channelSum(value: string, channels: number, layout: Layout): string {
    const { builder } = this;
    const rows = builder.op('Reshape', [value, builder.ints(this.#rows(channels, layout), -1)]);
    const sums = builder.op('ReduceSum', [rows, builder.ints(1)], { keepdims: 0 });
    return this.#sumOverImages(sums, channels, layout);
  }

  /** Sum of the products of two tensors over everything but channels: [channels]. A row is one 1×1 matrix product. */
  channelDot(a: string, b: string, channels: number, layout: Layout): string {
    const { builder } = this;
    const dims = builder.ints(this.#rows(channels, layout), 1, -1);
    const [left, right] = [a, b].map((value) => builder.op('Reshape', [value, dims]));
    const products = builder.op('com.microsoft:FusedMatMul', [left, right], { transB: 1 });
    return this.#sumOverImages(products, channels, layout);
  }

  /** Contiguous rows of one channel. */
  #rows(channels: number, layout: Layout): number {
    return layout === 'merged' ? channels : this.batchSize * channels;
  }

  #sumOverImages(sums: string, channels: number, layout: Layout): string {
    const { builder, batchSize } = this;
    if (layout === 'merged') return builder.op('Reshape', [sums, builder.ints(channels)]);
    const perImage = builder.op('Reshape', [sums, builder.ints(batchSize, channels)]);
    return builder.op('ReduceSum', [perImage, builder.ints(0)], { keepdims: 0 });
  }
}

/** The names of all layers, and the input, that a max pool depends on. */
function beforePooling(graph: LayerGraph): Set<string> {
  const names = new Set<string>();
  for (const { name, kind, inputs } of [...graph.layers].reverse()) {
    if (kind === 'maxPool' || names.has(name)) for (const input of inputs) names.add(input);
  }
  return names;
}

/** Layer outputs by name, handed out in whichever layout is asked for; conversions are made once. */
export class Activations {
  readonly #values = new Map<string, string>();

  constructor(readonly layouts: Layouts) {}

  set(layer: string, layout: Layout, value: string): void {
    this.#values.set(`${layer}:${layout}`, value);
  }

  get(layer: string, layout: Layout): string {
    const direct = this.#values.get(`${layer}:${layout}`);
    if (direct) return direct;
    const other: Layout = layout === 'nchw' ? 'merged' : 'nchw';
    const source = this.#values.get(`${layer}:${other}`);
    if (!source) throw new Error(`layer ${layer} has no value yet`);
    const value = this.layouts.convert(source, this.layouts.shapeOf(layer), other, layout);
    this.set(layer, layout, value);
    return value;
  }

  /** The value of a layer that is not a feature map: pooled features or logits, [batch, channels]. */
  flat(layer: string): string {
    return this.get(layer, this.layouts.layoutOf(layer));
  }
}
