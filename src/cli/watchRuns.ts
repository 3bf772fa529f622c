import { join } from 'node:path';
import type { PlannedRun } from '../reproduce/expand.js';
import { readTail } from '../reproduce/launchers/failureReason.js';
import { type LaunchEvents, LOG_NAME } from '../reproduce/launchers/launcher.js';
import { formatDuration } from './format.js';
import type { Io } from './io.js';

/** Milliseconds between two looks at the logs. */
const INTERVAL = 10_000;

/** Tells on stderr of runs that start and end, and every ten seconds how far those in progress are. */
export function watchRuns(total: number, io: Io): { events: LaunchEvents; stop: () => void } {
  const started = new Map<string, { run: PlannedRun; at: number; shown: string }>();
  let begun = 0;
  const timer = setInterval(() => {
    for (const entry of started.values()) {
      const line = readTail(join(entry.run.folder, LOG_NAME)).trimEnd().split('\n').at(-1) ?? '';
      if (line !== '' && line !== entry.shown) io.stderr(`${line}\n`);
      entry.shown = line;
    }
  }, INTERVAL);
  timer.unref();
  return {
    events: {
      onStart: (run) => {
        begun++;
        io.stderr(`[${begun}/${total}] ${run.name}\n`);
        started.set(run.name, { run, at: performance.now(), shown: '' });
      },
      onEnd: (outcome) => {
        const { name } = outcome.run;
        const seconds = (performance.now() - (started.get(name)?.at ?? performance.now())) / 1000;
        started.delete(name);
        const reason = outcome.ended === 'failed' ? `: ${outcome.reason}` : '';
        io.stderr(`${name}: ${outcome.ended} after ${formatDuration(seconds)}${reason}\n`);
      },
      onNote: (text) => io.stderr(`${text}\n`),
    },
    stop: () => clearInterval(timer),
  };
}
