/**
 * @file Static shapes of an ONNX graph: those it declares, and those that follow for the operators of common
 * classification networks. A symbolic batch counts as 1. Shapes that do not follow stay unknown, with the reason.
 */
import type { onnx as Onnx } from 'onnx-proto';
import { UserError } from '../errors.js';

export type Dims = readonly number[];

export interface OnnxShapes {
  /** By tensor name. */
  readonly dims: ReadonlyMap<string, Dims>;
  /** Initialisers and everything computed from them alone. */
  readonly constants: ReadonlySet<string>;
  /** The graph's real inputs. */
  readonly inputs: readonly string[];
  /** Why a shape is unknown: the node and operator where inference ended. */
  readonly unknown: ReadonlyMap<string, string>;
}

/** A node's name, or its operator and index when it has none. */
export function nodeName(node: Onnx.INodeProto, index: number): string {
  return node.name || `${node.opType}#${index}`;
}

/** @throws UserError when an input has no static shape, or nodes are not in topological order */
export function inferShapes(graph: Onnx.IGraphProto, path: string): OnnxShapes {
  const dims = new Map<string, Dims>();
  const constants = new Set<string>();
  const unknown = new Map<string, string>();
  const int64s = new Map<string, number[]>();
  for (const tensor of graph.initializer ?? []) {
    constants.add(tensor.name!);
    dims.set(tensor.name!, (tensor.dims ?? []).map(Number));
    const values = smallIntegers(tensor);
    if (values) int64s.set(tensor.name!, values);
  }
  const inputs: string[] = [];
  for (const input of graph.input ?? []) {
    if (constants.has(input.name!)) continue;
    const shape = declared(input, true);
    if (!shape) {
      throw new UserError(
        `${path}: input "${input.name}" has no static shape (only the batch may be symbolic)`,
        'Export the network with a fixed image size.',
      );
    }
    inputs.push(input.name!);
    dims.set(input.name!, shape);
  }
  const hints = new Map(
    [...(graph.valueInfo ?? []), ...(graph.output ?? [])].map((info) => [info.name!, info]),
  );

  for (const [index, node] of (graph.node ?? []).entries()) {
    const sources = (node.input ?? []).filter((name) => name !== '');
    const late = sources.find((name) => !dims.has(name) && !unknown.has(name) && !constants.has(name));
    if (late !== undefined) {
      throw new UserError(
        `${path}: node ${nodeName(node, index)} reads "${late}", which no earlier node writes`,
        'Export the network again.',
      );
    }
    const constant = node.opType === 'Constant' || sources.every((name) => constants.has(name));
    const inferred = inferNode(node, (name) => dims.get(name), int64s);
    (node.output ?? []).forEach((output, i) => {
      const hint = hints.get(output);
      const shape = (hint && declared(hint, !constant)) ?? (i === 0 ? inferred : undefined);
      if (constant) constants.add(output);
      if (shape) dims.set(output, shape);
      else {
        const cause = sources.map((name) => unknown.get(name)).find((reason) => reason !== undefined);
        unknown.set(output, cause ?? `node ${nodeName(node, index)}, operator ${node.opType}`);
      }
    });
    if (node.opType === 'Constant') {
      const tensor = node.attribute?.find(({ name }) => name === 'value')?.t;
      const values = tensor ? smallIntegers(tensor) : undefined;
      if (values) int64s.set(node.output![0], values);
    }
  }
  return { dims, constants, inputs, unknown };
}

/** A declared shape; undefined unless static. @param batch the first dimension may be symbolic: 1 */
function declared(info: Onnx.IValueInfoProto, batch: boolean): Dims | undefined {
  const shape = info.type?.tensorType?.shape?.dim;
  if (!shape) return undefined;
  const sizes = shape.map((dim, i) => {
    const size = dim.dimParam ? 0 : Number(dim.dimValue ?? 0);
    return size > 0 ? size : batch && i === 0 ? 1 : 0;
  });
  return sizes.every((size) => size > 0) ? sizes : undefined;
}

/** The values of a small int64 tensor: shapes, axes, pads. */
function smallIntegers(tensor: Onnx.ITensorProto): number[] | undefined {
  const INT64 = 7;
  const count = (tensor.dims ?? []).map(Number).reduce((a, b) => a * b, 1);
  if (tensor.dataType !== INT64 || count > 64) return undefined;
  if (tensor.int64Data?.length) return tensor.int64Data.map(Number);
  const raw = tensor.rawData;
  if (!raw || raw.byteLength !== count * 8) return undefined;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  return Array.from({ length: count }, (_, i) => Number(view.getBigInt64(i * 8, true)));
}

/** Operators whose output has the shape of their first input. */
const SAME = new Set(
  'Relu LeakyRelu PRelu Elu Selu Celu Gelu Sigmoid HardSigmoid HardSwish Tanh Clip Softmax LogSoftmax Identity Dropout Cast BatchNormalization InstanceNormalization LayerNormalization GroupNormalization LRN QuantizeLinear DequantizeLinear Sqrt Exp Log Neg Abs Erf Softplus Softsign Mish Floor Ceil Round Reciprocal Hardmax'.split(
    ' ',
  ),
);
const BROADCAST = new Set('Add Sub Mul Div Pow Max Min Sum Mean Where And Or Equal Greater Less'.split(' '));

