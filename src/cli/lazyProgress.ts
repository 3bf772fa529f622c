import type { Io } from './io.js';
import { type Progress, withProgress } from './progress.js';

/** Progress of work that may turn out to be done already: nothing is shown until the first report. */
export interface LazyProgress {
  /** Something has been reported. */
  readonly active: boolean;
  report(done: number, total: number): void;
  /** Ends what is shown; call it in any case. */
  close(): Promise<void>;
}

export function lazyProgress(io: Io, label: string, unit: string): LazyProgress {
  let progress: Progress | undefined;
  let shown: Promise<void> | undefined;
  let end = (): void => {};
  return {
    get active() {
      return shown !== undefined;
    },
    report(done, total) {
      shown ??= withProgress(io, { label, total, unit }, (started) => {
        progress = started;
        started.update(done);
        return new Promise<void>((resolve) => {
          end = resolve;
        });
      });
      progress?.update(done);
    },
    async close() {
      // The display may still be starting.
      if (shown && !progress) await new Promise((resolve) => setImmediate(resolve));
      end();
      await shown;
    },
  };
}
