/** @file Builds one ONNX model node by node. Encoding is onnx-proto's (protobufjs) work. */
import onnxProto, { type onnx as Onnx } from 'onnx-proto';

const { onnx } = onnxProto;

export type ElementType = 'float32' | 'uint8' | 'int8' | 'int32' | 'int64' | 'bool';
type ConstantData = Float32Array | Uint8Array | Int8Array | Int32Array | BigInt64Array;
/** A name stands for any size, the same wherever it occurs. */
export type Dimension = number | string;
export type Attribute = number | string | readonly number[] | { readonly float: number };

const elementTypes: Record<ElementType, number> = {
  float32: onnx.TensorProto.DataType.FLOAT,
  uint8: onnx.TensorProto.DataType.UINT8,
  int8: onnx.TensorProto.DataType.INT8,
  int32: onnx.TensorProto.DataType.INT32,
  int64: onnx.TensorProto.DataType.INT64,
  bool: onnx.TensorProto.DataType.BOOL,
};

/** Opset 17: the newest that onnx-proto's IR version and ONNX Runtime's CPU kernels both know in full. */
const OPSET = 17;
const IR_VERSION = 8;

export class GraphBuilder {
  readonly #opset: number;
  readonly #nodes: Onnx.INodeProto[] = [];
  readonly #inputs: Onnx.IValueInfoProto[] = [];
  readonly #outputs: Onnx.IValueInfoProto[] = [];
  readonly #constants = new Map<string, Onnx.ITensorProto>();
  #names = 0;

  constructor(options: { readonly opset?: number } = {}) {
    this.#opset = options.opset ?? OPSET;
  }

  /** Declares a model input and returns its name. */
  input(name: string, type: ElementType, dims: readonly Dimension[]): string {
    this.#inputs.push(valueInfo(name, type, dims));
    return name;
  }

  /** Makes the tensor `value` a model output called `name`. */
  output(name: string, type: ElementType, dims: readonly Dimension[], value: string): void {
    this.#nodes.push({ opType: 'Identity', input: [value], output: [name], name });
    this.#outputs.push(valueInfo(name, type, dims));
  }

  /** A constant tensor. */
  constant(data: ConstantData, dims: readonly number[]): string {
    const name = this.#fresh('constant');
    this.#constants.set(name, tensorProto(name, data, dims));
    return name;
  }

  /** A constant that is stored once under a key, however often it is asked for. */
  shared(key: string, make: () => [ConstantData, readonly number[]]): string {
    if (!this.#constants.has(key)) this.#constants.set(key, tensorProto(key, ...make()));
    return key;
  }

  /** A float32 scalar; equal scalars are stored once. */
  scalar(value: number): string {
    return this.shared(`scalar:${value}`, () => [Float32Array.of(value), []]);
  }

  /** An int64 vector, as shapes, axes and slice bounds are given; equal vectors are stored once. */
  ints(...values: number[]): string {
    return this.shared(`ints:${values.join(',')}`, () => [
      BigInt64Array.from(values, BigInt),
      [values.length],
    ]);
  }

  /** Adds a node with one output and returns the output's name. */
  op(type: string, inputs: readonly string[], attributes: Record<string, Attribute> = {}): string {
    return this.ops(type, inputs, 1, attributes)[0];
  }

  /** Adds a node with several outputs. `type` may carry a domain: `com.microsoft:FusedMatMul`. */
  ops(
    type: string,
    inputs: readonly string[],
    outputCount: number,
    attributes: Record<string, Attribute> = {},
  ): string[] {
    const [opType, domain = ''] = type.split(':').reverse();
    const name = this.#fresh(opType);
    const output = outputCount === 1 ? [name] : Array.from({ length: outputCount }, (_, i) => `${name}.${i}`);
    const attribute = Object.entries(attributes).map(([key, value]) => attributeProto(key, value));
    this.#nodes.push({ opType, domain, name, input: [...inputs], output, attribute });
    return output;
  }

  /** The model as ONNX bytes, with metadata that readers of the file can ask for. */
  encode(metadata: Readonly<Record<string, string>> = {}): Uint8Array {
    return onnx.ModelProto.encode({
      irVersion: IR_VERSION,
      producerName: 'xbm',
      opsetImport: [
        { domain: '', version: this.#opset },
        { domain: 'com.microsoft', version: 1 },
      ],
      metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
      graph: {
        name: 'xbm',
        node: this.#nodes,
        input: this.#inputs,
        output: this.#outputs,
        initializer: this.#usedConstants(),
      },
    }).finish();
  }

  #usedConstants(): Onnx.ITensorProto[] {
    const used = new Set(this.#nodes.flatMap((node) => node.input ?? []));
    return [...this.#constants].filter(([name]) => used.has(name)).map(([, tensor]) => tensor);
  }

  #fresh(stem: string): string {
    return `${stem}_${this.#names++}`;
  }
}

function valueInfo(name: string, type: ElementType, dims: readonly Dimension[]): Onnx.IValueInfoProto {
  const dim = dims.map((size) => (typeof size === 'string' ? { dimParam: size } : { dimValue: size }));
  return { name, type: { tensorType: { elemType: elementTypes[type], shape: { dim } } } };
}

function tensorProto(name: string, data: ConstantData, dims: readonly number[]): Onnx.ITensorProto {
  const size = dims.reduce((a, b) => a * b, 1);
  if (size !== data.length) throw new Error(`constant ${name}: ${data.length} values for shape [${dims}]`);
  const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { name, dims: [...dims], dataType: elementTypes[elementTypeOf(data)], rawData };
}

function elementTypeOf(data: ConstantData): ElementType {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof BigInt64Array) return 'int64';
  if (data instanceof Int32Array) return 'int32';
  return data instanceof Int8Array ? 'int8' : 'uint8';
}

function attributeProto(name: string, value: Attribute): Onnx.IAttributeProto {
  const types = onnx.AttributeProto.AttributeType;
  if (typeof value === 'number') return { name, type: types.INT, i: value };
  if (typeof value === 'string') return { name, type: types.STRING, s: new TextEncoder().encode(value) };
  if ('float' in value) return { name, type: types.FLOAT, f: value.float };
  return { name, type: types.INTS, ints: [...value] };
}
