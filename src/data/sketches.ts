/** @file TU-Berlin sketches: png/<class>/<id>.png. */
import { join } from 'node:path';
import { UserError } from '../errors.js';
import type { AdapterOptions, OfficialSplit } from './adapter.js';
import { isFolder, listImages } from './files.js';
import { classFolders } from './folder.js';
import type { Sample } from './types.js';

/**
 * TU-Berlin has no official split. The rule here: of each class, in ascending file-name order, the first 80 %
 * (64 of 80, rounded up) train and the rest test.
 */
export function readSketches({ root }: AdapterOptions): OfficialSplit {
  const folder = isFolder(join(root, 'png')) ? join(root, 'png') : root;
  const classes = classFolders(folder);
  if (classes.length === 0) {
    throw new UserError(
      `${folder} holds no class folders with images`,
      'Expected png/<class>/<id>.png, as in TU-Berlin’s sketches_png.zip.',
    );
  }
  const parts: { train: Sample[]; test: Sample[] } = { train: [], test: [] };
  classes.forEach((name, label) => {
    const files = listImages(join(folder, name));
    const trained = Math.ceil((files.length * 64) / 80);
    files.forEach((file, i) => {
      parts[i < trained ? 'train' : 'test'].push({ path: join(folder, name, file), label });
    });
  });
  if (parts.test.length === 0) {
    throw new UserError(
      `${folder}: the test split is empty: of a class with fewer than 5 images all train (64 of 80, rounded up)`,
      'Give the classes at least 5 images each, or use task folder, which splits from 2 images on.',
    );
  }
  return { classes, ...parts };
}
