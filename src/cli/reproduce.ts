import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { ExitCode, firstThree, inOneLine, UserError } from '../errors.js';
import type { PlannedRun } from '../reproduce/expand.js';
import type { Launcher, Outcome } from '../reproduce/launchers/launcher.js';
import type { Plan } from '../reproduce/plan.js';
import type { MissingRun } from '../reproduce/summary.js';
import type { Io } from './io.js';
import { collect } from './options.js';
import { printPlan, printResults } from './reproduceOutput.js';
import { watchRuns } from './watchRuns.js';

export interface ReproduceArguments {
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly force?: boolean;
  readonly name?: string;
  readonly replace?: boolean;
  readonly launcher: 'local' | 'slurm';
  readonly jobs?: number;
  readonly gpus?: readonly string[];
  readonly sbatch?: readonly string[];
  readonly poll?: number;
  readonly set: readonly string[];
  readonly baseline?: string;
  readonly tolerance?: number;
}

/** `xbm reproduce`. */
export function registerReproduce(program: Command, io: Io): void {
  program
    .command('reproduce')
    .argument('<file>', 'a reproduction file, or a packaged one: paper, quickstart')
    .description('train what is missing of tasks × methods × seeds, price it on hardware, summarise it')
    .option('--dry-run', 'print the plan only')
    .option('--json', 'print the result as one JSON document')
    .option('--force', 'train again what is finished')
    .option('--name <name>', 'write the results to results/<name> instead of the name in the file')
    .option('--replace', 'replace what is in results/<name>, a report of other runs or other files')
    .addOption(
      new Option('--launcher <launcher>', 'where runs are executed')
        .choices(['local', 'slurm'])
        .default('local'),
    )
    .option('--jobs <count>', 'runs at a time (default: local 1, slurm no limit)', count)
    .option('--gpus <devices>', 'local: CUDA devices, one per run: 0,1', (text) => text.split(','))
    .option('--sbatch <option>', 'slurm: an option of sbatch, --sbatch=--gres=gpu:1; repeatable', collect)
    .option('--poll <seconds>', 'slurm: seconds between two looks at the queue (default: 10)', seconds)
    .option('--set <key=value>', 'override one key of every experiment; repeatable', collect, [])
    .option('--baseline <summary.json>', 'exit with 4 when a result is worse than this one')
    .option(
      '--tolerance <number>',
      'by more than this: points of accuracy, per cent of an energy (default: 0.5)',
      amount,
    )
    .addHelpText(
      'after',
      `
Runs that are finished (by config hash) are not trained again; a run that fails does not stop the others, is listed at
the end and makes the exit code 4; where no data set can be used, nothing starts. Interrupted anywhere, the same
command continues. Results: results/<name>/summary.json, summary.csv, runs.parquet (one row per run), timings.json, and
report.html with its tables and figures. A report that has runs which are not in this plan, and other files, are not
overwritten without --replace.

Examples:
  xbm reproduce quickstart
  xbm reproduce configs/reproduce/paper.yaml --dry-run
  xbm reproduce paper --launcher slurm --jobs 8 --sbatch=--gres=gpu:1 --sbatch=--time=12:00:00
  xbm reproduce paper --set training.epochs=1 --set engine=onnx --name trial
  xbm reproduce quickstart --json --baseline ci/summary.json --tolerance 2
`,
    )
    .action((file: string, args: ReproduceArguments) => reproduce(file, args, io));
}

function count(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= 1000) return value;
  throw new InvalidArgumentError('expected a whole number from 1 to 1000.');
}

function seconds(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= 0.1 && value <= 3600) return value;
  throw new InvalidArgumentError('expected seconds from 0.1 to 3600.');
}

function amount(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && value >= 0) return value;
  throw new InvalidArgumentError('expected a number of at least 0.');
}

