import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { hardwarePresets } from '../../src/config/packaged.js';
import { UserError } from '../../src/errors.js';
import { constantsOf } from '../../src/hardware/description.js';
import { loadHardware, withOverrides } from '../../src/hardware/load.js';
import { packageRoot } from '../../src/paths.js';
import { uniform } from '../../src/random.js';

const presetText = readFileSync(join(packageRoot(), 'configs', 'hardware', 'nn-imc.yaml'), 'utf8');

/** Loads a description from a text, in a folder of its own. */
function loadText(text: string, ...overrides: string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'xbm-hardware-'));
  try {
    writeFileSync(join(folder, 'chip.yaml'), text);
    return loadHardware('chip.yaml', overrides, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the five presets load, each constant with a unit and a cited source', () => {
  const presets = hardwarePresets();
  assert.deepEqual(presets, ['nn-imc', 'nn-imc-neurram', 'nn-imc-nvsim', 'nn-imc-pipelayer', 'xbm-slides']);
  for (const preset of presets) {
    const hardware = loadHardware(preset);
    assert.equal(hardware.name, preset);
    for (const { key, constant } of constantsOf(hardware)) {
      const cited = hardware.sources[constant.source] ?? constant.note;
      assert.ok(cited && constant.unit, `${preset}: ${key}`);
    }
  }
});

test('a large file given by mistake is refused before it is read', () => {
  assert.throws(
    () => loadText('#'.repeat(1_000_001)),
    (error: unknown) =>
      error instanceof UserError &&
      error.message === 'chip.yaml: 1000001 bytes; this is no hardware description',
  );
});

test('a constant without a source is refused with file, line and column', () => {
  const text = presetText.replace(
    'adc: { value: 8.3, unit: pJ, source: slides }',
    'adc: { value: 8.3, unit: pJ }',
  );
  assert.throws(
    () => loadText(text),
    /chip\.yaml:\d+:\d+: energy\.adc\.source: every constant needs a source/,
  );
});

test('a source that is not cited, and an assumption without a note, are refused', () => {
  const uncited = presetText.replace(
    'value: 8.3, unit: pJ, source: slides',
    'value: 8.3, unit: pJ, source: rumour',
  );
  assert.throws(() => loadText(uncited), /chip\.yaml:\d+:\d+: energy\.adc\.source: no source "rumour"/);
  const silent = presetText.replace('8.3, unit: pJ, source: slides', '8.3, unit: pJ, source: assumption');
  assert.throws(() => loadText(silent), /energy\.adc\.source: an assumption needs a note/);
});

test('wrong units, unknown keys and values out of range name the key', () => {
  assert.throws(
    () => loadText(presetText.replace('value: 8.3, unit: pJ', 'value: 8.3, unit: nJ')),
    /energy\.adc\.unit: expected pJ, found "nJ"$/,
  );
  assert.throws(
    () => loadText(presetText.replace('  gating:', '  gatting:')),
    /gatting: unknown key; did you mean "policies\.gating"/,
  );
  assert.throws(
    () => loadText(presetText.replace('gating: linear', 'gating: some')),
    /policies\.gating: expected one of linear, by-component, found "some"$/,
  );
  assert.throws(
    () => loadText(presetText.replace('value: 72, unit: rows', 'value: 0, unit: rows')),
    /array\.rows\.value: expected at least 1 rows, found 0$/,
  );
  for (const [set, message] of [
    ['write.energyPerCell=-5', 'write.energyPerCell: expected more than 0 pJ, found -5'],
    ['write.energyPerCell=1e-31', 'write.energyPerCell: expected at least 1e-30 pJ, found 1e-31'],
    [
      'write.energyPerCell=104nJ',
      'write.energyPerCell: expected a number of pJ, written without the unit, found "104nJ"',
    ],
    ['array.rows=1.5', 'array.rows: expected a whole number of rows, found 1.5'],
    ['array.rows=null', 'array.rows: expected { value, unit: rows, source }, found null'],
    ['energy.adderTree=[1, -2]', 'energy.adderTree.1: expected more than 0 pJ, found -2'],
    ['energy=3', 'energy: expected a mapping, found 3'],
  ] as const) {
    assert.throws(() => loadHardware('nn-imc', [set]), { message: `--set ${set}: ${message}` });
  }
  const vary = { message: '--vary array.rows=0: array.rows: expected at least 1 rows, found 0' };
  assert.throws(() => withOverrides(loadHardware('nn-imc'), { 'array.rows': 0 }, '--vary'), vary);
  assert.throws(() => loadHardware('nn-imc', ['adc=1']), /adc: unknown key; did you mean "energy\.adc"/);
  assert.throws(
    () => loadHardware('nn-imc', ['energy.foo=1']),
    /energy\.foo: unknown key; the keys here are arrayActivation, /,
  );
});

