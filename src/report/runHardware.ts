import { UserError } from '../errors.js';
import type { HardwareDescription } from '../hardware/description.js';
import { OVERRIDE, withOverrides } from '../hardware/load.js';

/**
 * A hardware description at the bit widths of trained runs.
 * @throws UserError when no crossbar holds them, or an override sets others
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
  const { precision } = hardware;
  const overrides: Record<string, number> = {};
  for (const [key, bits] of Object.entries({ weightBits, activationBits })) {
    const { value, source } = precision[key as keyof typeof precision];
    if (value === bits) continue;
    if (source === OVERRIDE) {
      throw new UserError(
        `precision.${key}=${value} contradicts the runs: they were trained with ${bits} bits`,
        `Leave out precision.${key}, or price published shares.`,
      );
    }
    overrides[`precision.${key}`] = bits;
  }
  if ('precision.activationBits' in overrides && precision.bufferBits.source !== OVERRIDE) {
    overrides['precision.bufferBits'] = activationBits;
  }
  return withOverrides(hardware, overrides);
}
