import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { requantize, requantizedLevel, type Staircase } from '../../../src/engines/onnx/frozen/requantize.js';
import { roundHalfEven } from '../../../src/model/rounding.js';

const expectedLevel = ({ a, b, top }: Staircase, sum: number) =>
  Math.max(0, Math.min(top, roundHalfEven(a * sum + b)));

/** Sums at which the integer arithmetic gives another level than the real-valued rule. */
function wrongSums(staircase: Staircase, multiplier: number): number[] {
  const found = requantize(staircase, multiplier);
  assert.ok(Number.isInteger(found.bias) && Math.abs(found.bias) <= 2 ** 31 - 1, `bias ${found.bias}`);
  assert.equal(found.scale, Math.fround(found.scale));
  const [low, high] = staircase.sums;
  const wrong: number[] = [];
  for (let sum = low; sum <= high; sum++) {
    const level = requantizedLevel(sum, found, multiplier, staircase.top);
    if (level !== expectedLevel(staircase, sum)) wrong.push(sum);
    assert.ok(Math.abs(level - expectedLevel(staircase, sum)) <= 1, `level ${level} at sum ${sum}`);
  }
  assert.equal(wrong.length > 0, found.misplaced > 0, 'misplaced tells whether all levels are exact');
  return wrong;
}

describe('requantisation in int32', () => {
  test('gives the level of every sum that can occur, up to what it says is misplaced', () => {
    const staircases = fc.record({
      a: fc.double({ min: -0.5, max: 0.5, noNaN: true }).filter((a) => Math.abs(a) > 1e-4),
      b: fc.double({ min: -20, max: 20, noNaN: true }),
      top: fc.constantFrom(3, 15, 255),
      sums: fc.tuple(fc.integer({ min: -3000, max: 0 }), fc.integer({ min: 0, max: 3000 })),
    });
    fc.assert(
      fc.property(staircases, fc.constantFrom(1, 9, 18), (staircase, multiplier) => {
        wrongSums(staircase, multiplier);
      }),
      { numRuns: 300 },
    );
  });

  test('at 4 bits, weights times 18, nearly all channels are exact', () => {
    let exact = 0;
    fc.assert(
      fc.property(
        fc.double({ min: 0.005, max: 0.1, noNaN: true }),
        fc.double({ min: -8, max: 8, noNaN: true }),
        (a, b) => {
          exact += Number(wrongSums({ a, b, top: 15, sums: [-2000, 2000] }, 18).length === 0);
        },
      ),
      { numRuns: 300, seed: 1 },
    );
    assert.ok(exact >= 290, `${exact} of 300`);
  });

  test('channels whose weights or gain are zero keep the level of their shift', () => {
    for (const [b, level] of [
      [2.4, 2],
      [-3, 0],
      [99, 15],
    ]) {
      const staircase: Staircase = { a: 0, b, top: 15, sums: [-5000, 5000] };
      const found = requantize(staircase, 18);
      assert.equal(found.misplaced, 0);
      for (const sum of [-5000, 0, 5000]) assert.equal(requantizedLevel(sum, found, 18, 15), level);
    }
  });
});
