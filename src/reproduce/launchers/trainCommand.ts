import { join } from 'node:path';
import { experimentToYaml } from '../../config/print.js';
import { makeFolder } from '../../folders.js';
import { replaceFile } from '../../model/replaceFile.js';
import { packageRoot } from '../../paths.js';
import { RunFolder } from '../../runs/runFolder.js';
import type { PlannedRun } from '../expand.js';

/** Starts xbm as a process of its own. */
export function xbmProgram(): string[] {
  return [process.execPath, join(packageRoot(), 'bin', 'xbm.js')];
}

/**
 * The arguments that train a run, or continue it, in its folder. They name the folder's own config.yaml, which is
 * written here: what runs is what the plan resolved, whatever happens to the experiment's files meanwhile.
 */
export async function trainArguments(run: PlannedRun): Promise<string[]> {
  const { config } = new RunFolder(run.folder);
  makeFolder(run.folder);
  await replaceFile(config, [Buffer.from(experimentToYaml(run.experiment))]);
  return ['train', config, '--out', run.folder, '--resume'];
}