/** An option that would change nothing is refused. */
function requireUseful({ launcher, baseline, tolerance, poll, sbatch, gpus }: ReproduceArguments): void {
  const refuse = (option: string, needs: string) => {
    throw new UserError(`${option} has no meaning without ${needs}`, `Leave it out, or add ${needs}.`);
  };
  if (tolerance !== undefined && baseline === undefined) refuse('--tolerance', '--baseline');
  if (poll !== undefined && launcher !== 'slurm') refuse('--poll', '--launcher slurm');
  if (sbatch !== undefined && launcher !== 'slurm') refuse('--sbatch', '--launcher slurm');
  if (gpus !== undefined && launcher !== 'local') refuse('--gpus', '--launcher local');
}

/** TensorFlow's library alone looks at the variable that chooses a CUDA device. */
function requireCuda(runs: readonly PlannedRun[]): void {
  const other = runs.find(({ experiment }) => experiment.engine !== 'tfjs');
  if (!other) return;
  throw new UserError(
    `--gpus chooses CUDA devices, and only engine tfjs computes with CUDA; ${other.name} has engine ${other.experiment.engine}`,
    'Leave it out, or add --set engine=tfjs. The webgpu engine takes the first GPU that its process sees (docs/webgpu.md).',
  );
}

/** Plans, runs what is missing, and writes the results. */
export async function reproduce(file: string, args: ReproduceArguments, io: Io): Promise<void> {
  const { loadReproduction, renamed } = await import('../reproduce/reproductionFile.js');
  const { expandRuns, resultsFolder } = await import('../reproduce/expand.js');
  const { loadHardware } = await import('../hardware/load.js');
  const { acquireLock } = await import('../runs/lock.js');
  const { readBaseline } = await import('../reproduce/baseline.js');

  requireUseful(args);
  const loaded = loadReproduction(file, io.cwd);
  const source = args.name === undefined ? loaded : renamed(loaded, args.name);
  const { reproduction } = source;
  const presets = reproduction.hardware.map((name) => loadHardware(name, [], source.folder));
  const runs = expandRuns(source, { cwd: io.cwd, overrides: args.set });
  if (args.gpus) requireCuda(runs);
  const folder = resultsFolder(io.cwd, reproduction.name);
  if (args.dryRun) {
    const plan = await planOf(runs, args, io);
    printPlan(reproduction.name, plan, args, io);
    const other = await otherReport(folder, runs, args);
    if (other) io.stderr(`${inOneLine(other)}\n`);
    await requireStartable(runs, args, io);
    return;
  }
  await requireStartable(runs, args, io);
  // Read before anything is overwritten: it may be the very file that the results go to.
  const baseline = args.baseline === undefined ? null : readBaseline(resolve(io.cwd, args.baseline));
  const lock = acquireLock(join(folder, 'lock'));
  try {
    const other = await otherReport(folder, runs, args);
    if (other) throw other;
    if (args.force) await clear(runs);
    const plan = await planOf(runs, args, io);
    printPlan(reproduction.name, plan, { ...args, json: false }, { ...io, stdout: io.stderr });
    const unusable = plan.entries.filter(({ state }) => state === 'again').map(({ run }) => run);
    await clearUnusable(unusable);
    const outcomes = await launch(plan, await openLauncher(reproduction.name, folder, args, io), io);
    if (io.signal?.aborted) throw interrupted(plan, outcomes);
    const missing = missingRuns(plan, outcomes);
    const { collectResults } = await import('../reproduce/collect.js');
    const results = await collectResults(folder, {
      source,
      command: commandOf(file, args),
      cwd: io.cwd,
      presets,
      runs,
      missing,
    });
    const { compareWithBaseline } = await import('../reproduce/baseline.js');
    const worse = baseline ? compareWithBaseline(results.summary.rows, baseline, args.tolerance ?? 0.5) : [];
    printResults({ ...results, worse, baseline: args.baseline ?? null }, args, io);
    const failed = [
      ...(missing.length > 0 ? [`${missing.length} of ${runs.length} runs failed`] : []),
      ...(worse.length > 0 ? [`${worse.length} results are worse than ${args.baseline}`] : []),
    ];
    if (failed.length > 0) {
      throw new UserError(
        failed.join('; '),
        missing.length > 0 ? 'The same command tries the failed runs again.' : undefined,
        ExitCode.failed,
      );
    }
  } finally {
    lock.release();
  }
}

