/** @file The Slurm launcher against a Slurm of a few lines: what a real one does rarely, or not on demand. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { UserError } from '../../src/errors.js';
import type { PlannedRun } from '../../src/reproduce/expand.js';
import { LOG_NAME, type Outcome } from '../../src/reproduce/launchers/launcher.js';
import { SlurmLauncher } from '../../src/reproduce/launchers/slurm.js';
import { isOver, parseQueue, type SlurmCommand, taskKey } from '../../src/reproduce/launchers/slurmQueue.js';
import { folderWith, runsOf } from './fixtures.js';

/** What becomes of a task at one submission. */
type Fate = { exit: number; state?: string; log?: string } | { state: string } | { lost: true };

/** Array tasks end at the second look; `fates` are by run name, one per submission. */
class FakeSlurm {
  readonly submitted: string[][] = [];
  readonly #states = new Map<string, string>();
  readonly #looks = new Map<string, number>();
  readonly #pending: (() => void)[] = [];
  /** Calls that fail as if the controller were away. */
  away = 0;
  /** A submission whose answer is lost although Slurm has the job. */
  loseAnswer = false;

  constructor(readonly fates: Record<string, Fate[]>) {}

  readonly command: SlurmCommand = async (name, args) => {
    if (this.away > 0) {
      this.away--;
      return { code: 1, stdout: '', stderr: 'error: Unable to contact slurm controller (connect failure)' };
    }
    return name === 'sbatch' ? this.#sbatch(args.at(-1)!) : this.#squeue(args);
  };

  #sbatch(script: string) {
    const text = readFileSync(script, 'utf8');
    const job = /--job-name=(\S+)/.exec(text)![1];
    const runs = [...text.matchAll(/^ {2}\d+\) set -- .*'--out' '([^']+)'/gm)].map((match) => match[1]);
    this.submitted.push(runs.map((folder) => folder.split('/').at(-1)!));
    runs.forEach((folder, index) => {
      const fate = this.fates[folder.split('/').at(-1)!].shift()!;
      const key = taskKey(job, index);
      this.#states.set(key, 'RUNNING');
      this.#pending.push(() => {
        if ('lost' in fate) this.#states.delete(key);
        else
          this.#states.set(key, fate.state ?? (('exit' in fate && fate.exit) === 0 ? 'COMPLETED' : 'FAILED'));
        if ('log' in fate) appendFileSync(join(folder, LOG_NAME), fate.log!);
        if ('exit' in fate) writeFileSync(join(dirname(script), `${index}.exit`), `${fate.exit}\n`);
      });
    });
    const lost = this.loseAnswer;
    this.loseAnswer = false;
    return lost
      ? { code: 1, stdout: '', stderr: 'sbatch: error: Socket timed out on send/recv operation' }
      : { code: 0, stdout: '', stderr: '' };
  }

  #squeue(args: readonly string[]) {
    const names = args
      .find((arg) => arg.startsWith('--name='))!
      .slice(7)
      .split(',');
    const lines = [...this.#states].filter(([key]) => names.includes(key.split('/')[0]));
    const stdout = lines.map(([key, state]) => `${key.replace('/', '|')}|${state}\n`).join('');
    const looks = (this.#looks.get('all') ?? 0) + 1;
    this.#looks.set('all', looks);
    for (const end of this.#pending.splice(0)) end();
    return { code: 0, stdout, stderr: '' };
  }
}

function someRuns(count: number): PlannedRun[] {
  const seeds = Array.from({ length: count }, (_, i) => i).join(', ');
  const cwd = folderWith({});
  return runsOf(`name: a\ntasks: [cubs]\nmethods: [xbm]\nseeds: [${seeds}]\n`, { cwd });
}

async function launch(runs: PlannedRun[], slurm: FakeSlurm, folder = folderWith({}), signal?: AbortSignal) {
  const notes: string[] = [];
  const started: string[] = [];
  const launcher = new SlurmLauncher({
    name: 'a',
    folder,
    cwd: '/',
    command: slurm.command,
    limit: null,
    sbatch: [],
    retries: 2,
    pollSeconds: 0.002,
  });
  const events = {
    onNote: (text: string) => notes.push(text),
    onStart: (run: PlannedRun) => started.push(run.name),
  };
  const outcomes = await launcher.launch(runs, events, signal);
  return { outcomes, notes, started, folder };
}

const endings = (outcomes: readonly Outcome[]) => outcomes.map(({ ended }) => ended);

test('one array for all runs; what is killed or lost is submitted again, alone', async () => {
  const runs = someRuns(4);
  const [a, b, c, d] = runs.map(({ name }) => name);
  const slurm = new FakeSlurm({
    [a]: [{ exit: 0 }],
    [b]: [{ exit: 137 }, { exit: 0 }],
    [c]: [{ lost: true }, { exit: 0 }],
    [d]: [{ state: 'NODE_FAIL' }, { exit: 0 }],
  });
  const { outcomes, started } = await launch(runs, slurm);
  assert.deepEqual(endings(outcomes), ['finished', 'finished', 'finished', 'finished']);
  assert.deepEqual(slurm.submitted[0], [a, b, c, d]);
  assert.deepEqual(slurm.submitted.slice(1).flat().sort(), [b, c, d].sort());
  assert.ok([a, b, c, d].every((name) => started.includes(name)));
});

test('a failure of the run itself is not tried again, and its reason is its own message', async () => {
  const runs = someRuns(2);
  const [own, mute] = runs;
  for (const { folder } of runs) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, LOG_NAME), 'xbm: of an earlier start\n');
  }
  const log = 'engine onnx\nxbm: training diverged\nLower the rate.\n';
  const slurm = new FakeSlurm({ [own.name]: [{ exit: 4, log }], [mute.name]: [{ exit: 4 }] });
  const { outcomes } = await launch(runs, slurm);
  assert.deepEqual(outcomes, [
    { run: own, ended: 'failed', reason: 'training diverged. Lower the rate.' },
    { run: mute, ended: 'failed', reason: 'exit code 4' },
  ]);
});

