/**
 * @file Published figures of the five tasks. Shares switched off: NN-IMC, main.py at commit 6e69878; accuracies: XBM
 * slides (ResNet-50, 4-bit weights and activations); test images and classes: the data sets' official splits.
 */

export interface PublishedTask {
  readonly name: string;
  readonly testImages: number;
  readonly classes: number;
  /** Top-1, per cent. */
  readonly accuracy: { readonly finetune: number; readonly piggyback: number; readonly xbm: number };
  /** Per cent of mask bits that are 0. */
  readonly shareOff: { readonly piggyback: number; readonly xbm: number };
}

export const PUBLISHED_SHARES_SOURCE =
  'published shares: NN-IMC, main.py at commit 6e69878; accuracies: XBM slides (ASP-DAC 2022)';

export const publishedTasks: readonly PublishedTask[] = [
  {
    name: 'cubs',
    testImages: 5794,
    classes: 200,
    accuracy: { finetune: 73.02, piggyback: 74.47, xbm: 75.53 },
    shareOff: { piggyback: 12.21, xbm: 37.5 },
  },
  {
    name: 'cars',
    testImages: 8041,
    classes: 196,
    accuracy: { finetune: 85.92, piggyback: 86.85, xbm: 85.96 },
    shareOff: { piggyback: 15.65, xbm: 39.09 },
  },
  {
    name: 'flowers',
    testImages: 6149,
    classes: 102,
    accuracy: { finetune: 95.34, piggyback: 91.09, xbm: 90.81 },
    shareOff: { piggyback: 4.48, xbm: 31.92 },
  },
  {
    name: 'wikiart',
    testImages: 10628,
    classes: 195,
    accuracy: { finetune: 74.96, piggyback: 68.97, xbm: 67.6 },
    shareOff: { piggyback: 30.47, xbm: 40.18 },
  },
  {
    name: 'sketches',
    testImages: 4000,
    classes: 250,
    accuracy: { finetune: 80.92, piggyback: 78.88, xbm: 76.95 },
    shareOff: { piggyback: 23.04, xbm: 37.83 },
  },
];

/** Assumption: without trained runs every fine-tuned weight moves by one level (NN-IMC: 3.75 J). */
export const ASSUMED_MEAN_LEVEL_CHANGE = 1;
