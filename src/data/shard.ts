/**
 * @file Files of the pixel cache. A shard is two files that only grow: `<name>.pixels`, raw RGB of one image after
 * the other, and `<name>.index`, one line per image, written after its pixels: a checksum of the line and JSON.
 * Whatever a killed process leaves behind is a valid shard but for its last line; each process writes a shard of its
 * own, so none waits. Offsets of images whose pixels were found damaged are lines of `<name>.damaged`: the next process
 * decodes these anew, and those that still read the shard are not disturbed.
 */
import { randomUUID } from 'node:crypto';
import { appendFileSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { ExitCode, UserError } from '../errors.js';
import { makeFolder } from '../folders.js';
import { xbmHome } from '../paths.js';
import { hashString } from '../random.js';
import { checksum32 } from './checksum.js';
import type { DecodedImage } from './decode.js';
import { isFile } from './files.js';

/** Where the pixels of one image lie. */
export interface CachedImage {
  /** Path of the pixels file. */
  readonly file: string;
  /** Byte offset in it. */
  readonly offset: number;
  readonly width: number;
  readonly height: number;
  readonly checksum: number;
}

/** One image in a shard. */
export interface ShardEntry extends CachedImage {
  /** Path of the image and its box. */
  readonly key: string;
  /** Size (bytes) and modification time (ms) of the image file that was decoded. */
  readonly size: number;
  readonly mtime: number;
}

/** The checksum of an image in a shard; covers its dimensions too. */
export function pixelChecksum(width: number, height: number, pixels: Uint8Array): number {
  return checksum32(pixels, width, height);
}

/** Names of the shards in a cache folder, oldest first. */
export function listShards(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.index') && isFile(join(folder, name)))
    .map((name) => name.slice(0, -'.index'.length))
    .sort();
}

/** The sound entries of a shard; lines that are cut off or damaged are passed over: their images count as missing. */
export function readShardIndex(folder: string, name: string): ShardEntry[] {
  const file = join(folder, `${name}.pixels`);
  const bytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  const lines = readFileSync(join(folder, `${name}.index`), 'utf8')
    .split('\n')
    .slice(0, -1);
  const damaged = readDamaged(folder, name);
  const isSound = (entry: ShardEntry) => fits(entry, bytes) && !damaged.has(String(entry.offset));
  return lines.flatMap((line) => parseEntry(line, file) ?? []).filter(isSound);
}

/** Offsets that {@link markDamaged} wrote. */
function readDamaged(folder: string, name: string): Set<string> {
  const file = join(folder, `${name}.damaged`);
  return new Set(isFile(file) ? readFileSync(file, 'utf8').split('\n') : []);
}

/**
 * Makes an image count as missing from the next reading of its shard's index on.
 * @param file path of the pixels file
 * @returns whether that could be written
 */
export function markDamaged(file: string, offset: number): boolean {
  try {
    appendFileSync(file.replace(/pixels$/, 'damaged'), `\n${offset}\n`);
    return true;
  } catch {
    return false;
  }
}

/** A line of the index; its checksum ties the path of an image to its pixels. */
function formatLine(entry: readonly (string | number)[]): string {
  const text = JSON.stringify(entry);
  return `${hashString(text)} ${text}\n`;
}

function parseEntry(line: string, file: string): ShardEntry | undefined {
  const space = line.indexOf(' ');
  const text = line.slice(space + 1);
  if (line.slice(0, space) !== String(hashString(text))) return undefined;
  try {
    const [key, size, mtime, width, height, offset, checksum] = JSON.parse(text);
    return { key, size, mtime, file, offset, width, height, checksum };
  } catch {
    return undefined;
  }
}

function fits({ key, width, height, offset, checksum }: ShardEntry, bytes: number): boolean {
  const counts = [width, height, offset, checksum].every((n) => Number.isSafeInteger(n) && n >= 0);
  return typeof key === 'string' && counts && width > 0 && height > 0 && offset + width * height * 3 <= bytes;
}

/** Writes a new shard. */
export class ShardWriter {
  private offset = 0;
  private pending: string[] = [];

  private constructor(
    private readonly folder: string,
    private readonly name: string,
    private readonly pixels: FileHandle,
    private readonly index: FileHandle,
  ) {}

  static async create(folder: string): Promise<ShardWriter> {
    // The time makes later shards sort later; the rest keeps processes apart.
    const time = Date.now().toString(36).padStart(9, '0');
    const name = `${time}-${randomUUID().slice(0, 8)}`;
    try {
      makeFolder(folder);
      const pixels = await open(join(folder, `${name}.pixels`), 'wx');
      return new ShardWriter(folder, name, pixels, await open(join(folder, `${name}.index`), 'wx'));
    } catch (error) {
      throw writeError(folder, error);
    }
  }

  /** Appends an image; it counts once `flush` has written its index line. */
  async append(
    key: string,
    source: { size: number; mtimeMs: number },
    image: DecodedImage,
  ): Promise<CachedImage> {
    const { width, height, pixels } = image;
    const checksum = pixelChecksum(width, height, pixels);
    await this.write(this.pixels, pixels);
    const offset = this.offset;
    this.pending.push(formatLine([key, source.size, source.mtimeMs, width, height, offset, checksum]));
    this.offset += pixels.length;
    return { file: join(this.folder, `${this.name}.pixels`), offset, width, height, checksum };
  }

  /** Makes all appended images durable: pixels first, then their lines in the index. */
  async flush(): Promise<void> {
    if (this.pending.length === 0) return;
    const lines = this.pending.join('');
    this.pending = [];
    await this.sync(this.pixels);
    await this.write(this.index, Buffer.from(lines));
    await this.sync(this.index);
  }

  /** Closes the files; a shard without images leaves none. */
  async close(): Promise<void> {
    await this.pixels.close();
    await this.index.close();
    if (this.offset > 0) return;
    for (const end of ['pixels', 'index'])
      await rm(join(this.folder, `${this.name}.${end}`), { force: true });
  }

  private async write(file: FileHandle, bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done)).bytesWritten;
    } catch (error) {
      throw writeError(this.folder, error);
    }
  }

  private async sync(file: FileHandle): Promise<void> {
    try {
      await file.datasync();
    } catch (error) {
      throw writeError(this.folder, error);
    }
  }
}

/** The message for a cache folder that cannot be written. */
function writeError(folder: string, error: unknown): Error {
  const { code, message } = error as NodeJS.ErrnoException;
  const isHome = folder.startsWith(join(xbmHome(), sep));
  const set = isHome ? 'set XBM_HOME (or data.cache of an experiment)' : 'set data.cache';
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') {
    return new UserError(
      `no space left for the pixel cache in ${folder}`,
      `Free space there or ${set} to a folder on another disk; what is already cached is kept.`,
      ExitCode.unavailable,
    );
  }
  return new UserError(
    error instanceof UserError
      ? `no pixel cache: ${message}`
      : `the pixel cache in ${folder} cannot be written: ${message}`,
    `${set.replace('set', 'Set')} to a folder that you may write.`,
    ExitCode.unavailable,
  );
}
