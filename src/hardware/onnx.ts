/**
 * @file An ONNX classification network as weight layers: its convolutions and its matrix products with constant
 * weights. Only shapes are read, never weight values. What cannot be mapped is an error that names the node.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { onnx as Onnx } from 'onnx-proto';
import { UserError } from '../errors.js';
import type { CrossbarNetwork, WeightLayer } from './network.js';
import { type Dims, inferShapes, nodeName, type OnnxShapes } from './onnxShapes.js';

/** Operators that hold weights or multiply activations in ways that no array of constant weights can. */
const UNMAPPABLE = new Set([
  'ConvTranspose',
  'LSTM',
  'GRU',
  'RNN',
  'Einsum',
  'DeformConv',
  'Attention',
  'Loop',
  'If',
  'Scan',
]);

/** Index of the weights among a node's inputs. */
const CONVOLUTIONS: Readonly<Record<string, number>> = { Conv: 1, ConvInteger: 1, QLinearConv: 3 };
const PRODUCTS: Readonly<Record<string, readonly [left: number, right: number]>> = {
  Gemm: [0, 1],
  MatMul: [0, 1],
  MatMulInteger: [0, 1],
  QLinearMatMul: [0, 3],
};

/**
 * Reads a model file.
 * @param imageSize height and width, pixels, where the model leaves them open
 * @throws UserError when it is no ONNX model, a shape is not static, or a node cannot be mapped
 */
