import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
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

/** Starts a worker thread that no `process.exit` ends: it waits for someone to write to a pipe. */
const blockedWorker = (pipe: string): string => `
  import { Worker } from 'node:worker_threads';
  const work = "require('worker_threads').parentPort.postMessage(0); require('fs').readFileSync('${pipe}')";
  const worker = new Worker(work, { eval: true, execArgv: [] });
  await new Promise((resolve) => worker.once('message', resolve));
  await new Promise((resolve) => setTimeout(resolve, 100));
`;

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(
    `the second ${signal} ends a program whose worker thread waits in a system call`,
    settings,
    async (t) => {
      const pipe = join(temporaryFolder(t), 'pipe');
      execFileSync('mkfifo', [pipe]);
      const child = start(t, `${blockedWorker(pipe)} io.stdout('ready');`);
      await once(child.stdout!, 'data');
      child.kill(signal);
      await once(child.stderr!, 'data');
      child.kill(signal);
      // A shell makes the exit code 130 of it.
      assert.deepEqual(await once(child, 'exit'), [null, 'SIGINT']);
    },
  );
}

const fullDisk = existsSync('/dev/full') ? false : 'there is no /dev/full here';

/** Runs xbm with one of its outputs on a disk that is full. */
function runOnFullDisk(full: 'stdout' | 'stderr', ...args: string[]) {
  const descriptor = openSync('/dev/full', 'w');
  try {
    const xbm = fileURLToPath(new URL('./xbmProcess.js', import.meta.url));
    return spawnSync(process.execPath, [xbm, ...args], {
      stdio: ['ignore', full === 'stdout' ? descriptor : 'pipe', full === 'stderr' ? descriptor : 'pipe'],
      encoding: 'utf8',
    });
  } finally {
    closeSync(descriptor);
  }
}

test('a full disk behind stderr changes nothing but stderr', { ...settings, skip: fullDisk }, () => {
  const { status, stdout } = runOnFullDisk('stderr', 'config', 'list', '--json');
  assert.equal(status, 0);
  assert.ok(JSON.parse(stdout).configs.length > 0);
  assert.equal(runOnFullDisk('stderr', 'config', 'show', 'nowhere').status, 2);
});

test('a full disk behind stdout is one message and exit code 3', { ...settings, skip: fullDisk }, () => {
  for (const args of [['config', 'list'], ['--help']]) {
    const { status, stderr } = runOnFullDisk('stdout', ...args);
    assert.equal(
      stderr,
      'xbm: stdout: no space left on the disk (write)\nFree some space and run the command again.\n',
    );
    assert.equal(status, 3);
  }
});

test('a disk that takes a part of the results only is full', settings, (t) => {
  const file = join(temporaryFolder(t), 'results');
  const program = scriptOf(`io.stdout('x'.repeat(3000)); io.stdout('more');
    process.exitCode = (await io.lostResults())?.exitCode ?? 0;`);
  const limited = 'ulimit -f 1; exec "$0" --input-type=module --eval "$1" > "$2"';
  const { status } = spawnSync('bash', ['-c', limited, process.execPath, program, file]);
  assert.ok(statSync(file).size < 3000);
  assert.equal(status, 3);
});

test('a closed reader loses nothing that anybody misses', settings, () => {
  const program = scriptOf(`
    await new Promise((resolve) => setTimeout(resolve, 200));
    for (let i = 0; i < 100; i++) io.stdout('x'.repeat(10000));
    process.exitCode = (await io.lostResults()) === undefined ? 9 : 3;`);
  const pipeline = '"$0" --input-type=module --eval "$1" | true; echo $PIPESTATUS';
  const { stdout } = spawnSync('bash', ['-c', pipeline, process.execPath, program], { encoding: 'utf8' });
  assert.equal(stdout, '9\n');
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
