/** @file What a reader must know before trusting a number: warnings, assumptions, policies, constants with sources. */
import { ASSUMPTION, constantsOf, type HardwareDescription } from '../hardware/description.js';
import { OVERRIDE } from '../hardware/load.js';
import { adderStages } from '../hardware/rates.js';
import { type HardwareReport, rewritingMethods } from './hardwareReport.js';
import type { Table } from './table.js';

/** The limits of the model; always printed. */
export function warnings(report: HardwareReport): string[] {
  const { hardware } = report;
  const isRewritten = rewritingMethods(report).length > 0;
  const found = [
    'Every component has a fixed energy. CiMLoop (ISPASS 2024, arXiv:2405.07259, Fig. 6) finds such models off by 28 % on average against data-dependent ones.',
    `Every reprogramming figure hangs on the write energy: ${writeEnergy(report)}. Published values span 0.2 pJ to 80 nJ${isRewritten ? '; see the sensitivity tables' : ''}.`,
  ];
  const deepest = hardware.energy.adderTree.value.length;
  const deeper = report.mapping.layers.filter(
    (layer) => adderStages(layer.rowSegments, hardware.policies.adderTree) > deepest,
  );
  if (deeper.length > 0) {
    found.push(
      `${deeper.length} layers need adder trees of more than ${deepest} stages (${deeper[0].layer.name} first): energy and area double per further stage, an extrapolation.`,
    );
  }
  if (isScaled(hardware)) {
    found.push(
      hardware.policies.scaling === 'none'
        ? 'The array differs from the one the constants were published for, and policies.scaling=none keeps them as they are.'
        : 'The array differs from the one the constants were published for: switch matrix scaled by rows, ADC and shift-adds by columns, ADC by bits, an assumption.',
    );
  }
  const { array, reference } = hardware;
  if (array.cellBits.value !== reference.cellBits.value) {
    found.push(
      `Cells hold ${array.cellBits.value} bits, the constants were published for ${reference.cellBits.value}: none is scaled for that, and the ADC keeps its ${array.adcBits.value} bits.`,
    );
  }
  return found;
}

function isScaled({ array, reference }: HardwareDescription): boolean {
  return (['rows', 'columns', 'adcBits'] as const).some((key) => array[key].value !== reference[key].value);
}

/** "80 nJ". */
export function formatEnergy(picojoules: number): string {
  const units = ['pJ', 'nJ', 'µJ', 'mJ', 'J'];
  let unit = 0;
  let value = picojoules;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(3))} ${units[unit]}`;
}

/** What every reprogramming figure hangs on: "80 nJ per cell write (source)". */
export function writeEnergy(report: Pick<HardwareReport, 'hardware' | 'cellWritePicojoules'>): string {
  return `${formatEnergy(report.cellWritePicojoules)} per cell write (${writeSource(report.hardware)})`;
}

/** Where the write energy comes from, in words. */
export function writeSource(hardware: HardwareDescription): string {
  const { write } = hardware;
  if (write.energyPerCell) return citation(hardware, write.energyPerCell.source);
  return `conductance · voltage² · pulse width · pulses: ${citation(hardware, write.voltage!.source)}`;
}

function citation(hardware: HardwareDescription, source: string): string {
  return hardware.sources[source] ?? source;
}

const policyMeaning: Readonly<Record<string, string>> = {
  placement: 'where the digits of a weight go',
  adderTree: 'stages of the adder tree over row segments',
  deeperAdderTrees: 'trees deeper than the last given one',
  gating: 'what a switched-off column saves',
  unusedColumns: 'columns without weights',
  firstConvolution: 'input cycles of the first convolution',
  head: 'the classifier head',
  maskBuffer: 'how often the mask buffer is read',
  scaling: 'constants at other array sizes',
  maskRemap: 'mask segments that the array rows do not divide',
  piggybackCells: 'cells that an element mask rewrites',
  finetuneCells: 'write energy of fine-tuning',
  writeConductance: 'conductance at which a write is charged',
  wear: 'what counts against endurance',
  pipeline: 'layers on successive images',
  peripherals: 'adder-tree and ReLU blocks',
};

/** Assumptions: of the results, of the description, of the model itself. */
export function assumptionsTable(report: HardwareReport): Table {
  const { hardware } = report;
  const rows: [string, string][] = report.assumptions.map((text) => ['results', text]);
  for (const { key, constant } of constantsOf(hardware)) {
    if (constant.source === ASSUMPTION)
      rows.push([key, `${String(constant.value)} ${constant.unit}: ${constant.note}`]);
  }
  if (hardware.energy.arrayActivation) {
    rows.push([
      'energy.arrayActivation',
      `split into switch matrix, ADC and shift-adds in the proportions of its components: ${hardware.energy.arrayActivation.note ?? 'no other split is given'}`,
    ]);
  }
  rows.push(
    [
      'latency',
      'all arrays of a layer work at once, positions one after another; reading a bit and converting the last one overlap; weights are not replicated; masks shorten nothing',
    ],
    [
      'buffer',
      `every output of a mapped layer is written to the global buffer once, in ${(hardware.precision.bufferBits ?? hardware.precision.activationBits).value} bits, and passes ReLU once (NN-IMC)`,
    ],
    ['batch norm', 'digital and folded: two float32 values per channel of each task, no energy (NN-IMC)'],
    ['groups', 'each group of a grouped convolution gets arrays of its own'],
    [
      'left out',
      `energy of the memory cells of an array (the slides give none), buffer reads, residual sums, pooling, requantisation, ${hardware.policies.head === 'digital' ? 'the classifier head, ' : ''}drivers and DACs, interconnect, control, leakage, off-chip memory: the figures compare designs and are not absolute chip energies`,
    ],
  );
  return {
    id: 'assumptions',
    title: 'Assumptions',
    header: ['about', 'assumption'],
    rows,
    notes: [],
  };
}

export function policiesTable(hardware: HardwareDescription): Table {
  return {
    id: 'policies',
    title: 'Policies: the open choices of the model',
    header: ['policy', 'choice', 'about'],
    rows: Object.entries(hardware.policies).map(([key, choice]) => [
      `policies.${key}`,
      choice,
      policyMeaning[key] ?? '',
    ]),
    notes: ['Change one with --set policies.<name>=<choice>; docs/hardware.md says what each choice does.'],
  };
}

export function constantsTable(hardware: HardwareDescription): Table {
  const used = new Set<string>();
  const rows = constantsOf(hardware).map(({ key, constant }) => {
    used.add(constant.source);
    const value = Array.isArray(constant.value) ? constant.value.join(', ') : String(constant.value);
    return [key, value, constant.unit, constant.source, constant.note ?? ''];
  });
  const notes = [...used].map((source) => {
    if (source === OVERRIDE) return `${OVERRIDE}: set by hand for this report.`;
    if (source === ASSUMPTION) return `${ASSUMPTION}: no source gives it; the note says why.`;
    return `${source}: ${hardware.sources[source]}`;
  });
  return {
    id: 'constants',
    title: `Constants of ${hardware.name}`,
    header: ['key', 'value', 'unit', 'source', 'note'],
    rows,
    notes,
  };
}
