/** @file Runs as one job array of Slurm, which alone decides where and when; this launcher submits and watches. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ExitCode } from '../../errors.js';
import type { PlannedRun } from '../expand.js';
import { checkpointTime } from '../inspect.js';
import { failureReason, logBytes, readTail } from './failureReason.js';
import { type LaunchEvents, type Launcher, LOG_NAME, type Outcome } from './launcher.js';
import { isOver, type JobStates, queryQueue, type SlurmCommand, submitJob, taskKey } from './slurmQueue.js';
import { arrayScript } from './slurmScript.js';
import { type SlurmJob, SlurmState } from './slurmState.js';
import { trainArguments, xbmProgram } from './trainCommand.js';

export interface SlurmOptions {
  /** Lower-case letters, digits and hyphens: part of the jobs' names. */
  readonly name: string;
  /** The launcher's own folder. */
  readonly folder: string;
  readonly cwd: string;
  readonly command: SlurmCommand;
  /** Tasks at a time; null: as many as Slurm allows. */
  readonly limit: number | null;
  /** Further options of sbatch. */
  readonly sbatch: readonly string[];
  /** Submissions of a run without progress after the first one. */
  readonly retries?: number;
  readonly pollSeconds?: number;
  /** The program and its first arguments. */
  readonly program?: readonly string[];
}

/** Slurm's default MaxArraySize is 1001. */
const MAX_ARRAY = 1000;
/** Looks at the queue that must miss a task before it counts as lost: records may reach a shared disk late. */
const LOST_AFTER = 3;

/** A run on its way. */
interface Task {
  readonly run: PlannedRun;
  /** null: to be submitted. */
  job: SlurmJob | null;
  running: boolean;
  /** Looks at the queue that found it neither there nor recorded. */
  missed: number;
  /** Submissions in turn without a new checkpoint. */
  fruitless: number;
  /** Of the checkpoint when it was submitted. */
  checkpoint: number;
}

export class SlurmLauncher implements Launcher {
  readonly #options: Required<SlurmOptions>;
  readonly #state: SlurmState;
  #answering = true;

  constructor(options: SlurmOptions) {
    this.#options = { retries: 3, pollSeconds: 10, program: xbmProgram(), ...options };
    this.#state = new SlurmState(options.folder);
  }

  async launch(runs: readonly PlannedRun[], events: LaunchEvents, signal?: AbortSignal): Promise<Outcome[]> {
    const tasks = runs.map((run): Task => {
      const job = this.#state.jobOf(run.name) ?? null;
      // A record is of an earlier start of the command: this one tries again.
      const over = job !== null && this.#state.exitCode(job, run.name) !== null;
      return {
        run,
        job: over ? null : job,
        running: false,
        missed: 0,
        fruitless: 0,
        checkpoint: checkpointTime(run),
      };
    });
    const outcomes: Outcome[] = [];
    let adopting = true;
    while (tasks.length > 0 && !signal?.aborted) {
      const states = await this.#queue(tasks, events);
      if (states) {
        for (const task of [...tasks]) {
          if (adopting && task.job && !states.has(keyOf(task)) && this.#recorded(task) === null)
            task.job = null;
          const outcome = task.job ? this.#look(task, states, events) : null;
          if (!outcome) continue;
          tasks.splice(tasks.indexOf(task), 1);
          outcomes.push(outcome);
          events.onEnd?.(outcome);
        }
        adopting = false;
        await this.#submit(
          tasks.filter(({ job }) => job === null),
          events,
        );
      }
      await delay(this.#options.pollSeconds * 1000, undefined, { signal }).catch(() => {});
    }
    if (tasks.length > 0) {
      const names = [...new Set(tasks.flatMap(({ job }) => job?.name ?? []))];
      if (names.length > 0) {
        events.onNote?.(
          `the jobs go on without this command; to stop them: scancel --name=${names.join(',')}`,
        );
      }
    }
    return [...outcomes, ...tasks.map(({ run }): Outcome => ({ run, ended: 'interrupted' }))];
  }

  /** null while Slurm does not answer: what runs goes on running. */
  async #queue(tasks: readonly Task[], events: LaunchEvents): Promise<JobStates | null> {
    const names = [...new Set(tasks.flatMap(({ job }) => job?.name ?? []))];
    if (names.length === 0) return new Map();
    const states = await queryQueue(this.#options.command, names);
    if (!states && this.#answering) events.onNote?.('Slurm does not answer; waiting for it');
    if (states && !this.#answering) events.onNote?.('Slurm answers again');
    this.#answering = states !== null;
    return states;
  }

  #recorded({ job, run }: Task): number | null {
    return job && this.#state.exitCode(job, run.name);
  }

  /** What came of a submitted task; null while it goes on, or is to be submitted again. */
  #look(task: Task, states: JobStates, events: LaunchEvents): Outcome | null {
    const { run } = task;
    const state = states.get(keyOf(task));
    const code = this.#recorded(task);
    if (!task.running && (state === 'RUNNING' || code !== null)) {
      task.running = true;
      events.onStart?.(run);
    }
    if (code === ExitCode.ok) return { run, ended: 'finished' };
    // Who ended it is only known once Slurm has let go of it.
    if (!isOver(state)) return null;
    if (code === null && state === undefined && ++task.missed < LOST_AFTER) return null;
    if (code === null && state === 'COMPLETED' && ++task.missed < LOST_AFTER) return null;
    if (state === 'CANCELLED') return { run, ended: 'failed', reason: 'cancelled in Slurm' };
    const reason = this.#reason(task, state, code);
    if (code !== null && !isTransient(code)) return { run, ended: 'failed', reason };
    return this.#retry(task, reason, events);
  }

  #reason({ job, run }: Task, state: string | undefined, code: number | null): string {
    const ending = code === null ? 'ended without a record' : `exit code ${code}`;
    const slurm = state && state !== 'FAILED' && state !== 'COMPLETED' ? ` (Slurm: ${state})` : '';
    if (code === null) return `${ending}${slurm}`;
    const from = job?.logBytes[job.runs.indexOf(run.name)];
    return `${failureReason(readTail(join(run.folder, LOG_NAME), from), ending)}${slurm}`;
  }

