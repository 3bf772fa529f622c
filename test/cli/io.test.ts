import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';

const ioModule = new URL('../../src/cli/io.js', import.meta.url).href;

/** Runs a few lines that have `io` in a process of their own, which ends with the test whatever happens. */
function start(t: TestContext, code: string): ChildProcess {
  const script = `import { processIo } from ${JSON.stringify(ioModule)}; const io = processIo(); ${code}`;
  const argv = ['--input-type=module', '-e', script];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

async function exitCode(child: ChildProcess): Promise<number | null> {
  const [code] = await once(child, 'exit');
  return code;
}

/** Far above what any of these takes; a program that does not stop fails its test instead of hanging it. */
const settings = { timeout: 30_000 };

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`the first ${signal} aborts the signal and lets the program end in order`, settings, async (t) => {
    const child = start(
      t,
      `
      const alive = setInterval(() => {}, 1000);
      io.signal.addEventListener('abort', () => { clearInterval(alive); process.exitCode = 7; });
      io.stdout('ready');
    `,
    );
    await once(child.stdout!, 'data');
    child.kill(signal);
    assert.equal(await exitCode(child), 7);
  });
}

test('the second Ctrl-C ends a program that does not stop', settings, async (t) => {
  const child = start(t, `setInterval(() => {}, 1000); io.stdout('ready');`);
  await once(child.stdout!, 'data');
  child.kill('SIGINT');
  await once(child.stderr!, 'data');
  child.kill('SIGINT');
  assert.equal(await exitCode(child), 130);
});

test('a closed reader drops output and does not end the program', settings, async (t) => {
  const child = start(
    t,
    `
    io.stdout('ready');
    process.once('SIGUSR2', () => {
      for (let i = 0; i < 100; i++) io.stdout('x'.repeat(10000));
      setTimeout(() => { io.stdout('more'); process.exitCode = 9; }, 50);
      clearInterval(alive);
    });
    const alive = setInterval(() => {}, 1000);
    io.stderr('listening');
  `,
  );
  await Promise.all([once(child.stdout!, 'data'), once(child.stderr!, 'data')]);
  child.stdout!.destroy();
  await once(child.stdout!, 'close');
  child.kill('SIGUSR2');
  assert.equal(await exitCode(child), 9);
});
