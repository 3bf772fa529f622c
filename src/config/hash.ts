import { createHash } from 'node:crypto';
import { isAbsolute } from 'node:path';
import { isMapping } from './layer.js';
import { idleKeys, resolveMethod } from './resolve.js';
import { type Experiment, experimentSchema } from './schema.js';

/**
 * SHA-256 (hex) of what in an experiment can change its result; run folders use the first 8 digits.
 * Left out: where data and caches lie, worker and engine threads, how often checkpoints are written, the hardware that
 * a trained task is priced on, the name (kept for task `folder`, where it stands for the data). Of a weights file only
 * its name counts, not its folder. Keys that the experiment does not read count as their defaults.
 */
export function configHash(experiment: Experiment): string {
  return createHash('sha256')
    .update(canonicalJson(hashedContent(experiment)))
    .digest('hex');
}

/** What {@link configHash} is the hash of. */
export function hashedContent(experiment: Experiment): Record<string, unknown> {
  const {
    name,
    data,
    backbone,
    training,
    threads: _threads,
    hardware: _hardware,
    ...rest
  } = withIdleDefaults(resolveMethod(experiment));
  const { root: _root, cache: _cache, workers: _workers, ...dataContent } = data;
  const { checkpointMinutes: _minutes, ...trainingContent } = training;
  return {
    ...rest,
    ...(experiment.task === 'folder' ? { name } : {}),
    data: dataContent,
    backbone: { ...backbone, weights: fileName(backbone.weights) },
    training: trainingContent,
  };
}

/** The same for every task. */
const defaults = experimentSchema.parse({ task: 'cubs' });

function withIdleDefaults(experiment: Experiment): Experiment {
  const result = structuredClone(experiment);
  for (const key of idleKeys(experiment).keys()) {
    const path = key.split('.');
    const last = path.pop()!;
    const within = (root: object) => path.reduce((value, part) => Reflect.get(value, part) as object, root);
    Reflect.set(within(result), last, Reflect.get(within(defaults), last));
  }
  return result;
}

/** The first 8 digits of {@link configHash}. */
export function shortHash(experiment: Experiment): string {
  return configHash(experiment).slice(0, 8);
}

function fileName(weights: string): string {
  return isAbsolute(weights) ? weights.split(/[\\/]/).at(-1)! : weights;
}

/** JSON with the keys of every mapping sorted. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    isMapping(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : item,
  );
}
