import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { temporaryFolder } from '../runs/fixtures.js';

const ioModule = new URL('../../src/cli/io.js', import.meta.url).href;

const scriptOf = (code: string): string =>
  `import { processIo } from ${JSON.stringify(ioModule)}; const io = processIo(); ${code}`;

/** Runs a few lines that have `io` in a process of their own, which ends with the test whatever happens. */
function start(t: TestContext, code: string): ChildProcess {
  const argv = ['--input-type=module', '-e', scriptOf(code)];
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

/** util-linux's: it gives a program a terminal. */
const script = spawnSync('script', ['--version']).status === 0;

test('a terminal that goes away lets the program end in order', {
  ...settings,
  skip: script ? false : 'script(1) is not here',
}, async (t) => {
  const file = join(temporaryFolder(t), 'said');
  const program = scriptOf(`
    import { appendFileSync } from 'node:fs';
    const said = (text) => appendFileSync(${JSON.stringify(file)}, text);
    const alive = setInterval(() => {}, 1000);
    io.signal.addEventListener('abort', () => {
      io.stderr('saving');
      setTimeout(() => { io.stdout('saved'); said('saved'); clearInterval(alive); }, 100);
    });
    io.stdout('ready');
  `);
  const source = join(dirname(file), 'program.mjs');
  writeFileSync(source, program);
  const terminal = spawn('script', ['-qec', `${process.execPath} ${source}`, '/dev/null'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(terminal.stdout, 'data');
  terminal.kill('SIGKILL');
  while (!existsSync(file)) await setTimeout(50);
  assert.equal(readFileSync(file, 'utf8'), 'saved');
});

test(
  'a program without a terminal outlives the one it was started from, as nohup wants',
  settings,
  async (t) => {
    const child = start(
      t,
      `
    io.signal.addEventListener('abort', () => process.exit(1));
    setTimeout(() => { process.exitCode = 5; }, 300);
    io.stdout('ready');
  `,
    );
    await once(child.stdout!, 'data');
    child.kill('SIGHUP');
    assert.equal(await exitCode(child), 5);
  },
);

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
