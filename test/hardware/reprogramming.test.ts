import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadHardware } from '../../src/hardware/load.js';
import type { CrossbarNetwork } from '../../src/hardware/network.js';
import { headRewrite, rewriteBetween, type StoredWeights } from '../../src/hardware/reprogramming.js';
import { wearOf } from '../../src/hardware/wear.js';
import { digitDistances, digitsOf } from '../../src/hardware/writes.js';

const network: CrossbarNetwork = {
  network: 'tiny',
  input: '8×8',
  layers: [
    { name: 'conv', kind: 'conv', rows: 3, outputs: 2, groups: 1, positions: 4, first: true, head: false },
    { name: 'fc', kind: 'linear', rows: 2, outputs: 5, groups: 1, positions: 1, first: false, head: true },
  ],
  batchNormChannels: 2,
  headFeatures: 2,
};
const backbone = { conv: Int8Array.from([0, 1, -1, 7, -7, 3]) };
const BACKBONE: StoredWeights = { kind: 'backbone' };
const masked = (...bits: number[]): StoredWeights => ({
  kind: 'masked',
  masks: { conv: { rowsPerBit: 1, bits: Uint8Array.from(bits) } },
});
const levels = (...values: number[]): StoredWeights => ({
  kind: 'levels',
  levels: { conv: Int8Array.from(values) },
});
const hardware = (...overrides: string[]) => loadHardware('nn-imc', overrides);

test('level 0 is stored as 7: digits 3 and 1, least significant first', () => {
  assert.deepEqual(digitsOf(7, 2, 2), [3, 1]);
  const { offset, size, changedCells, digitSteps } = digitDistances(4, 2, 2);
  assert.equal(offset, 7);
  // 7 = (1, 3) to 8 = (2, 0): both cells, 1 + 3 steps
  assert.equal(changedCells[7 * size + 8], 2);
  assert.equal(digitSteps[7 * size + 8], 4);
  assert.equal(changedCells[7 * size + 6], 1);
});

test('Piggyback, all cells of every switched weight; between two tasks the exclusive or of their masks', () => {
  const to = rewriteBetween(network, hardware(), BACKBONE, masked(0, 0, 1, 1, 1, 0));
  assert.equal(to.cells, 3 * 2);
  assert.ok(Math.abs(to.joules - 6 * 80e-9) < 1e-20);
  const other = rewriteBetween(network, hardware(), masked(0, 0, 1, 1, 1, 0), masked(0, 1, 0, 1, 1, 0));
  assert.equal(other.cells, 2 * 2);
  const back = rewriteBetween(network, hardware(), masked(0, 0, 1, 1, 1, 0), BACKBONE);
  assert.equal(back.cells, 6);
});

test('Piggyback, only digits that change: weights at level 0 need no write', () => {
  const chip = hardware('policies.piggybackCells=digit-changes');
  // Level 0 → 0: nothing; 1 = (2, 0) → (1, 3): 2 cells; 3 = 10 = (2, 2) → (1, 3): 2 cells.
  assert.equal(rewriteBetween(network, chip, BACKBONE, masked(0, 0, 1, 1, 1, 0), backbone).cells, 4);
  assert.throws(
    () => rewriteBetween(network, chip, BACKBONE, masked(0, 0, 1, 1, 1, 0)),
    /needs the levels of the quantised backbone/,
  );
  assert.throws(
    () => rewriteBetween(network, chip, BACKBONE, { kind: 'masked-share', shareOff: 0.1 }),
    /digit-changes needs the masks of a trained run/,
  );
});

test('published shares: independent masks between two tasks', () => {
  const a: StoredWeights = { kind: 'masked-share', shareOff: 0.5 };
  const b: StoredWeights = { kind: 'masked-share', shareOff: 0.25 };
  assert.equal(rewriteBetween(network, hardware(), BACKBONE, a).cells, 6 * 2 * 0.5);
  assert.equal(rewriteBetween(network, hardware(), a, b).cells, 6 * 2 * (0.5 * 0.75 + 0.25 * 0.5));
});

