/** @file What the schema expects at a key, in words; read from its JSON Schema. */
import { z } from 'zod';
import { isMapping } from './layer.js';
import { experimentSchema, type KeyMeaning } from './schema.js';

/** The parts of JSON Schema that the experiment's schema uses. */
interface SchemaNode extends KeyMeaning {
  readonly default?: unknown;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly anyOf?: readonly SchemaNode[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
}

function schemaAt(path: readonly PropertyKey[]): SchemaNode | undefined {
  let node: SchemaNode | undefined = z.toJSONSchema(experimentSchema) as SchemaNode;
  for (const key of path) node = node?.properties?.[String(key)];
  return node;
}

/** "a whole number from 2 to 8 or 32". */
export function expectedAt(path: readonly PropertyKey[]): string {
  const node = schemaAt(path);
  return node ? inWords(node) : 'something else';
}

/** The keys a mapping may have; none for a plain value. */
export function keysAt(path: readonly PropertyKey[]): string[] {
  return Object.keys(schemaAt(path)?.properties ?? {});
}

/** The words a key may be set to; none when it takes numbers or free text. */
export function choicesAt(path: readonly PropertyKey[]): string[] {
  const node = schemaAt(path);
  const options = node?.anyOf ?? (node ? [node] : []);
  return options.flatMap((option) => option.enum ?? []).filter((choice) => typeof choice === 'string');
}

/** One key that takes a plain value. */
export interface KeyDescription extends KeyMeaning {
  readonly key: string;
  readonly expected: string;
  /** Undefined where a value must be given. */
  readonly default: unknown;
}

/** Every key of an experiment that takes a plain value, in the schema's order. */
export function describeKeys(): KeyDescription[] {
  const collect = (node: SchemaNode, key: string): KeyDescription[] => {
    const children = Object.entries(node.properties ?? {});
    if (children.length === 0) {
      const { about, whenNull } = node;
      return [{ key, expected: inWords(node), default: node.default, about, whenNull }];
    }
    return children.flatMap(([name, child]) => collect(child, key ? `${key}.${name}` : name));
  };
  return collect(schemaAt([])!, '');
}

/** Every key of an experiment as a dotted path. */
export function allKeyPaths(): string[] {
  const collect = (node: SchemaNode, prefix: string): string[] =>
    Object.entries(node.properties ?? {}).flatMap(([key, child]) => [
      prefix + key,
      ...collect(child, `${prefix}${key}.`),
    ]);
  return collect(schemaAt([])!, '');
}

function inWords(node: SchemaNode): string {
  if (node.description) return node.description;
  if (node.anyOf) return node.anyOf.map(inWords).join(' or ');
  if (node.const !== undefined) return String(node.const);
  if (node.enum) return `one of ${node.enum.join(', ')}`;
  const { type } = node;
  if (typeof type === 'object') return type.map((one) => inWords({ ...node, type: one })).join(' or ');
  switch (type) {
    case 'integer':
      return `a whole number${range(node)}`;
    case 'number':
      return `a number${range(node)}`;
    case 'boolean':
      return 'true or false';
    case 'null':
      return 'null';
    case 'object':
      return `a mapping with the keys ${Object.keys(node.properties ?? {}).join(', ')}`;
    default:
      return 'text';
  }
}

function range({ minimum, maximum, exclusiveMinimum }: SchemaNode): string {
  const bounded = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER;
  if (exclusiveMinimum !== undefined) {
    return bounded ? ` above ${exclusiveMinimum} and at most ${maximum}` : ` above ${exclusiveMinimum}`;
  }
  if (minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER) {
    return bounded ? ` from ${minimum} to ${maximum}` : ` of at least ${minimum}`;
  }
  return bounded ? ` of at most ${maximum}` : '';
}

/** A value as an error message quotes it: short, whatever it is. */
export function quoteValue(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (isMapping(value)) return 'a mapping';
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
