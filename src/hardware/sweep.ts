/**
 * @file Design-space exploration: the totals of one network on every combination of constants and policies. The formulas
 * are the report's; equal layers are priced once, and nothing is validated or copied per point.
 */
import { UserError } from '../errors.js';
import { areaOf } from './area.js';
import type { HardwareDescription } from './description.js';
import { layerEnergy, sumRows } from './energy.js';
import { fullActivity, type Gating, networkActivity, uniformActivity } from './gating.js';
import { cycleNanoseconds, layerCycles } from './latency.js';
import { OVERRIDE, unitOf, withOverrides } from './load.js';
import { mapLayer, mapNetwork } from './mapping.js';
import {
  type CrossbarNetwork,
  columnSegments,
  layerWeights,
  mappedLayers,
  type WeightLayer,
} from './network.js';
import { adderStages, ratesOf } from './rates.js';
import { oneWriteEach, priceWrites, requireAllCells, requireMeanLevelChange } from './reprogramming.js';

/** A key of the hardware description, `mask.rows` or `mask.shareOff` (per cent), and the values it takes. */
export interface Axis {
  readonly key: string;
  readonly values: readonly (number | string)[];
}

/** The task that every point is priced with. */
export interface Scenario {
  /** Of XBM's mask bits, 0 … 1; ignored where `gating` has learned masks. */
  readonly shareOff: number;
  /** Learned column masks instead of a share; only where the geometry allows. */
  readonly gating?: Gating;
  /** Of Piggyback's mask bits, 0 … 1; null: unknown, and so are Piggyback's totals. */
  readonly piggybackShareOff: number | null;
  readonly meanLevelChange: number;
  readonly testImages: number;
}

export interface SweepTotals {
  arrays: number;
  utilisationPercent: number;
  activationsPerImage: number;
  /** Without masks. */
  energyPerImageMicrojoules: number;
  xbmEnergyPerImageMicrojoules: number;
  xbmSavingPercent: number;
  /** Of the deepest adder tree; beyond the description's last one it is extrapolated. */
  deepestAdderTree: number;
  areaSquareMillimetres: number;
  latencyMilliseconds: number;
  imagesPerSecond: number;
  maskBytes: number;
  cellWritePicojoules: number;
  piggybackReprogrammingJoules: number | null;
  finetuneReprogrammingJoules: number;
  xbmTotalJoules: number;
  piggybackTotalJoules: number | null;
  finetuneTotalJoules: number;
}

export const SWEEP_TOTALS = [
  'arrays',
  'utilisationPercent',
  'activationsPerImage',
  'energyPerImageMicrojoules',
  'xbmEnergyPerImageMicrojoules',
  'xbmSavingPercent',
  'deepestAdderTree',
  'areaSquareMillimetres',
  'latencyMilliseconds',
  'imagesPerSecond',
  'maskBytes',
  'cellWritePicojoules',
  'piggybackReprogrammingJoules',
  'finetuneReprogrammingJoules',
  'xbmTotalJoules',
  'piggybackTotalJoules',
  'finetuneTotalJoules',
] as const satisfies readonly (keyof SweepTotals)[];

export interface Sweep {
  readonly axes: readonly Axis[];
  /** Combinations of all values. */
  readonly points: number;
  /** The value of each axis at a point; the last axis runs fastest. */
  valuesAt(point: number): (number | string)[];
  totalsAt(point: number): SweepTotals;
}

const MASK_KEYS: readonly string[] = ['mask.rows', 'mask.shareOff'];

/** What a run with learned masks has decided. */
const SET_BY_RUN: ReadonlySet<string> = new Set([
  ...MASK_KEYS,
  'precision.weightBits',
  'precision.activationBits',
]);

type Mutable = Record<string, Record<string, unknown>>;

/**
 * Prepares a sweep; every value of every axis is checked here, once.
 * @throws UserError naming the key and value, or where learned masks do not fit a geometry
 */
