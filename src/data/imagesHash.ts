import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { CachedImage } from './shard.js';
import type { Sample } from './types.js';

/**
 * SHA-256 (hex) of what a loader sees of its samples, wherever they lie: file names, labels and pixels, in order.
 * @param images as the pixel cache has them: their checksums stand for their pixels
 */
export function imagesHash(samples: readonly Sample[], images: readonly CachedImage[]): string {
  const lines = samples.map(({ path, label }, i) => `${basename(path)}\0${label}\0${images[i].checksum}\n`);
  return createHash('sha256').update(lines.join('')).digest('hex');
}
