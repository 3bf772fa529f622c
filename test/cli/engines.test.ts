import assert from 'node:assert/strict';
import { test } from 'node:test';
import { main } from '../../src/cli/main.js';
import { fakeIo } from './fakeIo.js';

interface Listed {
  readonly name: string;
  readonly available: boolean;
  readonly isForAuto: boolean;
  readonly detail: string;
}

test('engines lists every engine, and auto is the first that can run, never a software GPU', async () => {
  const io = fakeIo();
  assert.equal(await main(['engines', '--json'], io), 0);
  const { engines, auto, why } = JSON.parse(io.out()) as {
    engines: Listed[];
    auto: string | null;
    why: string;
  };
  assert.deepEqual(
    engines.map((engine) => engine.name),
    ['webgpu', 'native', 'onnx', 'tfjs'],
  );
  for (const { available, isForAuto, detail } of engines)
    assert.ok(!isForAuto || (available && !detail.includes('software GPU')));
  for (const { name, detail } of engines)
    assert.ok(detail.length > 0, `${name} says what it runs on, or why not`);
  assert.equal(auto, engines.find((engine) => engine.isForAuto)?.name ?? null);
  assert.ok(why.length > 0);
});

test('engines prints a table with what auto takes', async () => {
  const io = fakeIo();
  assert.equal(await main(['engines'], io), 0);
  assert.match(io.out(), /^onnx +(yes|no) /m);
  assert.match(io.out(), /^--engine auto: \S/m);
});
