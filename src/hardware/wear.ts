/** @file Wear: how many task switches until cells reach their endurance. */
import type { HardwareDescription } from './description.js';
import type { Rewrite } from './reprogramming.js';

export interface Wear {
  /**
   * Switches until a cell that is written the most at every switch reaches its endurance; null: nothing is written, or
   * how often that cell is written is unknown.
   */
  readonly switchesWorstCell: number | null;
  /** The same for the average cell; null: nothing is written. */
  readonly switchesAverageCell: number | null;
}

/** @param usedCells cells that hold weights */
export function wearOf(rewrite: Rewrite, usedCells: number, hardware: HardwareDescription): Wear {
  if (rewrite.cellWrites === 0) return { switchesWorstCell: null, switchesAverageCell: null };
  const { write, policies } = hardware;
  const perWrite = policies.wear === 'pulse' ? write.pulses.value : 1;
  const writes = write.endurance.value / perWrite;
  return {
    switchesWorstCell: rewrite.worstCellWrites === null ? null : Math.floor(writes / rewrite.worstCellWrites),
    switchesAverageCell: Math.floor(writes / (rewrite.cellWrites / usedCells)),
  };
}
