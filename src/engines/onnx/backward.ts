/** @file Emits the backward pass: walks the layers in reverse and adds up the gradient of each layer's output. */
import type { BatchNormLayer, ConvLayer, Layer, MaxPoolLayer, QuantizeLayer } from '../../model/graph.js';
import { headOf } from '../../model/graph.js';
import type { Layout } from './activations.js';
import { type Norm, NormGradients } from './batchNorm.js';
import { clipOf } from './common.js';
import { convSite, gradientPatches, inputGradient, weightGradient } from './convolution.js';
import type { EffectiveWeight } from './effectiveWeights.js';
import type { ForwardContext, ForwardValues } from './forward.js';
import { maxPoolGradient } from './maxPool.js';

export interface BackwardContext extends ForwardContext, ForwardValues {
  readonly weights: ReadonlyMap<string, EffectiveWeight>;
  readonly norms: ReadonlyMap<string, Norm>;
  readonly trainBatchNorm: boolean;
}

/**
 * @param logitsGradient dL/dlogits [batch, classes]
 * @returns gradients by task tensor name
 */
export function emitBackward(context: BackwardContext, logitsGradient: string): Map<string, string> {
  const { builder, graph, layouts, activations } = context;
  const needed = layersNeedingGradient(context);
  const contributions = new Map<string, string[]>();
  const parameters = new Map<string, string>();
  const norms = new NormGradients(layouts, context.norms);

  contributions.set(headOf(graph).name, [logitsGradient]);
  for (const layer of [...graph.layers].reverse()) {
    const parts = contributions.get(layer.name);
    if (!parts) continue;
    const gradient = parts.reduce((sum, part) => builder.op('Add', [sum, part]));
    const [source] = layer.inputs;
    const layout = layouts.layoutOf(layer.name);
    switch (layer.kind) {
      case 'linear': {
        const features = activations.flat(source);
        parameters.set(`${layer.name}.weight`, builder.op('Gemm', [gradient, features], { transA: 1 }));
        parameters.set(
          `${layer.name}.bias`,
          builder.op('ReduceSum', [gradient, builder.ints(0)], { keepdims: 0 }),
        );
        send(source, layout, () => builder.op('MatMul', [gradient, context.head.weight]));
        break;
      }
      case 'globalAveragePool':
        send(source, layouts.layoutOf(source), () => spread(gradient, source));
        break;
      case 'add':
        for (const name of layer.inputs) send(name, layout, () => gradient);
        break;
      case 'relu': {
        const output = activations.get(layer.name, layout);
        send(source, layout, () => gate(builder.op('Greater', [output, builder.scalar(0)]), gradient));
        break;
      }
      case 'quantize':
        quantizeGradient(layer, gradient, layout);
        break;
      case 'maxPool':
        poolGradient(layer, gradient, layout);
        break;
      case 'batchNorm':
        batchNormGradient(layer, activations.get(source, layout), gradient, layout);
        break;
      case 'conv':
        convGradient(layer, gradient, layout);
    }
  }
  return parameters;

  /** Adds to a layer's gradient, kept in the layout of that layer's output. */
  function send(layer: string, from: Layout, gradient: () => string): void {
    if (!needed.has(layer)) return;
    const value = layouts.convert(gradient(), layouts.shapeOf(layer), from, layouts.layoutOf(layer));
    contributions.set(layer, [...(contributions.get(layer) ?? []), value]);
  }

  /** The gradient where `open`, zero elsewhere. Cast and Mul run on all threads; ONNX Runtime's Where does not. */
  function gate(open: string, gradient: string): string {
    return builder.op('Mul', [gradient, builder.op('Cast', [open], { to: 1 })]);
  }

  /** Every pixel of a channel gets 1/(height·width) of the pooled gradient [batch, channels]. */
  function spread(gradient: string, source: string): string {
    const { channels, height, width } = layouts.shapeOf(source);
    const { batchSize } = layouts;
    const share = builder.op('Mul', [gradient, builder.scalar(1 / (height * width))]);
    if (layouts.layoutOf(source) === 'nchw') {
      const column = builder.op('Reshape', [share, builder.ints(batchSize, channels, 1, 1)]);
      return builder.op('Expand', [column, builder.ints(batchSize, channels, height, width)]);
    }
    const turned = builder.op('Transpose', [share], { perm: [1, 0] });
    const row = builder.op('Reshape', [turned, builder.ints(channels, 1, batchSize)]);
    const spread = builder.op('Expand', [row, builder.ints(channels, height * width, batchSize)]);
    return builder.op('Reshape', [spread, builder.ints(1, channels, -1)]);
  }

  /**
   * Straight through where 0 ≤ x ≤ clip. Behind a ReLU that nothing else reads, both gates are applied at once.
   */
  function quantizeGradient(layer: QuantizeLayer, gradient: string, layout: Layout): void {
    const [source] = layer.inputs;
    if (context.activationBits >= 32) {
      send(source, layout, () => gradient);
      return;
    }
    const input = activations.get(source, layout);
    const clip = builder.scalar(Math.fround(clipOf(context.clips, layer.name)));
    const belowClip = () => builder.op('LessOrEqual', [input, clip]);
    const relu = soleRelu(source);
    if (relu) {
      send(relu.inputs[0], layout, () => {
        const positive = builder.op('Greater', [input, builder.scalar(0)]);
        return gate(builder.op('And', [positive, belowClip()]), gradient);
      });
    } else {
      send(source, layout, () => gate(belowClip(), gradient));
    }
  }

  function batchNormGradient(layer: BatchNormLayer, input: string, gradient: string, layout: Layout): void {
    const [source] = layer.inputs;
    if (!context.trainBatchNorm) {
      send(source, layout, () => norms.frozen(layer.name, gradient, layout));
      return;
    }
    const sums = norms.parameters(layer.name, input, gradient, layout);
    parameters.set(`${layer.name}.weight`, sums.weight);
    parameters.set(`${layer.name}.bias`, sums.bias);
    send(source, layout, () => norms.trained(layer.name, input, gradient, sums, layout));
  }

  function convGradient(layer: ConvLayer, gradient: string, layout: Layout): void {
    const weight = context.weights.get(layer.name)!;
    const site = convSite(layer, layouts);
    const outputGradient = layouts.convert(gradient, site.output, layout, site.layout);
    const tiles = gradientPatches(site, outputGradient);
    const [source] = layer.inputs;
    if (weight.gradient) {
      const input = activations.get(source, site.layout);
      const columns = context.columns.get(layer.name) ?? null;
      const fromWeight = weightGradient(site, input, columns, outputGradient, tiles);
      parameters.set(`conv:${layer.name}`, weight.gradient(fromWeight));
    }
    send(source, site.layout, () => inputGradient(site, weight.value, outputGradient, tiles));
  }

  /** A ReLU in front that nothing else reads is gated here, where there are fewer pixels. */
  function poolGradient(layer: MaxPoolLayer, gradient: string, layout: Layout): void {
    const [source] = layer.inputs;
    const relu = soleRelu(source);
    send(relu ? relu.inputs[0] : source, 'nchw', () => {
      const output = activations.get(layer.name, layout);
      const site = {
        window: layer,
        builder,
        batchSize: layouts.batchSize,
        input: layouts.shapeOf(source),
        output: layouts.shapeOf(layer.name),
      };
      const open = relu ? gate(builder.op('Greater', [output, builder.scalar(0)]), gradient) : gradient;
      return maxPoolGradient(
        site,
        activations.get(source, 'nchw'),
        activations.get(layer.name, 'nchw'),
        layouts.convert(open, site.output, layout, 'nchw'),
      );
    });
  }

  /** The ReLU of this name, if it is one and has a single reader. */
  function soleRelu(name: string): Layer | undefined {
    const readers = graph.layers.filter(({ inputs }) => inputs.includes(name)).length;
    return readers === 1
      ? graph.layers.find((layer) => layer.name === name && layer.kind === 'relu')
      : undefined;
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