test('numbers so large or small that a total could not be told are refused', () => {
  for (const text of ['energy.adc=1e308', 'write.pulseWidth=1e-200', 'timing.crossbarRead=0'])
    assert.throws(
      () => loadHardware('nn-imc', [text]),
      /^UserError: --set [\w.]+=\S+: [\w.]+: expected (at (least|most)|more than) \S+ (pJ|ns), found /,
      text,
    );
});

test('a write cell needs an energy, or voltage and conductance', () => {
  const text = presetText.replace(/ {2}voltage: .*\n/, '');
  assert.throws(() => loadText(text), /write: give either energyPerCell or voltage and conductanceMax/);
});

test('an override keeps the unit and records what it replaced', () => {
  const hardware = loadHardware('nn-imc', [
    'array.rows=128',
    'policies.gating=by-component',
    'write.energyPerCell=5',
  ]);
  assert.deepEqual(hardware.array.rows, {
    value: 128,
    unit: 'rows',
    source: 'override',
    note: 'was slides: 72 rows',
  });
  assert.equal(hardware.write.energyPerCell?.unit, 'pJ');
  assert.equal(hardware.policies.gating, 'by-component');
  assert.throws(
    () => loadHardware('nn-imc', ['array.rowz=1']),
    /array\.rowz: unknown key; did you mean "array\.rows"/,
  );
  assert.equal(withOverrides(hardware, { 'array.rows': 64 }).array.rows.value, 64);
});

test('extends replaces a constant as a whole: a new value never keeps an old note', () => {
  const hardware = loadHardware('xbm-slides');
  assert.equal(hardware.energy.relu.source, 'slides');
  assert.equal(hardware.energy.arrayActivation, null);
  const child = loadText(
    'extends: nn-imc\nname: mine\nenergy:\n  arrayActivation: { value: 10, unit: pJ, source: slides }\n',
  );
  assert.equal(child.energy.arrayActivation?.note, undefined);
  assert.equal(child.array.rows.value, 72);
  assert.throws(
    () => loadText('extends: nn-imc\nenergy:\n  adc: { value: 1, unit: pJ }\n'),
    /chip\.yaml:3:\d+: energy\.adc\.source/,
  );
});

test('unknown presets, missing parents and circles are clear errors', () => {
  assert.throws(() => loadHardware('nn-imcc'), /no hardware description "nn-imcc"; did you mean "nn-imc"/);
  assert.throws(
    () => loadText('extends: nowhere\n'),
    /chip\.yaml:1:10: extends: no such hardware description/,
  );
  assert.throws(() => loadText('extends: chip.yaml\n'), /circle/);
});

test('100 random mutations of a description: a UserError or a valid description, nothing else', () => {
  for (let trial = 0; trial < 100; trial++) {
    const start = Math.floor(uniform(1, trial) * presetText.length);
    const length = Math.floor(uniform(2, trial) * 40);
    const insert = ['', 'x', '{', '- ', '\u0000', ': ', '"', '1e999'][Math.floor(uniform(3, trial) * 8)];
    const text = presetText.slice(0, start) + insert + presetText.slice(start + length);
    try {
      loadText(text);
    } catch (error) {
      assert.ok(error instanceof UserError, `trial ${trial}: ${error}`);
    }
  }
});
