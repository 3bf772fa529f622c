import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { main } from '../../src/cli/main.js';
import { ExitCode } from '../../src/errors.js';
import { loadBackbone } from '../../src/model/store.js';
import { fakeIo } from './fakeIo.js';
import { writeSmallTask } from './smallTask.js';

describe('xbm backbone train', () => {
  let folder: string;
  let config: string;
  const home = process.env.XBM_HOME;

  async function xbm(...args: string[]) {
    const io = fakeIo({ cwd: folder });
    const exitCode = await main(args, io);
    return { exitCode, err: io.err(), json: () => JSON.parse(io.out().trim().split('\n').at(-1) ?? '') };
  }

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'xbm-backbone-'));
    process.env.XBM_HOME = join(folder, 'home');
    config = await writeSmallTask(folder);
  });

  after(() => {
    if (home === undefined) delete process.env.XBM_HOME;
    else process.env.XBM_HOME = home;
    rmSync(folder, { recursive: true, force: true });
  });

  const pretrain = (...args: string[]) =>
    xbm('backbone', 'train', config, '--method', 'finetune', '--calibration-images', '20', '--json', ...args);

  test('trains float weights, quantises them, and what it stores can be adapted', async () => {
    const trained = await pretrain('--name', 'four', '--resume');
    assert.equal(trained.exitCode, ExitCode.ok, trained.err);
    assert.match(trained.err, /no checkpoint; training from the start/);
    const { file, sha256, floatAccuracy, accuracy, run } = trained.json();
    assert.equal(file, join(folder, 'home', 'backbones', 'four.safetensors'));
    assert.ok(floatAccuracy > 60, `float ${floatAccuracy}`);
    assert.ok(accuracy > 50, `4 bits ${accuracy}`);
    const { backbone, provenance } = await loadBackbone(file);
    assert.equal(backbone.sha256, sha256);
    assert.deepEqual([backbone.weightBits, backbone.activationBits], [4, 4]);
    assert.deepEqual(backbone.classes, ['blue', 'green', 'red']);
    assert.match(provenance.calibration, /20 training images of small at 8 pixels/);
    assert.equal(JSON.parse(readFileSync(join(run, 'summary.json'), 'utf8')).weightBits, 32);

    const adapted = await xbm(
      'train',
      config,
      '--method',
      'classifier',
      '--set',
      'backbone.weights=four',
      '--json',
    );
    assert.equal(adapted.exitCode, ExitCode.ok, adapted.err);
    assert.equal(adapted.json().backboneSha256, sha256);
    assert.ok(adapted.json().accuracy > 60);
  });

  test('other bits reuse the training; a backbone is not overwritten unasked', async () => {
    const again = await pretrain('--name', 'four');
    assert.equal(again.exitCode, ExitCode.usage);
    assert.match(again.err, /four.safetensors: exists already/);
    const float = await pretrain(
      '--name',
      'float',
      '--set',
      'backbone.weightBits=32',
      '--set',
      'backbone.activationBits=32',
    );
    assert.equal(float.exitCode, ExitCode.ok, float.err);
    assert.match(float.err, /trained already/);
    assert.equal(float.json().accuracy, float.json().floatAccuracy);
    const { starts } = JSON.parse(readFileSync(join(float.json().run, 'environment.json'), 'utf8'));
    assert.equal(starts.length, 1);
  });

  test('train quantises float weights by itself, once, and eval finds the result', async () => {
    const weights = ['--set', 'backbone.weights=float', '--set', 'training.epochs=1', '--json'];
    const first = await xbm('train', config, ...weights);
    assert.equal(first.exitCode, ExitCode.ok, first.err);
    assert.match(first.err, /quantising the backbone/);
    const names = readdirSync(join(folder, 'home', 'backbones'));
    assert.equal(names.filter((name) => /^float-[0-9a-f]{12}\.safetensors$/.test(name)).length, 1);
    const second = await xbm('train', config, ...weights, '--force');
    assert.doesNotMatch(second.err, /quantising/);
    assert.equal(second.json().backboneSha256, first.json().backboneSha256);
    const evaluated = await xbm('eval', '--run', first.json().folder, '--json');
    assert.equal(evaluated.exitCode, ExitCode.ok, evaluated.err);
    assert.equal(evaluated.json().accuracy, first.json().accuracy);
  });

  test('what cannot be pretrained is refused', async () => {
    const masks = await xbm('backbone', 'train', config, '--method', 'xbm');
    assert.equal(masks.exitCode, ExitCode.usage);
    assert.match(masks.err, /method.name must be finetune/);
    const both = await pretrain('--name', 'x', '--resume', '--force');
    assert.equal(both.exitCode, ExitCode.usage);
    assert.match(both.err, /--resume continues a run, --force starts it anew/);
    const count = await pretrain('--name', 'x', '--calibration-images', 'many');
    assert.equal(count.exitCode, ExitCode.usage);
    assert.match(count.err, /--calibration-images: expected a positive whole number, found "many"/);
  });
});
