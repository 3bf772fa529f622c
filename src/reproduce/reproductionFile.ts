/** @file The reproduction file: which experiments, with which seeds, on which hardware presets. */
import { existsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { isMapping, type Layer } from '../config/layer.js';
import { displayName } from '../config/load.js';
import { packagedConfigs, packagedReproductions, reproductionFile } from '../config/packaged.js';
import { configError, type Problem } from '../config/problems.js';
import { readSource } from '../config/source.js';
import { closest } from '../config/suggest.js';
import { UserError } from '../errors.js';

const methodName = z.enum(['xbm', 'piggyback', 'finetune', 'classifier']);
const label = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,63}$/, 'expected lower-case letters, digits and hyphens');
const text = z.string().min(1);
/** Part of an experiment; checked together with each experiment that it changes. */
const changes = z.record(z.string(), z.unknown());

const schema = z.strictObject({
  name: label,
  /** Shown above the tables; the name when null. */
  title: text.nullable().default(null),
  tasks: z.array(label).default([]),
  methods: z.array(methodName).default([]),
  /**
   * The experiment of a task and a method: a file relative to this one, or a packaged name. Without {method} in it,
   * each method takes the place of the file's own.
   */
  experiment: text
    .regex(/\{task\}|\{method\}/, 'expected a name with {task} and {method} in it')
    .default('{task}-{method}'),
  /** Experiments besides tasks × methods: files relative to this one, or packaged names. */
  experiments: z.array(text).default([]),
  seeds: z.array(z.int().min(0).max(0x7fffffff)).min(1, 'expected at least one seed').default([0]),
  /** What all experiments are changed to, those of one task, those of one method. */
  set: changes.default({}),
  setByTask: z.record(label, changes).default({}),
  setByMethod: z.partialRecord(methodName, changes).default({}),
  /** Every experiment once per variant, with these changes. */
  variants: z.record(label, changes).default({}),
  hardware: z.array(text).min(1, 'expected at least one hardware preset').default(['nn-imc']),
  /** `shared`: results/runs, where `xbm train` writes too; `own`: results/<name>/runs. */
  runs: z.enum(['shared', 'own']).default('shared'),
});

export type Reproduction = z.infer<typeof schema>;

export interface ReproductionSource {
  readonly file: string;
  /** Relative paths in the file start here. */
  readonly folder: string;
  readonly layer: Layer;
  readonly reproduction: Reproduction;
}

/**
 * Reads a reproduction file, by path or by the name of a packaged one.
 * @throws UserError naming file, line, column and key
 */
export function loadReproduction(name: string, cwd: string): ReproductionSource {
  const file = findFile(name, cwd);
  const layer = readSource(file, displayName(file, cwd), 'reproduction file');
  const result = schema.safeParse(layer.values);
  if (!result.success) throw configError(describe(result.error, layer), layer);
  const problems = contradictions(result.data);
  if (problems.length > 0) throw configError(problems, layer);
  return { file, folder: dirname(file), layer, reproduction: result.data };
}

/**
 * The same reproduction under another name: its results go to another folder.
 * @throws UserError when it cannot be the name of one
 */
export function renamed(source: ReproductionSource, name: string): ReproductionSource {
  const { success, error } = label.safeParse(name);
  if (success) return { ...source, reproduction: { ...source.reproduction, name } };
  throw new UserError(`--name ${name}: ${error.issues[0].message}`, 'Choose another name.');
}

function findFile(name: string, cwd: string): string {
  const file = resolve(cwd, name);
  if (statSync(file, { throwIfNoEntry: false })?.isFile()) return file;
  const packaged = reproductionFile(name);
  if (packaged) return packaged;
  const known = packagedReproductions();
  if (packagedConfigs().includes(name)) {
    throw new UserError(
      `"${name}" is a single experiment`,
      `Run it with \`xbm train ${name}.yaml\`, or name it in a reproduction file.`,
    );
  }
  const meant = closest(name.replace(/\.yaml$/, ''), known);
  throw new UserError(
    `reproduction file "${name}": no such file${meant ? `; did you mean "${meant}"?` : ''}`,
    `Give a YAML file, or one of the packaged ones: ${known.join(', ')}.`,
  );
}

/** A file relative to the reproduction file where there is one, else the name as it stands: a packaged experiment. */
export function experimentFile(name: string, folder: string): string {
  const file = join(folder, name);
  return existsSync(file) ? file : name;
}

function describe(error: z.ZodError, layer: Layer): Problem[] {
  const keys = Object.keys(schema.shape);
  return error.issues.flatMap((issue): Problem[] => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => {
        const near = closest(key, keys);
        const message = near
          ? `unknown key; did you mean "${near}"?`
          : `unknown key; ${keysHint(layer, keys)}`;
        return { path: [...issue.path, key], message, atKey: true };
      });
    }
    const message = issue.message.replace(/^Invalid (input|option): /, '');
    return [{ path: issue.path, message }];
  });
}

function keysHint(layer: Layer, keys: readonly string[]): string {
  return isMapping(layer.values) && 'task' in layer.values
    ? 'this looks like a single experiment: run it with `xbm train`'
    : `the keys here are ${keys.join(', ')}`;
}

function contradictions(reproduction: Reproduction): Problem[] {
  const { tasks, methods, experiments, setByTask, setByMethod } = reproduction;
  const problems: Problem[] = [];
  for (const key of ['tasks', 'methods', 'experiments', 'seeds', 'hardware'] as const) {
    const list: readonly unknown[] = reproduction[key];
    const twice = list.find((item, i) => list.indexOf(item) !== i);
    if (twice !== undefined) problems.push({ path: [key], message: `${twice} is listed twice` });
  }
  if (tasks.length > 0 !== methods.length > 0) {
    const [given, missing] = tasks.length > 0 ? ['tasks', 'methods'] : ['methods', 'tasks'];
    problems.push({ path: [given], message: `${given} without ${missing}; list both, or use experiments` });
  } else if (tasks.length + experiments.length === 0) {
    problems.push({ path: [], message: 'no experiments: list tasks and methods, or experiments' });
  }
  // With experiments besides, their tasks and methods are only known once they are read.
  if (experiments.length === 0) {
    for (const task of Object.keys(setByTask)) {
      if (!tasks.includes(task))
        problems.push({ path: ['setByTask', task], message: 'no such task in tasks', atKey: true });
    }
    for (const method of Object.keys(setByMethod)) {
      if (!methods.some((name) => name === method)) {
        problems.push({ path: ['setByMethod', method], message: 'no such method in methods', atKey: true });
      }
    }
  }
  return problems;
}
