import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StepQueue } from '../../src/engines/stepQueue.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('a third step waits until one of two is done, also a failed one', async () => {
  const queue = new StepQueue();
  const ends: { resolve(): void; reject(error: Error): void }[] = [];
  for (let step = 0; step < 2; step++) {
    await queue.room();
    queue.add(new Promise<void>((resolve, reject) => ends.push({ resolve, reject })));
  }
  let hasRoom = false;
  const room = queue.room().then(() => {
    hasRoom = true;
  });
  await turn();
  assert.equal(hasRoom, false);
  ends[0].reject(new Error('out of memory'));
  await room;
  let isIdle = false;
  const idle = queue.idle().then(() => {
    isIdle = true;
  });
  await turn();
  assert.equal(isIdle, false);
  ends[1].resolve();
  await idle;
});
