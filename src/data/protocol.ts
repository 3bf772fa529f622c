/** @file Each task's protocol (Piggyback's, which XBM follows) and the published sizes of its data set. */
import type { Augmentation, TaskName } from './types.js';

/** Published size of one edition of a data set. */
export interface PublishedCounts {
  readonly edition: string;
  readonly train: number;
  readonly test: number;
  readonly classes: number;
  /** Images per class, where it is the same for all. */
  readonly trainPerClass?: number;
  readonly testPerClass?: number;
}

export interface Protocol {
  readonly title: string;
  readonly augmentation: Augmentation;
  /** Whether images are cropped to the bounding box; CUB's 2010 edition has no boxes in this layout. */
  readonly crop: boolean;
  readonly published: readonly PublishedCounts[];
  /** Train images whose very file is in test too, in the data set as published: reported, but no failure. */
  readonly knownOverlaps?: readonly string[];
}

/** Sources: the data sets' own pages (datasets.md); WikiArt: Piggyback's list. */
export const protocols: Readonly<Record<TaskName, Protocol>> = {
  cubs: {
    title: 'Caltech-UCSD Birds 200',
    augmentation: 'resize-flip',
    crop: true,
    published: [
      { edition: '2011', train: 5994, test: 5794, classes: 200 },
      { edition: '2010', train: 3000, test: 3033, classes: 200, trainPerClass: 15 },
      // The 6,033 images of 2010 as redistributed with the metadata files of 2011 and a split of its own.
      { edition: '2010', train: 4829, test: 1204, classes: 200 },
    ],
  },
  cars: {
    title: 'Stanford Cars',
    augmentation: 'resize-flip',
    crop: true,
    published: [{ edition: '2013', train: 8144, test: 8041, classes: 196 }],
  },
  flowers: {
    title: 'Oxford Flowers 102',
    augmentation: 'random-resized-crop',
    crop: false,
    published: [{ edition: '2009', train: 2040, test: 6149, classes: 102, trainPerClass: 20 }],
    knownOverlaps: ['jpg/image_07307.jpg', 'jpg/image_08077.jpg'],
  },
  wikiart: {
    title: 'WikiArt by artist',
    augmentation: 'random-resized-crop',
    crop: false,
    published: [{ edition: 'piggyback', train: 42129, test: 10628, classes: 195 }],
  },
  sketches: {
    title: 'TU-Berlin sketches',
    augmentation: 'random-resized-crop',
    crop: false,
    published: [
      { edition: '2012', train: 16000, test: 4000, classes: 250, trainPerClass: 64, testPerClass: 16 },
    ],
  },
  folder: { title: 'Any folder of class folders', augmentation: 'resize-flip', crop: false, published: [] },
};
