import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import sharp from 'sharp';
import { layersOfKind } from '../../src/model/graph.js';
import { confusionCsv, confusionPicture } from '../../src/runs/confusion.js';
import { maskPicture } from '../../src/runs/maskPicture.js';
import { heatColour, writePng } from '../../src/runs/picture.js';
import { tinyBackbone } from '../training/doubles.js';
import { temporaryFolder } from './fixtures.js';

const confusion = { confusion: Uint32Array.of(3, 1, 0, 4), classes: 2 };

test('the confusion matrix as CSV quotes awkward class names', () => {
  assert.equal(
    confusionCsv(confusion, ['a,b', 'say "c"']),
    'true \\ predicted,"a,b","say ""c"""\n"a,b",3,1\n"say ""c""",0,4\n',
  );
});

test('the confusion picture has one square per pair, darker for larger shares', () => {
  const { width, height, pixels } = confusionPicture(confusion);
  assert.deepEqual([width, height], [48, 48]);
  const at = (x: number, y: number) => [...pixels.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];
  assert.deepEqual(at(0, 0), heatColour(0.75));
  assert.deepEqual(at(47, 0), heatColour(0.25));
  assert.deepEqual(at(0, 47), [255, 255, 255]);
  assert.deepEqual(at(47, 47), heatColour(1));
  const [light, dark] = [heatColour(0.25), heatColour(0.75)].map((colour) => colour.reduce((a, b) => a + b));
  assert.ok(dark < light);
});

test('the mask picture shows every bit: white on, black off, a strip per convolution', () => {
  const { graph } = tinyBackbone();
  // Four channels and two segments per convolution; only bit (channel 2, segment 1) of the second is off.
  const masks = Object.fromEntries(
    layersOfKind(graph, 'conv').map(({ name }) => [name, new Uint8Array(8).fill(1)]),
  );
  masks['layer1.0.conv1'][2 * 2 + 1] = 0;
  const { width, height, pixels } = maskPicture({ graph, masks });
  assert.equal(width, 1024 + 6);
  assert.equal(height, 3 + 3 * (2 * 256 + 3));
  const at = (x: number, y: number) => pixels[(y * width + x) * 3];
  const top = 3 + 2 * 256 + 3;
  for (let channel = 0; channel < 4; channel++) {
    for (let segment = 0; segment < 2; segment++) {
      const value = at(3 + channel * 256 + 10, top + segment * 256 + 10);
      assert.equal(value, channel === 2 && segment === 1 ? 0 : 255);
    }
  }
});

test('long filters are averaged down to 64 rows', () => {
  const { graph } = tinyBackbone();
  const name = layersOfKind(graph, 'conv')[0].name;
  const mask = Uint8Array.from({ length: 4 * 130 }, (_, i) => (i % 130 < 3 ? 0 : 1));
  const { height, width, pixels } = maskPicture({ graph, masks: { [name]: mask } });
  assert.equal(height, 3 + 44 * 256 + 3);
  assert.equal(pixels[(10 * width + 10) * 3], 0);
  assert.equal(pixels[((3 + 256 + 10) * width + 10) * 3], 255);
});

test('a PNG holds the picture’s pixels', async (t) => {
  const file = join(temporaryFolder(t), 'x.png');
  const picture = confusionPicture(confusion);
  await writePng(file, picture);
  const { data, info } = await sharp(readFileSync(file))
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  assert.deepEqual([info.width, info.height], [48, 48]);
  assert.deepEqual(Uint8Array.from(data), picture.pixels);
});
