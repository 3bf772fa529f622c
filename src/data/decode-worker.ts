/** @file The worker thread that decodes images. */
import { type DecodedImage, decodeImage } from './decode.js';
import type { PixelSpec } from './pixel-spec.js';
import type { Box } from './types.js';
import { answerJobs } from './worker-pool.js';

export interface DecodeJob {
  readonly path: string;
  readonly box?: Box;
  readonly spec: PixelSpec;
}

const { default: sharp } = await import('sharp');
sharp.concurrency(1);
sharp.cache(false);

answerJobs<DecodeJob, DecodedImage>(
  ({ path, box, spec }) => decodeImage(path, box, spec),
  (image) => [image.pixels.buffer],
);
