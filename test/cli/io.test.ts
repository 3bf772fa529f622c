import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';

const ioModule = new URL('../../src/cli/io.js', import.meta.url).href;

/** Runs a few lines that have `io` in a process of their own. */
function start(code: string): ChildProcess {
  const script = `import { processIo } from ${JSON.stringify(ioModule)}; const io = processIo(); ${code}`;
  return spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function exitCode(child: ChildProcess): Promise<number | null> {
  const [code] = await once(child, 'exit');
  return code;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`the first ${signal} aborts the signal and lets the program end in order`, async () => {
    const child = start(`
      const alive = setInterval(() => {}, 1000);
      io.signal.addEventListener('abort', () => { clearInterval(alive); process.exitCode = 7; });
      io.stdout('ready');
    `);
    await once(child.stdout!, 'data');
    child.kill(signal);
    assert.equal(await exitCode(child), 7);
  });
}

test('the second Ctrl-C ends a program that does not stop', async () => {
  const child = start(`setInterval(() => {}, 1000); io.stdout('ready');`);
  await once(child.stdout!, 'data');
  child.kill('SIGINT');
  await once(child.stderr!, 'data');
  child.kill('SIGINT');
  assert.equal(await exitCode(child), 130);
});

test('a closed reader drops output and does not end the program', async () => {
  const child = start(`
    io.stdout('ready');
    process.once('SIGUSR2', () => {
      for (let i = 0; i < 100; i++) io.stdout('x'.repeat(10000));
      setTimeout(() => { io.stdout('more'); process.exitCode = 9; }, 50);
      clearInterval(alive);
    });
    const alive = setInterval(() => {}, 1000);
    io.stderr('listening');
  `);
  await Promise.all([once(child.stdout!, 'data'), once(child.stderr!, 'data')]);
  child.stdout!.destroy();
  await once(child.stdout!, 'close');
  child.kill('SIGUSR2');
  assert.equal(await exitCode(child), 9);
});
