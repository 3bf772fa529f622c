/** @file From a reproduction file to its runs: every experiment, variant and seed, resolved and named. */
import { join } from 'node:path';
import type { MethodName } from '../adaption/method.js';
import { configHash } from '../config/hash.js';
import { isMapping, type Layer, type Place } from '../config/layer.js';
import { loadExperiment, withAbsolutePaths } from '../config/load.js';
import { methodLayer } from '../config/methodLayer.js';
import type { Experiment } from '../config/schema.js';
import { UserError } from '../errors.js';
import { runName, runsFolder } from '../runs/runFolder.js';
import { taskLabel } from '../runs/taskLabel.js';
import { experimentFile, type ReproductionSource } from './reproductionFile.js';

/** One run of a reproduction. */
export interface PlannedRun {
  /** Name of its run folder. */
  readonly name: string;
  readonly folder: string;
  /** The task; for a folder of images the experiment's name. */
  readonly task: string;
  readonly method: MethodName;
  /**
   * Tells apart the experiments of one task and method: the variant's name, and the file's where several files are of
   * that task and method; null where there is one only.
   */
  readonly variant: string | null;
  readonly seed: number;
  readonly experiment: Experiment;
  readonly configHash: string;
}

export interface ExpandOptions {
  readonly cwd: string;
  /** `key.path=value` of the command line, on top of everything. */
  readonly overrides?: readonly string[];
}

/** `results/<name>` below a working directory. */
export function resultsFolder(cwd: string, name: string): string {
  return join(cwd, 'results', name);
}

/**
 * All runs of a reproduction, in the order of every table: tasks, then methods, each as the file lists them first, then
 * experiments, variants and seeds.
 * @throws UserError naming file, line, column and key of what is wrong, or two runs that are the same
 */
export function expandRuns(source: ReproductionSource, options: ExpandOptions): PlannedRun[] {
  const { reproduction } = source;
  const folder =
    reproduction.runs === 'own'
      ? join(resultsFolder(options.cwd, reproduction.name), 'runs')
      : runsFolder(options.cwd);
  const found: { readonly run: PlannedRun; readonly file: string }[] = [];
  for (const entry of entriesOf(source)) {
    for (const variant of variantsOf(source)) {
      for (const seed of reproduction.seeds) {
        const experiment = resolveExperiment(source, entry, variant, seed, options);
        const hash = configHash(experiment);
        const name = runName(experiment, hash);
        if (found.some(({ run }) => run.name === name)) {
          throw new UserError(
            `${source.layer.places.get('')?.value}: two runs are the same: ${name} (${[entry.config, variant].filter(Boolean).join(', ')})`,
            'Remove one of the experiments, or change what makes them differ.',
          );
        }
        const run = {
          name,
          folder: join(folder, name),
          task: taskLabel(experiment),
          method: experiment.method.name,
          variant,
          seed,
          experiment,
          configHash: hash,
        };
        found.push({ run, file: entry.label });
      }
    }
  }
  const runs = found.map(({ run, file }): PlannedRun => {
    const several = found.some(
      (other) => other.file !== file && other.run.task === run.task && other.run.method === run.method,
    );
    return several ? { ...run, variant: [run.variant ?? [], file].flat().join(', ') } : run;
  });
  const tasks = runs.map(({ task }) => task);
  const methods = runs.map(({ method }) => method);
  return runs.sort(
    (a, b) =>
      tasks.indexOf(a.task) - tasks.indexOf(b.task) || methods.indexOf(a.method) - methods.indexOf(b.method),
  );
}

/** An experiment's file, and the method that takes the place of its own. */
interface Entry {
  readonly config: string;
  /** As the reproduction file names it, without the ending. */
  readonly label: string;
  readonly method: MethodName | null;
}

function entriesOf({ reproduction, folder }: ReproductionSource): Entry[] {
  const { tasks, methods, experiment, experiments } = reproduction;
  const products = tasks.flatMap((task) =>
    methods.map((method) => ({
      config: experiment.replaceAll('{task}', task).replaceAll('{method}', method),
      method: experiment.includes('{method}') ? null : method,
    })),
  );
  return [...products, ...experiments.map((config) => ({ config, method: null }))].map((entry) => ({
    ...entry,
    config: experimentFile(entry.config, folder),
    label: entry.config.replace(/\.ya?ml$/, ''),
  }));
}

function variantsOf({ reproduction }: ReproductionSource): (string | null)[] {
  const names = Object.keys(reproduction.variants);
  return names.length > 0 ? names : [null];
}

function resolveExperiment(
  source: ReproductionSource,
  { config, method }: Entry,
  variant: string | null,
  seed: number,
  { cwd, overrides }: ExpandOptions,
): Experiment {
  const changes = (...path: string[]): Layer =>
    withAbsolutePaths(subLayer(source.layer, path), source.folder);
  // Task and method are the experiment's own: found before what depends on them is applied.
  const methodPlace = source.layer.places.get('methods')?.value ?? 'methods';
  const own = method === null ? [] : [methodLayer(method, methodPlace)];
  const plain = loadExperiment({ config, layers: [...own, changes('set')], cwd });
  const seedPlace = source.layer.places.get('seeds')?.value ?? 'seeds';
  return loadExperiment({
    config,
    layers: [
      ...own,
      changes('set'),
      changes('setByTask', taskLabel(plain)),
      changes('setByMethod', plain.method.name),
      ...(variant === null ? [] : [changes('variants', variant)]),
      {
        values: { training: { seed } },
        places: new Map([['training.seed', { key: seedPlace, value: seedPlace }]]),
      },
    ],
    overrides,
    cwd,
  });
}

/** What a layer holds below a key path, as a layer of its own that still knows where each key was written. */
function subLayer(layer: Layer, path: readonly string[]): Layer {
  let values: unknown = layer.values;
  for (const key of path) values = isMapping(values) ? values[key] : undefined;
  const prefix = `${path.join('.')}.`;
  const places = new Map<string, Place>();
  for (const [key, place] of layer.places) {
    if (key.startsWith(prefix)) places.set(key.slice(prefix.length), place);
  }
  return { values: isMapping(values) ? values : {}, places };
}