export function createSweep(
  network: CrossbarNetwork,
  hardware: HardwareDescription,
  axes: readonly Axis[],
  scenario: Scenario,
): Sweep {
  checkAxes(axes, hardware, scenario);
  const working = structuredClone(hardware);
  const mask = { rows: null as number | null, shareOff: scenario.shareOff };
  const setters = axes.map(({ key }) => setterOf(key, working as unknown as Mutable, mask));
  const layers = mergeLayers(mappedLayers(network, 'digital'));
  const withHead = mergeLayers(mappedLayers(network, 'mapped'));
  const gating = scenario.gating?.kind === 'masks' ? scenario.gating : null;
  const points = axes.reduce((product, { values }) => product * values.length, 1);

  const valuesAt = (point: number): (number | string)[] => {
    let rest = point;
    const values: (number | string)[] = new Array(axes.length);
    for (let i = axes.length - 1; i >= 0; i--) {
      const { values: choices } = axes[i];
      values[i] = choices[rest % choices.length];
      rest = Math.floor(rest / choices.length);
    }
    return values;
  };
  const totalsAt = (point: number): SweepTotals => {
    const values = valuesAt(point);
    for (let i = 0; i < setters.length; i++) setters[i](values[i]);
    const merged = working.policies.head === 'mapped' ? withHead : layers;
    return priceTotals(merged, working, scenario, mask, gating && learnedMasks(network, working, gating));
  };
  return { axes, points, valuesAt, totalsAt };
}

function checkAxes(axes: readonly Axis[], hardware: HardwareDescription, scenario: Scenario): void {
  const seen = new Set<string>();
  for (const { key, values } of axes) {
    if (seen.has(key)) throw new UserError(`${key} is swept twice`, 'Give all its values at once.');
    seen.add(key);
    if (/^mask(\.|$)/.test(key) && !MASK_KEYS.includes(key))
      throw new UserError(`--vary ${key}: unknown key; those of the mask are ${MASK_KEYS.join(' and ')}`);
    if (scenario.gating?.kind === 'masks' && SET_BY_RUN.has(key)) {
      throw new UserError(
        `${key} cannot be swept with learned masks: their run has its own`,
        'Sweep a published share instead.',
      );
    }
    for (const value of values) {
      if (MASK_KEYS.includes(key)) checkMaskValue(key, value);
      else withOverrides(hardware, { [key]: value }, '--vary');
    }
  }
}

function checkMaskValue(key: string, value: number | string): void {
  const rows = key === 'mask.rows';
  const valid =
    typeof value === 'number' && (rows ? Number.isInteger(value) && value >= 1 : value >= 0 && value <= 100);
  if (!valid) {
    throw new UserError(
      `--vary ${key}=${value}: expected ${rows ? 'a whole number of rows' : 'per cent from 0 to 100'}`,
    );
  }
}

/** Writes one value straight into the working copy. */
function setterOf(
  key: string,
  working: Mutable,
  mask: { rows: number | null; shareOff: number },
): (value: number | string) => void {
  if (key === 'mask.rows') {
    return (value) => {
      mask.rows = value as number;
    };
  }
  if (key === 'mask.shareOff') {
    return (value) => {
      mask.shareOff = (value as number) / 100;
    };
  }
  const keys = key.split('.');
  const unit = unitOf(keys);
  const [section, name] = keys;
  if (unit === undefined || keys.length !== 2) {
    if (section === 'policies') {
      return (value) => {
        working.policies[name] = value;
      };
    }
    throw new UserError(`${key} cannot be swept`, 'Sweep a constant, a policy, mask.rows or mask.shareOff.');
  }
  working[section][name] ??= { value: 0, unit, source: OVERRIDE, note: 'swept' };
  const constant = working[section][name] as { value: number | string };
  return (value) => {
    constant.value = value;
  };
}

interface MergedLayer {
  readonly layer: WeightLayer;
  readonly copies: number;
}

/** Layers of one shape, once, with their number. */
function mergeLayers(layers: readonly WeightLayer[]): MergedLayer[] {
  const merged = new Map<string, { layer: WeightLayer; copies: number }>();
  for (const layer of layers) {
    const { rows, outputs, groups, positions, first, head } = layer;
    const key = [rows, outputs, groups, positions, first, head].join();
    const found = merged.get(key);
    if (found) found.copies++;
    else merged.set(key, { layer, copies: 1 });
  }
  return [...merged.values()];
}

interface LearnedMasks {
  /** Energy per image. */
  readonly picojoules: number;
  readonly bits: number;
}

function learnedMasks(
  network: CrossbarNetwork,
  hardware: HardwareDescription,
  gating: Gating & { kind: 'masks' },
): LearnedMasks {
  const rates = ratesOf(hardware);
  const mapping = mapNetwork(network, rates);
  const activities = networkActivity(mapping, rates, gating);
  return {
    picojoules: mapping.layers.reduce(
      (sum, layer, i) => sum + sumRows(layerEnergy(layer, activities[i], rates)),
      0,
    ),
    bits: Object.values(gating.masks).reduce((sum, { bits }) => sum + bits.length, 0),
  };
}

