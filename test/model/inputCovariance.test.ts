import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layersOfKind } from '../../src/model/graph.js';
import { BLOCK_ROWS, inputCovariances } from '../../src/model/inputCovariance.js';
import type { CalibrationSource } from '../../src/model/probe.js';
import { noise, randomBackbone } from './fixtures.js';

const float = randomBackbone(32, 32);
const channelsOf = new Map(
  layersOfKind(float.graph, 'conv').map((conv) => [conv.inputs[0].replace(/\.quant$/, ''), conv.inChannels]),
);
const IMAGES = 5;
const SIDE = 4;

/** A network whose activations are the same at every position of an image. */
function flatSource(value: (image: number, channel: number) => number): CalibrationSource {
  const tapOf = (channels: number) =>
    Float32Array.from({ length: IMAGES * channels * SIDE * SIDE }, (_, i) => {
      const plane = Math.floor(i / SIDE ** 2);
      return value(Math.floor(plane / channels), plane % channels);
    });
  return {
    description: 'flat',
    async *batches() {
      yield { pixels: new Uint8Array(0), labels: new Int32Array(IMAGES) };
    },
    openProbe: async (_, taps) => ({
      predict: async () => ({
        taps: Object.fromEntries(taps.map((tap) => [tap, tapOf(channelsOf.get(tap)!)])),
      }),
      close: async () => {},
    }),
  };
}

test('covariances of a 1×1 convolution are those of its input channels', async () => {
  const values = noise('flat', IMAGES * 64);
  const value = (image: number, channel: number) => values[image * 64 + channel];
  const covariances = await inputCovariances(float, flatSource(value));
  const [block] = covariances.get('layer2.0.downsample.0')!;
  assert.equal(block.size, 16);
  const mean = (channel: number, other?: number) => {
    let sum = 0;
    for (let image = 0; image < IMAGES; image++)
      sum += value(image, channel) * (other === undefined ? 1 : value(image, other));
    return sum / IMAGES;
  };
  for (let i = 0; i < 16; i++)
    for (let j = 0; j < 16; j++)
      assert.ok(Math.abs(block.values[i * 16 + j] - (mean(i, j) - mean(i) * mean(j))) < 1e-6, `${i}, ${j}`);
});

test('rows are ordered as the filter is, and blocks are column segments', async () => {
  const covariances = await inputCovariances(
    float,
    flatSource((image, channel) => (channel === 9 ? image : 1)),
  );
  const blocks = covariances.get('layer1.0.conv1')!;
  assert.deepEqual(
    blocks.map(({ start, size }) => [start, size]),
    [
      [0, BLOCK_ROWS],
      [BLOCK_ROWS, BLOCK_ROWS],
    ],
  );
  const { values, size } = blocks[1];
  for (let row = 0; row < size; row++) {
    // Channel 9 has rows 81 … 89; other rows vary only where a window reaches over the edge.
    const varies = values[row * size + row] > 0.3;
    assert.equal(varies, BLOCK_ROWS + row >= 81 && BLOCK_ROWS + row < 90, `row ${BLOCK_ROWS + row}`);
  }
  assert.equal(covariances.has('conv1'), false);
});
