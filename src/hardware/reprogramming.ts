/** @file Cells written when the arrays go from one task's weights to another's, with energy, time and wear. */
import { UserError } from '../errors.js';
import type { HardwareDescription, Policies } from './description.js';
import type { LayerMask } from './gating.js';
import { type CrossbarNetwork, layerWeights, mappedLayers, type WeightLayer } from './network.js';
import { digitsPerWeight } from './rates.js';
import { cellWritePicojoules, type DigitDistances, digitDistances } from './writes.js';

/** What the arrays hold for a task. */
export type StoredWeights =
  /** The backbone's levels: also every XBM and classifier task. */
  | { readonly kind: 'backbone' }
  /** Backbone levels, cleared where an element or kernel mask is 0. */
  | { readonly kind: 'masked'; readonly masks: Readonly<Record<string, LayerMask>> }
  /** The same where only the share of cleared weights is known, 0 … 1. */
  | { readonly kind: 'masked-share'; readonly shareOff: number }
  /** A fine-tuned network's own levels. */
  | { readonly kind: 'levels'; readonly levels: Readonly<Record<string, Int8Array>> }
  /** The same where only a mean level change per weight is assumed. */
  | { readonly kind: 'level-change'; readonly meanLevelChange: number };

export interface Rewrite {
  /** Cells that are written. */
  readonly cells: number;
  /** Writes of all cells: more than `cells` where a cell is written once per level that it moves. */
  readonly cellWrites: number;
  /** Writes of the cell that is written most; null: unknown, as only a mean is assumed. */
  readonly worstCellWrites: number | null;
  readonly joules: number;
  /** The writes spread evenly over the cells that are written at a time. */
  readonly seconds: number;
}

export const NO_REWRITE: Rewrite = { cells: 0, cellWrites: 0, worstCellWrites: 0, joules: 0, seconds: 0 };

type Writes = Pick<Rewrite, 'cells' | 'cellWrites' | 'worstCellWrites'>;

/** Every cell once. */
export function oneWriteEach(cells: number): Writes {
  return { cells, cellWrites: cells, worstCellWrites: cells > 0 ? 1 : 0 };
}

/**
 * The cost of going from one stored state to another.
 * @param backbone levels of the frozen backbone; needed where digits are compared
 * @throws UserError when a policy needs levels or masks that are not known
 */
export function rewriteBetween(
  network: CrossbarNetwork,
  hardware: HardwareDescription,
  from: StoredWeights,
  to: StoredWeights,
  backbone?: Readonly<Record<string, Int8Array>>,
): Rewrite {
  if (from.kind === 'backbone' && to.kind === 'backbone') return NO_REWRITE;
  const layers = mappedLayers(network, 'digital');
  return priceWrites(countWrites(layers, hardware, from, to, backbone), hardware);
}

/** Energy and time of a number of cell writes. */
export function priceWrites(writes: Writes, hardware: HardwareDescription): Rewrite {
  const { write } = hardware;
  const rounds = Math.ceil(writes.cellWrites / write.parallelCells.value);
  return {
    // Written out: a sweep calls this a million times a second.
    cells: writes.cells,
    cellWrites: writes.cellWrites,
    worstCellWrites: writes.worstCellWrites,
    joules: writes.cellWrites * cellWritePicojoules(hardware) * 1e-12,
    seconds: rounds * write.pulseWidth.value * write.pulses.value * 1e-9,
  };
}

/** Rewriting a mapped head: all its cells, for every method. */
export function headRewrite(network: CrossbarNetwork, hardware: HardwareDescription): Rewrite {
  if (hardware.policies.head === 'digital') return NO_REWRITE;
  const weights = network.layers.reduce((sum, layer) => sum + (layer.head ? layerWeights(layer) : 0), 0);
  return priceWrites(oneWriteEach(weights * digitsPerWeight(hardware)), hardware);
}

