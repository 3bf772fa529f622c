import type { Io } from './io.js';
import { withProgress } from './progress.js';

/** As loaders report it: images of one split that are in the pixel cache. */
type OnDecode = (split: string, done: number, count: number) => void;

/**
 * Shows progress while images of one split after the other are decoded; nothing when all are in the cache.
 * @param total images of all splits
 */
export function withDecodeProgress<T>(
  io: Io,
  total: number,
  body: (onDecode: OnDecode) => Promise<T>,
): Promise<T> {
  return withProgress(io, { label: 'decoding images', unit: 'images', total }, (progress) => {
    let before = 0;
    let current = { split: '', count: 0 };
    let decoding = false;
    return body((split, done, count) => {
      if (split !== current.split) {
        before += current.count;
        current = { split, count };
      }
      decoding ||= done < count;
      if (decoding) progress.update(before + done);
    });
  });
}
