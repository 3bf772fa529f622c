import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { maskBits } from '../../src/adaption/geometry.js';
import { packBits, packedBytes, unpackBits } from '../../src/adaption/pack.js';
import { buildNetwork } from '../../src/model/networks.js';

const bits = fc
  .array(fc.integer({ min: 0, max: 1 }), { maxLength: 200 })
  .map((list) => Uint8Array.from(list));

test('packing and unpacking are inverse, in eight bits to a byte', () => {
  fc.assert(
    fc.property(bits, (mask) => {
      const packed = packBits(mask);
      assert.equal(packed.length, Math.ceil(mask.length / 8));
      assert.deepEqual(unpackBits(packed, mask.length), mask);
    }),
  );
});

test('bit i lies in bit i mod 8 of byte i / 8', () => {
  fc.assert(
    fc.property(fc.nat({ max: 199 }), (i) => {
      const mask = new Uint8Array(200);
      mask[i] = 1;
      const expected = new Uint8Array(25);
      expected[Math.floor(i / 8)] = 2 ** (i % 8);
      assert.deepEqual(packBits(mask), expected);
    }),
  );
});

test('values other than 0 and 1, wrong lengths and set padding bits are refused', () => {
  assert.throws(() => packBits(Uint8Array.of(1, 2)), /mask bit 1 is 2/);
  assert.throws(() => unpackBits(new Uint8Array(2), 17), /17 mask bits take 3 bytes, found 2/);
  assert.throws(() => unpackBits(Uint8Array.of(0b1000), 3), /unused bits/);
  assert.deepEqual(unpackBits(Uint8Array.of(0b100), 3), Uint8Array.of(0, 0, 1));
});

test('ResNet-50 takes the published 339,968 bits, 42,496 bytes', () => {
  const total = maskBits(buildNetwork('resnet50', 1000), { granularity: 'column', rows: 72 });
  assert.equal(total, 339_968);
  assert.equal(packedBytes(total), 42_496);
});
