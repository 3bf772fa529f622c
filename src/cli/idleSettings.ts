import type { Experiment } from '../config/schema.js';
import type { Io } from './io.js';

/** Says which of the --set change nothing: all experiments have all keys, but not every one reads them all. */
export async function noteIdleSettings(
  experiment: Experiment,
  set: readonly string[],
  io: Io,
): Promise<void> {
  const { plainValues } = await import('../config/layer.js');
  const { parseOverride } = await import('../config/override.js');
  const { idleKeys } = await import('../config/resolve.js');
  const idle = idleKeys(experiment);
  for (const text of set) {
    for (const [key] of plainValues(parseOverride(text).values)) {
      const why = idle.get(key);
      if (why !== undefined) io.stderr(`Note: --set ${text} changes nothing: ${why} (${key})\n`);
    }
  }
}
