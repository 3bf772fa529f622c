/** @file Checks a data set: counts, missing and damaged files, duplicates, train images that occur in test. */
import { availableParallelism } from 'node:os';
import { extname, relative } from 'node:path';
import { type CountOptions, type CountReport, compareCounts } from './counts.js';
import { listFilesBelow } from './files.js';
import { protocols } from './protocol.js';
import type { DataSet, Sample } from './types.js';
import type { VerifyAnswer, VerifyJob } from './verify-worker.js';
import { WorkerPool } from './worker-pool.js';

export interface VerifyOptions extends CountOptions {
  /** Default: one thread per core. */
  readonly workers?: number;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Paths are relative to the root of the data set. */
export interface VerifyReport {
  readonly counts: CountReport;
  readonly missing: readonly string[];
  readonly corrupt: readonly { readonly path: string; readonly reason: string }[];
  /** Files of the same content within one split; published sets have some, so they are no failure. */
  readonly duplicates: readonly (readonly string[])[];
  /** Train images whose content occurs in test too; `known`: in the data set as published, so no failure. */
  readonly overlaps: readonly { readonly train: string; readonly test: string; readonly known: boolean }[];
  /** Files below the root that are no image of the data set, by extension; published sets have some. */
  readonly skipped: Readonly<Record<string, number>>;
  /** Nothing missing, corrupt or unexpectedly in both splits, and the counts are the published ones. */
  readonly ok: boolean;
}

/** Reads and decodes every image of a data set. */
export async function verifyDataSet(dataSet: DataSet, options: VerifyOptions): Promise<VerifyReport> {
  const train = [...dataSet.train, ...dataSet.validation];
  const answers = await checkImages([...train, ...dataSet.test], options);
  const name = ({ path }: Sample) => relative(dataSet.root, path);
  const missing: string[] = [];
  const corrupt: { path: string; reason: string }[] = [];
  const hashes = { train: new Map<string, string[]>(), test: new Map<string, string[]>() };
  [...train, ...dataSet.test].forEach((sample, i) => {
    const { sha256, error } = answers[i];
    if (sha256 === null && error === null) missing.push(name(sample));
    if (error !== null) corrupt.push({ path: name(sample), reason: error });
    if (sha256 === null) return;
    const split = hashes[i < train.length ? 'train' : 'test'];
    split.set(sha256, [...(split.get(sha256) ?? []), name(sample)]);
  });
  const duplicates = [...hashes.train.values(), ...hashes.test.values()].filter((paths) => paths.length > 1);
  const known = new Set(protocols[dataSet.task].knownOverlaps);
  const overlaps = [...hashes.train].flatMap(([sha256, paths]) => {
    const test = hashes.test.get(sha256)?.[0];
    return test === undefined ? [] : paths.map((path) => ({ train: path, test, known: known.has(path) }));
  });
  const counts = compareCounts(dataSet, options);
  const wrong = [missing, corrupt, overlaps.filter((pair) => !pair.known), counts.differences];
  const ok = wrong.every((list) => list.length === 0);
  return { counts, missing, corrupt, duplicates, overlaps, skipped: countSkipped(dataSet), ok };
}

function countSkipped({ root, train, validation, test }: DataSet): Record<string, number> {
  const images = new Set([...train, ...validation, ...test].map(({ path }) => path));
  const counts: Record<string, number> = {};
  for (const path of listFilesBelow(root)) {
    if (images.has(path)) continue;
    const extension = extname(path).toLowerCase() || 'no extension';
    counts[extension] = (counts[extension] ?? 0) + 1;
  }
  return counts;
}

async function checkImages(samples: readonly Sample[], options: VerifyOptions): Promise<VerifyAnswer[]> {
  const { onProgress, signal } = options;
  await import('sharp'); // Its native library must be loaded in the main thread before any worker loads it.
  const threads = Math.max(1, options.workers ?? availableParallelism());
  const pool = new WorkerPool<VerifyJob, VerifyAnswer>(
    new URL('./verify-worker.js', import.meta.url),
    threads,
  );
  const answers: VerifyAnswer[] = new Array(samples.length);
  let next = 0;
  let done = 0;
  const lane = async () => {
    while (next < samples.length) {
      signal?.throwIfAborted();
      const i = next++;
      const { path, box } = samples[i];
      answers[i] = await pool.run({ path, ...(box && { box }) });
      onProgress?.(++done, samples.length);
    }
  };
  try {
    await Promise.all(Array.from({ length: 2 * threads }, lane));
  } finally {
    await pool.close();
  }
  return answers;
}