test('submissions that get no further end; those that write a checkpoint go on', async () => {
  const [hopeless, slow] = someRuns(2);
  const limit = { exit: 130, state: 'TIMEOUT' };
  const slurm = new FakeSlurm({
    [hopeless.name]: [limit, limit, limit],
    [slow.name]: [limit, limit, limit, limit, limit, { exit: 0 }],
  });
  const { command } = slurm;
  let checkpoint = 0;
  // The slow run leaves a newer checkpoint at each submission.
  const writing: SlurmCommand = (name, args) => {
    if (name === 'squeue') {
      mkdirSync(slow.folder, { recursive: true });
      writeFileSync(join(slow.folder, 'checkpoint.safetensors'), String(checkpoint++));
    }
    return command(name, args);
  };
  Object.assign(slurm, { command: writing });
  const { outcomes } = await launch([hopeless, slow], slurm);
  const of = (run: PlannedRun) => outcomes.find((outcome) => outcome.run === run)!;
  assert.equal(of(slow).ended, 'finished');
  const failed = of(hopeless);
  assert.ok(failed.ended === 'failed');
  assert.match(failed.reason, /exit code 130 \(Slurm: TIMEOUT\); 3 submissions got no further/);
});

test('a cancelled job stays cancelled', async () => {
  const runs = someRuns(2);
  const slurm = new FakeSlurm({
    [runs[0].name]: [{ exit: 130, state: 'CANCELLED' }],
    [runs[1].name]: [{ state: 'CANCELLED' }],
  });
  const { outcomes } = await launch(runs, slurm);
  assert.deepEqual(
    outcomes.map((outcome) => outcome.ended === 'failed' && outcome.reason),
    ['cancelled in Slurm', 'cancelled in Slurm'],
  );
});

test('a controller that is away costs nothing but time', async () => {
  const runs = someRuns(1);
  const slurm = new FakeSlurm({ [runs[0].name]: [{ exit: 0 }] });
  const { command } = slurm;
  let calls = 0;
  const flaky: SlurmCommand = (name, args) => {
    if (++calls === 2) slurm.away = 5;
    return command(name, args);
  };
  const { outcomes, notes } = await launch(runs, Object.assign(slurm, { command: flaky }));
  assert.deepEqual(endings(outcomes), ['finished']);
  assert.equal(slurm.submitted.length, 1);
  assert.deepEqual(notes.slice(1), ['Slurm does not answer; waiting for it', 'Slurm answers again']);
});

test('a submission whose answer is lost is not made twice', async () => {
  const runs = someRuns(1);
  const slurm = new FakeSlurm({ [runs[0].name]: [{ exit: 0 }] });
  slurm.loseAnswer = true;
  const { outcomes } = await launch(runs, slurm);
  assert.deepEqual(endings(outcomes), ['finished']);
  assert.equal(slurm.submitted.length, 1);
});

test('a later start adopts what runs, submits what is over or unknown', async () => {
  const runs = someRuns(3);
  const [a, b, c] = runs;
  const slurm = new FakeSlurm({
    [a.name]: [{ exit: 0 }],
    [b.name]: [{ exit: 4 }, { exit: 0 }],
    [c.name]: [{ exit: 0 }],
  });
  const controller = new AbortController();
  const { command } = slurm;
  const stopping: SlurmCommand = async (name, args) => {
    const result = await command(name, args);
    if (name === 'sbatch') controller.abort();
    return result;
  };
  const first = await launch(
    [a, b],
    Object.assign(slurm, { command: stopping }),
    undefined,
    controller.signal,
  );
  assert.deepEqual(endings(first.outcomes), ['interrupted', 'interrupted']);
  assert.match(first.notes.at(-1)!, /the jobs go on .* scancel --name=xbm-a-[0-9a-f]{8}/);
  const second = await launch(runs, Object.assign(slurm, { command }), first.folder);
  assert.equal(second.outcomes.find(({ run }) => run === a)?.ended, 'finished');
  // Its failure was watched this time; only a further start tries it again.
  assert.equal(second.outcomes.find(({ run }) => run === b)?.ended, 'failed');
  const third = await launch([b], slurm, first.folder);
  assert.deepEqual(endings(third.outcomes), ['finished']);
  assert.deepEqual(slurm.submitted, [[a.name, b.name], [c.name], [b.name]]);
});

test('what sbatch refuses is told in its own words', async () => {
  const command: SlurmCommand = async (name) =>
    name === 'sbatch'
      ? { code: 1, stdout: '', stderr: 'sbatch: error: invalid partition specified: gpu\n' }
      : { code: 0, stdout: '', stderr: '' };
  const slurm = Object.assign(new FakeSlurm({}), { command });
  await assert.rejects(launch(someRuns(1), slurm), (error: UserError) => {
    assert.equal(error.message, 'sbatch refused the job: invalid partition specified: gpu');
    return error instanceof UserError;
  });
});

test('squeue’s lines', () => {
  const states = parseQueue('xbm-a-1|0|PENDING\nxbm-a-1|12|RUNNING\nnot a task|N/A|RUNNING\n\n');
  assert.deepEqual(
    [...states],
    [
      ['xbm-a-1/0', 'PENDING'],
      ['xbm-a-1/12', 'RUNNING'],
    ],
  );
  assert.deepEqual(['PENDING', 'COMPLETING', 'TIMEOUT', 'CANCELLED', undefined].map(isOver), [
    false,
    false,
    true,
    true,
    true,
  ]);
});
