// TensorFlow's Python wheel holds the same C library that libtensorflow is, and its headers.
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { PassThrough, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { SetupError } from './failure.mjs';
import { extractZipEntry, readZipDirectory } from './zip.mjs';

/** One release for all, so that everybody computes with the same library. Of any Python: only its C library is used. */
export const release = { version: '2.21.0', python: '3.11', abi: 'cp311' };

const wheels = {
  'cpu x64': {
    name: 'tensorflow-cpu',
    platform: 'manylinux_2_27_x86_64',
    megabytes: 274,
    sha256: '2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c',
  },
  'gpu x64': {
    name: 'tensorflow',
    platform: 'manylinux_2_27_x86_64',
    megabytes: 572,
    sha256: '9056fbc9ba04235810b71ae6cbd958a196e8804fb53bbcffbf3e23b56155f124',
  },
  'cpu arm64': {
    name: 'tensorflow',
    platform: 'manylinux_2_27_aarch64',
    megabytes: 282,
    sha256: '4b24aca16d527a3cf1c37f720c04c484c3d20f4d0fdfa98632ac8b9f3be6eb5c',
  },
};

/**
 * The wheel to ask pip for, or null where there is none.
 * @param {{ platform: string, arch: string, gpu: boolean }} machine
 */
export function wheelFor({ platform, arch, gpu }) {
  return platform === 'linux' ? (wheels[`${gpu ? 'gpu' : 'cpu'} ${arch}`] ?? null) : null;
}

/** What `python -m pip` is called with; which index it asks is the machine's own configuration. */
export function pipArguments(wheel, folder) {
  const { version, python, abi } = release;
  return [
    ...['-m', 'pip', 'download', `${wheel.name}==${version}`, '--dest', folder],
    ...['--no-deps', '--only-binary=:all:', '--disable-pip-version-check', '--progress-bar', 'off'],
    ...['--implementation', 'cp', '--python-version', python, '--abi', abi, '--platform', wheel.platform],
  ];
}

const libraryEntry = /^tensorflow\/lib(tensorflow_cc|tensorflow_framework)\.so\.2$/;
const headerEntry = /^tensorflow\/include\/(tensorflow\/(c|core\/platform)|tsl|xla\/tsl)\/.*\.h$/;

/**
 * Unpacks the C library and its headers, checking each file's size and SHA-256 against the wheel's own RECORD.
 * @param {string} path the .whl file
 * @param {string} folder gets include/ and lib/
 * @returns {Promise<{ version: string }>} TensorFlow's version
 */
export async function unpackWheel(path, folder) {
  const entries = await readZipDirectory(path);
  const recordEntry = entries.find(({ name }) => /^[^/]+\.dist-info\/RECORD$/.test(name));
  const libraries = entries.filter(({ name }) => libraryEntry.test(name));
  if (!recordEntry || libraries.length < 2) {
    throw new SetupError(
      `${path} holds no TensorFlow library for Linux (libtensorflow_cc.so.2 and libtensorflow_framework.so.2)`,
      `Take a wheel of tensorflow-cpu or tensorflow for Linux, best ${release.version}.`,
    );
  }
  const record = parseRecord(await readText(path, recordEntry));
  for (const entry of [...libraries, ...entries.filter(({ name }) => headerEntry.test(name))]) {
    const expected = record.get(entry.name);
    if (!expected)
      throw new SetupError(`${path}: its RECORD does not list ${entry.name}`, 'Download it again.');
    const inside = entry.name.slice('tensorflow/'.length);
    const target = join(folder, inside.startsWith('include/') ? inside : join('lib', inside));
    await mkdir(dirname(target), { recursive: true });
    const meter = new HashingStream();
    await extractZipEntry(path, entry, meter, createWriteStream(target, { flush: true }));
    const found = { bytes: meter.bytes, sha256: meter.hash.digest('base64url') };
    if (found.bytes !== expected.bytes || found.sha256 !== expected.sha256) {
      throw new SetupError(
        `${path}: ${basename(entry.name)} does not match its checksum`,
        'Download it again.',
      );
    }
  }
  return { version: recordEntry.name.match(/-([^-/]+)\.dist-info/)[1] };
}

/**
 * A wheel's list of files: `name,sha256=<base64url>,<bytes>`.
 * @param {string} text
 * @returns {Map<string, { sha256: string, bytes: number }>}
 */
export function parseRecord(text) {
  const lines = text.split('\n').map((line) => line.match(/^"?(.+?)"?,sha256=([\w-]+),(\d+)\r?$/));
  return new Map(
    lines.filter(Boolean).map(([, name, sha256, bytes]) => [name, { sha256, bytes: Number(bytes) }]),
  );
}

/** @returns {Promise<string>} the file's SHA-256, hexadecimal */
export async function sha256OfFile(path) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex');
}

class HashingStream extends Transform {
  hash = createHash('sha256');
  bytes = 0;

  _transform(chunk, _encoding, done) {
    this.hash.update(chunk);
    this.bytes += chunk.length;
    done(null, chunk);
  }
}

async function readText(path, entry) {
  const stream = new PassThrough();
  const chunks = [];
  stream.on('data', (chunk) => chunks.push(chunk));
  await extractZipEntry(path, entry, stream);
  return Buffer.concat(chunks).toString('utf8');
}
