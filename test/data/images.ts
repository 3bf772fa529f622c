/** @file Synthetic images and folders for the data tests. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import sharp from 'sharp';
import { hash32, hashString } from '../../src/random.js';

/** A folder of its own for one test, removed at its end. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'xbm-data-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A pipe that nobody writes to; a reader, which there should be none of, waits until the test ends. */
export function makePipe(t: TestContext, path: string): void {
  execFileSync('mkfifo', [path]);
  const held = openSync(path, 'r+');
  t.after(() => closeSync(held));
}

/** Deterministic RGB noise over a gradient, [height, width, 3]. */
export function noisePixels(width: number, height: number, key: number): Uint8Array {
  const pixels = new Uint8Array(width * height * 3);
  for (let i = 0; i < pixels.length; i++) pixels[i] = (hash32(key, i) & 63) + ((i * 191) / pixels.length) * 1;
  return pixels;
}

/** Writes an image that differs from every other key; the extension decides the format. */
export async function writeImage(path: string, width: number, height: number, key: number): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  await sharp(noisePixels(width, height, key), { raw: { width, height, channels: 3 } }).toFile(path);
}

/** Writes `counts[class]` images into each class folder; all differ, also from those of other folders' names. */
export async function writeClassFolders(
  root: string,
  counts: Record<string, number>,
  size = 24,
): Promise<void> {
  let key = hashString(basename(root));
  for (const [name, count] of Object.entries(counts)) {
    for (let i = 0; i < count; i++) await writeImage(join(root, name, `${i}.png`), size, size + 4, key++);
  }
}

/** All items of an asynchronous iteration (Array.fromAsync needs Node 22). */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
