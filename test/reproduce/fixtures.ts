/** @file Planned and finished runs without a file behind them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type ExpandOptions, expandRuns, type PlannedRun } from '../../src/reproduce/expand.js';
import type { FinishedRun } from '../../src/reproduce/finished.js';
import { loadReproduction, type ReproductionSource } from '../../src/reproduce/reproductionFile.js';
import { RunFolder } from '../../src/runs/runFolder.js';
import type { RunSummary } from '../../src/runs/summary.js';

const folders: string[] = [];
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A temporary folder with files in it, removed when the tests have ended. */
export function folderWith(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'xbm-reproduce-'));
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

/** Reads `study.yaml` in a temporary folder that also has `files`. */
export function sourceOf(text: string, files: Readonly<Record<string, string>> = {}): ReproductionSource {
  return loadReproduction('study.yaml', folderWith({ 'study.yaml': text, ...files }));
}

/** The runs of a reproduction file. */
export function runsOf(text: string, options: Partial<ExpandOptions> = {}, files = {}): PlannedRun[] {
  const source = sourceOf(text, files);
  return expandRuns(source, { cwd: source.folder, ...options });
}

/** A result for a planned run. */
export function finish(run: PlannedRun, changes: Partial<RunSummary> = {}): FinishedRun {
  const { experiment, method, seed, configHash } = run;
  const masked = method === 'xbm' || method === 'piggyback';
  const summary: RunSummary = {
    task: experiment.task,
    name: experiment.name,
    method,
    granularity: masked ? (method === 'xbm' ? 'column' : 'element') : null,
    rows: method === 'xbm' ? 72 : null,
    network: experiment.backbone.network,
    weightBits: 4,
    activationBits: 4,
    backboneSha256: 'b'.repeat(64),
    accuracy: 50,
    loss: 1,
    bestValidation: null,
    shareOff: masked ? 25 : 0,
    maskBits: masked ? 1000 : 0,
    maskBytes: masked ? 125 : 0,
    taskBytes: 2000,
    classes: 102,
    trainImages: 2040,
    validationImages: 0,
    testImages: 6149,
    imageSize: 224,
    batchSize: 32,
    epochs: 30,
    steps: 1890,
    seed,
    engine: 'onnx',
    configHash,
    programVersion: '0.1.0',
    ...changes,
  };
  const timings = { trainingSeconds: 100, evaluationSeconds: 10, trainingImagesPerSecond: 612 };
  return { run, folder: new RunFolder(run.folder), summary, timings };
}
