import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { chosenBackend, describeBackend, findBackend } from '../../src/engines/tfjs/backend.js';
import { restoreLegacyUtil } from '../../src/engines/tfjs/legacyUtil.js';
import { ExitCode, UserError } from '../../src/errors.js';

test('XBM_TFJS_BACKEND chooses; anything else is refused by name', () => {
  assert.equal(chosenBackend({}), null);
  assert.equal(chosenBackend({ XBM_TFJS_BACKEND: '' }), null);
  assert.equal(chosenBackend({ XBM_TFJS_BACKEND: 'cpu' }), 'cpu');
  assert.equal(chosenBackend({ XBM_TFJS_BACKEND: 'tensorflow' }), 'tensorflow');
  assert.throws(() => chosenBackend({ XBM_TFJS_BACKEND: 'gpu' }), /"gpu", expected cpu .* or tensorflow/);
});

test('pure JavaScript asked for is taken; native asked for is native or an error, never a substitute', () => {
  const pure = findBackend('cpu');
  assert.equal(pure.package, '@tensorflow/tfjs');
  assert.match(describeBackend(pure), /pure JavaScript, 1 thread \(XBM_TFJS_BACKEND=cpu\)/);
  try {
    assert.match(findBackend('tensorflow').package, /tfjs-node/);
  } catch (error) {
    assert.ok(error instanceof UserError);
    assert.equal(error.exitCode, ExitCode.unavailable);
    assert.match(`${error.message} ${error.hint}`, /not installed.*npm run setup:tensorflow/);
  }
});

test('the device tells a GPU from a GPU package that found none', () => {
  const gpu = { package: '@tensorflow/tfjs-node-gpu', version: '4.22.0' } as const;
  const device = (usesGpu: boolean) => describeBackend({ ...gpu, native: { tensorflow: '2.9.1', usesGpu } });
  assert.equal(device(true), 'TensorFlow.js 4.22.0, native TensorFlow 2.9.1, CUDA');
  assert.match(device(false), /native TensorFlow 2\.9\.1, CPU \(it found no CUDA device\)/);
  assert.match(describeBackend(gpu), /native TensorFlow, CUDA if it finds a device$/);
});

test('what tfjs-node takes from node:util is there in every Node', () => {
  restoreLegacyUtil();
  const util = createRequire(import.meta.url)('node:util');
  assert.deepEqual([null, undefined, 0, '', []].map(util.isNullOrUndefined), [
    true,
    true,
    false,
    false,
    false,
  ]);
  assert.deepEqual([[], {}, 'a', undefined].map(util.isArray), [true, false, false, false]);
});
