/**
 * @file A matrix product on matrix units: operands in float16 with float32 sums, or in int8 with int32 sums. Each subgroup
 * computes a part of the workgroup's tile as a grid of hardware-sized matrices; while it does, the next tiles are on their
 * way into registers, as they lie in memory, and are converted once they are stored for the workgroup.
 */
import type { ElementType } from '../kernel.js';
import { halves } from './formats.js';
import {
  lines,
  loadRun,
  longestRun,
  type Operand,
  type Product,
  placeType,
  quadWords,
  runElement,
  type Tile,
  tilePlace,
} from './product.js';

/** A shape of the hardware's matrices: left [rows, depth] · right [depth, columns]. */
export interface MatrixShape {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
}

/** float16 operands, float32 sums. */
export interface MatrixUnits extends MatrixShape {
  readonly subgroupSize: number;
  /** Registers that a subgroup has for its sums, bytes; without limit where undefined. */
  readonly sumBytes?: number;
  /** int8 operands, int32 sums; null where there are none. */
  readonly integers: MatrixShape | null;
}

/** Operands of a product on matrix units. Both integer operands lie along the inner dimension. */
export type MatrixNumbers = 'float16' | 'int8';

export interface MatrixTile extends Tile {
  /** The part of one subgroup. */
  readonly subgroupRows: number;
  readonly subgroupColumns: number;
}

/** Largest first; eight subgroups each. The depth is that of float16, int8 goes twice as far. */
const tiles: readonly MatrixTile[] = [
  { rows: 128, columns: 256, depth: 32, subgroupRows: 64, subgroupColumns: 64 },
  { rows: 128, columns: 128, depth: 32, subgroupRows: 64, subgroupColumns: 32 },
  { rows: 64, columns: 64, depth: 32, subgroupRows: 32, subgroupColumns: 16 },
];

/** Keeps lines of the workgroup's tiles in different banks, bytes. */
const PAD = 16;

/** Columns of the band of sums that a subgroup stages at a time. */
const BAND_COLUMNS = 32;

/** What a device allows a workgroup. */
export type WorkgroupLimits = Pick<
  GPUSupportedLimits,
  'maxComputeWorkgroupStorageSize' | 'maxComputeInvocationsPerWorkgroup' | 'maxComputeWorkgroupSizeX'
>;

/**
 * The tiles that the hardware's matrices divide, whose threads share both operands evenly (with subgroups of 64 there
 * are 512 of them), whose bands of sums they share, too, whose sums fit the registers, and whose threads and memory a
 * workgroup may have.
 */
