import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatBytes, formatDuration, formatNumber } from '../../src/cli/format.js';

test('durations', () => {
  const expected = { 0: '0 s', 8.4: '8 s', 59.6: '1 min 00 s', 185: '3 min 05 s', 7620: '2 h 07 min' };
  for (const [seconds, text] of Object.entries(expected)) assert.equal(formatDuration(Number(seconds)), text);
  assert.equal(formatDuration(Number.POSITIVE_INFINITY), 'unknown');
});

test('numbers keep three digits', () => {
  const expected = { 0: '0', 0.01234: '0.0123', 7.706: '7.71', 99.96: '100', 1234.4: '1234' };
  for (const [value, text] of Object.entries(expected)) assert.equal(formatNumber(Number(value)), text);
});

test('bytes', () => {
  assert.equal(formatBytes(999), '999 B');
  assert.equal(formatBytes(42_496), '42.5 kB');
  assert.equal(formatBytes(999_999), '1 MB');
  assert.equal(formatBytes(3e15), '3000 TB');
});
