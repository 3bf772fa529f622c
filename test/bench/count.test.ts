import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countRow } from '../../bench/gpu/count.js';
import type { Row } from '../../bench/gpu/row.js';
import { MAX_WORKGROUPS } from '../../src/engines/webgpu/kernel.js';
import { layerShapes, layersOfKind } from '../../src/model/graph.js';
import { buildNetwork } from '../../src/model/networks.js';

const row: Row = { network: 'resnet18', imageSize: 64, batchSize: 2, method: 'xbm', precision: 'mixed' };
const total = (counts: ReturnType<typeof countRow>['counts'], of: 'bytes' | 'flop') =>
  counts.reduce((sum, count) => sum + count[of], 0);
const flopOf = (changes: Partial<Row>, label: string) =>
  countRow({ ...row, ...changes }).counts.find((count) => count.label === label)!.flop;

test('operations are those of the layers: forward once, and twice for the gradients but the first one', () => {
  const graph = buildNetwork('resnet18', 102);
  const shapes = layerShapes(graph, 64);
  const flop = layersOfKind(graph, 'conv').map(({ name, inChannels, outChannels, kernel }) => {
    const { height, width } = shapes.get(name)!;
    return 2 * 2 * height * width * inChannels * outChannels * kernel ** 2;
  });
  const forward = flop.reduce((a, b) => a + b) + 2 * 2 * 512 * 102;
  assert.equal(flopOf({}, 'convolution'), forward);
  assert.equal(flopOf({}, 'weight gradient'), forward);
  assert.equal(flopOf({}, 'input gradient'), forward - flop[0]);
  assert.equal(flopOf({ method: 'evaluation' }, 'convolution'), forward);
});

test('16 bits in memory move less than 32, evaluation less than training', () => {
  const large = { ...row, imageSize: 224, batchSize: 64 };
  const bytes = (changes: Partial<Row>) => total(countRow({ ...large, ...changes }).counts, 'bytes');
  assert.ok(bytes({ precision: 'mixed' }) < 0.75 * bytes({ precision: 'products' }));
  assert.ok(bytes({ precision: 'products' }) < bytes({ precision: 'float32' }));
  assert.ok(bytes({ method: 'evaluation' }) < 0.3 * bytes({}));
});

test('a dispatch takes what the slower of computing and memory takes', () => {
  const [count] = countRow(row).counts.filter(({ label }) => label === 'normalise');
  assert.equal(count.flop, 0);
  assert.equal(count.seconds({ flops: 1, bytesPerSecond: 10 }), count.bytes / 10);
  const [products] = countRow(row).counts.filter(({ label }) => label === 'convolution');
  assert.equal(
    products.seconds({ flops: 10, bytesPerSecond: Number.POSITIVE_INFINITY }).toPrecision(6),
    (products.flop / 10).toPrecision(6),
  );
});

test('no dispatch of a large batch has more workgroups along a dimension than there may be', () => {
  for (const method of ['xbm', 'evaluation'] as const) {
    const { counts } = countRow({ ...row, network: 'resnet50', imageSize: 224, batchSize: 512, method });
    for (const { label, longestSide } of counts)
      assert.ok(longestSide <= MAX_WORKGROUPS, `${label}: ${longestSide}`);
  }
});
