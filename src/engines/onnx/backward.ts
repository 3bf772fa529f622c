/** @file Emits the backward pass: walks the layers in reverse and adds up the gradient of each layer's output. */
import type { BatchNormLayer, ConvLayer, Layer } from '../../model/graph.js';
import { headOf } from '../../model/graph.js';
import type { Layout } from './activations.js';
import { type Norm, NormGradients } from './batchNorm.js';
import { convSite, gradientPatches, inputGradient, weightGradient } from './convolution.js';
import type { EffectiveWeight } from './effectiveWeights.js';
import type { ForwardContext, ForwardValues } from './forward.js';
import type { Gate } from './gates.js';

export interface BackwardContext extends ForwardContext, ForwardValues {
  readonly weights: ReadonlyMap<string, EffectiveWeight>;
  readonly norms: ReadonlyMap<string, Norm>;
  readonly trainBatchNorm: boolean;
  readonly needed: ReadonlySet<string>;
  readonly gates: ReadonlyMap<string, Gate>;
}

/**
 * @param logitsGradient dL/dlogits [batch, classes]
 * @returns gradients by task tensor name
 */
export function emitBackward(context: BackwardContext, logitsGradient: string): Map<string, string> {
  const { builder, graph, layouts, activations } = context;
  const { needed } = context;
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
      case 'relu':
      case 'quantize':
      case 'maxPool':
        gatedGradient(layer.name, gradient, layout);
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

  /** Through a ReLU, a quantiser or a max pool. */
  function gatedGradient(layer: string, gradient: string, layout: Layout): void {
    const gate = context.gates.get(layer);
    if (!gate) return; // nothing before it needs a gradient
    const { target, open, winners } = gate;
    const passed = open ? builder.op('Mul', [gradient, open]) : gradient;
    if (winners) {
      const pooled = layouts.convert(passed, layouts.shapeOf(layer), layout, 'nchw');
      send(target, 'nchw', () => winners.gradient(pooled));
    } else {
      send(target, layout, () => passed);
    }
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
}

/** Layers whose output depends on something trained in or before them: only these need a gradient. */
export function layersNeedingGradient(
  context: Pick<BackwardContext, 'graph' | 'weights' | 'trainBatchNorm'>,
): Set<string> {
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
