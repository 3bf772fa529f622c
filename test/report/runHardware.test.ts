import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadHardware } from '../../src/hardware/load.js';
import { ratesOf } from '../../src/hardware/rates.js';
import { hardwareForRuns } from '../../src/report/runHardware.js';

const widths = (weightBits: number, activationBits: number, ...overrides: string[]) => {
  const hardware = hardwareForRuns(loadHardware('nn-imc', overrides), { weightBits, activationBits });
  const { precision, energy } = hardware;
  const bufferBits = ratesOf(hardware).buffer / energy.bufferPerBit.value;
  return [precision.weightBits.value, precision.activationBits.value, Math.round(bufferBits)];
};

test('a chip takes the widths of the runs; the buffer follows the activations unless it was set', () => {
  assert.deepEqual(widths(4, 4), [4, 4, 4]);
  assert.deepEqual(widths(2, 8), [2, 8, 8]);
  assert.deepEqual(widths(4, 8, 'precision.bufferBits=16'), [4, 8, 16]);
});

test('an override that contradicts the runs is refused, one that agrees is not', () => {
  assert.deepEqual(widths(8, 4, 'precision.weightBits=8'), [8, 4, 4]);
  assert.throws(
    () => widths(4, 4, 'precision.weightBits=8'),
    /precision\.weightBits=8 contradicts the runs.*4 bits/,
  );
  assert.throws(() => widths(4, 4, 'precision.activationBits=8'), /precision\.activationBits=8 contradicts/);
  assert.throws(() => widths(32, 32), /which no crossbar holds/);
});
