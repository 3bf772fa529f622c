/** @file What a method trains, and how its masks are shaped and binarised. */

export type MethodName = 'xbm' | 'piggyback' | 'finetune' | 'classifier';

/**
 * What one mask bit switches: a single weight (Piggyback), a k·k kernel (KSM), a column segment of `rows` rows
 * (XBM) or a whole output channel.
 */
export type Granularity = 'element' | 'kernel' | 'column' | 'channel';

/** `sigmoid`: KSM's straight-through estimator; `identity`: Piggyback's. */
export type Binarizer = 'sigmoid' | 'identity';

export interface MaskSpec {
  readonly granularity: Granularity;
  /** Rows of one column segment; used by `column` only. */
  readonly rows: number;
  readonly binarizer: Binarizer;
  readonly threshold: number;
  /** Of the sigmoid: soft = sigmoid(slope · (score − threshold) + noise). */
  readonly slope: number;
  /** Adds Gumbel noise (g1 − g2) / 100 to the sigmoid's argument while training. */
  readonly noise: boolean;
  /** Scores start here: above the threshold, so every bit is on. */
  readonly initialScore: number;
}

export interface MethodSpec {
  readonly name: MethodName;
  /** null: no masks (finetune, classifier). */
  readonly mask: MaskSpec | null;
  /** Convolution weights are trained (quantisation-aware below 32 bits). */
  readonly trainWeights: boolean;
  /** Affine parameters trained, batch statistics used and running statistics updated; else all frozen. */
  readonly trainBatchNorm: boolean;
}

/** Parameters with one learning rate. */
export type ParameterGroup = 'masks' | 'weights' | 'batchNorm' | 'head';

export type OptimizerSpec =
  | {
      readonly kind: 'adam';
      readonly beta1: number;
      readonly beta2: number;
      readonly epsilon: number;
      readonly weightDecay: number;
    }
  | { readonly kind: 'sgd'; readonly momentum: number; readonly weightDecay: number };
