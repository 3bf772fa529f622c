/** @file All tables of the hardware report in printing order. */
import { assumptionsTable, constantsTable, policiesTable } from './assumptions.js';
import { areaTable, energyTable, latencyTable, layerTable } from './chipTables.js';
import { checkClaims } from './claims.js';
import type { HardwareReport } from './hardwareReport.js';
import { sensitivityTables } from './sensitivityTables.js';
import type { Table } from './table.js';
import { memoryTable, taskTables } from './taskTables.js';

/** All tables in printing order. @param perLayer adds the mapping of every layer */
export function hardwareTables(report: HardwareReport, perLayer = false): Table[] {
  const tables = [
    ...(Object.keys(report.tasks).length > 0 ? taskTables(report) : []),
    energyTable(report),
    areaTable(report),
    latencyTable(report),
    ...(Object.keys(report.tasks).length > 0 ? [memoryTable(report), ...sensitivityTables(report)] : []),
    claimsTable(report),
    policiesTable(report.hardware),
    assumptionsTable(report),
    constantsTable(report.hardware),
  ];
  return perLayer ? [...tables, layerTable(report)] : tables;
}

function claimsTable(report: HardwareReport): Table {
  return {
    id: 'claims',
    title: 'Claims of XBM and its sister paper XMA',
    header: ['claim', 'verdict', 'this model', 'source of the claim'],
    rows: checkClaims(report).map(({ claim, verdict, own, source }) => [claim, verdict, own, source]),
    notes: [],
  };
}
