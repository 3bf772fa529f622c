/** @file Where a run keeps its files, and what state they say it is in. */

import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Task } from '../adaption/task.js';
import { readTaskFile } from '../adaption/taskFile.js';
import { loadExperiment } from '../config/load.js';
import { isPrintedExperiment } from '../config/print.js';
import type { Experiment } from '../config/schema.js';
import { hinted, UserError, withHint } from '../errors.js';
import { makeFolder } from '../folders.js';
import { removeLeftovers } from '../model/replaceFile.js';
import { isEventFile } from './eventFile.js';
import { acquireLock, type Lock, LockedError } from './lock.js';
import { parseSummary, parseTimings, type RunSummary, type RunTimings } from './summary.js';

const RESTORE = 'Restore the file, or train the run anew with --force.';

/** `finished` has a summary; `unfinished` has a checkpoint to resume from; else there is nothing to keep. */
export type RunStatus = 'absent' | 'unfinished' | 'finished';

/** `<task>-<method>-<hash8>-s<seed>`, with the experiment's name in the task's place when it has one. */
export function runName(experiment: Experiment, configHash: string): string {
  const { name, task, method, training } = experiment;
  return `${name ?? task}-${method.name}-${configHash.slice(0, 8)}-s${training.seed}`;
}

/** The folder of all runs below a working directory. */
export function runsFolder(cwd: string): string {
  return join(cwd, 'results', 'runs');
}

export class RunFolder {
  constructor(readonly path: string) {}

  get config(): string {
    return join(this.path, 'config.yaml');
  }
  get environment(): string {
    return join(this.path, 'environment.json');
  }
  get metrics(): string {
    return join(this.path, 'metrics.jsonl');
  }
  get checkpoint(): string {
    return join(this.path, 'checkpoint.safetensors');
  }
  get task(): string {
    return join(this.path, 'task.safetensors');
  }
  get summary(): string {
    return join(this.path, 'summary.json');
  }
  get timings(): string {
    return join(this.path, 'timings.json');
  }

  /** Of `xbm eval`. */
  get confusionTable(): string {
    return join(this.path, 'confusion.csv');
  }
  get confusionPicture(): string {
    return join(this.path, 'confusion.png');
  }

  /** Of `xbm masks`. */
  get masksPicture(): string {
    return join(this.path, 'masks.png');
  }

