/** @file What an adapter gets and gives: one function per data set, from its own files to its official split. */
import type { Sample } from './types.js';

export interface AdapterOptions {
  /** Absolute path of the data set. */
  readonly root: string;
  /** null: found out from the data. */
  readonly edition: string | null;
  /** null: the task's protocol. */
  readonly crop: boolean | null;
  /** Per cent of each class that trains, where there is no official split. */
  readonly trainPercent: number;
}

export interface OfficialSplit {
  readonly classes: readonly string[];
  readonly train: readonly Sample[];
  readonly test: readonly Sample[];
  /** Which edition the files turned out to be, where there are several. */
  readonly edition?: string;
}

export type Adapter = (options: AdapterOptions) => OfficialSplit;
