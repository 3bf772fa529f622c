/** @file The worker thread that checks images: content hash, and whether the whole file decodes. */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type { UserError } from '../errors.js';
import { decodeImage } from './decode.js';
import { notRegular } from './files.js';
import type { Box } from './types.js';
import { answerJobs } from './worker-pool.js';

export interface VerifyJob {
  readonly path: string;
  readonly box?: Box;
}

export interface VerifyAnswer {
  /** SHA-256 of the file (hex); null when it is missing. */
  readonly sha256: string | null;
  /** Why it cannot be decoded. */
  readonly error: string | null;
}

const { default: sharp } = await import('sharp');
sharp.concurrency(1);
sharp.cache(false);

answerJobs<VerifyJob, VerifyAnswer>(
  async ({ path, box }) => {
    let bytes: Buffer;
    try {
      if (!statSync(path).isFile()) return { sha256: null, error: notRegular(path) };
      bytes = readFileSync(path);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      return { sha256: null, error: code === 'ENOENT' ? null : message };
    }
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    // A small target costs little, and every byte of the file is still decoded.
    const failure = await decodeImage(path, box, { kind: 'square', size: 32 }).then(
      () => null,
      (error: UserError) => error.message,
    );
    return { sha256, error: failure };
  },
  () => [],
);
