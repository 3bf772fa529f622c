/**
 * @file How many augmented images a second the loader serves from the pixel cache.
 * Usage: npm run bench:loader [-- ROOT]   (ROOT: a folder of class folders; default: synthetic images)
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import sharp from 'sharp';
import { type Augmentation, createLoader, openDataSet, type Sample } from '../src/data/index.js';
import { hash32 } from '../src/random.js';
import { benchArguments } from './arguments.js';

const IMAGES = 384;
const SECONDS = 4;
const IMAGE_SIZE = 224;
const BATCH_SIZE = 32;

const [given] = benchArguments('npm run bench:loader -- [ROOT]', 1);
const folder = mkdtempSync(join(tmpdir(), 'xbm-bench-'));
try {
  const root = given ? resolve(given) : await writeSyntheticSet(join(folder, 'images'));
  const { train } = await openDataSet({ task: 'folder', root });
  const samples = train.slice(0, 2048);
  console.log(`${samples.length} images, ${IMAGE_SIZE} px, batch ${BATCH_SIZE}, ${cpus().length} cores`);
  for (const augmentation of ['random-resized-crop', 'resize-flip'] as const) {
    for (const workers of [0, 1, 2]) {
      const { rate, cpu } = await measure(samples, augmentation, workers);
      const perCore = `${cpu.toFixed(2)} ms of CPU time an image`;
      console.log(`${augmentation}, ${workers} workers: ${Math.round(rate)} images/s, ${perCore}`);
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}

/** Images a second and CPU milliseconds an image (all threads) after one epoch that fills caches and compiles code. */
async function measure(
  samples: readonly Sample[],
  augmentation: Augmentation,
  workers: number,
): Promise<{ rate: number; cpu: number }> {
  const loader = await createLoader({
    samples,
    mode: 'train',
    augmentation,
    imageSize: IMAGE_SIZE,
    batchSize: BATCH_SIZE,
    seed: 0,
    workers,
    cacheFolder: join(folder, 'cache'),
  });
  for await (const _ of loader.epoch(0));
  const start = performance.now();
  const cpuStart = process.cpuUsage();
  let images = 0;
  for (let epoch = 1; performance.now() - start < SECONDS * 1000; epoch++) {
    for await (const { labels } of loader.epoch(epoch)) images += labels.length;
  }
  const seconds = (performance.now() - start) / 1000;
  const cpu = process.cpuUsage(cpuStart);
  await loader.close();
  return { rate: images / seconds, cpu: (cpu.user + cpu.system) / 1000 / images };
}

/** Photograph-sized JPEG files, 340 × 272, with structure at all scales. */
async function writeSyntheticSet(root: string): Promise<string> {
  const [width, height] = [340, 272];
  for (let n = 0; n < IMAGES; n++) {
    const pixels = new Uint8Array(width * height * 3);
    for (let i = 0; i < pixels.length; i++) pixels[i] = (hash32(n, i >> 6) & 127) + (hash32(n, i) & 127);
    const path = join(root, `class${n % 4}`);
    mkdirSync(path, { recursive: true });
    await sharp(pixels, { raw: { width, height, channels: 3 } })
      .jpeg()
      .toFile(join(path, `${n}.jpg`));
  }
  return root;
}