/**
 * Where no data set can be used, each run would fail, after --force has removed what was there.
 * @throws UserError naming each reason once; never while a run has a result to report
 */
async function requireStartable(
  runs: readonly PlannedRun[],
  { force, launcher, dryRun }: ReproduceArguments,
  io: Io,
): Promise<void> {
  // Slurm's nodes may have data that this machine lacks.
  if (launcher === 'slurm') return;
  const { inspectRun } = await import('../reproduce/inspect.js');
  const { openExperimentData } = await import('../runs/openExperiment.js');
  const { requireImagesPerClass } = await import('../data/counts.js');
  const { protocols } = await import('../data/index.js');
  const refused = new Map<string, UserError>();
  for (const run of runs) {
    const { task, data } = run.experiment;
    // A published data set need not be here for a plan: its size is known.
    if (dryRun && protocols[task].published.length > 0) return;
    const dataSet = JSON.stringify([task, data]);
    if (!force && (await inspectRun(run)).state === 'done') return;
    if (refused.has(dataSet)) continue;
    try {
      requireImagesPerClass(await openExperimentData(run.experiment, io.env));
      return;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      refused.set(dataSet, error);
    }
  }
  const [{ hint, exitCode }] = refused.values();
  const reasons = [...new Set([...refused.values()].map(({ message }) => message))];
  throw new UserError(`none of the ${runs.length} runs can start: ${reasons.join('\n')}`, hint, exitCode);
}

/**
 * The report of other runs, as another --set, seeds or an edited file make them, is not lost without a word, nor are files of
 * something else, such as a hardware report.
 */
async function otherReport(
  folder: string,
  runs: readonly PlannedRun[],
  { replace }: ReproduceArguments,
): Promise<UserError | null> {
  if (replace) return null;
  const { foreignFiles, runsOfOtherPlan } = await import('../reproduce/earlierReport.js');
  const foreign = foreignFiles(folder);
  if (foreign.length > 0) {
    return new UserError(
      `${folder} holds no reproduction's report, but ${firstThree(foreign)}`,
      'Give these results a name of their own (--name), or replace these files (--replace).',
    );
  }
  const others = runsOfOtherPlan(folder, runs);
  if (others.length === 0) return null;
  return new UserError(
    `${folder} holds a report with runs that are not in this plan: ${others.length} of them, as ${others[0]}`,
    'Give these results a name of their own (--name), or replace that report (--replace).',
  );
}

async function planOf(runs: readonly PlannedRun[], args: ReproduceArguments, io: Io): Promise<Plan> {
  const { inspectRun } = await import('../reproduce/inspect.js');
  const { dataSizes } = await import('../reproduce/dataSizes.js');
  const { measuredSpeeds } = await import('../reproduce/estimate.js');
  const { makePlan } = await import('../reproduce/plan.js');
  const { RunFolder, runsFolder } = await import('../runs/runFolder.js');
  const { InputGuard } = await import('./inputGuard.js');
  const guard = new InputGuard(io);
  const refused: UserError[] = [];
  const states = new Map<string, Awaited<ReturnType<typeof inspectRun>>>();
  for (const run of runs) {
    const inspection = await inspectRun(run);
    const again = args.force && args.dryRun && inspection.state !== 'train';
    if (again) states.set(run.name, { state: 'again', steps: 0, note: '--force' });
    else if (inspection.state === 'done') {
      const folder = new RunFolder(run.folder);
      try {
        const unchecked = Object.values(await guard.check(folder, folder.readSummary(), run.experiment));
        states.set(run.name, { ...inspection, note: unchecked.length > 0 ? unchecked.join('; ') : null });
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        refused.push(error);
      }
    } else states.set(run.name, inspection);
  }
  if (refused.length > 0) {
    const [{ hint, exitCode }] = refused;
    throw new UserError(refused.map(({ message }) => message).join('\n'), hint, exitCode);
  }
  const missing = runs.filter(({ name }) => states.get(name)!.state !== 'done');
  const folders = new Set([runsFolder(io.cwd), ...runs.map(({ folder }) => resolve(folder, '..'))]);
  return makePlan(runs, states, await dataSizes(missing, io.env), measuredSpeeds([...folders]));
}

