import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { loadExperiment } from '../../src/config/load.js';
import { configForTask } from '../../src/config/packaged.js';
import { UserError } from '../../src/errors.js';
import { folderWith } from './helpers.js';

/** The default run draws the same mutations each time; with XBM_FUZZ_RUNS they are new ones. */
const runs = process.env.XBM_FUZZ_RUNS;
const settings = runs ? { numRuns: Number(runs) } : { numRuns: 100, seed: 1 };

const tokens = [
  ...[
    '\n',
    '\t',
    '  ',
    ':',
    '- ',
    '? ',
    '[',
    ']',
    '{',
    '}',
    ',',
    '#',
    '"',
    "'",
    '|',
    '>',
    '&a ',
    '*a',
    '!!x ',
    '%',
  ],
  ...[
    '---\n',
    '...\n',
    '<<: ',
    'null',
    '.inf',
    '.nan',
    '-0',
    '1e999',
    '0x10',
    '99999999999999999999',
    'true',
    '\0',
  ],
  ...[
    '\uFEFF',
    '\uD800',
    '😀',
    '__proto__: 1\n',
    'constructor: 1\n',
    'extends: a.yaml\n',
    'task',
    'training: ',
  ],
];

/** Removes some characters and puts a token or noise in their place. */
const mutation = fc.record({
  /** Where, as a share of the text. */
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  remove: fc.nat({ max: 40 }),
  insert: fc.oneof(fc.constantFrom(...tokens), fc.string({ maxLength: 10, unit: 'binary' })),
  times: fc.constantFrom(1, 1, 1, 3, 1000),
});

type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

function mutate(text: string, mutations: readonly Mutation[]): string {
  return mutations.reduce((current, { at, remove, insert, times }) => {
    const start = Math.floor(at * current.length);
    return current.slice(0, start) + insert.repeat(times) + current.slice(start + remove);
  }, text);
}

function assertLoadsOrUserError(load: () => unknown): void {
  try {
    load();
  } catch (error) {
    assert.ok(error instanceof UserError, error instanceof Error ? error.stack : String(error));
    assert.ok(error.message.length > 0 && error.message.length < 4000, 'a message of sensible length');
  }
}

test('a mutated config loads or ends in a UserError, nothing else', (t) => {
  const texts = ['xbm', 'piggyback', 'finetune'].map((method) =>
    readFileSync(configForTask('cubs', method), 'utf8'),
  );
  const cwd = folderWith(t, {});
  fc.assert(
    fc.property(
      fc.constantFrom(...texts),
      fc.array(mutation, { minLength: 1, maxLength: 6 }),
      (text, mutations) => {
        writeFileSync(join(cwd, 'a.yaml'), mutate(text, mutations));
        assertLoadsOrUserError(() => loadExperiment({ config: 'a.yaml', cwd }));
      },
    ),
    settings,
  );
});

test('any --set loads or ends in a UserError, nothing else', () => {
  const key = fc.constantFrom(
    'training.epochs',
    'data.root',
    'method',
    'backbone.weights',
    'task',
    'x.y',
    '',
  );
  const value = fc.oneof(
    fc.constantFrom(...tokens),
    fc.string({ unit: 'binary' }),
    fc.jsonValue().map(String),
  );
  fc.assert(
    fc.property(key, value, (path, text) => {
      assertLoadsOrUserError(() => loadExperiment({ config: 'cubs-xbm', overrides: [`${path}=${text}`] }));
    }),
    settings,
  );
});
