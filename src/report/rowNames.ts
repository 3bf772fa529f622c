/** @file How the rows of energies and areas are called in tables and charts. */
import type { AreaRows } from '../hardware/area.js';
import type { EnergyRows } from '../hardware/energy.js';

/** Names of the energy rows as printed. */
export const ENERGY_ROW_NAMES: Readonly<Record<keyof EnergyRows, string>> = {
  switchMatrix: 'switch matrix',
  adc: 'ADC',
  shiftAddInput: 'shift-add, input',
  shiftAddWeight: 'shift-add, weight',
  accumulation: 'accumulation (adder trees)',
  buffer: 'buffer',
  relu: 'ReLU',
  maskBuffer: 'mask buffer',
};

/** Names of the area rows as printed. */
export const AREA_ROW_NAMES: Readonly<Record<keyof AreaRows, string>> = {
  memoryCells: 'memory cells',
  switchMatrix: 'switch matrix',
  adc: 'ADC',
  shiftAddInput: 'shift-add, input',
  shiftAddWeight: 'shift-add, weight',
  maskBuffer: 'mask buffer',
  adderTrees: 'adder trees',
  relu: 'ReLU',
  globalBuffer: 'global buffer',
};
