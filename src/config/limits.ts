/** @file Bounds that keys of an experiment share with options of the command line; help texts load it, so it loads nothing. */

interface Limits {
  readonly min: number;
  readonly max: number;
}

/** Side of the square input, pixels. */
export const imageSizeLimits: Limits = { min: 8, max: 1024 };
/** Images per step. */
export const batchSizeLimits: Limits = { min: 1, max: 4096 };
