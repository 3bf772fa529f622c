import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { UserError } from '../../src/errors.js';
import { openFloatBackbone, resolveBackbone } from '../../src/model/resolve.js';
import { saveBackbone } from '../../src/model/store.js';
import { temporaryFolder } from '../runs/fixtures.js';
import { randomBackbone } from './fixtures.js';

test('a backbone of another network is refused, naming what said the network', async (t) => {
  const path = join(temporaryFolder(t), 'b.safetensors');
  const backbone = randomBackbone(32, 32);
  await saveBackbone(path, backbone, provenance);
  const says = (saidBy: string) => (error: UserError) => {
    assert.ok(error.message.endsWith(`but ${saidBy} is resnet50`), error.message);
    assert.equal(error.hint, `Give weights of resnet50, or change ${saidBy}.`);
    return true;
  };
  const widths = { weightBits: 4, activationBits: 4, weightScale: 'channel' } as const;
  await assert.rejects(
    resolveBackbone({ network: 'resnet50', weights: path, ...widths }, neverCalibrated),
    says('backbone.network'),
  );
  await assert.rejects(openFloatBackbone(path, 'resnet50'), says('--network'));
  await assert.rejects(
    openFloatBackbone(path, 'resnet50', 'the checked backbone'),
    says('the checked backbone'),
  );
});

const provenance = { sourceSha256: '0'.repeat(64), calibration: 'none', calibrationImages: [] };
const neverCalibrated = {
  key: () => assert.fail('not needed'),
  open: () => assert.fail('not needed'),
};
