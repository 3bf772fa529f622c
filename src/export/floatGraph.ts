/**
 * @file The float32 graph, channels first: batch norm folded into convolutions. Quantisers emit levels; the value of a
 * level is folded into the convolution that reads them. No DequantizeLinear: around it ONNX Runtime's default rewrites
 * drop the clipping of levels.
 */

import { emitPixels, levelScale, windowAttributes } from '../engines/onnx/common.js';
import { emitFloatConv, emitHead, emitLevels, type FrozenContext } from '../engines/onnx/frozen/emit.js';
import { type ConvLayer, type Layer, layersOfKind } from '../model/graph.js';

/** Emits everything from `pixels` to `logits`. */
export function emitFloatGraph(context: FrozenContext): void {
  const { builder, networks } = context;
  const { graph, activationBits } = networks[0];
  const convs = new Map(layersOfKind(graph, 'conv').map((conv) => [conv.name, conv]));
  const values = new Map([
    ['input', emitPixels(builder, 'batch', context.imageSize, networks[0].normalization)],
  ]);
  /** Of quantize layers: value = scale · level. */
  const scales = new Map<string, number>();
  for (const layer of graph.layers) values.set(layer.name, emit(layer));

  function emit(layer: Layer): string {
    const [first, second] = layer.inputs.map((name) => values.get(name)!);
    switch (layer.kind) {
      case 'conv':
        return first; // computed with its batch norm
      case 'batchNorm':
        return emitConv(convs.get(layer.inputs[0])!, layer.name, first);
      case 'relu':
        return builder.op('Relu', [first]);
      case 'quantize': {
        if (activationBits >= 32) return first;
        const scale = levelScale(networks[0], layer.name);
        scales.set(layer.name, scale);
        return builder.op('Cast', [emitLevels(builder, first, scale, 2 ** activationBits - 1)], { to: 1 });
      }
      case 'maxPool':
        return builder.op('MaxPool', [first], windowAttributes(layer));
      case 'add':
        return builder.op('Add', [first, second]);
      case 'globalAveragePool':
        return builder.op('ReduceMean', [first, builder.ints(2, 3)], { keepdims: 0 });
      case 'linear':
        emitHead(context, layer.name, first);
        return 'logits';
    }
  }

  function emitConv(conv: ConvLayer, batchNorm: string, input: string): string {
    return emitFloatConv(context, conv, batchNorm, input, scales.get(conv.inputs[0]));
  }
}