export async function readOnnxNetwork(path: string, imageSize?: number): Promise<CrossbarNetwork> {
  const { default: onnxProto } = await import('onnx-proto');
  let model: Onnx.ModelProto;
  try {
    model = onnxProto.onnx.ModelProto.decode(readFileSync(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new UserError(`${path}: no such file`);
    throw new UserError(
      `${path}: not an ONNX model: ${(error as Error).message}`,
      'Export the network again.',
    );
  }
  if (!model.graph?.node?.length) {
    throw new UserError(`${path}: not an ONNX model: it has no graph`, 'Export the network again.');
  }
  const own = new Map(model.metadataProps?.map(({ key, value }) => [key, value]));
  if (own.get('format')?.startsWith('xbm-export-') && own.get('precision') === 'int8') {
    throw new UserError(
      `${path}: is an int8 export of xbm: its operators are ONNX Runtime's own, without shapes`,
      'Price the run itself with --run, or export it with --precision float.',
    );
  }
  return networkOf(model.graph, basename(path).replace(/\.onnx$/, ''), path, imageSize);
}

function networkOf(
  graph: Onnx.IGraphProto,
  network: string,
  path: string,
  imageSize?: number,
): CrossbarNetwork {
  const shapes = inferShapes(graph, path, imageSize);
  checkSize(shapes, path, imageSize);
  const layers: WeightLayer[] = [];
  let batchNormChannels = 0;
  const batch = shapes.dims.get(shapes.inputs[0])?.[0] ?? 1;
  /** Tensors that no mapped layer has touched yet: they still are pixels. */
  const pixels = new Set(shapes.inputs);
  for (const [index, node] of (graph.node ?? []).entries()) {
    const name = nodeName(node, index);
    const outputs = node.output ?? [];
    if (outputs.every((output) => shapes.constants.has(output))) continue;
    const type = node.opType ?? '';
    if (UNMAPPABLE.has(type))
      throw unmappable(path, name, `operator ${type} has no mapping to arrays of constant weights`);
    const data = (node.input ?? []).filter((input) => input && !shapes.constants.has(input));
    const first = data.length > 0 && data.every((input) => pixels.has(input));
    if (type in CONVOLUTIONS) {
      layers.push(convolution(node, { path, name, shapes, batch, first }));
    } else if (type in PRODUCTS) {
      layers.push(product(node, { path, name, shapes, batch, first }));
    } else {
      if (type === 'BatchNormalization')
        batchNormChannels += shapes.dims.get(node.input?.[1] ?? '')?.[0] ?? 0;
      if (first) for (const output of outputs) pixels.add(output);
    }
  }
  if (layers.length === 0) {
    throw new UserError(
      `${path}: no convolution and no matrix product with constant weights`,
      'Give a classification network.',
    );
  }
  const last = layers[layers.length - 1];
  const head = last.kind === 'linear' && layers.length > 1;
  return {
    network,
    input: shapes.inputs.map((input) => shapes.dims.get(input)!.slice(1).join('×')).join(', '),
    layers: head ? [...layers.slice(0, -1), { ...last, head: true }] : layers,
    batchNormChannels,
    headFeatures: head ? last.rows : null,
  };
}

/** A size that was asked for must be the size that is priced. */
function checkSize(shapes: OnnxShapes, path: string, imageSize?: number): void {
  if (imageSize === undefined) return;
  for (const input of shapes.inputs) {
    const [, , ...size] = shapes.dims.get(input)!;
    if (size.every((pixels) => pixels === imageSize)) continue;
    throw new UserError(
      `${path}: input "${input}" is fixed at ${size.join('×')} pixels, not ${imageSize}`,
      'Leave out --image-size.',
    );
  }
}

interface Site {
  readonly path: string;
  readonly name: string;
  readonly shapes: OnnxShapes;
  /** Images in one run of the graph. */
  readonly batch: number;
  readonly first: boolean;
}

function unmappable(path: string, node: string, why: string): UserError {
  return new UserError(`${path}: cannot map node ${node}: ${why}`);
}

function dimsOf(site: Site, tensor: string | undefined, what: string): Dims {
  const dims = tensor === undefined ? undefined : site.shapes.dims.get(tensor);
  if (dims) return dims;
  const because = site.shapes.unknown.get(tensor ?? '');
  throw new UserError(
    `${site.path}: cannot map node ${site.name}: the shape of its ${what} "${tensor ?? ''}" is not known${because ? ` (after ${because})` : ''}`,
    'Export with static shapes and run onnx.shape_inference over the model.',
  );
}

function convolution(node: Onnx.INodeProto, site: Site): WeightLayer {
  const weightName = node.input?.[CONVOLUTIONS[node.opType!]];
  if (!weightName || !site.shapes.constants.has(weightName)) {
    throw unmappable(site.path, site.name, `its weights "${weightName ?? ''}" are not constant`);
  }
  const [outputs, channels, ...kernel] = dimsOf(site, weightName, 'weights');
  const group = Number(node.attribute?.find(({ name }) => name === 'group')?.i ?? 1);
  if (group < 1 || outputs % group !== 0) {
    throw unmappable(site.path, site.name, `${outputs} outputs do not divide into ${group} groups`);
  }
  const output = dimsOf(site, node.output?.[0], 'output');
  return {
    name: site.name,
    kind: 'conv',
    rows: channels * multiply(kernel),
    outputs,
    groups: group,
    positions: positionsPerImage(site, output, outputs),
    first: site.first,
    head: false,
  };
}

function product(node: Onnx.INodeProto, site: Site): WeightLayer {
  const [left, right] = PRODUCTS[node.opType!].map((input) => node.input?.[input] ?? '');
  const { constants } = site.shapes;
  if (!constants.has(left) && !constants.has(right)) {
    throw unmappable(
      site.path,
      site.name,
      `it multiplies two activations ("${left}" and "${right}"), no constant weights`,
    );
  }
  const transposed = (name: string) => Number(node.attribute?.find((a) => a.name === name)?.i ?? 0) === 1;
  const weightRight = constants.has(right);
  const weights = dimsOf(site, weightRight ? right : left, 'weights');
  const data = dimsOf(site, weightRight ? left : right, 'input');
  if (weights.length !== 2) {
    throw unmappable(site.path, site.name, `its weights have ${weights.length} dimensions, expected 2`);
  }
  // Right weights are [rows, outputs], left ones [outputs, rows]; Gemm may transpose either.
  const flip = weightRight ? transposed('transB') : !transposed('transA');
  const [rows, outputs] = flip ? [weights[1], weights[0]] : weights;
  if (multiply(data) % rows !== 0) {
    throw unmappable(site.path, site.name, `input [${data}] does not fit weights [${weights}]`);
  }
  return {
    name: site.name,
    kind: 'linear',
    rows,
    outputs,
    groups: 1,
    positions: positionsPerImage(site, data, rows),
    first: site.first,
    head: false,
  };
}

/** Vectors of `length` in a tensor, per image: exporters fold tokens and batch into one dimension. */
function positionsPerImage(site: Site, dims: Dims, length: number): number {
  const positions = multiply(dims) / length / site.batch;
  if (Number.isInteger(positions)) return positions;
  throw unmappable(site.path, site.name, `its tensor [${dims}] does not divide into ${site.batch} images`);
}

function multiply(values: readonly number[]): number {
  return values.reduce((a, b) => a * b, 1);
}
