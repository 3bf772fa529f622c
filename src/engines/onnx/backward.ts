/** @file Emits the backward pass: walks the layers in reverse and adds up the gradient of each layer's output. */
import type { BatchNormLayer, ConvLayer, Layer, MaxPoolLayer } from '../../model/graph.js';
import { BATCH_NORM_EPSILON, headOf, layerShapes } from '../../model/graph.js';
import { convInputGradient, convWeightGradient } from './convGradients.js';
import type { EffectiveWeight } from './effectiveWeights.js';
import { clipOf, type ForwardContext, type TensorShape } from './forward.js';

export interface BackwardContext extends ForwardContext {
  /** Forward values by layer name. */
  readonly values: ReadonlyMap<string, string>;
  readonly weights: ReadonlyMap<string, EffectiveWeight>;
  /** Batch mean and variance [channels] of trained batch norms, or the frozen running ones; and the weight γ. */
  readonly norms: ReadonlyMap<string, { mean: string; variance: string; weight: string }>;
  readonly trainBatchNorm: boolean;
}

/**
 * @param logitsGradient dL/dlogits [batch, classes]
 * @returns gradients by task tensor name
 */
export function emitBackward(context: BackwardContext, logitsGradient: string): Map<string, string> {
  const { builder, graph, values } = context;
  const shapes = layerShapes(graph, context.imageSize);
  const needed = layersNeedingGradient(context);
  const contributions = new Map<string, string[]>();
  const parameters = new Map<string, string>();
  const send = (layer: string, gradient: () => string) => {
    if (!needed.has(layer)) return;
    contributions.set(layer, [...(contributions.get(layer) ?? []), gradient()]);
  };
  const shapeOf = (name: string): TensorShape => shapes.get(name)!;

  contributions.set(headOf(graph).name, [logitsGradient]);
  for (const layer of [...graph.layers].reverse()) {
    const parts = contributions.get(layer.name);
    if (!parts) continue;
    const gradient = parts.reduce((sum, part) => builder.op('Add', [sum, part]));
    const [source] = layer.inputs;
    const input = values.get(source)!;
    switch (layer.kind) {
      case 'linear':
        parameters.set(`${layer.name}.weight`, builder.op('Gemm', [gradient, input], { transA: 1 }));
        parameters.set(`${layer.name}.bias`, builder.op('ReduceSum', [gradient, builder.ints(0)], { keepdims: 0 }));
        send(source, () => builder.op('MatMul', [gradient, context.head.weight]));
        break;
      case 'globalAveragePool':
        send(source, () => spread(gradient, shapeOf(source)));
        break;
      case 'add':
        for (const name of layer.inputs) send(name, () => gradient);
        break;
      case 'relu':
        send(source, () => where(builder.op('Greater', [values.get(layer.name)!, builder.scalar(0)]), gradient));
        break;
      case 'quantize':
        send(source, () => quantizeGradient(layer.name, input, gradient));
        break;
      case 'maxPool':
        send(source, () => maxPoolGradient(layer, input, gradient));
        break;
      case 'batchNorm':
        batchNormGradient(layer, input, gradient);
        break;
      case 'conv':
        convGradient(layer, input, gradient);
    }
  }
  return parameters;

  function where(condition: string, gradient: string): string {
    return builder.op('Where', [condition, gradient, builder.scalar(0)]);
  }

  /** Every pixel of a channel gets 1/(height·width) of the pooled gradient. */
  function spread(gradient: string, { channels, height, width }: TensorShape): string {
    const share = builder.op('Mul', [gradient, builder.scalar(1 / (height * width))]);
    const column = builder.op('Reshape', [share, builder.ints(context.batchSize, channels, 1, 1)]);
    return builder.op('Expand', [column, builder.ints(context.batchSize, channels, height, width)]);
  }

  /** Straight through where 0 ≤ x ≤ clip. */
  function quantizeGradient(name: string, input: string, gradient: string): string {
    if (context.activationBits >= 32) return gradient;
    const clip = builder.scalar(Math.fround(clipOf(context, name)));
    return where(builder.op('LessOrEqual', [input, clip]), gradient);
  }

  function batchNormGradient(layer: BatchNormLayer, input: string, gradient: string): void {
    const { mean, variance, weight } = context.norms.get(layer.name)!;
    const { channels, height, width } = shapeOf(layer.name);
    const perChannel = (value: string) => builder.op('Reshape', [value, builder.ints(1, channels, 1, 1)]);
    const deviation = builder.op('Sqrt', [builder.op('Add', [variance, builder.scalar(BATCH_NORM_EPSILON)])]);
    const inverse = builder.op('Reciprocal', [deviation]);
    const scale = builder.op('Mul', [weight, inverse]);
    if (!context.trainBatchNorm) {
      send(layer.inputs[0], () => builder.op('Mul', [gradient, perChannel(scale)]));
      return;
    }
    const sum = (value: string) => builder.op('ReduceSum', [value, builder.ints(0, 2, 3)], { keepdims: 0 });
    const biasGradient = sum(gradient);
    const productSum = sum(builder.op('Mul', [gradient, input]));
    const centred = builder.op('Sub', [productSum, builder.op('Mul', [mean, biasGradient])]);
    const weightGradient = builder.op('Mul', [centred, inverse]);
    parameters.set(`${layer.name}.weight`, weightGradient);
    parameters.set(`${layer.name}.bias`, biasGradient);
    // dx = γ/σ · (dy − mean(dy) − x̂ · mean(dy · x̂)) = scale · dy + slope · x + shift, x̂ = (x − μ)/σ
    send(layer.inputs[0], () => {
      const count = context.batchSize * height * width;
      const scaled = builder.op('Mul', [scale, builder.scalar(-1 / count)]);
      const slope = builder.op('Mul', [scaled, builder.op('Mul', [weightGradient, inverse])]);
      const shift = builder.op('Sub', [
        builder.op('Mul', [scaled, biasGradient]),
        builder.op('Mul', [slope, mean]),
      ]);
      const fromGradient = builder.op('Mul', [gradient, perChannel(scale)]);
      const fromInput = builder.op('Add', [builder.op('Mul', [input, perChannel(slope)]), perChannel(shift)]);
      return builder.op('Add', [fromGradient, fromInput]);
    });
  }

  function convGradient(layer: ConvLayer, input: string, gradient: string): void {
    const weight = context.weights.get(layer.name)!;
    const at = {
      builder,
      conv: layer,
      batchSize: context.batchSize,
      input: shapeOf(layer.inputs[0]),
      output: shapeOf(layer.name),
    };
    if (weight.gradient) {
      parameters.set(`conv:${layer.name}`, weight.gradient(convWeightGradient(at, input, gradient)));
    }
    send(layer.inputs[0], () => convInputGradient(at, weight.value, gradient));
  }

  /** The gradient goes to the first largest pixel of each window, found by MaxPool's own indices. */
  function maxPoolGradient(layer: MaxPoolLayer, input: string, gradient: string): string {
    const source = shapeOf(layer.inputs[0]);
    const [, indices] = builder.ops('MaxPool', [input], 2, {
      kernel_shape: [layer.kernel, layer.kernel],
      strides: [layer.stride, layer.stride],
      pads: [layer.padding, layer.padding, layer.padding, layer.padding],
    });
    const size = context.batchSize * source.channels * source.height * source.width;
    const zeros = builder.op('Expand', [builder.scalar(0), builder.ints(size)]);
    const flatten = (value: string) => builder.op('Reshape', [value, builder.ints(-1)]);
    const scattered = builder.op('ScatterElements', [zeros, flatten(indices), flatten(gradient)], {
      axis: 0,
      reduction: 'add',
    });
    return builder.op('Reshape', [
      scattered,
      builder.ints(context.batchSize, source.channels, source.height, source.width),
    ]);
  }
}

/** Layers whose output depends on something trained in or before them: only these need a gradient. */
function layersNeedingGradient(context: BackwardContext): Set<string> {
  const needed = new Set<string>();
  for (const layer of context.graph.layers) {
    if (hasTrained(layer) || layer.inputs.some((name) => needed.has(name))) needed.add(layer.name);
  }
  return needed;

  function hasTrained(layer: Layer): boolean {
    if (layer.kind === 'conv') return context.weights.get(layer.name)!.gradient !== null;
    return layer.kind === 'linear' || (layer.kind === 'batchNorm' && context.trainBatchNorm);
  }
}