export function matrixTiles(units: MatrixUnits, limits: WorkgroupLimits): MatrixTile[] {
  const maxThreads = Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX);
  const shapes = units.integers ? [units, units.integers] : [units];
  return tiles.filter((tile) => {
    const threads = matrixThreads(tile, units);
    const rowsAtOnce = rowsOfStep(tile, units);
    return (
      rowsAtOnce >= 1 &&
      shapes.every(
        ({ rows, columns }) =>
          tile.subgroupRows % rows === 0 && rows % rowsAtOnce === 0 && bandColumns(tile) % columns === 0,
      ) &&
      tile.depth % units.depth === 0 &&
      (2 * tile.depth) % (units.integers?.depth ?? 1) === 0 &&
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

function workgroupBytes(tile: MatrixTile, units: MatrixUnits): number {
  const operand = (side: number) => Math.max(side * (2 * tile.depth + PAD), tile.depth * (2 * side + PAD));
  const rows = Math.max(units.rows, units.integers?.rows ?? 0);
  return operand(tile.rows) + operand(tile.columns) + 4 * subgroups(tile) * rows * bandColumns(tile);
}

const bandColumns = ({ subgroupColumns }: MatrixTile): number => Math.min(BAND_COLUMNS, subgroupColumns);

/** Rows of a band that a subgroup stores at a time, a quad for each thread. */
const rowsOfStep = (tile: MatrixTile, { subgroupSize }: MatrixUnits): number =>
  subgroupSize / (bandColumns(tile) / 4);

/** WGSL extensions that {@link matrixGemm} needs. */
export const matrixExtensions = [
  'f16',
  'subgroups',
  'subgroup_size_control',
  'chromium_experimental_subgroup_matrix',
] as const;

/** How numbers lie in workgroup memory and in the hardware's matrices. */
interface Numbers {
  readonly operand: 'f16' | 'i8';
  readonly sum: 'f32' | 'i32';
  /** Bytes of an operand's value. */
  readonly bytes: number;
  /** Workgroup memory's elements, and values in one. */
  readonly element: 'f16' | 'u32';
  readonly perElement: number;
}

const numbersOf: Readonly<Record<MatrixNumbers, Numbers>> = {
  float16: { operand: 'f16', sum: 'f32', bytes: 2, element: 'f16', perElement: 1 },
  int8: { operand: 'i8', sum: 'i32', bytes: 1, element: 'u32', perElement: 4 },
};

export interface MatrixSource {
  readonly body: string;
  /** Types of the operands' buffers. */
  readonly leftElement: ElementType;
  readonly rightElement: ElementType;
}

/** WGSL of the kernel. Grid: {@link productGrid}. */
export function matrixGemm(
  product: Product,
  tile: MatrixTile,
  units: MatrixUnits,
  numbers: MatrixNumbers,
): MatrixSource {
  const shape = numbers === 'int8' ? units.integers : units;
  if (!shape) throw new Error('these matrix units have no int8');
  const { operand, sum: sumType } = numbersOf[numbers];
  const threads = matrixThreads(tile, units);
  const { subgroupSize } = units;
  const depth = numbers === 'int8' ? 2 * tile.depth : tile.depth;
  const columnsOfSubgroups = tile.columns / tile.subgroupColumns;
  const rowsOfSubgroups = tile.rows / tile.subgroupRows;
  const [matrixRows, matrixColumns] = [tile.subgroupRows / shape.rows, tile.subgroupColumns / shape.columns];
  const sum = (row: number, column: number) => `sum${row}_${column}`;
  const sums = (line: (row: number, column: number) => string) =>
    lines(matrixRows, (row) => lines(matrixColumns, (column) => line(row, column)));
  const left = new OperandTile('left', 'row', product.left, tile.rows, depth, threads, numbers);
  const right = new OperandTile('right', 'column', product.right, tile.columns, depth, threads, numbers);
  const band = bandColumns(tile);
  const bandValues = shape.rows * band;
  const bandQuads = band / 4;
  const rowsAtOnce = rowsOfStep(tile, units);

  /** WGSL: `row` and its staged `value`, in the given step of a band's rows. */
  const stagedRow = (row: number, step: string): string => `
      let line = (${step}) * ${rowsAtOnce}u + bandRow;
      let row = firstRow + ${row * shape.rows}u + line;
      let value = stagedQuad(stagedBase + line * ${band}u + 4u * bandQuad);`;

  const storeRows = (row: number): string => `
    for (var step = 0u; step < ${shape.rows / rowsAtOnce}u; step++) {${stagedRow(row, 'step')}
      storeQuad(row, column, split, value);${
        product.statistics
          ? `
      let distance = select(vec4f(), storedValue(value) - origin, row < rowCount());
      distances += distance;
      squares += distance * distance;`
          : ''
      }
    }`;

  /** Rows that are added up lie in as many lanes as there are, then in the steps that follow. */
  const storeSums = (row: number, rowsPerSum: number): string => {
    const lanes = Math.min(rowsPerSum, rowsAtOnce);
    const steps = rowsPerSum / lanes;
    return `
    for (var first = 0u; first < ${shape.rows / rowsAtOnce}u; first += ${steps}u) {
      var total = vec4f();
${lines(
  steps,
  (i) => `      {${stagedRow(row, `first + ${i}u`)}
        total += weighted(row, column, value);
      }`,
)}
      for (var offset = ${bandQuads}u; offset < ${bandQuads * lanes}u; offset *= 2u) {
        total += subgroupShuffleXor(total, offset);
      }
      if (bandRow % ${lanes}u == 0u) {
        storeQuad(firstRow + ${row * shape.rows}u + first * ${rowsAtOnce}u + bandRow, column, split, total);
      }
    }`;
  };

  /** Stages rows of hardware-sized matrices in workgroup memory and stores them quad by quad. */
  const storeBand = (b: number): string => {
    const rows = lines(matrixRows, (row) => {
      const matrices = lines(band / shape.columns, (c) => {
        const stored = sum(row, (b * band) / shape.columns + c);
        return `    subgroupMatrixStore<row_major>(&staged, stagedBase + ${c * shape.columns}u, ${stored}, ${band}u);`;
      });
      return `
${matrices}
    workgroupBarrier();
${product.statistics && row === 0 ? '    origin = storedValue(stagedQuad(stagedBase + 4u * bandQuad));' : ''}
${product.rowsPerSum ? storeSums(row, product.rowsPerSum) : storeRows(row)}
    workgroupBarrier();`;
    });
    const declarations = 'var origin = vec4f();\n    var distances = vec4f();\n    var squares = vec4f();';
    return `  {
    let column = columnBase + subgroupColumn + ${b * band}u + 4u * bandQuad;
    ${product.statistics ? declarations : ''}${rows}${product.statistics ? bandStatistics : ''}
  }`;
  };

  const bandStatistics = `
    for (var offset = ${bandQuads}u; offset < ${subgroupSize}u; offset *= 2u) {
      distances += subgroupShuffleXor(distances, offset);
      squares += subgroupShuffleXor(squares, offset);
    }
    if (lane < ${bandQuads}u && firstRow < rowCount()) {
      let count = f32(min(${tile.subgroupRows}u, rowCount() - firstRow));
      let mean = origin + distances / count;
      storeStatistics(firstRow / ${tile.subgroupRows}u, column, mean, max(squares - distances * distances / count, vec4f()));
    }`;

  const body = `
alias LeftMatrix = subgroup_matrix_left<${operand}, ${shape.depth}, ${shape.rows}>;
alias RightMatrix = subgroup_matrix_right<${operand}, ${shape.columns}, ${shape.depth}>;
alias SumMatrix = subgroup_matrix_result<${sumType}, ${shape.columns}, ${shape.rows}>;
${left.declaration()}
${right.declaration()}
var<workgroup> staged: array<${sumType}, ${subgroups(tile) * bandValues}>;
${placeType}
${product.functions}
fn stagedQuad(at: u32) -> vec4f {
  return vec4f(vec4<${sumType}>(staged[at], staged[at + 1u], staged[at + 2u], staged[at + 3u]));
}

@compute @workgroup_size(${threads}) @subgroup_size(${subgroupSize})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
${tilePlace(product, tile)}
  // The second remainder is for the compiler: it shows that no load from workgroup memory can be out of bounds.
  let subgroupRow = ((subgroup / ${columnsOfSubgroups}u) % ${rowsOfSubgroups}u) * ${tile.subgroupRows}u;
  let subgroupColumn = (subgroup % ${columnsOfSubgroups}u) * ${tile.subgroupColumns}u;
${sums((row, column) => `  var ${sum(row, column)}: SumMatrix;`)}
${left.registers()}
${right.registers()}
  let innerStart = ${product.innerStart};
  let innerEnd = ${product.innerEnd};
${left.fetch('innerStart')}
${right.fetch('innerStart')}
  for (var innerBase = innerStart; innerBase < innerEnd; innerBase += ${depth}u) {
${left.store()}
${right.store()}
    workgroupBarrier();
    // Beyond the end nothing is there, and what is loaded is not used: a branch would make the loads be waited for.
    let nextBase = innerBase + ${depth}u;
${left.fetch('nextBase')}
${right.fetch('nextBase')}
${lines(depth / shape.depth, (k) => {
  const inner = k * shape.depth;
  return `    {
${lines(matrixRows, (row) => `      let a${row} = ${left.matrix('LeftMatrix', 'subgroupRow', row * shape.rows, inner)};`)}
${lines(matrixColumns, (column) => `      let b${column} = ${right.matrix('RightMatrix', 'subgroupColumn', column * shape.columns, inner)};`)}
${sums((row, column) => {
  const target = sum(row, column);
  return `      ${target} = subgroupMatrixMultiplyAccumulate(a${row}, b${column}, ${target});`;
})}
    }`;
})}
    workgroupBarrier();
  }
  let stagedBase = (subgroup % ${subgroups(tile)}u) * ${bandValues}u;
  let bandQuad = lane % ${bandQuads}u;
  let bandRow = lane / ${bandQuads}u;
  let firstRow = rowBase + subgroupRow;
${lines(tile.subgroupColumns / band, storeBand)}
}
`;
  return { body, leftElement: left.element, rightElement: right.element };
}

/** One operand's tile in workgroup memory, [side][inner] or [inner][side] as its runs lie, and its way there. */
class OperandTile {
  /** Type of the buffer. */
  readonly element: ElementType;
  readonly #numbers: Numbers;
  /** Values of a load. */
  readonly #run: number;
  /** Values of a line, without padding. */
  readonly #line: number;
  readonly #linesOfTile: number;
  readonly #perThread: number;

  constructor(
    readonly name: 'left' | 'right',
    readonly place: 'row' | 'column',
    readonly operand: Operand,
    side: number,
    depth: number,
    readonly threads: number,
    numbers: MatrixNumbers,
  ) {
    this.#numbers = numbersOf[numbers];
    const alongInner = operand.along === 'inner';
    if (numbers === 'int8' && !alongInner) throw new Error('int8 operands lie along the inner dimension');
    this.#line = alongInner ? depth : side;
    this.#linesOfTile = alongInner ? side : depth;
    this.#run = longestRun(
      operand,
      (count) => this.#line % count === 0 && (side * depth) % (count * threads) === 0,
    );
    this.#perThread = (side * depth) / this.#run / threads;
    this.element = runElement(operand.format, this.#run);
  }

  declaration(): string {
    return `var<workgroup> ${this.name}: array<${this.#numbers.element}, ${this.#linesOfTile * this.#stride}>;`;
  }

  /** Declares the runs that this thread holds, the rows or columns they come from, and by what they are multiplied. */
  registers(): string {
    const { scale } = this.operand;
    const runs = lines(this.#perThread, (i) => {
      const { line, start } = this.#place(i);
      const side = `${this.place}Base + ${this.operand.along === 'inner' ? line : start}`;
      return `  var ${this.name}${i}: ${this.element};
  var ${this.name}Exists${i}: bool;
  let ${this.place}${i} = ${this.place}Of(${side}, split);`;
    });
    return scale ? `${runs}\n  let ${this.name}Scale = ${scale};` : runs;
  }

  /** @param base expression of where the tile starts along the inner dimension */
  fetch(base: string): string {
    return lines(this.#perThread, (i) => {
      const { line, start } = this.#place(i);
      const inner = `${base} + ${this.operand.along === 'inner' ? start : line}`;
      const side = `${this.place}${i}`;
      const place = this.name === 'left' ? `leftAt(${side}, ${inner})` : `rightAt(${inner}, ${side})`;
      return `    {
      let place = ${place};
      ${this.name}Exists${i} = place.exists;
      ${this.name}${i} = ${loadRun(this.operand, 'place', this.#run)};
    }`;
    });
  }

  store(): string {
    const { perElement } = this.#numbers;
    return lines(this.#perThread, (i) => {
      const { line, start } = this.#place(i);
      const at = `(${line}) * ${this.#stride}u + (${start}) / ${perElement}u`;
      const quads = lines(this.#run / 4, (q) => this.#storeQuad(i, q));
      return `    {
      let at = ${at};
${quads}
    }`;
    });
  }

  #storeQuad(i: number, q: number): string {
    const { format, scale } = this.operand;
    const words = quadWords(`${this.name}${i}`, format, this.#run, q);
    const exists = `${this.name}Exists${i}`;
    if (this.#numbers.element === 'u32') {
      return `      ${this.name}[at + ${q}u] = select(0u, ${words[0]}, ${exists});`;
    }
    const values = halves(format, words, scale && `${this.name}Scale`);
    return `      let quad${q} = select(vec4<f16>(), ${values}, ${exists});
${lines(4, (j) => `      ${this.name}[at + ${4 * q + j}u] = quad${q}[${j}];`)}`;
  }

  /** Expression that loads the hardware-sized matrix at an offset along the side and along the inner dimension. */
  matrix(type: string, base: string, side: number, inner: number): string {
    const alongInner = this.operand.along === 'inner';
    const isRowMajor = (this.name === 'left') === alongInner;
    const { perElement } = this.#numbers;
    const offset = alongInner
      ? `(${base} + ${side}u) * ${this.#stride}u + ${inner / perElement}u`
      : `${inner * this.#stride}u + ${base} + ${side}u`;
    const order = isRowMajor ? 'row_major' : 'col_major';
    return `subgroupMatrixLoad<${type}, ${order}>(&${this.name}, ${offset}, ${this.#stride}u)`;
  }

  /** Elements from one line of the tile to the next. */
  get #stride(): number {
    const { bytes, perElement } = this.#numbers;
    return (this.#line * bytes + PAD) / (bytes * perElement);
  }

  /** Which line of the tile, and where in it, the thread's i-th run lies. */
  #place(i: number): { line: string; start: string } {
    const item = `(local + ${i * this.threads}u)`;
    const runsPerLine = this.#line / this.#run;
    return { line: `${item} / ${runsPerLine}u`, start: `${this.#run}u * (${item} % ${runsPerLine}u)` };
  }
}
