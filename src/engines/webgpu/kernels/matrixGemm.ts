/**
 * @file A matrix product on matrix units: operands in float16, sums in float32. Each subgroup computes a part of the
 * workgroup's tile as a grid of hardware-sized matrices; while it does, the next tiles are on their way into registers.
 */
import { lines, operandQuad, type Product, type Tile } from './product.js';

/** The hardware's matrix shape: left [rows, depth] · right [depth, columns]. */
export interface MatrixUnits {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly subgroupSize: number;
  /** Registers that a subgroup has for its sums, bytes; without limit where undefined. */
  readonly sumBytes?: number;
}

export interface MatrixTile extends Tile {
  /** The part of one subgroup. */
  readonly subgroupRows: number;
  readonly subgroupColumns: number;
}

/** Largest first; eight subgroups each. */
const tiles: readonly MatrixTile[] = [
  { rows: 128, columns: 256, depth: 32, subgroupRows: 64, subgroupColumns: 64 },
  { rows: 128, columns: 128, depth: 32, subgroupRows: 64, subgroupColumns: 32 },
  { rows: 64, columns: 64, depth: 32, subgroupRows: 32, subgroupColumns: 16 },
];

/** Keeps rows of the workgroup's tiles in different banks, float16 values. */
const PAD = 8;

/** What a device allows a workgroup. */
export type WorkgroupLimits = Pick<
  GPUSupportedLimits,
  'maxComputeWorkgroupStorageSize' | 'maxComputeInvocationsPerWorkgroup' | 'maxComputeWorkgroupSizeX'
>;

/**
 * The tiles that the hardware's matrices divide, whose threads share both operands evenly (with subgroups of 64 there
 * are 512 of them), whose sums fit the registers, and whose threads and memory a workgroup may have.
 */
export function matrixTiles(units: MatrixUnits, limits: WorkgroupLimits): MatrixTile[] {
  const maxThreads = Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX);
  return tiles.filter((tile) => {
    const threads = matrixThreads(tile, units);
    return (
      tile.subgroupRows % units.rows === 0 &&
      tile.subgroupColumns % units.columns === 0 &&
      tile.depth % units.depth === 0 &&
      [tile.rows, tile.columns].every((side) => ((side * tile.depth) / 4) % threads === 0) &&
      4 * tile.subgroupRows * tile.subgroupColumns <= (units.sumBytes ?? Number.POSITIVE_INFINITY) &&
      threads <= maxThreads &&
      workgroupBytes(tile, units) <= limits.maxComputeWorkgroupStorageSize
    );
  });
}

export const matrixThreads = (tile: MatrixTile, { subgroupSize }: MatrixUnits): number =>
  subgroups(tile) * subgroupSize;

const subgroups = (tile: MatrixTile): number =>
  (tile.rows / tile.subgroupRows) * (tile.columns / tile.subgroupColumns);

/** Values of an operand's tile with padding, whichever way it lies. */
const operandValues = (side: number, depth: number, alongInner: boolean): number =>
  alongInner ? side * (depth + PAD) : depth * (side + PAD);

function workgroupBytes(tile: MatrixTile, units: MatrixUnits): number {
  const worst = (side: number) =>
    Math.max(operandValues(side, tile.depth, true), operandValues(side, tile.depth, false));
  return 2 * (worst(tile.rows) + worst(tile.columns)) + 4 * subgroups(tile) * units.rows * units.columns;
}

/** WGSL extensions that {@link matrixGemm} needs. */
export const matrixExtensions = [
  'f16',
  'subgroups',
  'subgroup_size_control',
  'chromium_experimental_subgroup_matrix',
] as const;

