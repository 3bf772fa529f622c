/** @file CUB-200-2011 (and the 2010 images with metadata files of the same layout). */
import { join } from 'node:path';
import { UserError } from '../errors.js';
import type { AdapterOptions, OfficialSplit } from './adapter.js';
import { lineError, readLines, requireFile } from './files.js';
import { protocols } from './protocol.js';
import type { Box, Sample } from './types.js';

const hint =
  'Set data.root to the folder CUB_200_2011 that holds images.txt; datasets.md shows the expected tree.';

/** More images than this are the 2011 edition (11,788); the 2010 edition has 6,033. */
const LARGEST_2010 = 7_000;

/** Reads images.txt, image_class_labels.txt, classes.txt, train_test_split.txt and, to crop, bounding_boxes.txt. */
export function readCubs({ root, edition, crop }: AdapterOptions): OfficialSplit {
  const images = readTable(join(root, 'images.txt'), 1);
  const found = images.size > LARGEST_2010 ? '2011' : '2010';
  if (edition !== null && edition !== found && images.size > 1_000) {
    throw new UserError(
      `${root} holds edition ${found} of CUB-200 (${images.size} images), not ${edition}`,
      `Set data.edition to ${found} or data.root to edition ${edition}.`,
    );
  }
  const { classes, labelOf } = readClasses(join(root, 'classes.txt'));
  const labels = readTable(join(root, 'image_class_labels.txt'), 1);
  const splits = readTable(join(root, 'train_test_split.txt'), 1);
  const cropping = crop ?? (protocols.cubs.crop && (edition ?? found) === '2011');
  const boxes = cropping ? readBoxes(join(root, 'bounding_boxes.txt')) : undefined;
  const parts: { train: Sample[]; test: Sample[] } = { train: [], test: [] };
  for (const [id, { fields, line }] of images) {
    const label = labelOf.get(rowOf(labels, id).fields[0]);
    if (label === undefined) {
      const { file, line, fields } = rowOf(labels, id);
      throw lineError(file, line, 'a class number of classes.txt', fields[0]);
    }
    const split = rowOf(splits, id);
    if (split.fields[0] !== '0' && split.fields[0] !== '1') {
      throw lineError(split.file, split.line, '1 (train) or 0 (test)', split.fields[0]);
    }
    if (fields[0].split('/').includes('..')) {
      throw lineError(join(root, 'images.txt'), line, 'a path below images/', fields[0]);
    }
    const box = boxes?.get(id);
    if (boxes && !box)
      throw new UserError(`${join(root, 'bounding_boxes.txt')} has no line for image ${id}`, hint);
    parts[split.fields[0] === '1' ? 'train' : 'test'].push({
      path: join(root, 'images', fields[0]),
      label,
      ...(box && { box }),
    });
  }
  return { classes, ...parts, edition: edition ?? found };
}

interface Row {
  readonly file: string;
  readonly line: number;
  /** Fields after the first, which is the key. */
  readonly fields: readonly string[];
}

/** A file of lines `key field …`, by key. */
function readTable(file: string, fieldCount: number): Map<string, Row> {
  requireFile(file, hint);
  const rows = new Map<string, Row>();
  for (const { text, number } of readLines(file)) {
    const [key, ...fields] = text.split(/\s+/);
    if (fields.length < fieldCount)
      throw lineError(file, number, `a number and ${fieldCount} more field(s)`, text);
    if (rows.has(key))
      throw lineError(file, number, 'a new number', `${key}, which is on line ${rows.get(key)!.line}`);
    rows.set(key, { file, line: number, fields });
  }
  if (rows.size === 0) throw new UserError(`${file} is empty`, hint);
  return rows;
}

function rowOf(rows: Map<string, Row>, id: string): Row {
  const row = rows.get(id);
  if (row) return row;
  const [{ file }] = rows.values();
  throw new UserError(`${file} has no line for image ${id}`, hint);
}

function readClasses(file: string): { classes: string[]; labelOf: Map<string, number> } {
  const rows = [...readTable(file, 1)];
  return {
    classes: rows.map(([, { fields }]) => fields.join(' ')),
    labelOf: new Map(rows.map(([number], label) => [number, label])),
  };
}

function readBoxes(file: string): Map<string, Box> {
  requireFile(file, 'Restore it, or set data.crop to false (--set data.crop=false) to use whole images.');
  const boxes = new Map<string, Box>();
  for (const [id, { fields, line }] of readTable(file, 4)) {
    const [x, y, width, height] = fields.map(Number);
    if (![x, y, width, height].every(Number.isFinite) || width <= 0 || height <= 0) {
      throw lineError(file, line, 'x y width height', fields.join(' '));
    }
    boxes.set(id, { x, y, width, height });
  }
  return boxes;
}
