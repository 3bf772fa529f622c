/** @file Emits the calls of the forward pass. */
import type { Normalization } from '../../model/backbone.js';
import type { BatchNormLayer, ConvLayer, LinearLayer, MaxPoolLayer } from '../../model/graph.js';
import type { FusedGraph, PointwiseGroup, PointwiseLayer } from '../compiled/fusion.js';
import { clipOf, computed, productFlop, topLevel, windowOf } from '../compiled/layers.js';
import { type FeatureMap, geometryOf, levelStep, type MapShape, mapBytes } from './features.js';
import type { Arguments, ProgramBuilder, Records, Slice, Tensor } from './program.js';
import type { Weights } from './taskWeights.js';

export interface ForwardContext {
  readonly builder: ProgramBuilder;
  readonly fused: FusedGraph;
  readonly shapes: ReadonlyMap<string, MapShape>;
  readonly clips: Readonly<Record<string, number>>;
  readonly activationBits: number;
  readonly normalization: Normalization;
  /** How levels lie in memory. */
  readonly levels: 'levels8' | 'float32';
  /** RGB bytes of the batch. */
  readonly pixels: Tensor;
  weights(layer: ConvLayer | LinearLayer): Weights;
  /** Coefficients of a batch norm (native/xbm.h). */
  coefficients(layer: BatchNormLayer): Tensor;
  /** Emits what turns a batch norm's input into its coefficients; nothing where statistics are frozen. */
  statistics(layer: BatchNormLayer, input: FeatureMap): void;
  readonly bias: Slice;
}

export interface ForwardValues {
  /** What lies in memory, by layer name. */
  readonly maps: ReadonlyMap<string, FeatureMap>;
  /** What a product reads: a feature map, or the image's columns. */
  source(layer: ConvLayer | LinearLayer): FeatureMap;
  /** Which pixel won each window, by max pool. */
  readonly winners: ReadonlyMap<string, Tensor>;
  /** What products read in the padding: as long as a pixel of any map. */
  readonly zeros: Tensor;
}

export function emitForward(context: ForwardContext): ForwardValues {
  const { builder, fused, shapes } = context;
  const maps = new Map<string, FeatureMap>();
  const columns = new Map<string, FeatureMap>();
  const winners = new Map<string, Tensor>();
  // As long as a pixel of any map: also of image columns, which are a window's pixels.
  const convs = fused.nodes.filter((node) => node.kind === 'conv');
  const widths = [...shapes.values()].map(({ padded }) => padded);
  const columnWidths = convs.map((conv) => context.weights(conv).columns ?? 0);
  const zeros = builder.persistent('zeros', 4 * Math.max(...widths, ...columnWidths));

  const make = (name: string, format: FeatureMap['format'] = 'float32', step = 1): FeatureMap => {
    const shape = shapes.get(name)!;
    const map = {
      tensor: builder.transient(name, mapBytes(builder.addon, shape, format)),
      shape,
      format,
      step,
    };
    maps.set(name, map);
    return map;
  };
  const mapOf = (name: string): FeatureMap => computed(maps, name);
  const realsOf = (name: string): FeatureMap => {
    const map = mapOf(name);
    if (map.format !== 'float32' || map.step !== 1)
      throw new Error(`pools and the head read real values, and ${name} lies in memory as levels`);
    return map;
  };
  const source = (layer: ConvLayer | LinearLayer): FeatureMap =>
    columns.get(layer.name) ?? (layer.kind === 'conv' ? mapOf : realsOf)(layer.inputs[0]);

  for (const node of fused.nodes) {
    switch (node.kind) {
      case 'conv':
        if (context.weights(node).columns !== null) columns.set(node.name, emitColumns(context, node));
        emitProduct(context, node, source(node), make(node.name), zeros);
        break;
      case 'linear': {
        const logits = make(node.name);
        emitProduct(context, node, source(node), logits, zeros);
        const { batch, channels, padded } = logits.shape;
        const { bias } = context;
        builder.call('addBias', { logits: logits.tensor, bias, batch, classes: channels, padded });
        break;
      }
      case 'maxPool': {
        const [input, output] = [realsOf(node.inputs[0]), make(node.name)];
        const { pixels, padded } = output.shape;
        const won = builder.transient(`${node.name}, winners`, pixels * padded);
        winners.set(node.name, won);
        const window = windowArguments(node, input.shape, output.shape);
        builder.call('maxPool', { ...window, x: input.tensor, y: output.tensor, winners: won });
        break;
      }
      case 'globalAveragePool': {
        const [input, output] = [realsOf(node.inputs[0]), make(node.name)];
        const pool = averagePoolArguments(input.shape);
        builder.call('averagePool', { ...pool, x: input.tensor, y: output.tensor });
        break;
      }
      case 'group': {
        for (const member of node.members) {
          if (member.kind === 'batchNorm') context.statistics(member, mapOf(member.inputs[0]));
        }
        const outputs = node.outputs.map((name) => {
          const isQuantized = node.members.some(
            (member) => member.name === name && member.kind === 'quantize',
          );
          return isQuantized
            ? make(name, context.levels, levelStep(context.clips, name, context.activationBits))
            : make(name);
        });
        emitGroup(context, node, maps, outputs);
      }
    }
  }
  return { maps, winners, zeros, source };
}

export const averagePoolArguments = (input: MapShape) => ({
  batch: input.batch,
  pixels: input.height * input.width,
  channels: input.padded,
});