/** Two rewrites of different cells. */
export function addRewrites(a: Rewrite, b: Rewrite): Rewrite {
  return {
    cells: a.cells + b.cells,
    cellWrites: a.cellWrites + b.cellWrites,
    worstCellWrites:
      a.worstCellWrites === null || b.worstCellWrites === null
        ? null
        : Math.max(a.worstCellWrites, b.worstCellWrites),
    joules: a.joules + b.joules,
    seconds: a.seconds + b.seconds,
  };
}

function countWrites(
  layers: readonly WeightLayer[],
  hardware: HardwareDescription,
  from: StoredWeights,
  to: StoredWeights,
  backbone?: Readonly<Record<string, Int8Array>>,
): Writes {
  const digits = digitsPerWeight(hardware);
  const weights = layers.reduce((sum, layer) => sum + layerWeights(layer), 0);
  const { policies } = hardware;

  const share = switchedShare(from, to);
  if (share !== null) {
    requireAllCells(policies);
    return oneWriteEach(weights * share * digits);
  }

  const change = assumedLevelChange(from, to);
  if (change !== null) {
    requireMeanLevelChange(policies);
    const cells = weights * digits;
    return { cells, cellWrites: cells * change, worstCellWrites: null };
  }

  if (isMasked(from) && isMasked(to) && policies.piggybackCells === 'all') {
    const switched = layers.reduce((sum, layer) => sum + switchedWeights(layer, from, to), 0);
    return oneWriteEach(switched * digits);
  }
  const distances = digitDistances(
    hardware.precision.weightBits.value,
    digits,
    hardware.array.cellBits.value,
  );
  const policy = isMasked(from) && isMasked(to) ? 'changed-cells' : hardware.policies.finetuneCells;
  let cells = 0;
  let cellWrites = 0;
  let worstCellWrites = 0;
  for (const layer of layers) {
    const before = levelsOf(layer, from, backbone);
    const after = levelsOf(layer, to, backbone);
    const writes = levelWrites(layer, before, after, digits, distances, policy);
    cells += writes.cells;
    cellWrites += writes.cellWrites;
    worstCellWrites = Math.max(worstCellWrites, writes.worstCellWrites);
  }
  return { cells, cellWrites, worstCellWrites };
}

/** @throws UserError when a published share is not enough to count cells */
export function requireAllCells({ piggybackCells }: Policies): void {
  if (piggybackCells === 'all') return;
  throw new UserError(
    `policies.piggybackCells=${piggybackCells} needs the masks of a trained run and the levels of its backbone; a published share is not enough`,
    'Use policies.piggybackCells=all, or price trained runs with `xbm hw-report`.',
  );
}

/** @throws UserError when an assumed level change is not enough to count cells */
export function requireMeanLevelChange({ finetuneCells }: Policies): void {
  if (finetuneCells === 'mean-level-change') return;
  throw new UserError(
    `policies.finetuneCells=${finetuneCells} needs the levels of a trained run; an assumed level change is not enough`,
    'Use policies.finetuneCells=mean-level-change, or price trained runs with `xbm hw-report`.',
  );
}

const isMasked = (state: StoredWeights): boolean => state.kind === 'masked' || state.kind === 'backbone';

/** Share of weights that differ between two states of which only shares are known; two masks count as independent. */
function switchedShare(from: StoredWeights, to: StoredWeights): number | null {
  if (from.kind !== 'masked-share' && to.kind !== 'masked-share') return null;
  const share = (state: StoredWeights): number => {
    if (state.kind === 'masked-share') return state.shareOff;
    if (state.kind === 'backbone') return 0;
    throw new UserError(`cannot price a switch between a published share and ${state.kind}`);
  };
  const [a, b] = [share(from), share(to)];
  return a * (1 - b) + b * (1 - a);
}

function assumedLevelChange(from: StoredWeights, to: StoredWeights): number | null {
  if (to.kind === 'level-change') return to.meanLevelChange;
  return from.kind === 'level-change' ? from.meanLevelChange : null;
}

/** Weights whose mask bit differs: the exclusive or of two masks. */
function switchedWeights(layer: WeightLayer, from: StoredWeights, to: StoredWeights): number {
  const a = weightBits(layer, from);
  const b = weightBits(layer, to);
  let count = 0;
  for (let i = 0; i < a.length; i++) count += a[i] ^ b[i];
  return count;
}

