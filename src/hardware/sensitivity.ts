/** @file How the comparison of two methods depends on the write energy and on how often tasks switch. */

/** Published energies of one cell write, from the cheapest to the dearest; where they are: `writeEnergyCitations`. */
export const publishedWriteEnergies: readonly { readonly picojoules: number; readonly source: string }[] = [
  { picojoules: 0.22, source: 'CiMLoop rram_neurosim_default, 900 kΩ (2 V, 50 ns)' },
  { picojoules: 0.6, source: 'NVSim / NVMExplorer RRAM cell' },
  { picojoules: 8, source: 'CiMLoop ISAAC cell, 20 kΩ (2 V, 40 ns)' },
  { picojoules: 26, source: 'CiMLoop NeuRRAM cell, 1 MΩ (1.75 V, 8.52 µs)' },
  { picojoules: 33, source: 'CiMLoop rram_neurosim_default, 6 kΩ (2 V, 50 ns)' },
  { picojoules: 104, source: 'CiMLoop NeuRRAM cell, 250 kΩ (1.75 V, 8.52 µs)' },
  { picojoules: 120, source: 'CiMLoop ISAAC cell, 1.33 kΩ (2 V, 40 ns)' },
  { picojoules: 3910, source: 'PipeLayer, per spike' },
  { picojoules: 80_000, source: 'NN-IMC (the authors): 1 V, 100 µs × 20 pulses, 40 µS' },
];

/** CiMLoop's energies are voltage² · pulse width / resistance of its cell files. */
export const writeEnergyCitations: readonly string[] = [
  'CiMLoop: T. Andrulis et al., ISPASS 2024; github.com/mit-emze/cimloop, commit d6e1390, workspace/models/memory_cells: rram_neurosim_default, rram_isaac_isca_2016, rram_wan_nature_2022 (NeuRRAM), energy V²·t/R of each.',
  'NVSim / NVMExplorer: github.com/lpentecost/NVMExplorer, commit 16eb289, data/cell_cfgs/RRAM.cell, SetEnergy.',
  'PipeLayer: L. Song et al., HPCA 2017. NN-IMC: github.com/mengjian0502/NN-IMC, commit 6e69878, main.py, cell_specs.',
];

/** Energy of a task under one method: one reprogramming, then `images` inferences. */
export interface EnergyProfile {
  /** In units of one cell write. */
  readonly cellWrites: number;
  readonly imageJoules: number;
}

/** Total energy at a write energy, J. */
export function totalJoules(profile: EnergyProfile, cellWritePicojoules: number, images: number): number {
  return profile.cellWrites * cellWritePicojoules * 1e-12 + profile.imageJoules * images;
}

/** What `ours` saves against `theirs`, per cent of theirs. */
export function savingPercent(
  ours: EnergyProfile,
  theirs: EnergyProfile,
  cellWritePicojoules: number,
  images: number,
): number {
  const [a, b] = [ours, theirs].map((profile) => totalJoules(profile, cellWritePicojoules, images));
  return 100 * (1 - a / b);
}

/** Images between two switches from which on reprogramming is at most `percent` of a method's energy. */
export function imagesUntilShare(
  profile: EnergyProfile,
  cellWritePicojoules: number,
  percent: number,
): number {
  const write = profile.cellWrites * cellWritePicojoules * 1e-12;
  return Math.ceil((write * (100 - percent)) / (percent * profile.imageJoules));
}

/** Joules saved per point of accuracy given up; null when no accuracy is given up. */
export function joulesPerPoint(
  ours: { readonly joules: number; readonly accuracy: number },
  theirs: { readonly joules: number; readonly accuracy: number },
): number | null {
  const points = theirs.accuracy - ours.accuracy;
  return points > 0 ? (theirs.joules - ours.joules) / points : null;
}
