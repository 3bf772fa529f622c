/** @file Emits the forward pass of a layer graph; training and inference share everything but weights and batch norm. */
import type { Normalization } from '../../model/backbone.js';
import type { BatchNormLayer, ConvLayer, Layer, LayerGraph } from '../../model/graph.js';
import { Activations, type Layout, type Layouts } from './activations.js';
import { emitPixels, levelScale, windowAttributes } from './common.js';
import { convolve, convSite, inputColumns } from './convolution.js';
import type { GraphBuilder } from './graphBuilder.js';

/** What the forward pass needs to know besides the graph. */
export interface ForwardContext {
  readonly builder: GraphBuilder;
  readonly graph: LayerGraph;
  readonly layouts: Layouts;
  readonly imageSize: number;
  readonly normalization: Normalization;
  /** Clip by quantize layer; empty at full precision. */
  readonly clips: Readonly<Record<string, number>>;
  readonly activationBits: number;
  /** Emits a convolution's effective weight, [outC, inC, k, k]. */
  weight(conv: ConvLayer): string;
  /** Emits batch normalisation of `input`, in either layout. */
  batchNorm(layer: BatchNormLayer, input: string): string;
  /** The head's weight [classes, features] and bias [classes]. */
  readonly head: { readonly weight: string; readonly bias: string };
}

export interface ForwardValues {
  readonly activations: Activations;
  /** Input columns of convolutions computed in the merged layout, by layer name. */
  readonly columns: ReadonlyMap<string, string>;
}

/** Declares the input `pixels` (uint8 [batch, height, width, 3]) and emits every layer. */
export function emitForward(context: ForwardContext): ForwardValues {
  const { builder, graph, layouts } = context;
  const activations = new Activations(layouts);
  const columns = new Map<string, string>();
  activations.set(
    'input',
    'nchw',
    emitPixels(builder, layouts.batchSize, context.imageSize, context.normalization),
  );
  for (const layer of graph.layers) {
    const layout =
      layer.kind === 'conv' || layer.kind === 'maxPool' ? computedIn(layer) : layouts.layoutOf(layer.name);
    const [first, second] = layer.inputs.map((name) => (isFlat(layer) ? '' : activations.get(name, layout)));
    activations.set(layer.name, layout, emit());

    function emit(): string {
      switch (layer.kind) {
        case 'conv': {
          const site = convSite(layer, layouts);
          const column = inputColumns(site, first);
          if (column) columns.set(layer.name, column);
          return convolve(site, context.weight(layer), first, column);
        }
        case 'batchNorm':
          return context.batchNorm(layer, first);
        case 'relu':
          return builder.op('Relu', [first]);
        case 'quantize':
          return emitQuantize(context, layer.name, first);
        case 'maxPool':
          return builder.op('MaxPool', [first], windowAttributes(layer));
        case 'add':
          return builder.op('Add', [first, second]);
        case 'globalAveragePool':
          return emitGlobalAveragePool(activations, layer.inputs[0]);
        case 'linear':
          return emitHead(context, activations.flat(layer.inputs[0]), layer.outFeatures);
      }
    }
  }
  return { activations, columns };

  /** Convolutions compute in their input's layout; pooling windows need nchw. */
  function computedIn(layer: Layer): Layout {
    return layer.kind === 'maxPool' ? 'nchw' : layouts.layoutOf(layer.inputs[0]);
  }
}

/** Pools and the head take their operands themselves. */
const isFlat = (layer: Layer) => layer.kind === 'globalAveragePool' || layer.kind === 'linear';

/**
 * Levels 0 … L over [0, clip]. A zero point of 255 − L makes QuantizeLinear saturate at level L, so that one uint8
 * quantise-dequantise pair is the whole activation quantiser. Its input must not be negative: it follows a ReLU.
 */
function emitQuantize(context: ForwardContext, name: string, input: string): string {
  const { builder, activationBits } = context;
  if (activationBits >= 32) return input;
  const topLevel = 2 ** activationBits - 1;
  const scale = builder.scalar(levelScale(context, name));
  const zeroPoint = builder.constant(Uint8Array.of(255 - topLevel), []);
  const levels = builder.op('QuantizeLinear', [input, scale, zeroPoint]);
  return builder.op('DequantizeLinear', [levels, scale, zeroPoint]);
}

/**
 * Logits [batch, classes]. ONNX Runtime divides a product along its longer side among threads, and sums up in other steps
 * where that leaves few columns each: the longer side has to be the rows for logits not to depend on their number.
 */
function emitHead({ builder, layouts, head }: ForwardContext, features: string, classes: number): string {
  if (classes <= layouts.batchSize)
    return builder.op('Gemm', [features, head.weight, head.bias], { transB: 1 });
  const turned = builder.op('Gemm', [head.weight, features], { transB: 1 });
  return builder.op('Add', [builder.op('Transpose', [turned], { perm: [1, 0] }), head.bias]);
}

/** Mean over pixels: [batch, channels]. */
function emitGlobalAveragePool(activations: Activations, source: string): string {
  const { layouts } = activations;
  const { builder, batchSize } = layouts;
  const { channels, height, width } = layouts.shapeOf(source);
  const layout = layouts.layoutOf(source);
  const input = activations.get(source, layout);
  if (layout === 'nchw') {
    const pooled = builder.op('GlobalAveragePool', [input]);
    return builder.op('Reshape', [pooled, builder.ints(batchSize, channels)]);
  }
  const apart = builder.op('Reshape', [input, builder.ints(channels, height * width, batchSize)]);
  return builder.op('Transpose', [builder.op('ReduceMean', [apart], { axes: [1], keepdims: 0 })], {
    perm: [1, 0],
  });
}
