/** @file runs.parquet: one row per run, for notebooks. */
import { type BasicType, parquetWriteBuffer } from 'hyparquet-writer';
import { energyKeys, type RunEnergies } from './energies.js';
import type { FinishedRun } from './finished.js';

type Value = string | number | null | undefined;
type Column = readonly [name: string, type: BasicType, value: (run: FinishedRun) => Value];

const columns: readonly Column[] = [
  ['run', 'STRING', ({ run }) => run.name],
  ['task', 'STRING', ({ run }) => run.task],
  ['method', 'STRING', ({ run }) => run.method],
  ['variant', 'STRING', ({ run }) => run.variant],
  ['seed', 'INT32', ({ run }) => run.seed],
  ['network', 'STRING', ({ summary }) => summary.network],
  ['weightBits', 'INT32', ({ summary }) => summary.weightBits],
  ['activationBits', 'INT32', ({ summary }) => summary.activationBits],
  ['granularity', 'STRING', ({ summary }) => summary.granularity],
  ['rows', 'INT32', ({ summary }) => summary.rows],
  ['accuracy', 'DOUBLE', ({ summary }) => summary.accuracy],
  ['loss', 'DOUBLE', ({ summary }) => summary.loss],
  ['shareOff', 'DOUBLE', ({ summary }) => (summary.maskBits > 0 ? summary.shareOff : null)],
  ['maskBits', 'INT32', ({ summary }) => summary.maskBits],
  ['maskBytes', 'INT32', ({ summary }) => summary.maskBytes],
  ['taskBytes', 'INT32', ({ summary }) => summary.taskBytes],
  ['classes', 'INT32', ({ summary }) => summary.classes],
  ['trainImages', 'INT32', ({ summary }) => summary.trainImages],
  ['testImages', 'INT32', ({ summary }) => summary.testImages],
  ['imageSize', 'INT32', ({ summary }) => summary.imageSize],
  ['batchSize', 'INT32', ({ summary }) => summary.batchSize],
  ['epochs', 'INT32', ({ summary }) => summary.epochs],
  ['steps', 'INT32', ({ summary }) => summary.steps],
  ['engine', 'STRING', ({ summary }) => summary.engine],
  ['configHash', 'STRING', ({ summary }) => summary.configHash],
  ['backboneSha256', 'STRING', ({ summary }) => summary.backboneSha256],
  ['programVersion', 'STRING', ({ summary }) => summary.programVersion],
];

/** The runs as one Parquet file; energies as columns `<preset>.<quantity>`. */
export function runsParquet(
  finished: readonly FinishedRun[],
  energies: RunEnergies,
  hardware: readonly string[],
): Uint8Array {
  const priced = hardware.flatMap((preset) =>
    energyKeys.map(
      (key): Column => [`${preset}.${key}`, 'DOUBLE', ({ run }) => energies.get(run.name)?.[preset]?.[key]],
    ),
  );
  const columnData = [...columns, ...priced].map(([name, type, value]) => ({
    name,
    type,
    nullable: true,
    data: finished.map((run) => value(run) ?? null),
  }));
  return new Uint8Array(parquetWriteBuffer({ columnData, createdBy: 'xbm' }));
}
