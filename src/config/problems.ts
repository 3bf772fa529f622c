import type { z } from 'zod';
import { UserError } from '../errors.js';
import { allKeyPaths, choicesAt, expectedAt, keysAt, quoteValue } from './describe.js';
import { isMapping, type Layer } from './layer.js';
import { closest } from './suggest.js';

/** One thing wrong with an experiment, at a key. */
export interface Problem {
  readonly path: readonly PropertyKey[];
  /** Written after the place and the key. */
  readonly message: string;
  /** Point at the key itself, not at its value. */
  readonly atKey?: boolean;
}

/** At most this many are printed. */
const MAX_PROBLEMS = 5;

/** One error that lists problems, each with file, line, column and key. */
export function configError(problems: readonly Problem[], layer: Layer): UserError {
  const all = problems.map(({ path, message, atKey }) => {
    const key = path.join('.');
    return `${placeOf(path, layer, atKey)}: ${key ? `${key}: ` : ''}${message}`;
  });
  // What is wrong in two ways (no safe integer, and out of range) has one message.
  const different = [...new Set(all)];
  const lines = different.slice(0, MAX_PROBLEMS);
  if (different.length > MAX_PROBLEMS) lines.push(`and ${different.length - MAX_PROBLEMS} more`);
  return new UserError(lines.join('\n'));
}

/** The place of a key, or of the nearest mapping around it when the key is missing. */
function placeOf(path: readonly PropertyKey[], layer: Layer, atKey = false): string {
  for (let length = path.length; length >= 0; length--) {
    const place = layer.places.get(path.slice(0, length).join('.'));
    if (place) return atKey && length === path.length ? place.key : place.value;
  }
  return 'experiment';
}

/** What zod found, in words. */
export function describeIssues(error: z.ZodError, layer: Layer): Problem[] {
  return error.issues.flatMap((issue): Problem[] => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        path: [...issue.path, key],
        message: unknownKey(issue.path, key),
        atKey: true,
      }));
    }
    const value = valueAt(layer.values, issue.path);
    const expected = expectedAt(issue.path);
    if (value === undefined) return [{ path: issue.path, message: `missing; expected ${expected}` }];
    const meant = typeof value === 'string' ? closest(value, choicesAt(issue.path)) : undefined;
    const suggestion = meant ? `; did you mean "${meant}"?` : '';
    return [{ path: issue.path, message: `expected ${expected}, found ${quoteValue(value)}${suggestion}` }];
  });
}

/** The value below mappings and lists; undefined where there is none. */
export function valueAt(values: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => {
    if (Array.isArray(value)) return value[Number(key)];
    return isMapping(value) && Object.hasOwn(value, String(key)) ? value[String(key)] : undefined;
  }, values);
}

/**
 * One thing that zod found, in words, for data that have no descriptions of their own; what the schema itself says
 * about it stays.
 * @param unit of the number that is expected
 */
export function describeIssue(issue: z.core.$ZodIssue, value: unknown, unit?: string): string {
  const expected = expectedBy(issue, unit);
  if (expected === undefined) return issue.message;
  if (value === undefined) return `missing; expected ${expected}`;
  const alone = unit !== undefined && typeof value === 'string' ? ', written without the unit' : '';
  return `expected ${expected}${alone}, found ${quoteValue(value)}`;
}

const typesInWords: Readonly<Record<string, string>> = {
  number: 'a number',
  int: 'a whole number',
  string: 'text',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
};

/** undefined: the message is the schema's own. */
function expectedBy(issue: z.core.$ZodIssue, unit?: string): string | undefined {
  if (!/^(Invalid|Too) /.test(issue.message)) return undefined;
  const [ofUnit, inUnit] = unit === undefined ? ['', ''] : [` of ${unit}`, ` ${unit}`];
  switch (issue.code) {
    case 'invalid_type': {
      const isNumber = issue.expected === 'number' || issue.expected === 'int';
      return `${typesInWords[issue.expected] ?? issue.expected}${isNumber ? ofUnit : ''}`;
    }
    case 'invalid_value':
      return `${issue.values.length > 1 ? 'one of ' : ''}${issue.values.join(', ')}`;
    case 'too_small':
      if (issue.origin === 'string') return 'text that is not empty';
      if (issue.origin === 'array') return `a list of at least ${issue.minimum}`;
      return `${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}${inUnit}`;
    case 'too_big':
      if (issue.origin === 'array') return `a list of at most ${issue.maximum}`;
      return `${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}${inUnit}`;
    default:
      return undefined;
  }
}

function unknownKey(parent: readonly PropertyKey[], key: string): string {
  const siblings = keysAt(parent);
  const near = closest(key, siblings);
  if (near) return `unknown key; did you mean "${[...parent, near].join('.')}"?`;
  const elsewhere = allKeyPaths().find((path) => path.split('.').at(-1) === key);
  if (elsewhere) return `unknown key here; did you mean "${elsewhere}"?`;
  return `unknown key; the keys here are ${siblings.join(', ')}`;
}
