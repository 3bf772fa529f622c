import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { UserError } from '../../src/errors.js';
import { packLevels, unpackLevels } from '../../src/model/packing.js';
import { readSafetensors, writeSafetensors } from '../../src/model/safetensors.js';
import { backbonePath, isStoredBackbone, loadBackbone, saveBackbone } from '../../src/model/store.js';
import { randomBackbone } from './fixtures.js';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'xbm-store-'));
});
after(() => rm(folder, { recursive: true }));

const provenance = {
  sourceSha256: 'ab'.repeat(32),
  calibration: '8 images',
  calibrationImages: ['ab', 'cd'],
};

test('packing round trip', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -8, max: 7 }), { maxLength: 99 }), (values) => {
      const levels = Int8Array.from(values);
      const packed = packLevels(levels);
      assert.equal(packed.length, Math.ceil(levels.length / 2));
      assert.deepEqual(unpackLevels(packed, levels.length), levels);
    }),
  );
  assert.deepEqual(packLevels(Int8Array.of(1, -1, 7)), Uint8Array.of(0xf1, 0x07));
});

for (const [weightBits, activationBits] of [
  [4, 4],
  [2, 8],
  [8, 2],
  [5, 32],
  [32, 32],
]) {
  test(`store round trip at ${weightBits}/${activationBits} bits`, async () => {
    const backbone = randomBackbone(weightBits, activationBits);
    const path = join(folder, 'new', `b${weightBits}.safetensors`);
    await saveBackbone(path, backbone, provenance);
    assert.equal(await isStoredBackbone(path), true);
    const stored = await loadBackbone(path);
    assert.deepEqual(stored.backbone, backbone);
    assert.deepEqual(stored.provenance, provenance);
    const before = await readFile(path);
    await saveBackbone(path, stored.backbone, stored.provenance);
    assert.deepEqual(await readFile(path), before);
  });
}

test('4-bit levels take half a byte', async () => {
  const path = join(folder, 'size.safetensors');
  const backbone = randomBackbone(4, 4);
  await saveBackbone(path, backbone, provenance);
  const weights = Object.values(backbone.convs).reduce(
    (sum, conv) => sum + (conv.kind === 'levels' ? conv.levels.length : 0),
    0,
  );
  const { size } = await stat(path);
  assert.ok(size > weights / 2 && size < weights / 2 + 20_000, `${size} bytes for ${weights} weights`);
});

test('one changed level, scale, statistic or clip is noticed', async () => {
  const path = join(folder, 'sound.safetensors');
  await saveBackbone(path, randomBackbone(4, 4), provenance);
  const changed = join(folder, 'changed.safetensors');
  for (const name of ['layer1.0.conv1.levels', 'conv1.scales', 'bn1.running_var', 'relu.quant.clip']) {
    const { tensors, metadata } = await readSafetensors(path);
    (tensors.get(name)!.data as Float32Array)[0] += 1;
    await writeSafetensors(changed, tensors, metadata);
    await assert.rejects(loadBackbone(changed), (error: Error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, /does not match its SHA-256/);
      return true;
    });
  }
});

test('one changed bit of the head, which no SHA-256 of a backbone covers, is noticed', async () => {
  const path = join(folder, 'head.safetensors');
  const backbone = randomBackbone(4, 4);
  await saveBackbone(path, backbone, provenance);
  const bytes = await readFile(path);
  const { buffer, byteOffset, byteLength } = backbone.head.bias;
  const at = bytes.indexOf(Buffer.from(buffer, byteOffset, byteLength));
  assert.ok(at > 0);
  bytes[at] ^= 1;
  await writeFile(path, bytes);
  await assert.rejects(loadBackbone(path), /damaged or edited/);
});

test('missing tensors, other files and bad names are refused', async () => {
  const path = join(folder, 'sound2.safetensors');
  await saveBackbone(path, randomBackbone(4, 4), provenance);
  const { tensors, metadata } = await readSafetensors(path);
  const without = new Map([...tensors].filter(([name]) => name !== 'bn1.bias'));
  const broken = join(folder, 'broken.safetensors');
  await writeSafetensors(broken, without, metadata);
  await assert.rejects(loadBackbone(broken), /"bn1.bias" should be F32 of 16 elements; found nothing/);
  await writeSafetensors(broken, tensors, { ...metadata, weightBits: '9' });
  await assert.rejects(loadBackbone(broken), /not usable: weightBits/);
  await writeSafetensors(broken, tensors);
  await assert.rejects(loadBackbone(broken), /no stored backbone/);
  await writeFile(broken, 'hello');
  await assert.rejects(loadBackbone(broken), UserError);
  for (const name of ['', '../x', 'a/b', '.hidden']) assert.throws(() => backbonePath(name), UserError);
});
