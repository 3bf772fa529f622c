/** @file From weight matrices to arrays: row segments, physical columns, arrays, utilisation, activations. */
import type { Policies } from './description.js';
import { type CrossbarNetwork, mappedLayers, type WeightLayer } from './network.js';

/** What the mapping needs of a description. */
export interface ArrayShape {
  readonly rows: number;
  readonly columns: number;
  /** Cells of one weight. */
  readonly digits: number;
  readonly policies: Pick<Policies, 'placement' | 'head'>;
}

export interface LayerMapping {
  readonly layer: WeightLayer;
  /** Arrays down: segments of the unrolled filter. */
  readonly rowSegments: number;
  /** Arrays across, of all groups. */
  readonly columnArrays: number;
  readonly arrays: number;
  readonly activationsPerImage: number;
  /** Columns that hold weights: outputs · digits · row segments. */
  readonly usedColumns: number;
  /** Cells that hold weights: weights · digits. */
  readonly usedCells: number;
  /** Used cells by all cells of its arrays, 0 … 1. */
  readonly utilisation: number;
}

export interface NetworkMapping {
  readonly layers: readonly LayerMapping[];
  readonly arrays: number;
  readonly activationsPerImage: number;
  readonly usedCells: number;
  readonly utilisation: number;
}

/** Arrays across for the outputs of one group. */
export function columnArraysOf(outputs: number, shape: ArrayShape): number {
  return shape.policies.placement === 'arrays-per-digit'
    ? Math.ceil(outputs / shape.columns) * shape.digits
    : Math.ceil((outputs * shape.digits) / shape.columns);
}

/** Maps one layer; groups get arrays of their own. */
export function mapLayer(layer: WeightLayer, shape: ArrayShape): LayerMapping {
  const rowSegments = Math.ceil(layer.rows / shape.rows);
  const columnArrays = columnArraysOf(layer.outputs / layer.groups, shape) * layer.groups;
  const arrays = rowSegments * columnArrays;
  const usedCells = layer.rows * layer.outputs * shape.digits;
  return {
    layer,
    rowSegments,
    columnArrays,
    arrays,
    activationsPerImage: arrays * layer.positions,
    usedColumns: layer.outputs * shape.digits * rowSegments,
    usedCells,
    utilisation: usedCells / (arrays * shape.rows * shape.columns),
  };
}

/** Maps every layer that sits in arrays. */
export function mapNetwork(network: CrossbarNetwork, shape: ArrayShape): NetworkMapping {
  const layers = mappedLayers(network, shape.policies.head).map((layer) => mapLayer(layer, shape));
  const sum = (of: (mapping: LayerMapping) => number) =>
    layers.reduce((total, mapping) => total + of(mapping), 0);
  const arrays = sum((mapping) => mapping.arrays);
  const usedCells = sum((mapping) => mapping.usedCells);
  return {
    layers,
    arrays,
    activationsPerImage: sum((mapping) => mapping.activationsPerImage),
    usedCells,
    utilisation: usedCells / (arrays * shape.rows * shape.columns),
  };
}

/** Used rows and columns of one array. */
export interface ArrayUse {
  readonly segment: number;
  readonly column: number;
  readonly usedRows: number;
  readonly usedColumns: number;
  /** Used cells by all cells, 0 … 1. */
  readonly utilisation: number;
}

/** Every array of a layer with its ragged edges, row segment by row segment. */
export function arraysOf(mapping: LayerMapping, shape: ArrayShape): ArrayUse[] {
  const { layer } = mapping;
  const perGroup = mapping.columnArrays / layer.groups;
  const widths = columnWidths(layer.outputs / layer.groups, shape);
  return Array.from({ length: mapping.arrays }, (_, index) => {
    const segment = Math.floor(index / mapping.columnArrays);
    const column = index % mapping.columnArrays;
    const usedRows = Math.min(shape.rows, layer.rows - segment * shape.rows);
    const usedColumns = widths[column % perGroup];
    const utilisation = (usedRows * usedColumns) / (shape.rows * shape.columns);
    return { segment, column, usedRows, usedColumns, utilisation };
  });
}

/** Used columns of each array across, for the outputs of one group. */
export function columnWidths(outputs: number, shape: ArrayShape): number[] {
  const sideBySide = shape.policies.placement === 'digits-side-by-side';
  const length = sideBySide ? outputs * shape.digits : outputs;
  const blocks = Array.from({ length: Math.ceil(length / shape.columns) }, (_, block) =>
    Math.min(shape.columns, length - block * shape.columns),
  );
  return sideBySide ? blocks : blocks.flatMap((width) => Array<number>(shape.digits).fill(width));
}
