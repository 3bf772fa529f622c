/**
 * @file Emits the calls of the backward pass: walks the nodes in reverse, hands each the gradients of its outputs and
 * collects those of its inputs.
 */
import type { BatchNormLayer, ConvLayer, LinearLayer } from '../../model/graph.js';
import {
  feedsBatchNormOnly,
  layersNeedingGradient,
  layersOfNode,
  type PointwiseGroup,
} from '../compiled/fusion.js';
import { Gradients } from '../compiled/gradients.js';
import { productFlop, windowOf } from '../compiled/layers.js';
import { type Format, geometryOf, mapBytes } from './features.js';
import {
  averagePoolArguments,
  type ForwardContext,
  type ForwardValues,
  groupArguments,
  valueIndex,
  windowArguments,
} from './forward.js';
import type { Tensor } from './program.js';

export interface BackwardContext extends ForwardContext {
  /** Whether a layer's weights are trained, through masks or directly. */
  trainsWeights(layer: ConvLayer | LinearLayer): boolean;
  readonly trainsBatchNorm: boolean;
  /** Emits the update of what a layer's weights are made from. @param dw [splits], to be added up */
  updateWeights(layer: ConvLayer | LinearLayer, dw: Tensor, splits: number, dy: Tensor): void;
  /** Emits the update of a layer's masks. @param sums [blocks], dL/dbit, to be added up */
  updateBits(layer: ConvLayer, sums: Tensor, blocks: number): void;
  /** Emits the update of a batch norm's weight and bias, and the means its input's gradient needs. */
  updateAffine(layer: BatchNormLayer, sums: Tensor, chunks: number, pixels: number): void;
}

/** Weight gradients of few channels are split along pixels, so that there is work for several threads. */
const ENOUGH_PIECES = 16;
const MIN_PIXELS_PER_SPLIT = 512;

/** Gradients of mask bits are summed up in blocks of pixels: those of one stay in the second-level cache. */
const BLOCK_BYTES = 192 * 1024;
/** Fewer than these are not worth an own sum. */
const MIN_PIXELS_PER_BLOCK = 64;
/** Output channels of one piece of a block, at least. */
const PIECE_CHANNELS = 32;
/** Pieces that keep many threads busy. */
const ENOUGH_BLOCK_PIECES = 48;

/** Pixels whose sums one thread takes at a time. */
const MAX_CHUNKS = 32;
const MIN_PIXELS_PER_CHUNK = 64;
export const chunksOf = (pixels: number): number =>
  Math.min(MAX_CHUNKS, Math.ceil(pixels / MIN_PIXELS_PER_CHUNK));

