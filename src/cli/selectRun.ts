import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { UserError } from '../errors.js';
import type { RunFolder } from '../runs/runFolder.js';
import type { Io } from './io.js';

/**
 * The run that `--run` names, else the newest finished one below results/runs.
 * @param task only runs of this task or experiment name
 * @throws UserError when there is none
 */
export async function selectRun(
  run: string | undefined,
  task: string | undefined,
  io: Io,
): Promise<RunFolder> {
  const { RunFolder, finishedRuns, runsFolder } = await import('../runs/runFolder.js');
  const { isOfTask } = await import('../runs/taskLabel.js');
  if (run !== undefined) {
    const folder = new RunFolder(resolve(io.cwd, run));
    if (!existsSync(folder.path)) throw new UserError(`${folder.path}: no such folder`, 'Check --run.');
    folder.readComplete();
    return folder;
  }
  const all = runsFolder(io.cwd);
  const newest = finishedRuns(all, noteLeftOut(io))
    .map((folder) => ({ folder, time: statSync(folder.summary).mtimeMs }))
    .sort((a, b) => b.time - a.time)
    .find(({ folder }) => isOfTask(folder.readSummary(), task));
  if (newest) return newest.folder;
  throw new UserError(
    `no finished run${task === undefined ? '' : ` of task ${task}`} in ${all}`,
    'Train one with `xbm train`, or name a run folder with --run.',
  );
}

/** For `finishedRuns`: what is left out is said. */
export function noteLeftOut(io: Io): (problem: UserError) => void {
  return ({ message }) => io.stderr(`left out: ${message}\n`);
}