  /** Submissions that got on do not count: a run longer than the queue's time limit goes on until it is done. */
  #retry(task: Task, reason: string, events: LaunchEvents): Outcome | null {
    const { run } = task;
    task.fruitless = checkpointTime(run) > task.checkpoint ? 0 : task.fruitless + 1;
    if (task.fruitless > this.#options.retries) {
      return { run, ended: 'failed', reason: `${reason}; ${task.fruitless} submissions got no further` };
    }
    events.onNote?.(`${run.name}: ${reason}; submitting it again`);
    task.job = null;
    return null;
  }

  async #submit(tasks: readonly Task[], events: LaunchEvents): Promise<void> {
    for (let at = 0; at < tasks.length; at += MAX_ARRAY) {
      await this.#submitArray(tasks.slice(at, at + MAX_ARRAY), events);
    }
  }

  async #submitArray(tasks: readonly Task[], events: LaunchEvents): Promise<void> {
    const { name, cwd, program, limit, sbatch, command } = this.#options;
    const jobName = `xbm-${name}-${randomBytes(4).toString('hex')}`;
    const job = {
      name: jobName,
      runs: tasks.map(({ run }) => run.name),
      logBytes: tasks.map(({ run }) => logBytes(join(run.folder, LOG_NAME))),
    };
    await this.#state.add(job);
    const folder = this.#state.jobFolder(job);
    const script = join(folder, 'job.sh');
    const arrayTasks = [];
    for (const { run } of tasks) {
      const args = await trainArguments(run);
      arrayTasks.push({ args, log: join(run.folder, LOG_NAME), shareCores: run.experiment.threads === 0 });
    }
    writeFileSync(script, arrayScript({ jobName, folder, cwd, program, tasks: arrayTasks, limit }));
    const answered = await submitJob(command, script, sbatch);
    if (!answered) events.onNote?.('Slurm did not answer the submission; waiting for it');
    else events.onNote?.(`submitted ${tasks.length} runs as ${jobName}`);
    for (const task of tasks) {
      Object.assign(task, { job, running: false, missed: 0, checkpoint: checkpointTime(task.run) });
    }
  }
}

function keyOf({ job, run }: Task): string {
  return job ? taskKey(job.name, job.runs.indexOf(run.name)) : '';
}

/** Ends that another submission may mend: stopped, killed, short of memory or disk, locked by a dying process. */
function isTransient(code: number): boolean {
  return code === ExitCode.interrupted || code === ExitCode.unavailable || code >= 128;
}