/** The command that makes these results, without what only says where and how it runs. */
function commandOf(file: string, { set, name }: ReproduceArguments): string {
  const word = (text: string): string =>
    /^[\w./=:@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
  const named = name === undefined ? [] : ['--name', name];
  return ['xbm', 'reproduce', word(file), ...set.flatMap((text) => ['--set', word(text)]), ...named].join(
    ' ',
  );
}

/** Removes what a run folder holds, unless a process is writing it. */
async function clear(runs: readonly PlannedRun[]): Promise<void> {
  const { RunFolder } = await import('../runs/runFolder.js');
  for (const run of runs) {
    const folder = new RunFolder(run.folder);
    const lock = folder.lock();
    try {
      folder.clear();
    } finally {
      lock.release();
    }
  }
}

/**
 * Removes what cannot be used. Judged again under the lock: a process of an earlier start may have got on meanwhile.
 * One that still writes is left to its work; the launcher waits for it.
 */
async function clearUnusable(runs: readonly PlannedRun[]): Promise<void> {
  const { RunFolder } = await import('../runs/runFolder.js');
  const { inspectRun } = await import('../reproduce/inspect.js');
  for (const run of runs) {
    const folder = new RunFolder(run.folder);
    const lock = folder.lockUnlessWritten();
    if (!lock) continue;
    try {
      if ((await inspectRun(run)).state === 'again') folder.clear();
    } finally {
      lock.release();
    }
  }
}

async function openLauncher(
  name: string,
  folder: string,
  args: ReproduceArguments,
  io: Io,
): Promise<Launcher> {
  if (args.launcher === 'slurm') {
    const { SlurmLauncher } = await import('../reproduce/launchers/slurm.js');
    const { slurmCommands } = await import('../reproduce/launchers/slurmQueue.js');
    return new SlurmLauncher({
      name,
      folder: join(folder, 'slurm'),
      cwd: io.cwd,
      command: slurmCommands(io.env),
      limit: args.jobs ?? null,
      sbatch: args.sbatch ?? [],
      pollSeconds: args.poll ?? 10,
    });
  }
  const { LocalLauncher } = await import('../reproduce/launchers/local.js');
  const { gpus } = args;
  const jobs = args.jobs ?? gpus?.length ?? 1;
  if (jobs > availableParallelism() && !gpus) {
    io.stderr(
      `--jobs ${jobs}: more runs at a time than this machine has cores (${availableParallelism()})\n`,
    );
  }
  return new LocalLauncher({ jobs, gpus, cwd: io.cwd, env: io.env });
}

async function launch(plan: Plan, launcher: Launcher, io: Io): Promise<Outcome[]> {
  if (plan.missing.length === 0) return [];
  const watch = watchRuns(plan.missing.length, io);
  try {
    return await launcher.launch(plan.missing, watch.events, io.signal);
  } finally {
    watch.stop();
  }
}

/** Tables of what is finished would take longer than one waits after Ctrl-C; the next start makes them. */
function interrupted({ entries, missing }: Plan, outcomes: readonly Outcome[]): UserError {
  const finished = outcomes.filter(({ ended }) => ended === 'finished').length;
  const done = entries.length - missing.length + finished;
  return new UserError(
    `interrupted; ${done} of ${entries.length} runs are finished`,
    'The same command continues.',
    ExitCode.interrupted,
  );
}

function missingRuns(plan: Plan, outcomes: readonly Outcome[]): MissingRun[] {
  return plan.missing.flatMap((run): MissingRun[] => {
    const outcome = outcomes.find((one) => one.run.name === run.name);
    if (outcome?.ended === 'finished') return [];
    const { name, task, method, variant, seed } = run;
    let reason = 'not started: interrupted';
    if (outcome) reason = outcome.ended === 'failed' ? outcome.reason : 'interrupted';
    return [{ run: name, task, method, variant, seed, reason }];
  });
}
