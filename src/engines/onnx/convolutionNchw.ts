/** @file A convolution and its gradients in the nchw layout. */
import { windowAttributes } from './common.js';
import type { ConvSite } from './convolution.js';

export function convolveNchw({ conv, layouts }: ConvSite, weight: string, input: string): string {
  return layouts.builder.op('Conv', [input, weight], windowAttributes(conv));
}

/**
 * dL/dx [batch, inC, h, w].
 * @param weight [outC, inC, k, k]
 * @param outputGradient [batch, outC, oh, ow]
 */
export function inputGradientNchw(site: ConvSite, weight: string, outputGradient: string): string {
  const { conv, input, output } = site;
  const { builder, batchSize } = site.layouts;
  if (conv.kernel === 1 && conv.stride === 1) {
    // One matrix product per image: Wᵀ [inC, outC] · dY [outC, pixels].
    const matrix = builder.op('Reshape', [weight, builder.ints(conv.outChannels, conv.inChannels)]);
    const columns = builder.op('Reshape', [
      outputGradient,
      builder.ints(batchSize, conv.outChannels, output.height * output.width),
    ]);
    const product = builder.op('com.microsoft:FusedMatMul', [matrix, columns], { transA: 1 });
    return builder.op('Reshape', [
      product,
      builder.ints(batchSize, conv.inChannels, input.height, input.width),
    ]);
  }
  if (conv.stride === 1) {
    // A convolution of dY with the weight, spatially flipped and with its channel axes exchanged.
    const { outChannels, inChannels, kernel } = conv;
    const taps = kernel * kernel;
    const apart = builder.op('Reshape', [weight, builder.ints(outChannels, inChannels, taps)]);
    // Taps outermost while they are reversed: nine long copies instead of many reversed short ones.
    const tapsFirst = builder.op('Transpose', [apart], { perm: [2, 1, 0] });
    const order = builder.constant(
      Int32Array.from({ length: taps }, (_, i) => taps - 1 - i),
      [taps],
    );
    const reversed = builder.op('Gather', [tapsFirst, order], { axis: 0 });
    const exchanged = builder.op('Reshape', [
      builder.op('Transpose', [reversed], { perm: [1, 2, 0] }),
      builder.ints(inChannels, outChannels, kernel, kernel),
    ]);
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
const FEW_CHANNELS = 8;

/**
 * dL/dW [outC, inC, k, k]: for each of the k² taps a matrix product of dY with the input pixels under that tap.
 * @param input [batch, inC, h, w]
 * @param outputGradient [batch, outC, oh, ow]
 */
export function weightGradientNchw(site: ConvSite, input: string, outputGradient: string): string {
  const { conv, input: from, output } = site;
  const { builder, batchSize } = site.layouts;
  const { kernel, stride, padding, inChannels, outChannels } = conv;
  const pixels = output.height * output.width;
  // Batched products leave one [outC, inC] matrix per image to add up; flat ones need both operands transposed to
  // [channels, batch·pixels] first. The smaller of the two detours wins.
  const batched = outChannels * inChannels <= (outChannels + inChannels) * pixels;
  const asMatrix = (value: string, channels: number): string => {
    if (batched) return builder.op('Reshape', [value, builder.ints(batchSize, channels, pixels)]);
    const channelsFirst = builder.op('Transpose', [value], { perm: [1, 0, 2, 3] });
    return builder.op('Reshape', [channelsFirst, builder.ints(channels, batchSize * pixels)]);
  };
  const gradients = asMatrix(outputGradient, outChannels);
  // For a strided filter the phases of a pixel's position become channels first: then every tap is a slice of whole
  // runs of pixels, where a strided slice would copy one by one, k² times.
  const phases = stride > 1 && kernel > 1;
  const rest = phases ? (stride - ((from.height + 2 * padding) % stride)) % stride : 0;
  const end = padding + rest;
  const padded =
    end === 0 ? input : builder.op('Pad', [input, builder.ints(0, 0, padding, padding, 0, 0, end, end)]);
  const source = phases ? builder.op('SpaceToDepth', [padded], { blocksize: stride }) : padded;
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
        taps.map((tap) =>
          builder.op('Reshape', [product(tap, inChannels), builder.ints(1, outChannels, inChannels)]),
        ),
        { axis: 0 },
      );
  const weightOrder = builder.op('Transpose', [stacked], { perm: few ? [0, 2, 1] : [1, 2, 0] });
  return builder.op('Reshape', [weightOrder, builder.ints(outChannels, inChannels, kernel, kernel)]);

  function pixelsUnderTap(row: number, column: number): string {
    if (phases) {
      const channel = ((row % stride) * stride + (column % stride)) * inChannels;
      const [top, left] = [Math.floor(row / stride), Math.floor(column / stride)];
      return builder.op('Slice', [
        source,
        builder.ints(channel, top, left),
        builder.ints(channel + inChannels, top + output.height, left + output.width),
        builder.ints(1, 2, 3),
      ]);
    }
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
