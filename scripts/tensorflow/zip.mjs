// Reads a zip file entry by entry, so that a wheel of a gigabyte never has to fit in memory.
import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';
import { SetupError } from './failure.mjs';

const END_OF_DIRECTORY = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;
const LOCAL_ENTRY = 0x04034b50;
const STORED = 0;
const DEFLATED = 8;

/**
 * @typedef {{ name: string, method: number, compressedBytes: number, bytes: number, offset: number }} ZipEntry
 * @param {string} path
 * @returns {Promise<ZipEntry[]>}
 */
export async function readZipDirectory(path) {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const tail = await readAt(file, Math.max(0, size - 65_557), Math.min(size, 65_557), path);
    let end = tail.length - 22;
    while (end >= 0 && tail.readUInt32LE(end) !== END_OF_DIRECTORY) end--;
    if (end < 0) throw damaged(path, 'it has no zip directory');
    const count = tail.readUInt16LE(end + 10);
    const directory = await readAt(file, tail.readUInt32LE(end + 16), tail.readUInt32LE(end + 12), path);
    const entries = [];
    for (let at = 0; entries.length < count; ) {
      if (at + 46 > directory.length || directory.readUInt32LE(at) !== DIRECTORY_ENTRY)
        throw damaged(path, 'its zip directory is broken');
      const nameLength = directory.readUInt16LE(at + 28);
      entries.push({
        name: directory.toString('utf8', at + 46, at + 46 + nameLength),
        method: directory.readUInt16LE(at + 10),
        compressedBytes: directory.readUInt32LE(at + 20),
        bytes: directory.readUInt32LE(at + 24),
        offset: directory.readUInt32LE(at + 42),
      });
      at += 46 + nameLength + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
    }
    return entries;
  } finally {
    await file.close();
  }
}

/**
 * Unpacks one entry through streams.
 * @param {string} path
 * @param {ZipEntry} entry
 * @param {NodeJS.WritableStream[]} targets the last one may be a writable only
 */
export async function extractZipEntry(path, entry, ...targets) {
  const file = await open(path);
  try {
    const header = await readAt(file, entry.offset, 30, path);
    if (header.readUInt32LE(0) !== LOCAL_ENTRY)
      throw damaged(path, `${entry.name} is not where it should be`);
    const start = entry.offset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
    const packed =
      entry.compressedBytes === 0
        ? Readable.from([])
        : file.createReadStream({
            start,
            end: start + entry.compressedBytes - 1,
            autoClose: false,
            highWaterMark: 1 << 20,
          });
    if (entry.method === STORED || entry.compressedBytes === 0) await pipeline(packed, ...targets);
    else if (entry.method === DEFLATED) await pipeline(packed, createInflateRaw(), ...targets);
    else throw damaged(path, `${entry.name} is packed in an unknown way (${entry.method})`);
  } catch (error) {
    if (error instanceof SetupError || !String(error.code).startsWith('Z_')) throw error;
    throw damaged(path, `${entry.name}: ${error.message}`);
  } finally {
    await file.close();
  }
}

async function readAt(file, position, length, path) {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  if (bytesRead < length) throw damaged(path, 'it ends too early');
  return buffer;
}

function damaged(path, why) {
  return new SetupError(`${path} is damaged: ${why}`, 'Download it again.');
}
