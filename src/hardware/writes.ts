/** @file What it costs to write cells: energy and time of one write, digits of a stored level. */
import { UserError } from '../errors.js';
import { levelLimit } from '../model/backbone.js';
import type { HardwareDescription } from './description.js';

/**
 * Energy of one cell write, pJ: as given, else G·V²·T·pulses (NN-IMC).
 * @throws UserError when the policy `writeConductance` needs a conductance that the description lacks
 */
export function cellWritePicojoules(hardware: HardwareDescription): number {
  const { write, policies, name } = hardware;
  if (write.energyPerCell) return write.energyPerCell.value;
  const { conductanceMin: min, conductanceMax: max } = write;
  if (policies.writeConductance !== 'max' && !min) {
    throw new UserError(
      `${name}: policies.writeConductance=${policies.writeConductance} needs write.conductanceMin`,
      'Give it with its source, or use policies.writeConductance=max.',
    );
  }
  const microsiemens = {
    max: max!.value,
    min: min?.value ?? 0,
    mean: ((min?.value ?? 0) + max!.value) / 2,
  }[policies.writeConductance];
  // µS · V² · ns = 10^-15 J
  return microsiemens * write.voltage!.value ** 2 * write.pulseWidth.value * write.pulses.value * 1e-3;
}

/** Digits of a stored value, least significant first. */
export function digitsOf(stored: number, digits: number, cellBits: number): number[] {
  return Array.from({ length: digits }, (_, i) => (stored >> (i * cellBits)) & (2 ** cellBits - 1));
}

/** How two stored levels differ in their cells; tables indexed by `from · size + to`, stored = level + offset. */
export interface DigitDistances {
  /** Stored value of level 0: levels are −offset … offset. */
  readonly offset: number;
  readonly size: number;
  /** Cells whose digit differs. */
  readonly changedCells: Uint8Array;
  /** Σ |digit − digit|. */
  readonly digitSteps: Uint16Array;
  /** The largest |digit − digit|. */
  readonly worstDigitSteps: Uint16Array;
}

export function digitDistances(weightBits: number, digits: number, cellBits: number): DigitDistances {
  const offset = levelLimit(weightBits);
  const size = 2 * offset + 1;
  const changedCells = new Uint8Array(size * size);
  const digitSteps = new Uint16Array(size * size);
  const worstDigitSteps = new Uint16Array(size * size);
  const all = Array.from({ length: size }, (_, stored) => digitsOf(stored, digits, cellBits));
  for (let from = 0; from < size; from++) {
    for (let to = 0; to < size; to++) {
      for (let i = 0; i < digits; i++) {
        const steps = Math.abs(all[from][i] - all[to][i]);
        if (steps > 0) changedCells[from * size + to]++;
        digitSteps[from * size + to] += steps;
        worstDigitSteps[from * size + to] = Math.max(worstDigitSteps[from * size + to], steps);
      }
    }
  }
  return { offset, size, changedCells, digitSteps, worstDigitSteps };
}
