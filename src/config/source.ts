/** @file YAML text → plain values and the place of each key. Bounded: no aliases, no deep nesting, no long lines. */
import { readFileSync, statSync } from 'node:fs';
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { UserError } from '../errors.js';
import { isMapping, type Layer, type Place, type Values } from './layer.js';

/** Far above any real experiment; what is longer is no experiment, and costs the parser time and memory. */
const MAX_CHARACTERS = 32_768;
const MAX_LINE = 1000;
const MAX_DEPTH = 16;

/**
 * Reads a YAML file; a weights file given by mistake is refused before it is read.
 * @param what the file should be: "experiment"
 */
export function readSource(file: string, name: string, what: string): Layer {
  const bytes = statSync(file).size;
  if (bytes > 1e6)
    throw new UserError(`${name}: ${bytes} bytes; this is no ${what}`, 'Give a YAML file of a few lines.');
  return parseSource(readFileSync(file, 'utf8'), name);
}

/**
 * Reads one YAML document whose top level is a mapping.
 * @param name the file as error messages name it
 * @throws UserError with file, line and column
 */
export function parseSource(text: string, name: string): Layer {
  checkSize(text, name);
  const { contents, at } = parseYaml(text, name);
  const places = new Map<string, Place>();
  const values = new Reader(name, places, at).read(contents, '', 0);
  if (!isMapping(values)) {
    const found = contents === null ? 'nothing' : isSeq(contents) ? 'a list' : 'a single value';
    throw new UserError(
      `${name}: expected a mapping of keys at the top level, found ${found}`,
      'Write keys and values, for example "task: cubs".',
    );
  }
  places.set('', { key: `${name}:1:1`, value: `${name}:1:1` });
  return { values, places };
}

/**
 * Reads a single YAML value, as in `--set key=value`.
 * @param name what error messages call it
 */
export function parseValue(text: string, name: string): unknown {
  checkSize(text, name);
  const { contents } = parseYaml(text, name);
  if (contents?.comment) {
    throw new UserError(`${name}: what follows "#" is a comment in YAML`, 'Put the value in quotes.');
  }
  return new Reader(name, new Map(), () => name).read(contents, '', 0);
}

function checkSize(text: string, name: string): void {
  if (text.length > MAX_CHARACTERS) {
    throw new UserError(`${name}: ${text.length} characters; an experiment has at most ${MAX_CHARACTERS}`);
  }
  const long = text.split(/\r\n|\r|\n/).findIndex((line) => line.length > MAX_LINE);
  if (long >= 0) throw new UserError(`${name}:${long + 1}: the line is longer than ${MAX_LINE} characters`);
}

type Locate = (node: { range?: [number, number, number] | null }) => string;

function parseYaml(text: string, name: string): { contents: Node | null; at: Locate } {
  const lineCounter = new LineCounter();
  const position = (offset: number): string => {
    const { line, col } = lineCounter.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  const document = parseDocument(text, { lineCounter, stringKeys: true, prettyErrors: false });
  const error = document.errors[0] ?? document.warnings[0];
  if (error) {
    throw new UserError(`${position(error.pos[0])}: not valid YAML: ${error.message}`, hints[error.code]);
  }
  return { contents: document.contents, at: (node) => position(node.range?.[0] ?? 0) };
}

const hints: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'Remove one of the two.',
  TAB_AS_INDENT: 'Indent with spaces.',
  MULTIPLE_DOCS: 'Keep one experiment per file.',
  NON_STRING_KEY: 'Put the key in quotes.',
};

/** Walks the syntax tree once; its own walk so that aliases cannot multiply and every key's place is known. */
class Reader {
  constructor(
    private readonly name: string,
    private readonly places: Map<string, Place>,
    private readonly at: Locate,
  ) {}

  read(node: unknown, path: string, depth: number): unknown {
    if (depth > MAX_DEPTH) throw new UserError(`${this.name}: nested more than ${MAX_DEPTH} levels deep`);
    if (node === null || node === undefined) return null;
    if (isAlias(node)) {
      throw new UserError(
        `${this.at(node)}: aliases (*${node.source}) are not allowed in an experiment`,
        'Write the value out, or share it through `extends:`.',
      );
    }
    if (isScalar(node)) return node.value;
    if (isSeq(node)) return node.items.map((item, i) => this.read(item, `${path}[${i}]`, depth + 1));
    if (!isMap(node)) throw new UserError(`${this.name}: unexpected YAML at ${path || 'the top level'}`);
    const values: Values = {};
    for (const { key, value } of node.items) {
      if (!isScalar(key) || typeof key.value !== 'string') {
        const where = this.at((key ?? node) as Node);
        throw new UserError(`${where}: keys must be plain text`, 'Put the key in quotes.');
      }
      // An own property of that name cannot be assigned to, and no experiment has such a key.
      if (key.value === '__proto__') throw new UserError(`${this.at(key)}: unknown key "__proto__"`);
      const keyPath = path ? `${path}.${key.value}` : key.value;
      const keyAt = this.at(key);
      this.places.set(keyPath, { key: keyAt, value: value ? this.at(value as Node) : keyAt });
      values[key.value] = this.read(value, keyPath, depth + 1);
    }
    return values;
  }
}
