/**
 * @file The int8 graph, channels last. Activations are uint8 levels, weights int8 levels, sums int32: exact. A
 * convolution whose batch norm feeds a ReLU and a quantiser emits the next levels at once; one that feeds a residual
 * sum turns its sums into float32. The first convolution, residual sums and the head are float32.
 */

import { type BatchNormLayer, type ConvLayer, type Layer, layersOfKind } from '../../../model/graph.js';
import { emitPixels, levelScale, windowAttributes } from '../common.js';
import { consumersOf, successor } from './consumers.js';
import { emitFloatConv, emitHead, emitLevels, type FrozenContext } from './emit.js';
import {
  emitConvToFloat,
  emitConvToLevels,
  type LevelsValue,
  type Requantizations,
} from './quantizedConv.js';

/** A layer's output in the graph. */
type Value = FloatValue | ({ readonly form: 'levels' } & LevelsValue);

interface FloatValue {
  readonly form: 'float';
  /** Batch, channels, height, width, in which order. */
  readonly layout: 'nchw' | 'nhwc';
  readonly name: string;
}

/** Emits everything from `pixels` to `logits`. */
export function emitQuantizedGraph(context: FrozenContext): Requantizations {
  const { builder, networks } = context;
  const { graph, activationBits } = networks[0];
  const top = 2 ** activationBits - 1;
  const consumers = consumersOf(graph);
  const convs = new Map(layersOfKind(graph, 'conv').map((conv) => [conv.name, conv]));
  const values = new Map<string, Value>();
  const requantizations: Requantizations = { integer: 0, float: 0 };
  values.set('input', {
    form: 'float',
    layout: 'nchw',
    name: emitPixels(builder, 'batch', context.imageSize, networks[0].normalization),
  });
  for (const layer of graph.layers) {
    // Convolutions wait for their batch norm; what follows it may be done together with it.
    if (layer.kind !== 'conv' && !values.has(layer.name)) emit(layer);
  }
  return requantizations;

  function emit(layer: Exclude<Layer, ConvLayer>): void {
    const source = layer.inputs[0];
    const setFloat = (layout: FloatValue['layout'], name: string) =>
      values.set(layer.name, { form: 'float', layout, name });
    switch (layer.kind) {
      case 'batchNorm':
        emitConv(convs.get(source)!, layer);
        return;
      case 'relu':
        setFloat(floatValue(source).layout, builder.op('Relu', [floatValue(source).name]));
        return;
      case 'maxPool':
        setFloat('nchw', builder.op('MaxPool', [channelsFirst(source)], windowAttributes(layer)));
        return;
      case 'quantize': {
        const scale = levelScale(networks[0], layer.name);
        const name = emitLevels(builder, channelsLast(source), scale, top);
        values.set(layer.name, { form: 'levels', name, scale });
        return;
      }
      case 'add':
        setFloat('nhwc', builder.op('Add', layer.inputs.map(channelsLast)));
        return;
      case 'globalAveragePool': {
        const inputs = [channelsLast(source), builder.ints(1, 2)];
        setFloat('nhwc', builder.op('ReduceMean', inputs, { keepdims: 0 }));
        return;
      }
      case 'linear':
        emitHead(context, layer.name, floatValue(source).name);
    }
  }

  function emitConv(conv: ConvLayer, batchNorm: BatchNormLayer): void {
    const input = values.get(conv.inputs[0])!;
    if (input.form === 'float') {
      const name = emitFloatConv(context, conv, batchNorm.name, channelsFirst(conv.inputs[0]));
      values.set(batchNorm.name, { form: 'float', layout: 'nchw', name });
      return;
    }
    const relu = successor(consumers, batchNorm.name, 'relu');
    const quantize = relu && successor(consumers, relu.name, 'quantize');
    if (quantize) {
      const scale = levelScale(networks[0], quantize.name);
      const name = emitConvToLevels(context, conv, batchNorm.name, input, scale, requantizations);
      for (const done of [batchNorm, relu, quantize]) values.set(done.name, { form: 'levels', name, scale });
    } else {
      const name = emitConvToFloat(context, conv, batchNorm.name, input);
      values.set(batchNorm.name, { form: 'float', layout: 'nhwc', name });
    }
  }

  function floatValue(name: string): FloatValue {
    const value = values.get(name);
    if (value?.form !== 'float') throw new Error(`${name} is not there as real values`);
    return value;
  }

  function channelsLast(name: string): string {
    return inLayout(name, 'nhwc', [0, 2, 3, 1]);
  }

  function channelsFirst(name: string): string {
    return inLayout(name, 'nchw', [0, 3, 1, 2]);
  }

  function inLayout(name: string, layout: FloatValue['layout'], perm: number[]): string {
    const value = floatValue(name);
    if (value.layout === layout) return value.name;
    const moved = builder.op('Transpose', [value.name], { perm });
    values.set(name, { form: 'float', layout, name: moved });
    return moved;
  }
}
