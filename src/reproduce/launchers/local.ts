/** @file Runs as processes of this machine, side by side. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ExitCode, inOneLine, UserError } from '../../errors.js';
import { LockedError } from '../../runs/lock.js';
import { RunFolder } from '../../runs/runFolder.js';
import type { PlannedRun } from '../expand.js';
import { failureReason, logBytes, readTail } from './failureReason.js';
import { type LaunchEvents, type Launcher, LOG_NAME, type Outcome } from './launcher.js';
import { trainArguments, xbmProgram } from './trainCommand.js';

export interface LocalOptions {
  /** Processes at a time. */
  readonly jobs: number;
  /** CUDA devices, one per process; empty: all processes see all. */
  readonly gpus?: readonly string[];
  /** Working directory and environment of the processes. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The program and its first arguments. */
  readonly program?: readonly string[];
  /** Cores to share out; default: all. */
  readonly cores?: number;
}

/** Milliseconds between two looks at a run that a process of an earlier start still writes. */
const LOOK_INTERVAL = 500;

export class LocalLauncher implements Launcher {
  readonly #options: LocalOptions;
  readonly #children = new Set<ChildProcess>();

  constructor(options: LocalOptions) {
    this.#options = options;
  }

  async launch(runs: readonly PlannedRun[], events: LaunchEvents, signal?: AbortSignal): Promise<Outcome[]> {
    const queue = [...runs];
    const lanes = Math.min(this.#options.jobs, runs.length);
    const outcomes: Outcome[] = [];
    const lane = async (slot: number): Promise<void> => {
      for (let run = queue.shift(); run && !signal?.aborted; run = queue.shift()) {
        events.onStart?.(run);
        const outcome = await this.#execute(run, { slot, lanes }, events, signal);
        outcomes.push(outcome);
        events.onEnd?.(outcome);
      }
    };
    // Asked once: a second signal would make the processes drop the step they are in.
    const stop = (): void => {
      for (const child of this.#children) child.kill('SIGTERM');
    };
    signal?.addEventListener('abort', stop, { once: true });
    try {
      await Promise.all(Array.from({ length: lanes }, (_, i) => lane(i)));
    } finally {
      signal?.removeEventListener('abort', stop);
    }
    return outcomes;
  }

  async #execute(
    run: PlannedRun,
    { slot, lanes }: { readonly slot: number; readonly lanes: number },
    events: LaunchEvents,
    signal: AbortSignal | undefined,
  ): Promise<Outcome> {
    let args: string[];
    try {
      await waitForWriter(run, events, signal);
      args = await trainArguments(run);
    } catch (error) {
      if (error instanceof UserError) return { run, ended: 'failed', reason: inOneLine(error) };
      throw error;
    }
    if (signal?.aborted) return { run, ended: 'interrupted' };
    const log = join(run.folder, LOG_NAME);
    const logStart = logBytes(log);
    const { code, by } = await this.#process([...args, ...this.#threads(run, lanes)], log, slot);
    if (code === ExitCode.ok) return { run, ended: 'finished' };
    if (signal?.aborted || code === ExitCode.interrupted) return { run, ended: 'interrupted' };
    const ending = by ? `killed by ${by}` : `exit code ${code}`;
    return { run, ended: 'failed', reason: failureReason(readTail(log, logStart), ending) };
  }

  /** Each process gets its part of the cores, unless the experiment itself says how many. */
  #threads({ experiment }: PlannedRun, lanes: number): string[] {
    if (experiment.threads !== 0) return [];
    const cores = this.#options.cores ?? availableParallelism();
    return ['--set', `threads=${Math.max(1, Math.floor(cores / lanes))}`];
  }

  /** A process group of its own, so that Ctrl-C reaches the process once, through this launcher. */
  #process(
    args: readonly string[],
    log: string,
    slot: number,
  ): Promise<{ code: number | null; by: NodeJS.Signals | null }> {
    const [command, ...first] = this.#options.program ?? xbmProgram();
    const { cwd, env, gpus = [] } = this.#options;
    const device = gpus.length > 0 ? { CUDA_VISIBLE_DEVICES: gpus[slot % gpus.length] } : {};
    const file = openSync(log, 'a');
    return new Promise((resolve, reject) => {
      const child = spawn(command, [...first, ...args], {
        cwd,
        env: { ...env, ...device },
        stdio: ['ignore', file, file],
        detached: true,
      });
      closeSync(file);
      this.#children.add(child);
      child.on('error', reject);
      child.on('exit', (code, by) => {
        this.#children.delete(child);
        resolve({ code, by });
      });
    });
  }
}

/**
 * After this program was killed its processes go on: their work is waited for, not repeated.
 * @throws UserError when the folder cannot be locked for another reason than a living process
 */
async function waitForWriter(
  run: PlannedRun,
  events: LaunchEvents,
  signal: AbortSignal | undefined,
): Promise<void> {
  let told = false;
  while (!signal?.aborted) {
    try {
      new RunFolder(run.folder).lock().release();
      return;
    } catch (error) {
      if (!(error instanceof LockedError && error.alive)) throw error;
      if (!told) events.onNote?.(`${run.name}: ${error.message}; waiting for it`);
      told = true;
      await delay(LOOK_INTERVAL);
    }
  }
}
