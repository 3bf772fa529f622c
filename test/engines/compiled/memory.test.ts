import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Lifetime, planMemory } from '../../../src/engines/compiled/memory.js';

const lifetime = fc
  .record({ bytes: fc.integer({ min: 4, max: 1000 }), first: fc.nat(30), length: fc.nat(10) })
  .map(({ bytes, first, length }): Lifetime => ({ bytes, first, last: first + length }));

test('tensors that live at the same time never share a buffer, and every tensor fits its buffer', () => {
  fc.assert(
    fc.property(fc.array(lifetime, { maxLength: 40 }), (tensors) => {
      const { buffers, assignment } = planMemory(tensors);
      tensors.forEach((a, i) => {
        assert.ok(buffers[assignment[i]] >= a.bytes);
        tensors.slice(0, i).forEach((b, j) => {
          const overlap = a.first <= b.last && b.first <= a.last;
          assert.ok(!overlap || assignment[i] !== assignment[j], `tensors ${j} and ${i}`);
        });
      });
    }),
  );
});

test('a chain of tensors of one size needs two buffers, however long', () => {
  const chain = Array.from({ length: 50 }, (_, i) => ({ bytes: 64, first: i, last: i + 1 }));
  assert.deepEqual(planMemory(chain).buffers, [64, 64]);
});

test('no buffer is larger than the largest tensor in it', () => {
  const { buffers, assignment } = planMemory([
    { bytes: 8, first: 0, last: 1 },
    { bytes: 100, first: 2, last: 3 },
    { bytes: 50, first: 3, last: 4 },
  ]);
  assert.deepEqual(buffers, [100, 50]);
  assert.deepEqual(assignment, [1, 0, 1]);
});
