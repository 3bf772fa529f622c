/** @file Random networks, masks and descriptions for property tests. */
import fc from 'fast-check';
import type { HardwareDescription } from '../../src/hardware/description.js';
import { loadHardware, withOverrides } from '../../src/hardware/load.js';
import type { CrossbarNetwork, WeightLayer } from '../../src/hardware/network.js';
import { columnSegments } from '../../src/hardware/network.js';
import { uniform } from '../../src/random.js';

const base = loadHardware('nn-imc');

const layer: fc.Arbitrary<Omit<WeightLayer, 'name'>> = fc
  .record({
    channels: fc.integer({ min: 1, max: 40 }),
    kernel: fc.constantFrom(1, 3, 7),
    outputs: fc.integer({ min: 1, max: 100 }),
    groups: fc.constantFrom(1, 1, 1, 2),
    positions: fc.integer({ min: 1, max: 200 }),
    first: fc.boolean(),
  })
  .map(({ channels, kernel, outputs, groups, positions, first }) => ({
    kind: 'conv' as const,
    rows: channels * kernel * kernel,
    outputs: outputs * groups,
    groups,
    positions,
    first,
    head: false,
  }));

export const randomNetwork: fc.Arbitrary<CrossbarNetwork> = fc
  .array(layer, { minLength: 1, maxLength: 6 })
  .map((layers) => ({
    network: 'random',
    input: '32×32',
    layers: layers.map((shape, index) => ({ ...shape, name: `conv${index}` })),
    batchNormChannels: 10,
    headFeatures: 8,
  }));

/** Array sizes, cell and ADC bits, energies and every policy at random. */
export const randomHardware: fc.Arbitrary<HardwareDescription> = fc
  .record({
    'array.rows': fc.constantFrom(16, 32, 64, 72, 128),
    'array.columns': fc.constantFrom(16, 32, 64, 72, 128),
    'array.cellBits': fc.constantFrom(1, 2, 3, 4),
    'array.adcBits': fc.constantFrom(3, 5, 8),
    'energy.adc': fc.double({ min: 0.1, max: 20, noNaN: true }),
    'energy.maskBufferPerBit': fc.double({ min: 0, max: 1, noNaN: true }),
    'policies.placement': fc.constantFrom('arrays-per-digit', 'digits-side-by-side'),
    'policies.adderTree': fc.constantFrom('nn-imc', 'log2'),
    'policies.gating': fc.constantFrom('linear', 'by-component'),
    'policies.unusedColumns': fc.constantFrom('charged', 'idle'),
    'policies.firstConvolution': fc.constantFrom('as-others', 'pixel-bits'),
    'policies.maskBuffer': fc.constantFrom('per-image', 'per-activation'),
    'policies.scaling': fc.constantFrom('per-line', 'none'),
    'policies.peripherals': fc.constantFrom('shared', 'per-layer'),
    'policies.pipeline': fc.constantFrom('layer-by-layer', 'layer-pipelined'),
  })
  .map((overrides) => withOverrides(base, overrides));

/** Mask bits per column segment, each off with `shareOff` (0 … 1). */
export function randomMasks(network: CrossbarNetwork, arrayRows: number, shareOff: number, seed: number) {
  return network.layers.map((shape, index) => ({
    rowsPerBit: arrayRows,
    bits: Uint8Array.from({ length: columnSegments(shape, arrayRows) }, (_, i) =>
      Number(uniform(seed, index, i) >= shareOff),
    ),
  }));
}
