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

/** The chips of hardware reports; of several reports of one chip, as of several seeds, the first speaks for it. */
export function chipsOf(reports: readonly HardwareReport[]): Chip[] {
  const chips = new Map<string, Chip>();
  for (const report of reports) {
    const id = chipId(report);
    if (!chips.has(id)) chips.set(id, { id, report });
  }
  return [...chips.values()];
}
