import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateMeter, withProgress } from '../../src/cli/progress.js';
import { fakeIo } from './fakeIo.js';

test('without a terminal: one line every ten seconds and one at the end', async () => {
  const io = fakeIo();
  let clock = 0;
  const options = { label: 'flowers', total: 100, unit: 'images', now: () => clock };
  const result = await withProgress(io, options, async (progress) => {
    for (let second = 1; second <= 25; second++) {
      clock = second * 1000;
      progress.update(second * 4, `loss ${second}`);
    }
    return 'result';
  });
  assert.equal(result, 'result');
  assert.deepEqual(io.err().split('\n'), [
    'flowers: 40/100 images, 4 images/s, 15 s left, loss 10',
    'flowers: 80/100 images, 4 images/s, 5 s left, loss 20',
    'flowers: 100/100 images, 4 images/s, done in 25 s, loss 25',
    '',
  ]);
  assert.equal(io.out(), '');
});

test('what was done before a resume is not part of the rate', async () => {
  const io = fakeIo();
  let clock = 0;
  const options = { label: 'a', total: 100, unit: 'steps', start: 80, now: () => clock };
  await withProgress(io, options, async (progress) => {
    clock = 10_000;
    progress.update(90);
  });
  assert.match(io.err(), /^a: 90\/100 steps, 1 steps\/s, 10 s left\n/);
});

test('on a terminal: a bar drawn through Io', async () => {
  const io = fakeIo({ isTerminal: true });
  let clock = 0;
  const options = { label: 'flowers', total: 10, unit: 'images', now: () => clock };
  await withProgress(io, options, async (progress) => {
    clock = 2000;
    progress.update(6, 'loss 1.5');
  });
  assert.match(io.err(), /flowers .* 6\/10 images, 3 images\/s, 1 s left, loss 1\.5/);
});

for (const isTerminal of [true, false]) {
  test(`work that is done already shows nothing (${isTerminal ? 'terminal' : 'lines'})`, async () => {
    const io = fakeIo({ isTerminal });
    await withProgress(io, { label: 'decoding', total: 5, unit: 'images' }, async () => {});
    assert.equal(io.err(), '');
  });

  test(`a total that is only known later is shown (${isTerminal ? 'terminal' : 'lines'})`, async () => {
    const io = fakeIo({ isTerminal });
    await withProgress(io, { label: 'decoding', total: 0, unit: 'images' }, async (progress) => {
      progress.setTotal(8);
      progress.update(2);
      progress.update(3);
    });
    assert.match(io.err(), /decoding.* 3\/8 images/);
  });
}

for (const isTerminal of [true, false]) {
  test(`a body that throws leaves no timer behind (${isTerminal ? 'terminal' : 'lines'})`, async () => {
    const io = fakeIo({ isTerminal });
    const run = withProgress(io, { label: 'a', total: 2, unit: 'steps' }, async (progress) => {
      progress.update(1);
      throw new Error('out of luck');
    });
    await assert.rejects(run, /out of luck/);
    assert.doesNotMatch(io.err(), /done in/);
    assert.deepEqual(
      process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout'),
      [],
    );
  });
}

test('the rate forgets what is older than half a minute', () => {
  const meter = new RateMeter(0, 0);
  assert.equal(meter.perSecond(), undefined);
  meter.add(0, 60_000);
  for (let second = 61; second <= 120; second++) meter.add((second - 60) * 5, second * 1000);
  assert.equal(meter.perSecond(), 5);
});
