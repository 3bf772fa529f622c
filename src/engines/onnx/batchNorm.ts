/** @file The gradient of batch normalisation. What follows from the forward pass is computed for all layers at once. */
import { BATCH_NORM_EPSILON } from '../../model/graph.js';
import type { Layout, Layouts } from './activations.js';

/** One batch norm's forward pass. */
export interface Norm {
  /** [channels] each: of the batch where batch norm is trained, else the frozen running ones. */
  readonly mean: string;
  readonly variance: string;
  /** γ [channels] */
  readonly weight: string;
  readonly channels: number;
  /** Values of a channel in the batch. */
  readonly count: number;
}

/** Vectors [channels] of one layer. */
interface Factors {
  /** 1/σ */
  readonly inverse: string;
  /** γ/σ */
  readonly scale: string;
  /** −γ/(σ · count) */
  readonly share: string;
}

/** Gradients of all batch norms of a graph. */
export class NormGradients {
  readonly #factors = new Map<string, Factors>();

  constructor(
    private readonly layouts: Layouts,
    private readonly norms: ReadonlyMap<string, Norm>,
  ) {
    const { builder } = layouts;
    const all = [...norms.values()];
    if (all.length === 0) return;
    const channels = all.map((norm) => norm.channels);
    const join = (values: readonly string[]) => builder.op('Concat', values, { axis: 0 });
    const split = (flat: string) =>
      builder.ops('Split', [flat, builder.ints(...channels)], all.length, { axis: 0 });
    const variance = builder.op('Add', [
      join(all.map((norm) => norm.variance)),
      builder.scalar(BATCH_NORM_EPSILON),
    ]);
    const inverse = builder.op('Reciprocal', [builder.op('Sqrt', [variance])]);
    const scale = builder.op('Mul', [join(all.map(({ weight }) => weight)), inverse]);
    const shares = all.flatMap((norm) => new Array<number>(norm.channels).fill(-1 / norm.count));
    const share = builder.op('Mul', [scale, builder.constant(Float32Array.from(shares), [shares.length])]);
    const [inverses, scales, sharesApart] = [inverse, scale, share].map(split);
    for (const [i, name] of [...norms.keys()].entries()) {
      this.#factors.set(name, { inverse: inverses[i], scale: scales[i], share: sharesApart[i] });
    }
  }

  /** dL/dx with constant statistics. */
  frozen(name: string, gradient: string, layout: Layout): string {
    const { layouts } = this;
    const scale = layouts.perChannel(this.#factors.get(name)!.scale, this.norms.get(name)!.channels, layout);
    return layouts.builder.op('Mul', [gradient, scale]);
  }

  /** dL/dγ and dL/dβ [channels]. */
  parameters(
    name: string,
    input: string,
    gradient: string,
    layout: Layout,
  ): { weight: string; bias: string } {
    const { layouts } = this;
    const { builder } = layouts;
    const { mean, channels } = this.norms.get(name)!;
    const bias = layouts.channelSum(gradient, channels, layout);
    const products = layouts.channelDot(gradient, input, channels, layout);
    const centred = builder.op('Sub', [products, builder.op('Mul', [mean, bias])]);
    return { weight: builder.op('Mul', [centred, this.#factors.get(name)!.inverse]), bias };
  }

  /**
   * dL/dx = γ/σ · (dy − mean(dy) − x̂ · mean(dy · x̂)), where the means are those of dL/dβ and dL/dγ: both terms with
   * them are one batch normalisation of x.
   */
  trained(
    name: string,
    input: string,
    gradient: string,
    parameters: { weight: string; bias: string },
    layout: Layout,
  ): string {
    const { builder } = this.layouts;
    const { mean, variance } = this.norms.get(name)!;
    const { share } = this.#factors.get(name)!;
    const [weight, bias] = [parameters.weight, parameters.bias].map((sum) => builder.op('Mul', [share, sum]));
    const fromStatistics = builder.op('BatchNormalization', [input, weight, bias, mean, variance], {
      epsilon: { float: BATCH_NORM_EPSILON },
    });
    return builder.op('Add', [this.frozen(name, gradient, layout), fromStatistics]);
  }
}