  /** What belongs to one training: all but the config. */
  get #files(): string[] {
    return [
      ...[this.summary, this.checkpoint, this.environment, this.metrics, this.task, this.timings],
      ...[this.confusionTable, this.confusionPicture, this.masksPicture],
    ];
  }

  get status(): RunStatus {
    if (existsSync(this.summary)) return 'finished';
    return existsSync(this.checkpoint) ? 'unfinished' : 'absent';
  }

  /** @throws LockedError when another process is writing this run */
  lock(): Lock {
    return acquireLock(join(this.path, 'lock'));
  }

  /** As {@link lock}, but null when another process is writing this run. */
  lockUnlessWritten(): Lock | null {
    try {
      return this.lock();
    } catch (error) {
      if (error instanceof LockedError) return null;
      throw error;
    }
  }

  /**
   * Creates the folder and removes what an earlier run left in it; files that xbm did not write stay.
   * The summary goes first: whatever happens next, the rest no longer passes for a finished run.
   */
  clear(): void {
    makeFolder(this.path);
    for (const file of this.#files) rmSync(file, { force: true });
    for (const name of readdirSync(this.path)) if (isEventFile(name)) rmSync(join(this.path, name));
    this.removeLeftovers();
  }

  /** Removes temporary files of a process that was killed while it wrote here; only the holder of the lock may. */
  removeLeftovers(): void {
    for (const file of [
      this.config,
      this.environment,
      this.checkpoint,
      this.task,
      this.summary,
      this.timings,
    ])
      removeLeftovers(file);
  }

  /**
   * Before a fresh start that nobody forced.
   * @throws UserError when it would replace a trained task, or files that are not those of a run of xbm
   */
  requireOwn(): void {
    const taken = [this.config, ...this.#files].filter(existsSync);
    if (taken.length === 0) return;
    // A run has its summary before its checkpoint goes: this is the rest of a result that was copied or cleaned up.
    if (existsSync(this.task) && this.status === 'absent')
      throw new UserError(
        `${this.path}: holds a trained task (task.safetensors), but neither summary.json nor a checkpoint`,
        'Copy the whole run again, choose another folder with --out, or add --force to train in the place of that task.',
      );
    const hasConfig = existsSync(this.config);
    if (hasConfig && isPrintedExperiment(readFileSync(this.config, 'utf8'))) return;
    const why = hasConfig ? 'xbm did not write its config.yaml' : 'it has no config.yaml';
    const names = taken.map((file) => basename(file)).join(', ');
    throw new UserError(
      `${this.path}: is no run folder of xbm (${why}), but holds ${names}`,
      'Choose another folder with --out, or add --force to replace these files.',
    );
  }

  /** After a start that failed before its first step: removes what it wrote, unless there is a result or a record. */
  clearUnlessBegun(): void {
    if (!existsSync(this.path)) return;
    const recorded = statSync(this.metrics, { throwIfNoEntry: false })?.size ?? 0;
    if (this.status !== 'absent' || recorded > 0) return;
    this.clear();
    // Beside a log the config stays: it is what the log is about.
    const left = readdirSync(this.path).filter((name) => name !== 'lock');
    if (left.join() === 'config.yaml') rmSync(this.config);
  }

  /** @throws UserError when the run is not finished or its summary is damaged */
  readSummary(): RunSummary {
    if (this.status !== 'finished') {
      throw new UserError(`${this.path}: no finished run`, 'Train it with `xbm train`, or name another run.');
    }
    return parseSummary(this.summary, readFileSync(this.summary, 'utf8'));
  }

  /**
   * As {@link readSummary}.
   * @throws UserError also when files are missing, as after a copy that was cut short, or the config is damaged
   */
  readComplete(): RunSummary {
    const summary = this.readSummary();
    const missing = [this.config, this.task].filter((file) => !existsSync(file));
    if (missing.length === 0) {
      this.#requireSoundConfig();
      return summary;
    }
    const names = missing.map((file) => basename(file)).join(' and ');
    throw new UserError(
      `${this.path}: this run folder is incomplete: it lacks ${names}`,
      'Copy the whole folder again, or train the run anew with --force.',
    );
  }

  #requireSoundConfig(): void {
    try {
      loadExperiment({ config: this.config });
    } catch (error) {
      throw hinted(RESTORE, error);
    }
  }

  /** The whole task file of a finished run. @throws UserError when it is missing, damaged or another run's */
  async readTask(): Promise<Task> {
    const task = await withHint(RESTORE, readTaskFile(this.task));
    requireTaskOf(this.readSummary(), task, this.task);
    return task;
  }

  /** @throws UserError when they are missing or damaged */
  readTimings(): RunTimings {
    return parseTimings(this.timings, existsSync(this.timings) ? readFileSync(this.timings, 'utf8') : '');
  }
}

/** @throws UserError when the task in `file` is not that of the run with this summary */
export function requireTaskOf(summary: RunSummary, task: Task, file: string): void {
  if (task.configHash === summary.configHash) return;
  const [its, own] = [task, summary].map(({ configHash }) => configHash.slice(0, 8));
  throw new UserError(
    `${file}: is of another run: its config is ${its}, that of summary.json ${own}`,
    RESTORE,
  );
}

/**
 * Finished runs below a folder of runs, by name.
 * @param onLeftOut told why of each that is damaged or incomplete
 */
export function finishedRuns(folder: string, onLeftOut: (problem: UserError) => void): RunFolder[] {
  const isUsable = (run: RunFolder): boolean => {
    try {
      run.readComplete();
      return true;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      onLeftOut(error);
      return false;
    }
  };
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => new RunFolder(join(folder, entry.name)))
    .filter((run) => run.status === 'finished' && isUsable(run))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}
