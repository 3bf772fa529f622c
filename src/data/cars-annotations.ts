/** @file What both forms of Stanford Cars' annotations have in common. */
import { join } from 'node:path';
import { isFile } from './files.js';
import type { Box } from './types.js';

export const carsHint =
  'Expected cars_train/, cars_test/ and devkit/ with cars_train_annos.mat, cars_test_annos_withlabels.mat and ' +
  'cars_meta.mat, or train.csv and test.csv; datasets.md shows the trees.';

export interface Annotation {
  readonly image: string;
  /** Class number from 1, or a class name. */
  readonly label: string;
  readonly box: Box;
}

export interface Annotations {
  readonly train: readonly Annotation[];
  readonly test: readonly Annotation[];
  /** Class names by class number; absent where the labels are the names. */
  readonly names?: readonly string[];
}

export function firstFile(root: string, names: readonly string[]): string | undefined {
  return ['', 'devkit', 'car_devkit/devkit']
    .flatMap((folder) => names.map((name) => join(root, folder, name)))
    .find(isFile);
}

/** Corners are pixel numbers from 1, both inside the box. */
export function cornersToBox(x1: number, y1: number, x2: number, y2: number): Box {
  return { x: x1 - 1, y: y1 - 1, width: x2 - x1 + 1, height: y2 - y1 + 1 };
}
