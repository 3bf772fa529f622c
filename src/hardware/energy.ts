/**
 * @file Energy per image. Formulas: NN-IMC (hw_eval.py at 6e69878), split by the component table of the XBM slides;
 * see docs/hardware.md.
 */
import { fullActivity, type LayerActivity } from './gating.js';
import type { LayerMapping, NetworkMapping } from './mapping.js';
import { adderStages, adderTreeCost, type Rates } from './rates.js';

/** Energies of one image, pJ, in the rows that reports print. */
export interface EnergyRows {
  switchMatrix: number;
  adc: number;
  shiftAddInput: number;
  shiftAddWeight: number;
  /** Adder trees over the row segments. */
  accumulation: number;
  /** Writing the layer's outputs to the global buffer. */
  buffer: number;
  relu: number;
  maskBuffer: number;
}

export const ENERGY_ROWS = [
  'switchMatrix',
  'adc',
  'shiftAddInput',
  'shiftAddWeight',
  'accumulation',
  'buffer',
  'relu',
  'maskBuffer',
] as const satisfies readonly (keyof EnergyRows)[];

export interface LayerEnergy {
  readonly name: string;
  readonly rows: EnergyRows;
  /** Sum of the rows, pJ. */
  readonly picojoules: number;
}

export interface ImageEnergy {
  readonly layers: readonly LayerEnergy[];
  readonly rows: EnergyRows;
  /** Sum of the rows, pJ. */
  readonly picojoules: number;
}

/** Bits per input of a layer. */
export function inputBits(layer: { readonly first: boolean }, rates: Rates): number {
  return layer.first && rates.policies.firstConvolution === 'pixel-bits'
    ? rates.pixelBits
    : rates.activationBits;
}

/** The energy of one layer per image, pJ. */
export function layerEnergy(mapping: LayerMapping, activity: LayerActivity, rates: Rates): EnergyRows {
  const { layer, rowSegments } = mapping;
  const { policies } = rates;
  const cycles = layer.positions * (inputBits(layer, rates) / rates.referenceInputBits);
  const columnsOn = policies.unusedColumns === 'charged' ? activity.onFraction : activity.onColumnsFraction;
  // Word lines drive whole rows: they rest only with the whole array, unless the policy is NN-IMC's.
  const linesOn = policies.gating === 'linear' ? columnsOn : activity.arraysOn;
  const outputs = layer.outputs * layer.positions;
  const tree = adderTreeCost(
    rates.adderTree,
    adderStages(rowSegments, policies.adderTree),
    policies.deeperAdderTrees,
  );
  // With a weight's digits in arrays of their own, each of these reads the bit from its own buffer.
  const readers = policies.placement === 'arrays-per-digit' ? rates.digits : 1;
  const maskReads = policies.maskBuffer === 'per-image' ? 1 : layer.positions * readers;
  return {
    switchMatrix: linesOn * cycles * rates.switchMatrix,
    adc: columnsOn * cycles * rates.adc,
    shiftAddInput: columnsOn * cycles * rates.shiftAddInput,
    shiftAddWeight: rates.digits > 1 ? columnsOn * cycles * rates.shiftAddWeight : 0,
    accumulation: (outputs * tree) / rates.adderTreeUnits,
    buffer: outputs * rates.buffer,
    relu: outputs * rates.relu,
    maskBuffer: activity.maskBits * maskReads * rates.maskBuffer,
  };
}

/** Sum of the rows. */
export function sumRows(rows: EnergyRows): number {
  // Written out: sweeps call this a million times a second.
  const arrays = rows.switchMatrix + rows.adc + rows.shiftAddInput + rows.shiftAddWeight;
  return arrays + rows.accumulation + rows.buffer + rows.relu + rows.maskBuffer;
}

/**
 * The energy of one image.
 * @param activities one per mapped layer; without them nothing is switched off
 */
export function imageEnergy(
  mapping: NetworkMapping,
  rates: Rates,
  activities?: readonly LayerActivity[],
): ImageEnergy {
  const rows: EnergyRows = {
    switchMatrix: 0,
    adc: 0,
    shiftAddInput: 0,
    shiftAddWeight: 0,
    accumulation: 0,
    buffer: 0,
    relu: 0,
    maskBuffer: 0,
  };
  const layers = mapping.layers.map((layer, index) => {
    const costs = layerEnergy(layer, activities?.[index] ?? fullActivity(layer, rates), rates);
    for (const row of ENERGY_ROWS) rows[row] += costs[row];
    return { name: layer.layer.name, rows: costs, picojoules: sumRows(costs) };
  });
  return { layers, rows, picojoules: sumRows(rows) };
}
