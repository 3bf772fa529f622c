/** @file The seam between data sets and the rest: samples in, augmented batches out. */
import type { Batch } from './batch.js';

export type TaskName = 'cubs' | 'cars' | 'flowers' | 'wikiart' | 'sketches' | 'folder';
export type Split = 'train' | 'validation' | 'test';

/** Pixel rectangle in the source image. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Sample {
  /** Absolute path of the image file. */
  readonly path: string;
  /** Index into `classes`. */
  readonly label: number;
  /** Crop to this box before anything else. */
  readonly box?: Box;
}

export interface DataSet {
  readonly task: TaskName;
  readonly root: string;
  readonly classes: readonly string[];
  readonly train: readonly Sample[];
  /** Held out of the official train split when a validation share is asked for; else empty. */
  readonly validation: readonly Sample[];
  /** The official train split, {@link train} and {@link validation} in one: it does not depend on the seed. */
  readonly officialTrain: readonly Sample[];
  /** The official test split; never used to choose anything. */
  readonly test: readonly Sample[];
}

/**
 * How images become training input; test images get the matching deterministic form.
 * `resize-flip`: resize to the square, flip (CUBS, Cars). `random-resized-crop`: short side 256/224 of the image size,
 * RandomResizedCrop (scale 0.08–1, ratio 3/4–4/3), flip; test centre crop (Flowers, WikiArt, Sketches).
 * `pad-crop`: resize to the square, pad by 1/8 with black, random crop, flip (CIFAR). `none`: resize to the square.
 */
export const augmentations = ['resize-flip', 'random-resized-crop', 'pad-crop', 'none'] as const;
export type Augmentation = (typeof augmentations)[number];

export interface LoaderOptions {
  readonly samples: readonly Sample[];
  /** Training shuffles, augments and drops the last partial batch; evaluation keeps order and pads with label −1. */
  readonly mode: 'train' | 'evaluate';
  readonly augmentation: Augmentation;
  readonly imageSize: number;
  /** `random-resized-crop`: per cent of the short side that the centre crop takes; 87.5 unless given, 100: no margin. */
  readonly cropPercent?: number;
  readonly batchSize: number;
  readonly seed: number;
  /** Worker threads that crop, resize and flip; 0: in this thread. */
  readonly workers: number;
  /** Folder of pixel caches; images are decoded once into it. */
  readonly cacheFolder: string;
  /** Told while images are decoded into the cache. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops decoding into the cache; what is decoded is kept. */
  readonly signal?: AbortSignal;
}

export interface BatchLoader {
  readonly batchesPerEpoch: number;
  readonly samples: readonly Sample[];
  /** Of the samples' file names, labels and pixels, in order; the same wherever they lie. */
  readonly imagesHash: string;
  /** The batches of one epoch from `fromBatch` on: a function of (seed, epoch, sample) alone. */
  epoch(epoch: number, fromBatch?: number): AsyncIterable<Batch>;
  close(): Promise<void>;
}
