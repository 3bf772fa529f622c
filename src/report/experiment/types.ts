/**
 * @file What the report of an experiment is made of: results of finished runs and what they cost on a chip, as plain
 * data. {@link writeExperimentReport} in write.ts turns it into tables, charts and report.html.
 */
import type { MethodName } from '../../adaption/method.js';
import type { RunSummary } from '../../runs/summary.js';
import type { HardwareReport, MethodCosts } from '../hardwareReport.js';

/** One experiment: tasks × methods × seeds. */
export interface ExperimentReport {
  readonly name: string;
  /** One paragraph for the head of the page; null: none. */
  readonly description: string | null;
  /** The command that makes this report. */
  readonly command: string;
  /** Text of the experiment file. */
  readonly configText: string;
  readonly programVersion: string;
  /** Finished runs, in the order in which tables and charts print them; seeds are sorted. */
  readonly runs: readonly ExperimentRun[];
  /** Planned runs without a result: named in every form of the report. */
  readonly missing: readonly MissingRun[];
  /** Chips that runs were priced on; usually one. */
  readonly chips: readonly Chip[];
  /** Remarks printed with the results, such as the edition of a data set. */
  readonly notes: readonly string[];
}

export interface ExperimentRun {
  /** The task as printed: `summary.task`, or the experiment's name for task `folder`. */
  readonly task: string;
  /** Tells apart runs of one task and method whose configs differ in more than the seed; null: there are none. */
  readonly variant: string | null;
  /** summary.json of the run. */
  readonly summary: RunSummary;
  /** The run folder relative to the folder of the report, with forward slashes. */
  readonly folder: string;
  /** The command that repeats this run alone. */
  readonly command: string;
  /** config.yaml of the run, without paths of a machine. */
  readonly configText: string;
  /** The `epoch` records of metrics.jsonl. */
  readonly curve: readonly CurvePoint[];
  /** `maskShares(task).layers`; empty without masks. */
  readonly layers: readonly LayerShare[];
  /** Pictures of the masks, see maskPictures.ts; empty: not drawn. */
  readonly maskPictures: readonly MaskPicture[];
  /** One per chip; empty: not priced, as a full-precision network cannot be. */
  readonly costs: readonly RunCosts[];
}

/** One epoch of training; counts from 1. */
export interface CurvePoint {
  readonly epoch: number;
  /** Mean training loss over the epoch, nats. */
  readonly loss: number;
  /** On the training images as augmented, per cent. */
  readonly accuracy: number;
  /** Of the mask bits, per cent. */
  readonly shareOff: number;
  readonly validation: { readonly loss: number; readonly accuracy: number } | null;
}

/** Mask bits of one layer. */
export interface LayerShare {
  readonly name: string;
  readonly bits: number;
  /** Bits that are 0. */
  readonly off: number;
}

export interface MaskPicture {
  readonly layer: string;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  readonly png: Uint8Array;
}

/** What one run costs: `{ chip: chip.id, ...report.tasks[task].methods[method] }` of a hardware report. */
export interface RunCosts
  extends Pick<
    MethodCosts,
    | 'energyPerImageMicrojoules'
    | 'energyRowsMicrojoules'
    | 'withoutMasks'
    | 'inferenceTestSetJoules'
    | 'reprogrammingJoules'
    | 'cellWritePicojoules'
    | 'totalJoules'
    | 'memoryBytes'
  > {
  /** Id of the {@link Chip}. */
  readonly chip: string;
}

/** A network on a hardware preset, with what it costs without masks; see chips.ts. */
export interface Chip {
  /** Unique and printed, such as `resnet50 at 224×224 on nn-imc, 4-bit`. */
  readonly id: string;
  /** Whose masks the components and claims of `report` are about: "seed 0, r72". */
  readonly runs: string;
  /** Chip, claims, warnings and assumptions are taken from here; costs per run from the runs. */
  readonly report: HardwareReport;
}

/** A run that was planned and has no result. */
export interface MissingRun {
  readonly task: string;
  readonly method: MethodName;
  readonly variant: string | null;
  readonly seed: number;
  /** Why, in one sentence. */
  readonly reason: string;
  /** The command that runs it. */
  readonly command: string;
}
