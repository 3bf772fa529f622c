import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trainingAssumptions } from '../../src/report/trainingAssumptions.js';
import { tinyMethod } from '../engines/fixtures.js';

test('open choices are named with their keys, methods of one choice together', () => {
  const methods = [tinyMethod('xbm'), tinyMethod('piggyback'), tinyMethod('xbm'), tinyMethod('classifier')];
  const text = trainingAssumptions(methods).join('\n');
  assert.match(text, /xbm, piggyback method\.trainBatchNorm=true; classifier method\.trainBatchNorm=false/);
  assert.match(
    text,
    /xbm method\.binarizer=sigmoid, method\.threshold=0\.005, method\.slope=12, method\.noise=false; piggyback method\.binarizer=identity, method\.threshold=0\.005, method\.noise=false/,
  );
  assert.match(text, /Every convolution is masked/);
});

test('methods without masks say nothing of masks', () => {
  const text = trainingAssumptions([tinyMethod('finetune'), tinyMethod('classifier')]).join('\n');
  assert.doesNotMatch(text, /mask(ed|s) of|Binarisation|Every convolution/);
  assert.match(text, /head is new per task/);
});
