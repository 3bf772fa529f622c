/** @file Stanford Cars: the devkit's MAT-files, or the CSV files that are common in redistributions. */
import { join } from 'node:path';
import { UserError } from '../errors.js';
import type { AdapterOptions, OfficialSplit } from './adapter.js';
import { type Annotation, carsHint as hint } from './cars-annotations.js';
import { readCsvFiles } from './cars-csv.js';
import { readDevkit } from './cars-devkit.js';
import { distinctLabels, isFolder, listFolders } from './files.js';
import { protocols } from './protocol.js';
import type { Sample } from './types.js';

/** Reads the official split of either form; crops to the boxes unless told not to. */
export function readCars({ root, crop }: AdapterOptions): OfficialSplit {
  const cropping = crop ?? protocols.cars.crop;
  const { train, test, names } = readDevkit(root) ?? readCsvFiles(root) ?? missingAnnotations(root);
  const classes = names ?? distinctLabels([...train, ...test].map(({ label }) => label));
  const labelOf = new Map(classes.map((name, label) => [name, label]));
  const samples = (split: 'train' | 'test', annotations: readonly Annotation[]): Sample[] => {
    const locate = imageLocator(root, split);
    const place = (image: string, text: string) => {
      const label = names ? Number(text) - 1 : labelOf.get(text)!;
      return { path: locate(image, classes[label]), label };
    };
    return annotations.map(({ image, label, box }) => ({
      ...place(image, label),
      ...(cropping && { box }),
    }));
  };
  return { classes, train: samples('train', train), test: samples('test', test) };
}

function missingAnnotations(root: string): never {
  throw new UserError(`${root} holds neither the devkit nor the CSV files of Stanford Cars`, hint);
}

/** Images lie where their path says, or in the split's folder, there perhaps in a folder per class. */
function imageLocator(root: string, split: 'train' | 'test'): (image: string, className: string) => string {
  const names = [
    `cars_${split}/cars_${split}`,
    `cars_${split}`,
    `car_data/car_data/${split}`,
    `car_data/${split}`,
    split,
  ];
  const folder = names.map((name) => join(root, name)).find(isFolder) ?? root;
  const classFolders = new Set(folder === root ? [] : listFolders(folder));
  return (image, className) => {
    if (image.includes('/')) return join(root, image);
    // A class name with a slash ("Ram C/V Cargo Van") cannot be a folder's name.
    const classFolder = [className, className.replaceAll('/', '-')].find((name) => classFolders.has(name));
    return classFolder === undefined ? join(folder, image) : join(folder, classFolder, image);
  };
}
