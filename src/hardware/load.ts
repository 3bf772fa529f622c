/** @file Reads a hardware description: the file, what it extends, overrides on top, every constant with its source. */
import { statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { quoteValue } from '../config/describe.js';
import { isMapping, type Layer, mergeLayers, type Values } from '../config/layer.js';
import { parseOverride } from '../config/override.js';
import { hardwarePresets } from '../config/packaged.js';
import { configError, describeIssue, type Problem, valueAt } from '../config/problems.js';
import { readSource } from '../config/source.js';
import { closest } from '../config/suggest.js';
import { UserError } from '../errors.js';
import { packageRoot } from '../paths.js';
import { ASSUMPTION, constantsOf, type HardwareDescription, hardwareSchema } from './description.js';

/** Source of a constant that was set on the command line or by a sweep. */
export const OVERRIDE = 'override';

const presetFolder = (): string => join(packageRoot(), 'configs', 'hardware');

/**
 * Reads a preset by name or a description by file, with `key=value` overrides on top. An override of a constant keeps
 * its unit; its source becomes "override".
 * @throws UserError naming file, line, column and key
 */
export function loadHardware(
  name: string,
  overrides: readonly string[] = [],
  cwd = process.cwd(),
): HardwareDescription {
  const file = findDescription(name, cwd);
  if (!file) {
    const meant = closest(name, hardwarePresets());
    throw new UserError(
      `no hardware description "${name}"${meant ? `; did you mean "${meant}"?` : ''}`,
      `Give a YAML file or one of the presets: ${hardwarePresets().join(', ')}.`,
    );
  }
  let layer = loadChain(file, []);
  for (const text of overrides) layer = applyOverride(layer, text);
  return checkHardware(layer);
}

/**
 * A description with constants or policies replaced by dotted key, checked as a file is; sweeps use it.
 * @param option the one that errors name
 */
export function withOverrides(
  hardware: HardwareDescription,
  overrides: Readonly<Record<string, unknown>>,
  option?: string,
): HardwareDescription {
  let layer: Layer = { values: hardware as unknown as Values, places: new Map() };
  for (const [key, value] of Object.entries(overrides)) {
    layer = applyOverride(layer, `${key}=${JSON.stringify(value)}`, option);
  }
  return checkHardware(layer);
}

function findDescription(name: string, folder: string): string | undefined {
  const candidates = [resolve(folder, name)];
  if (/^[\w-]+(\.yaml)?$/.test(name)) {
    candidates.push(join(presetFolder(), name.endsWith('.yaml') ? name : `${name}.yaml`));
  }
  return candidates.find((file) => statSync(file, { throwIfNoEntry: false })?.isFile());
}

function loadChain(file: string, chain: readonly string[]): Layer {
  const layer = readSource(file, basename(file), 'hardware description');
  const { extends: parent, ...values } = layer.values;
  const own: Layer = { values, places: layer.places };
  if (parent === undefined) return own;
  const at = layer.places.get('extends')?.value;
  const parentFile = typeof parent === 'string' ? findDescription(parent, dirname(file)) : undefined;
  if (!parentFile) {
    throw new UserError(
      `${at}: extends: no such hardware description`,
      'Name a YAML file beside this one, or a preset.',
    );
  }
  if ([...chain, file].includes(parentFile)) {
    throw new UserError(`${at}: extends: descriptions extend each other in a circle`);
  }
  return mergeConstants(loadChain(parentFile, [...chain, file]), own);
}

/** Mappings merge, but a constant replaces the one below as a whole: a new value must not keep an old source. */
function mergeConstants(base: Layer, over: Layer): Layer {
  const places = new Map(base.places);
  const cut = (below: unknown, above: unknown, path: string): unknown => {
    if (!isMapping(below) || !isMapping(above)) return below;
    if ('value' in above) {
      for (const place of places.keys()) if (place.startsWith(`${path}.`)) places.delete(place);
      return undefined;
    }
    return Object.fromEntries(
      Object.entries(below).map(([key, value]) => [
        key,
        cut(value, above[key], path ? `${path}.${key}` : key),
      ]),
    );
  };
  return mergeLayers({ values: cut(base.values, over.values, '') as Values, places }, over);
}

function applyOverride(layer: Layer, text: string, option?: string): Layer {
  const override = parseOverride(text, option);
  const keys = text.slice(0, text.indexOf('=')).trim().split('.');
  const value = at(override.values, keys);
  const unit = unitOf(keys);
  if (unit === undefined || isMapping(value) || value === null) return mergeConstants(layer, override);
  const before = at(layer.values, keys);
  const note = isMapping(before) ? `${before.source}: ${String(before.value)} ${unit}` : 'not given';
  let values: unknown = { value, unit, source: OVERRIDE, note: `was ${note}` };
  for (const key of [...keys].reverse()) values = { [key]: values };
  return mergeConstants(layer, { values: values as Values, places: override.places });
}

function at(values: unknown, keys: readonly string[]): unknown {
  return keys.reduce<unknown>((value, key) => (isMapping(value) ? value[key] : undefined), values);
}

interface SchemaNode {
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly anyOf?: readonly SchemaNode[];
  readonly const?: unknown;
  readonly type?: string;
}

const root = z.toJSONSchema(hardwareSchema) as SchemaNode;

function schemaAt(keys: readonly PropertyKey[]): SchemaNode | undefined {
  let node: SchemaNode | undefined = root;
  for (const key of keys) {
    const options: readonly SchemaNode[] = node?.anyOf ?? (node ? [node] : []);
    node = options.map((option) => option.properties?.[String(key)]).find((found) => found !== undefined);
  }
  return node;
}

/** The unit of the constant at a key; undefined when the key holds none. */
export function unitOf(keys: readonly PropertyKey[]): string | undefined {
  return schemaAt([...keys, 'unit'])?.const as string | undefined;
}

/** Whether the constant at a key counts something. */
export function isWholeNumber(keys: readonly string[]): boolean {
  return schemaAt([...keys, 'value'])?.type === 'integer';
}

function checkHardware(layer: Layer): HardwareDescription {
  const result = hardwareSchema.safeParse(layer.values);
  if (!result.success) {
    throw configError(
      result.error.issues.flatMap((issue): Problem[] => {
        if (issue.code !== 'unrecognized_keys') return [describeInvalid(issue, layer)];
        return issue.keys.map((key) => ({
          path: [...issue.path, key],
          message: `unknown key; ${knownKeys(issue.path, key)}`,
          atKey: true,
        }));
      }),
      layer,
    );
  }
  const problems = sourceProblems(result.data);
  if (problems.length > 0) throw configError(problems, layer);
  return result.data;
}

function describeInvalid(issue: z.core.$ZodIssue, layer: Layer): Problem {
  const { path } = issue;
  const value = valueAt(layer.values, path);
  const wanted = unitOf(path);
  if (wanted !== undefined && value !== undefined) {
    return { path, message: `expected { value, unit: ${wanted}, source }, found ${quoteValue(value)}` };
  }
  const end = path.indexOf('value');
  const constant = path.slice(0, Math.max(0, end));
  const unit = unitOf(constant);
  const message = describeIssue(issue, value, unit);
  // An option gives the number under the key of its constant.
  const isOverride = unit !== undefined && value !== undefined && !layer.places.has(keyOf(path, end + 1));
  return { path: isOverride ? [...constant, ...path.slice(end + 1)] : path, message };
}

const keyOf = (path: readonly PropertyKey[], length: number): string => path.slice(0, length).join('.');

/** What an unknown key may have meant. */
function knownKeys(parent: readonly PropertyKey[], key: string): string {
  const siblings = Object.keys(schemaAt(parent)?.properties ?? {});
  const near = closest(key, siblings);
  const meant = near ? [...parent, near].join('.') : settableKeys().find((path) => path.endsWith(`.${key}`));
  return meant ? `did you mean "${meant}"?` : `the keys here are ${siblings.join(', ')}`;
}

/** Constants and policies, `section.name`. */
function settableKeys(): string[] {
  return Object.entries(root.properties ?? {}).flatMap(([section, { properties = {} }]) =>
    Object.keys(properties).map((name) => `${section}.${name}`),
  );
}

function sourceProblems(hardware: HardwareDescription): Problem[] {
  const problems: Problem[] = [];
  for (const { key, constant } of constantsOf(hardware)) {
    const path = [...key.split('.'), 'source'];
    if (constant.source === ASSUMPTION || constant.source === OVERRIDE) {
      if (!constant.note) {
        problems.push({ path, message: `an ${constant.source} needs a note that says why` });
      }
    } else if (!Object.hasOwn(hardware.sources, constant.source)) {
      const known = Object.keys(hardware.sources).join(', ');
      problems.push({
        path,
        message: `no source "${constant.source}" in sources (${known}); cite it there, or write "${ASSUMPTION}" with a note`,
      });
    }
  }
  return problems;
}