/** WGSL of the kernel. Grid: tiles of rows × tiles of columns × splits. */
export function matrixGemm(product: Product, tile: MatrixTile, units: MatrixUnits): string {
  const threads = matrixThreads(tile, units);
  const columnsOfSubgroups = tile.columns / tile.subgroupColumns;
  const [matrixRows, matrixColumns] = [tile.subgroupRows / units.rows, tile.subgroupColumns / units.columns];
  const sum = (row: number, column: number) => `sum${row}_${column}`;
  const sums = (line: (row: number, column: number) => string) =>
    lines(matrixRows, (row) => lines(matrixColumns, (column) => line(row, column)));
  const left = new Operand('left', 'row', tile.rows, tile.depth, product.leftAlong === 'inner', threads);
  const right = new Operand(
    'right',
    'column',
    tile.columns,
    tile.depth,
    product.rightAlong === 'inner',
    threads,
  );
  const fetch = (base: string) => `
${left.fetch(base)}
${right.fetch(base)}`;
  const matrixValues = units.rows * units.columns;

  return `
alias LeftMatrix = subgroup_matrix_left<f16, ${units.depth}, ${units.rows}>;
alias RightMatrix = subgroup_matrix_right<f16, ${units.columns}, ${units.depth}>;
alias SumMatrix = subgroup_matrix_result<f32, ${units.columns}, ${units.rows}>;
${left.declaration()}
${right.declaration()}
var<workgroup> staged: array<f32, ${subgroups(tile) * matrixValues}>;
${product.functions}

@compute @workgroup_size(${threads}) @subgroup_size(${units.subgroupSize})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) local: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let rowBase = group.x * ${tile.rows}u;
  let columnBase = group.y * ${tile.columns}u;
  let split = group.z;
  let subgroupRow = (subgroup / ${columnsOfSubgroups}u) * ${tile.subgroupRows}u;
  let subgroupColumn = (subgroup % ${columnsOfSubgroups}u) * ${tile.subgroupColumns}u;
${sums((row, column) => `  var ${sum(row, column)}: SumMatrix;`)}
${left.registers()}
${right.registers()}
  let innerStart = ${product.innerStart};
  let innerEnd = ${product.innerEnd};
${fetch('innerStart')}
  for (var innerBase = innerStart; innerBase < innerEnd; innerBase += ${tile.depth}u) {
${left.store()}
${right.store()}
    workgroupBarrier();
    let nextBase = innerBase + ${tile.depth}u;
    if (nextBase < innerEnd) {
${fetch('nextBase')}
    }
${lines(tile.depth / units.depth, (k) => {
  const inner = `${k * units.depth}u`;
  return `    {
${lines(matrixRows, (row) => `      let a${row} = ${left.matrix('LeftMatrix', `subgroupRow + ${row * units.rows}u`, inner)};`)}
${lines(matrixColumns, (column) => `      let b${column} = ${right.matrix('RightMatrix', `subgroupColumn + ${column * units.columns}u`, inner)};`)}
${sums((row, column) => {
  const target = sum(row, column);
  return `      ${target} = subgroupMatrixMultiplyAccumulate(a${row}, b${column}, ${target});`;
})}
    }`;
})}
    workgroupBarrier();
  }
${sums(
  (
    row,
    column,
  ) => `  subgroupMatrixStore<row_major>(&staged, subgroup * ${matrixValues}u, ${sum(row, column)}, ${units.columns}u);
  workgroupBarrier();
  for (var quad = lane; quad < ${matrixValues / 4}u; quad += ${units.subgroupSize}u) {
    let at = subgroup * ${matrixValues}u + 4u * quad;
    let row = rowBase + subgroupRow + ${row * units.rows}u + quad / ${units.columns / 4}u;
    let column = columnBase + subgroupColumn + ${column * units.columns}u + 4u * (quad % ${units.columns / 4}u);
    storeQuad(row, column, split, vec4f(staged[at], staged[at + 1u], staged[at + 2u], staged[at + 3u]));
  }
  workgroupBarrier();`,
)}
}
`;
}

/** One operand's tile in workgroup memory, [side][inner] or [inner][side] as its quads lie, and its way there. */
class Operand {
  readonly #stride: number;
  readonly #quadsPerLine: number;
  readonly #perThread: number;

  constructor(
    readonly name: 'left' | 'right',
    readonly place: 'row' | 'column',
    readonly side: number,
    readonly depth: number,
    readonly alongInner: boolean,
    readonly threads: number,
  ) {
    this.#stride = (alongInner ? depth : side) + PAD;
    this.#quadsPerLine = (alongInner ? depth : side) / 4;
    this.#perThread = (side * depth) / 4 / threads;
    if (!Number.isInteger(this.#perThread))
      throw new Error(`${threads} threads do not share the ${name} tile`);
  }

  declaration(): string {
    const values = operandValues(this.side, this.depth, this.alongInner);
    return `var<workgroup> ${this.name}: array<f16, ${values}>;`;
  }

  /** Declares the quads that this thread holds, and the rows or columns they come from. */
  registers(): string {
    return lines(this.#perThread, (i) => {
      const { line, start } = this.#place(i);
      const side = `${this.place}Base + ${this.alongInner ? line : start}`;
      return `  var ${this.name}${i}: vec4<f16>;\n  let ${this.place}${i} = ${this.place}Of(${side}, split);`;
    });
  }

  /** @param base expression of where the tile starts along the inner dimension */
  fetch(base: string): string {
    return lines(this.#perThread, (i) => {
      const { line, start } = this.#place(i);
      const inner = `${base} + ${this.alongInner ? start : line}`;
      return `      ${this.name}${i} = vec4<f16>(${operandQuad(this.name, `${this.place}${i}`, inner)});`;
    });
  }

  store(): string {
    return lines(this.#perThread, (i) => {
      const { line, start } = this.#place(i);
      return `    {
      let at = (${line}) * ${this.#stride}u + ${start};
${lines(4, (j) => `      ${this.name}[at + ${j}u] = ${this.name}${i}[${j}];`)}
    }`;
    });
  }

  /** Expression that loads the hardware-sized matrix at an offset along the side and along the inner dimension. */
  matrix(type: string, side: string, inner: string): string {
    const isRowMajor = (this.name === 'left') === this.alongInner;
    const [line, start] = this.alongInner ? [side, inner] : [inner, side];
    const order = isRowMajor ? 'row_major' : 'col_major';
    return `subgroupMatrixLoad<${type}, ${order}>(&${this.name}, (${line}) * ${this.#stride}u + ${start}, ${this.#stride}u)`;
  }

  /** Which line of the tile, and where in it, the thread's i-th quad lies. */
  #place(i: number): { line: string; start: string } {
    const item = `(local + ${i * this.threads}u)`;
    return { line: `${item} / ${this.#quadsPerLine}u`, start: `4u * (${item} % ${this.#quadsPerLine}u)` };
  }
}
