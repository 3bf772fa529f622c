import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { chipArea } from '../../src/hardware/area.js';
import { ENERGY_ROWS, imageEnergy, sumRows } from '../../src/hardware/energy.js';
import { fullActivity, maskActivity, uniformActivity } from '../../src/hardware/gating.js';
import { imageLatency } from '../../src/hardware/latency.js';
import { arraysOf, mapNetwork } from '../../src/hardware/mapping.js';
import { ratesOf } from '../../src/hardware/rates.js';
import { randomHardware, randomMasks, randomNetwork } from './random.js';

const close = (a: number, b: number, what: string) =>
  assert.ok(Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b)), `${what}: ${a} and ${b}`);

const scene = fc.record({
  network: randomNetwork,
  hardware: randomHardware,
  shareOff: fc.double({ min: 0, max: 1, noNaN: true }),
  seed: fc.nat(),
});

test('totals equal the sums of layers, rows and arrays', () => {
  fc.assert(
    fc.property(scene, ({ network, hardware, shareOff, seed }) => {
      const rates = ratesOf(hardware);
      const mapping = mapNetwork(network, rates);
      const masks = randomMasks(network, rates.rows, shareOff, seed);
      const activities = mapping.layers.map((layer, i) => maskActivity(layer, rates, masks[i], 'refuse'));
      const energy = imageEnergy(mapping, rates, activities);
      const layerSum = energy.layers.reduce((sum, layer) => sum + layer.picojoules, 0);
      close(layerSum, energy.picojoules, 'layers');
      close(sumRows(energy.rows), energy.picojoules, 'rows');
      for (const row of ENERGY_ROWS) {
        close(
          energy.layers.reduce((sum, layer) => sum + layer.rows[row], 0),
          energy.rows[row],
          row,
        );
      }
      const area = chipArea(hardware, mapping);
      close(
        Object.values(area.rows).reduce((a, b) => a + b, 0),
        area.squareMicrometres,
        'area',
      );
      const latency = imageLatency(hardware, mapping);
      close(
        latency.layers.reduce((sum, layer) => sum + layer.microseconds, 0),
        latency.microsecondsPerImage,
        'latency',
      );
      for (const layer of mapping.layers) {
        const arrays = arraysOf(layer, rates);
        assert.equal(arrays.length, layer.arrays);
        assert.equal(
          arrays.reduce((sum, use) => sum + use.usedRows * use.usedColumns, 0),
          layer.usedCells,
        );
        close(
          arrays.reduce((sum, use) => sum + use.utilisation, 0) / arrays.length,
          layer.utilisation,
          'use',
        );
      }
    }),
    { numRuns: 150 },
  );
});

test('a full mask costs what no mask costs but for the mask buffer', () => {
  fc.assert(
    fc.property(scene, ({ network, hardware }) => {
      const rates = ratesOf(hardware);
      const mapping = mapNetwork(network, rates);
      const masks = randomMasks(network, rates.rows, 0, 0);
      const none = imageEnergy(mapping, rates);
      const full = imageEnergy(
        mapping,
        rates,
        mapping.layers.map((layer, i) => maskActivity(layer, rates, masks[i], 'refuse')),
      );
      for (const row of ENERGY_ROWS) {
        if (row !== 'maskBuffer') close(full.rows[row], none.rows[row], row);
      }
      assert.equal(none.rows.maskBuffer, 0);
      close(full.picojoules - full.rows.maskBuffer, none.picojoules, 'total');
    }),
    { numRuns: 100 },
  );
});

test('energy falls with every bit switched off, to nothing in the arrays', () => {
  fc.assert(
    fc.property(scene, ({ network, hardware, seed }) => {
      const rates = ratesOf(hardware);
      const mapping = mapNetwork(network, rates);
      const masks = randomMasks(network, rates.rows, 0.3, seed);
      const energy = () =>
        imageEnergy(
          mapping,
          rates,
          mapping.layers.map((layer, i) => maskActivity(layer, rates, masks[i], 'refuse')),
        );
      let before = energy();
      const bits = masks[seed % masks.length].bits;
      for (let step = 0; step < Math.min(bits.length, 12); step++) {
        const index = (seed + step) % bits.length;
        const wasOn = bits[index] === 1;
        bits[index] = 0;
        const after = energy();
        if (wasOn) assert.ok(after.picojoules < before.picojoules, `bit ${index}: no saving`);
        else assert.equal(after.picojoules, before.picojoules);
        before = after;
      }
      for (const mask of masks) mask.bits.fill(0);
      const off = energy().rows;
      close(off.switchMatrix + off.adc + off.shiftAddInput + off.shiftAddWeight, 0, 'arrays off');
    }),
    { numRuns: 100 },
  );
});

test('a uniform share equals real masks that switch off the same share of every array', () => {
  fc.assert(
    fc.property(randomNetwork, randomHardware, (network, hardware) => {
      const rates = ratesOf(hardware);
      const mapping = mapNetwork(network, rates);
      for (const layer of mapping.layers) {
        assert.deepEqual(uniformActivity(layer, rates, 0).onFraction, fullActivity(layer, rates).onFraction);
        assert.equal(uniformActivity(layer, rates, 1).arraysOn, 0);
        const half = uniformActivity(layer, rates, 0.5);
        close(half.onFraction, layer.arrays / 2, 'half');
      }
    }),
    { numRuns: 50 },
  );
});

test('by-component gating saves less than linear gating, and never less than nothing', () => {
  fc.assert(
    fc.property(scene, ({ network, hardware, shareOff, seed }) => {
      const price = (gating: 'linear' | 'by-component') => {
        const rates = ratesOf({ ...hardware, policies: { ...hardware.policies, gating } });
        const mapping = mapNetwork(network, rates);
        const masks = randomMasks(network, rates.rows, shareOff, seed);
        const activities = mapping.layers.map((layer, i) => maskActivity(layer, rates, masks[i], 'refuse'));
        return { masked: imageEnergy(mapping, rates, activities), none: imageEnergy(mapping, rates) };
      };
      const linear = price('linear');
      const byComponent = price('by-component');
      assert.ok(linear.masked.picojoules <= byComponent.masked.picojoules * (1 + 1e-12));
      const masked = byComponent.masked.picojoules - byComponent.masked.rows.maskBuffer;
      assert.ok(masked <= byComponent.none.picojoules * (1 + 1e-12));
    }),
    { numRuns: 50 },
  );
});
