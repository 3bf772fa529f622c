import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { UserError } from '../../src/errors.js';
import {
  type Dtype,
  decodeBFloat16,
  decodeFloat16,
  dtypeArrays,
  type Tensor,
} from '../../src/model/dtype.js';
import { replaceFile } from '../../src/model/replaceFile.js';
import {
  encodeSafetensors,
  readSafetensors,
  readSafetensorsMetadata,
  writeSafetensors,
} from '../../src/model/safetensors.js';
import { hash32, uniform } from '../../src/random.js';
import { withoutChecksum } from '../runs/mutations.js';

let folder: string;
let path: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'xbm-safetensors-'));
  path = join(folder, 'file.safetensors');
});
after(() => rm(folder, { recursive: true }));

const dtypes = Object.keys(dtypeArrays) as Dtype[];
const tensors = fc
  .record({ dtype: fc.constantFrom(...dtypes), shape: fc.array(fc.nat(4), { maxLength: 4 }), seed: fc.nat() })
  .map(({ dtype, shape, seed }): Tensor => {
    const data = new dtypeArrays[dtype](shape.reduce((a, b) => a * b, 1));
    const bytes = new Uint8Array(data.buffer);
    // No byte is 0xff, so that no float is a NaN, which would not compare equal.
    bytes.forEach((_, i) => {
      bytes[i] = hash32(seed, i) % 127;
    });
    return { dtype, shape, data };
  });
const names = fc.oneof(
  fc.string({ minLength: 1 }),
  fc.constantFrom('0', '__proto__', 'a"b\\', 'é:{}', 'constructor'),
);
const metadata = fc.dictionary(fc.string(), fc.string(), { noNullPrototype: true });
const content = fc.array(fc.tuple(names, tensors), { maxLength: 8 }).map((list) => new Map(list));

/** A file with a header as given and `dataBytes` zero bytes. */
async function writeRaw(header: string, dataBytes: number): Promise<void> {
  const json = Buffer.from(header);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(json.length));
  await writeFile(path, Buffer.concat([prefix, json, Buffer.alloc(dataBytes)]));
}

test('round trip of every dtype, plain and gzipped', async () => {
  await fc.assert(
    fc.asyncProperty(content, metadata, fc.boolean(), async (map, notes, gzipped) => {
      await writeSafetensors(path, map, notes);
      if (gzipped) await writeFile(path, gzipSync(await readFile(path)));
      const file = await readSafetensors(path);
      assert.deepEqual(new Map([...file.tensors].sort()), new Map([...map].sort()));
      assert.deepEqual({ ...file.metadata }, notes);
    }),
    { numRuns: 60 },
  );
});

test('what is no safetensors file is called by its name', async () => {
  const cases: [string, RegExp][] = [
    ['<!DOCTYPE html><html></html>', /is an HTML page/],
    ['\n<html lang="en">', /is an HTML page/],
    ['version https://git-lfs.github.com/spec/v1\noid sha256:ab\n', /is a Git LFS pointer/],
    ['PK\x03\x04 archive/data.pkl', /is a zip archive, as PyTorch saves/],
    ['\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.', /is a Python pickle, as PyTorch saves/],
    ['{"error": "not found"}', /is JSON/],
    // Its header is of 640 bytes: 80 02.
    ['\x80\x02\0\0\0\0\0\0{"weight":', /not a valid safetensors file/],
  ];
  for (const [text, message] of cases) {
    await writeFile(path, text, 'latin1');
    await assert.rejects(readSafetensors(path), (error: UserError) => {
      assert.match(error.message, message);
      return error instanceof UserError && error.hint !== undefined;
    });
  }
});

