import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { filterRows, maskBits, maskShape, rowsPerBit, weightCount } from '../../src/adaption/geometry.js';
import type { Granularity } from '../../src/adaption/method.js';
import { layersOfKind } from '../../src/model/graph.js';
import { buildNetwork } from '../../src/model/networks.js';

describe('mask geometry of ResNet-50', () => {
  const graph = buildNetwork('resnet50', 1000);
  const convs = layersOfKind(graph, 'conv');
  const bits = (granularity: Granularity, rows = 72) => maskBits(graph, { granularity, rows });

  test('53 convolutions with 23,454,912 weights', () => {
    assert.equal(convs.length, 53);
    assert.equal(
      convs.reduce((sum, conv) => sum + weightCount(conv), 0),
      23_454_912,
    );
  });

  test('column masks of 72 rows: 339,968 bits, 42.5 kB, 1.45 % of the element-wise masks', () => {
    assert.equal(bits('column'), 339_968);
    assert.equal(bits('column') / 8 / 1000, 42.496);
    assert.equal(((100 * bits('column')) / bits('element')).toFixed(2), '1.45');
  });

  test('other granularities', () => {
    assert.equal(bits('element'), 23_454_912);
    assert.equal(bits('column', 1), bits('element'));
    assert.equal(bits('column', 1_000_000), bits('channel'));
    assert.equal(
      bits('channel'),
      convs.reduce((sum, conv) => sum + conv.outChannels, 0),
    );
    assert.equal(
      bits('kernel'),
      convs.reduce((sum, conv) => sum + conv.outChannels * conv.inChannels, 0),
    );
  });
});

test('a 3×3 column segment of 72 rows holds 8 input channels; a ragged one keeps the rest', () => {
  const conv = { inChannels: 20, outChannels: 4, kernel: 3 };
  const column = { granularity: 'column', rows: 72 } as const;
  assert.equal(rowsPerBit(conv, column), 8 * 9);
  assert.equal(filterRows(conv), 180);
  assert.deepEqual(maskShape(conv, column), [4, 3]); // 72 + 72 + 36
  assert.deepEqual(maskShape(conv, { granularity: 'kernel', rows: 72 }), [4, 20]);
  assert.deepEqual(maskShape(conv, { granularity: 'channel', rows: 72 }), [4, 1]);
  assert.deepEqual(maskShape(conv, { granularity: 'element', rows: 72 }), [4, 180]);
});

test('a segment of more rows than the filter is the whole filter, and nothing is computed for the rest', () => {
  const conv = { inChannels: 20, outChannels: 4, kernel: 3 };
  const column = { granularity: 'column', rows: 10_000 } as const;
  assert.equal(rowsPerBit(conv, column), filterRows(conv));
  assert.deepEqual(maskShape(conv, column), [4, 1]);
});

test('for any convolution, the segments cover every row of a filter once and none is empty', () => {
  fc.assert(
    fc.property(
      fc.record({
        inChannels: fc.integer({ min: 1, max: 300 }),
        outChannels: fc.integer({ min: 1, max: 64 }),
        kernel: fc.constantFrom(1, 3, 5, 7),
      }),
      fc.constantFrom<Granularity>('element', 'kernel', 'column', 'channel'),
      fc.integer({ min: 1, max: 200 }),
      (conv, granularity, rows) => {
        const perBit = rowsPerBit(conv, { granularity, rows });
        const [outChannels, perFilter] = maskShape(conv, { granularity, rows });
        assert.equal(outChannels, conv.outChannels);
        assert.ok(perFilter * perBit >= filterRows(conv));
        assert.ok((perFilter - 1) * perBit < filterRows(conv));
      },
    ),
  );
});
