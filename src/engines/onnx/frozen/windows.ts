import { type ConvLayer, layerShapes } from '../../../model/graph.js';
import type { FrozenContext } from './emit.js';

/**
 * What a filter sees at each of its places, channels last: uint8 [batch, h, w, inC] → [batch, oh, ow, k²·inC], taps
 * outermost. ONNX Runtime's ConvInteger has no fast path for int8 filters and no layout but channels first, so sums
 * that are not requantised are matrix products of these.
 */
export function emitWindows(context: FrozenContext, conv: ConvLayer, input: string): string {
  const { builder, networks, imageSize } = context;
  const { kernel, stride, padding, inChannels } = conv;
  if (kernel === 1 && padding === 0) return everyPixel(context, input, stride);
  const shapes = layerShapes(networks[0].graph, imageSize);
  const [from, to] = [shapes.get(conv.inputs[0])!, shapes.get(conv.name)!];
  const pixels = builder.op('Reshape', [input, builder.ints(0, from.height * from.width, inChannels)]);
  const zero = builder.constant(Uint8Array.of(0), []);
  const withZero = builder.op('Pad', [pixels, builder.ints(0, 0, 0, 0, 1, 0), zero]);
  const key = `windows:${kernel},${stride},${padding},${from.height},${from.width}`;
  const indices = builder.shared(key, () => {
    const positions = windowPositions(conv, from, to);
    return [positions, [positions.length]];
  });
  const seen = builder.op('Gather', [withZero, indices], { axis: 1 });
  return builder.op('Reshape', [seen, builder.ints(0, to.height, to.width, kernel * kernel * inChannels)]);
}

interface Size {
  readonly height: number;
  readonly width: number;
}

/** Flat input positions [oh · ow · k²]; what lies outside is the pixel behind the last one. */
function windowPositions({ kernel, stride, padding }: ConvLayer, from: Size, to: Size): Int32Array {
  const positions = new Int32Array(to.height * to.width * kernel * kernel);
  let i = 0;
  for (let y = 0; y < to.height; y++) {
    for (let x = 0; x < to.width; x++) {
      for (let tap = 0; tap < kernel * kernel; tap++) {
        const row = y * stride - padding + Math.floor(tap / kernel);
        const column = x * stride - padding + (tap % kernel);
        const inside = row >= 0 && row < from.height && column >= 0 && column < from.width;
        positions[i++] = inside ? row * from.width + column : from.height * from.width;
      }
    }
  }
  return positions;
}

/** Every `stride`-th row and column of [batch, height, width, channels]. */
function everyPixel({ builder }: FrozenContext, name: string, stride: number): string {
  if (stride === 1) return name;
  const end = 2 ** 31;
  const bounds = [builder.ints(0, 0), builder.ints(end, end), builder.ints(1, 2)];
  return builder.op('Slice', [name, ...bounds, builder.ints(stride, stride)]);
}
