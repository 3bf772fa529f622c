import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { UserError } from '../errors.js';
import { refusals } from '../model/replaceFile.js';
import type { RunFolder } from '../runs/runFolder.js';
import type { Io } from './io.js';

export interface RunFilter {
  /** Passes over runs of methods without masks. */
  readonly withMasks?: boolean;
}

/**
 * The run that `--run` names, else the newest finished one below results/runs.
 * @param task only runs of this task or experiment name
 * @throws UserError when there is none, or both name one
 */
export async function selectRun(
  run: string | undefined,
  task: string | undefined,
  io: Io,
  { withMasks = false }: RunFilter = {},
): Promise<RunFolder> {
  if (run !== undefined && task !== undefined)
    throw new UserError('--run and --task both name a run', 'Give one of them.');
  const { RunFolder, finishedRuns, runsFolder } = await import('../runs/runFolder.js');
  const { isOfTask } = await import('../runs/taskLabel.js');
  if (run !== undefined) {
    const folder = new RunFolder(resolve(io.cwd, run));
    if (!existsSync(folder.path)) throw new UserError(`${folder.path}: no such folder`, 'Check --run.');
    refuseUnfinished(folder);
    folder.readComplete();
    return folder;
  }
  const all = runsFolder(io.cwd);
  const newest = finishedRuns(all, noteLeftOut(io))
    .map((folder) => ({ folder, time: statSync(folder.summary).mtimeMs }))
    .sort((a, b) => b.time - a.time)
    .find(({ folder }) => {
      const summary = folder.readSummary();
      return isOfTask(summary, task) && (!withMasks || summary.maskBits > 0);
    });
  if (newest) return newest.folder;
  const wanted = `${task === undefined ? '' : ` of task ${task}`}${withMasks ? ' with masks (method xbm or piggyback)' : ''}`;
  throw await noRun(`no finished run${wanted} in ${all}`, all, task);
}

/** Says what there is instead, and which of it goes on with --resume. */
async function noRun(problem: string, folder: string, task: string | undefined): Promise<UserError> {
  const { listRuns } = await import('../runs/runList.js');
  const others = (await listRuns(folder, task)).filter(({ state }) => state !== 'unreadable');
  const names = others.slice(0, 3).map((run) => `${basename(run.folder)} (${run.state})`);
  if (others.length > 3) names.push(`${others.length - 3} more`);
  const canResume = others.some(({ state }) => state === 'unfinished');
  return new UserError(
    [problem, ...(names.length > 0 ? [`only ${names.join(', ')}`] : [])].join(', '),
    canResume
      ? `${RESUME} Or name a run folder with --run.`
      : 'Train one with `xbm train`, or name a run folder with --run.',
  );
}

const RESUME =
  'Let the unfinished run end, or continue it: `xbm train` with the same arguments and --resume.';

/** @throws UserError when the run has a checkpoint, but no result yet */
export function refuseUnfinished(run: RunFolder): void {
  if (run.status === 'unfinished') throw new UserError(`${run.path}: this run is not finished`, RESUME);
}

/**
 * For what is written into a run folder unless --out says otherwise: asked before the work, not after it.
 * @throws UserError when the folder takes no files
 */
export function requireWritable(folder: string): void {
  try {
    accessSync(folder, constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const problem = code === undefined ? undefined : refusals[code];
    if (problem) throw new UserError(`${folder}: ${problem}`, 'Choose another place with --out.');
    // Anything else is for the write to explain.
  }
}

/** For `finishedRuns`: what is left out is said. */
export function noteLeftOut(io: Io): (problem: UserError) => void {
  return ({ message }) => io.stderr(`left out: ${message}\n`);
}
