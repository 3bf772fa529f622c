/** @file Chip area. Areas per array and per block: XBM slides; one shared block of adder trees and ReLUs: NN-IMC. */
import type { HardwareDescription } from './description.js';
import type { NetworkMapping } from './mapping.js';
import { adderStages, adderTreeCost, digitsPerWeight, lineScale } from './rates.js';

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
  const layers = mapping.layers.map(({ rowSegments }) => ({ rowSegments, copies: 1 }));
  return areaOf(hardware, mapping.arrays, layers);
}

/** The same from what it depends on; equal layers may be given once with their number. */
export function areaOf(
  hardware: HardwareDescription,
  arrays: number,
  layers: readonly { readonly rowSegments: number; readonly copies: number }[],
): Area {
  const { area, policies } = hardware;
  const scale = lineScale(hardware);
  const perArray = {
    memoryCells: area.memoryCells.value * scale.rows * scale.columns,
    switchMatrix: area.switchMatrix.value * scale.rows,
    adc: area.adc.value * scale.columns * scale.adcBits,
    shiftAddInput: area.shiftAddInput.value * scale.columns,
    // A weight in one cell leaves nothing to add: neither energy nor area.
    shiftAddWeight: digitsPerWeight(hardware) > 1 ? area.shiftAddWeight.value * scale.columns : 0,
    maskBuffer: area.maskBuffer.value * scale.columns,
  };
  let treeSum = 0;
  let deepestTree = 0;
  let blocks = 0;
  for (const { rowSegments, copies } of layers) {
    const stages = adderStages(rowSegments, policies.adderTree);
    const tree = adderTreeCost(area.adderTree.value, stages, policies.deeperAdderTrees);
    treeSum += tree * copies;
    deepestTree = Math.max(deepestTree, tree);
    blocks += copies;
  }
  const perLayer = policies.peripherals === 'per-layer';
  const rows: AreaRows = {
    memoryCells: perArray.memoryCells * arrays,
    switchMatrix: perArray.switchMatrix * arrays,
    adc: perArray.adc * arrays,
    shiftAddInput: perArray.shiftAddInput * arrays,
    shiftAddWeight: perArray.shiftAddWeight * arrays,
    maskBuffer: perArray.maskBuffer * arrays,
    // A shared block must serve the deepest tree.
    adderTrees: perLayer ? treeSum : deepestTree,
    relu: area.relu.value * (perLayer ? blocks : 1),
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
