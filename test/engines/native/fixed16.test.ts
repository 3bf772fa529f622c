/**
 * @file Gradients in fixed point, as the backward pass of a group of layers writes them: 16-bit integers, and for each pixel,
 * or 512 channels of it, the float that one unit is worth.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Addon } from '../../../src/engines/native/addon.js';
import { ProgramBuilder } from '../../../src/engines/native/program.js';
import { testAddons } from './variants.js';

const { addons, skip } = await testAddons();
const withFixed16 = Object.entries(addons).filter(([, addon]) => addon.hasFixed16);
const none = skip || (withFixed16.length === 0 && 'no build that this processor can run has fixed point');

interface Fixed16 {
  /** [pixels, channels] */
  readonly integers: Int16Array;
  /** [pixels, parts] */
  readonly units: Float32Array;
}

/** What a ReLU whose inputs are all positive hands back of `gradient`, [pixels, channels], times `scales` by channel. */
async function written(addon: Addon, gradient: Float32Array, scales: Float32Array): Promise<Fixed16> {
  const channels = scales.length;
  const pixels = gradient.length / channels;
  const parts = Math.ceil(channels / addon.fixed16Channels);
  const pixelBytes = 2 * channels + 4 * parts;
  const builder = new ProgramBuilder(addon);
  const floats = (label: string, values: Float32Array) =>
    builder.persistent(label, values.byteLength, values);
  const result = builder.persistent('result', pixels * pixelBytes);
  const relu = { kind: 'relu', first: 0, second: 0, coefficients: null, clip: 0, levels: 0 };
  builder.call(
    'groupBackward',
    { pixels, channels, inputs: 1, members: 1, received: 1, owed: 1 },
    {
      records: [
        [
          'input',
          { tensor: floats('x', new Float32Array(gradient.length).fill(1)), format: 'float32', step: 1 },
        ],
        ['member', { ...relu, trained: 0, sums: null, isRead: 0 }],
        ['gradient', { value: 0, tensor: floats('gradient', gradient) }],
        ['owed', { value: 0, tensor: result, format: 'fixed16', scales: floats('scales', scales) }],
      ],
    },
  );
  const program = builder.finish(2);
  await program.run(Object.fromEntries(addon.stepValues.map((name) => [name, 0])));
  const bytes = program.floatsOf(result, (pixels * pixelBytes) / 4).slice();
  program.close();
  const view = new DataView(bytes.buffer);
  const at = (pixel: number, byte: number) => pixel * pixelBytes + byte;
  return {
    integers: Int16Array.from({ length: pixels * channels }, (_, i) =>
      view.getInt16(at(Math.floor(i / channels), 2 * (i % channels)), true),
    ),
    units: Float32Array.from({ length: pixels * parts }, (_, i) =>
      view.getFloat32(at(Math.floor(i / parts), 2 * channels + 4 * (i % parts)), true),
    ),
  };
}

const drawn = fc
  .record({ pixels: fc.integer({ min: 1, max: 40 }), vectors: fc.integer({ min: 1, max: 80 }) })
  .chain(({ pixels, vectors }) => {
    const channels = 16 * vectors;
    return fc.record({
      channels: fc.constant(channels),
      gradient: fc.float32Array({
        minLength: channels,
        maxLength: channels,
        noNaN: true,
        min: -1e6,
        max: 1e6,
      }),
      pixels: fc.constant(pixels),
      scale: fc.float({ min: 2 ** -10, max: 4, noNaN: true }),
    });
  });

if (none) test('fixed-point gradients', { skip: none }, () => {});

for (const [name, addon] of withFixed16) {
  describe(`fixed-point gradients of the ${name} kernels`, () => {
    test('every value within half a unit, the largest of those that share a scale all units that there are', () =>
      fc.assert(
        fc.asyncProperty(drawn, async ({ channels, gradient: first, pixels, scale }) => {
          // Pixels of all magnitudes: what one pixel's values are must not touch another's.
          const gradient = Float32Array.from(
            { length: pixels * channels },
            (_, i) => first[(i * 7) % channels] * 2 ** (-3 * Math.floor(i / channels)),
          );
          const scales = Float32Array.from({ length: channels }, (_, c) => scale * (1 + (c % 3)));
          const { integers, units } = await written(addon, gradient, scales);
          const parts = Math.ceil(channels / addon.fixed16Channels);
          const largest = new Float64Array(units.length);
          integers.forEach((integer, i) => {
            const part =
              Math.floor(i / channels) * parts + Math.floor((i % channels) / addon.fixed16Channels);
            const exact = Math.fround(gradient[i] * scales[i % channels]);
            const unit = units[part];
            // Half, and the roundings of the unit, of its reciprocal and of the product with that.
            assert.ok(
              Math.abs(integer * unit - exact) <= 0.506 * unit + 1e-30,
              `${integer} units of ${unit} for ${exact}`,
            );
            largest[part] = Math.max(largest[part], Math.abs(integer));
          });
          const expected = Array.from(units, (unit) => (unit === 0 ? 0 : 32767));
          assert.deepEqual([...largest], expected);
        }),
        { numRuns: 50 },
      ));

    test('zeros, and what is next to nothing, are zero', async () => {
      const gradient = new Float32Array(32);
      gradient.fill(1e-38, 16);
      const { integers, units } = await written(addon, gradient, new Float32Array(16).fill(1));
      assert.deepEqual([...units], [0, 0]);
      assert.ok(integers.every((integer) => integer === 0));
    });

    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
      test(`${bad} makes its pixel's unit one that is not finite`, async () => {
        const gradient = new Float32Array(32).fill(1);
        gradient[21] = bad;
        const { units } = await written(addon, gradient, new Float32Array(16).fill(1));
        assert.equal(units[0], Math.fround(1 / 32767));
        assert.ok(!Number.isFinite(units[1]));
      });
  });
}
