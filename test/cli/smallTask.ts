/** @file A real task in a folder of its own: 48 images of three colours, a random 4-bit backbone, a config. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import type { Backbone } from '../../src/model/backbone.js';
import { layersOfKind } from '../../src/model/graph.js';
import { sealBackbone } from '../../src/model/hash.js';
import { buildNetwork } from '../../src/model/networks.js';
import { quantizeBackbone } from '../../src/model/quantize.js';
import { saveBackbone } from '../../src/model/store.js';
import { hash32 } from '../../src/random.js';
import { randomBackbone } from '../../src/training/randomBackbone.js';

const SIZE = 8;

/** Writes everything and returns the config's path. */
export async function writeSmallTask(folder: string): Promise<string> {
  await writeSmallImages(join(folder, 'images'));
  await writeBackbone(join(folder, 'backbone.safetensors'), 1);
  const config = join(folder, 'small.yaml');
  writeFileSync(
    config,
    `
extends: folder-xbm
name: small
data: { root: images, cache: cache, augmentation: pad-crop, workers: 0 }
backbone: { network: cifar-resnet8, weights: ./backbone.safetensors }
training:
  { imageSize: ${SIZE}, batchSize: 8, epochs: 4, checkpointMinutes: 1e-9,
    learningRate: { masks: 2e-3, weights: 1e-2, batchNorm: 1e-2, head: 3e-2 } }
engine: onnx
threads: 1
`,
  );
  return config;
}

/** Three classes of noise around a colour; another seed draws other images of the same names. */
export async function writeSmallImages(root: string, seed = 0): Promise<void> {
  for (const [label, name] of ['blue', 'green', 'red'].entries()) {
    mkdirSync(join(root, name), { recursive: true });
    for (let i = 0; i < 16; i++) {
      const pixels = Uint8Array.from(
        { length: SIZE * SIZE * 3 },
        (_, at) => (at % 3 === 2 - label ? 150 : 40) + (hash32(label, i, at + 1000 * seed) % 60),
      );
      const raw = { width: SIZE, height: SIZE, channels: 3 as const };
      await sharp(pixels, { raw }).toFile(join(root, name, `${String(i).padStart(2, '0')}.png`));
    }
  }
}

/** A backbone of random 4-bit weights. */
export async function writeBackbone(path: string, seed: number, sourceSha256 = ''): Promise<Backbone> {
  const graph = buildNetwork('cifar-resnet8', 10);
  const quantized = quantizeBackbone(randomBackbone(graph, seed), 4);
  const clips = Object.fromEntries(layersOfKind(graph, 'quantize').map(({ name }) => [name, 3]));
  const backbone = sealBackbone({ ...quantized, clips, activationBits: 4 });
  await saveBackbone(path, backbone, { sourceSha256, calibration: 'none: random weights' });
  return backbone;
}

/** What must be equal, byte for byte, however a run came to its end. */
export function resultFiles(run: string): Record<string, string> {
  const names = ['task.safetensors', 'summary.json', 'metrics.jsonl', 'config.yaml'];
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(run, name), 'hex')]));
}