test('equal content gives equal bytes, and tensors are aligned', async () => {
  await fc.assert(
    fc.asyncProperty(content, metadata, async (map, notes) => {
      const reversed = Object.fromEntries(Object.entries(notes).reverse());
      const bytes = Buffer.concat(encodeSafetensors(map, notes));
      assert.deepEqual(Buffer.concat(encodeSafetensors(new Map([...map].reverse()), reversed)), bytes);
      const length = Number(bytes.readBigUInt64LE());
      assert.equal(length % 8, 0);
      const header = JSON.parse(bytes.toString('utf8', 8, 8 + length));
      for (const [name, { dtype }] of map)
        assert.equal(header[name].data_offsets[0] % dtypeArrays[dtype].BYTES_PER_ELEMENT, 0);
    }),
    { numRuns: 60 },
  );
});

test('half-width floats are exact', () => {
  const patterns = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const halves = decodeFloat16(patterns);
  const brains = decodeBFloat16(patterns);
  const view = new DataView(new ArrayBuffer(4));
  for (const bits of patterns) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = (bits & 1023) / 1024;
    let expected = sign * (exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15));
    if (exponent === 31) expected = fraction === 0 ? sign * Infinity : Number.NaN;
    assert.ok(Object.is(halves[bits], expected), `half ${bits}: ${halves[bits]}, not ${expected}`);
    view.setUint16(2, bits, true);
    assert.ok(Object.is(brains[bits], view.getFloat32(0, true)), `bfloat ${bits}`);
  }
});

test('floats() converts and names what it cannot convert', async () => {
  await writeSafetensors(path, {
    half: { dtype: 'F16', shape: [2], data: Uint16Array.of(0x3c00, 0xc000) },
    brain: { dtype: 'BF16', shape: [1], data: Uint16Array.of(0x3fc0) },
    double: { dtype: 'F64', shape: [], data: Float64Array.of(0.1) },
    whole: { dtype: 'I64', shape: [1], data: BigInt64Array.of(-5n) },
  });
  const file = await readSafetensors(path);
  assert.deepEqual(file.floats('half'), Float32Array.of(1, -2));
  assert.deepEqual(file.floats('brain'), Float32Array.of(1.5));
  assert.deepEqual(file.floats('double'), Float32Array.of(0.1));
  assert.throws(() => file.floats('whole'), /"whole" has dtype I64/);
  assert.throws(() => file.floats('other'), /"other" is missing/);
});

test('what is wrong is named', async () => {
  const entry = (dtype: string, shape: unknown, offsets: unknown) =>
    JSON.stringify({ dtype, shape, data_offsets: offsets });
  const cases: [header: string, dataBytes: number, expected: RegExp][] = [
    ['[]', 0, /not a JSON object/],
    ['{', 0, /not JSON/],
    [`{"a":${entry('F32', [2], [0, 4])}}`, 4, /"a" has 4 bytes, but F32 \[2\] takes 8/],
    [`{"a":${entry('F8_E4M3', [4], [0, 4])}}`, 4, /"a" has dtype F8_E4M3; xbm reads/],
    [`{"a":${entry('toString', [4], [0, 4])}}`, 4, /"a" has dtype toString/],
    [`{"a":${entry('U8', [-4], [0, 4])}}`, 4, /"a" has a shape/],
    [`{"a":${entry('U8', [1.5], [0, 4])}}`, 4, /"a" has a shape/],
    [`{"a":${entry('U8', [4], [4, 0])}}`, 4, /"a" has data_offsets/],
    [`{"a":${entry('U8', [4], [0, 4])},"b":${entry('U8', [4], [2, 6])}}`, 6, /"b" overlaps/],
    [`{"a":${entry('U8', [4], [0, 4])},"b":${entry('U8', [4], [5, 9])}}`, 9, /"b" leaves a gap/],
    [`{"a":${entry('U8', [4], [0, 4])},"\\u0061":${entry('U8', [4], [4, 8])}}`, 8, /"a" appears twice/],
    ['{"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}}', 1, /"shape" appears twice/],
    [`{"a":${entry('U8', [4], [0, 4])}}`, 3, /truncated: tensor "a"/],
    [`{"a":${entry('U8', [4], [0, 4])}}`, 5, /bytes after the last tensor/],
    [`{"a":${entry('U8', [2 ** 50], [0, 2 ** 50])}}`, 5, /truncated: tensor "a"/],
    [`{"a":${entry('U8', [2 ** 30, 2 ** 30], [0, 4])}}`, 4, /"a" has 4 bytes/],
    ['{"__metadata__":{"a":1}}', 0, /metadata "a" is not a string/],
    ['{"a":7}', 0, /"a" is not described/],
  ];
  for (const [header, dataBytes, expected] of cases) {
    await writeRaw(header, dataBytes);
    await assert.rejects(readSafetensors(path), (error: Error) => {
      assert.ok(error instanceof UserError, `${header}: ${error.stack}`);
      assert.match(error.message, expected);
      assert.ok(error.message.startsWith(path));
      return true;
    });
  }
  await writeFile(path, Buffer.alloc(8, 0xff));
  await assert.rejects(readSafetensors(path), /announce a header of 18446744073709552000 bytes/);
  await assert.rejects(readSafetensors(join(folder, 'none')), /no such file/);
  await assert.rejects(readSafetensors(folder), /is a folder/);
});

