/**
 * @file Static shapes of an ONNX graph: those it declares, and those that follow for the operators of common
 * classification networks. A symbolic batch counts as 1. Shapes that do not follow stay unknown, with the reason.
 */
import type { onnx as Onnx } from 'onnx-proto';
import { UserError } from '../errors.js';
import { inferValues, smallIntegers } from './onnxValues.js';

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

/**
 * @param imageSize height and width for inputs that leave theirs open
 * @throws UserError when an input has no static shape, or nodes are not in topological order
 */
export function inferShapes(graph: Onnx.IGraphProto, path: string, imageSize?: number): OnnxShapes {
  const dims = new Map<string, Dims>();
  const constants = new Set<string>();
  const unknown = new Map<string, string>();
  const int64s = new Map<string, readonly number[]>();
  for (const tensor of graph.initializer ?? []) {
    constants.add(tensor.name!);
    dims.set(tensor.name!, (tensor.dims ?? []).map(Number));
    const values = smallIntegers(tensor);
    if (values) int64s.set(tensor.name!, values);
  }
  const inputs: string[] = [];
  for (const input of graph.input ?? []) {
    if (constants.has(input.name!)) continue;
    const shape = declared(input, true, imageSize);
    if (!shape) {
      throw new UserError(
        `${path}: input "${input.name}" has no static shape (only the batch may be symbolic)`,
        'Give --image-size if its height and width are open, or export the network with fixed ones.',
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
    const values = inferValues(
      node,
      (name) => dims.get(name),
      (name) => int64s.get(name),
    );
    if (values && node.output?.[0]) {
      int64s.set(node.output[0], values);
      // Integers that follow from static shapes are constants, whatever they were computed from.
      constants.add(node.output[0]);
      if (!dims.has(node.output[0])) dims.set(node.output[0], [values.length]);
    }
  }
  return { dims, constants, inputs, unknown };
}

/**
 * A declared shape; undefined unless static.
 * @param batch the first dimension may be symbolic: 1
 * @param imageSize stands in for an open height and width of [batch, channels, height, width]
 */
function declared(info: Onnx.IValueInfoProto, batch: boolean, imageSize?: number): Dims | undefined {
  const shape = info.type?.tensorType?.shape?.dim;
  if (!shape) return undefined;
  const sizes = shape.map((dim, i) => {
    const size = dim.dimParam ? 0 : Number(dim.dimValue ?? 0);
    if (size > 0) return size;
    if (imageSize !== undefined && shape.length === 4 && i >= 2) return imageSize;
    return batch && i === 0 ? 1 : 0;
  });
  return sizes.every((size) => size > 0) ? sizes : undefined;
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
  int64s: ReadonlyMap<string, readonly number[]>,
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
    case 'Slice': {
      const given = (i: number, name: string) => ints(name) ?? int64s.get(inputs[i] ?? '');
      const [starts, ends] = [given(1, 'starts'), given(2, 'ends')];
      const axes = given(3, 'axes') ?? starts?.map((_, i) => i);
      const steps = int64s.get(inputs[4] ?? '') ?? starts?.map(() => 1);
      if (!starts || !ends || !axes || !steps || steps.some((step) => step < 1)) return undefined;
      const shape = [...x];
      axes.forEach((axis, i) => {
        const at = axis < 0 ? axis + x.length : axis;
        const clamp = (bound: number) => Math.max(0, Math.min(x[at], bound < 0 ? bound + x[at] : bound));
        shape[at] = Math.ceil((clamp(ends[i]) - clamp(starts[i])) / steps[i]);
      });
      return shape.every((dim) => dim > 0) ? shape : undefined;
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
