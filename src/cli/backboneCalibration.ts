/** @file What `backbone import` and `backbone check` share: loaders of images, and calibration on them. */

import { join } from 'node:path';
import { createLoader } from '../data/loader.js';
import type { Augmentation, BatchLoader, Sample } from '../data/types.js';
import type { Engine } from '../engines/engine.js';
import { calibrationSource } from '../engines/probe.js';
import { openEngine } from '../engines/registry.js';
import { UserError } from '../errors.js';
import type { Backbone } from '../model/backbone.js';
import { calibrateBackbone, type QuantizationOptions } from '../model/calibrate.js';
import { imageId } from '../model/hash.js';
import { naturalImageSize } from '../model/networks.js';
import { describeCalibration } from '../model/resolve.js';
import type { Provenance } from '../model/storeMetadata.js';
import { xbmHome } from '../paths.js';
import { hashString, permutation } from '../random.js';
import type { QuantizeArguments, RunArguments } from './backbone.js';
import type { Io } from './io.js';
import { flagOf } from './options.js';
import { withProgress } from './progress.js';

/** Opens the engine and says on stderr which one it is. */
export async function openNamedEngine({ engine: name, threads }: RunArguments, io: Io): Promise<Engine> {
  const { engine, why } = await openEngine(name, { threads });
  io.stderr(`engine ${engine.name}: ${engine.device} (${why})\n`);
  return engine;
}

/** Side of the network's input, pixels. */
export function imageSizeOf(network: string, args: RunArguments): number {
  return args.imageSize ?? naturalImageSize(network);
}

/** How images get the size of the network's input. @throws UserError when --crop is given, but nothing is cropped */
function augmentationOf(network: string, { augmentation, crop }: RunArguments): Augmentation {
  const name = augmentation ?? (network.startsWith('cifar-') ? 'none' : 'random-resized-crop');
  if (crop === undefined || name === 'random-resized-crop') return name;
  throw new UserError(
    `--crop is for the augmentation random-resized-crop; here it is ${name}, which crops nothing`,
    'Leave out --crop, or add --augmentation random-resized-crop.',
  );
}

/**
 * @param calibrate what --calibrate says, of a command that has it
 * @throws UserError when options say how to quantise, and the bits that nothing is quantised
 */
export function refuseIdle(
  { named, weightBits, activationBits }: QuantizeArguments,
  calibrate?: string,
): void {
  if (weightBits !== 32 || activationBits !== 32) return;
  const notIdle: readonly string[] = ['network', 'weightBits', 'activationBits'];
  const idle = named.filter((option) => !notIdle.includes(option)).map(flagOf);
  if (calibrate !== undefined) idle.unshift('--calibrate');
  if (idle.length === 0) return;
  throw new UserError(
    `with 32-bit weights and activations nothing is quantised: ${idle.join(' and ')} would change nothing`,
    'Leave that out, or give --weight-bits or --activation-bits below 32.',
  );
}

/** Batches of images in order, as for evaluation. */
export async function openImages(
  samples: readonly Sample[],
  network: string,
  args: RunArguments,
  io: Io,
): Promise<BatchLoader> {
  const total = samples.length;
  const augmentation = augmentationOf(network, args);
  return withProgress(io, { label: 'decoding images', unit: 'images', total }, (progress) =>
    createLoader({
      samples,
      mode: 'evaluate',
      augmentation,
      imageSize: imageSizeOf(network, args),
      cropPercent: args.crop,
      batchSize: args.batchSize,
      seed: 0,
      workers: 1,
      cacheFolder: join(xbmHome(), 'cache'),
      onProgress: (done) => progress.update(done),
      signal: io.signal,
    }),
  );
}

/** What images are drawn for; the draws of two purposes know nothing of each other. */
export type DrawPurpose = 'calibration images' | 'measured images';

/** Draws up to `count` images. @returns them and the others, both in their old order */
export function drawImages<T>(
  samples: readonly T[],
  count: number,
  seed: number,
  purpose: DrawPurpose,
): { drawn: T[]; rest: T[] } {
  const chosen = new Set(permutation(samples.length, seed, hashString(purpose)).subarray(0, count));
  return {
    drawn: samples.filter((_, i) => chosen.has(i)),
    rest: samples.filter((_, i) => !chosen.has(i)),
  };
}

/** Fewer than these make backbones that lose more: docs/calibration.md, "How many images". */
export const ENOUGH_IMAGES = 64;

/** Says when so few images calibrate that the backbone suffers. */
export function noteFewImages(count: number, io: Io): void {
  if (count >= ENOUGH_IMAGES) return;
  io.stderr(
    `Note: ${count} calibration ${count === 1 ? 'image is' : 'images are'} few, and can ruin a backbone; ` +
      `give ${ENOUGH_IMAGES} or more (--calibration-images)\n`,
  );
}

/** Quantises and calibrates float weights on the given images. */
export async function calibrateOn(
  float: Backbone,
  samples: readonly Sample[],
  engine: Engine,
  args: QuantizeArguments,
  io: Io,
): Promise<{ backbone: Backbone; provenance: Omit<Provenance, 'sourceSha256'> }> {
  const { network } = float.graph;
  const { batchSize, crop } = args;
  const imageSize = imageSizeOf(network, args);
  const form = {
    imageSize,
    augmentation: augmentationOf(network, args),
    ...(crop !== undefined && { crop }),
  };
  const loader = await openImages(samples, network, args, io);
  try {
    const imageIds = await Promise.all(samples.map(({ path }) => imageId(path)));
    const cropped = crop === undefined ? '' : `, centre crop of ${crop} %`;
    const description = `${samples.length} images at ${imageSize} pixels${cropped}`;
    const batches = async function* () {
      for await (const batch of loader.epoch(0)) {
        io.signal?.throwIfAborted();
        yield batch;
      }
    };
    const source = calibrationSource(engine, batches, {
      ...{ batchSize, imageSize, description, imageIds, form },
    });
    const options: QuantizationOptions = args;
    const backbone = await withProgress(io, { label: 'calibrating', unit: 'steps', total: 1 }, (progress) =>
      calibrateBackbone(float, options, source, (done, total) => {
        progress.setTotal(total);
        progress.update(done);
      }),
    );
    return { backbone, provenance: describeCalibration(options, source) };
  } finally {
    await loader.close();
  }
}
