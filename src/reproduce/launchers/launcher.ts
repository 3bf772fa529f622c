/** @file The seam between a plan and where its runs are executed. */
import type { PlannedRun } from '../expand.js';

/** How a run ended. */
export type Outcome =
  | { readonly run: PlannedRun; readonly ended: 'finished' }
  | { readonly run: PlannedRun; readonly ended: 'failed'; readonly reason: string }
  /** Stopped on request; the same command continues it. */
  | { readonly run: PlannedRun; readonly ended: 'interrupted' };

export interface LaunchEvents {
  readonly onStart?: (run: PlannedRun) => void;
  readonly onEnd?: (outcome: Outcome) => void;
  /** Something to tell the user: a wait, a resubmission. */
  readonly onNote?: (text: string) => void;
}

export interface Launcher {
  /**
   * Executes runs, each in a process of its own; a failing run does not stop the others.
   * @param signal asks for an orderly end
   * @returns one outcome per run that was started or adopted
   */
  launch(runs: readonly PlannedRun[], events: LaunchEvents, signal?: AbortSignal): Promise<Outcome[]>;
}

/** Where a run's messages go. */
export const LOG_NAME = 'log.txt';
