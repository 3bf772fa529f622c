/** @file Emits the forward pass of a layer graph; training and inference share everything but weights and batch norm. */
import type { Normalization } from '../../model/backbone.js';
import {
  BATCH_NORM_EPSILON,
  type BatchNormLayer,
  type ConvLayer,
  type LayerGraph,
  layerShapes,
} from '../../model/graph.js';
import type { GraphBuilder } from './graphBuilder.js';

export interface TensorShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** What the forward pass needs to know besides the graph. */
export interface ForwardContext {
  readonly builder: GraphBuilder;
  readonly graph: LayerGraph;
  readonly batchSize: number;
  readonly imageSize: number;
  readonly normalization: Normalization;
  /** Clip by quantize layer; empty at full precision. */
  readonly clips: Readonly<Record<string, number>>;
  readonly activationBits: number;
  /** Emits or looks up a convolution's effective weight, [outC, inC, k, k]. */
  weight(conv: ConvLayer): string;
  /** Emits batch normalisation of `input`. */
  batchNorm(layer: BatchNormLayer, input: string): string;
  /** The head's weight [classes, features] and bias [classes]. */
  readonly head: { readonly weight: string; readonly bias: string };
}

/**
 * Declares the input `pixels` (uint8 [batch, height, width, 3]) and emits every layer.
 * @returns the value name of each layer's output, and of `input`, the normalised images [batch, 3, height, width]
 */
export function emitForward(context: ForwardContext): Map<string, string> {
  const { builder, graph } = context;
  const values = new Map([['input', emitInput(context)]]);
  const shapes = layerShapes(graph, context.imageSize);
  for (const layer of graph.layers) {
    const [first, second] = layer.inputs.map((name) => values.get(name)!);
    values.set(layer.name, emit());

    function emit(): string {
      switch (layer.kind) {
        case 'conv':
          return builder.op('Conv', [first, context.weight(layer)], convAttributes(layer));
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
        case 'globalAveragePool': {
          const { channels } = shapes.get(layer.name)!;
          const pooled = builder.op('GlobalAveragePool', [first]);
          return builder.op('Reshape', [pooled, builder.ints(context.batchSize, channels)]);
        }
        case 'linear':
          return builder.op('Gemm', [first, context.head.weight, context.head.bias], { transB: 1 });
      }
    }
  }
  return values;
}

/** Attributes of Conv, ConvTranspose and pooling nodes. */
export function windowAttributes(window: { kernel: number; stride: number; padding: number }) {
  const { kernel, stride, padding } = window;
  return {
    kernel_shape: [kernel, kernel],
    strides: [stride, stride],
    pads: [padding, padding, padding, padding],
  };
}

function convAttributes(conv: ConvLayer) {
  return windowAttributes(conv);
}

/** (pixel / 255 − mean) / std, channels first. */
function emitInput({ builder, batchSize, imageSize, normalization }: ForwardContext): string {
  const { mean, std } = normalization;
  const pixels = builder.input('pixels', 'uint8', [batchSize, imageSize, imageSize, 3]);
  const floats = builder.op('Cast', [builder.op('Transpose', [pixels], { perm: [0, 3, 1, 2] })], { to: 1 });
  const scale = builder.constant(Float32Array.from(std, (s) => 1 / (255 * s)), [1, 3, 1, 1]);
  const shift = builder.constant(Float32Array.from(std, (s, c) => -mean[c] / s), [1, 3, 1, 1]);
  return builder.op('Add', [builder.op('Mul', [floats, scale]), shift]);
}

/**
 * Levels 0 … L over [0, clip]. A zero point of 255 − L makes QuantizeLinear saturate at level L, so that one uint8
 * quantise-dequantise pair is the whole activation quantiser. Its input must not be negative: it follows a ReLU.
 */
function emitQuantize(context: ForwardContext, name: string, input: string): string {
  const { builder, activationBits } = context;
  if (activationBits >= 32) return input;
  const clip = clipOf(context, name);
  const topLevel = 2 ** activationBits - 1;
  const scale = builder.scalar(Math.fround(clip / topLevel));
  const zeroPoint = builder.constant(Uint8Array.of(255 - topLevel), []);
  const levels = builder.op('QuantizeLinear', [input, scale, zeroPoint]);
  return builder.op('DequantizeLinear', [levels, scale, zeroPoint]);
}

/** The calibrated clip of a quantize layer. */
export function clipOf(context: Pick<ForwardContext, 'clips'>, name: string): number {
  const clip = context.clips[name];
  if (!(clip > 0)) throw new Error(`the backbone has no activation clip for ${name}`);
  return clip;
}

/** Batch normalisation with given statistics, all of them [channels]. */
export function emitFrozenBatchNorm(
  builder: GraphBuilder,
  input: string,
  [weight, bias, mean, variance]: readonly [string, string, string, string],
): string {
  return builder.op('BatchNormalization', [input, weight, bias, mean, variance], {
    epsilon: { float: BATCH_NORM_EPSILON },
  });
}
