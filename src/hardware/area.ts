/** @file Chip area. Areas per array and per block: XBM slides; one shared block of adder trees and ReLUs: NN-IMC. */
import type { HardwareDescription } from './description.js';
import type { NetworkMapping } from './mapping.js';
import { adderStages, adderTreeCost, lineScale } from './rates.js';

/** µm², in the rows of the slides' tables and pie. */
export interface AreaRows {
  memoryCells: number;
  switchMatrix: number;
  adc: number;
  shiftAddInput: number;
  shiftAddWeight: number;
  maskBuffer: number;
  adderTrees: number;
  relu: number;
  globalBuffer: number;
}

/** The rows that lie inside an array. */
export const ARRAY_AREA_ROWS = [
  'memoryCells',
  'switchMatrix',
  'adc',
  'shiftAddInput',
  'shiftAddWeight',
  'maskBuffer',
] as const satisfies readonly (keyof AreaRows)[];

export interface Area {
  /** Of one array, by component. */
  readonly perArray: Pick<AreaRows, (typeof ARRAY_AREA_ROWS)[number]>;
  /** Sum of `perArray`. */
  readonly arraySquareMicrometres: number;
  /** Of the chip. */
  readonly rows: AreaRows;
  readonly squareMicrometres: number;
}

/** Area of one array and of the chip that holds a network. */
export function chipArea(hardware: HardwareDescription, mapping: NetworkMapping): Area {
  const { area, policies } = hardware;
  const scale = lineScale(hardware);
  const perArray = {
    memoryCells: area.memoryCells.value * scale.rows * scale.columns,
    switchMatrix: area.switchMatrix.value * scale.rows,
    adc: area.adc.value * scale.columns * scale.adcBits,
    shiftAddInput: area.shiftAddInput.value * scale.columns,
    shiftAddWeight: area.shiftAddWeight.value * scale.columns,
    maskBuffer: area.maskBuffer.value * scale.columns,
  };
  const trees = [0, ...area.adderTree.value];
  const treeAreas = mapping.layers.map((layer) =>
    adderTreeCost(trees, adderStages(layer.rowSegments, policies.adderTree), policies.deeperAdderTrees),
  );
  const perLayer = policies.peripherals === 'per-layer';
  const rows: AreaRows = {
    memoryCells: perArray.memoryCells * mapping.arrays,
    switchMatrix: perArray.switchMatrix * mapping.arrays,
    adc: perArray.adc * mapping.arrays,
    shiftAddInput: perArray.shiftAddInput * mapping.arrays,
    shiftAddWeight: perArray.shiftAddWeight * mapping.arrays,
    maskBuffer: perArray.maskBuffer * mapping.arrays,
    // A shared block must serve the deepest tree.
    adderTrees: perLayer ? treeAreas.reduce((a, b) => a + b, 0) : Math.max(0, ...treeAreas),
    relu: area.relu.value * (perLayer ? mapping.layers.length : 1),
    globalBuffer: area.globalBuffer.value,
  };
  return {
    perArray,
    arraySquareMicrometres: sum(Object.values(perArray)),
    rows,
    squareMicrometres: sum(Object.values(rows)),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
