/**
 * @file What a matrix product reads and writes, whichever way it is computed: in float32 registers (gemm.ts) or on
 * matrix units (matrixGemm.ts). product[row, column] = Σ over inner of left[row, inner] · right[inner, column].
 */
import { type ElementType, foldedGrid, type Workgroups } from '../kernel.js';
import { type FeatureFormat, formats } from './formats.js';

/** One of the two matrices, read in runs of neighbours. */
export interface Operand {
  /** The buffer it lies in, as words. */
  readonly buffer: string;
  readonly format: FeatureFormat;
  /** Which way neighbours in memory lie: along the inner dimension, or along the rows or columns. */
  readonly along: 'inner' | 'side';
  /** Neighbours in memory that are in the matrix together or not at all; a multiple of 4. */
  readonly run: number;
  /** WGSL expression by which all values are multiplied; none where undefined. */
  readonly scale?: string;
}

/**
 * A product, as WGSL. What depends on the row or column alone is computed once per thread, before the loop along the
 * inner dimension. Places are computed without branches, so that loads can be issued together and waited for late.
 */
export interface Product {
  /**
   * Declares the types `Row` and `Column` and
   * `rowOf(row: u32, split: u32) -> Row`, `columnOf(column: u32, split: u32) -> Column`,
   * `leftAt(row: Row, inner: u32) -> Place`, `rightAt(inner: u32, column: Column) -> Place`: where the first of the
   * neighbours lies, and whether it is in the matrix; a `Place` outside may have any index,
   * `storeQuad(row: u32, column: u32, split: u32, value: vec4f)`: four neighbouring columns; outside nothing is stored.
   * May read `params` and buffers.
   */
  readonly functions: string;
  readonly left: Operand;
  readonly right: Operand;
  /** Expression of how many columns there are. */
  readonly columnCount: string;
  /**
   * On matrix units only: means over chunks of rows, those of a subgroup's tile, and sums of squared deviations from them.
   * The functions then also declare `rowCount() -> u32`, `storedValue(value: vec4f) -> vec4f`: what a reader of the stored
   * quad will read, and `storeStatistics(chunk: u32, column: u32, mean: vec4f, squares: vec4f)`.
   */
  readonly statistics?: boolean;
  /**
   * Neighbouring rows, from a multiple of this on, that are added up before they are stored: `storeQuad` gets the first of
   * them and the sum. A power of two; in float32 at most {@link FLOAT_ROWS}. The functions then also declare
   * `weighted(row: u32, column: u32, value: vec4f) -> vec4f`: what of each row counts.
   */
  readonly rowsPerSum?: number;
  /** Expressions of `split` (index along z): the range of the inner dimension that it adds up. */
  readonly innerStart: string;
  readonly innerEnd: string;
}

/** WGSL: where a run of an operand lies. */
export const placeType = 'struct Place { exists: bool, quad: u32 }';

/** The type of a buffer that is read in runs of `count` values. */
export function runElement(format: FeatureFormat, count: number): ElementType {
  const words = wordsOf(format, count);
  return words === 1 ? 'u32' : words === 2 ? 'vec2u' : 'vec4u';
}

/** WGSL expressions of the words of the q-th quad in a run. */
export function quadWords(run: string, format: FeatureFormat, count: number, q: number): string[] {
  const perQuad = formats[format].words;
  if (wordsOf(format, count) === 1) return [run];
  return Array.from({ length: perQuad }, (_, i) => `${run}.${'xyzw'[q * perQuad + i]}`);
}

const wordsOf = (format: FeatureFormat, count: number): number => (count / 4) * formats[format].words;

/** The longest run of an operand that one load can bring (16 bytes) and for which `fits`. */
export function longestRun({ format, run }: Operand, fits: (count: number) => boolean): number {
  const fitting = [16, 8, 4].filter(
    (count) => run % count === 0 && wordsOf(format, count) <= 4 && fits(count),
  );
  if (fitting.length === 0) throw new Error('no run of an operand fits its tile');
  return fitting[0];
}

/** WGSL expression that loads the run at `place` (a variable), or any where there is none. */
export const loadRun = ({ buffer }: Operand, place: string, count: number): string =>
  `${buffer}[select(0u, ${place}.quad, ${place}.exists) / ${count / 4}u]`;

/** Sides of the tile that a workgroup computes, and how far it goes along the inner dimension at a time. */
export interface Tile {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
}

/** Of a product. */
export interface Extent {
  readonly rows: number;
  readonly columns: number;
}

/** Tiles of a product. */
export const tileCount = (tile: Tile, { rows, columns }: Extent): number =>
  Math.ceil(rows / tile.rows) * Math.ceil(columns / tile.columns);

/**
 * The grid of a product: its tiles, columns first, so that workgroups that read the same rows run together, folded into
 * two dimensions; and the splits.
 */
export const productGrid = (tile: Tile, extent: Extent, splits = 1): Workgroups =>
  foldedGrid(tileCount(tile, extent), splits);

/** WGSL: where this workgroup's tile begins and which split it adds up, from `group` and `groups`; see {@link productGrid}. */
export const tilePlace = ({ columnCount }: Product, tile: Tile): string => `
  let columnTiles = (${columnCount} + ${tile.columns - 1}u) / ${tile.columns}u;
  let tileIndex = group.y * groups.x + group.x;
  let rowBase = (tileIndex / columnTiles) * ${tile.rows}u;
  let columnBase = (tileIndex % columnTiles) * ${tile.columns}u;
  let split = group.z;`;

/** Splits of the inner dimension start at multiples of this, the largest depth there is. */
export const MAX_DEPTH = 64;

/**
 * The first tile that the product fills by more than half along both sides and that makes enough workgroups to keep a
 * GPU busy, else the last.
 * @param tiles the most efficient first
 */
export function chooseTile<T extends Tile>(tiles: readonly T[], extent: Extent, enoughWorkgroups: number): T {
  const fits = tiles.find(
    (tile) =>
      2 * extent.rows > tile.rows &&
      2 * extent.columns > tile.columns &&
      tileCount(tile, extent) >= enoughWorkgroups,
  );
  return fits ?? tiles[tiles.length - 1];
}

/** WGSL lines for 0 … count − 1. */
export const lines = (count: number, line: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => line(i)).join('\n');

/**
 * WGSL of a division by what many threads divide by; cheaper than the operator, whose divisor may be anything, and whose
 * reciprocal is computed before the loop. Exact for quotients below 2^20: the product is off by less than one there,
 * which the remainder shows.
 */
export const quotientFunction = `
fn quotient(n: u32, divisor: u32) -> u32 {
  let guess = u32(f32(n) * (1.0 / f32(divisor)));
  let rest = i32(n) - i32(guess * divisor);
  return select(select(guess, guess + 1u, rest >= i32(divisor)), guess - 1u, rest < 0);
}`;
