/** @file A small world in which the documents' examples run: data sets in their official layouts, weights, a model. */
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildNetwork } from '../../src/model/networks.js';
import { readSafetensors, writeSafetensors } from '../../src/model/safetensors.js';
import { saveBackbone } from '../../src/model/store.js';
import { writeClassFolders, writeImage } from '../data/images.js';
import { writeCarsDevkit, writeCubs, writeText } from '../data/layouts.js';
import { matFile } from '../data/matWriter.js';
import { fromLayerGraph } from '../hardware/onnxModels.js';
import { randomBackbone } from '../model/fixtures.js';

const image = (size: number) => (path: string, key: number) => writeImage(path, size, size, key);

/** Writes `data/`, which stands for the documents' /data, and the weights that they import. */
export async function writeWorld(root: string): Promise<void> {
  const data = join(root, 'data');
  await writeCubs(join(data, 'cubs'), image(40));
  await writeCarsDevkit(join(data, 'cars'), image(40));
  await writeFlowers(join(data, 'flowers'));
  for (const [c, name] of ['airplane', 'apple'].entries()) {
    for (let id = 1; id <= 80; id++)
      await image(8)(join(data, 'sketches', 'png', name, `${id}.png`), 100 * c + id);
  }
  await writeClassFolders(join(data, 'imagenet-sample'), { '.': 12 });
  await writeClassFolders(join(data, 'quickdraw'), { candle: 10, donut: 10 }, 8);
  const weights = join(root, 'resnet50.safetensors');
  await saveBackbone(weights, randomBackbone(32, 32), { sourceSha256: '', calibration: '' });
  await writeSafetensors(weights, (await readSafetensors(weights)).tensors);
}

/** A folder to work in, as a reader of one document has it; returns its path. */
export function writeWorkFolder(root: string, name: string): string {
  const folder = join(root, name);
  mkdirSync(folder);
  copyFileSync(join(root, 'resnet50.safetensors'), join(folder, 'resnet50.safetensors'));
  writeFileSync(join(folder, 'model.onnx'), fromLayerGraph(buildNetwork('resnet18', 10), 64));
  symlinkSync(join(root, 'data', 'quickdraw'), join(folder, 'quickdraw'));
  const labels = Array.from({ length: 12 }, (_, i) => `${i}.png,${i % 5}\n`);
  writeFileSync(join(folder, 'labels.csv'), labels.join(''));
  return folder;
}

/** Two classes of 10 train, 10 validation and 2 test images. */
async function writeFlowers(root: string): Promise<void> {
  const ids = Array.from({ length: 44 }, (_, i) => i + 1);
  const part = (from: number, to: number) => ids.slice(from, to);
  writeText(join(root, 'imagelabels.mat'), matFile({ labels: ids.map((id) => (id % 2) + 1) }));
  const split = { trnid: part(0, 20), valid: part(20, 40), tstid: part(40, 44) };
  writeText(join(root, 'setid.mat'), matFile(split));
  for (const id of ids) await image(24)(join(root, 'jpg', `image_${String(id).padStart(5, '0')}.jpg`), id);
}
