import type { HardwareReport } from '../hardwareReport.js';
import type { Chip } from './types.js';

/** Names a chip by all that its cost without masks depends on: network, input, preset, bits. */
export function chipId({ network, hardware }: HardwareReport): string {
  const { weightBits, activationBits } = hardware.precision;
  const bits =
    weightBits.value === activationBits.value
      ? `${weightBits.value}-bit`
      : `${weightBits.value}/${activationBits.value}-bit`;
  return `${network.network} at ${network.input} on ${hardware.name}, ${bits}`;
}

/** A hardware report of runs of one seed and variant. */
interface PricedRuns {
  readonly report: HardwareReport;
  readonly seed: number;
  readonly variant: string | null;
  readonly costs: ReadonlyMap<string, unknown>;
}

/** The chips of hardware reports; of several reports of one chip, as of several seeds, the first of most runs speaks. */
export function chipsOf(priced: readonly PricedRuns[]): Chip[] {
  const chips = new Map<string, PricedRuns[]>();
  for (const one of priced) {
    const id = chipId(one.report);
    chips.set(id, [...(chips.get(id) ?? []), one]);
  }
  return [...chips].map(([id, all]) => {
    const { report, seed, variant } = all.reduce((a, b) => (b.costs.size > a.costs.size ? b : a));
    const assumptions = [...new Set(all.flatMap((one) => one.report.assumptions))];
    const runs = `seed ${seed}${variant === null ? '' : `, ${variant}`}`;
    return { id, runs, report: { ...report, assumptions } };
  });
}
