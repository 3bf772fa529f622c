/** @file What is there of a run already. */
import { statSync } from 'node:fs';
import { UserError } from '../errors.js';
import { readSafetensors } from '../model/safetensors.js';
import { peekCheckpoint } from '../runs/checkpointFile.js';
import { requireRecords } from '../runs/resume.js';
import { RunFolder } from '../runs/runFolder.js';
import type { PlannedRun } from './expand.js';

/**
 * `done`: its result is there; `resume`: a checkpoint is; `train`: nothing is; `again`: what is there cannot be used.
 */
export type RunState = 'done' | 'resume' | 'train' | 'again';

export interface Inspection {
  readonly state: RunState;
  /** Training steps in the checkpoint. */
  readonly steps: number;
  /** Why what is there cannot be used. */
  readonly note: string | null;
}

/** Looks into a run folder; changes nothing. */
export async function inspectRun(run: PlannedRun): Promise<Inspection> {
  const folder = new RunFolder(run.folder);
  const at = (state: RunState, note: string | null = null, steps = 0): Inspection => ({ state, steps, note });
  try {
    if (folder.status === 'absent') return at('train');
    if (folder.status === 'unfinished') {
      const { step, metricsBytes } = await peekCheckpoint(folder.checkpoint);
      requireRecords(folder.metrics, metricsBytes);
      // A flipped bit does not show in the header.
      await readSafetensors(folder.checkpoint);
      return at('resume', null, step);
    }
    const { configHash } = folder.readSummary();
    if (configHash !== run.configHash) return at('again', 'its summary is of another experiment');
    await folder.readTask();
    return at('done');
  } catch (error) {
    if (error instanceof UserError) return at('again', error.message);
    throw error;
  }
}

/** Changes when training gets on: the checkpoint's time; 0 without one. */
export function checkpointTime(run: PlannedRun): number {
  return statSync(new RunFolder(run.folder).checkpoint, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
