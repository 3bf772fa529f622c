/** @file Finds and opens engines. Engine packages are heavy, so each is imported only when it is asked for. */
import { ExitCode, UserError } from '../errors.js';
import type { Engine, EngineEntry, EngineName, EngineOptions, EngineProbe } from './engine.js';

const loaders: Record<EngineName, () => Promise<EngineEntry>> = {
  webgpu: async () => (await import('./webgpu/index.js')).engineEntry,
  native: async () => (await import('./native/index.js')).engineEntry,
  onnx: async () => (await import('./onnx/index.js')).engineEntry,
  tfjs: async () => (await import('./tfjs/index.js')).engineEntry,
};

/** `auto` tries these, best first; what says that it is slow here it passes over. */
const preference: readonly EngineName[] = ['webgpu', 'native', 'onnx', 'tfjs'];

export interface EngineStatus {
  readonly name: EngineName;
  readonly description: string;
  readonly available: boolean;
  /** `auto` may take it: it is available, and does not ask to be passed over. */
  readonly isForAuto: boolean;
  /** Available, but: why not for `auto`. */
  readonly passedOver?: string;
  /** The device when available, else the reason. */
  readonly detail: string;
}

/** What this machine has, best first, with the reason for each engine that is missing. */
export async function listEngines(): Promise<EngineStatus[]> {
  return Promise.all(
    preference.map(async (name) => {
      const entry = await loaders[name]();
      const status = await entry.probe();
      const { available } = status;
      return {
        name,
        description: entry.description,
        available,
        isForAuto: isForAuto(status),
        ...(status.available && status.passedOver ? { passedOver: status.passedOver } : {}),
        detail: available ? status.device : status.reason,
      };
    }),
  );
}

const isForAuto = (status: EngineProbe): boolean => status.available && status.passedOver === undefined;

/**
 * Opens an engine by name, or with `auto` the best one present.
 * @returns the engine and why it was chosen
 * @throws UserError naming the reason when the engine cannot run here; never falls back from a named engine
 */
export async function openEngine(
  name: EngineName | 'auto',
  options: EngineOptions,
): Promise<{ engine: Engine; why: string }> {
  if (name === 'auto') {
    const reasons: string[] = [];
    for (const candidate of preference) {
      const entry = await loaders[candidate]();
      const status = await entry.probe();
      if (isForAuto(status)) {
        const missing = reasons.length > 0 ? `; ${reasons.join('; ')}` : '';
        return { engine: await entry.create(options), why: `the best engine present${missing}` };
      }
      const reason = status.available ? `${status.passedOver}, ${status.device}` : status.reason;
      reasons.push(`${candidate}: ${reason}`);
    }
    throw new UserError(
      `no engine can run here: ${reasons.join('; ')}`,
      'See `xbm engines`.',
      ExitCode.unavailable,
    );
  }
  const entry = await loaders[name]();
  const status = await entry.probe();
  if (!status.available) {
    throw new UserError(
      `engine ${name} cannot run here: ${status.reason}`,
      'See `xbm engines`.',
      ExitCode.unavailable,
    );
  }
  return { engine: await entry.create(options), why: 'named in the experiment' };
}
