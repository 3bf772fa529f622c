/**
 * @file A hardware description: every constant of the cost model with its unit and source, and every open choice
 * as a named policy. What the keys mean and where the presets' numbers come from: docs/hardware.md.
 */
import { z } from 'zod';

/** A source name that needs a note instead of a citation: nobody published the number. */
export const ASSUMPTION = 'assumption';

const source = z
  .string({ error: 'every constant needs a source: a key of `sources`, or "assumption" with a note' })
  .min(1);
/** Far beyond any device; products and quotients of a few such numbers are still finite. */
const [SMALLEST, LARGEST] = [1e-30, 1e30];
const positive = z.number().positive({ abort: true }).min(SMALLEST).max(LARGEST);
const constant = <U extends string>(unit: U, value = z.number().nonnegative().max(LARGEST)) =>
  z.strictObject({ value, unit: z.literal(unit), source, note: z.string().optional() });
const count = (unit: string) => constant(unit, z.int().min(1).max(1_000_000_000));
const bits = constant('bit', z.int().min(1).max(16));
/** One value per number of adder-tree stages, from one stage on. */
const perStage = <U extends string>(unit: U) =>
  z.strictObject({
    value: z.array(positive).min(1).max(16),
    unit: z.literal(unit),
    source,
    note: z.string().optional(),
  });

const policies = z.strictObject({
  /**
   * Where the digits of a weight go. `arrays-per-digit`: ceil(O/columns)·digits arrays across (NN-IMC);
   * `digits-side-by-side`: the digits of one weight in neighbouring columns, ceil(digits·O/columns) arrays across (slides).
   */
  placement: z.enum(['arrays-per-digit', 'digits-side-by-side']),
  /** Stages of the adder tree over the row segments: 2^ceil(log2(sqrt(segments))) (NN-IMC) or ceil(log2(segments)). */
  adderTree: z.enum(['nn-imc', 'log2']),
  /** Trees deeper than the last given one: refuse, or double the energy and area per further stage. */
  deeperAdderTrees: z.enum(['double', 'refuse']),
  /**
   * What a switched-off column saves. `linear`: its share of the whole array activation (NN-IMC); `by-component`:
   * its share of ADC and shift-adds; the switch matrix rests only where the whole array is off.
   */
  gating: z.enum(['linear', 'by-component']),
  /** Columns of an array that hold no weight: charged like the others (NN-IMC), or idle. */
  unusedColumns: z.enum(['charged', 'idle']),
  /** The first convolution: input cycles as for the other layers (NN-IMC), or by the bits of a pixel. */
  firstConvolution: z.enum(['as-others', 'pixel-bits']),
  /** The classifier head: computed digitally and left out (NN-IMC), or mapped to arrays. */
  head: z.enum(['digital', 'mapped']),
  /** Reads of the mask buffer: each bit once per image, or by every array that needs it at every activation. */
  maskBuffer: z.enum(['per-image', 'per-activation']),
  /** Constants at other array heights, widths and ADC resolutions than they were published for. */
  scaling: z.enum(['per-line', 'none']),
  /**
   * Mask segments that the rows of an array do not divide, in filters of several segments: refuse, or switch off where
   * all covered bits are off.
   */
  maskRemap: z.enum(['refuse', 'and']),
  /** Cells that an element mask rewrites: all cells of every switched weight (NN-IMC), or those whose digit changes. */
  piggybackCells: z.enum(['all', 'digit-changes']),
  /**
   * Write energy of fine-tuning, in cell energies. `mean-level-change`: all cells × the mean absolute level change
   * (NN-IMC's formula); `changed-cells`: one per cell whose digit changes; `digit-distance`: one per digit step.
   */
  finetuneCells: z.enum(['mean-level-change', 'changed-cells', 'digit-distance']),
  /** Conductance at which a write is charged. */
  writeConductance: z.enum(['max', 'mean', 'min']),
  /** What counts against endurance: a whole write (a train of pulses), or each pulse. */
  wear: z.enum(['write', 'pulse']),
  /** Layers compute one after another, or pipelined on successive images. */
  pipeline: z.enum(['layer-by-layer', 'layer-pipelined']),
  /** Adder trees and ReLU units: one block for the chip (NN-IMC), or one per layer. */
  peripherals: z.enum(['shared', 'per-layer']),
});