export const windowArguments = (layer: MaxPoolLayer, input: MapShape, output: MapShape) => ({
  batch: input.batch,
  inHeight: input.height,
  inWidth: input.width,
  channels: input.padded,
  outHeight: output.height,
  outWidth: output.width,
  kernel: layer.kernel,
  stride: layer.stride,
  padding: layer.padding,
});

type GroupContext = Pick<ForwardContext, 'builder' | 'clips' | 'activationBits' | 'coefficients'>;

/** Number of a layer's value in a group's calls: inputs first, then members. */
export const valueIndex = (group: PointwiseGroup, name: string): number => {
  const member = group.members.findIndex((layer) => layer.name === name);
  return member >= 0 ? group.inputs.length + member : group.inputs.indexOf(name);
};

/** Inputs and members of a group, as all its kernels take them. @param extra by batch norm: for the backward pass */
export function groupArguments(
  context: GroupContext,
  group: PointwiseGroup,
  maps: ReadonlyMap<string, FeatureMap>,
  extra: (layer: PointwiseLayer) => { trained: number; sums: Tensor | null },
): { args: Arguments; records: Records } {
  const { maxValues } = context.builder.addon;
  if (group.inputs.length + group.members.length > maxValues)
    throw new Error(
      `a group of ${group.members.length} element-wise layers is more than the native engine holds`,
    );
  const { pixels, padded } = maps.get(group.inputs[0])!.shape;
  const inputs = group.inputs.map((name) => {
    const { tensor, format, step } = maps.get(name)!;
    return ['input', { tensor, format, step }] as const;
  });
  const members = group.members.map((member) => {
    const [first, second] = member.inputs.map((name) => valueIndex(group, name));
    const isRead = group.members.some(({ inputs }) => inputs.includes(member.name));
    if (member.kind === 'quantize' && isRead && group.outputs.includes(member.name))
      throw new Error(`the native engine cannot both keep ${member.name} as levels and read it in its group`);
    const fields = {
      kind: member.kind,
      first,
      second: second ?? first,
      coefficients: member.kind === 'batchNorm' ? context.coefficients(member) : null,
      clip: member.kind === 'quantize' ? clipOf(context.clips, member.name) : 0,
      levels: member.kind === 'quantize' ? topLevel(context.activationBits) : 0,
      isRead: isRead ? 1 : 0,
      ...extra(member),
    };
    return ['member', fields] as const;
  });
  return {
    args: { pixels, channels: padded, inputs: inputs.length, members: members.length },
    records: [...inputs, ...members],
  };
}

function emitGroup(
  context: ForwardContext,
  group: PointwiseGroup,
  maps: ReadonlyMap<string, FeatureMap>,
  outputs: readonly FeatureMap[],
): void {
  const { args, records } = groupArguments(context, group, maps, () => ({ trained: 0, sums: null }));
  const stores = group.outputs.map((name, i) => {
    const { tensor, format } = outputs[i];
    return ['output', { value: valueIndex(group, name), tensor, format }] as const;
  });
  const call = { ...args, outputs: stores.length };
  context.builder.call('groupForward', call, { records: [...records, ...stores] });
}

/** The windows of a convolution that reads the image, each as one pixel of a feature map. */
function emitColumns(context: ForwardContext, layer: ConvLayer): FeatureMap {
  const { builder, shapes, normalization, pixels } = context;
  const [image, output] = [shapes.get('input')!, shapes.get(layer.name)!];
  const { kernel, stride, padding, inChannels } = layer;
  if (inChannels !== 3) throw new Error(`${layer.name} reads images of ${inChannels} channels, expected 3`);
  const rows = context.weights(layer).columns!;
  const shape: MapShape = { ...output, channels: kernel ** 2 * inChannels, padded: rows };
  const border = (image.height + 2 * padding) * (image.width + 2 * padding);
  const table = normalization.mean.flatMap((mean, c) =>
    Array.from({ length: 256 }, (_, value) => {
      const share = Math.fround(Math.fround(value / 255) - Math.fround(mean));
      return Math.fround(share / Math.fround(normalization.std[c]));
    }),
  );
  const tensor = builder.transient(`columns of ${layer.name}`, mapBytes(builder.addon, shape, 'float32'));
  builder.call('imageColumns', {
    bytes: pixels,
    table: builder.persistent('normalised pixel values', 4 * table.length, Float32Array.from(table)),
    image: builder.transient('normalised image', 4 * image.batch * border * inChannels),
    columns: tensor,
    batch: image.batch,
    height: image.height,
    width: image.width,
    outHeight: output.height,
    outWidth: output.width,
    kernel,
    stride,
    padding,
    rows,
  });
  return { tensor, shape, format: 'float32', step: 1 };
}

function emitProduct(
  { builder, weights }: ForwardContext,
  layer: ConvLayer | LinearLayer,
  input: FeatureMap,
  output: FeatureMap,
  zeros: Tensor,
): void {
  const { values, scales, precision, largestProduct, columns } = weights(layer);
  builder.call(
    'gather',
    {
      ...geometryOf(builder.addon, layer, input.shape, output.shape, columns),
      x: input.tensor,
      zeros,
      w: values,
      y: output.tensor,
      scales,
      format: precision.forward,
      largestProduct,
      transposed: 0,
    },
    { flop: productFlop(windowOf(layer), output.shape) },
  );
}