/** @param dlogits dL/dlogits, [batch, padded classes] */
export function emitBackward(context: BackwardContext, values: ForwardValues, dlogits: Tensor): void {
  const { builder, fused } = context;
  const { maps } = values;
  const needed = layersNeedingGradient(fused, context);
  /** As real values. */
  const gradients = new Gradients<Tensor>(
    (name) =>
      builder.transient(`gradient of ${name}`, mapBytes(builder.addon, maps.get(name)!.shape, 'float32')),
    add,
  );
  /** Gradients of convolutions' outputs as their products read them. */
  const ready = new Map<string, Tensor>();
  const widest = Math.max(...[...context.shapes.values()].map(({ padded }) => padded));
  const ones = builder.persistent('ones', 4 * widest, new Float32Array(widest).fill(1));

  for (const node of [...fused.nodes].reverse()) {
    if (!layersOfNode(node).some(({ name }) => needed.has(name))) continue;
    switch (node.kind) {
      case 'linear':
        productGradients(node, dlogits);
        break;
      case 'conv':
        productGradients(node, readyGradient(node));
        break;
      case 'maxPool': {
        if (!needed.has(node.inputs[0])) break;
        const [input, output] = [maps.get(node.inputs[0])!, maps.get(node.name)!];
        builder.call('maxPoolGradient', {
          ...windowArguments(node, input.shape, output.shape),
          dy: gradients.sum(node.name),
          winners: values.winners.get(node.name)!,
          dx: gradients.owe(node.inputs[0]),
        });
        break;
      }
      case 'globalAveragePool': {
        if (!needed.has(node.inputs[0])) break;
        const pool = averagePoolArguments(maps.get(node.inputs[0])!.shape);
        builder.call('averagePoolGradient', {
          ...pool,
          dy: gradients.sum(node.name),
          dx: gradients.owe(node.inputs[0]),
        });
        break;
      }
      case 'group':
        groupGradient(node);
    }
  }

  function add(name: string, a: Tensor, b: Tensor): Tensor {
    const { pixels, padded } = maps.get(name)!.shape;
    const sum = builder.transient(`gradient of ${name}`, a.bytes);
    builder.call('addGradients', { a, b, sum, size: pixels * padded });
    return sum;
  }

  function readyGradient({ name }: ConvLayer): Tensor {
    const gradient = ready.get(name);
    if (!gradient) throw new Error(`${name}: the native engine's convolutions feed one batch norm each`);
    return gradient;
  }

  function productGradients(layer: ConvLayer | LinearLayer, dy: Tensor): void {
    const [input, output] = [values.source(layer), maps.get(layer.name)!];
    const { transposed, precision, columns, segments } = context.weights(layer);
    const geometry = geometryOf(builder.addon, layer, input.shape, output.shape, columns);
    const flop = productFlop(windowOf(layer), output.shape);
    if (layer.kind === 'conv' && segments) {
      const { pixels } = output.shape;
      const wanted = Math.max(
        (pixels * input.shape.padded) / BLOCK_BYTES,
        (ENOUGH_BLOCK_PIECES * PIECE_CHANNELS) / geometry.outChannels,
      );
      const blocks = Math.ceil(Math.min(wanted, pixels / MIN_PIXELS_PER_BLOCK));
      const { channels, bits, frozen } = segments;
      const bytes = 4 * blocks * bits * geometry.outChannels;
      const sums = builder.transient(`mask gradient of ${layer.name}`, bytes);
      builder.call(
        'maskGradient',
        {
          ...geometry,
          x: input.tensor,
          zeros: values.zeros,
          dy,
          w: frozen,
          sums,
          format: precision.backward,
          segmentChannels: channels,
          bitsPerFilter: bits,
          blocks,
        },
        { flop },
      );
      context.updateBits(layer, sums, blocks);
    } else if (context.trainsWeights(layer)) {
      const rows = geometry.kernel ** 2 * geometry.inChannels;
      const pieces = geometry.kernel ** 2 * Math.ceil(geometry.inChannels / builder.addon.gradientChannels);
      const splits = Math.max(
        1,
        Math.min(Math.ceil(ENOUGH_PIECES / pieces), Math.floor(output.shape.pixels / MIN_PIXELS_PER_SPLIT)),
      );
      const bytes = 4 * splits * rows * geometry.outChannels;
      const dw = builder.transient(`weight gradient of ${layer.name}`, bytes);
      const format = precision.backward;
      const inputFormat = input.format;
      builder.call(
        'weightGradient',
        { ...geometry, x: input.tensor, dy, dw, inputFormat, format, splits },
        { flop },
      );
      context.updateWeights(layer, dw, splits, dy);
    }
    if (!needed.has(layer.inputs[0])) return;
    builder.call(
      'gather',
      {
        ...geometry,
        x: dy,
        zeros: values.zeros,
        w: transposed,
        y: gradients.owe(layer.inputs[0]),
        scales: ones,
        format: precision.backward,
        largestProduct: 0,
        transposed: 1,
      },
      { flop },
    );
  }

  /** Where a group's gradient of its input goes: straight to the products of a convolution that nobody else reads. */
  function owedRecord(name: string): { tensor: Tensor; format: Format; scales: Tensor | null } {
    const conv = fused.nodes.find((node) => node.kind === 'conv' && node.name === name);
    if (conv?.kind !== 'conv' || !feedsBatchNormOnly(fused, conv))
      return { tensor: gradients.owe(name), format: 'float32', scales: null };
    const { gradientScales, precision } = context.weights(conv);
    const bytes = mapBytes(builder.addon, maps.get(name)!.shape, precision.backward);
    const tensor = builder.transient(`gradient of ${name}`, bytes);
    ready.set(name, tensor);
    return { tensor, format: precision.backward, scales: gradientScales };
  }

  function groupGradient(group: PointwiseGroup): void {
    const { inputs } = group;
    const { pixels, padded } = maps.get(inputs[0])!.shape;
    const isTrained = context.trainsBatchNorm;
    const norms = group.members.filter((member) => member.kind === 'batchNorm');
    const chunks = chunksOf(pixels);
    const sums = new Map(
      isTrained
        ? norms.map(({ name }) => [name, builder.transient(`gradient sums of ${name}`, 8 * chunks * padded)])
        : [],
    );
    const received = group.outputs.flatMap((name) =>
      gradients.parts(name).map((tensor) => {
        return ['gradient', { value: valueIndex(group, name) - inputs.length, tensor }] as const;
      }),
    );
    const { args, records } = groupArguments(context, group, maps, ({ name }) => ({
      trained: sums.has(name) ? 1 : 0,
      sums: sums.get(name) ?? null,
    }));
    if (sums.size > 0) {
      const call = { ...args, received: received.length, chunks };
      builder.call('groupSums', call, { records: [...records, ...received] });
      for (const norm of norms) context.updateAffine(norm, sums.get(norm.name)!, chunks, pixels);
    }
    const owed = inputs
      .filter((name) => needed.has(name))
      .map((name) => {
        const { tensor, format, scales } = owedRecord(name);
        return ['owed', { value: inputs.indexOf(name), tensor, format, scales }] as const;
      });
    if (owed.length === 0) return;
    const call = { ...args, received: received.length, owed: owed.length };
    builder.call('groupBackward', call, { records: [...records, ...received, ...owed] });
  }
}
