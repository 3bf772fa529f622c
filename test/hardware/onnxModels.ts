/** @file ONNX models for tests: shapes only, weights without data. */
import onnxProto, { type onnx as Onnx } from 'onnx-proto';
import type { LayerGraph } from '../../src/model/graph.js';

const { onnx } = onnxProto;

type Dim = number | string;

/** A tensor's declared type and shape; a text is a symbolic dimension. */
export function info(name: string, dims: readonly Dim[]): Onnx.IValueInfoProto {
  const dim = dims.map((size) => (typeof size === 'string' ? { dimParam: size } : { dimValue: size }));
  return { name, type: { tensorType: { elemType: 1, shape: { dim } } } };
}

export function weight(name: string, dims: readonly number[]): Onnx.ITensorProto {
  return { name, dims: [...dims], dataType: 1 };
}

/** A constant int64 vector. */
export function ints(name: string, values: readonly number[]): Onnx.ITensorProto {
  return { name, dims: [values.length], dataType: 7, int64Data: [...values] };
}

type Value = number | readonly number[];

export function node(
  opType: string,
  inputs: readonly string[],
  output: string,
  attributes: Readonly<Record<string, Value>> = {},
): Onnx.INodeProto {
  const attribute = Object.entries(attributes).map(([name, value]) =>
    typeof value === 'number' ? { name, type: 2, i: value } : { name, type: 7, ints: [...value] },
  );
  return { opType, name: output, input: [...inputs], output: [output], attribute };
}

export function encode(graph: Onnx.IGraphProto): Uint8Array {
  return onnx.ModelProto.encode({ irVersion: 8, opsetImport: [{ version: 17 }], graph }).finish();
}

/** A layer graph as an ONNX classification network, as an exporter writes it: no shapes but the input's. */
export function fromLayerGraph(graph: LayerGraph, imageSize: number): Uint8Array {
  const nodes: Onnx.INodeProto[] = [];
  const initializer: Onnx.ITensorProto[] = [];
  const constant = (tensor: Onnx.ITensorProto) => {
    initializer.push(tensor);
    return tensor.name!;
  };
  for (const layer of graph.layers) {
    const { name, inputs } = layer;
    switch (layer.kind) {
      case 'conv': {
        const { inChannels, outChannels, kernel, stride, padding } = layer;
        const w = constant(weight(`${name}.weight`, [outChannels, inChannels, kernel, kernel]));
        const pads = [padding, padding, padding, padding];
        nodes.push(node('Conv', [...inputs, w], name, { strides: [stride, stride], pads }));
        break;
      }
      case 'batchNorm': {
        const parameters = ['weight', 'bias', 'mean', 'var'].map((p) =>
          constant(weight(`${name}.${p}`, [layer.channels])),
        );
        nodes.push(node('BatchNormalization', [...inputs, ...parameters], name));
        break;
      }
      case 'maxPool': {
        const { kernel, stride, padding } = layer;
        const pads = [padding, padding, padding, padding];
        nodes.push(
          node('MaxPool', inputs, name, { kernel_shape: [kernel, kernel], strides: [stride, stride], pads }),
        );
        break;
      }
      case 'linear': {
        nodes.push(node('Flatten', inputs, 'flat'));
        const w = constant(weight(`${name}.weight`, [layer.outFeatures, layer.inFeatures]));
        nodes.push(node('Gemm', ['flat', w], name, { transB: 1 }));
        break;
      }
      default: {
        const types = {
          relu: 'Relu',
          quantize: 'Identity',
          add: 'Add',
          globalAveragePool: 'GlobalAveragePool',
        };
        nodes.push(node(types[layer.kind], inputs, name));
      }
    }
  }
  return encode({
    node: nodes,
    initializer,
    input: [info('input', ['batch', graph.inputChannels, imageSize, imageSize])],
    output: [info(graph.layers.at(-1)!.name, ['batch', 'classes'])],
  });
}
