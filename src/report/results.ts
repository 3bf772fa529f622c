/** @file What the hardware report takes: one result per task and method, from trained runs or from publications. */
import type { MethodName } from '../adaption/method.js';
import type { Gating } from '../hardware/gating.js';
import { type CrossbarNetwork, columnSegments, layerWeights, mappedLayers } from '../hardware/network.js';
import { ASSUMED_MEAN_LEVEL_CHANGE, PUBLISHED_SHARES_SOURCE, publishedTasks } from '../hardware/published.js';
import type { StoredWeights } from '../hardware/reprogramming.js';

export interface TaskResult {
  readonly task: string;
  readonly method: MethodName;
  /** Run folder, or publication. */
  readonly source: string;
  /** Top-1, per cent; null when unknown. */
  readonly accuracy: number | null;
  readonly testImages: number;
  readonly classes: number;
  /** Batch norm is the task's own, not the backbone's. */
  readonly trainsBatchNorm: boolean;
  /** Bits of the task's masks; 0 without masks. */
  readonly maskBits: number;
  /** Of the mask bits, per cent; 0 without masks. */
  readonly shareOff: number;
  /** Column masks that switch columns off. */
  readonly gating: Gating;
  /** What the arrays hold. */
  readonly stored: StoredWeights;
}

/** Where results come from, for the report's first lines. */
export interface ResultSet {
  readonly source: string;
  readonly results: readonly TaskResult[];
  /** Levels of the frozen backbone by layer, where they are known. */
  readonly backboneLevels?: Readonly<Record<string, Int8Array>>;
  readonly assumptions: readonly string[];
}

/** The order in which methods are printed. */
export const METHOD_ORDER: readonly MethodName[] = ['xbm', 'piggyback', 'finetune', 'classifier'];

/** Rows of one column segment in the paper. */
const PUBLISHED_ROWS = 72;

/** The paper's five tasks with the authors' shares. @param maskRows rows of one XBM segment */
export function publishedResults(network: CrossbarNetwork, maskRows: number): ResultSet {
  const layers = mappedLayers(network, 'digital');
  const count = (of: (layer: (typeof layers)[number]) => number) =>
    layers.reduce((sum, layer) => sum + of(layer), 0);
  const xbmBits = count((layer) => columnSegments(layer, maskRows));
  const weights = count(layerWeights);
  // The accuracies are ResNet-50's: they say nothing about another network.
  const measured = network.network === 'resnet50';
  const results = publishedTasks.flatMap((published): TaskResult[] => {
    const { name: task, testImages, classes, accuracy, shareOff } = published;
    const common = { task, testImages, classes, source: PUBLISHED_SHARES_SOURCE, trainsBatchNorm: true };
    return [
      {
        ...common,
        method: 'xbm',
        accuracy: measured ? accuracy.xbm : null,
        maskBits: xbmBits,
        shareOff: shareOff.xbm,
        gating: { kind: 'share', shareOff: shareOff.xbm / 100 },
        stored: { kind: 'backbone' },
      },
      {
        ...common,
        method: 'piggyback',
        accuracy: measured ? accuracy.piggyback : null,
        maskBits: weights,
        shareOff: shareOff.piggyback,
        gating: { kind: 'none' },
        stored: { kind: 'masked-share', shareOff: shareOff.piggyback / 100 },
      },
      {
        ...common,
        method: 'finetune',
        accuracy: measured ? accuracy.finetune : null,
        maskBits: 0,
        shareOff: 0,
        gating: { kind: 'none' },
        stored: { kind: 'level-change', meanLevelChange: ASSUMED_MEAN_LEVEL_CHANGE },
      },
    ];
  });
  return {
    source: PUBLISHED_SHARES_SOURCE,
    results,
    assumptions: [
      ...(measured
        ? []
        : [`The shares were published for ResNet-50 and are assumed for ${network.network}.`]),
      ...(maskRows === PUBLISHED_ROWS
        ? []
        : [
            `The shares were published for segments of ${PUBLISHED_ROWS} rows and are assumed for ${maskRows}.`,
          ]),
      `Fine-tuning without trained runs: every weight moves by ${ASSUMED_MEAN_LEVEL_CHANGE} level on average, also between two tasks. That is our assumption: NN-IMC computes the change from checkpoints that are not public.`,
      'XBM’s published shares: NN-IMC calls them sparsity_ksm (“ksm+binary”); that they are XBM’s column shares is our reading.',
      'XBM with published shares: the same share of columns is off in every array; no per-layer shares are published.',
      'Piggyback between two tasks with published shares: the two masks count as independent.',
    ],
  };
}
