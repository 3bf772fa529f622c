/**
 * @file Latency from cycle counts. One cycle reads an array with one input bit and converts its columns; reading the
 * next bit and converting the last one overlap, so a cycle is the longer of the two. All arrays of a layer work at
 * once, positions one after another, weights are not replicated, masks shorten nothing. No source gives XBM's clock.
 */
import type { HardwareDescription } from './description.js';
import { inputBits } from './energy.js';
import type { NetworkMapping } from './mapping.js';
import type { WeightLayer } from './network.js';
import { type Rates, ratesOf } from './rates.js';

export interface LayerLatency {
  readonly name: string;
  readonly cycles: number;
  readonly microseconds: number;
}

export interface Latency {
  readonly cycleNanoseconds: number;
  readonly layers: readonly LayerLatency[];
  readonly cyclesPerImage: number;
  /** From the first cycle of an image to its last. */
  readonly microsecondsPerImage: number;
  /** By the pipeline policy: 1 / sum of the layers, or 1 / the slowest layer. */
  readonly imagesPerSecond: number;
}

/** The length of a cycle. */
export function cycleNanoseconds({ array, timing }: HardwareDescription): number {
  return Math.max(timing.crossbarRead.value, array.columnsPerAdc.value * timing.adcConversion.value);
}

/** Cycles of one layer per image. */
export function layerCycles(layer: WeightLayer, rates: Rates): number {
  return layer.positions * inputBits(layer, rates);
}

export function imageLatency(hardware: HardwareDescription, mapping: NetworkMapping): Latency {
  const { policies } = hardware;
  const rates = ratesOf(hardware);
  const cycle = cycleNanoseconds(hardware);
  const layers = mapping.layers.map(({ layer }) => {
    const cycles = layerCycles(layer, rates);
    return { name: layer.name, cycles, microseconds: (cycles * cycle) / 1000 };
  });
  const cyclesPerImage = layers.reduce((sum, layer) => sum + layer.cycles, 0);
  const microsecondsPerImage = (cyclesPerImage * cycle) / 1000;
  const slowest = Math.max(...layers.map((layer) => layer.microseconds));
  return {
    cycleNanoseconds: cycle,
    layers,
    cyclesPerImage,
    microsecondsPerImage,
    imagesPerSecond: 1e6 / (policies.pipeline === 'layer-pipelined' ? slowest : microsecondsPerImage),
  };
}
