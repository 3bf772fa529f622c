/** @file The pixel cache: every image is decoded once and found again by path, size and modification time. */
import { readdirSync, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../errors.js';
import type { DecodedImage } from './decode.js';
import type { DecodeJob } from './decode-worker.js';
import { isFolder, notRegular } from './files.js';
import type { PixelSpec } from './pixel-spec.js';
import { type CachedImage, listShards, readShardIndex, type ShardEntry, ShardWriter } from './shard.js';
import type { Sample } from './types.js';
import { WorkerPool } from './worker-pool.js';

const FLUSH_EVERY = 128;
const STATS_AT_ONCE = 64;

export interface PrepareOptions {
  readonly samples: readonly Sample[];
  readonly spec: PixelSpec;
  readonly cacheFolder: string;
  /** Threads that decode; default: one per core. */
  readonly workers?: number;
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops between two images; what is decoded is kept. */
  readonly signal?: AbortSignal;
}

export interface PreparedPixels {
  /** In the order of the samples; undefined where the image is damaged. */
  readonly images: readonly (CachedImage | undefined)[];
  readonly decoded: number;
  readonly failures: readonly { readonly sample: Sample; readonly error: UserError }[];
}

/** The folder of a cache folder that keeps one kind of pixels. */
export function specFolder(cacheFolder: string, spec: PixelSpec): string {
  return join(cacheFolder, `v2-${spec.kind}-${spec.size}`);
}

/** Folders of pixels that older versions of the program have left; nothing reads them any more. */
export function outdatedFolders(cacheFolder: string): string[] {
  const isOutdated = (name: string) => /^v1-(square|short-side)-\d+$/.test(name);
  return isFolder(cacheFolder)
    ? readdirSync(cacheFolder)
        .filter(isOutdated)
        .sort()
        .map((name) => join(cacheFolder, name))
    : [];
}

/**
 * Decodes what the cache lacks; damaged images are listed, not thrown.
 * @throws UserError when the cache cannot be written; the signal's reason when it is aborted
 */
export async function preparePixels(options: PrepareOptions): Promise<PreparedPixels> {
  const { samples, spec, onProgress, signal } = options;
  const folder = specFolder(options.cacheFolder, spec);
  const known = readEntries(folder);
  const failures: { sample: Sample; error: UserError }[] = [];
  const images: (CachedImage | undefined)[] = new Array(samples.length).fill(undefined);
  const missing = new Map<string, { stats: Stats; positions: number[] }>();
  const stats = await statAll(samples);
  samples.forEach((sample, i) => {
    const key = entryKey(sample);
    const found = stats[i];
    if (found instanceof UserError) failures.push({ sample, error: found });
    else if (isFresh(known.get(key), found)) images[i] = known.get(key);
    else if (missing.has(key)) missing.get(key)!.positions.push(i);
    else missing.set(key, { stats: found, positions: [i] });
  });
  let done = samples.length - [...missing.values()].reduce((sum, { positions }) => sum + positions.length, 0);
  onProgress?.(done, samples.length);
  if (missing.size === 0) return { images, decoded: 0, failures };

  let decoded = 0;
  await decodeInto(folder, options, [...missing], (key, result) => {
    const { positions } = missing.get(key)!;
    if (result instanceof UserError) failures.push({ sample: samples[positions[0]], error: result });
    else {
      for (const i of positions) images[i] = result;
      decoded++;
    }
    done += positions.length;
    onProgress?.(done, samples.length);
  });
  signal?.throwIfAborted();
  return { images, decoded, failures };
}

/** Like `preparePixels`, for those who need every image. */
export async function requirePixels(options: PrepareOptions): Promise<CachedImage[]> {
  const { images, failures } = await preparePixels(options);
  if (failures.length === 0) return images as CachedImage[];
  const shown = failures.slice(0, 3).map(({ error }) => error.message);
  throw new UserError(
    `${failures.length} of ${options.samples.length} images cannot be used: ${shown.join('; ')}${failures.length > 3 ? '; …' : ''}`,
    'Replace or remove them; `xbm data verify` lists all damaged images.',
  );
}

type Missing = [key: string, { stats: Stats; positions: number[] }];

/** Decodes in worker threads and writes one shard; `settled` is told of each image once it is written or refused. */
async function decodeInto(
  folder: string,
  options: PrepareOptions,
  missing: readonly Missing[],
  settled: (key: string, result: CachedImage | UserError) => void,
): Promise<void> {
  const { samples, spec, signal } = options;
  const threads = Math.max(1, Math.min(options.workers ?? availableParallelism(), missing.length));
  await import('sharp'); // Its native library must be loaded in the main thread before any worker loads it.
  const writer = await ShardWriter.create(folder);
  const pool = new WorkerPool<DecodeJob, DecodedImage>(
    new URL('./decode-worker.js', import.meta.url),
    threads,
  );
  try {
    const pending: Promise<void>[] = [];
    let written: Promise<void> = Promise.resolve();
    for (const [n, [key, { stats, positions }]] of missing.entries()) {
      if (signal?.aborted) break;
      const { path, box } = samples[positions[0]];
      const job = pool.run({ path, box, spec });
      job.catch(() => {});
      // Images are written in the order of the samples, so reading an evaluation split reads the file in order.
      written = written.then(async () => {
        const image = await job.catch((error) => {
          if (error instanceof UserError) return error;
          throw error;
        });
        settled(key, image instanceof UserError ? image : await writer.append(key, stats, image));
        if ((n + 1) % FLUSH_EVERY === 0) await writer.flush();
      });
      written.catch(() => {});
      pending.push(written);
      // Two jobs a thread keep it busy; no more images than that wait in memory.
      if (pending.length >= 2 * threads + 2) await pending.shift();
    }
    await written;
    await writer.flush();
  } finally {
    await pool.close();
    await writer.close();
  }
}

function readEntries(folder: string): Map<string, ShardEntry> {
  const entries = new Map<string, ShardEntry>();
  if (!isFolder(folder)) return entries;
  for (const name of listShards(folder)) {
    for (const entry of readShardIndex(folder, name)) entries.set(entry.key, entry);
  }
  return entries;
}

function entryKey({ path, box }: Sample): string {
  return box ? `${path}|${box.x},${box.y},${box.width},${box.height}` : path;
}

function isFresh(entry: ShardEntry | undefined, { size, mtimeMs }: Stats): boolean {
  return entry !== undefined && entry.size === size && entry.mtime === mtimeMs;
}

async function statAll(samples: readonly Sample[]): Promise<(Stats | UserError)[]> {
  const results: (Stats | UserError)[] = new Array(samples.length);
  let next = 0;
  const lane = async () => {
    while (next < samples.length) {
      const i = next++;
      const { path } = samples[i];
      const refused = (why: string) => new UserError(why, 'Restore the file from the data set’s archive.');
      results[i] = await stat(path).then(
        (stats) => (stats.isFile() ? stats : refused(notRegular(path))),
        ({ code, message }: NodeJS.ErrnoException) =>
          refused(code === 'ENOENT' ? `${path} is missing` : `${path}: ${message}`),
      );
    }
  };
  await Promise.all(Array.from({ length: STATS_AT_ONCE }, lane));
  return results;
}
