/** @file Gradients of a convolution with respect to its input and its weight, from standard ONNX operators. */
import type { ConvLayer } from '../../model/graph.js';
import { type TensorShape, windowAttributes } from './forward.js';
import type { GraphBuilder } from './graphBuilder.js';

interface ConvGradientInput {
  readonly builder: GraphBuilder;
  readonly conv: ConvLayer;
  readonly batchSize: number;
  readonly input: TensorShape;
  readonly output: TensorShape;
}

/**
 * dL/dx [batch, inC, h, w].
 * @param weight [outC, inC, k, k]
 * @param outputGradient [batch, outC, oh, ow]
 */
export function convInputGradient(at: ConvGradientInput, weight: string, outputGradient: string): string {
  const { builder, conv, batchSize, input, output } = at;
  if (conv.kernel === 1 && conv.stride === 1) {
    // One matrix product per image: Wᵀ [inC, outC] · dY [outC, pixels].
    const matrix = builder.op('Reshape', [weight, builder.ints(conv.outChannels, conv.inChannels)]);
    const columns = builder.op('Reshape', [
      outputGradient,
      builder.ints(batchSize, conv.outChannels, output.height * output.width),
    ]);
    const product = builder.op('com.microsoft:FusedMatMul', [matrix, columns], { transA: 1 });
    return builder.op('Reshape', [product, builder.ints(batchSize, conv.inChannels, input.height, input.width)]);
  }
  if (conv.stride === 1) {
    // A convolution of dY with the weight, spatially flipped and with its channel axes exchanged.
    const flipped = builder.op('Slice', [
      weight,
      builder.ints(-1, -1),
      builder.ints(-conv.kernel - 1, -conv.kernel - 1),
      builder.ints(2, 3),
      builder.ints(-1, -1),
    ]);
    const exchanged = builder.op('Transpose', [flipped], { perm: [1, 0, 2, 3] });
    const padding = conv.kernel - 1 - conv.padding;
    return builder.op('Conv', [outputGradient, exchanged], windowAttributes({ ...conv, padding }));
  }
  const covered = (output.height - 1) * conv.stride + conv.kernel - 2 * conv.padding;
  const missing = input.height - covered;
  return builder.op('ConvTranspose', [outputGradient, weight], {
    ...windowAttributes(conv),
    output_padding: [missing, missing],
  });
}

/** Below this many input channels a product per tap is too narrow; the taps are stacked into one product instead. */
const FEW_CHANNELS = 32;

/**
 * dL/dW [outC, inC, k, k]: for each of the k² taps a matrix product of dY with the input pixels under that tap.
 * @param input [batch, inC, h, w]
 * @param outputGradient [batch, outC, oh, ow]
 */
export function convWeightGradient(at: ConvGradientInput, input: string, outputGradient: string): string {
  const { builder, conv, output } = at;
  const { kernel, stride, padding, inChannels, outChannels } = conv;
  const pixels = output.height * output.width;
  // Batched products leave one [outC, inC] matrix per image to add up; flat ones need both operands transposed to
  // [channels, batch·pixels] first. The smaller of the two detours wins.
  const batched = outChannels * inChannels <= (outChannels + inChannels) * pixels;
  const asMatrix = (value: string, channels: number): string => {
    if (batched) return builder.op('Reshape', [value, builder.ints(at.batchSize, channels, pixels)]);
    const channelsFirst = builder.op('Transpose', [value], { perm: [1, 0, 2, 3] });
    return builder.op('Reshape', [channelsFirst, builder.ints(channels, at.batchSize * pixels)]);
  };
  const gradients = asMatrix(outputGradient, outChannels);
  const padded =
    padding === 0
      ? input
      : builder.op('Pad', [input, builder.ints(0, 0, padding, padding, 0, 0, padding, padding)]);
  const taps: string[] = [];
  for (let row = 0; row < kernel; row++) {
    for (let column = 0; column < kernel; column++) {
      taps.push(kernel === 1 && stride === 1 ? padded : pixelsUnderTap(row, column));
    }
  }
  const product = (under: string, channels: number): string => {
    const matrix = asMatrix(under, channels);
    const result = builder.op('com.microsoft:FusedMatMul', [gradients, matrix], { transB: 1 });
    return batched ? builder.op('ReduceSum', [result, builder.ints(0)], { keepdims: 0 }) : result;
  };
  if (taps.length === 1) {
    return builder.op('Reshape', [product(taps[0], inChannels), builder.ints(outChannels, inChannels, 1, 1)]);
  }
  const few = inChannels < FEW_CHANNELS;
  const stacked = few
    ? builder.op('Reshape', [
        product(builder.op('Concat', taps, { axis: 1 }), taps.length * inChannels),
        builder.ints(outChannels, taps.length, inChannels),
      ])
    : builder.op(
        'Concat',
        taps.map((tap) => builder.op('Reshape', [product(tap, inChannels), builder.ints(1, outChannels, inChannels)])),
        { axis: 0 },
      );
  const weightOrder = builder.op('Transpose', [stacked], { perm: few ? [0, 2, 1] : [1, 2, 0] });
  return builder.op('Reshape', [weightOrder, builder.ints(outChannels, inChannels, kernel, kernel)]);

  function pixelsUnderTap(row: number, column: number): string {
    const reach = stride * (output.height - 1) + 1;
    return builder.op('Slice', [
      padded,
      builder.ints(row, column),
      builder.ints(row + reach, column + reach),
      builder.ints(2, 3),
      builder.ints(stride, stride),
    ]);
  }
}
