/** @file Stanford Cars' annotations as the devkit has them: MAT-files. */
import { basename } from 'node:path';
import { UserError } from '../errors.js';
import {
  type Annotation,
  type Annotations,
  cornersToBox,
  firstFile,
  carsHint as hint,
} from './cars-annotations.js';
import { type MatValue, readMatFile } from './mat.js';

/** The devkit's annotations; undefined where there is no devkit. */
export function readDevkit(root: string): Annotations | undefined {
  const train = firstFile(root, ['cars_train_annos.mat']);
  if (!train) return undefined;
  const test = firstFile(root, ['cars_test_annos_withlabels.mat']);
  const meta = firstFile(root, ['cars_meta.mat']);
  if (!test) throw new UserError(`cars_test_annos_withlabels.mat is missing in ${root}`, hint);
  if (!meta) throw new UserError(`cars_meta.mat is missing in ${root}`, hint);
  const names = readClassNames(meta);
  return {
    names,
    train: readMatAnnotations(train, names.length),
    test: readMatAnnotations(test, names.length),
  };
}

function readClassNames(file: string): string[] {
  const value = readMatFile(file).get('class_names');
  if (value?.kind !== 'cells') throw new UserError(`${file}: the cell array "class_names" is missing`, hint);
  return value.cells.map((cell, i) => {
    if (cell.kind !== 'text') throw new UserError(`${file}: class_names{${i + 1}} is not text`, hint);
    return cell.text;
  });
}

function readMatAnnotations(file: string, classCount: number): Annotation[] {
  const value = readMatFile(file).get('annotations');
  if (value?.kind !== 'structs')
    throw new UserError(`${file}: the struct array "annotations" is missing`, hint);
  return value.structs.map((entry, i) => {
    const at = `${file}: annotations(${i + 1})`;
    const number = (field: string) => {
      const found: MatValue | undefined = entry[field];
      if (found?.kind === 'numbers' && Number.isFinite(found.values[0])) return found.values[0];
      throw new UserError(`${at}.${field} is not a number`, hint);
    };
    const image = entry.fname;
    if (image?.kind !== 'text' || basename(image.text) === '') {
      throw new UserError(`${at}.fname is not a file name`, hint);
    }
    const label = number('class');
    if (!Number.isInteger(label) || label < 1 || label > classCount) {
      throw new UserError(`${at}.class is ${label}, expected 1 … ${classCount}`, hint);
    }
    const [x1, y1, x2, y2] = ['bbox_x1', 'bbox_y1', 'bbox_x2', 'bbox_y2'].map(number);
    return { image: basename(image.text), label: String(label), box: cornersToBox(x1, y1, x2, y2) };
  });
}
