/**
 * @file The gradient of max pooling from element-wise operators. ONNX Runtime's own way there, MaxPool's indices and
 * ScatterElements, works on single values. A window's first largest pixel in row-major order is the first largest column
 * of the first row whose maximum is largest: so the gradient is handed to rows first, then within each row to columns.
 */
import type { MaxPoolLayer } from '../../model/graph.js';
import type { TensorShape } from './activations.js';
import type { GraphBuilder } from './graphBuilder.js';

type Window = Pick<MaxPoolLayer, 'kernel' | 'stride' | 'padding'>;

/** One max pool at its place in the graph. */
export interface PoolSite {
  readonly window: Window;
  readonly builder: GraphBuilder;
  readonly batchSize: number;
  readonly input: TensorShape;
  readonly output: TensorShape;
}

/** Which pixel of every window of a max pool is handed its gradient. */
export class PoolWinners {
  readonly #columns: Axis;
  readonly #rows: Axis;
  readonly #byColumn: readonly string[];
  readonly #byRow: readonly string[];

  /**
   * @param input x [batch, channels, h, w]
   * @param output max pool's output [batch, channels, oh, ow]
   */
  constructor(
    private readonly site: PoolSite,
    input: string,
    output: string,
  ) {
    const { builder, window, batchSize } = site;
    const { channels, height, width } = site.input;
    const images = batchSize * channels;
    this.#columns = new Axis(builder, window, [images * height, width, 1], site.output.width);
    this.#rows = new Axis(builder, window, [images, height, site.output.width], site.output.height);
    const columnTaps = this.#columns.taps(input);
    const rowMaxima = builder.op('Max', columnTaps);
    this.#byColumn = this.#columns.equal(columnTaps, rowMaxima);
    this.#byRow = this.#rows.equal(this.#rows.taps(rowMaxima), output);
  }

  /** dL/dx [batch, channels, h, w] from dL/doutput. */
  gradient(outputGradient: string): string {
    const { builder, batchSize, input } = this.site;
    const toRows = this.#rows.share(this.#byRow, outputGradient);
    const toColumns = this.#columns.share(this.#byColumn, toRows);
    return builder.op('Reshape', [
      toColumns,
      builder.ints(batchSize, input.channels, input.height, input.width),
    ]);
  }
}

/**
 * Windows along the middle axis of [outer, length, inner], whose tensors are kept as matrices [outer, positions·inner].
 * Every stride-th position makes a phase; what a tap of all windows sees is a shifted phase.
 */
class Axis {
  readonly #stride: number;
  readonly #phaseLength: number;
  /** Of each tap of a window: window j sees position j + shift of the phase. */
  readonly #taps: readonly { readonly phase: number; readonly shift: number }[];

  constructor(
    private readonly builder: GraphBuilder,
    window: Window,
    private readonly dims: readonly [outer: number, length: number, inner: number],
    private readonly windows: number,
  ) {
    const { kernel, stride, padding } = window;
    this.#stride = stride;
    this.#phaseLength = Math.ceil(dims[1] / stride);
    this.#taps = Array.from({ length: kernel }, (_, tap) => {
      const shift = Math.floor((tap - padding) / stride);
      return { phase: tap - padding - shift * stride, shift };
    });
  }

  /** What each tap of the windows sees, [outer, windows·inner] each. */
  taps(value: string): string[] {
    const phases = this.#split(this.#matrix(value, this.dims[1]));
    return this.#taps.map(({ phase, shift }) =>
      this.#pad(phases[phase], -shift, this.windows + shift - this.#phaseLength, Number.NEGATIVE_INFINITY),
    );
  }

  /** For every tap but the last, one where it equals its window's maximum and zero elsewhere [outer, windows·inner]. */
  equal(taps: readonly string[], maxima: string): string[] {
    const { builder } = this;
    const largest = this.#matrix(maxima, this.windows);
    return taps
      .slice(0, -1)
      .map((tap) => builder.op('Cast', [builder.op('Equal', [tap, largest])], { to: 1 }));
  }

  /** Hands every window's gradient to the first tap that equals its maximum: [outer, length·inner]. */
  share(equal: readonly string[], gradient: string): string {
    const { builder } = this;
    const phases: (string | null)[] = new Array(this.#stride).fill(null);
    let rest = this.#matrix(gradient, this.windows);
    for (const [i, { phase, shift }] of this.#taps.entries()) {
      let part = rest;
      if (i < equal.length) {
        part = builder.op('Mul', [rest, equal[i]]);
        rest = builder.op('Sub', [rest, part]);
      }
      const shifted = this.#pad(part, shift, this.#phaseLength - shift - this.windows, 0);
      phases[phase] = phases[phase] ? builder.op('Add', [phases[phase], shifted]) : shifted;
    }
    const [outer, , inner] = this.dims;
    const zeros = () =>
      builder.op('Expand', [builder.scalar(0), builder.ints(outer, this.#phaseLength * inner)]);
    return this.#join(phases.map((phase) => phase ?? zeros()));
  }

  /** [outer, length·inner] → its phases [outer, phase length·inner]. */
  #split(value: string): string[] {
    const { builder } = this;
    const stride = this.#stride;
    const [outer, length, inner] = this.dims;
    const padded = this.#pad(value, 0, this.#phaseLength * stride - length, Number.NEGATIVE_INFINITY);
    if (stride === 1) return [padded];
    const rows = builder.op('Reshape', [padded, builder.ints(outer * this.#phaseLength, stride * inner)]);
    const sizes = builder.ints(...new Array<number>(stride).fill(inner));
    return builder
      .ops('Split', [rows, sizes], stride, { axis: 1 })
      .map((phase) => this.#matrix(phase, this.#phaseLength));
  }

  /** The inverse of #split. */
  #join(phases: readonly string[]): string {
    const { builder } = this;
    const [outer, length, inner] = this.dims;
    const rows = phases.map((phase) =>
      builder.op('Reshape', [phase, builder.ints(outer * this.#phaseLength, inner)]),
    );
    const whole = this.#phaseLength * this.#stride;
    const joined = this.#matrix(builder.op('Concat', rows, { axis: 1 }), whole);
    return this.#pad(joined, 0, length - whole, 0);
  }

  /** Adds positions in front and behind, or takes them away. */
  #pad(matrix: string, before: number, after: number, filling: number): string {
    if (before === 0 && after === 0) return matrix;
    const { builder } = this;
    const inner = this.dims[2];
    return builder.op('Pad', [
      matrix,
      builder.ints(0, before * inner, 0, after * inner),
      builder.scalar(filling),
    ]);
  }

  #matrix(value: string, positions: number): string {
    const [outer, , inner] = this.dims;
    return this.builder.op('Reshape', [value, this.builder.ints(outer, positions * inner)]);
  }
}
