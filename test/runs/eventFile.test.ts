import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32c } from '../../src/runs/crc32c.js';
import { EventFile, frame } from '../../src/runs/eventFile.js';
import { fields, readEvents } from './eventReader.js';
import { runWithFileLimit } from './fileLimit.js';
import { temporaryFolder } from './fixtures.js';

test('CRC-32C matches the vectors of RFC 3720, B.4', () => {
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  assert.equal(crc32c(new TextEncoder().encode('123456789')), 0xe3069283);
});

test('events hold what was written, in TFRecord frames with right checksums', (t) => {
  const folder = temporaryFolder(t);
  const file = new EventFile(folder, 0, () => 1_700_000_000.25);
  file.scalars(1, { 'train/loss': 0.5, 'train/accuracy': 12.5 });
  file.scalars(300_000_000_000, { [`long/${'x'.repeat(200)}`]: -1.25 });
  file.close();
  const [name] = readdirSync(folder);
  assert.equal(name, 'events.out.tfevents.1700000000.xbm');
  const [version, first, second, ...rest] = readEvents(join(folder, name));
  assert.equal(rest.length, 0);
  assert.equal(String(version.get(3)), 'brain.Event:2');
  assert.deepEqual(first.get(1), [1_700_000_000.25]);
  assert.deepEqual(first.get(2), [1]);
  const values = fields(first.get(5)![0] as Buffer)
    .get(1)!
    .map((value) => fields(value as Buffer));
  assert.deepEqual(
    values.map((value) => [String(value.get(1)), value.get(2)![0]]),
    [
      ['train/loss', 0.5],
      ['train/accuracy', 12.5],
    ],
  );
  assert.deepEqual(second.get(2), [300_000_000_000]);
});

test('a resumed run starts a later file that says from which step on it replaces the older one', (t) => {
  const folder = temporaryFolder(t);
  const clocks = [1_700_000_000, 1_600_000_000, 1_600_000_000];
  for (const [i, seconds] of clocks.entries()) new EventFile(folder, 10 * i, () => seconds).close();
  const names = readdirSync(folder).sort();
  assert.deepEqual(
    names.map((name) => name.split('.')[3]),
    ['1700000000', '1700000001', '1700000002'],
  );
  const [, start] = readEvents(join(folder, names[1]));
  assert.deepEqual(start.get(2), [10]);
  assert.deepEqual(fields(start.get(7)![0] as Buffer).get(1), [1]);
  assert.equal(readEvents(join(folder, names[0])).length, 1);
});

test('an event that fits on the disk only in part is an error', async (t) => {
  const folder = temporaryFolder(t);
  const stderr = await runWithFileLimit(
    'src/runs/eventFile.js',
    `new EventFile(${JSON.stringify(folder)}, 0).scalars(1, { ['x'.repeat(100_000)]: 1 })`,
  );
  assert.match(stderr, /EFBIG/);
});

test('a frame of no bytes is 16 bytes long', () => {
  assert.equal(frame(new Uint8Array(0)).length, 16);
});

const python = process.env.XBM_TENSORBOARD_PYTHON;

test('TensorBoard reads the events', {
  skip: !python && 'set XBM_TENSORBOARD_PYTHON to a Python that has it',
}, (t) => {
  assert.ok(existsSync(python!));
  const folder = temporaryFolder(t);
  const before = new EventFile(folder, 0);
  for (let step = 1; step <= 5; step++) before.scalars(step, { 'train/loss': step });
  before.close();
  const after = new EventFile(folder, 3);
  for (let step = 3; step <= 4; step++) after.scalars(step, { 'train/loss': 10 * step });
  after.close();
  const script = `
import sys, json
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1]); events.Reload()
print(json.dumps([[e.step, e.value] for e in events.Scalars('train/loss')]))`;
  const output = execFileSync(python!, ['-c', script, folder], { encoding: 'utf8' });
  assert.deepEqual(JSON.parse(output), [
    [1, 1],
    [2, 2],
    [3, 30],
    [4, 40],
  ]);
});
