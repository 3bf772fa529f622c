import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maskBytes } from '../../src/adaption/taskFile.js';
import { exportModel } from '../../src/export/exportModel.js';
import { headOf, layersOfKind } from '../../src/model/graph.js';
import { sealBackbone } from '../../src/model/hash.js';
import { buildNetwork } from '../../src/model/networks.js';
import { randomBackbone, tinyMethod } from '../engines/fixtures.js';
import { tinyTask } from './cases.js';

for (const precision of ['int8', 'float'] as const) {
  test(`n tasks take one backbone and n × (masks + batch norm + head), ${precision}`, () => {
    const backbone = sealBackbone(randomBackbone(buildNetwork('cifar-resnet20', 10)));
    const classes = [3, 7, 20, 4];
    const method = tinyMethod('xbm', { rows: 72 });
    const tasks = classes.map((count, i) => {
      const task = tinyTask({ backbone, imageSize: 32 }, method, count, i + 1);
      return { name: `task ${i}`, task, preparation: null };
    });
    const size = (n: number) => {
      const { bytes, metadata } = exportModel({ backbone, tasks: tasks.slice(0, n), precision });
      return bytes.length - new TextEncoder().encode(JSON.stringify(metadata)).length;
    };
    const channels = layersOfKind(backbone.graph, 'batchNorm').reduce(
      (sum, layer) => sum + layer.channels,
      0,
    );
    const features = headOf(backbone.graph).inFeatures;
    const ownBytes = (n: number) => {
      const batchNorm = 2 * 4 * channels; // a factor and an offset
      const head = 4 * (features + 1) * classes[n] + 2 * 8; // and where its rows lie
      return maskBytes(tasks[n].task) + batchNorm + head;
    };
    // Lengths in the file's format take a byte or two more as tables grow.
    const framing = 64;
    let previous = size(2);
    for (let n = 3; n <= classes.length; n++) {
      const grown = size(n) - previous;
      const own = ownBytes(n - 1);
      assert.ok(Math.abs(grown - own) <= framing, `task ${n}: ${grown} bytes more, expected ${own}`);
      previous = size(n);
    }
    const weights = layersOfKind(backbone.graph, 'conv').reduce(
      (sum, { inChannels, outChannels, kernel }) => sum + inChannels * outChannels * kernel ** 2,
      0,
    );
    const shared = size(2) - ownBytes(0) - ownBytes(1);
    // Besides the weights: the graph itself, the positions under the filters of each size and the table that unpacks bytes.
    const bytesPerWeight = precision === 'int8' ? 1 : 4;
    const rest = shared - bytesPerWeight * weights;
    assert.ok(rest > 0 && rest < 0.3 * shared, `${rest} of ${shared} bytes that are no weights`);
  });
}
