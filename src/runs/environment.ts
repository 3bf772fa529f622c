import { existsSync, readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import type { Engine } from '../engines/engine.js';
import { packageVersion } from '../paths.js';
import { processorModel } from '../processor.js';
import { type ProgramCode, programCode } from './programCode.js';

/** One start of a run: a fresh one or a resumption. */
export interface RunStart extends ProgramCode {
  /** ISO 8601, UTC. */
  readonly time: string;
  /** Steps done before. */
  readonly step: number;
  readonly engine: string;
  readonly device: string;
  readonly program: string;
  readonly node: string;
  readonly system: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryGibibytes: number;
}

/** What this start runs on. */
export function describeStart(engine: Engine, step: number): RunStart {
  return {
    time: new Date().toISOString(),
    step,
    engine: engine.name,
    device: engine.device,
    program: packageVersion(),
    ...programCode(),
    node: process.version,
    system: `${process.platform} ${process.arch} ${release()}`,
    processor: processorModel(),
    cores: cpus().length,
    memoryGibibytes: Math.round(totalmem() / 2 ** 30),
  };
}

/** What a resumed run should be told when its last start computed with something else: null when it did not. */
export function changedSince(starts: readonly RunStart[], engine: Engine): string | null {
  const last = starts.at(-1);
  if (!last) return null;
  const now = `${engine.device}, on ${processorModel()}`;
  const before = `${last.device}, on ${last.processor}`;
  if (before === now) return null;
  return `goes on with ${now}; so far it was ${before}: the results may differ by rounding from those of one machine`;
}

/** The starts recorded in environment.json; none when it is absent or damaged, since nothing depends on it. */
export function readStarts(path: string): RunStart[] {
  if (!existsSync(path)) return [];
  try {
    const { starts } = JSON.parse(readFileSync(path, 'utf8'));
    return Array.isArray(starts) ? starts : [];
  } catch {
    return [];
  }
}
