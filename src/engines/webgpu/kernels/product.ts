/**
 * @file What a matrix product reads and writes, whichever way it is computed: in float32 registers (gemm.ts) or on
 * matrix units (matrixGemm.ts). product[row, column] = Σ over inner of left[row, inner] · right[inner, column].
 */

/**
 * WGSL of a product. The functions may read \`params\` and buffers; outside the matrices they return zeros and store
 * nothing.
 */
export interface Product {
  /**
   * Declares
   * \`leftQuad(row, inner) -> vec4f\`: four neighbours along \`leftAlong\`,
   * \`rightQuad(inner, column) -> vec4f\`: four neighbours along \`rightAlong\`,
   * \`storeQuad(row, column, split, value: vec4f)\`: four neighbouring columns.
   */
  readonly functions: string;
  readonly leftAlong: 'inner' | 'rows';
  readonly rightAlong: 'inner' | 'columns';
  /** Expressions of \`split\` (index along z): the part of the inner dimension that it adds up. */
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
