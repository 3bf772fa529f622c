/** @file The hardware report as one JSON document. */

import { warnings } from './assumptions.js';
import { checkClaims } from './claims.js';
import { type HardwareReport, rewritingMethods, scaleRows } from './hardwareReport.js';

/** Shape: docs/hardware.md. */
export function hardwareJson(report: HardwareReport) {
  const { network, hardware, mapping, energy, area, latency } = report;
  return {
    network: network.network,
    input: network.input,
    preset: hardware.name,
    source: report.source,
    arrays: mapping.arrays,
    arrayActivationsPerImage: mapping.activationsPerImage,
    utilisation: mapping.utilisation,
    energyPerImageMicrojoules: energy.picojoules * 1e-6,
    energyRowsMicrojoules: scaleRows(energy.rows, 1e-6),
    cellWritePicojoules: report.cellWritePicojoules,
    area: {
      arraySquareMicrometres: area.arraySquareMicrometres,
      chipSquareMillimetres: area.squareMicrometres * 1e-6,
      rowsSquareMicrometres: area.rows,
    },
    latency: {
      cycleNanoseconds: latency.cycleNanoseconds,
      cyclesPerImage: latency.cyclesPerImage,
      microsecondsPerImage: latency.microsecondsPerImage,
      imagesPerSecond: latency.imagesPerSecond,
    },
    layers: mapping.layers.map((layer, i) => ({
      name: layer.layer.name,
      rowSegments: layer.rowSegments,
      columnArrays: layer.columnArrays,
      arrays: layer.arrays,
      utilisation: layer.utilisation,
      activationsPerImage: layer.activationsPerImage,
      energyPerImageMicrojoules: energy.layers[i].picojoules * 1e-6,
      latencyMicroseconds: latency.layers[i].microseconds,
    })),
    tasks: report.tasks,
    switching: Object.fromEntries(
      Object.entries(report.switching).filter(([method]) =>
        rewritingMethods(report).some((rewriting) => rewriting === method),
      ),
    ),
    claims: checkClaims(report),
    warnings: warnings(report),
    assumptions: report.assumptions,
    hardware,
  };
}