function inferNode(
  node: Onnx.INodeProto,
  dimsOf: (name: string) => Dims | undefined,
  int64s: ReadonlyMap<string, number[]>,
): Dims | undefined {
  const type = node.opType ?? '';
  const inputs = node.input ?? [];
  const attribute = (name: string) => node.attribute?.find((a) => a.name === name);
  const ints = (name: string) => attribute(name)?.ints?.map(Number);
  const int = (name: string, otherwise: number) => {
    const found = attribute(name);
    return found ? Number(found.i) : otherwise;
  };
  if (type === 'Constant') return attribute('value')?.t?.dims?.map(Number) ?? [];
  const x = dimsOf(inputs[0] ?? '');
  if (!x) return undefined;
  if (SAME.has(type)) return x;
  if (BROADCAST.has(type)) return broadcast(inputs.map(dimsOf));
  const axesOf = (): number[] | undefined => {
    const axes = ints('axes') ?? int64s.get(inputs[1] ?? '');
    return axes?.map((axis) => (axis < 0 ? axis + x.length : axis));
  };
  switch (type) {
    case 'Conv':
    case 'ConvInteger':
    case 'QLinearConv': {
      const w = dimsOf(inputs[type === 'QLinearConv' ? 3 : 1] ?? '');
      return w && windowed(x, w[0], ints('kernel_shape') ?? w.slice(2), ints, attribute, false);
    }
    case 'MaxPool':
    case 'AveragePool':
    case 'LpPool': {
      const kernel = ints('kernel_shape');
      return kernel && windowed(x, x[1], kernel, ints, attribute, int('ceil_mode', 0) === 1);
    }
    case 'GlobalAveragePool':
    case 'GlobalMaxPool':
      return x.map((size, i) => (i < 2 ? size : 1));
    case 'Gemm': {
      const w = dimsOf(inputs[1] ?? '');
      return w && [int('transA', 0) ? x[1] : x[0], int('transB', 0) ? w[0] : w[1]];
    }
    case 'MatMul':
    case 'MatMulInteger':
    case 'QLinearMatMul': {
      const w = dimsOf(inputs[type === 'QLinearMatMul' ? 3 : 1] ?? '');
      if (!w || x.length < 2 || w.length < 2) return undefined;
      const stack = broadcast([x.slice(0, -2), w.slice(0, -2)]);
      return stack && [...stack, x[x.length - 2], w[w.length - 1]];
    }
    case 'Flatten': {
      const axis = int('axis', 1);
      return [size(x.slice(0, axis)), size(x.slice(axis))];
    }
    case 'Reshape': {
      const shape = int64s.get(inputs[1] ?? '');
      if (!shape) return undefined;
      const fixed = shape.map((dim, i) => (dim === 0 ? x[i] : dim));
      const known = fixed.filter((dim) => dim > 0).reduce((a, b) => a * b, 1);
      return fixed.map((dim) => (dim === -1 ? size(x) / known : dim));
    }
    case 'Transpose': {
      const order = ints('perm') ?? x.map((_, i) => x.length - 1 - i);
      return order.map((axis) => x[axis]);
    }
    case 'Concat': {
      const all = inputs.map(dimsOf);
      if (all.some((dims) => dims?.length !== x.length)) return undefined;
      const axis = (int('axis', 0) + x.length) % x.length;
      return x.map((dim, i) => (i === axis ? all.reduce((sum, dims) => sum + dims![i], 0) : dim));
    }
    case 'Squeeze': {
      const axes = axesOf();
      return x.filter((dim, i) => (axes ? !axes.includes(i) : dim !== 1));
    }
    case 'Unsqueeze': {
      const axes = ints('axes') ?? int64s.get(inputs[1] ?? '');
      if (!axes) return undefined;
      const shape = [...x];
      for (const axis of axes.map((a) => (a < 0 ? a + x.length + axes.length : a)).sort((a, b) => a - b)) {
        shape.splice(axis, 0, 1);
      }
      return shape;
    }
    case 'ReduceMean':
    case 'ReduceSum':
    case 'ReduceMax': {
      const axes = axesOf() ?? x.map((_, i) => i);
      const keep = int('keepdims', 1) === 1;
      return x.flatMap((dim, i) => (axes.includes(i) ? (keep ? [1] : []) : [dim]));
    }
    case 'Pad': {
      const pads = ints('pads') ?? int64s.get(inputs[1] ?? '');
      return pads?.length === 2 * x.length
        ? x.map((dim, i) => dim + pads[i] + pads[i + x.length])
        : undefined;
    }
    default:
      return undefined;
  }
}

function size(dims: Dims): number {
  return dims.reduce((a, b) => a * b, 1);
}

function broadcast(all: readonly (Dims | undefined)[]): Dims | undefined {
  if (all.some((dims) => dims === undefined)) return undefined;
  const length = Math.max(...all.map((dims) => dims!.length));
  return Array.from({ length }, (_, i) =>
    Math.max(...all.map((dims) => dims![dims!.length - length + i] ?? 1)),
  );
}

function windowed(
  x: Dims,
  channels: number,
  kernel: Dims,
  ints: (name: string) => number[] | undefined,
  attribute: (name: string) => Onnx.IAttributeProto | undefined,
  ceil: boolean,
): Dims {
  const spatial = x.slice(2);
  const strides = ints('strides') ?? spatial.map(() => 1);
  const dilations = ints('dilations') ?? spatial.map(() => 1);
  const pads = ints('pads') ?? spatial.flatMap(() => [0, 0]);
  const auto = attribute('auto_pad')?.s;
  const mode = auto ? new TextDecoder().decode(auto) : 'NOTSET';
  const outputs = spatial.map((dim, i) => {
    if (mode.startsWith('SAME')) return Math.ceil(dim / strides[i]);
    const window = dilations[i] * (kernel[i] - 1) + 1;
    const padding = mode === 'VALID' ? 0 : pads[i] + pads[i + spatial.length];
    const steps = (dim + padding - window) / strides[i];
    return (ceil ? Math.ceil(steps) : Math.floor(steps)) + 1;
  });
  return [x[0], channels, ...outputs];
}