function priceTotals(
  merged: readonly MergedLayer[],
  hardware: HardwareDescription,
  scenario: Scenario,
  mask: { readonly rows: number | null; readonly shareOff: number },
  learned: LearnedMasks | null,
): SweepTotals {
  const rates = ratesOf(hardware);
  const maskRows = mask.rows ?? rates.rows;
  const shareOff = effectiveShare(mask.shareOff, maskRows, rates.rows, hardware);
  const cycle = cycleNanoseconds(hardware);
  const segments: { rowSegments: number; copies: number }[] = [];
  let arrays = 0;
  let usedCells = 0;
  let activations = 0;
  let none = 0;
  let xbm = 0;
  let cycles = 0;
  let slowest = 0;
  let weights = 0;
  let headCells = 0;
  let maskBits = 0;
  let mostSegments = 1;
  for (const { layer, copies } of merged) {
    const mapping = mapLayer(layer, rates);
    arrays += mapping.arrays * copies;
    usedCells += mapping.usedCells * copies;
    activations += mapping.activationsPerImage * copies;
    const unmasked = sumRows(layerEnergy(mapping, fullActivity(mapping, rates), rates)) * copies;
    none += unmasked;
    if (layer.head) {
      xbm += unmasked;
      headCells += mapping.usedCells;
    } else {
      const bits = columnSegments(layer, maskRows);
      const activity = uniformActivity(mapping, rates, shareOff, bits);
      xbm += sumRows(layerEnergy(mapping, activity, rates)) * copies;
      weights += layerWeights(layer) * copies;
      maskBits += bits * copies;
    }
    const layerLength = layerCycles(layer, rates);
    cycles += layerLength * copies;
    if (layerLength > slowest) slowest = layerLength;
    segments.push({ rowSegments: mapping.rowSegments, copies });
    if (mapping.rowSegments > mostSegments) mostSegments = mapping.rowSegments;
  }
  const xbmImage = learned?.picojoules ?? xbm;
  const write = (cellWrites: number): number => priceWrites(oneWriteEach(cellWrites), hardware).joules;
  const headWrite = write(headCells);
  const share = scenario.piggybackShareOff;
  if (share !== null) requireAllCells(rates.policies);
  requireMeanLevelChange(rates.policies);
  const piggyback = share === null ? null : write(weights * share * rates.digits) + headWrite;
  const finetune = write(weights * scenario.meanLevelChange * rates.digits) + headWrite;
  const { testImages } = scenario;
  const inference = none * 1e-12 * testImages;
  const latencyMilliseconds = cycles * cycle * 1e-6;
  const period = hardware.policies.pipeline === 'layer-pipelined' ? slowest : cycles;
  return {
    arrays,
    utilisationPercent: (100 * usedCells) / (arrays * rates.rows * rates.columns),
    activationsPerImage: activations,
    energyPerImageMicrojoules: none * 1e-6,
    xbmEnergyPerImageMicrojoules: xbmImage * 1e-6,
    xbmSavingPercent: 100 * (1 - xbmImage / none),
    deepestAdderTree: adderStages(mostSegments, rates.policies.adderTree),
    areaSquareMillimetres: areaOf(hardware, arrays, segments).squareMicrometres * 1e-6,
    latencyMilliseconds,
    imagesPerSecond: 1e9 / (period * cycle),
    maskBytes: Math.ceil((learned?.bits ?? maskBits) / 8),
    cellWritePicojoules: write(1) * 1e12,
    piggybackReprogrammingJoules: piggyback,
    finetuneReprogrammingJoules: finetune,
    xbmTotalJoules: xbmImage * 1e-12 * testImages + headWrite,
    piggybackTotalJoules: piggyback === null ? null : inference + piggyback,
    finetuneTotalJoules: inference + finetune,
  };
}

/**
 * The share of array columns that are off when masks have segments of other rows: the same where an array segment lies
 * within one mask segment; with policy `and`, share^n where it spans n of them, their bits taken as independent.
 */
function effectiveShare(
  shareOff: number,
  maskRows: number,
  arrayRows: number,
  hardware: HardwareDescription,
): number {
  if (maskRows % arrayRows === 0) return shareOff;
  if (hardware.policies.maskRemap === 'and' && arrayRows % maskRows === 0) {
    return shareOff ** (arrayRows / maskRows);
  }
  throw new UserError(
    `mask segments of ${maskRows} rows cannot be priced on arrays of ${arrayRows} rows`,
    'Sweep multiples of the array rows; whole fractions of them need policies.maskRemap=and.',
  );
}
