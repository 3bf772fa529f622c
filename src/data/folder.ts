/** @file The generic layout: train/<class>/… and test/<class>/…, or one folder of class folders. */
import { join } from 'node:path';
import { UserError } from '../errors.js';
import type { AdapterOptions, OfficialSplit } from './adapter.js';
import { isFolder, listFolders, listImages } from './files.js';
import { splitByHash } from './split.js';
import type { Sample } from './types.js';

const layout = 'Expected train/<class>/<image> and test/<class>/<image>, or <class>/<image>.';

/** Reads a folder of class folders, split by its own `train` and `test` folders or by `trainPercent`. */
export function readFolder(options: AdapterOptions): OfficialSplit {
  const { root, trainPercent } = options;
  const [train, test] = [join(root, 'train'), join(root, 'test')];
  if (holdsClasses(train) && holdsClasses(test)) return readTrainAndTest(train, test);
  for (const folder of [train, test]) refuseStrays(folder);
  if (holdsClasses(train)) {
    throw new UserError(`${root} has train/ but no test/ with class folders`, layout);
  }
  const classes = classFolders(root);
  if (classes.length === 0) throw new UserError(`${root} holds no folders with images`, layout);
  const split: { train: Sample[]; test: Sample[] } = { train: [], test: [] };
  classes.forEach((name, label) => {
    const parts = splitByHash(name, listImages(join(root, name)), trainPercent);
    split.train.push(...parts.train.map((file) => ({ path: join(root, name, file), label })));
    split.test.push(...parts.test.map((file) => ({ path: join(root, name, file), label })));
  });
  for (const [part, other] of [
    ['train', 'test'],
    ['test', 'train'],
  ] as const) {
    if (split[part].length > 0) continue;
    throw new UserError(
      `${root}: the ${part} split is empty: of a class with one image, that image goes to the ${other} split (data.trainPercent is ${trainPercent})`,
      'Give the classes at least 2 images each, or both splits folders of their own: train/<class>/ and test/<class>/.',
    );
  }
  return { classes, ...split };
}

/** The samples of `train/<class>/…` and `test/<class>/…`; the train folder decides the classes. */
export function readTrainAndTest(trainFolder: string, testFolder: string): OfficialSplit {
  const classes = listFolders(trainFolder);
  const extra = listFolders(testFolder).filter((name) => !classes.includes(name));
  if (extra.length > 0) {
    throw new UserError(
      `${testFolder} has classes that ${trainFolder} lacks: ${extra.slice(0, 5).join(', ')}${extra.length > 5 ? ', …' : ''}`,
      'Give both splits the same class folders.',
    );
  }
  const read = (folder: string) =>
    classes.flatMap((name, label) =>
      isFolder(join(folder, name))
        ? listImages(join(folder, name)).map((file) => ({ path: join(folder, name, file), label }))
        : [],
    );
  return { classes, train: read(trainFolder), test: read(testFolder) };
}

/** All folders inside, also those without images: training refuses such a class. None where none has images. */
export function classFolders(folder: string): string[] {
  const names = listFolders(folder);
  return names.some((name) => listImages(join(folder, name)).length > 0) ? names : [];
}

/** @throws UserError when a split's folder holds images beside its class folders: it would pass for a class */
function refuseStrays(folder: string): void {
  if (!isFolder(folder) || listFolders(folder).length === 0) return;
  const [stray] = listImages(folder);
  if (stray === undefined) return;
  throw new UserError(
    `${join(folder, stray)}: an image beside the class folders of ${folder}`,
    'Move it into the folder of its class, or out of the data set.',
  );
}

/** Whether a folder consists of class folders (a class that is called "train" holds images itself). */
export function holdsClasses(folder: string): boolean {
  return isFolder(folder) && listFolders(folder).length > 0 && listImages(folder).length === 0;
}
