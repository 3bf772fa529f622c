/**
 * @file A matrix product in float32 on any GPU: 256 threads compute a tile, each a part of it in registers, from two
 * tiles in workgroup memory, both [inner][rows or columns].
 */
import { lines, type Product, type Tile } from './product.js';

const THREADS = 256;
/** Threads along each side of a tile. */
const SIDE = 16;
const components = ['x', 'y', 'z', 'w'];

/** Largest first; both workgroup tiles together take 16 KiB, what every device has. */
export const floatTiles: readonly Tile[] = [
  { rows: 128, columns: 128, depth: 16 },
  { rows: 128, columns: 64, depth: 16 },
  { rows: 64, columns: 128, depth: 16 },
  { rows: 64, columns: 64, depth: 32 },
];

/** WGSL of the kernel. Grid: tiles of rows × tiles of columns × splits. */
export function gemm(product: Product, tile: Tile): string {
  const [rowQuads, columnQuads] = [tile.rows / SIDE / 4, tile.columns / SIDE / 4];
  const sum = (row: number, quad: number) => `sum${row}_${quad}`;
  const sums = (line: (row: number, quad: number) => string) =>
    lines(4 * rowQuads, (row) => lines(columnQuads, (quad) => line(row, quad)));
  const left = loadTile('left', tile.rows, tile.depth, product.leftAlong === 'inner', {
    quad: (side, inner) => `leftQuad(rowBase + ${side}, innerBase + ${inner})`,
  });
  const right = loadTile('right', tile.columns, tile.depth, product.rightAlong === 'inner', {
    quad: (side, inner) => `rightQuad(innerBase + ${inner}, columnBase + ${side})`,
  });

  return `
var<workgroup> left: array<vec4f, ${(tile.rows * tile.depth) / 4}>;
var<workgroup> right: array<vec4f, ${(tile.columns * tile.depth) / 4}>;
${product.functions}

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let rowBase = group.x * ${tile.rows}u;
  let columnBase = group.y * ${tile.columns}u;
  let split = group.z;
  let threadRow = local / ${SIDE}u;
  let threadColumn = local % ${SIDE}u;
${sums((row, quad) => `  var ${sum(row, quad)} = vec4f();`)}
  let innerEnd = ${product.innerEnd};
  for (var innerBase = ${product.innerStart}; innerBase < innerEnd; innerBase += ${tile.depth}u) {
${left}
${right}
    workgroupBarrier();
    for (var k = 0u; k < ${tile.depth}u; k++) {
${lines(rowQuads, (q) => `      let a${q} = left[k * ${tile.rows / 4}u + threadRow + ${q * SIDE}u];`)}
${lines(columnQuads, (q) => `      let b${q} = right[k * ${tile.columns / 4}u + threadColumn + ${q * SIDE}u];`)}
${sums((row, quad) => {
  const factor = `a${row >> 2}.${components[row & 3]}`;
  return `      ${sum(row, quad)} = fma(vec4f(${factor}), b${quad}, ${sum(row, quad)});`;
})}
    }
    workgroupBarrier();
  }
${sums((row, quad) => {
  const rowIndex = `rowBase + 4u * (threadRow + ${(row >> 2) * SIDE}u) + ${row & 3}u`;
  const column = `columnBase + 4u * (threadColumn + ${quad * SIDE}u)`;
  return `  storeQuad(${rowIndex}, ${column}, split, ${sum(row, quad)});`;
})}
}
`;
}

/**
 * WGSL that fills \`target\`, element (inner, s) at target[inner · side/4 + s/4].
 * @param turned quads lie along the inner dimension: four of them are read and stored turned
 */
function loadTile(
  target: 'left' | 'right',
  side: number,
  depth: number,
  turned: boolean,
  { quad }: { quad: (side: string, inner: string) => string },
): string {
  const sideQuads = side / 4;
  if (!turned) {
    return `
    for (var item = local; item < ${sideQuads * depth}u; item += ${THREADS}u) {
      ${target}[item] = ${quad(`4u * (item % ${sideQuads}u)`, `item / ${sideQuads}u`)};
    }`;
  }
  return `
    for (var item = local; item < ${(sideQuads * depth) / 4}u; item += ${THREADS}u) {
      let sideQuad = item % ${sideQuads}u;
      let innerQuad = item / ${sideQuads}u;
${lines(4, (j) => `      let quad${j} = ${quad(`4u * sideQuad + ${j}u`, '4u * innerQuad')};`)}
${lines(4, (k) => {
  const turnedQuad = [0, 1, 2, 3].map((j) => `quad${j}.${components[k]}`).join(', ');
  return `      ${target}[(4u * innerQuad + ${k}u) * ${sideQuads}u + sideQuad] = vec4f(${turnedQuad});`;
})}
    }`;
}
