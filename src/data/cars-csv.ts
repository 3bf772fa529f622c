/** @file Stanford Cars' annotations in the CSV form that is common in redistributions. */
import { UserError } from '../errors.js';
import {
  type Annotation,
  type Annotations,
  cornersToBox,
  firstFile,
  carsHint as hint,
} from './cars-annotations.js';
import { splitCsvLine } from './csv.js';
import { lineError, readLines } from './files.js';

/** train.csv and test.csv (or anno_train.csv, anno_test.csv): image, x1, y1, x2, y2, class, in the header's order. */
export function readCsvFiles(root: string): Annotations | undefined {
  const train = firstFile(root, ['train.csv', 'anno_train.csv', 'cars_train_annos.csv']);
  const test = firstFile(root, [
    'test.csv',
    'anno_test.csv',
    'cars_test_annos.csv',
    'cars_test_annos_withlabels.csv',
  ]);
  if (!train || !test) return undefined;
  const namesFile = firstFile(root, ['names.csv']);
  const names = namesFile ? readLines(namesFile).map(({ text }) => splitCsvLine(text)[0]) : undefined;
  return {
    ...(names && { names }),
    train: readCsv(train, names?.length),
    test: readCsv(test, names?.length),
  };
}

const defaultColumns = ['image', 'x1', 'y1', 'x2', 'y2', 'label'];
const columnNames: Readonly<Record<string, readonly string[]>> = {
  image: ['image', 'fname', 'filename', 'file', 'relative_im_path', 'path'],
  label: ['class', 'label', 'target', 'class_id'],
  x1: ['x1', 'xmin', 'bbox_x1'],
  y1: ['y1', 'ymin', 'bbox_y1'],
  x2: ['x2', 'xmax', 'bbox_x2'],
  y2: ['y2', 'ymax', 'bbox_y2'],
};

function readCsv(file: string, classCount: number | undefined): Annotation[] {
  const [first, ...rest] = readLines(file).map(({ text, number }) => ({
    fields: splitCsvLine(text),
    text,
    number,
  }));
  if (!first) throw new UserError(`${file} is empty`, hint);
  const header = Object.entries(columnNames).map(([key, names]) => {
    const at = first.fields.findIndex((field) => names.includes(field.toLowerCase()));
    return [key, at] as const;
  });
  const hasHeader = header.some(([, at]) => at >= 0);
  const lacking = header.filter(([, at]) => at < 0).map(([key]) => key);
  if (hasHeader && lacking.length > 0) {
    throw lineError(file, first.number, `columns ${Object.keys(columnNames).join(', ')}`, first.text);
  }
  const columns = new Map(hasHeader ? header : defaultColumns.map((key, at) => [key, at] as const));
  return (hasHeader ? rest : [first, ...rest]).map(({ fields, text, number }) => {
    const field = (key: string) => fields[columns.get(key)!] ?? '';
    const [x1, y1, x2, y2] = ['x1', 'y1', 'x2', 'y2'].map((key) =>
      field(key) === '' ? Number.NaN : Number(field(key)),
    );
    const label = field('label');
    const outside = field('image').split('/').includes('..');
    if (field('image') === '' || outside || label === '' || ![x1, y1, x2, y2].every(Number.isFinite)) {
      throw lineError(file, number, 'image, x1, y1, x2, y2, class', text);
    }
    if (classCount !== undefined && !(Number.isInteger(+label) && +label >= 1 && +label <= classCount)) {
      throw lineError(file, number, `a class number 1 … ${classCount}`, label);
    }
    return { image: field('image'), label, box: cornersToBox(x1, y1, x2, y2) };
  });
}
