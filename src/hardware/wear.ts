/** @file Wear: how many task switches until cells reach their endurance. */
import type { HardwareDescription } from './description.js';
import type { Rewrite } from './reprogramming.js';

export interface Wear {
  /** Switches until a cell that is written at every switch reaches its endurance; null: nothing is written. */
  readonly switchesWorstCell: number | null;
  /** The same for the average cell; null: nothing is written. */
  readonly switchesAverageCell: number | null;
}

/** @param usedCells cells that hold weights */
export function wearOf(rewrite: Rewrite, usedCells: number, hardware: HardwareDescription): Wear {
  if (rewrite.cells === 0) return { switchesWorstCell: null, switchesAverageCell: null };
  const { write, policies } = hardware;
  const perSwitch = policies.wear === 'pulse' ? write.pulses.value : 1;
  const switchesWorstCell = Math.floor(write.endurance.value / perSwitch);
  return {
    switchesWorstCell,
    switchesAverageCell: Math.floor(write.endurance.value / (perSwitch * (rewrite.cells / usedCells))),
  };
}