/** One mask bit per weight, [outputs, rows]. */
function weightBits(layer: WeightLayer, state: StoredWeights): Uint8Array {
  const size = layerWeights(layer);
  if (state.kind !== 'masked') return new Uint8Array(size).fill(1);
  const { rowsPerBit, bits } = requireLayer(state.masks, layer.name, 'mask');
  const perFilter = Math.ceil(layer.rows / rowsPerBit);
  if (bits.length !== perFilter * layer.outputs) {
    throw new UserError(
      `the mask of ${layer.name} has ${bits.length} bits, expected ${perFilter * layer.outputs}`,
      'Use masks that were learned for this network.',
    );
  }
  if (rowsPerBit === 1) return bits;
  const expanded = new Uint8Array(size);
  bits.forEach((bit, index) => {
    const filter = Math.floor(index / perFilter) * layer.rows;
    const start = filter + (index % perFilter) * rowsPerBit;
    expanded.fill(bit, start, Math.min(start + rowsPerBit, filter + layer.rows));
  });
  return expanded;
}

function levelsOf(
  layer: WeightLayer,
  state: StoredWeights,
  backbone?: Readonly<Record<string, Int8Array>>,
): Int8Array {
  if (state.kind === 'levels') return checkedLevels(layer, state.levels);
  if (!backbone) {
    throw new UserError(
      'counting level changes needs the levels of the quantised backbone',
      'Give the backbone that the runs were trained on.',
    );
  }
  const levels = checkedLevels(layer, backbone);
  if (state.kind !== 'masked') return levels;
  const bits = weightBits(layer, state);
  return levels.map((level, i) => level * bits[i]);
}

function checkedLevels(layer: WeightLayer, levels: Readonly<Record<string, Int8Array>>): Int8Array {
  const found = requireLayer(levels, layer.name, 'levels');
  if (found.length !== layerWeights(layer)) {
    throw new UserError(`the levels of ${layer.name} are ${found.length}, expected ${layerWeights(layer)}`);
  }
  return found;
}

function requireLayer<T>(byLayer: Readonly<Record<string, T>>, name: string, what: string): T {
  const found = byLayer[name];
  if (!found) throw new UserError(`no ${what} of layer ${name}`, 'Use a run of this network.');
  return found;
}

function levelWrites(
  layer: WeightLayer,
  before: Int8Array,
  after: Int8Array,
  digits: number,
  distances: DigitDistances,
  policy: HardwareDescription['policies']['finetuneCells'],
): Writes & { readonly worstCellWrites: number } {
  const { offset, size, changedCells, digitSteps, worstDigitSteps } = distances;
  // Millions of weights but few pairs of levels: count the pairs, then price each once.
  const pairs = new Uint32Array(1 << 16);
  for (let i = 0; i < before.length; i++) pairs[((before[i] + 128) << 8) | (after[i] + 128)]++;
  let cells = 0;
  let cellWrites = 0;
  let worstCellWrites = 0;
  pairs.forEach((count, pair) => {
    const from = (pair >> 8) - 128 + offset;
    const to = (pair & 255) - 128 + offset;
    if (count === 0 || from === to) return;
    if (from < 0 || to < 0 || from >= size || to >= size) {
      throw new UserError(
        `level ${(from < 0 || from >= size ? from : to) - offset} of ${layer.name} does not fit precision.weightBits`,
        'Set precision.weightBits to the width that the backbone was quantised to.',
      );
    }
    const index = from * size + to;
    const level = Math.abs(to - from);
    const [changed, writes, worst] = {
      'mean-level-change': [digits, level * digits, level],
      'changed-cells': [changedCells[index], changedCells[index], 1],
      'digit-distance': [changedCells[index], digitSteps[index], worstDigitSteps[index]],
    }[policy];
    cells += count * changed;
    cellWrites += count * writes;
    worstCellWrites = Math.max(worstCellWrites, worst);
  });
  return { cells, cellWrites, worstCellWrites };
}
