import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { configHash, shortHash } from '../../src/config/hash.js';
import { idleKeys } from '../../src/config/resolve.js';
import { type Experiment, experimentSchema } from '../../src/config/schema.js';

const base = experimentSchema.parse({ task: 'cubs' });

function changed(change: (experiment: Experiment) => void): Experiment {
  const copy = structuredClone(base);
  change(copy);
  return copy;
}

/** The same values with the keys of every mapping in an order drawn from `ranks`. */
function reordered(value: unknown, ranks: readonly number[]): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, child], i) => ({ key, child, rank: ranks[i] ?? 0 }));
  entries.sort((a, b) => a.rank - b.rank);
  return Object.fromEntries(entries.map(({ key, child }) => [key, reordered(child, ranks)]));
}

test('the hash does not depend on the order of keys', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(), { minLength: 12, maxLength: 12 }), (ranks) => {
      assert.equal(configHash(reordered(base, ranks) as Experiment), configHash(base));
    }),
  );
});

test('what cannot change a result does not change the hash', () => {
  fc.assert(
    fc.property(
      fc.record({
        root: fc.string(),
        cache: fc.string(),
        workers: fc.nat(),
        threads: fc.nat(),
        minutes: fc.double({ min: 0.1, max: 100, noNaN: true }),
        name: fc.string(),
      }),
      ({ root, cache, workers, threads, minutes, name }) => {
        const other = changed((experiment) => {
          Object.assign(experiment.data, { root, cache, workers });
          experiment.training.checkpointMinutes = minutes;
          experiment.threads = threads;
          experiment.name = name;
        });
        assert.equal(configHash(other), configHash(base));
      },
    ),
  );
});

/** Every leaf of an experiment as a path. */
function leaves(value: object, prefix: readonly string[] = []): string[][] {
  return Object.entries(value).flatMap(([key, child]) =>
    typeof child === 'object' && child !== null ? leaves(child, [...prefix, key]) : [[...prefix, key]],
  );
}

/** An experiment with another value at a path. */
function withAnother(experiment: Experiment, path: readonly string[]): Experiment {
  const copy = structuredClone(experiment);
  let parent = copy as unknown as Record<string, unknown>;
  for (const key of path.slice(0, -1)) parent = parent[key] as Record<string, unknown>;
  const value = parent[path[path.length - 1]];
  parent[path[path.length - 1]] = typeof value === 'number' ? value + 1 : 'something else';
  return copy;
}

test('every other key that is read changes the hash', () => {
  const leftOut = [
    'data.root',
    'data.cache',
    'data.workers',
    'training.checkpointMinutes',
    'hardware',
    'threads',
    'name',
  ];
  for (const path of leaves(base)) {
    if (leftOut.includes(path.join('.')) || idleKeys(base).has(path.join('.'))) continue;
    assert.notEqual(configHash(withAnother(base, path)), configHash(base), path.join('.'));
  }
});

test('keys that an experiment does not read do not change the hash', () => {
  const idle: Record<string, string> = {
    xbm: 'training.momentum',
    piggyback: 'method.rows',
    finetune: 'method.threshold',
    classifier: 'method.rows',
  };
  for (const [name, expected] of Object.entries(idle)) {
    const experiment = experimentSchema.parse({ task: 'cubs', method: { name } });
    const keys = [...idleKeys(experiment).keys()];
    assert.ok(keys.includes(expected), name);
    for (const key of keys) {
      const other = withAnother(experiment, key.split('.'));
      assert.equal(configHash(other), configHash(experiment), `${name}: ${key}`);
    }
  }
});

test('defaults written out hash like defaults left to the method', () => {
  const explicit = changed(({ method }) => {
    Object.assign(method, { granularity: 'column', binarizer: 'sigmoid', trainBatchNorm: true });
  });
  assert.equal(configHash(explicit), configHash(base));
});

test('a weights file counts by its name, a folder of images by the name of the experiment', () => {
  const weights = (path: string): string => configHash(changed(({ backbone }) => (backbone.weights = path)));
  assert.equal(weights('/a/w.safetensors'), weights('/b/w.safetensors'));
  assert.notEqual(weights('/a/w.safetensors'), weights('/a/v.safetensors'));
  const folder = (name: string): string => configHash(experimentSchema.parse({ task: 'folder', name }));
  assert.notEqual(folder('quickdraw'), folder('cifar'));
});

test('the short hash is the first eight digits', () => {
  assert.match(shortHash(base), /^[0-9a-f]{8}$/);
  assert.ok(configHash(base).startsWith(shortHash(base)));
});
