/**
 * @file The numbers the cost model computes with: a description's constants, scaled to its array, as plain numbers.
 * Energies in pJ, areas in µm², times in ns.
 */
import { UserError } from '../errors.js';
import type { HardwareDescription, Policies } from './description.js';

export interface Rates {
  readonly rows: number;
  readonly columns: number;
  /** Cells of one weight: ceil(weightBits / cellBits). */
  readonly digits: number;
  readonly cellBits: number;
  readonly activationBits: number;
  readonly pixelBits: number;
  readonly referenceInputBits: number;
  /** Of one array activation at `referenceInputBits`, pJ. */
  readonly switchMatrix: number;
  readonly adc: number;
  readonly shiftAddInput: number;
  readonly shiftAddWeight: number;
  /** Of `adderTreeUnits` outputs, from one stage on. */
  readonly adderTree: readonly number[];
  readonly adderTreeUnits: number;
  readonly relu: number;
  readonly buffer: number;
  /** Per mask bit and read. */
  readonly maskBuffer: number;
  readonly policies: Policies;
}

/** Cells of one weight. */
export function digitsPerWeight({ precision, array }: HardwareDescription): number {
  return Math.ceil(precision.weightBits.value / array.cellBits.value);
}

/** The per-activation rates of a description. */
export function ratesOf(hardware: HardwareDescription): Rates {
  const { array, energy, precision, reference, policies } = hardware;
  const scale = lineScale(hardware);
  const parts = {
    switchMatrix: energy.switchMatrix.value,
    adc: energy.adc.value,
    shiftAddInput: energy.shiftAddInput.value,
    shiftAddWeight: energy.shiftAddWeight.value,
  };
  const sum = parts.switchMatrix + parts.adc + parts.shiftAddInput + parts.shiftAddWeight;
  if (energy.arrayActivation && sum === 0) {
    throw new UserError(
      `${hardware.name}: energy.arrayActivation cannot be split: its components are all 0`,
      'Give at least one of energy.switchMatrix, adc, shiftAddInput, shiftAddWeight.',
    );
  }
  const share = energy.arrayActivation ? energy.arrayActivation.value / sum : 1;
  return {
    rows: array.rows.value,
    columns: array.columns.value,
    digits: digitsPerWeight(hardware),
    cellBits: array.cellBits.value,
    activationBits: precision.activationBits.value,
    pixelBits: precision.pixelBits.value,
    referenceInputBits: reference.inputBits.value,
    switchMatrix: parts.switchMatrix * share * scale.rows,
    adc: parts.adc * share * scale.columns * scale.adcBits,
    shiftAddInput: parts.shiftAddInput * share * scale.columns,
    shiftAddWeight: parts.shiftAddWeight * share * scale.columns,
    adderTree: energy.adderTree.value,
    adderTreeUnits: energy.adderTreeUnits.value,
    relu: energy.relu.value / energy.reluUnits.value,
    buffer: energy.bufferPerBit.value * (precision.bufferBits ?? precision.activationBits).value,
    maskBuffer: energy.maskBufferPerBit.value,
    policies,
  };
}

/**
 * How constants published for the reference array carry over (policy `scaling`, an assumption): the switch matrix
 * grows with the rows (it drives source lines too, but no source splits it), ADCs and shift-adds with the columns, a
 * SAR ADC with its bits (one comparison each).
 */
export function lineScale(hardware: HardwareDescription): { rows: number; columns: number; adcBits: number } {
  if (hardware.policies.scaling === 'none') return { rows: 1, columns: 1, adcBits: 1 };
  const { array, reference } = hardware;
  return {
    rows: array.rows.value / reference.rows.value,
    columns: array.columns.value / reference.columns.value,
    adcBits: array.adcBits.value / reference.adcBits.value,
  };
}

/** Stages of the adder tree over `segments` row segments, by policy. */
export function adderStages(segments: number, policy: Policies['adderTree']): number {
  // In integers: exact, and sweeps call this a million times a second.
  let stages = policy === 'log2' ? 0 : 1;
  if (policy === 'log2') while (2 ** stages < segments) stages++;
  // hw_eval.py: 2 ** ceil(log2(sqrt(rows))), which charges one stage where there is nothing to add.
  else while (stages * stages < segments) stages *= 2;
  return stages;
}

/**
 * Energy or area of a tree of `stages` stages: `table[stages − 1]`, 0 without stages, beyond the end doubling per stage.
 * @throws UserError when the policy refuses deeper trees
 */
export function adderTreeCost(
  table: readonly number[],
  stages: number,
  policy: Policies['deeperAdderTrees'],
): number {
  const deepest = table.length;
  if (stages <= deepest) return stages === 0 ? 0 : table[stages - 1];
  if (policy === 'refuse') {
    throw new UserError(
      `an adder tree of ${stages} stages is needed, the description ends at ${deepest}`,
      'Add more values to energy.adderTree and area.adderTree, or set policies.deeperAdderTrees=double.',
    );
  }
  return table[deepest - 1] * 2 ** (stages - deepest);
}
