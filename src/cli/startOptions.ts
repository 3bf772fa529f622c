/** @file --resume and --force, of `xbm train` and `xbm backbone train`. */
import { UserError } from '../errors.js';
import type { RunFolder } from '../runs/runFolder.js';
import type { Io } from './io.js';

export interface StartArguments {
  readonly resume?: boolean;
  readonly force?: boolean;
}

/** @throws UserError when both are given */
export function requireOneStart({ resume, force }: StartArguments): void {
  if (resume && force) {
    throw new UserError('--resume continues a run, --force starts it anew', 'Give one of them.');
  }
}

/**
 * Whether training continues the checkpoint of a locked folder without a finished run; says when there is none.
 * @throws UserError when there is one, and neither option says what to do with it
 */
export function startsFromCheckpoint(folder: RunFolder, { resume, force }: StartArguments, io: Io): boolean {
  const isUnfinished = folder.status === 'unfinished';
  if (isUnfinished && !resume && !force) {
    throw new UserError(
      `${folder.path}: holds a run that is not finished`,
      'Add --resume to continue it, or --force to train from the start.',
    );
  }
  if (resume && !isUnfinished) io.stderr(`${folder.path}: no checkpoint; training from the start\n`);
  return resume === true && isUnfinished;
}
