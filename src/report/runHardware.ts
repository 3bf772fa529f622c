import { UserError } from '../errors.js';
import type { HardwareDescription } from '../hardware/description.js';
import { withOverrides } from '../hardware/load.js';

/**
 * A hardware description at the bit widths of trained runs.
 * @throws UserError when no crossbar holds them
 */
export function hardwareForRuns(
  hardware: HardwareDescription,
  { weightBits, activationBits }: { readonly weightBits: number; readonly activationBits: number },
): HardwareDescription {
  if (weightBits > 8 || activationBits > 8) {
    throw new UserError(
      `the runs use a backbone of ${weightBits}-bit weights and ${activationBits}-bit activations, which no crossbar holds`,
      'Price runs of a quantised backbone.',
    );
  }
  const widths: Record<string, number> = {};
  if (hardware.precision.weightBits.value !== weightBits) widths['precision.weightBits'] = weightBits;
  if (hardware.precision.activationBits.value !== activationBits) {
    widths['precision.activationBits'] = activationBits;
    widths['precision.bufferBits'] = activationBits;
  }
  return withOverrides(hardware, widths);
}