export const hardwareSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]*$/, 'expected lower-case letters, digits and dashes'),
  description: z.string().min(1),
  /** Citations by short name. */
  sources: z.record(z.string(), z.string().min(1)),
  array: z.strictObject({
    rows: count('rows'),
    columns: count('columns'),
    cellBits: bits,
    adcBits: bits,
    columnsPerAdc: count('columns'),
  }),
  precision: z.strictObject({
    weightBits: bits,
    activationBits: bits,
    pixelBits: bits,
    /** Of an output in the global buffer; null: as activations. */
    bufferBits: bits.nullable().default(null),
  }),
  /** The array for which energies and areas were published; see `policies.scaling`. */
  reference: z.strictObject({
    rows: count('rows'),
    columns: count('columns'),
    cellBits: bits,
    adcBits: bits,
    inputBits: bits,
  }),
  energy: z.strictObject({
    /** One activation of one array at one output position, all input bits; null: the sum of its components. */
    arrayActivation: constant('pJ').nullable().default(null),
    switchMatrix: constant('pJ'),
    adc: constant('pJ'),
    shiftAddInput: constant('pJ'),
    shiftAddWeight: constant('pJ'),
    /** Of `adderTreeUnits` outputs. */
    adderTree: perStage('pJ'),
    adderTreeUnits: count('outputs'),
    /** Of `reluUnits` outputs. */
    relu: constant('pJ'),
    reluUnits: count('outputs'),
    bufferPerBit: constant('pJ/bit'),
    maskBufferPerBit: constant('pJ/bit'),
  }),
  area: z.strictObject({
    memoryCells: constant('µm²'),
    switchMatrix: constant('µm²'),
    adc: constant('µm²'),
    shiftAddInput: constant('µm²'),
    shiftAddWeight: constant('µm²'),
    maskBuffer: constant('µm²'),
    adderTree: perStage('µm²'),
    relu: constant('µm²'),
    globalBuffer: constant('µm²'),
  }),
  timing: z.strictObject({
    crossbarRead: constant('ns', positive),
    adcConversion: constant('ns', positive),
  }),
  write: z
    .strictObject({
      /** Energy of one cell write; null: conductance · voltage² · pulseWidth · pulses. */
      energyPerCell: constant('pJ', positive).nullable().default(null),
      voltage: constant('V', positive).nullable().default(null),
      conductanceMin: constant('µS', positive).nullable().default(null),
      conductanceMax: constant('µS', positive).nullable().default(null),
      pulseWidth: constant('ns', positive),
      pulses: constant('pulses', positive),
      /** Cells written at the same time. */
      parallelCells: count('cells'),
      endurance: constant('writes', positive),
    })
    .refine((write) => write.energyPerCell || (write.voltage && write.conductanceMax), {
      error: 'give either energyPerCell or voltage and conductanceMax',
    }),
  policies,
});

export type HardwareDescription = z.infer<typeof hardwareSchema>;
export type Policies = HardwareDescription['policies'];

/** A published number or list of numbers with its unit and where it comes from. */
export interface Constant {
  readonly value: number | readonly number[];
  readonly unit: string;
  /** A key of the description's `sources`, "assumption", or "override". */
  readonly source: string;
  readonly note?: string;
}

/** All constants of a description with their dotted keys, in the order of the schema. */
export function constantsOf(hardware: HardwareDescription): { key: string; constant: Constant }[] {
  const found: { key: string; constant: Constant }[] = [];
  for (const section of ['array', 'precision', 'reference', 'energy', 'area', 'timing', 'write'] as const) {
    for (const [key, constant] of Object.entries(hardware[section])) {
      if (constant) found.push({ key: `${section}.${key}`, constant });
    }
  }
  return found;
}
