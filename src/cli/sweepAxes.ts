/** @file `--vary key=a,b,c` and `--vary key=from..to:count` as sweep axes. */
import { UserError } from '../errors.js';
import { isWholeNumber } from '../hardware/load.js';
import type { Axis } from '../hardware/sweep.js';

/**
 * @throws UserError when the text is no axis
 */
export function parseAxis(text: string): Axis {
  const equals = text.indexOf('=');
  const key = text.slice(0, equals).trim();
  const list = text.slice(equals + 1).trim();
  if (equals < 1 || list === '') {
    throw new UserError(
      `--vary ${text}: expected key=value,value,… or key=from..to:count`,
      'For example: --vary array.rows=64,72,128 --vary write.energyPerCell=0.6..80000:20',
    );
  }
  const range = /^(.+)\.\.(.+):(\d{1,5})$/.exec(list);
  if (range) {
    const values = geometric(text, range[1], range[2], Number(range[3]));
    // Rounding may make neighbours equal.
    const isWhole = key === 'mask.rows' || isWholeNumber(key.split('.'));
    return { key, values: isWhole ? [...new Set(values.map(Math.round))] : values };
  }
  if (list.includes('..')) {
    throw new UserError(
      `--vary ${text}: expected a range as from..to:count, with a count of at most 99999`,
      'For example: --vary write.energyPerCell=0.6..80000:20',
    );
  }
  const values = list.split(',').map((item) => {
    const trimmed = item.trim();
    const value = Number(trimmed);
    return trimmed !== '' && Number.isFinite(value) ? value : trimmed;
  });
  if (values.includes('')) throw new UserError(`--vary ${text}: a value is empty`, 'Remove the extra comma.');
  if (new Set(values).size < values.length) throw new UserError(`--vary ${text}: a value occurs twice`);
  return { key, values };
}

/** Values with equal ratios between neighbours. */
function geometric(text: string, from: string, to: string, count: number): number[] {
  const [low, high] = [Number(from), Number(to)];
  if (!(low > 0 && high > low && Number.isFinite(high)) || count < 2) {
    throw new UserError(
      `--vary ${text}: a range goes from a positive number to a larger one in at least 2 steps`,
      'For example: --vary write.energyPerCell=0.6..80000:20',
    );
  }
  return Array.from({ length: count }, (_, i) =>
    i === count - 1 ? high : Number((low * (high / low) ** (i / (count - 1))).toPrecision(6)),
  );
}
