import { UserError } from '../errors.js';
import type { HardwareDescription } from '../hardware/description.js';
import { OVERRIDE, withOverrides } from '../hardware/load.js';

/**
 * A hardware description at the bit widths of trained runs.
 * @throws UserError when no crossbar holds them, or an override sets others
 */
export function hardwareForRuns(
  hardware: HardwareDescription,
  widths: { readonly weightBits: number; readonly activationBits: number },
): HardwareDescription {
  const { weightBits, activationBits } = widths;
  if (weightBits > 8 || activationBits > 8) {
    throw new UserError(
      `the runs use a backbone of ${weightBits}-bit weights and ${activationBits}-bit activations, which no crossbar holds`,
      'Price runs of a quantised backbone.',
    );
  }
  const { precision } = hardware;
  const overrides: Record<string, number> = {};
  for (const key of ['weightBits', 'activationBits'] as const) {
    const bits = widths[key];
    const { value, source } = precision[key];
    if (value === bits) continue;
    if (source === OVERRIDE) {
      throw new UserError(
        `precision.${key}=${value} contradicts the runs: they were trained with ${bits} bits`,
        `Leave out precision.${key}, or price published shares.`,
      );
    }
    overrides[`precision.${key}`] = bits;
  }
  return withOverrides(hardware, overrides);
}