test('a gzip bomb allocates nothing', async () => {
  const size = 2 ** 45;
  await writeRaw(JSON.stringify({ a: { dtype: 'U8', shape: [size], data_offsets: [0, size] } }), 100_000);
  await writeFile(path, gzipSync(await readFile(path)));
  await assert.rejects(readSafetensors(path), /truncated: tensor "a"/);
  await writeFile(path, gzipSync(Buffer.alloc(1000)).subarray(0, 20));
  await assert.rejects(readSafetensors(path), UserError);
});

test('one flipped bit anywhere is noticed, but for the name of the checksum', async () => {
  const content = {
    'conv.mask': { dtype: 'U8' as const, shape: [3], data: Uint8Array.of(1, 2, 3) },
    'fc.bias': { dtype: 'F32' as const, shape: [2], data: Float32Array.of(0.5, -1) },
  };
  const sealed = Buffer.concat(encodeSafetensors(content, { imageSize: '96' }));
  const key = sealed.indexOf('xbmSha256');
  for (let at = 0; at < sealed.length; at++) {
    if (at >= key && at < key + 'xbmSha256'.length) continue;
    const damaged = Buffer.from(sealed);
    damaged[at] ^= 1 << (at % 8);
    await writeFile(path, damaged);
    await assert.rejects(readSafetensors(path), UserError, `byte ${at}`);
  }
  const flipped = Buffer.from(sealed);
  flipped[sealed.length - 1] ^= 1;
  for (const bytes of [flipped, gzipSync(flipped)]) {
    await writeFile(path, bytes);
    await assert.rejects(readSafetensors(path), {
      message: `${path}: damaged or edited: its content does not match its checksum (metadata "xbmSha256")`,
    });
  }
  await writeFile(path, withoutChecksum(flipped));
  assert.equal((await readSafetensors(path)).tensors.size, 2, 'a file without a checksum is read as it is');
});

test('a checksum kept by a program that wrote the header anew is no excuse', async () => {
  const content = { a: { dtype: 'U8' as const, shape: [1], data: Uint8Array.of(1) } };
  const [start] = encodeSafetensors(content);
  const { __metadata__: notes } = JSON.parse(Buffer.from(start.subarray(8)).toString());
  const a = { dtype: 'U8', shape: [1], data_offsets: [0, 1] };
  await writeRaw(JSON.stringify({ __metadata__: notes, a }, null, 1), 1);
  await assert.rejects(readSafetensors(path), /damaged or edited/);
});

test('the metadata alone can be read', async () => {
  await writeSafetensors(path, { a: { dtype: 'U8', shape: [1], data: Uint8Array.of(1) } }, { who: 'me' });
  assert.deepEqual({ ...(await readSafetensorsMetadata(path)) }, { who: 'me' });
});

