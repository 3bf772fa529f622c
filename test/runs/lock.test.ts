import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ExitCode, UserError } from '../../src/errors.js';
import { acquireLock } from '../../src/runs/lock.js';
import { temporaryFolder } from './fixtures.js';

const moduleUrl = new URL('../../src/runs/lock.js', import.meta.url).href;

test('a second writer is refused until the first lets go', (t) => {
  const path = join(temporaryFolder(t), 'run', 'lock');
  const lock = acquireLock(path);
  assert.throws(
    () => acquireLock(path),
    (error: unknown) =>
      error instanceof UserError &&
      error.exitCode === ExitCode.unavailable &&
      error.message.includes(`process ${process.pid} is writing this run`),
  );
  lock.release();
  acquireLock(path).release();
  assert.equal(existsSync(dirname(path)), false);
});

test('letting go removes the folders made for it, but none that was there or in which something is', (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'results', 'runs', 'run', 'lock');
  acquireLock(path).release();
  assert.deepEqual(readdirSync(folder), []);
  mkdirSync(join(folder, 'results'));
  acquireLock(path).release();
  assert.deepEqual(readdirSync(folder), ['results']);
  assert.deepEqual(readdirSync(join(folder, 'results')), []);
  mkdirSync(dirname(path), { recursive: true });
  acquireLock(path).release();
  assert.deepEqual(readdirSync(dirname(path)), []);
  const lock = acquireLock(path);
  writeFileSync(join(dirname(path), 'metrics.jsonl'), '');
  lock.release();
  assert.deepEqual(readdirSync(dirname(path)), ['metrics.jsonl']);
});

test('the lock of a killed process is taken over', async (t) => {
  const path = join(temporaryFolder(t), 'lock');
  const script = `const { acquireLock } = await import(${JSON.stringify(moduleUrl)}); acquireLock(${JSON.stringify(path)}); console.log('held'); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    cwd: dirname(fileURLToPath(moduleUrl)),
  });
  await once(child.stdout, 'data');
  assert.throws(() => acquireLock(path), new RegExp(`process ${child.pid} is writing this run`));
  child.kill('SIGKILL');
  await once(child, 'exit');
  const lock = acquireLock(path);
  assert.equal(JSON.parse(readFileSync(path, 'utf8')).pid, process.pid);
  lock.release();
});

test('a pid that another process has now does not hold a lock', {
  skip: !existsSync('/proc/self/stat'),
}, (t) => {
  const path = join(temporaryFolder(t), 'lock');
  const holder = { pid: process.pid, host: hostname(), started: '1', token: 'x' };
  writeFileSync(path, JSON.stringify(holder));
  acquireLock(path).release();
});

test('a lock of another machine is respected, a damaged one is not', (t) => {
  const path = join(temporaryFolder(t), 'lock');
  writeFileSync(path, JSON.stringify({ pid: 1, host: 'elsewhere', started: '1', token: 'x' }));
  assert.throws(() => acquireLock(path), /process 1 of elsewhere/);
  writeFileSync(join(dirname(path), 'config.yaml'), '');
  for (const text of ['', '{', '{"pid":-1}', 'null']) {
    writeFileSync(path, text);
    acquireLock(path).release();
  }
});

test('releasing does not remove the lock of another', (t) => {
  const path = join(temporaryFolder(t), 'lock');
  const lock = acquireLock(path);
  const other = JSON.stringify({ pid: 1, host: 'elsewhere', started: '1', token: 'x' });
  writeFileSync(path, other);
  lock.release();
  assert.equal(readFileSync(path, 'utf8'), other);
});
