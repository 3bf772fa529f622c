/**
 * @file The matrices of Winograd's minimal filtering F(tile×tile, 3×3) by Toom–Cook: filter and output tile are
 * polynomials, known by their values at as many points as their product, the input patch, has coefficients
 * (Lavin & Gray 2016; the interpolation is its transpose).
 */
export type Matrix = readonly (readonly number[])[];

export const tileSizes = [3, 4] as const;
/** Output pixels along a side of one tile; its input patch has two more. */
export type TileSize = (typeof tileSizes)[number];

export interface WinogradTransforms {
  /** From a filter's 9 taps: [patch², 9]. */
  readonly weight: Matrix;
  /** [patch², patch²] */
  readonly input: Matrix;
  /** [tile², patch²] */
  readonly output: Matrix;
  /** Of the output gradient, for the weight's: [patch², patch²], the tile in the middle of its patch. */
  readonly outputGradient: Matrix;
}

/** a/b as [a, b]: 0, ∞, ±1, ±2; a tile takes the first tile + 2. */
const points: Matrix = [
  [0, 1],
  [1, 0],
  [1, 1],
  [-1, 1],
  [2, 1],
  [-2, 1],
];

/**
 * output · (weight · filter ⊙ input · patch) is the tile of the convolution.
 * @param flipped at the reciprocal points, where the flipped filter has the values that the filter has at the points:
 *   with these matrices the values of the filter itself give the convolution with the flipped one
 */
export function winogradTransforms(tile: TileSize, flipped: boolean): WinogradTransforms {
  const chosen = points.slice(0, tile + 2).map((point) => (flipped ? point.toReversed() : point));
  const input = chosen.map((point) => {
    const basis = chosen.filter((other) => other !== point).reduce(timesRoot, [1]);
    const value = basis.reduce((sum, coefficient, i) => sum + coefficient * powers(point, tile + 2)[i], 0);
    return basis.map((coefficient) => coefficient / value);
  });
  const tilePowers = chosen.map((point) => powers(point, tile));
  return {
    weight: kronecker(chosen.map((point) => powers(point, 3))),
    input: kronecker(input),
    output: kronecker(transpose(tilePowers)),
    outputGradient: kronecker(tilePowers.map((row) => [0, ...row, 0])),
  };
}

/** The monomials of degree length − 1 at a/b: bⁿ, abⁿ⁻¹, …, aⁿ. */
const powers = ([a, b]: readonly number[], length: number): number[] =>
  Array.from({ length }, (_, i) => a ** i * b ** (length - 1 - i));

/** Coefficients of a polynomial times bx − a. */
const timesRoot = (polynomial: readonly number[], [a, b]: readonly number[]): number[] =>
  [...polynomial, 0].map((_, i) => b * (polynomial[i - 1] ?? 0) - a * (polynomial[i] ?? 0));

/** The two-dimensional transform of a one-dimensional one. */
const kronecker = (a: Matrix): Matrix =>
  a.flatMap((top) => a.map((left) => top.flatMap((x) => left.map((y) => x * y))));

const transpose = (a: Matrix): Matrix => a[0].map((_, column) => a.map((row) => row[column]));
