/** @file Writes each data set's official layout, small; the image files are empty unless `image` writes them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { matFile } from './matWriter.js';

export type ImageWriter = (path: string, key: number) => void | Promise<void>;

/** An empty file: enough where nothing is decoded. */
export const emptyImage: ImageWriter = (path) => writeText(path, '');

export function writeText(path: string, text: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** Three classes × four images, the first two of each train. */
export async function writeCubs(root: string, image = emptyImage): Promise<void> {
  const names = ['001.Albatross', '002.Auklet', '003.Blackbird'];
  const lines: Record<string, string[]> = {
    images: [],
    image_class_labels: [],
    train_test_split: [],
    bounding_boxes: [],
  };
  for (let id = 1; id <= 12; id++) {
    const label = Math.ceil(id / 4);
    const path = `${names[label - 1]}/bird_${id}.png`;
    lines.images.push(`${id} ${path}`);
    lines.image_class_labels.push(`${id} ${label}`);
    lines.train_test_split.push(`${id} ${(id - 1) % 4 < 2 ? 1 : 0}`);
    lines.bounding_boxes.push(`${id} ${id}.0 2.0 20.0 ${10 + id}.0`);
    await image(join(root, 'images', path), id);
  }
  writeText(join(root, 'classes.txt'), names.map((name, i) => `${i + 1} ${name}\n`).join(''));
  for (const [file, rows] of Object.entries(lines))
    writeText(join(root, `${file}.txt`), `${rows.join('\n')}\n`);
}

export const carNames = ['AM General Hummer SUV 2000', 'Ram C/V Cargo Van Minivan 2012'];

interface Car {
  readonly fname: string;
  readonly label: number;
  readonly corners: readonly [number, number, number, number];
}

/** Five train and three test images of two classes. */
export function cars(split: 'train' | 'test'): Car[] {
  return Array.from({ length: split === 'train' ? 5 : 3 }, (_, i) => ({
    fname: `0000${i + 1}.jpg`,
    label: (i % 2) + 1,
    corners: [3 + i, 2, 20, 16 + i],
  }));
}

export async function writeCarsDevkit(root: string, image = emptyImage): Promise<void> {
  const annotations = (split: 'train' | 'test') =>
    cars(split).map(({ fname, label, corners: [x1, y1, x2, y2] }) => ({
      bbox_x1: [x1],
      bbox_y1: [y1],
      bbox_x2: [x2],
      bbox_y2: [y2],
      class: [label],
      fname,
    }));
  const devkit = join(root, 'devkit');
  writeText(join(devkit, 'cars_train_annos.mat'), matFile({ annotations: annotations('train') }));
  writeText(
    join(devkit, 'cars_test_annos_withlabels.mat'),
    matFile({ annotations: annotations('test') }, false),
  );
  writeText(join(devkit, 'cars_meta.mat'), matFile({ class_names: carNames }));
  for (const split of ['train', 'test'] as const) {
    for (const [i, { fname }] of cars(split).entries()) {
      await image(join(root, `cars_${split}`, fname), split.length * 100 + i);
    }
  }
}

/** The form of the Kaggle redistribution: no header, class numbers, a folder per class. */
export function writeCarsCsv(root: string): void {
  for (const split of ['train', 'test'] as const) {
    const lines = cars(split).map(({ fname, label, corners }) => [fname, ...corners, label].join(','));
    writeText(join(root, `anno_${split}.csv`), `${lines.join('\r\n')}\r\n`);
    for (const { fname, label } of cars(split)) {
      const folder = carNames[label - 1].replaceAll('/', '-');
      writeText(join(root, 'car_data', 'car_data', split, folder, fname), '');
    }
  }
  writeText(join(root, 'names.csv'), carNames.map((name) => `${name}\n`).join(''));
}

/** Nine images of three classes: 1–3 train, 4–6 validation, 7–9 test. */
export async function writeFlowers(root: string, image = emptyImage): Promise<void> {
  const ids = Array.from({ length: 9 }, (_, i) => i + 1);
  writeText(join(root, 'imagelabels.mat'), matFile({ labels: ids.map((id) => ((id - 1) % 3) + 1) }));
  writeText(join(root, 'setid.mat'), matFile({ trnid: [3, 1, 2], valid: [4, 5, 6], tstid: [9, 8, 7] }));
  for (const id of ids) await image(join(root, 'jpg', `image_0000${id}.jpg`), id);
}

/** Two classes of TU-Berlin, of 80 and 79 sketches. */
export function writeSketches(root: string): void {
  for (let id = 1; id <= 159; id++) {
    writeText(join(root, 'png', id <= 80 ? 'airplane' : 'alarm clock', `${id}.png`), '');
  }
}

export function writeWikiartFolders(root: string): void {
  for (const artist of ['edgar-degas', 'claude-monet']) {
    for (let i = 0; i < 3; i++) writeText(join(root, 'train', artist, `${i}.jpg`), '');
    writeText(join(root, 'test', artist, 'x.jpg'), '');
  }
}

export function writeWikiartLists(root: string): void {
  writeText(join(root, 'train.txt'), 'images/a water lily.jpg 10\nimages/b.jpg 2\n');
  writeText(join(root, 'test.txt'), 'images/c.jpg,10\nimages/d.jpg\t2\n');
}
