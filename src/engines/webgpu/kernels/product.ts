/**
 * @file What a matrix product reads and writes, whichever way it is computed: in float32 registers (gemm.ts) or on
 * matrix units (matrixGemm.ts). product[row, column] = Σ over inner of left[row, inner] · right[inner, column].
 */

/**
 * WGSL of a product. What depends on the row or column alone is computed once per thread, before the loop along the
 * inner dimension. The functions may read `params` and buffers; outside the matrices they return zeros and store
 * nothing.
 */
export interface Product {
  /**
   * Declares the types `Row` and `Column` and
   * `rowOf(row: u32, split: u32) -> Row`, `columnOf(column: u32, split: u32) -> Column`,
   * `leftQuad(row: Row, inner: u32) -> vec4f`: four neighbours along `leftAlong`,
   * `rightQuad(inner: u32, column: Column) -> vec4f`: four neighbours along `rightAlong`,
   * `storeQuad(row: u32, column: u32, split: u32, value: vec4f)`: four neighbouring columns.
   */
  readonly functions: string;
  readonly leftAlong: 'inner' | 'rows';
  readonly rightAlong: 'inner' | 'columns';
  /** Expressions of `split` (index along z): the range of the inner dimension that it adds up. */
  readonly innerStart: string;
  readonly innerEnd: string;
}

/** Sides of the tile that a workgroup computes, and how far it goes along the inner dimension at a time. */
export interface Tile {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
}

/** Splits of the inner dimension start at multiples of this, the largest depth there is. */
export const MAX_DEPTH = 32;

/**
 * The first tile that the product fills by more than half along both sides and that makes enough workgroups to keep a
 * GPU busy, else the last.
 * @param tiles the most efficient first
 */
export function chooseTile<T extends Tile>(
  tiles: readonly T[],
  rows: number,
  columns: number,
  enoughWorkgroups: number,
): T {
  const fits = tiles.find(
    (tile) =>
      2 * rows > tile.rows &&
      2 * columns > tile.columns &&
      Math.ceil(rows / tile.rows) * Math.ceil(columns / tile.columns) >= enoughWorkgroups,
  );
  return fits ?? tiles[tiles.length - 1];
}

/** WGSL lines for 0 … count − 1. */
export const lines = (count: number, line: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => line(i)).join('\n');

/**
 * WGSL of a division by what many threads divide by; cheaper than the operator, whose divisor may be anything.
 * Exact for quotients below 2^22: float32 is off by less than one there, which the remainder shows.
 */
export const quotientFunction = `
fn quotient(n: u32, divisor: u32) -> u32 {
  let guess = u32(f32(n) / f32(divisor));
  let rest = i32(n) - i32(guess * divisor);
  return select(select(guess, guess + 1u, rest >= i32(divisor)), guess - 1u, rest < 0);
}`;

/** WGSL expression of an operand's quad at `inner`; `place`: its row or column. */
export const operandQuad = (operand: 'left' | 'right', place: string, inner: string): string =>
  operand === 'left' ? `leftQuad(${place}, ${inner})` : `rightQuad(${inner}, ${place})`;