test('fine-tuning by level distance, changed cells and digit steps', () => {
  const tuned = levels(0, 2, -1, 6, -7, 4);
  const count = (policy: string) =>
    rewriteBetween(network, hardware(`policies.finetuneCells=${policy}`), BACKBONE, tuned, backbone);
  // Three weights move by one level each.
  assert.equal(count('mean-level-change').cellWrites, 3 * 2);
  // 8→9: (2,0)→(2,1); 14→13: (3,2)→(3,1); 10→11: (2,2)→(2,3): one cell and one step each
  assert.equal(count('changed-cells').cells, 3);
  assert.equal(count('digit-distance').cellWrites, 3);
  const far = rewriteBetween(
    network,
    hardware('policies.finetuneCells=digit-distance'),
    levels(0, 0, 0, 0, 0, 0),
    levels(1, 0, 0, 0, 0, 0),
  );
  assert.deepEqual([far.cells, far.cellWrites], [2, 4]);
});

test('the mean level change of a trained run and of an assumption agree', () => {
  const run = rewriteBetween(network, hardware(), BACKBONE, levels(1, 2, 0, 6, -6, 4), backbone);
  const assumed = rewriteBetween(network, hardware(), BACKBONE, { kind: 'level-change', meanLevelChange: 1 });
  assert.equal(run.cellWrites, assumed.cellWrites);
  assert.throws(
    () =>
      rewriteBetween(network, hardware('policies.finetuneCells=changed-cells'), BACKBONE, {
        kind: 'level-change',
        meanLevelChange: 1,
      }),
    /needs the levels of a trained run/,
  );
});

test('levels beyond the weight width are an error that names the layer', () => {
  assert.throws(
    () => rewriteBetween(network, hardware(), BACKBONE, levels(9, 0, 0, 0, 0, 0), backbone),
    /level 9 of conv does not fit/,
  );
  assert.throws(
    () => rewriteBetween(network, hardware(), BACKBONE, { kind: 'levels', levels: {} }, backbone),
    /no levels of layer conv/,
  );
});

test('XBM writes nothing; a mapped head is written by every method', () => {
  assert.equal(rewriteBetween(network, hardware(), BACKBONE, BACKBONE).joules, 0);
  assert.equal(headRewrite(network, hardware()).cells, 0);
  assert.equal(headRewrite(network, hardware('policies.head=mapped')).cells, 2 * 5 * 2);
});

test('write time: rounds of parallel cells, each a train of pulses', () => {
  const rewrite = rewriteBetween(
    network,
    hardware('write.parallelCells=4'),
    BACKBONE,
    masked(0, 0, 1, 1, 1, 0),
  );
  // 6 cells, 4 at a time: 2 rounds of 20 pulses of 100 µs
  assert.ok(Math.abs(rewrite.seconds - 2 * 20 * 100e-6) < 1e-12);
});

test('a cell that is written several times takes as long and wears as much', () => {
  // 7 = (3, 1) to 8 = (0, 2): three steps and one; 7 = (3, 1) to 9 = (1, 2): two steps and one
  const go = (policy: string) => {
    const chip = hardware(`policies.finetuneCells=${policy}`, 'write.parallelCells=1');
    const from = levels(0, 0, 0, 0, 0, 0);
    const rewrite = rewriteBetween(network, chip, from, levels(1, 2, 0, 0, 0, 0));
    const rounds = Math.round(rewrite.seconds / (20 * 100e-6));
    return [rewrite.cells, rewrite.cellWrites, rounds, wearOf(rewrite, 14, chip)];
  };
  const wear = (worst: number, average: number) => ({
    switchesWorstCell: Math.floor(worst),
    switchesAverageCell: Math.floor(average),
  });
  assert.deepEqual(go('changed-cells'), [4, 4, 4, wear(1e6, (1e6 * 14) / 4)]);
  assert.deepEqual(go('digit-distance'), [4, 7, 7, wear(1e6 / 3, (1e6 * 14) / 7)]);
  assert.deepEqual(go('mean-level-change'), [4, 6, 6, wear(1e6 / 2, (1e6 * 14) / 6)]);
});

test('wear: switches until endurance, for the worst and the average cell', () => {
  const rewrite = rewriteBetween(network, hardware(), BACKBONE, masked(0, 0, 1, 1, 1, 0));
  assert.deepEqual(wearOf(rewrite, 12, hardware()), { switchesWorstCell: 1e6, switchesAverageCell: 2e6 });
  assert.equal(wearOf(rewrite, 12, hardware('policies.wear=pulse')).switchesWorstCell, 50_000);
  const nothing = rewriteBetween(network, hardware(), BACKBONE, BACKBONE);
  assert.equal(wearOf(nothing, 12, hardware()).switchesWorstCell, null);
});