test('a write that fails leaves the old file and no other', async () => {
  const inner = await mkdtemp(join(folder, 'inner-'));
  const target = join(inner, 'x.safetensors');
  const one = { a: { dtype: 'U8', shape: [1], data: Uint8Array.of(1) } } as const;
  await writeSafetensors(target, one);
  const old = await readFile(target);
  const bad = { a: { dtype: 'U8', shape: [2], data: Uint8Array.of(1) } } as const;
  await assert.rejects(writeSafetensors(target, bad));
  await assert.rejects(writeSafetensors(join(inner, 'no', 'x'), one), /its folder does not exist/);
  await assert.rejects(writeSafetensors(inner, one), UserError);
  assert.deepEqual(await readdir(inner), ['x.safetensors']);
  assert.deepEqual(await readFile(target), old);
});

test('a reader sees the old or the new file while it is replaced, never a mixture', async () => {
  const versions = [1, 5000].map((length) => ({
    values: { dtype: 'F32' as const, shape: [length], data: new Float32Array(length).fill(length) },
  }));
  let writing = true;
  const writer = (async () => {
    for (let i = 0; i < 200; i++) await writeSafetensors(path, versions[i % 2]);
    writing = false;
  })();
  await writeSafetensors(path, versions[0]);
  while (writing) {
    const values = (await readSafetensors(path)).floats('values');
    assert.ok(values.every((value) => value === values.length));
  }
  await writer;
});

test('a full disk is reported, the temporary file removed, the old one kept', async () => {
  const inner = await mkdtemp(join(folder, 'full-'));
  const target = join(inner, 'x.safetensors');
  await writeFile(target, 'old');
  function* chunks() {
    yield new Uint8Array(100);
    throw Object.assign(new Error('write'), { code: 'ENOSPC' });
  }
  await assert.rejects(replaceFile(target, chunks()), (error: Error) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, /disk is full/);
    assert.equal(error.hint, 'Free some space and run again; no file was changed.');
    return true;
  });
  assert.deepEqual(await readdir(inner), ['x.safetensors']);
  assert.equal(await readFile(target, 'utf8'), 'old');
});

test('random mutations end in a UserError or a sound file', async () => {
  const sealed = Buffer.concat(
    encodeSafetensors(
      {
        'layer1.conv.weight': { dtype: 'F16', shape: [4, 3, 3, 3], data: new Uint16Array(108) },
        'layer1.bn.bias': { dtype: 'F32', shape: [4], data: new Float32Array(4) },
        levels: { dtype: 'U8', shape: [54], data: new Uint8Array(54) },
      },
      { format: 'test' },
    ),
  );
  const sound = withoutChecksum(sealed);
  const files = [sound, gzipSync(sound)];
  const runs = Number(process.env.XBM_FUZZ_RUNS ?? 100);
  let refused = 0;
  for (let run = 0; run < runs; run++) {
    let bytes = Buffer.from(files[run % 2]);
    for (let edit = 0; edit <= hash32(run) % 4; edit++) {
      const at = hash32(run, edit, 1) % bytes.length;
      // Half of the edits hit the header, where the structure is.
      const place = uniform(run, edit, 2) < 0.5 ? at % 300 : at;
      if (uniform(run, edit, 3) < 0.1) bytes = bytes.subarray(0, Math.max(1, place));
      else if (uniform(run, edit, 4) < 0.3) bytes[place % bytes.length] = 0x30 + (hash32(run, edit, 5) % 10);
      else bytes[place % bytes.length] ^= 1 << (hash32(run, edit, 6) % 8);
    }
    await writeFile(path, bytes);
    try {
      const file = await readSafetensors(path);
      for (const tensor of file.tensors.values()) assert.ok(tensor.data.byteLength <= sound.length);
    } catch (error) {
      assert.ok(error instanceof UserError, `run ${run}: ${(error as Error).stack}`);
      refused++;
    }
  }
  assert.ok(refused > runs / 3, `${refused} of ${runs} refused`);
  assert.ok(process.memoryUsage.rss() < 2 ** 30, 'memory stays bounded');
});
