/** @file One layer of an experiment (a file, or a --set) before it is checked, and how layers stack. */

/** Where a key was written: for error messages. */
export interface Place {
  /** `file:line:column` of the key, or the --set itself. */
  readonly key: string;
  /** The same of its value. */
  readonly value: string;
}

export type Values = { [key: string]: unknown };

export interface Layer {
  readonly values: Values;
  /** By dotted key path; '' is the whole layer. */
  readonly places: ReadonlyMap<string, Place>;
}

/** True for a YAML mapping (not a list, not null). */
export function isMapping(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The values below mappings, by dotted path: [`training.learningRate.head`, 2e-4]. */
export function plainValues(value: unknown, path: readonly string[] = []): [key: string, value: unknown][] {
  if (!isMapping(value)) return [[path.join('.'), value]];
  return Object.entries(value).flatMap(([key, item]) => plainValues(item, [...path, key]));
}

/** `over` on top of `base`: mappings merge key by key, anything else replaces. */
export function mergeLayers(base: Layer, over: Layer): Layer {
  return { values: merge(base.values, over.values), places: new Map([...base.places, ...over.places]) };
}

function merge(base: Values, over: Values): Values {
  const merged: Values = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = Object.hasOwn(merged, key) ? merged[key] : undefined;
    merged[key] = isMapping(below) && isMapping(value) ? merge(below, value) : value;
  }
  return merged;
}
