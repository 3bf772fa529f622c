import { realpathSync, type Stats, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, relative, resolve } from 'node:path';
import { UserError } from '../errors.js';
import { quoteValue } from './describe.js';
import { isMapping, type Layer, mergeLayers, type Values } from './layer.js';
import { parseOverride } from './override.js';
import { hardwarePresets, packagedConfig, packagedConfigs } from './packaged.js';
import { configError, describeIssues, type Problem } from './problems.js';
import { contradictions, resolveMethod } from './resolve.js';
import { type Experiment, experimentSchema } from './schema.js';
import { readSource } from './source.js';
import { closest } from './suggest.js';

export interface LoadOptions {
  /** A YAML file, or the name of a packaged config. */
  readonly config: string;
  /** Further layers on top of the file and below the overrides; their paths are absolute ({@link withAbsolutePaths}). */
  readonly layers?: readonly Layer[];
  /** `key.path=value`, the last one wins. */
  readonly overrides?: readonly string[];
  /** Relative paths on the command line start here; default: the working directory. */
  readonly cwd?: string;
}

/**
 * Reads an experiment: the file, what it extends, overrides on top, checked, with the method's defaults filled in.
 * Relative paths are relative to the file that says them, those of overrides to `cwd`.
 * @throws UserError naming file, line, column and key, and what was expected
 */
export function loadExperiment(options: LoadOptions): Experiment {
  const { config, layers = [], overrides = [], cwd = process.cwd() } = options;
  const file = findConfig(config, cwd);
  if (!file) throw notFound(config, cwd, `config "${config}"`);
  let layer = layers.reduce(mergeLayers, loadChain(file, cwd, []));
  for (const text of overrides) layer = mergeLayers(layer, withAbsolutePaths(parseOverride(text), cwd));
  return checkExperiment(layer);
}

function checkExperiment(layer: Layer): Experiment {
  const result = experimentSchema.safeParse(layer.values);
  if (!result.success) throw configError(describeIssues(result.error, layer), layer);
  const experiment = resolveMethod(result.data);
  const problems = [...contradictions(experiment), ...unknownHardware(experiment)];
  if (problems.length > 0) throw configError(problems, layer);
  return experiment;
}

/** A file may lie on another machine than this one; a name must be that of a preset. */
function unknownHardware({ hardware }: Experiment): Problem[] {
  const presets = hardwarePresets();
  if (isAbsolute(hardware) || presets.includes(hardware)) return [];
  const meant = closest(hardware, presets);
  const message = `expected a YAML file or one of ${presets.join(', ')}, found ${quoteValue(hardware)}`;
  return [{ path: ['hardware'], message: meant ? `${message}; did you mean "${meant}"?` : message }];
}

/** A file or pipe relative to `folder`, else a packaged config of that name. */
function findConfig(name: string, folder: string): string | undefined {
  const file = resolve(folder, name);
  const stats = statsOf(file);
  return stats?.isFile() || stats?.isFIFO() ? file : packagedConfig(name);
}

function statsOf(file: string): Stats | undefined {
  return statSync(file, { throwIfNoEntry: false });
}

function notFound(name: string, folder: string, what: string): UserError {
  const stats = statsOf(resolve(folder, name));
  if (stats) {
    const found = stats.isDirectory() ? 'is a folder' : 'is neither a file nor a pipe';
    return new UserError(`${what}: ${found}`, 'Name a YAML file, or a packaged config (`xbm config list`).');
  }
  const meant = closest(name.replace(/\.yaml$/, ''), packagedConfigs());
  return new UserError(
    `${what}: no such file, and no packaged config of that name${meant ? `; did you mean "${meant}"?` : ''}`,
    'See `xbm config list`.',
  );
}

/** What was read from pipes (`<(…)`, /dev/stdin), by path: they can be read once, and a command may load a config twice. */
const fromPipes = new Map<string, Layer>();

function readConfig(file: string, cwd: string, isPipe: boolean): Layer {
  const layer = (isPipe && fromPipes.get(file)) || readSource(file, displayName(file, cwd), 'experiment');
  if (isPipe) fromPipes.set(file, layer);
  return layer;
}

/** A file on top of everything it extends. `chain` holds the real paths of the files that led here. */
function loadChain(file: string, cwd: string, chain: readonly string[]): Layer {
  const isPipe = statsOf(file)?.isFIFO() === true;
  const layer = readConfig(file, cwd, isPipe);
  const { extends: parent, ...values } = layer.values;
  // What a pipe or /dev/stdin says is relative to the working directory: it lies in no folder of its own.
  const folder = isPipe || file.startsWith('/dev/') ? cwd : dirname(file);
  const own = withAbsolutePaths({ values, places: layer.places }, folder);
  if (parent === undefined) return own;

  const at = layer.places.get('extends')?.value;
  if (typeof parent !== 'string') {
    throw new UserError(
      `${at}: extends: expected the name of a config file`,
      'For example: extends: base.yaml',
    );
  }
  const parentFile = findConfig(parent, folder);
  if (!parentFile) throw notFound(parent, folder, `${at}: extends: "${parent}"`);
  const seen = [...chain, realPath(file)];
  const start = seen.indexOf(realPath(parentFile));
  if (start >= 0) {
    const circle = [...seen.slice(start), seen[start]].map((path) => displayName(path, cwd));
    throw new UserError(`${at}: extends: files extend each other in a circle: ${circle.join(' → ')}`);
  }
  return mergeLayers(loadChain(parentFile, cwd, seen), own);
}

/** An open pipe has none: the link in /dev/fd leads to no path. */
function realPath(file: string): string {
  return statsOf(file)?.isFIFO() ? file : realpathSync(file);
}

/** Short where that is clear: relative to the working directory when inside it. */
export function displayName(file: string, cwd: string): string {
  const short = relative(cwd, file);
  return short.startsWith('..') || isAbsolute(short) ? file : short;
}

/** Keys that always hold a path, and keys that hold one when it looks like a path rather than a name. */
const pathKeys: readonly { section: string | null; key: string; always: boolean }[] = [
  { section: 'data', key: 'root', always: true },
  { section: 'data', key: 'cache', always: true },
  { section: 'backbone', key: 'weights', always: false },
  { section: null, key: 'hardware', always: false },
];

/** True for `./x`, `a/b`, `x.safetensors`, `x.yaml`; false for a bare name. */
function looksLikePath(text: string): boolean {
  return /[\\/]|^~$|\.(safetensors|ya?ml)$/.test(text);
}

/** The layer with its relative paths taken from `folder`. */
export function withAbsolutePaths(layer: Layer, folder: string): Layer {
  const values = structuredClone(layer.values);
  for (const { section, key, always } of pathKeys) {
    const parent = section === null ? values : values[section];
    if (!isMapping(parent)) continue;
    const text = (parent as Values)[key];
    // What is no possible path is left for the schema to refuse.
    if (typeof text !== 'string' || text === '' || text.includes('\0')) continue;
    if (!always && !looksLikePath(text)) continue;
    parent[key] = resolve(folder, text.replace(/^~(?=$|\/)/, homedir()));
  }
  return { values, places: layer.places };
}
