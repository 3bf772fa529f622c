/** @file A convolution and its gradients in either layout, from standard ONNX operators. */
import type { ConvLayer } from '../../model/graph.js';
import type { Layout, Layouts, TensorShape } from './activations.js';
import { convolveNchw, inputGradientNchw, weightGradientNchw } from './convolutionNchw.js';
import { columnsUnderFilter, columnsUnderFlippedFilter, pixelsInOrder, tapClasses } from './im2col.js';
import {
  convolveWinograd,
  inputGradientWinograd,
  isWinograd,
  patches,
  transformedInput,
  weightGradientWinograd,
} from './winograd.js';

/** One convolution at its place in the graph. */
export interface ConvSite {
  readonly conv: ConvLayer;
  readonly layouts: Layouts;
  /** Of its input; the convolution and its gradients are computed in it. */
  readonly layout: Layout;
  readonly input: TensorShape;
  readonly output: TensorShape;
}

export function convSite(conv: ConvLayer, layouts: Layouts): ConvSite {
  const [source] = conv.inputs;
  const layout = layouts.layoutOf(source);
  return { conv, layouts, layout, input: layouts.shapeOf(source), output: layouts.shapeOf(conv.name) };
}

/**
 * @param weight [outC, inC, k, k]
 * @param columns for `merged`: the input's columns, see {@link inputColumns}
 */
export function convolve(site: ConvSite, weight: string, input: string, columns: string | null): string {
  if (site.layout === 'nchw') return convolveNchw(site, weight, input);
  if (isWinograd(site)) return convolveWinograd(site, weight, columns!);
  const { builder } = site.layouts;
  const product = builder.op('MatMul', [asMatrix(site, weight), columns!]);
  return builder.op('Reshape', [product, builder.ints(...site.layouts.dims(site.output, 'merged'))]);
}

/** The merged input as a matrix [inC·k², output pixels·batch]: shared by the forward pass and the weight gradient. */
export function inputColumns(site: ConvSite, input: string): string | null {
  if (site.layout === 'nchw') return null;
  if (isWinograd(site)) return transformedInput(site, patches(site, input, site.conv.inChannels));
  return columnsUnderFilter(site, input);
}

/** Tiles of the output gradient for Winograd's gradients, null for others: shared by both gradients. */
export function gradientPatches(site: ConvSite, outputGradient: string): string | null {
  return isWinograd(site) ? patches(site, outputGradient, site.conv.outChannels) : null;
}

/**
 * dL/dx in the site's layout.
 * @param tiles see {@link gradientPatches}
 */
export function inputGradient(
  site: ConvSite,
  weight: string,
  outputGradient: string,
  tiles: string | null,
): string {
  if (tiles) return inputGradientWinograd(site, weight, tiles);
  if (site.layout === 'nchw') return inputGradientNchw(site, weight, outputGradient);
  const { conv, layouts } = site;
  const { builder } = layouts;
  const dims = builder.ints(...layouts.dims(site.input, 'merged'));
  const allTaps = conv.kernel * conv.kernel;
  const apart = builder.op('Reshape', [weight, builder.ints(conv.outChannels, conv.inChannels, allTaps)]);
  const exchanged = builder.op('Transpose', [apart], { perm: [1, 0, 2] }); // [inC, outC, k²]
  if (conv.kernel === 1) {
    // Through a Reshape: fused into the product the transpose would be made anew for every block of columns.
    const turned = builder.op('Reshape', [exchanged, builder.ints(conv.inChannels, conv.outChannels)]);
    const value = builder.op('MatMul', [turned, flatten(site, outputGradient)]);
    if (conv.stride === 1) return builder.op('Reshape', [value, dims]);
    const [{ pixels }] = tapClasses(site).filter(({ taps }) => taps.length > 0);
    return builder.op('Reshape', [pixelsInOrder(site, [{ value, pixels }]), dims]);
  }
  const parts = tapClasses(site).map((tapClass) => {
    const { taps, pixels } = tapClass;
    const chosen =
      taps.length === allTaps
        ? exchanged
        : builder.op('Gather', [exchanged, builder.constant(Int32Array.from(taps), [taps.length])], {
            axis: 2,
          });
    const matrix = builder.op('Reshape', [
      chosen,
      builder.ints(conv.inChannels, conv.outChannels * taps.length),
    ]);
    return {
      pixels,
      value: builder.op('MatMul', [matrix, columnsUnderFlippedFilter(site, outputGradient, tapClass)]),
    };
  });
  const product = parts.length === 1 ? parts[0].value : pixelsInOrder(site, parts);
  return builder.op('Reshape', [product, dims]);
}

/** dL/dW [outC, inC, k, k]. */
export function weightGradient(
  site: ConvSite,
  input: string,
  columns: string | null,
  outputGradient: string,
  tiles: string | null,
): string {
  if (tiles) return weightGradientWinograd(site, columns!, tiles);
  if (site.layout === 'nchw') return weightGradientNchw(site, input, outputGradient);
  const { conv, layouts } = site;
  const gradients = flatten(site, outputGradient);
  const product = layouts.builder.op('com.microsoft:FusedMatMul', [gradients, columns!], { transB: 1 });
  const { outChannels, inChannels, kernel } = conv;
  return layouts.builder.op('Reshape', [
    product,
    layouts.builder.ints(outChannels, inChannels, kernel, kernel),
  ]);
}

/** [outC, inC, k, k] → [outC, inC·k²] */
function asMatrix({ conv, layouts }: ConvSite, weight: string): string {
  const rows = conv.inChannels * conv.kernel * conv.kernel;
  return layouts.builder.op('Reshape', [weight, layouts.builder.ints(conv.outChannels, rows)]);
}

/** [1, outC, pixels·batch] → [outC, pixels·batch] */
function flatten({ conv, layouts }: ConvSite, gradient: string): string {
  return layouts.builder.op('Reshape', [gradient, layouts.builder.ints(conv.outChannels, -1)]);
}
