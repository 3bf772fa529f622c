/**
 * @file Published figures of the five tasks. Shares switched off: NN-IMC, main.py at commit 6e69878, `sparsity_all`
 * ("piggyback") and `sparsity_ksm` ("ksm+binary"); accuracies: XBM slides (ResNet-50, 4-bit weights and activations) and,
 * in full precision, the Piggyback paper; images and classes: the data sets' official splits.
 */

/** What all published accuracies have in common; `rows` of a column segment of XBM. */
export const publishedProtocol = { network: 'resnet50', imageSize: 224, epochs: 30, rows: 72 } as const;

export interface PublishedTask {
  readonly name: string;
  readonly trainImages: number;
  readonly testImages: number;
  readonly classes: number;
  /** Top-1, per cent. */
  readonly accuracy: { readonly finetune: number; readonly piggyback: number; readonly xbm: number };
  /** Top-1 in full precision, per cent; fine-tuning: one network per task. */
  readonly fullPrecisionAccuracy: { readonly finetune: number; readonly piggyback: number };
  /**
   * Per cent of mask bits that are 0. XBM's are NN-IMC's `sparsity_ksm`; KSM masks kernels, but NN-IMC takes them off
   * whole array activations and charges no reprogramming: we read them as XBM's column shares.
   */
  readonly shareOff: { readonly piggyback: number; readonly xbm: number };
}

export const PUBLISHED_SHARES_SOURCE =
  'published shares: NN-IMC, main.py at commit 6e69878; accuracies: XBM slides (ASP-DAC 2022)';

/** Where each kind of figure comes from, as printed. */
export const publishedSources = {
  accuracy: 'XBM, conference slides (ASP-DAC 2022): ResNet-50, 4-bit weights and activations',
  fullPrecisionAccuracy: 'Piggyback (ECCV 2018): ResNet-50, full precision',
  shareOff:
    'NN-IMC, main.py at commit 6e69878: shares of the authors’ energy runs; those of XBM are named sparsity_ksm there',
  masks: 'XBM, abstract and conference slides (ASP-DAC 2022): ResNet-50, 23 M weights',
} as const;

/** XBM's masks of ResNet-50 as published: 40 KB, 1.4 % of Piggyback's. */
export const publishedMasks = { kilobytes: 40, percentOfPiggyback: 1.4 } as const;

export const publishedTasks: readonly PublishedTask[] = [
  {
    name: 'cubs',
    trainImages: 5994,
    testImages: 5794,
    classes: 200,
    accuracy: { finetune: 73.02, piggyback: 74.47, xbm: 75.53 },
    fullPrecisionAccuracy: { finetune: 82.83, piggyback: 81.77 },
    shareOff: { piggyback: 12.21, xbm: 37.5 },
  },
  {
    name: 'cars',
    trainImages: 8144,
    testImages: 8041,
    classes: 196,
    accuracy: { finetune: 85.92, piggyback: 86.85, xbm: 85.96 },
    fullPrecisionAccuracy: { finetune: 91.83, piggyback: 89.81 },
    shareOff: { piggyback: 15.65, xbm: 39.09 },
  },
  {
    name: 'flowers',
    trainImages: 2040,
    testImages: 6149,
    classes: 102,
    accuracy: { finetune: 95.34, piggyback: 91.09, xbm: 90.81 },
    fullPrecisionAccuracy: { finetune: 96.56, piggyback: 95.23 },
    shareOff: { piggyback: 4.48, xbm: 31.92 },
  },
  {
    name: 'wikiart',
    trainImages: 42129,
    testImages: 10628,
    classes: 195,
    accuracy: { finetune: 74.96, piggyback: 68.97, xbm: 67.6 },
    fullPrecisionAccuracy: { finetune: 75.6, piggyback: 71.43 },
    shareOff: { piggyback: 30.47, xbm: 40.18 },
  },
  {
    name: 'sketches',
    trainImages: 16000,
    testImages: 4000,
    classes: 250,
    accuracy: { finetune: 80.92, piggyback: 78.88, xbm: 76.95 },
    fullPrecisionAccuracy: { finetune: 80.78, piggyback: 80.25 },
    shareOff: { piggyback: 23.04, xbm: 37.83 },
  },
];

/**
 * Our assumption: without trained runs every fine-tuned weight moves by one level, which is 3.75 J by NN-IMC's formula.
 * NN-IMC reads the change from checkpoints that are not public.
 */
export const ASSUMED_MEAN_LEVEL_CHANGE = 1;
