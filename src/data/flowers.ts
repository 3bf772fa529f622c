/** @file Oxford Flowers 102: jpg/image_00001.jpg …, imagelabels.mat, setid.mat. */
import { join } from 'node:path';
import { UserError } from '../errors.js';
import type { AdapterOptions, OfficialSplit } from './adapter.js';
import { requireFile } from './files.js';
import { readMatFile } from './mat.js';
import type { Sample } from './types.js';

const hint = 'Put jpg/, imagelabels.mat and setid.mat of Oxford Flowers 102 into the folder.';

/** Train is the official train and validation split together (10 + 10 per class), as in the literature. */
export function readFlowers({ root }: AdapterOptions): OfficialSplit {
  const labelsFile = join(root, 'imagelabels.mat');
  const splitFile = join(root, 'setid.mat');
  for (const file of [labelsFile, splitFile]) requireFile(file, hint);
  const labels = integers(labelsFile, 'labels', 1, 1_000);
  const ids = ['trnid', 'valid', 'tstid'].map((name) => integers(splitFile, name, 1, labels.length));
  const classCount = labels.reduce((most, label) => Math.max(most, label), 0);
  const width = String(classCount).length;
  const classes = Array.from({ length: classCount }, (_, i) => `class_${String(i + 1).padStart(width, '0')}`);
  const seen = new Set<number>();
  const samples = (list: number[]): Sample[] =>
    list.map((id) => {
      if (seen.has(id))
        throw new UserError(`${splitFile}: image ${id} is in two splits or twice in one`, hint);
      seen.add(id);
      const name = `image_${String(id).padStart(5, '0')}.jpg`;
      return { path: join(root, 'jpg', name), label: labels[id - 1] - 1 };
    });
  return { classes, train: samples([...ids[0], ...ids[1]]), test: samples(ids[2]) };
}

function integers(file: string, name: string, low: number, high: number): number[] {
  const value = readMatFile(file).get(name);
  if (value?.kind !== 'numbers') throw new UserError(`${file}: the array "${name}" is missing`, hint);
  const bad = value.values.findIndex((n) => !Number.isInteger(n) || n < low || n > high);
  if (bad >= 0) {
    throw new UserError(
      `${file}: element ${bad + 1} of "${name}" is ${value.values[bad]}, expected ${low} … ${high}`,
      hint,
    );
  }
  return [...value.values];
}
